//! Runs the tests of e2e/: real clients against the built program.

use std::path::PathBuf;

use crate::Result;
use crate::corpus;
use crate::run;
use crate::tools;

/// Builds the program, fetches the corpus when a test needs it, and runs the named tests, or all;
/// `--engine` names what mail is kept in.
///
/// # Errors
/// When the build or a test fails.
pub fn run(arguments: &[String]) -> Result<()> {
    let (engine, names) = match arguments {
        [option, engine, names @ ..] if option == "--engine" => (engine.as_str(), names),
        names => ("local", names),
    };
    on_engine(engine, names, &mut |_| {})
}

/// As [`run`], on one of the engines, with each line that is printed shown to `watch`.
///
/// # Errors
/// When there is no such engine, or the build or a test fails.
pub fn on_engine(engine: &str, names: &[String], watch: &mut dyn FnMut(&str)) -> Result<()> {
    if !ENGINES.contains(&engine) {
        return Err(format!("no engine {engine:?}; there are {}", ENGINES.join(", ")).into());
    }
    let program = program()?;
    let mut python = run::command("python3 -B e2e/run.py");
    python.args(names).env("PILLARBOX", program).env("PILLARBOX_ENGINE", engine);
    python.env("PILLARBOX_CLIENTS", tools::clients()?);
    if engine == "local" {
        python.env("PILLARBOX_ZONES", for_tests("dns", "zones-for-tests")?);
    }
    if engine == "postgres+s3" {
        python.env("PILLARBOX_S3", for_tests("s3", "s3-for-tests")?);
    }
    if names.is_empty() || names.iter().any(|name| name == "corpus") {
        python.env("PILLARBOX_CORPUS", corpus::fetch()?);
    }
    run::watched(&mut python, watch)
}

/// A program of testkit: the object store, or the name server.
fn for_tests(feature: &str, program: &str) -> Result<PathBuf> {
    let mut build = run::command("cargo build --locked --package testkit");
    run::run(build.args(["--features", feature, "--bin", program]))?;
    Ok(run::target().join("debug").join(program))
}

/// What mail can be kept in.
const ENGINES: &[&str] = &["local", "postgres", "postgres+s3"];

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
