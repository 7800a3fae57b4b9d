//! What may be asked of an account.
//!
//! Operations name messages by UID and never by sequence number, so that they mean the same
//! whatever has happened since a session formed them.

use mail_types::{
    EntryName, Flags, InternalDate, MailboxId, MailboxName, MessageId, ModSeq, SpecialUse,
    ThreadId, Uid, UidSet,
};

use crate::{
    Account, AnnotationEdit, Annotations, Identifier, MetadataTarget, Quota, RightsChange,
};

/// One request for change: at most one modseq, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Gives a new account its mailboxes: INBOX, Drafts, Sent, Junk, Trash, Archive, subscribed.
    CreateAccount,
    /// Makes a mailbox and the parents that it lacks, all subscribed. RFC 9051 §6.3.4
    CreateMailbox {
        /// Its name.
        name: MailboxName,
        /// What it is for. RFC 6154 §3
        special_use: Vec<SpecialUse>,
    },
    /// Removes a mailbox with its messages; those below it stay. RFC 9051 §6.3.5
    DeleteMailbox {
        /// Its name.
        name: MailboxName,
    },
    /// Gives a mailbox and all below it another place in the tree; INBOX gives away its messages
    /// instead. RFC 9051 §6.3.6
    RenameMailbox {
        /// What it is called.
        from: MailboxName,
        /// What it shall be called.
        to: MailboxName,
    },
    /// Puts a name on the list of subscriptions; it need not exist. RFC 9051 §6.3.7
    Subscribe {
        /// The name.
        name: MailboxName,
    },
    /// Takes a name off the list of subscriptions. RFC 9051 §6.3.8
    Unsubscribe {
        /// The name.
        name: MailboxName,
    },
    /// Adds messages in this order: APPEND, MULTIAPPEND, delivery. RFC 9051 §6.3.12
    AddMessages {
        /// Where.
        mailbox: MailboxId,
        /// What; ids are given out in this order.
        messages: Vec<NewMessage>,
    },
    /// Changes flags: STORE, and `\Seen` by FETCH. RFC 9051 §6.4.6
    SetFlags {
        /// Where.
        mailbox: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidSet,
        /// How.
        mode: FlagMode,
        /// The flags named.
        flags: Flags,
        /// Leave messages alone that changed after this one. RFC 7162 §3.1.3
        unchanged_since: Option<ModSeq>,
    },
    /// Sets and removes annotations of messages, all or none. RFC 5257 §4.5
    Annotate {
        /// Where.
        mailbox: MailboxId,
        /// Which messages; those that do not exist are passed over.
        uids: UidSet,
        /// What; of a value that comes twice the last counts.
        edits: Vec<AnnotationEdit>,
        /// Leave messages alone that changed after this one. RFC 7162 §3.1.3
        unchanged_since: Option<ModSeq>,
    },
    /// Adds the messages to another mailbox, or to the same one. RFC 9051 §6.4.7
    Copy {
        /// From where.
        from: MailboxId,
        /// To where.
        to: MailboxId,
        /// Which; those that do not exist are passed over.
        uids: UidSet,
    },
    /// Copies and expunges at once. RFC 6851 §3.3
    Move {
        /// From where.
        from: MailboxId,
        /// To where.
        to: MailboxId,
        /// Which; those that do not exist are passed over.
        uids: UidSet,
    },
    /// Adds a message and expunges another one at once. RFC 8508 §3.4
    Replace {
        /// Where the message is that goes.
        from: MailboxId,
        /// Which.
        uid: Uid,
        /// Where the new one goes: the same mailbox or another one.
        to: MailboxId,
        /// The new one.
        message: NewMessage,
    },
    /// Removes those of the messages that have `\Deleted`. RFC 9051 §6.4.3, §6.4.9
    Expunge {
        /// Where.
        mailbox: MailboxId,
        /// Among which. A plain EXPUNGE names all that its session has been told of.
        uids: UidSet,
    },
    /// Takes the messages that no session has had as `\Recent` yet. RFC 3501 §2.3.2
    ClaimRecent {
        /// Where.
        mailbox: MailboxId,
    },
    /// Sets, replaces and removes annotations, all or none. RFC 5464 §4.3
    SetMetadata {
        /// Of what.
        target: MetadataTarget,
        /// Names and values; of a name that comes twice the last counts. `None` removes.
        entries: Vec<(EntryName, Option<Vec<u8>>)>,
    },
    /// Changes what one identifier may do with a mailbox. RFC 4314 §3.1, §3.2
    SetAcl {
        /// Where.
        mailbox: MailboxId,
        /// Whose rights.
        identifier: Identifier,
        /// How.
        change: RightsChange,
    },
    /// Lets all sessions know that a mailbox has another access key. RFC 4467 §7
    NoteKeyReset {
        /// Which.
        mailbox: MailboxId,
    },
    /// Sets what the account may hold. RFC 9208 §4.1.3
    SetQuota {
        /// All limits; those of before are forgotten.
        quota: Quota,
    },
    /// Forgets what happened up to a modseq. RFC 7162 §3.2.6
    Prune {
        /// The last modseq to forget.
        floor: ModSeq,
    },
}

/// A message to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id if the account has it already; `None` for a new one.
    pub message: Option<MessageId>,
    /// The conversation that it belongs to; `None` starts one, with the message's own number.
    pub thread: Option<ThreadId>,
    /// Size in bytes.
    pub size: u32,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// Flags to begin with.
    pub flags: Flags,
    /// Annotations to begin with. RFC 5257 §4.7
    pub annotations: Annotations,
}

/// What STORE does with the flags it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

impl FlagMode {
    /// The flags of a message that had `before`.
    pub fn result(self, before: &Flags, named: &Flags) -> Flags {
        match self {
            Self::Add => before.union(named),
            Self::Remove => before.without(named),
            Self::Replace => named.clone(),
        }
    }
}

impl Operation {
    /// The mailboxes whose contents have to be loaded before the operation can be decided, each
    /// once.
    ///
    /// Mailboxes that do not exist are not named: `decide` refuses those.
    pub fn contents_needed(&self, account: &Account) -> Vec<MailboxId> {
        let needed = match self {
            Self::SetFlags { mailbox, .. }
            | Self::Annotate { mailbox, .. }
            | Self::Expunge { mailbox, .. } => Some(*mailbox),
            Self::Copy { from, .. } | Self::Move { from, .. } | Self::Replace { from, .. } => {
                Some(*from)
            }
            Self::RenameMailbox { from, .. } if from.is_inbox() => {
                account.by_name(from).map(|mailbox| mailbox.record().id)
            }
            Self::CreateAccount
            | Self::CreateMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::AddMessages { .. }
            | Self::ClaimRecent { .. }
            | Self::SetMetadata { .. }
            | Self::SetAcl { .. }
            | Self::NoteKeyReset { .. }
            | Self::SetQuota { .. }
            | Self::Prune { .. } => None,
        };
        let is_missing = |id: &MailboxId| {
            account.mailbox(*id).is_some_and(|mailbox| mailbox.contents().is_none())
        };
        needed.filter(is_missing).into_iter().collect()
    }
}
