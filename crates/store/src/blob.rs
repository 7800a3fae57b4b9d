//! Names of blobs and what is known about them.

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::CommitNo;

/// The BLAKE3 hash of a blob's bytes: its name within a scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; 32]);

impl BlobId {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for BlobId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<blake3::Hash> for BlobId {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidBlobId;

impl fmt::Display for InvalidBlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a blob id is 64 hexadecimal digits")
    }
}

impl std::error::Error for InvalidBlobId {}

impl FromStr for BlobId {
    type Err = InvalidBlobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(Self::from).map_err(|_| InvalidBlobId)
    }
}

/// A blob in its scope. Equal bytes in two scopes are two blobs, so that an account can be
/// deleted or moved without asking who else has the same message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    /// The account's key prefix, at most `limits::SCOPE_BYTES_MAX` bytes.
    pub scope: Vec<u8>,
    /// The name within the scope.
    pub id: BlobId,
}

impl BlobKey {
    /// Names the blob `id` of `scope`.
    #[must_use]
    pub fn new(scope: &[u8], id: BlobId) -> Self {
        Self { scope: scope.to_vec(), id }
    }
}

/// What a listing says about a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Which blob.
    pub key: BlobKey,
    /// Length of its bytes.
    pub size: u64,
    /// Length as stored, after compression.
    pub stored_bytes: u64,
    /// The last commit that recorded or named it: changes whenever a commit carries its lease.
    pub named_at: CommitNo,
}

/// Keeps a blob from being deleted between its put and the commit that names it.
///
/// Put it into [`crate::Commit::leases`]. Dropping it without a commit leaves garbage that the next
/// sweep removes.
#[derive(Clone)]
pub struct BlobLease {
    key: Arc<BlobKey>,
    size: u64,
    _guard: Arc<dyn Any + Send + Sync>,
}

impl BlobLease {
    /// For engines: a lease that lasts as long as `guard` does.
    #[must_use]
    pub fn new(key: BlobKey, size: u64, guard: Arc<dyn Any + Send + Sync>) -> Self {
        Self { key: Arc::new(key), size, _guard: guard }
    }

    /// The blob that was put.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.key.id
    }

    /// The blob and its scope.
    #[must_use]
    pub fn key(&self) -> &BlobKey {
        &self.key
    }

    /// Length of its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl fmt::Debug for BlobLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobLease({}, {} bytes)", self.key.id, self.size)
    }
}

/// What became of a blob that a sweep wanted to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// There was none.
    Missing,
    /// It is leased, or was recorded or named since it was listed; look again later.
    InUse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_id_reads_back_from_its_text() {
        let id = BlobId::of(b"Subject: tide\r\n\r\n");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("12ab".parse::<BlobId>(), Err(InvalidBlobId));
    }
}
