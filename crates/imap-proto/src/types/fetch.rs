//! FETCH, the command and its answers. RFC 9051 §6.4.5, §7.5.2

use mail_types::{BodyStructure, Envelope, InternalDate, ModSeq, Uid};

use super::{AnnotationData, AnnotationItem, FlagList, Numbering, PartialRange, SequenceSet};
use crate::BlobSlice;

/// Arguments of FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Whether the set holds UIDs.
    pub numbering: Numbering,
    /// Which messages.
    pub set: SequenceSet,
    /// What of each, at least one item; the macros ALL, FAST and FULL are written out.
    pub items: Vec<FetchItem>,
    /// `CHANGEDSINCE`: only messages changed after it. RFC 7162 §3.1.4.1
    pub changed_since: Option<ModSeq>,
    /// `VANISHED`: also tell what was expunged since. Only with UID FETCH and CHANGEDSINCE; that is
    /// for the session to check. RFC 7162 §3.2.6
    pub vanished: bool,
    /// `PARTIAL`: only these of the messages in the set. RFC 9394 §3.3
    pub partial: Option<PartialRange>,
}

/// Whether fetching sets `\Seen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peek {
    /// It does.
    SetSeen,
    /// `.PEEK`: it does not.
    Peek,
}

/// Whether a preview must be told at once. RFC 8970 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preview {
    /// Also if it has to be made first.
    Full,
    /// `LAZY`: only if it is at hand.
    Lazy,
}

/// What FETCH asks of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FetchItem {
    /// `UID`
    Uid,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODY` without a section: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[…]`, `BODY.PEEK[…]`
    Section {
        /// What.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// Whether it sets `\Seen`.
        peek: Peek,
    },
    /// `RFC822`, answered under its own name; also the unofficial `RFC822.PEEK`, which Outlook
    /// sends. RFC 3501 §6.4.5
    Rfc822(Peek),
    /// `RFC822.HEADER`; does not set `\Seen`.
    Rfc822Header,
    /// `RFC822.TEXT` and the unofficial `RFC822.TEXT.PEEK`.
    Rfc822Text(Peek),
    /// `BINARY[…]`, `BINARY.PEEK[…]`. RFC 3516 §4.2
    Binary {
        /// Part numbers; empty for the whole message.
        part: Vec<u32>,
        /// Which decoded octets.
        partial: Option<Partial>,
        /// Whether it sets `\Seen`.
        peek: Peek,
    },
    /// `BINARY.SIZE[…]`
    BinarySize {
        /// Part numbers.
        part: Vec<u32>,
    },
    /// `MODSEQ`. RFC 7162 §3.1.4.2
    ModSeq,
    /// `EMAILID`. RFC 8474 §5.1
    EmailId,
    /// `THREADID`. RFC 8474 §5.2
    ThreadId,
    /// `SAVEDATE`. RFC 8514 §4.2
    SaveDate,
    /// `PREVIEW`. RFC 8970 §3
    Preview(Preview),
    /// `ANNOTATION`. RFC 5257 §4.3
    Annotation(AnnotationItem),
}

impl FetchItem {
    /// Most items in one command.
    pub const ITEMS_MAX: usize = 256;
}

/// `<origin.length>`: a window of octets. RFC 9051 §6.4.5
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partial {
    /// First octet, from 0.
    pub offset: u64,
    /// Octets at most; never zero.
    pub length: u64,
}

impl Partial {
    /// The window within `size` octets; empty if it begins at or after their end.
    pub fn within(self, size: u64) -> std::ops::Range<u64> {
        let start = self.offset.min(size);
        start..start.saturating_add(self.length).min(size)
    }
}

/// What stands in the brackets of `BODY[…]`. RFC 9051 §9 (`section-spec`)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Section {
    /// Part numbers, each from 1; empty for the message itself.
    pub part: Vec<u32>,
    /// What of it; `None` for all of the message, or the body of the part.
    pub text: Option<SectionText>,
}

impl Section {
    /// Most part numbers: deeper than any structure that is kept.
    pub const DEPTH_MAX: usize = 100;
}

/// What of a message or a part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`
    HeaderFields(HeaderFields),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(HeaderFields),
    /// `TEXT`
    Text,
    /// `MIME`; only with part numbers.
    Mime,
}

/// Names of header fields, at least one, as they were sent. RFC 9051 §9 (`header-list`)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderFields(pub Vec<Vec<u8>>);

impl HeaderFields {
    /// Most names in one list. Roundcube and Thunderbird ask for about thirty.
    pub const NAMES_MAX: usize = 512;
}

/// The data of a body item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyData {
    /// NIL: there is no such part.
    Nil,
    /// Octets at hand: a filtered header, or what a client received.
    Bytes(Vec<u8>),
    /// Octets of the stored message, spliced in by the sink. Only a server has these.
    Blob(BlobSlice),
    /// Octets that were passed on while they arrived. Only a client has these.
    Streamed {
        /// Which literal of the response, from 0.
        index: u32,
        /// Octets.
        size: u64,
    },
}

/// One item of a FETCH response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchAttribute {
    /// `UID`
    Uid(Uid),
    /// `FLAGS`
    Flags(FlagList),
    /// `INTERNALDATE`
    InternalDate(InternalDate),
    /// `RFC822.SIZE`
    Rfc822Size(u64),
    /// `ENVELOPE`
    Envelope(Box<Envelope>),
    /// `BODY`: the structure without extension data.
    Body(Box<BodyStructure>),
    /// `BODYSTRUCTURE`
    BodyStructure(Box<BodyStructure>),
    /// `BODY[…]<origin>`
    Section {
        /// What.
        section: Section,
        /// First octet that was asked for, if a window was.
        origin: Option<u64>,
        /// The octets.
        data: BodyData,
    },
    /// `RFC822`
    Rfc822(BodyData),
    /// `RFC822.HEADER`
    Rfc822Header(BodyData),
    /// `RFC822.TEXT`
    Rfc822Text(BodyData),
    /// `BINARY[…]<origin>`
    Binary {
        /// Part numbers.
        part: Vec<u32>,
        /// First decoded octet that was asked for, if a window was.
        origin: Option<u64>,
        /// The decoded octets.
        data: BodyData,
    },
    /// `BINARY.SIZE[…]`
    BinarySize {
        /// Part numbers.
        part: Vec<u32>,
        /// Decoded octets.
        size: u64,
    },
    /// `MODSEQ`
    ModSeq(ModSeq),
    /// `EMAILID`
    EmailId(String),
    /// `THREADID`; `None` for NIL.
    ThreadId(Option<String>),
    /// `SAVEDATE`; `None` for NIL.
    SaveDate(Option<InternalDate>),
    /// `PREVIEW`; `None` for NIL.
    Preview(Option<String>),
    /// `ANNOTATION`. RFC 5257 §4.4
    Annotation(AnnotationData),
}
