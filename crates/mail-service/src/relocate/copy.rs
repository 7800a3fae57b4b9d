//! Copies everything of an account from one store to another, and compares the two.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use store::limits::BLOB_READ_BYTES_MAX;
use store::{BlobId, BlobInfo, BlobKey, BlobLease, Commit, KeyRange, Store, StoreError, Write};

use super::Moved;
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys, PREFIX_BYTES};
use crate::limits::SWEEP_STEP_ROWS;

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// Makes the rows and blobs of the copy those of the original, the head apart.
pub(super) fn copy_account(
    source: &dyn Store,
    from: &AccountKeys,
    target: &dyn Store,
    to: &AccountKeys,
) -> Result<(), ServiceError> {
    copy_blobs(source, from, target, to)?;
    let mut range = Some(from.all());
    let mut done = Vec::new();
    while let Some(part) = range.take() {
        let page = store::scan_page(&*source.view()?, &part, SWEEP_STEP_ROWS)?;
        let rows: BTreeMap<Vec<u8>, Vec<u8>> = without_head(page.rows, from);
        // What the copy has between the last page and the end of this one.
        let mut there = to.all();
        if !done.is_empty() {
            there.start = moved_key(&done, to);
        }
        if let Some(rest) = &page.rest {
            there.end = Some(moved_key(&rest.start, to));
            done.clone_from(&rest.start);
        }
        let present = without_head(all_rows(target, there)?, to);
        write_difference(target, to, &rows, &present)?;
        range = page.rest;
    }
    Ok(())
}

fn write_difference(
    target: &dyn Store,
    to: &AccountKeys,
    rows: &BTreeMap<Vec<u8>, Vec<u8>>,
    present: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<(), ServiceError> {
    let mut commit = Commit::new();
    for key in present.keys().filter(|key| !rows.contains_key(*key)) {
        commit = commit.write(Write::delete(moved_tail(key, to)));
    }
    let mut bytes = 0;
    for (key, value) in rows.iter().filter(|(key, value)| present.get(*key) != Some(*value)) {
        bytes += key.len() + value.len();
        commit = commit.write(Write::put(moved_tail(key, to), value.clone()));
        if bytes > COPY_BYTES_MAX {
            target.commit_wait(std::mem::take(&mut commit))?;
            bytes = 0;
        }
    }
    if !commit.writes.is_empty() {
        target.commit_wait(commit)?;
    }
    Ok(())
}

/// Every row of the original is in the copy and no other, and every blob of the copy hashes to its
/// name.
pub(super) fn verify_copy(
    source: &dyn Store,
    from: &AccountKeys,
    target: &dyn Store,
    to: &AccountKeys,
) -> Result<Moved, ServiceError> {
    let mut moved = Moved::default();
    let (mut here, mut there) = (Some(from.all()), Some(to.all()));
    while here.is_some() || there.is_some() {
        let one = next_rows(source, &mut here, from)?;
        let other = next_rows(target, &mut there, to)?;
        let differs = one.iter().zip(&other).find(|(one, other)| one != other);
        if let Some(((key, _), _)) = differs {
            return Err(differing(format_args!("row {}", key.escape_ascii())));
        }
        if one.len() != other.len() {
            return Err(differing("there are not as many rows"));
        }
        moved.rows += one.len() as u64;
    }
    for blob in blobs(source, from)? {
        let size = target.blob_size(to.prefix(), &blob.key.id)?;
        if size != Some(blob.size) {
            return Err(differing(format_args!("body {}", blob.key.id)));
        }
        target.verify_blob(to.prefix(), &blob.key.id)?;
        moved.blobs += 1;
    }
    Ok(moved)
}

/// The next rows but for the head, keys without their prefix.
fn next_rows(
    store: &dyn Store,
    range: &mut Option<KeyRange>,
    keys: &AccountKeys,
) -> Result<Vec<Row>, ServiceError> {
    let mut rows = Vec::new();
    // A head among them must not shift the pages of the two against each other.
    while let Some(part) = range.take() {
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS - rows.len())?;
        rows.extend(without_head(page.rows, keys));
        *range = page.rest;
        if rows.len() == SWEEP_STEP_ROWS {
            break;
        }
    }
    Ok(rows)
}

