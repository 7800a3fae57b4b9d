//! The table of faults: a line for each kind, appended where the caller wants it.

use std::io::Write;

use crate::Result;

/// Shows a line `fault, cases, violations`, and appends it to the file that is named by
/// `PILLARBOX_FAULTS`.
///
/// # Errors
/// When the file cannot be written.
pub fn line(fault: &str, cases: u64, violations: u64) -> Result<()> {
    println!("{fault}: {cases} cases, {violations} violations");
    let Some(path) = std::env::var_os("PILLARBOX_FAULTS") else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    Ok(file.write_all(format!("{fault}\t{cases}\t{violations}\n").as_bytes())?)
}
