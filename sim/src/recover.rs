//! Opens a store, verifies it and closes it: what a second crash interrupts.

use std::path::Path;

use mail_service::check;

use crate::Result;
use crate::world::open_store;

/// Runs once.
///
/// # Errors
/// What the store says, or what the verifier finds.
pub fn run(folder: &Path) -> Result<()> {
    let store = open_store(folder, 1)?;
    let report = check(&*store)?;
    store.close()?;
    if report.is_clean() { Ok(()) } else { Err(format!("{:?}", report.findings).into()) }
}
