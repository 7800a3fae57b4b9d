//! The one place that decides what an operation means.
//!
//! `decide` reads an account and says what would change, without changing it. An operation that
//! changes nothing gets no log entry and no modseq: setting a flag that is set is not a change.
//! RFC 7162 §3.1.11

mod annotate;
mod messages;
mod metadata;
mod quota;
mod rights;
mod tree;

use mail_types::{
    Flags, MailboxId, MailboxName, MessageId, ModSeq, NameError, SpecialUse, Uid, UidSet,
    UidValidity,
};

use crate::apply::next_uid_validity;
use crate::{Account, Actor, Change, LogEntry, Mailbox, MailboxSnapshot, Operation, Resource};

/// What a decision depends on besides the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The time, seconds since 1970.
    pub now: i64,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to commit; `None` if nothing changes.
    pub entry: Option<LogEntry>,
    /// What to tell the one who asked, once the entry is committed.
    pub outcome: Outcome,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, and there is nothing to tell: account created, subscribed, unsubscribed, annotated,
    /// shared, pruned.
    Done,
    /// A mailbox was created.
    Created {
        /// Its id: MAILBOXID. RFC 8474 §4.1
        id: MailboxId,
        /// The names that were created, parents first, the one asked for last.
        names: Vec<MailboxName>,
    },
    /// A mailbox was deleted.
    Deleted {
        /// The id it had.
        id: MailboxId,
    },
    /// Mailboxes have new names.
    Renamed {
        /// The names that were created on the way, parents first.
        created: Vec<MailboxName>,
        /// Old and new name of each mailbox that was renamed; none if INBOX gave its messages away.
        renamed: Vec<(MailboxName, MailboxName)>,
    },
    /// Messages were added.
    Added {
        /// UIDVALIDITY of the mailbox: APPENDUID. RFC 4315 §3
        uid_validity: UidValidity,
        /// Their UIDs, ascending in the order of the messages.
        uids: UidSet,
        /// Their ids in the same order.
        messages: Vec<MessageId>,
        /// Modseq of the addition; `None` if there were no messages.
        modseq: Option<ModSeq>,
    },
    /// Flags were set.
    FlagsSet(FlagsOutcome),
    /// Annotations of messages were set.
    Annotated(FlagsOutcome),
    /// Messages were copied.
    Copied(CopyOutcome),
    /// Messages were moved.
    Moved(CopyOutcome),
    /// A message was replaced.
    Replaced {
        /// UIDVALIDITY of the mailbox of the new one: APPENDUID. RFC 4315 §3
        uid_validity: UidValidity,
        /// The UID of the new one.
        uid: Uid,
        /// Its id: never that of the one that went. RFC 8508 §4.6
        message: MessageId,
        /// Modseq of the change.
        modseq: ModSeq,
    },
    /// Messages were expunged.
    Expunged {
        /// Which.
        uids: UidSet,
        /// Modseq of the expunge; `None` if there was nothing to expunge.
        modseq: Option<ModSeq>,
    },
    /// Recent messages were claimed.
    RecentClaimed {
        /// UIDs from the first to the last that may be shown as `\Recent`; messages among them may
        /// be gone.
        uids: UidSet,
    },
}

/// What became of a STORE, of flags or of annotations. The four sets are disjoint and together are
/// the set that was named.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FlagsOutcome {
    /// Modseq of the change; `None` if nothing changed.
    pub modseq: Option<ModSeq>,
    /// Messages that changed.
    pub changed: UidSet,
    /// Messages that had these flags or values already; their modseq stays.
    pub same: UidSet,
    /// Messages that changed after UNCHANGEDSINCE and were left alone: MODIFIED. RFC 7162 §3.1.3
    pub modified: UidSet,
}

/// What became of a COPY or MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOutcome {
    /// UIDVALIDITY of the target: COPYUID. RFC 4315 §3
    pub uid_validity: UidValidity,
    /// The messages that were there.
    pub source: UidSet,
    /// Their UIDs in the target: as many, in the same order.
    pub target: UidSet,
    /// Modseq of the change; `None` if there was nothing to copy.
    pub modseq: Option<ModSeq>,
}

