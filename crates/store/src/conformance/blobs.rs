//! Blobs: bytes in, the same bytes out, or an error.

use std::ops::ControlFlow;

use super::{Engine, Random, must};
use crate::limits::BLOB_READ_BYTES_MAX;
use crate::{BlobId, BlobInfo, BlobKey, Commit, Store, StoreError};

/// Texts and noise of sizes around every limit that an engine may have inside.
fn samples() -> Vec<Vec<u8>> {
    let mut random = Random::new(0xb10b);
    let text = |count: usize| -> Vec<u8> {
        (0..).flat_map(|n: u32| format!("line {n}\r\n").into_bytes()).take(count).collect()
    };
    let mut samples = vec![Vec::new(), vec![0], text(100), text(128 << 10), text((128 << 10) + 1)];
    samples.push(random.bytes(300_000));
    samples.push([text(200_000), random.bytes(200_000), text(5)].concat());
    samples.push(text(5 << 20));
    samples.push(random.bytes((3 << 20) + 77));
    samples
}

pub(super) fn blobs_are_what_was_put(engine: &mut dyn Engine) {
    let store = engine.store();
    let mut random = Random::new(0x7a9e);
    for bytes in samples() {
        let lease = put_in_pieces(store.as_ref(), &bytes, &mut random);
        let id = BlobId::of(&bytes);
        let size = bytes.len() as u64;
        assert_eq!((lease.id(), lease.size()), (id, size), "a blob is named by its bytes");
        check_reads(store.as_ref(), &bytes, &mut random);
        must("commit", store.commit_wait(Commit::new().naming(lease)));
        check_reads(store.as_ref(), &bytes, &mut random);
        assert_eq!(store.blob_size(b"a", &id), Ok(Some(size)));
        must("verify", store.verify_blob(b"a", &id));
    }
    let id = BlobId::of(b"never put");
    assert_eq!(store.open_blob(b"a", &id).err(), Some(StoreError::BlobMissing { id }));
    assert_eq!(store.blob_size(b"a", &id), Ok(None));
}

fn put_in_pieces(store: &dyn Store, bytes: &[u8], random: &mut Random) -> crate::BlobLease {
    let mut writer = must("writer", store.blob_writer(b"a"));
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = (1 + random.below(90_000) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        must("write", writer.write(piece));
        rest = after;
    }
    assert_eq!(writer.size(), bytes.len() as u64);
    must("finish", writer.finish())
}

fn check_reads(store: &dyn Store, bytes: &[u8], random: &mut Random) {
    let id = BlobId::of(bytes);
    let size = bytes.len() as u64;
    let whole = must("read", store.read_blob(b"a", &id, 0..u64::MAX));
    assert!(whole == bytes, "a blob of {size} bytes reads back differently");
    let reader = must("open", store.open_blob(b"a", &id));
    for _ in 0..12 {
        let start = random.below(size + 10);
        let length = random.below(200_000) as usize;
        let piece = must("read_at", reader.read_at(start, length));
        let from = (start as usize).min(bytes.len());
        let to = (from + length.min(BLOB_READ_BYTES_MAX)).min(bytes.len());
        assert!(piece == bytes[from..to], "range {start}+{length} of {size} reads differently");
    }
    let most = must("read_at", reader.read_at(0, usize::MAX));
    assert_eq!(most.len(), bytes.len().min(BLOB_READ_BYTES_MAX), "reads have a maximum");
}

pub(super) fn putting_twice_stores_once(engine: &mut dyn Engine) {
    let store = engine.store();
    let first = must("put", store.put_blob(b"a", b"the same"));
    let second = must("put again at once", store.put_blob(b"a", b"the same"));
    assert_eq!(first.id(), second.id());
    must("commit", store.commit_wait(Commit::new().naming(first).naming(second)));
    let third = must("put again later", store.put_blob(b"a", b"the same"));
    must("commit", store.commit_wait(Commit::new().naming(third)));
    assert_eq!(listed(store.as_ref(), None, usize::MAX).len(), 1, "one blob is listed");
}

pub(super) fn scopes_are_apart(engine: &mut dyn Engine) {
    let store = engine.store();
    let lease = must("put", store.put_blob(b"a", b"mine"));
    let (id, number) = (lease.id(), must("commit", store.commit_wait(Commit::new().naming(lease))));
    assert_eq!(store.blob_size(b"b", &id), Ok(None), "a scope sees another's blob");
    let lease = must("put", store.put_blob(b"b", b"mine"));
    must("commit", store.commit_wait(Commit::new().naming(lease)));
    must("delete", store.delete_blobs(b"a", &[(id, number)]));
    assert_eq!(store.blob_size(b"a", &id), Ok(None));
    must("the other scope keeps its copy", store.verify_blob(b"b", &id));
}

pub(super) fn unfinished_blob_leaves_nothing(engine: &mut dyn Engine) {
    let store = engine.store();
    for size in [10, 300_000, 4 << 20] {
        let bytes = Random::new(size as u64).bytes(size);
        let mut writer = must("writer", store.blob_writer(b"a"));
        must("write", writer.write(&bytes));
        drop(writer);
        must("commit", store.commit_wait(Commit::new()));
        assert_eq!(store.blob_size(b"a", &BlobId::of(&bytes)), Ok(None));
    }
    assert_eq!(listed(store.as_ref(), None, usize::MAX), []);
}

pub(super) fn damaged_blob_is_never_returned(engine: &mut dyn Engine) {
    let store = engine.store();
    let samples: Vec<_> = samples().into_iter().filter(|bytes| bytes.len() > 10).collect();
    for bytes in &samples {
        let lease = must("put", store.put_blob(b"a", bytes));
        must("commit", store.commit_wait(Commit::new().naming(lease)));
    }
    let whole = must("put", store.put_blob(b"a", b"whole"));
    must("commit", store.commit_wait(Commit::new().naming(whole.clone())));
    drop(store);
    for bytes in &samples {
        engine.damage_blob(&BlobKey::new(b"a", BlobId::of(bytes)));
    }
    let store = engine.store();
    for bytes in &samples {
        let id = BlobId::of(bytes);
        match store.read_blob(b"a", &id, 0..u64::MAX) {
            Err(StoreError::Corrupt { what }) => {
                assert!(what.contains(&id.to_string()), "the damaged blob is named: {what}");
            }
            answer => assert!(answer.is_err(), "damaged bytes were returned"),
        }
    }
    must("other blobs stay readable", store.verify_blob(b"a", &whole.id()));
}

pub(super) fn listing_is_resumable(engine: &mut dyn Engine) {
    let store = engine.store();
    let mut expected = Vec::new();
    for number in 0..40_u32 {
        let scope = [b"s", &(number % 3).to_be_bytes()[..]].concat();
        let lease = must("put", store.put_blob(&scope, &number.to_be_bytes()));
        expected.push(lease.key().clone());
        must("commit", store.commit_wait(Commit::new().naming(lease)));
    }
    expected.sort();
    for step in [1, 7, 100] {
        let mut found: Vec<BlobKey> = Vec::new();
        loop {
            let part = listed(store.as_ref(), found.last(), step);
            if part.is_empty() {
                break;
            }
            assert!(part.iter().all(|info| info.size == 4));
            found.extend(part.into_iter().map(|info| info.key));
        }
        assert_eq!(found, expected, "listing by {step}");
    }
}

pub(super) fn listed(store: &dyn Store, after: Option<&BlobKey>, max: usize) -> Vec<BlobInfo> {
    let mut found = Vec::new();
    let mut visit = |info| {
        found.push(info);
        if found.len() >= max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    must("list", store.list_blobs(after, &mut visit));
    found
}
