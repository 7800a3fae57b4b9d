//! Which blobs are leased, for engines whose putters and sweepers share one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{BlobKey, BlobLease};

/// Counts the living leases of each blob, and knows which blobs are just being deleted.
#[derive(Clone, Default)]
pub struct Leases {
    held: Arc<Mutex<HashMap<BlobKey, Claim>>>,
}

enum Claim {
    /// This many leases live.
    Leased(usize),
    /// A deletion has begun; this many leases were taken since.
    Doomed(usize),
}

impl Leases {
    /// Leases a blob. Take the lease first, then ask [`Leases::is_doomed`], then look whether the
    /// blob exists: so either a sweep sees the lease, or the putter sees the sweep.
    #[must_use]
    pub fn take(&self, key: BlobKey, size: u64) -> BlobLease {
        match self.lock().entry(key.clone()).or_insert(Claim::Leased(0)) {
            Claim::Leased(count) | Claim::Doomed(count) => *count += 1,
        }
        let guard = Guard { leases: self.clone(), key: key.clone() };
        BlobLease::new(key, size, Arc::new(guard))
    }

    /// Whether anybody holds a lease of the blob.
    #[must_use]
    pub fn contains(&self, key: &BlobKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Begins a deletion, unless the blob is leased. Until the result is dropped, which must be
    /// after the deletion is done or given up, a putter has to store the bytes anew.
    #[must_use]
    pub fn doom(&self, key: &BlobKey) -> Option<Doom> {
        let mut held = self.lock();
        if held.contains_key(key) {
            return None;
        }
        held.insert(key.clone(), Claim::Doomed(0));
        Some(Doom { leases: self.clone(), key: key.clone() })
    }

    /// Whether the blob, if it exists, is just being deleted.
    #[must_use]
    pub fn is_doomed(&self, key: &BlobKey) -> bool {
        matches!(self.lock().get(key), Some(Claim::Doomed(_)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, Claim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Guard {
    leases: Leases,
    key: BlobKey,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        match held.get_mut(&self.key) {
            Some(Claim::Leased(1)) => _ = held.remove(&self.key),
            Some(Claim::Leased(count) | Claim::Doomed(count)) => *count -= 1,
            None => {}
        }
    }
}

/// A deletion that has begun.
pub struct Doom {
    leases: Leases,
    key: BlobKey,
}

impl Drop for Doom {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        match held.remove(&self.key) {
            Some(Claim::Leased(count) | Claim::Doomed(count)) if count > 0 => {
                held.insert(self.key.clone(), Claim::Leased(count));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobId;

    #[test]
    fn blob_is_leased_until_the_last_copy_of_the_last_lease_is_dropped() {
        let leases = Leases::default();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let first = leases.take(key.clone(), 1);
        let second = leases.take(key.clone(), 1);
        let copy = first.clone();
        drop((first, second));
        assert!(leases.contains(&key));
        drop(copy);
        assert!(!leases.contains(&key));
    }

    #[test]
    fn leased_blob_cannot_be_doomed_and_a_doomed_one_can_be_leased() {
        let leases = Leases::default();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let lease = leases.take(key.clone(), 1);
        assert!(leases.doom(&key).is_none());
        drop(lease);
        let doom = leases.doom(&key);
        assert!(doom.is_some() && leases.is_doomed(&key));
        let (early, late) = (leases.take(key.clone(), 1), leases.take(key.clone(), 1));
        drop(early);
        drop(doom);
        assert!(!leases.is_doomed(&key) && leases.contains(&key));
        drop(late);
        assert!(!leases.contains(&key));
    }
}
