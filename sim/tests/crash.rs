//! The crash tester as a program: it finds nothing where nothing is wrong, and it finds a sync that
//! is missing. The share of every change and long runs are `cargo xtask ci` and `crash`.

#![expect(clippy::unwrap_used, reason = "in a test a failure is what should be seen")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        // The table is for whole runs.
        .env_remove("PILLARBOX_FAULTS")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}\n{}", String::from_utf8_lossy(&output.stderr))
}

#[test]
fn power_cuts_here_and_there_lose_nothing() {
    let output = sim(&["crash", "--operations", "12", "--every", "31"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn power_cuts_during_recovery_lose_nothing() {
    let options = ["--operations", "8", "--samples", "2", "--errors", "3", "--every", "7"];
    let output = sim(&[&["recovery"], &options[..]].concat());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn failing_calls_lose_nothing() {
    let output = sim(&["faults", "--cases", "8", "--operations", "6"]);
    assert!(output.status.success(), "{}", said(&output));
}

/// The tester has to be able to fail: here it believes that syncs of these files never happened,
/// as if the engine had forgotten them.
#[test]
fn a_forgotten_sync_is_found() {
    for file in ["store.db", ".pack", "packs"] {
        let output = sim(&["crash", "--operations", "12", "--every", "31", "--forget", file]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", said(&output));
        assert!(said(&output).contains("VIOLATION"), "{file}: {}", said(&output));
    }
}

/// These cases once left a store that did not open: a sync failed while its database was being
/// made, or a body's header was torn at a sector.
#[test]
fn calls_that_once_failed_while_a_store_was_made_leave_one_that_opens() {
    for case in ["43", "59", "92", "96", "111", "165", "1012", "1068"] {
        let output = sim(&["faults", "--cases", "1", "--operations", "12", "--from", case]);
        assert!(output.status.success(), "{case}: {}", said(&output));
    }
}
