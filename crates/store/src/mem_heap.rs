//! The heap in memory, which fails when it is told to: for tests of engines that keep bodies
//! outside.
//!
//! Faults are planned by kind of call and by how many such calls pass before, so that a test is
//! the same each time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::plan::Plan;
use crate::{Heap, HeapKey, HeapObject, HeapWriter, StoreError};

/// Kinds of calls that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeapCall {
    /// `Heap::writer`
    Start,
    /// `HeapWriter::write`
    Write,
    /// `HeapWriter::finish`
    Finish,
    /// `Heap::read`
    Read,
    /// `Heap::delete`
    Delete,
    /// `Heap::list`
    List,
}

/// What happens to a call.
#[derive(Clone)]
pub enum HeapFault {
    /// The call does nothing and answers with the error.
    Fail(StoreError),
    /// The call happens, but answers with the error: an outcome that the caller cannot know.
    FailAfter(StoreError),
    /// A read returns as many bytes, but others.
    WrongBytes,
    /// A read returns half of the bytes only.
    Truncated,
    /// A read finds no such object.
    Missing,
    /// The hook runs before the call: to stall, or to let somebody else go first.
    Before(Arc<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for HeapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(error) => write!(f, "Fail({error})"),
            Self::FailAfter(error) => write!(f, "FailAfter({error})"),
            Self::WrongBytes => f.write_str("WrongBytes"),
            Self::Truncated => f.write_str("Truncated"),
            Self::Missing => f.write_str("Missing"),
            Self::Before(_) => f.write_str("Before(..)"),
        }
    }
}

/// A heap in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemHeap {
    objects: Arc<Mutex<BTreeMap<HeapKey, Object>>>,
    plan: Arc<Mutex<Plan<HeapCall, HeapFault>>>,
}

struct Object {
    bytes: Arc<Vec<u8>>,
    stored_at: SystemTime,
}

impl MemHeap {
    /// An empty heap without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The `nth` call of this kind from now on (1 is the next) meets the fault.
    pub fn on(&self, call: HeapCall, nth: u64, fault: HeapFault) {
        self.plan().on(call, nth, fault);
    }

