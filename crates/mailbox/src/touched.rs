//! Which rows of the store a log entry changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use mail_types::{EntryName, MailboxId, MailboxName, ModSeq, Uid, UidSet};

use crate::apply::Corruption;
use crate::{
    Account, Acl, Added, Annotations, Audience, Change, LogEntry, MailboxRecord, MembershipRow,
    MetadataTarget, MetadataValue, Quota, Subscription,
};

/// The rows to write for one entry, besides the entry itself and the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Mailbox records to write as they are in the account after the entry.
    pub mailboxes_put: Vec<MailboxId>,
    /// Mailboxes to remove with all their messages.
    pub mailboxes_removed: Vec<MailboxId>,
    /// Messages to write.
    pub rows_put: Vec<(MailboxId, MembershipRow)>,
    /// Messages to remove.
    pub rows_removed: Vec<(MailboxId, UidSet)>,
    /// Annotations to write, or to remove where an audience has none: of one message all that one
    /// audience has. Those of a removed message go with it and are not named.
    pub annotations: Vec<(MailboxId, Uid, Audience, Annotations)>,
    /// Subscriptions to write.
    pub subscriptions_put: Vec<(MailboxName, Subscription)>,
    /// Subscriptions to remove.
    pub subscriptions_removed: Vec<MailboxName>,
    /// Annotations to write, or to remove where there is no value, in order. Those of a removed
    /// mailbox go with it and are not named.
    pub metadata: Vec<(MetadataTarget, EntryName, Option<MetadataValue>)>,
    /// Access control lists to write, or to remove where they are empty. Those of a removed mailbox
    /// go with it and are not named.
    pub acls: Vec<(MailboxId, Arc<Acl>)>,
    /// The limits to write.
    pub quota: Option<Quota>,
}

/// The rows that `entry` changed on the way to `after`, the account that `apply` made of it.
///
/// # Errors
/// If a changed mailbox is not loaded in `after`, or the entry is not the one that led there.
pub fn touched(after: &Account, entry: &LogEntry) -> Result<Touched, Corruption> {
    let mut touched = Touched::default();
    for change in &entry.changes {
        touched.note(after, entry, change)?;
    }
    touched.mailboxes_put.sort_unstable();
    touched.mailboxes_put.dedup();
    Ok(touched)
}

impl Touched {
    fn note(
        &mut self,
        after: &Account,
        entry: &LogEntry,
        change: &Change,
    ) -> Result<(), Corruption> {
        match change {
            Change::MailboxCreated { id, .. } | Change::MailboxRenamed { id, .. } => {
                self.mailboxes_put.push(*id);
            }
            Change::MailboxRemoved { id } => self.mailboxes_removed.push(*id),
            Change::Subscribed { name, subscription } => {
                self.subscriptions_put.push((name.clone(), *subscription));
            }
            Change::Unsubscribed { name } => self.subscriptions_removed.push(name.clone()),
            Change::RecentClaimed { mailbox, .. } | Change::SpecialUsesSet { mailbox, .. } => {
                self.mailboxes_put.push(*mailbox);
            }
            Change::MetadataSet { target, entries } => {
                let rows =
                    entries.iter().map(|(name, value)| (*target, name.clone(), value.clone()));
                self.metadata.extend(rows);
            }
            Change::Added { mailbox, first_uid, messages } => {
                let mailbox = mailbox_of(after, *mailbox)?.record();
                self.note_added(mailbox, entry.modseq, *first_uid, messages)?;
            }
            Change::FlagsSet { mailbox, runs, .. } => {
                let contents = mailbox_of(after, *mailbox)?.contents();
                let contents = contents.ok_or(Corruption::ContentsMissing(*mailbox))?;
                for run in runs {
                    let rows = contents.select(&run.uids).map(|(_, e)| (*mailbox, e.row()));
                    self.rows_put.extend(rows);
                }
                self.mailboxes_put.push(*mailbox);
            }
            Change::Annotated { mailbox, uids, edits, .. } => {
                let contents = mailbox_of(after, *mailbox)?.contents();
                let contents = contents.ok_or(Corruption::ContentsMissing(*mailbox))?;
                let audiences: BTreeSet<Audience> = edits.iter().map(|it| it.audience).collect();
                for (_, entry) in contents.select(uids) {
                    self.rows_put.push((*mailbox, entry.row()));
                    for audience in &audiences {
                        let annotations = entry.annotations();
                        self.annotations.push((*mailbox, entry.uid(), *audience, annotations));
                    }
                }
                self.mailboxes_put.push(*mailbox);
            }
            Change::Expunged { mailbox, uids, .. } => {
                self.rows_removed.push((*mailbox, uids.clone()));
                self.mailboxes_put.push(*mailbox);
            }
            Change::AclSet { mailbox, acl } => self.acls.push((*mailbox, acl.clone())),
            Change::QuotaSet { quota } => self.quota = Some(*quota),
            Change::AccessKeyReset { .. } | Change::HistoryForgotten { .. } => {}
        }
        Ok(())
    }

    fn note_added(
        &mut self,
        record: &MailboxRecord,
        modseq: ModSeq,
        first_uid: Uid,
        messages: &[Added],
    ) -> Result<(), Corruption> {
        let mut names = record.keywords.clone();
        let mut uid = Some(first_uid);
        for added in messages {
            let at = uid.ok_or(Corruption::ContentsDisagree(record.id))?;
            let keywords = names.intern(added.flags.keywords());
            self.rows_put.push((record.id, added.row(at, modseq, keywords)));
            for audience in added.annotations.audiences() {
                self.annotations.push((record.id, at, audience, added.annotations.clone()));
            }
            uid = at.next();
        }
        self.mailboxes_put.push(record.id);
        Ok(())
    }
}

fn mailbox_of(account: &Account, id: MailboxId) -> Result<&crate::Mailbox, Corruption> {
    account.mailbox(id).ok_or(Corruption::NoSuchMailbox(id))
}
