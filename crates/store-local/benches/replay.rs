//! How long a store takes to open whose database has lost everything since its last checkpoint:
//! as after a power cut, when the log has to be applied again.
//!
//! `STORE_BENCH_DIR` is the disk to be measured, `STORE_BENCH_GROUPS` how many groups of one flag
//! change each the log holds (default 5,000: about what fits between two checkpoints).

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to measure")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use store::{Commit, Store, Write};
use store_local::{Local, Options};

fn main() {
    let parent = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let groups = std::env::var("STORE_BENCH_GROUPS").ok().and_then(|text| text.parse().ok());
    let groups: u64 = groups.unwrap_or(5_000);
    let outer = tempfile::tempdir_in(parent).expect("folder");
    let folder = outer.path().join("data");
    drop(Local::open(&folder, Options::default()).expect("open"));
    let database = fs::read(folder.join("store.db")).expect("database");
    let store = Local::open(&folder, Options::default()).expect("open");
    for next in 0..groups {
        let key = |kind: u8, n: u64| [&[kind][..], &n.to_be_bytes()].concat();
        let commit = Commit::new()
            .write(Write::put(key(0, next % 200), next.to_be_bytes()))
            .write(Write::put(key(1, next), [7; 60]))
            .write(Write::put(key(2, next * 7 % 100_000), [8; 40]))
            .write(Write::put(key(2, next * 13 % 100_000), [9; 40]));
        store.commit_wait(commit).expect("commit");
    }
    drop(store);
    fs::write(folder.join("store.db"), database).expect("old database");
    let begun = Instant::now();
    let store = Local::open(&folder, Options::default()).expect("open");
    println!("{groups} groups applied again, and the store open, in {:?}", begun.elapsed());
    assert_eq!(store.view().expect("view").at().0, groups);
}
