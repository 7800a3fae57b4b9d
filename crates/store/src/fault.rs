//! A store that fails when it is told to: for tests of what callers do then.
//!
//! Faults are planned by kind of call and by how many such calls pass before, so that a test is
//! the same each time.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::plan::Plan;
use crate::{
    BlobId, BlobInfo, BlobKey, BlobLease, BlobReader, BlobWriter, Commit, CommitNo, Deletion, Done,
    KeyRange, Store, StoreError, View, Visitor, Watch,
};

/// Kinds of calls that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `Store::view`
    View,
    /// `View::get` and each key of `View::get_many`
    Get,
    /// `View::scan`
    Scan,
    /// `Store::commit`
    Commit,
    /// `Store::put_blob` and `Store::blob_writer`
    StartBlob,
    /// `BlobWriter::write`
    WriteBlob,
    /// `BlobWriter::finish`
    FinishBlob,
    /// `Store::open_blob`
    OpenBlob,
    /// `BlobReader::read_at`
    ReadBlob,
    /// `Store::delete_blobs`
    DeleteBlobs,
    /// `Store::list_blobs`
    ListBlobs,
    /// A hint on its way to a watcher.
    Hint,
}

/// What happens to a call.
#[derive(Clone)]
pub enum Fault {
    /// The call does nothing and answers with the error. A hint is lost.
    Fail(StoreError),
    /// The call happens, but answers with the error: an outcome that the caller cannot know. A hint
    /// is delivered.
    FailAfter(StoreError),
    /// The hook runs before the call: to wait, or to let somebody else go first.
    Before(Arc<dyn Fn() + Send + Sync>),
    /// A hint comes twice; other calls are not changed.
    Twice,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(error) => write!(f, "Fail({error})"),
            Self::FailAfter(error) => write!(f, "FailAfter({error})"),
            Self::Before(_) => f.write_str("Before(..)"),
            Self::Twice => f.write_str("Twice"),
        }
    }
}

/// The plan of faults. Clones share it.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan<Call, Fault>>>,
}

impl Faults {
    /// The `nth` call of this kind from now on (1 is the next) meets the fault.
    pub fn on(&self, call: Call, nth: u64, fault: Fault) {
        self.lock().on(call, nth, fault);
    }

    /// Every call of this kind meets the fault until [`Faults::heal`].
    pub fn always(&self, call: Call, fault: Fault) {
        self.lock().always(call, fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.lock().heal();
    }

    /// Calls of this kind so far.
    #[must_use]
    pub fn count(&self, call: Call) -> u64 {
        self.lock().count(call)
    }

    /// Counts a call and says what happens to it.
    fn next(&self, call: Call) -> Option<Fault> {
        self.lock().next(call)
    }

    /// Runs a call as planned.
    fn run<T>(
        &self,
        call: Call,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.next(call) {
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::FailAfter(error)) => act().and(Err(error)),
            Some(Fault::Before(hook)) => {
                hook();
                act()
            }
            Some(Fault::Twice) | None => act(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Plan<Call, Fault>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store with faults in front of another.
pub struct Faulty {
    inner: Arc<dyn Store>,
    faults: Faults,
}

impl Faulty {
    /// Puts an empty plan of faults in front of a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// The plan, to add faults to.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl Store for Faulty {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        let inner = self.faults.run(Call::View, || self.inner.view())?;
        Ok(Box::new(FaultyView { inner, faults: self.faults.clone() }))
    }

    fn commit(&self, commit: Commit, done: Done) {
        match self.faults.next(Call::Commit) {
            Some(Fault::Fail(error)) => done(Err(error)),
            Some(Fault::FailAfter(error)) => {
                self.inner.commit(commit, Box::new(move |result| done(result.and(Err(error)))));
            }
            Some(Fault::Before(hook)) => {
                hook();
                self.inner.commit(commit, done);
            }
            Some(Fault::Twice) | None => self.inner.commit(commit, done),
        }
    }

    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        let faults = self.faults.clone();
        let deliver = move || match faults.next(Call::Hint) {
            Some(Fault::Fail(_)) => {}
            Some(Fault::Before(hook)) => {
                hook();
                wake();
            }
            Some(Fault::Twice) => {
                wake();
                wake();
            }
            Some(Fault::FailAfter(_)) | None => wake(),
        };
        self.inner.watch(prefix, Box::new(deliver))
    }

    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError> {
        let inner = self.faults.run(Call::StartBlob, || self.inner.blob_writer(scope))?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults.clone() }))
    }

    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError> {
        let inner = self.faults.run(Call::OpenBlob, || self.inner.open_blob(scope, id))?;
        Ok(Box::new(FaultyReader { inner, faults: self.faults.clone() }))
    }

    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError> {
        self.faults.run(Call::DeleteBlobs, || self.inner.delete_blobs(scope, blobs))
    }

    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.faults.run(Call::ListBlobs, || self.inner.list_blobs(after, visit))
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.reclaim()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