    /// Every call of this kind meets the fault until [`MemHeap::heal`].
    pub fn always(&self, call: HeapCall, fault: HeapFault) {
        self.plan().always(call, fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.plan().heal();
    }

    /// Calls of this kind so far.
    #[must_use]
    pub fn count(&self, call: HeapCall) -> u64 {
        self.plan().count(call)
    }

    /// The names of all objects.
    #[must_use]
    pub fn keys(&self) -> Vec<HeapKey> {
        self.objects().keys().cloned().collect()
    }

    /// Flips a bit in the middle of an object, behind everybody's back.
    pub fn damage(&self, key: &HeapKey) {
        if let Some(object) = self.objects().get_mut(key) {
            let bytes = Arc::make_mut(&mut object.bytes);
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
        }
    }

    /// Makes an object look as if it had been stored at this time.
    pub fn set_stored_at(&self, key: &HeapKey, time: SystemTime) {
        if let Some(object) = self.objects().get_mut(key) {
            object.stored_at = time;
        }
    }

    /// Runs a call as planned. What only reads can meet is for [`MemHeap::read`].
    fn run<T>(
        &self,
        call: HeapCall,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = self.plan().next(call);
        match fault {
            Some(HeapFault::Fail(error)) => Err(error),
            Some(HeapFault::FailAfter(error)) => act().and(Err(error)),
            Some(HeapFault::Before(hook)) => {
                hook();
                act()
            }
            Some(HeapFault::WrongBytes | HeapFault::Truncated | HeapFault::Missing) | None => act(),
        }
    }

    fn slice(&self, key: &HeapKey, range: &Range<u64>) -> Result<Vec<u8>, StoreError> {
        let objects = self.objects();
        let object = objects.get(key).ok_or_else(|| missing(key))?;
        let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(object.bytes.len());
        let part = object.bytes.get(position(range.start)..position(range.end));
        Ok(part.unwrap_or_default().to_vec())
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<HeapKey, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan<HeapCall, HeapFault>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(key: &HeapKey) -> StoreError {
    StoreError::NotInHeap { key: key.as_str().into() }
}

impl Heap for MemHeap {
    fn writer(&self, key: &HeapKey) -> Result<Box<dyn HeapWriter>, StoreError> {
        self.run(HeapCall::Start, || {
            let writer = Writer { heap: self.clone(), key: key.clone(), bytes: Vec::new() };
            Ok(Box::new(writer) as Box<dyn HeapWriter>)
        })
    }

    fn read(&self, key: &HeapKey, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let fault = self.plan().next(HeapCall::Read);
        match fault {
            Some(HeapFault::Fail(error) | HeapFault::FailAfter(error)) => Err(error),
            Some(HeapFault::Missing) => Err(missing(key)),
            Some(HeapFault::WrongBytes) => {
                let mut bytes = self.slice(key, &range)?;
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
                Ok(bytes)
            }
            Some(HeapFault::Truncated) => {
                let mut bytes = self.slice(key, &range)?;
                bytes.truncate(bytes.len() / 2);
                Ok(bytes)
            }
            Some(HeapFault::Before(hook)) => {
                hook();
                self.slice(key, &range)
            }
            None => self.slice(key, &range),
        }
    }

    fn delete(&self, key: &HeapKey) -> Result<(), StoreError> {
        self.run(HeapCall::Delete, || {
            self.objects().remove(key);
            Ok(())
        })
    }

    fn list(
        &self,
        after: Option<&HeapKey>,
        visit: &mut dyn FnMut(HeapObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.run(HeapCall::List, || {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            // Copied, so that the lock is not held while a visitor works.
            let listed: Vec<HeapObject> = {
                let objects = self.objects();
                let range = objects.range((start, Bound::Unbounded));
                let info = |(key, object): (&HeapKey, &Object)| HeapObject {
                    key: key.clone(),
                    size: object.bytes.len() as u64,
                    stored_at: object.stored_at,
                };
                range.map(info).collect()
            };
            let _ = listed.into_iter().try_for_each(visit);
            Ok(())
        })
    }
}

struct Writer {
    heap: MemHeap,
    key: HeapKey,
    bytes: Vec<u8>,
}

impl HeapWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let own = &mut self.bytes;
        self.heap.run(HeapCall::Write, || {
            own.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self { heap, key, bytes } = *self;
        heap.run(HeapCall::Finish, || {
            let object = Object { bytes: Arc::new(bytes), stored_at: SystemTime::now() };
            heap.objects().insert(key, object);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::heap;

    fn put(heap: &MemHeap, name: &str) -> Result<HeapKey, StoreError> {
        let key = HeapKey::new(name).unwrap();
        let mut writer = heap.writer(&key)?;
        writer.write(b"tide")?;
        writer.finish().map(|()| key)
    }

    #[test]
    fn heap_in_memory_conforms() {
        heap::all(&|| Arc::new(MemHeap::new()));
    }

    #[test]
    fn only_the_planned_call_meets_its_fault() {
        let heap = MemHeap::new();
        heap.on(HeapCall::Finish, 2, HeapFault::Fail(StoreError::Busy));
        heap.on(HeapCall::Finish, 3, HeapFault::FailAfter(StoreError::Busy));
        let first = put(&heap, "a").unwrap();
        assert_eq!(put(&heap, "b"), Err(StoreError::Busy));
        assert_eq!(put(&heap, "c"), Err(StoreError::Busy));
        assert_eq!(heap.keys().len(), 2, "the third happened, though it failed");
        for (fault, answer) in [
            (HeapFault::WrongBytes, Ok(b"tide".map(|byte| !byte).to_vec())),
            (HeapFault::Truncated, Ok(b"ti".to_vec())),
            (HeapFault::Missing, Err(missing(&first))),
            (HeapFault::Before(Arc::new(|| ())), Ok(b"tide".to_vec())),
        ] {
            heap.on(HeapCall::Read, 1, fault);
            assert_eq!(heap.read(&first, 0..9), answer);
        }
        assert_eq!(heap.read(&first, 1..3), Ok(b"id".to_vec()));
        heap.damage(&first);
        assert_ne!(heap.read(&first, 0..9), Ok(b"tide".to_vec()));
    }
}
