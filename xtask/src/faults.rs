//! What was broken on purpose, how often, and how often a promise did not hold.
//!
//! Every test of faults appends a line to the file that [`VARIABLE`] names: what was done, how many
//! cases, how many violations, with tabs between. Here they become one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::Result;
use crate::run;

/// The environment variable that tells tests where to write their counts.
pub const VARIABLE: &str = "PILLARBOX_FAULTS";

/// The file of counts of this run.
pub fn file() -> PathBuf {
    run::target().join("faults.tsv")
}

/// Starts a new table.
///
/// # Errors
/// When the file cannot be written.
pub fn begin() -> Result<()> {
    fs::create_dir_all(run::target())?;
    fs::write(file(), "")?;
    Ok(())
}

/// Prints the table and returns the number of violations in it.
///
/// # Errors
/// When the file cannot be read or has a line that is not one of its kind.
pub fn table() -> Result<u64> {
    let counts = read(&fs::read_to_string(file())?)?;
    if counts.is_empty() {
        return Ok(0);
    }
    println!("\n=== faults ===");
    println!("{:<64} {:>9} {:>11}", "fault", "cases", "violations");
    let mut all = Counts::default();
    for (fault, counts) in &counts {
        println!("{fault:<64} {:>9} {:>11}", counts.cases, counts.violations);
        all.cases += counts.cases;
        all.violations += counts.violations;
    }
    println!("{:<64} {:>9} {:>11}", "all", all.cases, all.violations);
    Ok(all.violations)
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    cases: u64,
    violations: u64,
}

/// Lines of the same fault are added up.
fn read(text: &str) -> Result<BTreeMap<String, Counts>> {
    let mut table: BTreeMap<String, Counts> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [fault, cases, violations] = fields[..] else {
            return Err(format!("not a line of counts: {line:?}").into());
        };
        let counts = table.entry(fault.to_owned()).or_default();
        counts.cases += cases.parse::<u64>()?;
        counts.violations += violations.parse::<u64>()?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_same_fault_are_added_up() {
        let table = read("kill\t10\t0\npower cut\t7\t1\nkill\t5\t2\n").unwrap();
        assert_eq!(table["kill"], Counts { cases: 15, violations: 2 });
        assert_eq!(table["power cut"], Counts { cases: 7, violations: 1 });
    }

    #[test]
    fn a_line_of_another_kind_is_an_error() {
        for line in ["kill", "kill\t1", "kill\tmany\t0", "kill\t1\t0\t0"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
