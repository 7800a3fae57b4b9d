//! Decided changes as one commit of the store.
//!
//! For one flag change: a membership, its mailbox's record, a log row and the head. A batch of many
//! operations writes each mailbox record and the head once.

use std::collections::BTreeSet;

use mail_types::MailboxId;
use mailbox::{Account, Change, LogEntry, MetadataTarget, Touched, touched};
use store::limits::{COMMIT_BYTES_MAX, LEASES_PER_COMMIT_MAX, WRITES_PER_COMMIT_MAX};
use store::{BlobLease, Commit, Expected, Write};

use crate::codec::log::encode_entry;
use crate::codec::rows::{
    HeadRow, RemovedMailbox, encode_acl, encode_annotations, encode_mailbox, encode_membership,
    encode_metadata, encode_quota, encode_subscription,
};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};

/// The rows that an operation brings besides those of the model.
#[derive(Default)]
pub(crate) struct Extra {
    /// Message and thread rows.
    pub(crate) writes: Vec<Write>,
    /// The blobs that they name.
    pub(crate) leases: Vec<BlobLease>,
}

/// A commit under construction for one account.
pub(crate) struct CommitBuilder<'a> {
    keys: &'a AccountKeys,
    commit: Commit,
    /// Records to be written once, as they are at the end.
    mailboxes: BTreeSet<MailboxId>,
    bytes: usize,
}

/// The writes of one operation, before it is known whether they fit.
pub(crate) struct OperationWrites {
    writes: Vec<Write>,
    leases: Vec<BlobLease>,
    mailboxes: Vec<MailboxId>,
    bytes: usize,
}

impl<'a> CommitBuilder<'a> {
    pub(crate) fn new(keys: &'a AccountKeys) -> Self {
        let (commit, mailboxes) = (Commit::new(), BTreeSet::new());
        Self { keys, commit, mailboxes, bytes: 0 }
    }

    /// Whether an operation with these writes still fits.
    pub(crate) fn has_room(&self, more: &OperationWrites) -> bool {
        // Every mailbox record and the head are written besides.
        let records = self.mailboxes.len() + more.mailboxes.len() + 1;
        self.commit.writes.len() + more.writes.len() + records <= WRITES_PER_COMMIT_MAX
            && self.commit.leases.len() + more.leases.len() <= LEASES_PER_COMMIT_MAX
            && self.bytes + more.bytes + records * RECORD_BYTES_GUESS <= COMMIT_BYTES_MAX
    }

    pub(crate) fn add(&mut self, more: OperationWrites) {
        self.commit.writes.extend(more.writes);
        self.commit.leases.extend(more.leases);
        self.mailboxes.extend(more.mailboxes);
        self.bytes += more.bytes;
    }

    /// The commit that leads from the head `before` to `after`.
    pub(crate) fn finish(self, before: Expected, after: &Account, row: &HeadRow) -> Commit {
        let Self { keys, mut commit, mailboxes, .. } = self;
        for id in mailboxes {
            // One that was removed in the same batch has no record any more.
            if let Some(mailbox) = after.mailbox(id) {
                let key = keys.key(&AccountKey::Mailbox(id));
                commit.writes.push(Write::put(key, encode_mailbox(mailbox.record())));
            }
        }
        let head = keys.key(&AccountKey::Head);
        commit.writes.push(Write::put(head.clone(), row.encode()));
        commit.when(head, before)
    }
}

