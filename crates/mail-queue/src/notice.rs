//! What the sender is to be told.

use crate::entry::Reply;

/// What one change of an entry means for its sender: one message tells all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of each recipient, in the order of the entry.
    pub told: Vec<Told>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which one, by its index in the entry.
    pub index: usize,
    /// What.
    pub action: Action,
    /// What the other side or this server said last.
    pub reply: Option<Reply>,
}

/// The Action field. RFC 3464 §2.3.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It could not be delivered; this server will not try again.
    Failed,
    /// As `Failed`, because its time was up.
    Expired,
    /// It could not be delivered yet.
    Delayed {
        /// Until when attempts go on.
        until: i64,
    },
    /// It is in its mailbox.
    Delivered,
    /// It was handed to a server that promises no notices.
    Relayed,
}

impl Action {
    /// Whether it tells a failure for good.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }

    /// The word for it. RFC 3464 §2.3.3
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed | Self::Expired => "failed",
            Self::Delayed { .. } => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }
}
