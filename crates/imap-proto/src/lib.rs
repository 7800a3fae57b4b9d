//! The IMAP wire: framing, parsing, serializing, for both roles. No I/O.

pub mod types;

mod chars;
mod sink;
pub mod utf7;

pub use sink::{BlobSlice, Sink, Transform};
