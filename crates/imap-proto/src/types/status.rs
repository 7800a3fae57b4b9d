//! STATUS, the command and its answer. RFC 9051 §6.3.11, §7.3.4

use mail_types::{ModSeq, Uid, UidValidity};

use super::MailboxArg;

/// Arguments of STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCommand {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// What is asked, at least one item, in the order given.
    pub items: Vec<StatusItem>,
}

/// What STATUS can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// Number of messages.
    Messages,
    /// Number of messages with `\Recent`. RFC 3501 §6.3.10
    Recent,
    /// Next UID.
    UidNext,
    /// UIDVALIDITY.
    UidValidity,
    /// Number of messages without `\Seen`.
    Unseen,
    /// Number of messages with `\Deleted`. RFC 9051 §6.3.11
    Deleted,
    /// Octets of all messages. RFC 8438
    Size,
    /// Highest modseq. RFC 7162 §3.1.7
    HighestModSeq,
    /// Object id of the mailbox. RFC 8474 §4.3
    MailboxId,
    /// Largest message that APPEND takes. RFC 7889 §3
    AppendLimit,
    /// Octets that EXPUNGE would free. RFC 9208 §5.1
    DeletedStorage,
}

impl StatusItem {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Deleted, "DELETED"),
        (Self::Size, "SIZE"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
        (Self::MailboxId, "MAILBOXID"),
        (Self::AppendLimit, "APPENDLIMIT"),
        (Self::DeletedStorage, "DELETED-STORAGE"),
    ];

    /// Most items in one command: a client has no reason to repeat one.
    pub const ITEMS_MAX: usize = 64;

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(item, _)| *item == self).map_or("", |(_, name)| name)
    }

    /// The item of this name, in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(item, _)| *item)
    }
}

/// An answer to STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReply {
    /// Of which mailbox.
    pub mailbox: MailboxArg,
    /// The values.
    pub values: Vec<StatusValue>,
}

/// One value of STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// Number of messages.
    Messages(u32),
    /// Number of messages with `\Recent`.
    Recent(u32),
    /// Next UID.
    UidNext(Uid),
    /// UIDVALIDITY.
    UidValidity(UidValidity),
    /// Number of messages without `\Seen`.
    Unseen(u32),
    /// Number of messages with `\Deleted`.
    Deleted(u32),
    /// Octets of all messages.
    Size(u64),
    /// Highest modseq; zero if the mailbox keeps none.
    HighestModSeq(ModSeq),
    /// Object id.
    MailboxId(String),
    /// Largest message that APPEND takes; `None` for no limit.
    AppendLimit(Option<u64>),
    /// Octets that EXPUNGE would free.
    DeletedStorage(u64),
    /// An item not known here, with its value as it stood.
    Other(String, Vec<u8>),
}