fn copy_blobs(
    source: &dyn Store,
    from: &AccountKeys,
    target: &dyn Store,
    to: &AccountKeys,
) -> Result<(), ServiceError> {
    let present: Vec<BlobId> = blobs(target, to)?.into_iter().map(|blob| blob.key.id).collect();
    let (mut leases, mut bytes) = (Vec::new(), 0);
    for blob in blobs(source, from)? {
        if present.binary_search(&blob.key.id).is_ok() {
            continue;
        }
        bytes += blob.size;
        leases.push(copy_blob(source, from, target, to, &blob)?);
        if bytes > COPY_BYTES_MAX as u64 || leases.len() >= COPY_BLOBS_MAX {
            name(target, std::mem::take(&mut leases))?;
            bytes = 0;
        }
    }
    name(target, leases)
}

/// Makes blobs durable.
fn name(target: &dyn Store, leases: Vec<BlobLease>) -> Result<(), ServiceError> {
    if !leases.is_empty() {
        target.commit_wait(Commit { leases, ..Commit::default() })?;
    }
    Ok(())
}

fn copy_blob(
    source: &dyn Store,
    from: &AccountKeys,
    target: &dyn Store,
    to: &AccountKeys,
    blob: &BlobInfo,
) -> Result<BlobLease, ServiceError> {
    let reader = source.open_blob(from.prefix(), &blob.key.id)?;
    let mut writer = target.blob_writer(to.prefix())?;
    let mut at = 0;
    while at < reader.size() {
        let piece = reader.read_at(at, BLOB_READ_BYTES_MAX)?;
        writer.write(&piece)?;
        at += piece.len() as u64;
    }
    let lease = writer.finish()?;
    if lease.id() != blob.key.id {
        let what = format_args!("blob {}: its bytes do not hash to its name", blob.key.id);
        return Err(StoreError::corrupt(what).into());
    }
    Ok(lease)
}

/// All blobs of an account, by their names: some 60 bytes each.
fn blobs(store: &dyn Store, keys: &AccountKeys) -> Result<Vec<BlobInfo>, ServiceError> {
    let mut blobs = Vec::new();
    let first = BlobKey::new(keys.prefix(), [0; 32].into());
    store.list_blobs(Some(&first), &mut |blob| {
        if blob.key.scope != keys.prefix() {
            return ControlFlow::Break(());
        }
        blobs.push(blob);
        ControlFlow::Continue(())
    })?;
    Ok(blobs)
}

fn all_rows(store: &dyn Store, range: KeyRange) -> Result<Vec<Row>, ServiceError> {
    let (mut rows, mut rest) = (Vec::new(), Some(range));
    while let Some(part) = rest.take() {
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS)?;
        rows.extend(page.rows);
        rest = page.rest;
    }
    Ok(rows)
}

/// Rows by their keys without the account's prefix.
fn without_head(rows: Vec<Row>, keys: &AccountKeys) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let head = keys.key(&AccountKey::Head);
    let rows = rows.into_iter().filter(|(key, _)| *key != head);
    rows.map(|(key, value)| (tail(&key).to_vec(), value)).collect()
}

fn tail(key: &[u8]) -> &[u8] {
    key.get(PREFIX_BYTES..).unwrap_or_default()
}

fn moved_tail(tail: &[u8], to: &AccountKeys) -> Vec<u8> {
    [to.prefix(), tail].concat()
}

fn moved_key(key: &[u8], to: &AccountKeys) -> Vec<u8> {
    moved_tail(tail(key), to)
}

fn differing(what: impl std::fmt::Display) -> ServiceError {
    StoreError::corrupt(format_args!("the copy is not what was copied: {what}")).into()
}

/// Bytes of one step of a copy.
const COPY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Blobs of one step of a copy.
const COPY_BLOBS_MAX: usize = 512;
