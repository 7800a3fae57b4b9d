//! The storage contract, an in-memory engine, faults and the conformance suite.
//!
//! The contract knows no mail, only bytes: an ordered map of keys to values that changes by
//! conditional, atomic, durable commits, and a heap of content-addressed blobs beside it.
//!
//! How a caller stores something big:
//!
//! 1. put the bytes as a blob ([`Store::put_blob`], [`Store::blob_writer`]) and hold the
//!    [`BlobLease`] that comes back;
//! 2. commit the row that names the blob, with the lease inside the [`Commit`].
//!
//! A blob is durable at the latest when a commit that carries its lease is acknowledged. So one
//! group of commits needs one sync of blobs and one of rows, however many blobs it names, and a
//! crash leaves blobs that nobody names but never a name without its blob.
//!
//! Calls block the calling thread for a disk read at most, except [`Store::commit`], which returns
//! at once and answers through a callback, so an asynchronous caller can bridge it to a future.

mod blob;
mod commit;
pub mod conformance;
mod contract;
mod error;
pub mod fault;
mod heap;
mod key;
mod lease;
pub mod limits;
pub mod mem;
pub mod mem_heap;
mod plan;
pub mod spread;
mod watch;

pub use blob::{BlobId, BlobInfo, BlobKey, BlobLease, Deletion, InvalidBlobId};
pub use commit::{Commit, CommitNo, Condition, Done, Expected, Write};
pub use contract::{BlobReader, BlobWriter, Page, Store, View, Visitor, scan_page};
pub use error::{Limit, StoreError};
pub use heap::{HEAP_KEY_BYTES_MAX, Heap, HeapKey, HeapObject, HeapWriter};
pub use key::{KeyRange, Order};
pub use lease::{Doom, Leases};
pub use watch::{Hint, Hints, Watch, Watchers};
