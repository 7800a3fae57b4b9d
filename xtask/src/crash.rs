//! Builds the crash tester and runs it: power cuts at every boundary between two system calls,
//! power cuts and failing calls during recovery, failing calls under load.
//!
//! It is built with optimization, because it opens a store tens of thousands of times, and with
//! debug assertions, because what they say is worth knowing here.

use crate::Result;
use crate::faults;
use crate::run;

/// `[--seeds N] [--from SEED] [--variants N] [--operations N] [--every N] [--threads N]`: power
/// cuts only, for long runs.
///
/// # Errors
/// When it cannot be built, or something did not hold.
pub fn run(arguments: &[String]) -> Result<()> {
    build()?;
    let keep = keep()?;
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !arguments.contains(&"--keep") {
        arguments.extend(["--keep", &keep]);
    }
    sim("crash", &arguments)
}

/// The share of every change: all of it, some minutes long.
///
/// # Errors
/// As [`run`]; what comes after a failure has run all the same.
pub fn share() -> Result<()> {
    build()?;
    let keep = keep()?;
    let results = [
        sim("crash", &["--seeds", "3", "--variants", "4", "--keep", &keep]),
        sim("recovery", &["--seeds", "3", "--samples", "6", "--errors", "20"]),
        sim("faults", &["--cases", "300"]),
    ];
    results.into_iter().collect()
}

fn build() -> Result<()> {
    // Of the whole workspace only this program, so that dependencies are those of the other steps.
    let mut build = run::command("cargo build --locked --workspace --bin sim");
    run::run(build.env("CARGO_PROFILE_DEV_OPT_LEVEL", "2"))
}

fn sim(command: &str, arguments: &[&str]) -> Result<()> {
    let program = run::target().join("debug").join("sim");
    let mut sim = std::process::Command::new(program);
    sim.arg(command).args(arguments).env(faults::VARIABLE, faults::file());
    run::run(&mut sim)
}

/// Where images that do not hold are kept, with their recordings.
fn keep() -> Result<String> {
    let folder = run::target().join("crash");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.display().to_string())
}
