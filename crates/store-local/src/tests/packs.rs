//! Packs over their life: filling, sealing, deleting, compacting.

use std::sync::Arc;

use store::{BlobKey, BlobLease, Commit, Deletion, Store, StoreError, Write};

use super::{copy_folder, listed, noise, open, options, pack_files, put};
use crate::disk::{Disk, OsDisk};
use crate::log::group::{Change, Changes};
use crate::log::walk::{Found, Kind, Segment};
use crate::{Local, Options};

fn small_packs(path: &std::path::Path) -> Local {
    let options = Options { pack_bytes_max: 100_000, ..options(Arc::new(OsDisk)) };
    Local::open(path, options).unwrap()
}

fn delete(store: &Local, leases: Vec<BlobLease>) {
    let ids: Vec<_> = leases.iter().map(BlobLease::id).collect();
    drop(leases);
    store.commit_wait(Commit::new()).unwrap();
    let deleted = store.delete_blobs(b"a", &listed(store, &ids)).unwrap();
    assert!(deleted.iter().all(|deleted| *deleted == Deletion::Deleted), "{deleted:?}");
}

#[test]
fn full_pack_is_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_packs(folder.path());
    let leases: Vec<_> = (0..12).map(|seed| put(&store, &noise(seed, 30_000))).collect();
    assert_eq!(pack_files(folder.path()), 4);
    drop(store);
    let store = small_packs(folder.path());
    leases.iter().for_each(|lease| store.verify_blob(b"a", &lease.id()).unwrap());
}

#[test]
fn sealed_pack_goes_with_its_last_blob() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_packs(folder.path());
    let mut leases: Vec<_> = (0..6).map(|seed| put(&store, &noise(seed, 30_000))).collect();
    let second = leases.split_off(3);
    assert_eq!(pack_files(folder.path()), 2);
    delete(&store, leases);
    assert_eq!(pack_files(folder.path()), 2, "the database that does not need it is not on disk");
    store.reclaim().unwrap();
    assert_eq!(pack_files(folder.path()), 1);
    second.iter().for_each(|lease| store.verify_blob(b"a", &lease.id()).unwrap());
}

/// Two putters of one body: while one looks whether it is there, the other's is recorded.
#[test]
fn second_copy_of_a_recorded_blob_is_named_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let bytes = noise(1, 3000);
    let id = put(&store, &bytes).id();
    let looked = listed(&store, &[id]);
    let key = BlobKey::new(b"a", id);
    let lease = store.shared().leases.take(key.clone(), 3000);
    let at = store.shared().readers.locate(&key).unwrap().unwrap();
    let mut record = vec![0; usize::try_from(at.length).unwrap()];
    store.shared().packs().file(at.pack).unwrap().read_at(at.offset, &mut record).unwrap();
    store.shared().packs().append(&key, &record, 3000).unwrap();
    store.commit_wait(Commit::new().write(Write::put(b"row", b"")).naming(lease)).unwrap();
    assert_eq!(store.delete_blobs(b"a", &looked).unwrap(), [Deletion::InUse]);
    store.verify_blob(b"a", &id).unwrap();
}

#[test]
fn long_blob_gives_its_space_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let lease = put(&store, &noise(1, 4 << 20));
    assert_eq!(pack_files(folder.path()), 2);
    delete(&store, vec![lease]);
    store.reclaim().unwrap();
    assert_eq!(pack_files(folder.path()), 1, "the log stays");
}

#[test]
fn compaction_moves_what_lives_and_removes_the_rest() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let store = small_packs(&before);
    let mut kept = Vec::new();
    let mut garbage = Vec::new();
    for seed in 0..30 {
        let lease = put(&store, &noise(seed, 30_000));
        if seed % 3 == 0 { kept.push(lease) } else { garbage.push(lease) }
    }
    let files = pack_files(&before);
    let reader = store.open_blob(b"a", &kept[0].id()).unwrap();
    delete(&store, garbage);
    store.reclaim().unwrap();
    assert!(pack_files(&before) <= files / 2, "{files} -> {}", pack_files(&before));
    kept.iter().for_each(|lease| store.verify_blob(b"a", &lease.id()).unwrap());
    assert_eq!(reader.read_at(0, 30_000).unwrap(), noise(0, 30_000));
    // Also after a kill right now, and with nothing more to do.
    copy_folder(&before, &after);
    let store = small_packs(&after);
    kept.iter().for_each(|lease| store.verify_blob(b"a", &lease.id()).unwrap());
    let files = pack_files(&after);
    store.reclaim().unwrap();
    assert_eq!(pack_files(&after), files);
}

