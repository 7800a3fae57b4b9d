//! GETMETADATA and SETMETADATA, and the METADATA response. RFC 5464

use mail_types::EntryName;

use super::MailboxArg;

/// Arguments of GETMETADATA. RFC 5464 §4.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadata {
    /// Of which mailbox; empty for the server.
    pub mailbox: MailboxArg,
    /// `MAXSIZE`: longest value that is wanted. RFC 5464 §4.2.1
    pub max_size: Option<u32>,
    /// `DEPTH`
    pub depth: MetadataDepth,
    /// Which annotations, at least one.
    pub entries: Vec<EntryName>,
}

impl GetMetadata {
    /// Most names in one command: each is compared with every annotation of the mailbox.
    pub const ENTRIES_MAX: usize = 256;
}

/// What is wanted below each name. RFC 5464 §4.2.2
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MetadataDepth {
    /// `0`: nothing.
    #[default]
    Zero,
    /// `1`: what is immediately below it.
    One,
    /// `infinity`: all.
    Infinity,
}

impl MetadataDepth {
    /// All of them with their spelling.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Zero, "0"), (Self::One, "1"), (Self::Infinity, "infinity")];
}

/// Arguments of SETMETADATA. RFC 5464 §4.3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata {
    /// Of which mailbox; empty for the server.
    pub mailbox: MailboxArg,
    /// Names that can hold a value, at least one, and their values; `None` for NIL, which removes.
    pub entries: Vec<MetadataEntry>,
}

/// A name and its value; `None` for NIL.
pub type MetadataEntry = (EntryName, Option<Vec<u8>>);

impl SetMetadata {
    /// Most values in one command.
    pub const ENTRIES_MAX: usize = 256;
}

/// A METADATA response. RFC 5464 §4.4
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataReply {
    /// Of which mailbox; empty for the server.
    pub mailbox: MailboxArg,
    /// What it tells.
    pub data: MetadataData,
}

/// What a METADATA response tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataData {
    /// Values that were asked for, at least one. RFC 5464 §4.4.1
    Values(Vec<MetadataEntry>),
    /// Names of what has changed, at least one. RFC 5464 §4.4.2
    Changed(Vec<EntryName>),
}
