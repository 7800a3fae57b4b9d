//! What a client that watches an account knows of it, and how it differs from what is there.

use std::collections::{BTreeMap, BTreeSet};

use mail_types::{EntryName, MailboxId, MailboxName, ModSeq, Uid};
use mailbox::{Account, MailboxRecord, MetadataTarget};

use super::Wants;
use crate::metadata;

/// The account as the client was told of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    modseq: ModSeq,
    /// Which mailbox was selected then: its marks stay behind.
    selected: Option<MailboxId>,
    mailboxes: BTreeMap<MailboxId, Mark>,
    /// The list of subscriptions; `None` if nobody wants to hear of it.
    subscribed: Option<BTreeSet<MailboxName>>,
    /// All annotations; `None` if nobody wants to hear of them.
    annotations: Option<metadata::Told>,
}

/// One mailbox as the client was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    name: MailboxName,
    uid_next: Uid,
    messages: u32,
    pub(super) unseen: u32,
    highest_modseq: ModSeq,
}

/// What is different.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) created: Vec<MailboxName>,
    pub(super) removed: Vec<MailboxName>,
    /// Old name and new name, those of children included.
    renamed: BTreeMap<MailboxName, MailboxName>,
    /// Mailboxes in which something happened, as they were known before.
    pub(super) touched: Vec<(MailboxId, Mark)>,
    /// Names that were subscribed or unsubscribed.
    pub(super) subscriptions: Vec<MailboxName>,
    /// Annotations that were set or removed; those of one target follow each other.
    pub(super) annotations: Vec<(MetadataTarget, EntryName)>,
}

impl Known {
    pub(super) fn of(account: &Account, wants: Wants) -> Self {
        let has_annotations = wants.mailbox_metadata || wants.server_metadata;
        let mark = |record: &MailboxRecord| (record.id, Mark::of(record));
        Self {
            modseq: account.modseq(),
            selected: None,
            mailboxes: account.mailboxes().map(|mailbox| mark(mailbox.record())).collect(),
            subscribed: wants.subscriptions.then(|| subscribed(account)),
            annotations: has_annotations.then(|| metadata::Told::new(account)),
        }
    }

    pub(super) fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// Moves the mark of the selected mailbox, if the client was told of all in it.
    pub(super) fn settle(&mut self, account: &Account, selected: Option<(MailboxId, ModSeq)>) {
        let Some((id, settled)) = selected else { return };
        let record = account.mailbox(id).map(|mailbox| mailbox.record());
        if let (Some(mark), Some(record)) = (self.mailboxes.get_mut(&id), record)
            && record.highest_modseq == settled
            && mark.name == record.name
        {
            *mark = Mark::of(record);
        }
    }

    /// Whether nothing can have changed.
    pub(super) fn is_up_to(
        &self,
        account: &Account,
        selected: Option<(MailboxId, ModSeq)>,
    ) -> bool {
        self.modseq == account.modseq() && self.selected == selected.map(|(id, _)| id)
    }

    /// Takes the account as known, and says what was not.
    ///
    /// Of the selected mailbox the client hears elsewhere. Its mark moves when it was told of all;
    /// otherwise it stays, so that what was not told is news when the mailbox is selected no more.
    pub(super) fn catch_up(
        &mut self,
        account: &Account,
        selected: Option<(MailboxId, ModSeq)>,
    ) -> Changes {
        let mut changes = Changes::default();
        for mailbox in account.mailboxes() {
            self.catch_up_with(mailbox.record(), selected, &mut changes);
        }
        if self.mailboxes.len() > account.mailboxes().len() {
            self.mailboxes.retain(|id, mark| {
                let exists = account.mailbox(*id).is_some();
                if !exists {
                    changes.removed.push(mark.name.clone());
                }
                exists
            });
        }
        if let Some(known) = &mut self.subscribed
            && !known.iter().eq(account.subscriptions().map(|(name, _)| name))
        {
            let now = subscribed(account);
            changes.subscriptions = known.symmetric_difference(&now).cloned().collect();
            *known = now;
        }
        if let Some(known) = &mut self.annotations {
            let now = metadata::Told::new(account);
            changes.annotations = known.changed(&now);
            *known = now;
        }
        self.modseq = account.modseq();
        self.selected = selected.map(|(id, _)| id);
        changes
    }

    fn catch_up_with(
        &mut self,
        record: &MailboxRecord,
        selected: Option<(MailboxId, ModSeq)>,
        changes: &mut Changes,
    ) {
        let mark = self.mailboxes.entry(record.id).or_insert_with(|| {
            // INBOX is there whatever happens. RFC 5465 §5.4
            if !record.name.is_inbox() {
                changes.created.push(record.name.clone());
            }
            Mark::empty(record)
        });
        if mark.name != record.name {
            let old = std::mem::replace(&mut mark.name, record.name.clone());
            changes.renamed.insert(old, record.name.clone());
        }
        if mark.highest_modseq == record.highest_modseq {
            return;
        }
        match selected {
            Some((id, settled)) if id == record.id => {
                if settled == record.highest_modseq {
                    *mark = Mark::of(record);
                }
            }
            _ => {
                let before = std::mem::replace(mark, Mark::of(record));
                changes.touched.push((record.id, before));
            }
        }
    }
}

impl Mark {
    fn of(record: &MailboxRecord) -> Self {
        Self {
            name: record.name.clone(),
            uid_next: record.uid_next,
            messages: record.counts.messages,
            unseen: record.counts.unseen,
            highest_modseq: record.highest_modseq,
        }
    }

    /// As it was when it was made.
    fn empty(record: &MailboxRecord) -> Self {
        Self {
            name: record.name.clone(),
            uid_next: Uid::MIN,
            messages: 0,
            unseen: 0,
            highest_modseq: record.created,
        }
    }

    /// Whether messages came or went.
    pub(super) fn has_other_messages(&self, record: &MailboxRecord) -> bool {
        self.uid_next != record.uid_next || self.messages != record.counts.messages
    }
}

impl Changes {
    /// Renames, without those of children that only follow their parent. RFC 5465 §5.4
    pub(super) fn roots_of_renames(&self) -> impl Iterator<Item = (&MailboxName, &MailboxName)> {
        self.renamed.iter().filter(|(old, new)| !self.follows_a_parent(old, new))
    }

    fn follows_a_parent(&self, old: &MailboxName, new: &MailboxName) -> bool {
        let mut at = old.parent();
        while let Some(parent) = at {
            if let Some(to) = self.renamed.get(&parent)
                && old.moved(&parent, to).is_some_and(|moved| moved.as_ref() == Ok(new))
            {
                return true;
            }
            at = parent.parent();
        }
        false
    }
}

fn subscribed(account: &Account) -> BTreeSet<MailboxName> {
    account.subscriptions().map(|(name, _)| name.clone()).collect()
}
