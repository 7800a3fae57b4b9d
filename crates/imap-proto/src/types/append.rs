//! APPEND. RFC 9051 §6.3.12, RFC 3502, RFC 6855 §4

use mail_types::InternalDate;

use super::{AnnotationSetting, FlagList, MailboxArg};

/// Arguments of APPEND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxArg,
    /// The messages, at least one; more than one is MULTIAPPEND.
    pub messages: Vec<AppendMessage>,
}

impl Append {
    /// Most messages in one command: each is kept staged until the command ends.
    pub const MESSAGES_MAX: usize = 1000;
}

/// One message of APPEND.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendMessage {
    /// Flags that it is to have.
    pub flags: FlagList,
    /// INTERNALDATE that it is to have.
    pub date: Option<InternalDate>,
    /// Annotations that it is to have. RFC 5257 §4.7
    pub annotations: Vec<AnnotationSetting>,
    /// What it is made of.
    pub data: AppendPayload,
}

/// What a message of APPEND is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendPayload {
    /// One literal.
    Literal {
        /// How it was given.
        form: AppendForm,
        /// Its octets.
        data: Literal,
    },
    /// Pieces, one after the other, at least one. RFC 4469 §3
    Catenate(Vec<CatPart>),
}

impl AppendPayload {
    /// Most pieces in one message: each may be a look into another mailbox.
    pub const PARTS_MAX: usize = 1000;

    /// Octets that the client sends itself: what URLs name is not known here.
    pub fn sent_bytes(&self) -> u64 {
        let of_part = |part: &CatPart| match part {
            CatPart::Text { data, .. } => data.size(),
            CatPart::Url(_) => 0,
        };
        match self {
            Self::Literal { data, .. } => data.size(),
            Self::Catenate(parts) => parts.iter().map(of_part).fold(0, u64::saturating_add),
        }
    }
}

/// A piece of a message that is put together. RFC 4469 §5, RFC 6855 §4
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatPart {
    /// `TEXT`, or `UTF8 (…)`.
    Text {
        /// How it was given.
        form: AppendForm,
        /// Its octets.
        data: Literal,
    },
    /// `URL`, as it was sent.
    Url(Vec<u8>),
}

/// The syntax in which a message was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendForm {
    /// A literal.
    Plain,
    /// `~{…}`: it may hold NUL and parts in binary. RFC 3516 §4.4
    Binary,
    /// `UTF8 (~{…})`: its header may hold UTF-8. RFC 6855 §4
    Utf8,
}

/// The octets of a literal, or where they went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// They were kept.
    Inline(Vec<u8>),
    /// They were passed on while they arrived, and are known by their place.
    Streamed {
        /// Which literal of the command or response, from 0, buffered ones counted.
        index: u32,
        /// Octets.
        size: u64,
    },
}

impl Literal {
    /// Octets.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Streamed { size, .. } => *size,
        }
    }
}
