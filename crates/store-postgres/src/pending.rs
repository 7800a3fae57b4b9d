//! Blobs that were put here and that a commit may name: their leases, and the bodies that wait for
//! that commit.
//!
//! A short body stays in memory until a commit records it; a long one is an object by then. So a
//! commit can always record what its leases stand for, even if a sweep on another node has just
//! removed the same blob, and never has to be refused for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{BlobKey, BlobLease, HeapKey};

/// A body that was put here.
pub(crate) struct Fresh {
    pub(crate) size: u64,
    pub(crate) body: Body,
    state: AtomicU8,
}

pub(crate) enum Body {
    /// As the row will have it.
    Inline(Vec<u8>),
    /// In the heap, under a name of its own.
    Object { key: HeapKey, stored_bytes: u64 },
}

/// No row names the object; whoever lets go of the blob deletes it.
const UNRECORDED: u8 = 0;
/// A commit that may record it is on its way, and no other one may try: after the row of the first
/// has been deleted on another node, and the object with it, the second would name it again.
const CLAIMED: u8 = 3;
/// A commit whose outcome is not known may have recorded it: a later clean-up decides.
const UNKNOWN: u8 = 1;
/// A row names it, or named it once. Its object belongs to that row from then on: when the row is
/// deleted the object is garbage, and must not be named again.
const RECORDED: u8 = 2;

impl Fresh {
    pub(crate) fn new(size: u64, body: Body) -> Self {
        Self { size, body, state: AtomicU8::new(UNRECORDED) }
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        match &self.body {
            Body::Inline(bytes) => bytes.len() as u64,
            Body::Object { stored_bytes, .. } => *stored_bytes,
        }
    }

    pub(crate) fn recorded(&self, objects: &[String]) {
        if let Body::Object { key, .. } = &self.body
            && objects.iter().any(|object| object == key.as_str())
        {
            self.state.store(RECORDED, Ordering::Release);
        }
    }

    pub(crate) fn unknown(&self) {
        // A state that is known to be recorded stays so.
        self.change(CLAIMED, UNKNOWN);
    }

    /// The commit has not happened after all.
    pub(crate) fn not_recorded(&self) {
        self.change(UNKNOWN, UNRECORDED);
    }

    /// The commit is over; what it did not record another one may.
    pub(crate) fn let_go(&self) {
        self.change(CLAIMED, UNRECORDED);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether a commit may record this body: bytes always, an object only once.
    fn is_usable(&self) -> bool {
        match self.body {
            Body::Inline(_) => true,
            Body::Object { .. } => {
                matches!(self.state.load(Ordering::Acquire), UNRECORDED | CLAIMED)
            }
        }
    }

    /// The object that nobody will ever name.
    pub(crate) fn orphan(&self) -> Option<&HeapKey> {
        match &self.body {
            // No commit is on its way any more: it would hold a lease.
            Body::Object { key, .. } if self.is_usable() => Some(key),
            Body::Object { .. } | Body::Inline(_) => None,
        }
    }
}

/// What a commit gets of a leased blob.
pub(crate) enum Claim {
    /// Its body, to record.
    Fresh(Arc<Fresh>),
    /// Nothing: it must be recorded already.
    Known,
    /// Nothing yet: another commit is recording it.
    Taken,
}

/// Blobs with living leases. Clones share it.
#[derive(Clone)]
pub(crate) struct Pending {
    held: Arc<Mutex<HashMap<BlobKey, Held>>>,
    /// Takes objects that nobody will name.
    discard: Arc<dyn Fn(HeapKey) + Send + Sync>,
}

struct Held {
    leases: usize,
    body: Arc<Fresh>,
}

impl Pending {
    pub(crate) fn new(discard: Arc<dyn Fn(HeapKey) + Send + Sync>) -> Self {
        Self { held: Arc::default(), discard }
    }

    /// Leases a blob that was just put.
    pub(crate) fn hold(&self, key: BlobKey, body: Fresh) -> BlobLease {
        let size = body.size;
        let replaced = {
            let mut held = self.lock();
            match held.get_mut(&key) {
                None => {
                    held.insert(key.clone(), Held { leases: 1, body: Arc::new(body) });
                    None
                }
                Some(known) => {
                    known.leases += 1;
                    // One body is enough, if a commit may still record it.
                    match known.body.is_usable() {
                        true => Some(Arc::new(body)),
                        false => Some(std::mem::replace(&mut known.body, Arc::new(body))),
                    }
                }
            }
        };
        if let Some(orphan) = replaced.as_deref().and_then(Fresh::orphan) {
            (self.discard)(orphan.clone());
        }
        let guard = Guard { pending: self.clone(), key: key.clone() };
        BlobLease::new(key, size, Arc::new(guard))
    }

    /// Takes the body of a leased blob for a commit, until [`Fresh::let_go`].
    pub(crate) fn claim(&self, key: &BlobKey) -> Claim {
        let Some(body) = self.fresh(key) else { return Claim::Known };
        match body.body {
            Body::Inline(_) => Claim::Fresh(body),
            Body::Object { .. } if body.change(UNRECORDED, CLAIMED) => Claim::Fresh(body),
            Body::Object { .. } => Claim::Taken,
        }
    }

