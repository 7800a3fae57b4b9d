//! APPEND. RFC 9051 §6.3.12, RFC 3502, RFC 6855 §4

use mail_types::InternalDate;

use super::{FlagList, MailboxArg};

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
    /// How the message was given.
    pub form: AppendForm,
    /// Its octets.
    pub data: Literal,
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
