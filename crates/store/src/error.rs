//! What can go wrong between a caller and its store.

use std::fmt;
use std::sync::Arc;

use crate::BlobId;

/// Every error of the contract. Cheap to clone: one failed sync answers a whole group of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A condition did not hold: somebody else committed first. Nothing was written; read again
    /// and decide again.
    Conflict {
        /// Index of the first condition that failed, in the order given.
        condition: usize,
    },
    /// The disk refused a write or a sync. Whether this commit survives is unknown until the store
    /// is opened again; no further commit is accepted, reads go on.
    WriteRefused {
        /// What the system said.
        reason: Arc<str>,
    },
    /// The connection was lost while the commit was on its way, and whether it happened could not
    /// be found out in time; it may even happen a little later, if its conditions still hold then.
    /// The store goes on: read again, and decide again.
    OutcomeUnknown {
        /// What the system said.
        reason: Arc<str>,
    },
    /// What the store is kept by cannot be reached now. Nothing was written; the same call may
    /// succeed later.
    Unavailable {
        /// What the system said.
        reason: Arc<str>,
    },
    /// No space is left. Nothing was written; the same call may succeed once there is space.
    StorageFull,
    /// The disk refused a read.
    ReadFailed {
        /// What the system said.
        reason: Arc<str>,
    },
    /// Stored bytes are not what was written. No part of them is returned.
    Corrupt {
        /// Names the damaged thing, for the person who has to restore it.
        what: Arc<str>,
    },
    /// No blob with this id exists in the scope.
    BlobMissing {
        /// The blob that was asked for.
        id: BlobId,
    },
    /// The heap has no such object: it was deleted, or was lost.
    NotInHeap {
        /// The object's name.
        key: Arc<str>,
    },
    /// A named maximum of the contract was passed. Nothing was written.
    TooLarge {
        /// Which maximum.
        limit: Limit,
        /// Its value.
        max: u64,
        /// What was asked for.
        actual: u64,
    },
    /// The view is older than `limits::VIEW_LIFETIME`; open a new one and resume the scan.
    ViewExpired,
    /// Too many views or waiting commits; nothing was done, try again later.
    Busy,
    /// The data folder belongs to a running process.
    Locked {
        /// Who has it, as far as it can be told.
        by: Arc<str>,
    },
    /// The data folder was written by another version or is not one of ours.
    Unsupported {
        /// What was found.
        found: Arc<str>,
    },
    /// The store has been closed.
    Closed,
}

/// Which maximum of [`crate::limits`] was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// `KEY_BYTES_MAX`
    Key,
    /// `VALUE_BYTES_MAX`
    Value,
    /// `WRITES_PER_COMMIT_MAX`
    Writes,
    /// `CONDITIONS_PER_COMMIT_MAX`
    Conditions,
    /// `LEASES_PER_COMMIT_MAX`
    Leases,
    /// `COMMIT_BYTES_MAX`
    CommitBytes,
    /// `SCOPE_BYTES_MAX`
    Scope,
    /// `BLOB_BYTES_MAX`
    Blob,
}

impl StoreError {
    /// A refused write, with the reason given by the system.
    #[must_use]
    pub fn write_refused(reason: impl fmt::Display) -> Self {
        Self::WriteRefused { reason: reason.to_string().into() }
    }

    /// A commit of unknown outcome, with the reason given by the system.
    #[must_use]
    pub fn outcome_unknown(reason: impl fmt::Display) -> Self {
        Self::OutcomeUnknown { reason: reason.to_string().into() }
    }

    /// A store out of reach, with the reason given by the system.
    #[must_use]
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self::Unavailable { reason: reason.to_string().into() }
    }

    /// A refused read, with the reason given by the system.
    #[must_use]
    pub fn read_failed(reason: impl fmt::Display) -> Self {
        Self::ReadFailed { reason: reason.to_string().into() }
    }

    /// Damaged bytes, with the name of the thing that they are.
    #[must_use]
    pub fn corrupt(what: impl fmt::Display) -> Self {
        Self::Corrupt { what: what.to_string().into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { condition } => write!(f, "condition {condition} did not hold"),
            Self::WriteRefused { reason } => write!(f, "write refused: {reason}"),
            Self::OutcomeUnknown { reason } => {
                write!(f, "not known whether the commit happened: {reason}")
            }
            Self::Unavailable { reason } => write!(f, "store out of reach: {reason}"),
            Self::StorageFull => f.write_str("no space left in the store"),
            Self::ReadFailed { reason } => write!(f, "read failed: {reason}"),
            Self::Corrupt { what } => write!(f, "damaged: {what}"),
            Self::BlobMissing { id } => write!(f, "no blob {id}"),
            Self::NotInHeap { key } => write!(f, "no object {key} in the heap"),
            Self::TooLarge { limit, max, actual } => {
                write!(f, "{limit:?} limit is {max}, asked for {actual}")
            }
            Self::ViewExpired => f.write_str("view expired"),
            Self::Busy => f.write_str("store busy"),
            Self::Locked { by } => write!(f, "data folder is in use by {by}"),
            Self::Unsupported { found } => write!(f, "not a data folder of this version: {found}"),
            Self::Closed => f.write_str("store closed"),
        }
    }
}

impl std::error::Error for StoreError {}