    /// The body of a leased blob for somebody who reads it, and a lease of the reader's own: the
    /// object may turn out not to be the one that a row names, and is discarded with the last.
    pub(crate) fn read(&self, key: &BlobKey) -> Option<(Arc<Fresh>, Guard)> {
        let mut held = self.lock();
        let known = held.get_mut(key).filter(|known| known.body.is_usable())?;
        known.leases += 1;
        Some((Arc::clone(&known.body), Guard { pending: self.clone(), key: key.clone() }))
    }

    /// The body of a leased blob, if a commit may record it.
    fn fresh(&self, key: &BlobKey) -> Option<Arc<Fresh>> {
        let held = self.lock();
        let body = &held.get(key)?.body;
        body.is_usable().then(|| Arc::clone(body))
    }

    /// Whether anybody here holds a lease of the blob.
    pub(crate) fn contains(&self, key: &BlobKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Whether a leased blob waits with this object.
    pub(crate) fn has_object(&self, object: &str) -> bool {
        self.lock().values().any(
            |held| matches!(&held.body.body, Body::Object { key, .. } if key.as_str() == object),
        )
    }

    fn release(&self, key: &BlobKey) {
        let released = {
            let mut held = self.lock();
            let Some(known) = held.get_mut(key) else { return };
            known.leases -= 1;
            if known.leases > 0 {
                return;
            }
            held.remove(key)
        };
        if let Some(orphan) = released.as_ref().and_then(|held| held.body.orphan()) {
            (self.discard)(orphan.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lease.
pub(crate) struct Guard {
    pending: Pending,
    key: BlobKey,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.pending.release(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use store::BlobId;

    use super::*;

    fn object(name: &str) -> Fresh {
        let key = HeapKey::new(name).unwrap();
        Fresh::new(9, Body::Object { key, stored_bytes: 5 })
    }

    fn pending() -> (Pending, Arc<Mutex<Vec<String>>>) {
        let discarded = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&discarded);
        let discard = move |key: HeapKey| list.lock().unwrap().push(key.as_str().to_owned());
        (Pending::new(Arc::new(discard)), discarded)
    }

    #[test]
    fn object_that_no_commit_recorded_is_discarded_with_the_last_lease() {
        let (pending, discarded) = pending();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let first = pending.hold(key.clone(), object("one"));
        let second = pending.hold(key.clone(), object("two"));
        assert_eq!(*discarded.lock().unwrap(), ["two"], "one object is enough");
        drop(first);
        assert!(pending.contains(&key) && pending.has_object("one"));
        drop(second);
        assert_eq!(*discarded.lock().unwrap(), ["two", "one"]);
        assert!(!pending.contains(&key));
    }

    #[test]
    fn object_that_was_recorded_is_never_offered_again() {
        let (pending, discarded) = pending();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let first = pending.hold(key.clone(), object("one"));
        pending.fresh(&key).unwrap().recorded(&["one".to_owned()]);
        assert!(pending.fresh(&key).is_none());
        let second = pending.hold(key.clone(), object("two"));
        assert!(pending.has_object("two"), "a put brings a body that can be recorded");
        drop((first, second));
        assert_eq!(*discarded.lock().unwrap(), ["two"]);
    }

    #[test]
    fn object_that_is_being_read_is_discarded_after_the_reader() {
        let (pending, discarded) = pending();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let lease = pending.hold(key.clone(), object("one"));
        let reader = pending.read(&key).unwrap();
        // Its commit found that the blob was recorded already, with another object.
        drop(lease);
        assert!(discarded.lock().unwrap().is_empty());
        drop(reader);
        assert_eq!(*discarded.lock().unwrap(), ["one"]);
    }

    #[test]
    fn object_is_recorded_by_one_commit_at_a_time() {
        let (pending, _) = pending();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let _lease = pending.hold(key.clone(), object("one"));
        let Claim::Fresh(body) = pending.claim(&key) else { panic!("it is free") };
        assert!(matches!(pending.claim(&key), Claim::Taken));
        assert!(pending.fresh(&key).is_some(), "it can be read meanwhile");
        body.let_go();
        assert!(matches!(pending.claim(&key), Claim::Fresh(_)));
        body.recorded(&["one".to_owned()]);
        body.let_go();
        assert!(matches!(pending.claim(&key), Claim::Known));
    }

    #[test]
    fn object_of_an_unknown_commit_is_left_to_the_clean_up() {
        let (pending, discarded) = pending();
        let key = BlobKey::new(b"a", BlobId::of(b"x"));
        let lease = pending.hold(key.clone(), object("one"));
        assert!(matches!(pending.claim(&key), Claim::Fresh(body) if { body.unknown(); true }));
        drop(lease);
        assert!(discarded.lock().unwrap().is_empty());
    }
}
