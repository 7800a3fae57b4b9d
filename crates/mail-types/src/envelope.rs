//! The envelope of a message, with its header texts as they stand in the message.

/// ENVELOPE: raw header texts, RFC 2047 words still encoded. RFC 9051 §7.5.2
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Text of the Date header.
    pub date: Option<Vec<u8>>,
    /// Text of the Subject header, unfolded.
    pub subject: Option<Vec<u8>>,
    /// From. Empty prints as NIL.
    pub from: Vec<Address>,
    /// Sender; From if the header is missing or empty.
    pub sender: Vec<Address>,
    /// Reply-To; From if the header is missing or empty.
    pub reply_to: Vec<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// Text of the In-Reply-To header.
    pub in_reply_to: Option<Vec<u8>>,
    /// Text of the Message-ID header.
    pub message_id: Option<Vec<u8>>,
}

/// One address, or one end of a group: the start has only `mailbox` (the group's name), the end
/// has nothing. RFC 9051 §7.5.2
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Address {
    /// Display name, RFC 2047 words still encoded.
    pub name: Option<Vec<u8>>,
    /// Source route, obsolete: `@a,@b`.
    pub adl: Option<Vec<u8>>,
    /// Local part, or a group's name.
    pub mailbox: Option<Vec<u8>>,
    /// Domain; `None` marks the start or the end of a group.
    pub host: Option<Vec<u8>>,
}
