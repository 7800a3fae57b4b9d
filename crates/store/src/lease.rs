//! Which blobs are leased, for engines whose putters and sweepers share one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{BlobKey, BlobLease};

/// Counts the living leases of each blob.
#[derive(Clone, Default)]
pub struct Leases {
    held: Arc<Mutex<HashMap<BlobKey, usize>>>,
}

impl Leases {
    /// Leases a blob. Take the lease before looking whether the blob exists: then a sweep either
    /// sees the lease or has finished its deletion.
    #[must_use]
    pub fn take(&self, key: BlobKey, size: u64) -> BlobLease {
        *self.lock().entry(key.clone()).or_insert(0) += 1;
        let guard = Guard { leases: self.clone(), key: key.clone() };
        BlobLease::new(key, size, Arc::new(guard))
    }

    /// Whether anybody holds a lease of the blob.
    #[must_use]
    pub fn contains(&self, key: &BlobKey) -> bool {
        self.lock().contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, usize>> {
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
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
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
}