impl OperationWrites {
    /// What has to be written for one entry.
    ///
    /// # Errors
    /// `Inconsistent` if the entry does not lead from `before` to `after`.
    pub(crate) fn new(
        keys: &AccountKeys,
        before: &Account,
        after: &Account,
        entry: &LogEntry,
        extra: Extra,
    ) -> Result<Self, ServiceError> {
        let rows = touched(after, entry)?;
        let mut writes = extra.writes;
        write_removals(keys, before, entry, &rows, &mut writes);
        for (mailbox, row) in &rows.rows_put {
            let key = keys.key(&AccountKey::Membership(*mailbox, row.uid));
            writes.push(Write::put(key, encode_membership(row)));
        }
        for (mailbox, uid, audience, annotations) in &rows.annotations {
            let key = keys.key(&AccountKey::Annotations(*mailbox, *uid, *audience));
            writes.push(match annotations.of(*audience).next() {
                Some(_) => Write::put(key, encode_annotations(annotations, *audience)),
                None => Write::delete(key),
            });
        }
        for (name, subscription) in &rows.subscriptions_put {
            let key = keys.key(&AccountKey::Subscription(name.clone()));
            writes.push(Write::put(key, encode_subscription(*subscription)));
        }
        for name in &rows.subscriptions_removed {
            writes.push(Write::delete(keys.key(&AccountKey::Subscription(name.clone()))));
        }
        if let Some(quota) = &rows.quota {
            writes.push(Write::put(keys.key(&AccountKey::Quota), encode_quota(quota)));
        }
        for (target, name, value) in &rows.metadata {
            let key = keys.key(&AccountKey::Metadata(*target, name.clone()));
            writes.push(match value {
                Some(value) => Write::put(key, encode_metadata(value)),
                None => Write::delete(key),
            });
        }
        for (mailbox, acl) in &rows.acls {
            let key = keys.key(&AccountKey::Acl(*mailbox));
            let is_gone = acl.is_empty();
            writes.push(if is_gone {
                Write::delete(key)
            } else {
                Write::put(key, encode_acl(acl))
            });
        }
        for (page, value) in (0..).zip(encode_entry(entry)) {
            writes.push(Write::put(keys.key(&AccountKey::Log(entry.modseq, page)), value));
        }
        let bytes = writes.iter().map(write_bytes).sum();
        Ok(Self { writes, leases: extra.leases, mailboxes: rows.mailboxes_put, bytes })
    }
}

/// Expunged messages move to where the sweep finds them; a removed mailbox keeps its messages and
/// only its record moves, so that removing 100,000 messages at once costs two rows.
fn write_removals(
    keys: &AccountKeys,
    before: &Account,
    entry: &LogEntry,
    rows: &Touched,
    writes: &mut Vec<Write>,
) {
    for (id, uids) in &rows.rows_removed {
        let contents = before.mailbox(*id).and_then(|mailbox| mailbox.contents());
        for uid in uids.iter() {
            writes.push(Write::delete(keys.key(&AccountKey::Membership(*id, uid))));
        }
        for (_, message) in contents.iter().flat_map(|contents| contents.select(uids)) {
            let key = AccountKey::Expunged(*id, entry.modseq, message.uid());
            writes.push(Write::put(keys.key(&key), encode_membership(&message.row())));
            // Annotations end with the message: nothing asks for those of one that is gone.
            for audience in message.annotations().audiences() {
                let key = AccountKey::Annotations(*id, message.uid(), audience);
                writes.push(Write::delete(keys.key(&key)));
            }
        }
    }
    for id in &rows.mailboxes_removed {
        writes.push(Write::delete(keys.key(&AccountKey::Mailbox(*id))));
        // What was authorized ends with the mailbox at once. RFC 4467 §2.2
        writes.push(Write::delete(keys.key(&AccountKey::AccessKey(*id))));
        // A mailbox that was made in the same entry was never stored.
        let Some(mailbox) = before.mailbox(*id) else { continue };
        let removed =
            RemovedMailbox { record: mailbox.record().clone(), modseq: entry.modseq, at: entry.at };
        writes.push(Write::put(keys.key(&AccountKey::RemovedMailbox(*id)), removed.encode()));
        if before.acl(*id).is_some() {
            writes.push(Write::delete(keys.key(&AccountKey::Acl(*id))));
        }
        let target = MetadataTarget::Mailbox(*id);
        for (name, _) in before.metadata().of(target) {
            writes.push(Write::delete(keys.key(&AccountKey::Metadata(target, name.clone()))));
        }
    }
}

/// The messages that an entry adds to the account, in order.
pub(crate) fn added_messages(
    entry: &LogEntry,
) -> impl Iterator<Item = (mail_types::MessageId, mail_types::ThreadId)> + '_ {
    entry.changes.iter().flat_map(|change| {
        let added = match change {
            Change::Added { messages, .. } => messages.as_slice(),
            _ => &[],
        };
        added.iter().map(|added| (added.message, added.thread))
    })
}

fn write_bytes(write: &Write) -> usize {
    match write {
        Write::Put { key, value } => key.len() + value.len(),
        Write::Delete { key } => key.len(),
    }
}

/// A mailbox record with its key: a name of 1,000 bytes and 256 keywords would be more, but not in
/// all records of a commit.
const RECORD_BYTES_GUESS: usize = 1024;
