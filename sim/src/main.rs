//! Crashes: what a disk may hold after one, and whether everything acknowledged is in it.
//!
//! `sim workload` runs a seeded workload on the real engine. `sim crash` runs that under strace,
//! follows every call that touches the store's folder, and rebuilds the disk as it may be after a
//! crash at each boundary between two calls: all that was synced, and any part of what was not.
//! Each such disk is opened, verified, compared with what had been acknowledged, and used.

mod arguments;
mod dice;
mod disk;
mod dump;
mod events;
mod explore;
mod faults;
mod history;
mod image;
mod record;
mod recover;
mod run;
mod second;
mod table;
mod trace;
mod verify;
mod workload;
mod world;

use std::process::ExitCode;

use arguments::Arguments;

/// Errors are for a person at a terminal.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let done = Arguments::read(words).and_then(|arguments| match command.as_str() {
        "workload" => workload::run(arguments.workload()?),
        "recover" => recover::run(&arguments.path("--folder")?),
        "crash" => run::crash(&arguments),
        "recovery" => second::run(&arguments),
        "faults" => faults::run(&arguments),
        "replay" => run::replay(&arguments),
        _ => Err(HELP.into()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
sim crash [--seeds N] [--from SEED] [--operations N] [--variants N] [--every N] [--threads N]
          [--forget NAME] [--keep FOLDER]
    records workloads and crashes them at every boundary
sim recovery [--seeds N] [--from SEED] [--samples N] [--errors N]
    crashes the recovery after a crash, and lets its calls fail
sim faults [--cases N] [--from CASE] [--operations N]
    lets calls of a workload fail, once or for ever
sim replay --seed SEED --boundary N --variant N --keep FOLDER
    one crash of a recording that was kept
sim workload --seed SEED --folder FOLDER --dumps FILE [--operations N] [--failing]
sim recover --folder FOLDER
    what the recorder runs";
