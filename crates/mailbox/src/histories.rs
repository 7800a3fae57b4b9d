//! Random histories of several sessions on one account, against a naive oracle.
//!
//! After every step the account equals the oracle's plain maps; every session's client, which knows
//! nothing but responses, has a dense and ascending numbering; HIGHESTMODSEQ never runs ahead of
//! what was told; and a client cut off anywhere, also between two responses of one command, comes
//! back by QRESYNC to exactly the mailbox's state. The rows that a store would hold are kept aside
//! and mailboxes are dropped from memory and rebuilt from them.
//!
//! `MAILBOX_HISTORIES=100000 cargo test -p mailbox --release histories` for a longer run;
//! `MAILBOX_SEED=n` repeats one history.

mod client;
mod harness;
mod model;
mod random;

use harness::Harness;

#[test]
fn random_histories_keep_the_invariants() {
    if let Ok(seed) = std::env::var("MAILBOX_SEED") {
        run(seed.parse().expect("MAILBOX_SEED is a number"));
        return;
    }
    let count = std::env::var("MAILBOX_HISTORIES").ok().and_then(|n| n.parse().ok());
    for seed in 0..count.unwrap_or(HISTORIES) {
        run(seed);
    }
}

fn run(seed: u64) {
    let history = std::panic::catch_unwind(|| {
        let mut harness = Harness::new(seed);
        for _ in 0..STEPS {
            harness.step();
        }
        harness.finish();
    });
    if let Err(panic) = history {
        eprintln!("the history of MAILBOX_SEED={seed} failed");
        std::panic::resume_unwind(panic);
    }
}

const HISTORIES: u64 = 200;
const STEPS: u32 = 80;
