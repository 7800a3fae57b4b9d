//! The log: what makes a group of commits durable, in the order in which they were decided.
//!
//! The packs that are being filled are its segments. Between the records of bodies stand records
//! of groups; each says what its group changes, without conditions, so that it can be applied to
//! an index again. One sync makes a group and all bodies before it durable, and the next group is
//! written only after that sync has returned: so at most one record of a group is in doubt after a
//! crash, the last.
//!
//! Nothing here knows what the index is.

pub(crate) mod format;
pub(crate) mod group;
pub(crate) mod replay;
pub(crate) mod walk;

use crate::pack::PackId;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) segment: PackId,
    pub(crate) offset: u64,
}

/// How far an index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    /// Number of the last group that was applied; the first group is 1.
    pub(crate) group: u64,
    /// Number of the last commit.
    pub(crate) commit: u64,
    /// The end of the record of that group.
    pub(crate) at: Position,
}

/// The secret of a store that the sums of its log depend on. A body is a stranger's bytes and may
/// be stored as they are; without the secret nobody can make them look like a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogKey(pub(crate) [u8; 32]);

impl LogKey {
    /// A key that nobody can guess: the standard library's own random seeds, hashed.
    pub(crate) fn random() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let mut hasher = blake3::Hasher::new();
        for number in 0..8_u64 {
            let mut seed = RandomState::new().build_hasher();
            seed.write_u64(number);
            hasher.update(&seed.finish().to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}
