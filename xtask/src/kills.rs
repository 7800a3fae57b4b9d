//! Kills the built program under load and compares what is left with what was acknowledged.

use crate::Result;
use crate::{e2e, run};

/// Runs e2e/kills.py, which says what its arguments are.
///
/// # Errors
/// When the build fails, or something that was acknowledged is lost.
pub fn run(arguments: &[String]) -> Result<()> {
    let program = e2e::program()?;
    let mut python = run::command("python3 -B e2e/kills.py");
    run::run(python.args(arguments).env("PILLARBOX", program))
}

/// Runs e2e/queuekills.py, which says what its arguments are.
///
/// # Errors
/// When the build fails, or a recipient who was acknowledged is forgotten or served twice.
pub fn queue(arguments: &[String]) -> Result<()> {
    let program = e2e::program()?;
    let mut python = run::command("python3 -B e2e/queuekills.py");
    run::run(python.args(arguments).env("PILLARBOX", program))
}

/// What every check of everything does of it; all of it takes a quarter of an hour.
///
/// # Errors
/// As [`queue`].
pub fn queue_share() -> Result<()> {
    queue(&["--messages".to_owned(), SHARE_MESSAGES.to_string()])
}

/// Less than a minute.
const SHARE_MESSAGES: u32 = 500;
