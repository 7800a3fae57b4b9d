//! The named maxima of the contract, the same for every engine.
//!
//! A caller that stays below them never meets a refusal that depends on the engine.

use std::time::Duration;

use crate::{Commit, Limit, StoreError, Write};

/// Longest key. A key is ids and names; a row of an index page should hold several.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value. Rows above some 32 KiB make every engine slow; what can be longer is a blob.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// Most writes of one commit: two rows each for a move of 250,000 messages, which is one change.
pub const WRITES_PER_COMMIT_MAX: usize = 500_000;

/// Most conditions of one commit. An account has one head; a few accounts never share a commit.
pub const CONDITIONS_PER_COMMIT_MAX: usize = 64;

/// Most bytes of keys and values in one commit: it is held in memory until it is durable.
pub const COMMIT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most leases that one commit may carry: as many messages as one command may bring.
pub const LEASES_PER_COMMIT_MAX: usize = 65_536;

/// Commits that may wait for the disk; beyond it the engine answers `Busy` instead of growing.
pub const PENDING_COMMITS_MAX: usize = 16_384;

/// Bytes of commits that may wait for the disk. Above [`COMMIT_BYTES_MAX`], or none would fit.
pub const PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Longest blob scope: an account's key prefix.
pub const SCOPE_BYTES_MAX: usize = 64;

/// Longest blob. Far above any message size a server would accept.
pub const BLOB_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Most bytes that one call of `BlobReader::read_at` returns; longer reads take several calls.
pub const BLOB_READ_BYTES_MAX: usize = 1024 * 1024;

/// A view older than this answers `ViewExpired`: it keeps old versions from being reclaimed.
pub const VIEW_LIFETIME: Duration = Duration::from_secs(60);

/// Views that may be open at one time: each may hold a connection and files. Beyond it the engine
/// makes the caller wait a while, then answers `Busy`.
pub const VIEWS_MAX: usize = 128;

/// Hints may be lost, so whoever follows a prefix looks again after this long without one.
pub const RECHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Refuses a commit that is above a maximum, before any engine looks at it.
///
/// # Errors
/// `TooLarge` with the limit that was passed.
pub fn check_commit(commit: &Commit) -> Result<(), StoreError> {
    within(Limit::Conditions, commit.conditions.len(), CONDITIONS_PER_COMMIT_MAX)?;
    within(Limit::Writes, commit.writes.len(), WRITES_PER_COMMIT_MAX)?;
    within(Limit::Leases, commit.leases.len(), LEASES_PER_COMMIT_MAX)?;
    for condition in &commit.conditions {
        within(Limit::Key, condition.key.len(), KEY_BYTES_MAX)?;
    }
    for write in &commit.writes {
        within(Limit::Key, write.key().len(), KEY_BYTES_MAX)?;
        if let Write::Put { value, .. } = write {
            within(Limit::Value, value.len(), VALUE_BYTES_MAX)?;
        }
    }
    within(Limit::CommitBytes, commit.bytes(), COMMIT_BYTES_MAX)
}

/// Refuses a scope that is longer than [`SCOPE_BYTES_MAX`].
///
/// # Errors
/// `TooLarge`.
pub fn check_scope(scope: &[u8]) -> Result<(), StoreError> {
    within(Limit::Scope, scope.len(), SCOPE_BYTES_MAX)
}

/// Refuses a blob that has grown above [`BLOB_BYTES_MAX`].
///
/// # Errors
/// `TooLarge`.
pub fn check_blob_size(bytes: u64) -> Result<(), StoreError> {
    if bytes <= BLOB_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::TooLarge { limit: Limit::Blob, max: BLOB_BYTES_MAX, actual: bytes })
}

fn within(limit: Limit, actual: usize, max: usize) -> Result<(), StoreError> {
    if actual <= max {
        return Ok(());
    }
    Err(StoreError::TooLarge { limit, max: max as u64, actual: actual as u64 })
}
