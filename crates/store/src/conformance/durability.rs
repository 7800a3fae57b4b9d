//! What was acknowledged is there after the store is opened again.

use std::thread;

use super::{Engine, Random, Restart, must};
use crate::{BlobId, Commit, CommitNo, StoreError, Write};

pub(super) fn acknowledged_commits_survive(engine: &mut dyn Engine) {
    const THREADS: u64 = 4;
    const EACH: u64 = 10;
    for (round, how) in (0..).zip([Restart::Closed, Restart::Killed, Restart::Killed]) {
        let store = engine.store();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let store = &store;
                scope.spawn(move || {
                    for step in 0..EACH {
                        let key = row(round, number, step);
                        let commit = Commit::new()
                            .write(Write::put(key.clone(), b"kept"))
                            .write(Write::put([&key[..], b"!"].concat(), b"gone"));
                        must("commit", store.commit_wait(commit));
                        let gone = Write::delete([&key[..], b"!"].concat());
                        must("commit", store.commit_wait(Commit::new().write(gone)));
                    }
                });
            }
        });
        drop(store);
        engine.restart(how);
        let store = engine.store();
        let view = must("view", store.view());
        for (round, number, step) in (0..round)
            .flat_map(|r| (0..THREADS).flat_map(move |n| (0..EACH).map(move |s| (r, n, s))))
        {
            let key = row(round, number, step);
            assert_eq!(view.get(&key), Ok(Some(b"kept".to_vec())), "lost after {how:?}");
            assert_eq!(view.get(&[&key[..], b"!"].concat()), Ok(None), "undone after {how:?}");
        }
    }
}

fn row(round: u64, thread: u64, step: u64) -> Vec<u8> {
    format!("row/{round}/{thread}/{step}").into_bytes()
}

pub(super) fn acknowledged_blobs_survive(engine: &mut dyn Engine) {
    let mut random = Random::new(0xd15c);
    let mut named = Vec::new();
    for how in [Restart::Killed, Restart::Closed, Restart::Killed, Restart::Killed] {
        let store = engine.store();
        for size in [0, 900, 70_000, 400_000, 2 << 20] {
            let bytes = [how_name(how).as_bytes(), &random.bytes(size)].concat();
            let lease = must("put", store.put_blob(b"a", &bytes));
            let commit = Commit::new().write(Write::put(*lease.id().as_bytes(), b"")).naming(lease);
            must("commit", store.commit_wait(commit));
            named.push(bytes);
        }
        // One that no commit follows: it may be there or not, but nothing may break.
        let loose = random.bytes(50_000);
        drop(must("put", store.put_blob(b"a", &loose)));
        drop(store);
        engine.restart(how);
        let store = engine.store();
        for bytes in &named {
            let found = must("named blob", store.read_blob(b"a", &BlobId::of(bytes), 0..u64::MAX));
            assert!(found == *bytes, "a named blob changed after {how:?}");
        }
    }
}

fn how_name(how: Restart) -> &'static str {
    match how {
        Restart::Closed => "closed",
        Restart::Killed => "killed",
    }
}

pub(super) fn commit_numbers_never_repeat(engine: &mut dyn Engine) {
    let mut last = CommitNo(0);
    for how in [Restart::Killed, Restart::Closed, Restart::Killed] {
        let store = engine.store();
        for _ in 0..3 {
            let number =
                must("commit", store.commit_wait(Commit::new().write(Write::put(b"k", b""))));
            assert!(number > last, "{number:?} came after {last:?}");
            last = number;
        }
        drop(store);
        engine.restart(how);
        let at = must("view", engine.store().view()).at();
        assert!(at >= last, "a view went back in time after {how:?}");
    }
}

pub(super) fn lost_blob_cannot_be_named(engine: &mut dyn Engine) {
    let store = engine.store();
    must("commit", store.commit_wait(Commit::new().write(Write::put(b"k", b"kept"))));
    // Killed before any commit followed the put.
    let lease = must("put", store.put_blob(b"a", b"lost"));
    drop(store);
    engine.restart(Restart::Killed);
    let store = engine.store();
    let id = lease.id();
    let commit = Commit::new().write(Write::put(b"k", b"names what is lost")).naming(lease);
    assert_eq!(store.commit_wait(commit), Err(StoreError::BlobMissing { id }));
    assert_eq!(must("view", store.view()).get(b"k"), Ok(Some(b"kept".to_vec())));
}
