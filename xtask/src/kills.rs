//! Kills the built program under load and compares what is left with what was acknowledged.

use crate::Result;
use crate::{e2e, run};

/// Runs e2e/kills.py, which says what its arguments are; `watch` is shown what it prints.
///
/// # Errors
/// When the build fails, or something that was acknowledged is lost.
pub fn run(arguments: &[String], watch: &mut dyn FnMut(&str)) -> Result<()> {
    let program = e2e::program()?;
    let mut python = run::command("python3 -B e2e/kills.py");
    run::watched(python.args(arguments).env("PILLARBOX", program), watch)
}

/// Runs e2e/queuekills.py, which says what its arguments are; `watch` is shown what it prints.
///
/// # Errors
/// When the build fails, or a recipient who was acknowledged is forgotten or served twice.
pub fn queue(arguments: &[String], watch: &mut dyn FnMut(&str)) -> Result<()> {
    let program = e2e::program()?;
    let mut python = run::command("python3 -B e2e/queuekills.py");
    run::watched(python.args(arguments).env("PILLARBOX", program), watch)
}

/// What every check of everything does with one node.
///
/// # Errors
/// As [`queue`].
pub fn queue_share(watch: &mut dyn FnMut(&str)) -> Result<()> {
    queue(&["--messages".to_owned(), SHARE_MESSAGES.to_string()], watch)
}

/// What every check of everything does with several nodes on one PostgreSQL.
///
/// # Errors
/// As [`queue`].
pub fn queue_share_of_nodes(watch: &mut dyn FnMut(&str)) -> Result<()> {
    let program = e2e::program()?;
    let mut python = run::command("python3 -B e2e/queuekills.py");
    python.env("PILLARBOX", program).env("PILLARBOX_ENGINE", "postgres");
    python.args(["--nodes", &SHARE_NODES.to_string()]);
    python.args(["--messages", &SHARE_MESSAGES_OF_NODES.to_string()]);
    run::watched(&mut python, watch)
}

/// A minute on a machine that has nothing else to do.
const SHARE_MESSAGES: u32 = 10_000;

/// Fewer, because what a node that died had claimed is left to it for a while.
const SHARE_MESSAGES_OF_NODES: u32 = 1_000;
const SHARE_NODES: u32 = 3;