/// Why an operation is not done. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The mailbox does not exist.
    NonExistent,
    /// The mailbox that messages should be put in does not exist; it may help to create it.
    /// RFC 9051 §6.3.12, §6.4.7
    NoTarget,
    /// There is a mailbox of this name already.
    AlreadyExists,
    /// No mailbox has the name, but names below it exist: there is nothing to delete.
    /// RFC 9051 §6.3.5
    HasChildren,
    /// INBOX can be neither created nor deleted. RFC 9051 §6.3.4, §6.3.5
    InboxImmutable,
    /// A mailbox cannot be put below itself.
    IntoItself,
    /// A mailbox would get a name that is not allowed.
    Name(NameError),
    /// Another mailbox has this use: USEATTR. RFC 6154 §3
    SpecialUseTaken(SpecialUse),
    /// The message that should be replaced is not there. RFC 8508 §3.2
    NoSuchMessage,
    /// No mailbox can have this use: USEATTR. RFC 6154 §3
    SpecialUseUnknown,
    /// The annotation is set by the one who runs the server. RFC 5464 §4.1
    ReadOnlyEntry,
    /// Who asks has no right to it: NOPERM. RFC 4314 §4
    NoPermission {
        /// Whether it may be told that the mailbox exists. If not, the answer is the same as if it
        /// did not. RFC 4314 §6
        visible: bool,
    },
    /// A guest can have no annotations of one's own on the mailbox: NOPRIVATE. RFC 5464 §4.3
    NoPrivateEntries,
    /// Nothing can be kept under this name, or not this value. RFC 5257 §3.2.1
    Annotation,
    /// The message has no body part that an annotation of it is for. RFC 5257 §3.2.1
    NoSuchPart,
    /// The message that should be added is not one of this account.
    UnknownMessage(MessageId),
    /// The account would hold more than it may: OVERQUOTA. RFC 9208 §4.3.1
    OverQuota(Resource),
    /// Something would grow past its limit.
    Limit(Limit),
    /// The mailbox has no UID left. RFC 9051 §2.3.1.1
    UidsExhausted,
    /// The account has no UIDVALIDITY left.
    UidValiditiesExhausted,
    /// The account has no modseq left.
    ModSeqsExhausted,
    /// `Operation::contents_needed` was not heeded. A mistake of the caller.
    NotLoaded(MailboxId),
}

/// What has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Account::MAILBOXES_MAX`]
    Mailboxes,
    /// [`Account::SUBSCRIPTIONS_MAX`]
    Subscriptions,
    /// [`Account::MESSAGES_MAX`]
    Messages,
    /// [`crate::KeywordNames::KEYWORDS_MAX`]
    KeywordsInMailbox,
    /// [`Flags::KEYWORDS_MAX`]
    KeywordsOnMessage,
    /// [`crate::Annotations::VALUE_BYTES_MAX`]
    AnnotationValue,
    /// [`crate::Annotations::ENTRIES_MAX`], [`crate::Annotations::BYTES_MAX`]
    AnnotationsOfMessage,
    /// [`crate::Annotations::MAILBOX_BYTES_MAX`]
    AnnotationsOfMailbox,
    /// [`crate::Metadata::VALUE_BYTES_MAX`]
    MetadataValue,
    /// [`crate::Metadata::ENTRIES_MAX`]
    MetadataEntries,
    /// [`crate::Metadata::BYTES_MAX`]
    MetadataBytes,
    /// [`crate::Acl::ENTRIES_MAX`] or [`crate::Acl::ACCOUNT_ENTRIES_MAX`]
    AclEntries,
}

