//! What a commit asks for and what it answers.

use crate::{BlobLease, StoreError};

/// The number of a commit; the first may be 1, and none comes twice, whatever fails or restarts.
///
/// Of two commits where one was submitted after the other was acknowledged, the later has the
/// higher number. Commits that overlap may get numbers in any order where several processes share
/// a store: only an engine of one process promises that numbers are the order of all commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNo(pub u64);

impl CommitNo {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a key must hold for a commit to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist.
    Absent,
    /// The key exists, with any value.
    Present,
    /// The key exists with exactly this value.
    Value(Vec<u8>),
}

impl Expected {
    /// Whether what was found is what was expected.
    #[must_use]
    pub fn holds(&self, found: Option<&[u8]>) -> bool {
        match (self, found) {
            (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Value(value), Some(found)) => value == found,
            (Self::Absent, Some(_)) | (Self::Present | Self::Value(_), None) => false,
        }
    }
}

/// One condition of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The key that is looked at.
    pub key: Vec<u8>,
    /// What it must hold.
    pub expected: Expected,
}

/// One write of a commit. A later write to the same key wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to the value.
    Put {
        /// Where.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
    },
    /// Removes the key; fine when it does not exist.
    Delete {
        /// Where.
        key: Vec<u8>,
    },
}

impl Write {
    /// Sets `key` to `value`.
    #[must_use]
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into() }
    }

    /// Removes `key`.
    #[must_use]
    pub fn delete(key: impl Into<Vec<u8>>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key that is written.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// All or nothing: when every condition holds, every write happens.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Checked against the state just before this commit.
    pub conditions: Vec<Condition>,
    /// Applied in order.
    pub writes: Vec<Write>,
    /// The leases of the blobs that the writes name for the first time. The store holds them until
    /// the commit is answered and remembers that the blobs were named by this commit, so that no
    /// sweep that looked earlier can delete them.
    pub leases: Vec<BlobLease>,
}

impl Commit {
    /// An empty commit to add to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, key: impl Into<Vec<u8>>, expected: Expected) -> Self {
        self.conditions.push(Condition { key: key.into(), expected });
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Adds the lease of a blob that the writes name.
    #[must_use]
    pub fn naming(mut self, lease: BlobLease) -> Self {
        self.leases.push(lease);
        self
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let conditions = self.conditions.iter().map(|condition| {
            condition.key.len()
                + match &condition.expected {
                    Expected::Value(value) => value.len(),
                    Expected::Absent | Expected::Present => 0,
                }
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put { key, value } => key.len() + value.len(),
            Write::Delete { key } => key.len(),
        });
        conditions.chain(writes).sum()
    }
}

/// Called exactly once with the answer to a commit.
///
/// It runs on a thread of the engine while other commits wait, or before `commit` returns: it must
/// not block, and must not call the store except for `commit`.
pub type Done = Box<dyn FnOnce(Result<CommitNo, StoreError>) + Send>;
