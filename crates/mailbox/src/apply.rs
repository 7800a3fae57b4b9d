//! The next account after a log entry.

use std::fmt;
use std::sync::Arc;

use mail_types::{MailboxId, MessageId, ModSeq, Uid, UidSet, UidValidity};

use crate::account::{Inner, Mailbox};
use crate::snapshot::FlagEdit;
use crate::{
    Account, Added, AnnotationEdit, Annotations, Change, Counts, FlagRun, LogEntry, MailboxRecord,
    MailboxSnapshotBuilder, MembershipRow,
};

/// Stored state that contradicts itself. Nothing a client does leads here: a row, a record or a log
/// entry was lost or damaged, or the program is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// An entry does not follow on the account's last one.
    ModSeqGap {
        /// The account's modseq.
        head: ModSeq,
        /// The entry's.
        entry: ModSeq,
    },
    /// Something speaks of a mailbox that is not there.
    NoSuchMailbox(MailboxId),
    /// Two mailboxes have this id, or an id was given out again.
    IdTwice(MailboxId),
    /// The mailbox has the name of another one.
    NameTwice(MailboxId),
    /// The mailbox's record has an id, a modseq or a UIDVALIDITY that the head has not given out.
    MailboxAheadOfHead(MailboxId),
    /// A new mailbox has a UIDVALIDITY that was given before. RFC 9051 §2.3.1.1
    UidValidityTwice(MailboxId),
    /// The messages of a mailbox are not what its record counts.
    ContentsDisagree(MailboxId),
    /// The change cannot be turned into rows without the mailbox's contents.
    ContentsMissing(MailboxId),
    /// A message's row does not fit, or a change speaks of a message that is not there.
    Row {
        /// The mailbox.
        mailbox: MailboxId,
        /// The message.
        uid: Uid,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModSeqGap { head, entry } => {
                write!(f, "log entry {entry} does not follow on {head}")
            }
            Self::NoSuchMailbox(id) => write!(f, "there is no mailbox {id}"),
            Self::IdTwice(id) => write!(f, "mailbox id {id} was used twice"),
            Self::NameTwice(id) => write!(f, "the name of mailbox {id} is taken"),
            Self::MailboxAheadOfHead(id) => write!(f, "mailbox {id} is ahead of the account"),
            Self::UidValidityTwice(id) => write!(f, "UIDVALIDITY of mailbox {id} was used before"),
            Self::ContentsDisagree(id) => write!(f, "mailbox {id} is not what its record counts"),
            Self::ContentsMissing(id) => write!(f, "mailbox {id} is not loaded"),
            Self::Row { mailbox, uid } => write!(f, "message {uid} does not fit in {mailbox}"),
        }
    }
}

impl std::error::Error for Corruption {}

/// The account after this entry. Contents that are loaded stay loaded; a new mailbox is loaded.
///
/// # Errors
/// If the entry does not follow on this account. The account given is not changed.
pub fn apply(account: &Account, entry: &LogEntry) -> Result<Account, Corruption> {
    let mut inner = (*account.inner).clone();
    if inner.head.modseq.next() != Some(entry.modseq) {
        return Err(Corruption::ModSeqGap { head: inner.head.modseq, entry: entry.modseq });
    }
    inner.head.modseq = entry.modseq;
    for change in &entry.changes {
        apply_change(&mut inner, entry.modseq, change)?;
    }
    inner.check_names()?;
    Ok(Account { inner: Arc::new(inner) })
}

fn apply_change(inner: &mut Inner, modseq: ModSeq, change: &Change) -> Result<(), Corruption> {
    match change {
        Change::MailboxCreated { id, name, uid_validity, special_use } => {
            let mut record = MailboxRecord::new(*id, name.clone(), *uid_validity, modseq);
            record.special_use = *special_use;
            create(inner, record)
        }
        Change::MailboxRemoved { id } => inner.remove_mailbox(*id),
        Change::MailboxRenamed { id, name } => inner.rename_mailbox(*id, name),
        Change::Subscribed { name, subscription } => {
            Arc::make_mut(&mut inner.subscriptions).insert(name.clone(), *subscription);
            Ok(())
        }
        Change::Unsubscribed { name } => {
            Arc::make_mut(&mut inner.subscriptions).remove(name);
            Ok(())
        }
        Change::Added { mailbox, first_uid, messages } => {
            for added in messages {
                let next = MessageId(added.message.get().saturating_add(1));
                inner.head.next_message = inner.head.next_message.max(next);
            }
            add(inner.mailbox_mut(*mailbox)?, modseq, *first_uid, messages)
        }
        Change::FlagsSet { mailbox, runs, counts } => {
            set_flags(inner.mailbox_mut(*mailbox)?, modseq, runs, *counts)
        }
        Change::Annotated { mailbox, uids, edits, counts } => {
            annotate(inner.mailbox_mut(*mailbox)?, modseq, uids, (edits, *counts))
        }
        Change::Expunged { mailbox, uids, counts } => {
            expunge(inner.mailbox_mut(*mailbox)?, modseq, uids, *counts)
        }
        Change::RecentClaimed { mailbox, mark } => {
            let record = &mut inner.mailbox_mut(*mailbox)?.record;
            if *mark != record.uid_next {
                return Err(Corruption::Row { mailbox: *mailbox, uid: *mark });
            }
            record.recent_mark = *mark;
            record.recent = 0;
            Ok(())
        }
        Change::SpecialUsesSet { mailbox, special_use } => {
            inner.mailbox_mut(*mailbox)?.record.special_use = *special_use;
            Ok(())
        }
        Change::MetadataSet { target, entries } => inner.set_metadata(*target, entries),
        Change::AclSet { mailbox, acl } => inner.set_acl(*mailbox, acl.clone()),
        Change::AccessKeyReset { mailbox } => {
            let mailbox = inner.mailbox_mut(*mailbox)?;
            mailbox.key_resets = mailbox.key_resets.saturating_add(1);
            Ok(())
        }
        Change::QuotaSet { quota } => {
            inner.quota = *quota;
            Ok(())
        }
        Change::HistoryForgotten { floor } => {
            inner.head.history_floor = inner.head.history_floor.max(*floor);
            inner.forget_history(*floor);
            Ok(())
        }
    }
}

