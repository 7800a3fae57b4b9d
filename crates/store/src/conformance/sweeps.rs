//! A sweep may delete what nobody names, and never what somebody is about to name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::blobs::listed;
use super::{Engine, Random, must};
use crate::{BlobId, Commit, CommitNo, Deletion, Store, StoreError, Write};

fn sweep(store: &dyn Store, id: BlobId, listed_at: CommitNo) -> Deletion {
    must("delete", store.delete_blobs(b"a", &[(id, listed_at)]))[0]
}

/// When the blob was recorded or named last, as a listing says.
fn named_at(store: &dyn Store, id: BlobId) -> CommitNo {
    let found = listed(store, None, usize::MAX).into_iter().find(|blob| blob.key.id == id);
    must("the blob is listed", found.ok_or("it is not")).named_at
}

pub(super) fn leased_blob_is_not_swept(engine: &mut dyn Engine) {
    let store = engine.store();
    let lease = must("put", store.put_blob(b"a", b"leased"));
    let id = lease.id();
    must("commit", store.commit_wait(Commit::new().naming(lease.clone())));
    let number = named_at(store.as_ref(), id);
    assert_eq!(sweep(store.as_ref(), id, number), Deletion::InUse, "a leased blob was swept");
    drop(lease);
    assert_eq!(sweep(store.as_ref(), id, number), Deletion::Deleted, "garbage must go");
    assert_eq!(sweep(store.as_ref(), id, number), Deletion::Missing);
    assert_eq!(store.blob_size(b"a", &id), Ok(None));
    assert_eq!(listed(store.as_ref(), None, 1), []);
}

pub(super) fn newly_named_blob_is_not_swept(engine: &mut dyn Engine) {
    let store = engine.store();
    let lease = must("put", store.put_blob(b"a", b"garbage, then named again"));
    let id = lease.id();
    must("commit", store.commit_wait(Commit::new().naming(lease)));
    let looked = named_at(store.as_ref(), id);
    let again = must("put", store.put_blob(b"a", b"garbage, then named again"));
    let commit = Commit::new().write(Write::put(b"row", *id.as_bytes())).naming(again);
    let named = must("commit", store.commit_wait(commit));
    assert_eq!(named_at(store.as_ref(), id), named, "a listing tells who named a blob last");
    assert_eq!(sweep(store.as_ref(), id, looked), Deletion::InUse, "the sweep looked too early");
    must("read", store.verify_blob(b"a", &id));
    must("commit", store.commit_wait(Commit::new().write(Write::delete(b"row"))));
    assert_eq!(sweep(store.as_ref(), id, named), Deletion::Deleted);
}

/// An engine may record a blob before any commit names it, as with the deletion of another one.
pub(super) fn blob_named_after_a_listing_is_not_swept(engine: &mut dyn Engine) {
    let store = engine.store();
    let (first, second) = (b"named at last", b"never stored ");
    let lease = must("put", store.put_blob(b"a", first));
    let id = lease.id();
    assert_eq!(sweep(store.as_ref(), BlobId::of(second), CommitNo(0)), Deletion::Missing);
    let looked = listed(store.as_ref(), None, usize::MAX);
    let commit = Commit::new().write(Write::put(b"row", *id.as_bytes())).naming(lease);
    must("commit", store.commit_wait(commit));
    for blob in looked.iter().filter(|blob| blob.key.id == id) {
        assert_eq!(sweep(store.as_ref(), id, blob.named_at), Deletion::InUse);
    }
    must("read", store.verify_blob(b"a", &id));
}

pub(super) fn deleted_blob_can_be_put_again(engine: &mut dyn Engine) {
    let store = engine.store();
    let bytes = Random::new(0xdead).bytes(200_000);
    for _ in 0..3 {
        let lease = must("put", store.put_blob(b"a", &bytes));
        let id = lease.id();
        let number = must("commit", store.commit_wait(Commit::new().naming(lease)));
        must("verify", store.verify_blob(b"a", &id));
        assert_eq!(sweep(store.as_ref(), id, number), Deletion::Deleted);
        let missing = StoreError::BlobMissing { id };
        assert_eq!(store.verify_blob(b"a", &id), Err(missing));
    }
}

pub(super) fn open_reader_outlives_deletion(engine: &mut dyn Engine) {
    let store = engine.store();
    let bytes = Random::new(0x0be7).bytes(500_000);
    let lease = must("put", store.put_blob(b"a", &bytes));
    let id = lease.id();
    let number = must("commit", store.commit_wait(Commit::new().naming(lease)));
    let reader = must("open", store.open_blob(b"a", &id));
    assert_eq!(sweep(store.as_ref(), id, number), Deletion::Deleted);
    assert!(must("read", reader.read_at(0, bytes.len())) == bytes, "an open reader lost its blob");
}

/// Each writer names one of a few shared blobs in a row of its own, reads it, and takes the name
/// away; a sweeper deletes whatever no row of its view names. No name may be without its blob.
pub(super) fn racing_sweeps_take_nothing_named(engine: &mut dyn Engine) {
    const ROUNDS: u64 = 40;
    let store = engine.store();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                sweep_unnamed(store.as_ref());
            }
        });
        let writers = WRITERS.map(|writer| {
            let store = store.as_ref();
            scope.spawn(move || {
                let mut random = Random::new(writer.into());
                for _ in 0..ROUNDS {
                    name_and_forget(store, writer, &mut random);
                }
            })
        });
        let ends = writers.map(thread::ScopedJoinHandle::join);
        over.store(true, Ordering::Relaxed);
        let swept = sweeper.join();
        assert!(ends.iter().all(Result::is_ok) && swept.is_ok(), "a thread of the race failed");
    });
    sweep_unnamed(store.as_ref());
    assert_eq!(listed(store.as_ref(), None, 1), [], "garbage stayed after the last sweep");
}

fn name_and_forget(store: &dyn Store, writer: u8, random: &mut Random) {
    let bytes = vec![b'x'; 1 + random.below(3) as usize * 1000];
    let lease = must("put", store.put_blob(b"a", &bytes));
    let id = lease.id();
    let row = name(writer, id);
    let commit = Commit::new().write(Write::put(row.clone(), b"")).naming(lease);
    must("name", store.commit_wait(commit));
    must("a named blob is there", store.verify_blob(b"a", &id));
    must("forget", store.commit_wait(Commit::new().write(Write::delete(row))));
}

fn sweep_unnamed(store: &dyn Store) {
    // Listed before the view is opened: see the contract.
    let blobs = listed(store, None, usize::MAX);
    let view = must("view", store.view());
    for blob in blobs {
        let id = blob.key.id;
        let named =
            WRITERS.iter().any(|&writer| must("get", view.get(&name(writer, id))).is_some());
        if !named {
            sweep(store, id, blob.named_at);
        }
    }
}

fn name(writer: u8, id: BlobId) -> Vec<u8> {
    [&[writer][..], id.as_bytes()].concat()
}

const WRITERS: [u8; 3] = [1, 2, 3];
