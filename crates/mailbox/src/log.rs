//! The log of an account: what each committed operation changed.
//!
//! An entry is all that a follower needs to bring its account up to date. Counts that follow from
//! a mailbox's contents are written in the entry, because a follower may not have them loaded.

use std::sync::Arc;

use mail_types::{
    EntryName, Flags, InternalDate, MailboxId, MailboxName, MessageId, ModSeq, ThreadId, Uid,
    UidSet, UidValidity,
};

use crate::{
    Acl, AnnotationEdit, Annotations, Counts, MetadataTarget, MetadataValue, Quota, SpecialUses,
    Subscription,
};

/// One committed operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its modification sequence: one above the entry before it.
    pub modseq: ModSeq,
    /// When it was decided, seconds since 1970.
    pub at: i64,
    /// What it changed, in order; visible all at once.
    pub changes: Vec<Change>,
}

/// One change to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A mailbox began to exist, empty.
    MailboxCreated {
        /// Its id, never used before.
        id: MailboxId,
        /// Its name.
        name: MailboxName,
        /// Above every UIDVALIDITY that the account gave before.
        uid_validity: UidValidity,
        /// What it is for.
        special_use: SpecialUses,
    },
    /// A mailbox and all messages in it ceased to exist.
    MailboxRemoved {
        /// Its id.
        id: MailboxId,
    },
    /// A mailbox got another name and kept all else.
    MailboxRenamed {
        /// Its id.
        id: MailboxId,
        /// The new name.
        name: MailboxName,
    },
    /// A name was put on the list of subscriptions, whether a mailbox has it or not.
    Subscribed {
        /// The name.
        name: MailboxName,
        /// Who asked.
        subscription: Subscription,
    },
    /// A name was taken off the list of subscriptions.
    Unsubscribed {
        /// The name.
        name: MailboxName,
    },
    /// Messages got the UIDs from `first_uid` on, in order.
    Added {
        /// Where.
        mailbox: MailboxId,
        /// UID of the first one.
        first_uid: Uid,
        /// At least one.
        messages: Vec<Added>,
    },
    /// Messages now have exactly these flags.
    FlagsSet {
        /// Where.
        mailbox: MailboxId,
        /// The messages, grouped by the flags that they have now.
        runs: Vec<FlagRun>,
        /// The mailbox's counts after it.
        counts: Counts,
    },
    /// Annotations of messages have other values. RFC 5257
    Annotated {
        /// Where.
        mailbox: MailboxId,
        /// Messages of which at least one value is another one now.
        uids: UidSet,
        /// The values that each of them has now.
        edits: Vec<AnnotationEdit>,
        /// The mailbox's counts after it.
        counts: Counts,
    },
    /// Messages left a mailbox.
    Expunged {
        /// Where.
        mailbox: MailboxId,
        /// Which; all of them were there.
        uids: UidSet,
        /// The mailbox's counts after it.
        counts: Counts,
    },
    /// A session has taken all messages with UIDs below `mark` as its `\Recent` ones.
    RecentClaimed {
        /// Where.
        mailbox: MailboxId,
        /// The first UID that is still recent.
        mark: Uid,
    },
    /// A mailbox is for something else now. RFC 6154 §4
    SpecialUsesSet {
        /// Its id.
        mailbox: MailboxId,
        /// What it is for.
        special_use: SpecialUses,
    },
    /// Annotations have other values. RFC 5464
    MetadataSet {
        /// Of what.
        target: MetadataTarget,
        /// Names in ascending order with their values; `None` if one is gone.
        entries: Vec<(EntryName, Option<MetadataValue>)>,
    },
    /// Others have other rights to a mailbox. RFC 4314
    AclSet {
        /// Its id.
        mailbox: MailboxId,
        /// The whole list; empty if nobody else has rights any more.
        acl: Arc<Acl>,
    },
    /// A mailbox has another access key, which no row of the account holds: sessions that have it
    /// selected tell it. RFC 4467 §7
    AccessKeyReset {
        /// Its id.
        mailbox: MailboxId,
    },
    /// The account has other limits. RFC 9208
    QuotaSet {
        /// All of them.
        quota: Quota,
    },
    /// The log up to this modseq was forgotten.
    HistoryForgotten {
        /// The last forgotten modseq.
        floor: ModSeq,
    },
}

/// A message as it arrived in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its id: EMAILID.
    pub message: MessageId,
    /// Its conversation: THREADID.
    pub thread: ThreadId,
    /// RFC822.SIZE.
    pub size: u32,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// When it came to this mailbox, seconds since 1970: SAVEDATE.
    pub save_date: i64,
    /// Its flags.
    pub flags: Flags,
    /// Its annotations.
    pub annotations: Annotations,
}

/// Messages that have the same flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagRun {
    /// The messages.
    pub uids: UidSet,
    /// All flags of each of them.
    pub flags: Flags,
}
