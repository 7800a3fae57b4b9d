//! Where output goes: bytes in order, and stored messages that are spliced in between.
//!
//! A message body never passes through a response value. The literal's header is written as bytes,
//! the body as a [`BlobSlice`], and whoever owns the socket copies the stored octets into it.

use std::ops::Range;

use mail_types::MessageId;

/// Takes output in the order in which it goes on the wire.
pub trait Sink {
    /// Appends bytes.
    fn bytes(&mut self, bytes: &[u8]);

    /// Appends a part of a stored message: exactly `slice.length` octets, whose literal header has
    /// been written before this call.
    fn blob(&mut self, slice: BlobSlice);
}

/// Octets of a stored message, to be spliced into the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobSlice {
    /// The message that holds them.
    pub message: MessageId,
    /// Where they stand in the stored message, in octets.
    pub range: Range<u64>,
    /// What is done to them on the way.
    pub transform: Transform,
    /// Octets that come out: what the literal's header announced. If fewer can be had, the
    /// connection has to be closed: nothing that follows could be understood.
    pub length: u64,
}

/// What is done to stored octets before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// They are sent as they are stored; `length` is the length of the range.
    Identity,
    /// BINARY: base64 is decoded, then this many decoded octets are skipped. RFC 3516 §4.2
    Base64 {
        /// Decoded octets before the first that is sent.
        skip: u64,
    },
    /// BINARY: quoted-printable is decoded, then this many decoded octets are skipped.
    QuotedPrintable {
        /// Decoded octets before the first that is sent.
        skip: u64,
    },
}

impl BlobSlice {
    /// Stored octets as they are.
    pub fn identity(message: MessageId, range: Range<u64>) -> Self {
        let length = range.end.saturating_sub(range.start);
        Self { message, range, transform: Transform::Identity, length }
    }
}

impl Sink for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// A buffer has no store to read from: the octets are left out and a mark names them. For
    /// tests and logs; whoever sends messages has a sink of its own.
    fn blob(&mut self, slice: BlobSlice) {
        let BlobSlice { message, range, length, .. } = slice;
        let mark = format!("<{message} {}..{} = {length}>", range.start, range.end);
        self.extend_from_slice(mark.as_bytes());
    }
}