struct FaultyView {
    inner: Box<dyn View>,
    faults: Faults,
}

impl View for FaultyView {
    fn at(&self) -> CommitNo {
        self.inner.at()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.faults.run(Call::Get, || self.inner.get(key))
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.faults.run(Call::Scan, || self.inner.scan(range, visit))
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    faults: Faults,
}

impl BlobWriter for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let inner = &mut self.inner;
        self.faults.run(Call::WriteBlob, || inner.write(bytes))
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn finish(self: Box<Self>) -> Result<BlobLease, StoreError> {
        let Self { inner, faults } = *self;
        faults.run(Call::FinishBlob, || inner.finish())
    }
}

struct FaultyReader {
    inner: Box<dyn BlobReader>,
    faults: Faults,
}

impl BlobReader for FaultyReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        self.faults.run(Call::ReadBlob, || self.inner.read_at(offset, bytes_max))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::conformance::{self, Engine, Restart};
    use crate::mem::Mem;
    use crate::{Expected, Write};

    fn faulty() -> (Faulty, Faults) {
        let store = Faulty::new(Arc::new(Mem::new()));
        let faults = store.faults();
        (store, faults)
    }

    fn put(store: &dyn Store, key: &[u8]) -> Result<CommitNo, StoreError> {
        store.commit_wait(Commit::new().write(Write::put(key, b"v")))
    }

    struct Wrapped(Mem);

    impl Engine for Wrapped {
        fn store(&self) -> Arc<dyn Store> {
            Arc::new(Faulty::new(Arc::new(self.0.clone())))
        }

        fn restart(&mut self, how: Restart) {
            if how == Restart::Closed {
                self.0.close().unwrap();
            }
            self.0 = self.0.crash();
        }

        fn damage_blob(&mut self, key: &BlobKey) {
            self.0.damage_blob(key);
        }
    }

    #[test]
    fn wrapper_without_faults_conforms() {
        conformance::all(&|| Box::new(Wrapped(Mem::new())));
    }

    #[test]
    fn only_the_planned_commit_fails_and_writes_nothing() {
        let (store, faults) = faulty();
        faults.on(Call::Commit, 2, Fault::Fail(StoreError::Conflict { condition: 0 }));
        assert!(put(&store, b"a").is_ok());
        assert_eq!(put(&store, b"b"), Err(StoreError::Conflict { condition: 0 }));
        assert!(put(&store, b"c").is_ok());
        assert_eq!(store.view().unwrap().get(b"b"), Ok(None));
        assert_eq!(faults.count(Call::Commit), 3);
    }

    #[test]
    fn commit_that_fails_after_it_happened_is_found_written() {
        let (store, faults) = faulty();
        faults.on(Call::Commit, 1, Fault::FailAfter(StoreError::write_refused("lost")));
        assert_eq!(put(&store, b"a"), Err(StoreError::write_refused("lost")));
        assert_eq!(store.view().unwrap().get(b"a"), Ok(Some(b"v".to_vec())));
    }

    #[test]
    fn hook_lets_another_writer_win_the_race() {
        let inner = Arc::new(Mem::new());
        let store = Faulty::new(inner.clone());
        let hook = Arc::new(move || _ = put(inner.as_ref(), b"head"));
        store.faults().on(Call::Commit, 1, Fault::Before(hook));
        let commit = Commit::new().when(b"head", Expected::Absent);
        assert_eq!(store.commit_wait(commit), Err(StoreError::Conflict { condition: 0 }));
    }

    #[test]
    fn lost_hint_does_not_arrive_and_the_next_does() {
        let (store, faults) = faulty();
        let heard = Arc::new(AtomicUsize::new(0));
        let ear = Arc::clone(&heard);
        let wake = Box::new(move || _ = ear.fetch_add(1, Ordering::Relaxed));
        let _watch = store.watch(b"a", wake);
        faults.on(Call::Hint, 1, Fault::Fail(StoreError::Busy));
        put(&store, b"a").unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), 0);
        put(&store, b"a").unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn constant_fault_lasts_until_healed() {
        let (store, faults) = faulty();
        faults.always(Call::StartBlob, Fault::Fail(StoreError::StorageFull));
        for _ in 0..3 {
            assert_eq!(store.put_blob(b"a", b"x").unwrap_err(), StoreError::StorageFull);
        }
        faults.heal();
        assert!(store.put_blob(b"a", b"x").is_ok());
    }
}
