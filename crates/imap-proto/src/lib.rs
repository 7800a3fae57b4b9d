//! The IMAP wire: framing, parsing, serializing, for both roles. No I/O.
//!
//! A server pushes bytes into a [`frame::Framer`], decides on the literals that it offers, and
//! gives each whole frame to [`parse::command`]; its answers are [`types::Response`] values that
//! [`serialize::response`] writes to a [`Sink`]. A client goes the other way round.

pub mod flow;
pub mod frame;
pub mod parse;
pub mod serialize;
pub mod types;
pub mod url;
pub mod utf7;

mod base64;
mod chars;
mod sink;

pub use sink::{BlobSlice, Sink, Transform};
