//! The tree that is made of a message: plain data, to be stored beside it.

use std::ops::Range;

use mail_types::{Disposition, Envelope, InternalDate, Param};

/// A parsed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Octets of the whole message: RFC822.SIZE.
    pub size: u64,
    /// What the header says.
    pub header: HeaderSummary,
    /// The whole message as a part: its header and body.
    pub root: Part,
    /// At most [`crate::PREVIEW_CHARS_MAX`] characters of the readable text. RFC 8970 §3
    pub preview: String,
}

/// What lists, searches and threads need of the header, read once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeaderSummary {
    /// ENVELOPE.
    pub envelope: Envelope,
    /// The Date header as a moment, if it names one. SENTSINCE and its kin.
    pub date: Option<InternalDate>,
    /// The id of this message without its angle brackets.
    pub message_id: Option<Vec<u8>>,
    /// The ids of the messages that this one follows, oldest first, without brackets: References,
    /// or else the first of In-Reply-To. RFC 5256 §3
    pub references: Vec<Vec<u8>>,
}

/// One body part with its exact place in the message. All offsets count octets from the
/// beginning of the whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte of the header.
    pub header_start: u64,
    /// First byte of the body: after the blank line, which belongs to the header.
    pub body_start: u64,
    /// First byte after the body. The line end before a delimiter is part of the delimiter.
    pub end: u64,
    /// Line ends (LF) in the body.
    pub lines: u64,
    /// Media type in the message's own letter case, defaulted: `text`.
    pub kind: Vec<u8>,
    /// Media subtype, defaulted: `plain`.
    pub subtype: Vec<u8>,
    /// Parameters of Content-Type. Continuations of RFC 2231 are joined; encodings are left.
    pub params: Vec<Param>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding as spelt; `None` if the header is missing, meaning 7BIT.
    pub encoding: Option<Vec<u8>>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub language: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
    /// What is inside.
    pub content: Content,
}

/// What a part consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No parts inside that were looked at. Also a multipart in which no boundary was found, a
    /// message that is transfer-encoded, and what lies below a limit.
    Leaf,
    /// The parts of a multipart, at least one.
    Multipart(Vec<Part>),
    /// The message inside a `message/rfc822` or `message/global`.
    Message(Box<Embedded>),
}

/// A message that is the body of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Its envelope.
    pub envelope: Envelope,
    /// The whole of it; begins where the body of the part begins.
    pub root: Part,
}

impl Part {
    /// The header with its blank line.
    pub fn header(&self) -> Range<u64> {
        self.header_start..self.body_start
    }

    /// The body, still transfer-encoded.
    pub fn body(&self) -> Range<u64> {
        self.body_start..self.end
    }

    /// Octets of the body.
    pub fn octets(&self) -> u64 {
        self.end - self.body_start
    }

    /// Whether the media type is `kind`, in any letter case.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }

    /// Whether the media type is `kind/subtype`, in any letter case.
    pub fn is_type(&self, kind: &str, subtype: &str) -> bool {
        self.is_kind(kind) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// The parts directly inside: those of a multipart, or the root of a message.
    pub fn children(&self) -> &[Part] {
        match &self.content {
            Content::Leaf => &[],
            Content::Multipart(parts) => parts,
            Content::Message(inner) => std::slice::from_ref(&inner.root),
        }
    }
}
