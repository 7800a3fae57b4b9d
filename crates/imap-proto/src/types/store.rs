//! STORE. RFC 9051 §6.4.6, RFC 7162 §3.1.3

use mail_types::ModSeq;

use super::{FlagList, Numbering, SequenceSet};

/// Arguments of STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Whether the set holds UIDs.
    pub numbering: Numbering,
    /// Which messages.
    pub set: SequenceSet,
    /// `UNCHANGEDSINCE`: leave messages alone that changed after it. RFC 7162 §3.1.3
    pub unchanged_since: Option<ModSeq>,
    /// What is done with the flags.
    pub action: StoreAction,
    /// Whether the new flags are told.
    pub reply: StoreReply,
    /// The flags.
    pub flags: FlagList,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAction {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Whether the server tells the new flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreReply {
    /// It does.
    Flags,
    /// `.SILENT`: it does not.
    Silent,
}
