//! Runs the tests of e2e/: real clients against the built program.

use std::path::PathBuf;

use crate::Result;
use crate::corpus;
use crate::run;

/// Builds the program, fetches the corpus when a test needs it, and runs the named tests, or all.
///
/// # Errors
/// When the build or a test fails.
pub fn run(names: &[String]) -> Result<()> {
    let program = program()?;
    let mut python = run::command("python3 -B e2e/run.py");
    python.args(names).env("PILLARBOX", program);
    if names.is_empty() || names.iter().any(|name| name == "corpus") {
        python.env("PILLARBOX_CORPUS", corpus::fetch()?);
    }
    run::run(&mut python)
}

/// The release build of the program; `$PILLARBOX` names another.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("PILLARBOX") {
        return Ok(PathBuf::from(given));
    }
    build()?;
    Ok(run::target().join("release").join("pillarbox"))
}

/// Builds the program as it is shipped.
///
/// # Errors
/// When it does not build.
pub fn build() -> Result<()> {
    run::run(&mut run::command("cargo build --locked --release --package pillarbox"))
}
