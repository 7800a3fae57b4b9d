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