fn expunge(
    mailbox: &mut Mailbox,
    modseq: ModSeq,
    uids: &UidSet,
    counts: Counts,
) -> Result<(), Corruption> {
    if let Some(contents) = &mailbox.contents {
        mailbox.contents = Some(contents.without(modseq, uids)?);
    }
    let record = &mut mailbox.record;
    let recent = UidSet::range(record.recent_mark, Uid::MAX);
    let lost = u32::try_from(uids.intersection(&recent).len()).unwrap_or(u32::MAX);
    record.recent = record.recent.saturating_sub(lost);
    finish(mailbox, modseq, counts)
}

fn create(inner: &mut Inner, record: MailboxRecord) -> Result<(), Corruption> {
    let id = record.id;
    if id < inner.head.next_mailbox {
        return Err(Corruption::IdTwice(id));
    }
    if record.uid_validity.get() <= inner.head.last_uid_validity {
        return Err(Corruption::UidValidityTwice(id));
    }
    inner.head.next_mailbox = MailboxId(id.get().saturating_add(1));
    inner.head.last_uid_validity = record.uid_validity.get();
    let contents = MailboxSnapshotBuilder::new(&record, ModSeq::ZERO).finish()?;
    inner.insert_mailbox(Mailbox { record, contents: Some(contents), key_resets: 0 })
}

fn add(
    mailbox: &mut Mailbox,
    modseq: ModSeq,
    first_uid: Uid,
    messages: &[Added],
) -> Result<(), Corruption> {
    let record = &mut mailbox.record;
    let corrupt = |uid| Corruption::Row { mailbox: record.id, uid };
    if first_uid < record.uid_next {
        return Err(corrupt(first_uid));
    }
    let mut keywords = record.keywords.clone();
    let mut counts = record.counts;
    let mut uid = first_uid;
    let mut rows: Vec<MembershipRow> = Vec::with_capacity(messages.len());
    let mut annotations: Vec<(Uid, Annotations)> = Vec::new();
    for added in messages {
        rows.push(added.row(uid, modseq, keywords.intern(added.flags.keywords())));
        counts.add(added.flags.system, added.size);
        if !added.annotations.is_empty() {
            counts.annotation_bytes += added.annotations.bytes();
            annotations.push((uid, added.annotations.clone()));
        }
        uid = uid.next().ok_or(corrupt(uid))?;
    }
    record.keywords = keywords;
    record.uid_next = uid;
    record.recent = record.recent.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    if let Some(contents) = &mailbox.contents {
        let names = &mailbox.record.keywords;
        mailbox.contents = Some(contents.with_added(modseq, &rows, annotations, names)?);
    }
    finish(mailbox, modseq, counts)
}

fn set_flags(
    mailbox: &mut Mailbox,
    modseq: ModSeq,
    runs: &[FlagRun],
    counts: Counts,
) -> Result<(), Corruption> {
    let mut edits: Vec<FlagEdit<'_>> = Vec::with_capacity(runs.len());
    for run in runs {
        let keywords = mailbox.record.keywords.intern(run.flags.keywords());
        edits.push(FlagEdit { uids: &run.uids, system: run.flags.system, keywords });
    }
    if let Some(contents) = &mailbox.contents {
        let changed = contents.with_flags(modseq, &edits, &mailbox.record.keywords)?;
        mailbox.contents = Some(changed);
    }
    finish(mailbox, modseq, counts)
}

fn annotate(
    mailbox: &mut Mailbox,
    modseq: ModSeq,
    uids: &mail_types::UidSet,
    (edits, counts): (&[AnnotationEdit], Counts),
) -> Result<(), Corruption> {
    if let Some(contents) = &mailbox.contents {
        mailbox.contents = Some(contents.with_annotations(modseq, uids, edits)?);
    }
    finish(mailbox, modseq, counts)
}

/// Writes what follows from the change into the record, and sees that contents agree with it.
fn finish(mailbox: &mut Mailbox, modseq: ModSeq, counts: Counts) -> Result<(), Corruption> {
    mailbox.record.highest_modseq = modseq;
    mailbox.record.counts = counts;
    match &mailbox.contents {
        Some(contents) => contents.check_against(&mailbox.record),
        None => Ok(()),
    }
}

impl Added {
    /// The row of this message under a UID; `keywords` are the numbers of its keywords.
    pub(crate) fn row(&self, uid: Uid, modseq: ModSeq, keywords: Vec<u16>) -> MembershipRow {
        MembershipRow {
            uid,
            message: self.message,
            thread: self.thread,
            modseq,
            internal_date: self.internal_date,
            save_date: self.save_date,
            size: self.size,
            system: self.flags.system,
            keywords,
        }
    }
}

/// The UIDVALIDITY after the last one given; `None` when there is none left.
pub(crate) fn next_uid_validity(last: u32) -> Option<UidValidity> {
    last.checked_add(1).and_then(UidValidity::new)
}