/// Says what the operation changes if `actor` asks for it. What a guest asks for may be narrowed:
/// flags that the guest has no right to stay as they are, or are left out of what is added.
///
/// # Errors
/// If the operation is refused.
pub fn decide(
    account: &Account,
    actor: &Actor,
    operation: &Operation,
    context: &Context,
) -> Result<Decision, Refusal> {
    let planner = Planner::new(account, actor, context)?;
    planner.check_rights(operation)?;
    match operation {
        Operation::CreateAccount => planner.create_account(),
        Operation::CreateMailbox { name, special_use } => planner.create_mailbox(name, special_use),
        Operation::DeleteMailbox { name } => planner.delete_mailbox(name),
        Operation::RenameMailbox { from, to } if from.is_inbox() => planner.rename_inbox(to),
        Operation::RenameMailbox { from, to } => planner.rename_mailbox(from, to),
        Operation::Subscribe { name } => planner.subscribe(name),
        Operation::Unsubscribe { name } => planner.unsubscribe(name),
        Operation::AddMessages { mailbox, messages } => planner.add_messages(*mailbox, messages),
        Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since } => {
            let store = messages::Store { mode: *mode, flags, unchanged_since: *unchanged_since };
            planner.set_flags(*mailbox, uids, store)
        }
        Operation::Annotate { mailbox, uids, edits, unchanged_since } => {
            planner.annotate(*mailbox, uids, edits, *unchanged_since)
        }
        Operation::Copy { from, to, uids } => planner.copy(*from, *to, uids),
        Operation::Move { from, to, uids } => planner.move_messages(*from, *to, uids),
        Operation::Replace { from, uid, to, message } => planner.replace(*from, *uid, *to, message),
        Operation::Expunge { mailbox, uids } => planner.expunge(*mailbox, uids),
        Operation::ClaimRecent { mailbox } => planner.claim_recent(*mailbox),
        Operation::SetMetadata { target, entries } => planner.set_metadata(*target, entries),
        Operation::SetAcl { mailbox, identifier, change } => {
            planner.set_acl(*mailbox, identifier, *change)
        }
        Operation::NoteKeyReset { mailbox } => planner.note_key_reset(*mailbox),
        Operation::SetQuota { quota } => planner.set_quota(*quota),
        Operation::Prune { floor } => planner.prune(*floor),
    }
}

/// Collects the changes of one operation.
struct Planner<'a> {
    account: &'a Account,
    actor: &'a Actor,
    now: i64,
    modseq: ModSeq,
    changes: Vec<Change>,
    next_mailbox: MailboxId,
    last_uid_validity: u32,
}

impl<'a> Planner<'a> {
    fn new(account: &'a Account, actor: &'a Actor, context: &Context) -> Result<Self, Refusal> {
        let head = account.head();
        Ok(Self {
            account,
            actor,
            now: context.now,
            modseq: head.modseq.next().ok_or(Refusal::ModSeqsExhausted)?,
            changes: Vec::new(),
            next_mailbox: head.next_mailbox,
            last_uid_validity: head.last_uid_validity,
        })
    }

    fn done(self, outcome: Outcome) -> Decision {
        let entry = LogEntry { modseq: self.modseq, at: self.now, changes: self.changes };
        Decision { entry: (!entry.changes.is_empty()).then_some(entry), outcome }
    }

    /// The modseq if something changes.
    fn modseq_if_changed(&self) -> Option<ModSeq> {
        (!self.changes.is_empty()).then_some(self.modseq)
    }

    fn mailbox(&self, id: MailboxId) -> Result<&'a Mailbox, Refusal> {
        self.account.mailbox(id).ok_or(Refusal::NonExistent)
    }

    fn contents(&self, id: MailboxId) -> Result<&'a MailboxSnapshot, Refusal> {
        self.mailbox(id)?.contents().ok_or(Refusal::NotLoaded(id))
    }

    fn note_key_reset(mut self, mailbox: MailboxId) -> Result<Decision, Refusal> {
        self.mailbox(mailbox)?;
        self.changes.push(Change::AccessKeyReset { mailbox });
        Ok(self.done(Outcome::Done))
    }

    fn take_uid_validity(&mut self) -> Result<UidValidity, Refusal> {
        let next = next_uid_validity(self.last_uid_validity);
        let next = next.ok_or(Refusal::UidValiditiesExhausted)?;
        self.last_uid_validity = next.get();
        Ok(next)
    }
}

/// The UIDs from `first` on for `count` messages. 2^32-1 is never given: UIDNEXT has to be able to
/// say that no UID is left, and nothing wraps. RFC 9051 §2.3.1.1
fn uid_run(first: Uid, count: usize) -> Result<UidSet, Refusal> {
    let Some(more) = count.checked_sub(1) else { return Ok(UidSet::new()) };
    let last = u32::try_from(more).ok().and_then(|more| first.get().checked_add(more));
    let last = last.and_then(Uid::new).filter(|last| *last < Uid::MAX);
    Ok(UidSet::range(first, last.ok_or(Refusal::UidsExhausted)?))
}

fn check_keywords_on_message(flags: &Flags) -> Result<(), Refusal> {
    if flags.keywords().len() > Flags::KEYWORDS_MAX {
        return Err(Refusal::Limit(Limit::KeywordsOnMessage));
    }
    Ok(())
}
