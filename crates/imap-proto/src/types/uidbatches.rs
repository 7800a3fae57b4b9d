//! UIDBATCHES. RFC 10022

use mail_types::Uid;

/// Arguments of UIDBATCHES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidBatches {
    /// How many messages a batch is to have; never zero.
    pub size: u32,
    /// The first and the last batch that is wanted, counted from the newest messages, from 1.
    /// `None` for all.
    pub range: Option<(u32, u32)>,
}

/// A UIDBATCHES response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidBatchesReply {
    /// The tag of the command.
    pub tag: String,
    /// The highest and the lowest UID of each batch, the newest messages first.
    pub batches: Vec<(Uid, Uid)>,
}