#[test]
fn compaction_beside_deletions_and_puts_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = small_packs(folder.path());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3_u64)
            .map(|worker| {
                let store = &store;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for round in 0..12 {
                        let seed = worker * 100 + round;
                        let lease = put(store, &noise(seed, 25_000));
                        if round % 4 == 0 { kept.push(lease) } else { delete(store, vec![lease]) }
                    }
                    kept
                })
            })
            .collect();
        for _ in 0..10 {
            store.reclaim().unwrap();
        }
        for worker in workers {
            for lease in worker.join().unwrap() {
                store.verify_blob(b"a", &lease.id()).unwrap();
            }
        }
    });
}

#[test]
fn log_can_be_read_without_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let leases: Vec<_> = (0..5).map(|seed| put(&store, &noise(seed, 20_000))).collect();
    let key = store.shared().packs().log_key();
    drop(store);
    let path = std::fs::read_dir(folder.path().join("packs")).unwrap().next().unwrap().unwrap();
    let file = OsDisk.open(&path.path()).unwrap();
    let segment = Segment { id: 1, file: file.as_ref(), length: file.length().unwrap(), key: &key };
    assert_eq!(segment.kind().unwrap(), Kind::Segment(1));
    let (mut at, mut bodies, mut groups) = (64, 0, Vec::new());
    let mut recorded = Vec::new();
    loop {
        match segment.record(at).unwrap() {
            Found::Body { after } => (at, bodies) = (after, bodies + 1),
            Found::Group { header, payload, after } => {
                at = after;
                groups.push(header.number);
                recorded.extend(Changes(&payload).map(Result::unwrap).filter_map(|change| {
                    if let Change::Record { key, .. } = change { Some(key) } else { None }
                }));
            }
            Found::Nothing => break,
            Found::Invalid(look) => panic!("{look:?} at {at}"),
        }
    }
    assert_eq!((bodies, groups), (5, vec![1, 2, 3, 4, 5]));
    assert_eq!(recorded, leases.iter().map(|lease| lease.key().clone()).collect::<Vec<_>>());
}

#[test]
fn one_group_of_appends_shares_its_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, b"the pack and its name are made");
    let before = store.counters();
    let (answer, answers) = std::sync::mpsc::channel();
    // Holds the committer up until all of them wait.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    store.commit(Commit::new(), Box::new(move |_| _ = wait.recv()));
    for seed in 0..16 {
        let lease = store.put_blob(b"a", &noise(seed, 5_000)).unwrap();
        let commit = Commit::new().write(Write::put(seed.to_be_bytes(), b"row")).naming(lease);
        let answer = answer.clone();
        store.commit(commit, Box::new(move |result| _ = answer.send(result)));
    }
    go.send(()).unwrap();
    drop(answer);
    assert_eq!(answers.iter().filter(Result::is_ok).count(), 16);
    let after = store.counters();
    // One transaction for the commit that held them up (which may carry some puts), one for all.
    assert!(after.groups - before.groups <= 2, "{after:?}");
    assert!(after.syncs() - before.syncs() <= 4, "{after:?}");
}

#[test]
fn damage_anywhere_in_a_pack_gives_an_error_or_the_right_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let text: Vec<u8> =
        (0..30_000).flat_map(|n: u32| format!("line {n}\r\n").into_bytes()).collect();
    let blobs = [noise(1, 500), text, noise(2, 300_000)];
    let leases: Vec<_> = blobs.iter().map(|bytes| put(&store, bytes)).collect();
    let pack = std::fs::read_dir(folder.path().join("packs")).unwrap().next().unwrap().unwrap();
    let whole = std::fs::read(pack.path()).unwrap();
    let file = OsDisk.open(&pack.path()).unwrap();
    let mut noticed = 0;
    let shared = store.shared();
    let locate = |lease: &BlobLease| shared.readers.locate(lease.key()).unwrap().unwrap();
    // Every byte of the first record, then steps through the others.
    let mut places = Vec::new();
    for (lease, step) in leases.iter().zip([1, 4_999, 4_999]) {
        let location = locate(lease);
        let end = location.offset + location.length;
        places.extend((location.offset..end).step_by(step).map(|at| (at as usize, lease)));
    }
    for &(at, damaged) in &places {
        file.write_at(at as u64, &[whole[at] ^ 0x41]).unwrap();
        for (lease, bytes) in leases.iter().zip(&blobs) {
            match store.read_blob(b"a", &lease.id(), 0..u64::MAX) {
                Ok(found) => assert!(found == *bytes, "byte {at} changed and nobody noticed"),
                Err(StoreError::Corrupt { .. }) if lease.id() == damaged.id() => noticed += 1,
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        file.write_at(at as u64, &[whole[at]]).unwrap();
    }
    // Each byte belongs to one record, and none is left out of the sums.
    assert_eq!(noticed, places.len());
}
