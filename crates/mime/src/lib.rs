//! Message bytes to header, part tree with exact byte offsets, envelope, text. No I/O.
//!
//! Any bytes are a message: nothing here fails on 8-bit headers, NULs, bare LF, missing separators
//! or boundaries that never close. What goes past a limit of [`Limits`] makes the tree coarser
//! (a part becomes a leaf), never the offsets wrong. Work is linear in the bytes.
//!
//! - [`Parser`] takes a message in pieces and keeps only header blocks; [`parse`] takes it whole.
//! - [`Message::section`] turns a part specifier of FETCH into a byte range.
//! - [`Decoder`] removes a transfer encoding; [`text`] and [`preview`] make readable text of parts.
//! - [`header`], [`envelope()`], [`decode_header`], [`parse_date`] read header bytes.

mod address;
mod attachment;
mod boundary;
mod charset;
mod content;
mod date;
mod decode;
mod envelope;
pub mod header;
mod html;
mod limits;
mod msgid;
mod params;
mod parser;
mod part;
mod preview;
mod section;
mod structure;
pub mod text;
mod tree;
mod utf7;
mod words;

pub use address::parse_addresses;
pub use charset::{charset_is_known, to_utf8};
pub use date::parse_date;
pub use decode::{Decoder, Encoding, LineEnds, UnknownEncoding};
pub use envelope::envelope;
pub use html::html_to_text;
pub use limits::Limits;
pub use msgid::message_ids;
pub use parser::{Parser, parse};
pub use part::{Content, Embedded, HeaderSummary, Message, Part};
pub use preview::{PREVIEW_CHARS_MAX, preview};
pub use section::{Partial, SectionKind};
pub use words::decode_header;
