//! REPLACE. RFC 8508

use super::{AppendMessage, MailboxArg, Numbering, SeqBound};

/// Arguments of REPLACE and UID REPLACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// Whether the number is a UID.
    pub numbering: Numbering,
    /// The message that goes.
    pub target: SeqBound,
    /// Where the new one goes.
    pub mailbox: MailboxArg,
    /// The new one: one, because there is no REPLACE of many. RFC 8508 §4.7
    pub message: AppendMessage,
}
