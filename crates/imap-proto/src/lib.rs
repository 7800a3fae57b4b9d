//! The IMAP wire: framing, parsing, serializing, for both roles. No I/O.

pub mod frame;
pub mod parse;
pub mod serialize;
pub mod types;
pub mod utf7;

mod base64;
mod chars;
mod sink;

pub use sink::{BlobSlice, Sink, Transform};
