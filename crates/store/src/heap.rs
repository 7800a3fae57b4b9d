//! A heap: bodies outside of the engine that keeps the rows, such as an object store.
//!
//! The engine owns the truth: a row of its own names each object, by a key that was never used
//! before, so that a late delete of an old object can never hit a new one with the same bytes. The
//! heap only keeps immutable bytes. Nothing here relies on conditional writes.

use std::ops::{ControlFlow, Range};
use std::time::SystemTime;

use crate::StoreError;

/// Immutable objects by name. Calls block the calling thread; they must not be made on a thread
/// that drives an asynchronous runtime.
pub trait Heap: Send + Sync {
    /// Starts an object whose bytes come in pieces. Nothing can be read before it is finished;
    /// dropping the writer leaves no object.
    ///
    /// # Errors
    /// `Busy` when too much waits already, `Unavailable`, `WriteRefused`.
    fn writer(&self, key: &HeapKey) -> Result<Box<dyn HeapWriter>, StoreError>;

    /// Reads a part of an object; what lies beyond its end is left out. The caller verifies the
    /// bytes.
    ///
    /// # Errors
    /// `NotInHeap` when there is no such object, `ReadFailed` when it could not be read in time.
    fn read(&self, key: &HeapKey, range: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// Deletes an object; fine when there is none.
    ///
    /// # Errors
    /// `Unavailable`, `WriteRefused`: it may still be there.
    fn delete(&self, key: &HeapKey) -> Result<(), StoreError>;

    /// Visits the objects in the order of their keys, beginning after `after`.
    ///
    /// # Errors
    /// `ReadFailed`.
    fn list(
        &self,
        after: Option<&HeapKey>,
        visit: &mut dyn FnMut(HeapObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
}

/// Takes the bytes of one object.
pub trait HeapWriter: Send {
    /// Appends bytes. After an error the writer can only be dropped.
    ///
    /// # Errors
    /// `Unavailable`, `WriteRefused`, `StorageFull`, `Busy`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Ends the object: it is durable and readable when this returns `Ok`. After an error it may
    /// or may not exist; nobody names it then, and a later clean-up removes it.
    ///
    /// # Errors
    /// `Unavailable`, `WriteRefused`, `StorageFull`, `Busy`.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// The name of an object: ASCII letters, digits, `-` and `/`, used for one object only, ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeapKey(String);

/// What a listing says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapObject {
    /// Its name.
    pub key: HeapKey,
    /// Length in bytes.
    pub size: u64,
    /// When it was stored, by the heap's clock.
    pub stored_at: SystemTime,
}

impl HeapKey {
    /// A name; `None` when it has other characters or none, or more than [`HEAP_KEY_BYTES_MAX`].
    #[must_use]
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/');
        let fits = !name.is_empty() && name.len() <= HEAP_KEY_BYTES_MAX;
        (fits && name.bytes().all(is_allowed)).then_some(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest name of an object: a scope and a hash in hexadecimal, and room for a number.
pub const HEAP_KEY_BYTES_MAX: usize = 512;
