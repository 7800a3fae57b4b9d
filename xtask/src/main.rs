//! The project's own tool: `cargo xtask COMMAND`. Every check that guards this repository can be
//! run alone by its name, and `ci` runs them all in the order in which they are cheapest to fail.

mod ci;
mod corpus;
mod crash;
mod e2e;
mod edges;
mod failures;
mod faults;
mod fuzz;
mod garage;
mod kills;
mod run;
mod tidy;
mod tools;

use std::process::ExitCode;

/// Errors are for a person at a terminal: one sentence that says what to do next.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "ci" => ci::run(rest),
        "tidy" => tidy::check(),
        "edges" => edges::check(),
        "corpus" => corpus::fetch().map(|folder| println!("corpus: {}", folder.display())),
        "crash" => crash::run(rest),
        "e2e" => e2e::run(rest),
        "fuzz" => fuzz::run(rest),
        "garage" => garage::run(),
        "kills" => kills::run(rest, &mut |_| {}),
        "queue-kills" => kills::queue(rest, &mut |_| {}),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no command {other:?}\n{HELP}").into()),
    }
}

const HELP: &str = "\
cargo xtask ci [--only STEP] [--from STEP] [--skip STEP] [--list] [--fuzz-seconds N]
               [--garage]
    every check, in order; each step prints its time, a failing step does not hide the later ones
cargo xtask tidy      length of functions, purpose of files, words that must not be committed
cargo xtask edges     which crate may import which
cargo xtask corpus    fetch and verify the test mail (to target/corpus, or $PILLARBOX_CORPUS)
cargo xtask crash [--seeds N] [--from SEED] [--variants N] [--operations N] [--every N]
    cuts the power at every boundary between two system calls of seeded workloads
cargo xtask fuzz [--seconds N] [--jobs N] [TARGET...]
cargo xtask garage    the tests of object stores on a real Garage of three nodes (built once, 15 min)
cargo xtask kills [--kills N] [--seed N]
    kill -9 of the built program under load, 300 times by default
cargo xtask queue-kills [--messages N] [--nodes N] [--seed N]
    10,000 messages through the queue while its nodes are killed; several nodes need
    PILLARBOX_ENGINE=postgres
cargo xtask e2e [--engine local|postgres|postgres+s3] [NAME...]
    real clients against the built program; NAME picks files (imaplib, mbsync, corpus, ...)";
