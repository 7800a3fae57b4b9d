//! Taking out what nobody needs any more: history, expunged mail and removed mailboxes past their
//! retention, and blobs that no row names.
//!
//! Works in steps of [`SWEEP_STEP_ROWS`], each with a view and a commit of its own, and may be
//! stopped after any of them: what is left is found again by the next sweep.
//!
//! Why nothing in use is deleted, though mail comes and moves meanwhile:
//! - Only rows at or below the history floor are deleted, and no such row is ever written again.
//! - A message counts as unused if its number was given before the sweep began and no membership
//!   names it. Memberships are looked at before expunged ones: a message that moves meanwhile
//!   leaves an expunged membership where it was, so it is seen at one of the two places.
//! - Blobs are listed before message rows are read. One that a commit names after that is not as it
//!   was listed any more, so the store keeps it; a name that came earlier is among the rows.
//! - Rows that damage has hidden name nothing, and what they named would be deleted. So messages
//!   are only deleted after every mailbox has been found to hold as many as it counts, and blobs
//!   only after every message that is in use has been found.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use mail_types::{AccountId, MessageId, ModSeq, ThreadId};
use mailbox::{Change, Corruption, LogEntry, Operation};
use store::{BlobId, BlobKey, Commit, CommitNo, Deletion, KeyRange, Store, View, Write};

use crate::accounts::{Removal, finish_removal};
use crate::codec::CorruptRecord;
use crate::codec::message::StoredMessage;
use crate::codec::queue::decode_delivered;
use crate::codec::rows::{RemovedMailbox, decode_mailbox, decode_membership_message};
use crate::codec::sent::SentMark;
use crate::error::ServiceError;
use crate::keys::{self, AccountKey, AccountKeys};
use crate::limits::SWEEP_STEP_ROWS;
use crate::loader::{load_head, scan, strange_key};
use crate::log::read_log;
use crate::queue::is_old_mark;
use crate::service::{Service, blocking};
use crate::thread::decode_thread;

/// What a sweep took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Accounts that were looked at.
    pub accounts: u64,
    /// Expunged memberships past their retention.
    pub expunged: u64,
    /// Messages without a membership.
    pub messages: u64,
    /// Blobs that nothing named.
    pub blobs: u64,
    /// Pages of log entries past their retention.
    pub log_rows: u64,
}

impl Service {
    /// Sweeps everything once. Takes as long as it takes to read all rows; other work goes on.
    /// Accounts that nobody uses are let go of.
    ///
    /// # Errors
    /// The first error of an account, after the others were swept; errors of the store.
    pub async fn sweep(&self) -> Result<SweepReport, ServiceError> {
        self.shared.registry.cool();
        self.finish_removals().await?;
        let mut report = SweepReport::default();
        let mut result = Ok(());
        let accounts = self.list_accounts().await?;
        for account in &accounts {
            match self.sweep_account(account.id).await {
                Ok(part) => report.add(part),
                // Removed while the others were swept.
                Err(ServiceError::NoSuchAccount) => {}
                Err(error) => {
                    tracing::warn!(account = %account.id, %error, "account was not swept");
                    result = Err(error);
                }
            }
        }
        if let Err(error) = self.sweep_grants().await {
            tracing::warn!(%error, "grants were not swept");
            result = Err(error);
        }
        if let Err(error) = self.sweep_greylist().await {
            tracing::warn!(%error, "greylisting was not swept");
            result = Err(error);
        }
        if let Err(error) = self.sweep_stories().await {
            tracing::warn!(%error, "stories of messages were not swept");
            result = Err(error);
        }
        if let Err(error) = self.sweep_tls().await {
            tracing::warn!(%error, "what is known of TLS to other domains was not swept");
            result = Err(error);
        }
        report.blobs += self.sweep_queue().await?;
        report.blobs += self.sweep_strays().await?;
        let store = Arc::clone(&self.shared.store);
        // Deleted blobs leave holes in packs; this gives the space back to the system.
        blocking(move || Ok(store.reclaim()?)).await?;
        result.map(|()| report)
    }

    /// Sweeps one account.
    ///
    /// # Errors
    /// `NoSuchAccount`, `Corrupt`, errors of the store.
    pub async fn sweep_account(&self, id: AccountId) -> Result<SweepReport, ServiceError> {
        let cutoff = self.shared.world.clock.now_secs() - self.shared.config.retention_secs;
        let keys = AccountKeys::new(id);
        let found = {
            let keys = keys.clone();
            let read = move |view: &dyn View| {
                let is_frozen = load_head(view, &keys)?.frozen;
                // What is being moved is swept where it arrives.
                if is_frozen { Ok(None) } else { prunable(view, &keys, cutoff).map(Some) }
            };
            self.shared.read(read).await?
        };
        let Some(due) = found else { return Ok(SweepReport::default()) };
        if let Some(floor) = due {
            self.account(id).await?.submit(Operation::Prune { floor }).await?;
        }
        let store = Arc::clone(&self.shared.store);
        let now = self.shared.world.clock.now_secs();
        blocking(move || Sweep { store: &*store, keys }.run(cutoff, now)).await
    }

    /// Goes on with removals that a crash interrupted.
    async fn finish_removals(&self) -> Result<(), ServiceError> {
        let removed = self.shared.read(|view| {
            let mut removed = Vec::new();
            scan(view, &keys::removal_all(), |key, value| {
                let id = keys::removal_account(key).ok_or_else(|| strange_key(key))?;
                removed.push((id, Removal::decode(key, value)?));
                Ok(())
            })?;
            Ok(removed)
        });
        for (id, removal) in removed.await? {
            let (store, world) = (Arc::clone(&self.shared.store), self.shared.world.clone());
            blocking(move || finish_removal(&*store, id, &removal, &world)).await?;
        }
        Ok(())
    }

    /// Removes blobs whose scope is no account's: they were put while it was being removed.
    async fn sweep_strays(&self) -> Result<u64, ServiceError> {
        let store = Arc::clone(&self.shared.store);
        blocking(move || {
            let mut swept = 0;
            let mut after: Option<BlobKey> = None;
            loop {
                let mut scope = None;
                store.list_blobs(after.as_ref(), &mut |blob| {
                    scope = Some(blob.key.scope);
                    ControlFlow::Break(())
                })?;
                let Some(scope) = scope else { return Ok(swept) };
                if scope == keys::QUEUE_SCOPE {
                    after = Some(BlobKey::new(&scope, [u8::MAX; 32].into()));
                    continue;
                }
                let is_stray = || is_stray(&*store.view()?, &scope);
                if is_stray()? {
                    let listed = list_scope(&*store, &scope)?;
                    // The account may have been made before they were listed.
                    if is_stray()? {
                        swept += delete_listed(&*store, &scope, &listed)?;
                    }
                }
                after = Some(BlobKey::new(&scope, [u8::MAX; 32].into()));
            }
        })
        .await
    }
}

impl SweepReport {
    fn add(&mut self, other: Self) {
        self.accounts += other.accounts;
        self.expunged += other.expunged;
        self.messages += other.messages;
        self.blobs += other.blobs;
        self.log_rows += other.log_rows;
    }
}

/// Whether the scope is that of no account, nor of one that is arriving: that gets its head last.
fn is_stray(view: &dyn View, scope: &[u8]) -> Result<bool, ServiceError> {
    // One row is enough: only a removal that has ended leaves none, while damage may hide some.
    let mut has_rows = false;
    view.scan(&KeyRange::prefix(scope), &mut |_, _| {
        has_rows = true;
        ControlFlow::Break(())
    })?;
    if has_rows {
        return Ok(false);
    }
    let number = scope.get(1..).and_then(|number| number.try_into().ok());
    let Some(number) = number else { return Ok(true) };
    let mark = view.get(&keys::removal(AccountId(u64::from_be_bytes(number))))?;
    Ok(mark != Some(Removal::Arriving.encode()))
}

/// The modseq up to which history is older than `cutoff`, if there is anything worth forgetting: an
/// idle account must not get a new entry at each sweep only to forget the one before.
fn prunable(
    view: &dyn View,
    keys: &AccountKeys,
    cutoff: i64,
) -> Result<Option<ModSeq>, ServiceError> {
    let head = load_head(view, keys)?.head;
    let (mut floor, mut is_worth_it, mut is_young) = (None, false, false);
    read_log(view, keys, head.history_floor, |entry| {
        is_young |= entry.at > cutoff;
        if !is_young {
            is_worth_it |= !is_prune(&entry);
            floor = Some(entry.modseq);
        }
        Ok(())
    })?;
    Ok(floor.filter(|_| is_worth_it))
}

fn is_prune(entry: &LogEntry) -> bool {
    entry.changes.iter().all(|change| matches!(change, Change::HistoryForgotten { .. }))
}

struct Sweep<'a> {
    store: &'a dyn Store,
    keys: AccountKeys,
}

impl Sweep<'_> {
    fn run(&self, cutoff: i64, now: i64) -> Result<SweepReport, ServiceError> {
        let head = load_head(&*self.store.view()?, &self.keys)?.head;
        let mut report = SweepReport { accounts: 1, ..SweepReport::default() };
        report.log_rows = self.delete_all(&self.keys.log_until(head.history_floor))?;
        self.delete_removed_mailboxes(head.history_floor, cutoff)?;
        report.expunged =
            self.visit(&self.keys.expunged_all(), |key, _| match self.keys.parse(key) {
                Some(AccountKey::Expunged(_, modseq, _)) => Ok(modseq <= head.history_floor),
                _ => Err(strange_key(key)),
            })?;
        self.delete_left_access_keys()?;
        self.delete_old_marks(now)?;
        self.verify_counts()?;
        let bound = head.next_message.get();
        let used = self.used_messages(bound)?;
        let mut blobs = list_scope(self.store, self.keys.prefix())?;
        let (mut named, mut threads) = (HashSet::new(), HashSet::new());
        let mut missing = used.clone();
        report.messages = self.visit(&self.keys.messages(), |key, value| {
            let Some(AccountKey::Message(id)) = self.keys.parse(key) else {
                return Err(strange_key(key));
            };
            if id.get() < bound && !used.contains(id.get()) {
                return Ok(true);
            }
            missing.remove(id.get());
            let row = StoredMessage::decode(key, value)?;
            named.extend(row.blobs().map(short));
            threads.insert(row.thread);
            Ok(false)
        })?;
        if let Some(id) = missing.first() {
            let key = self.keys.key(&AccountKey::Message(MessageId(id)));
            return Err(CorruptRecord::new(&key, "the message has no row").into());
        }
        self.visit(&self.keys.threads(), |key, value| {
            let thread: ThreadId = decode_thread(key, value)?;
            Ok(thread.get() < bound && !threads.contains(&thread))
        })?;
        blobs.retain(|(id, _)| !named.contains(&short(*id)));
        report.blobs = delete_listed(self.store, self.keys.prefix(), &blobs)?;
        Ok(report)
    }

    /// Access keys go with their mailbox; one that a lost commit left behind goes here. An id never
    /// comes again, so a mailbox that is not there now will not be.
    fn delete_left_access_keys(&self) -> Result<(), ServiceError> {
        self.visit(&self.keys.access_keys(), |key, _| {
            let Some(AccountKey::AccessKey(id)) = self.keys.parse(key) else {
                return Err(strange_key(key));
            };
            let mailbox = self.keys.key(&AccountKey::Mailbox(id));
            Ok(self.store.view()?.get(&mailbox)?.is_none())
        })?;
        Ok(())
    }

    /// Marks of deliveries from the queue whose entries are gone, and of sent messages that nobody
    /// hands in twice any more.
    fn delete_old_marks(&self, now: i64) -> Result<(), ServiceError> {
        self.visit(&self.keys.delivered(), |key, value| {
            let Some(AccountKey::Delivered(id, _)) = self.keys.parse(key) else {
                return Err(strange_key(key));
            };
            is_old_mark(&*self.store.view()?, id, decode_delivered(key, value)?, now)
        })?;
        self.visit(&self.keys.sent(), |key, value| Ok(SentMark::decode(key, value)?.is_old(now)))?;
        Ok(())
    }

    /// Every mailbox holds as many messages as it counts.
    fn verify_counts(&self) -> Result<(), ServiceError> {
        let mut mailboxes = Vec::new();
        scan(&*self.store.view()?, &self.keys.mailboxes(), |key, _| {
            match self.keys.parse(key) {
                Some(AccountKey::Mailbox(id)) => mailboxes.push((id, key.to_vec())),
                _ => return Err(strange_key(key)),
            }
            Ok(())
        })?;
        for (id, key) in mailboxes {
            let view = self.store.view()?;
            let Some(value) = view.get(&key)? else { continue };
            let record = decode_mailbox(&key, &value, id)?;
            let mut held = 0;
            scan(&*view, &self.keys.memberships(id), |_, _| {
                held += 1;
                Ok(())
            })?;
            if held != record.counts.messages {
                return Err(Corruption::ContentsDisagree(id).into());
            }
        }
        Ok(())
    }

    /// Mailboxes that were removed before the cutoff, with their memberships.
    fn delete_removed_mailboxes(&self, floor: ModSeq, cutoff: i64) -> Result<(), ServiceError> {
        let mut removed = Vec::new();
        scan(&*self.store.view()?, &self.keys.removed_mailboxes(), |key, value| {
            let Some(AccountKey::RemovedMailbox(id)) = self.keys.parse(key) else {
                return Err(strange_key(key));
            };
            let row = RemovedMailbox::decode(key, value, id)?;
            if row.modseq <= floor && row.at <= cutoff {
                removed.push(id);
            }
            Ok(())
        })?;
        for id in removed {
            self.delete_all(&self.keys.memberships(id))?;
            self.delete_all(&self.keys.expunged(id))?;
            self.delete_all(&self.keys.annotations(id))?;
            let key = self.keys.key(&AccountKey::RemovedMailbox(id));
            self.store.commit_wait(Commit::new().write(Write::delete(key)))?;
        }
        Ok(())
    }

    /// The messages below `bound` that a membership names, live or expunged, in this order.
    fn used_messages(&self, bound: u64) -> Result<Bits, ServiceError> {
        let mut used = Bits::default();
        for range in [self.keys.memberships_all(), self.keys.expunged_all()] {
            self.visit(&range, |key, value| {
                let (message, _) = decode_membership_message(key, value)?;
                if message.get() < bound {
                    used.insert(message.get());
                }
                Ok(false)
            })?;
        }
        Ok(used)
    }

    fn delete_all(&self, range: &KeyRange) -> Result<u64, ServiceError> {
        self.visit(range, |_, _| Ok(true))
    }

    /// Visits a range step by step and deletes what `choose` says.
    fn visit(
        &self,
        range: &KeyRange,
        mut choose: impl FnMut(&[u8], &[u8]) -> Result<bool, ServiceError>,
    ) -> Result<u64, ServiceError> {
        let mut deleted = 0;
        let mut rest = Some(range.clone());
        while let Some(range) = rest.take() {
            let (mut seen, mut last, mut writes) = (0, None, Vec::new());
            let mut result = Ok(());
            self.store.view()?.scan(&range, &mut |key, value| {
                match choose(key, value) {
                    Ok(true) => writes.push(Write::delete(key)),
                    Ok(false) => {}
                    Err(error) => {
                        result = Err(error);
                        return ControlFlow::Break(());
                    }
                }
                seen += 1;
                if seen < SWEEP_STEP_ROWS {
                    return ControlFlow::Continue(());
                }
                last = Some(key.to_vec());
                ControlFlow::Break(())
            })?;
            result?;
            if !writes.is_empty() {
                deleted += writes.len() as u64;
                self.store.commit_wait(Commit { writes, ..Commit::default() })?;
            }
            rest = last.map(|key| range.after(&key));
        }
        Ok(deleted)
    }
}

/// The blobs of a scope as they are now: 40 bytes each.
pub(crate) fn list_scope(
    store: &dyn Store,
    scope: &[u8],
) -> Result<Vec<(BlobId, CommitNo)>, ServiceError> {
    let mut listed = Vec::new();
    store.list_blobs(Some(&BlobKey::new(scope, [0; 32].into())), &mut |blob| {
        if blob.key.scope != scope {
            return ControlFlow::Break(());
        }
        listed.push((blob.key.id, blob.named_at));
        ControlFlow::Continue(())
    })?;
    Ok(listed)
}

/// Deletes blobs of a scope that are still as they were listed, step by step.
pub(crate) fn delete_listed(
    store: &dyn Store,
    scope: &[u8],
    blobs: &[(BlobId, CommitNo)],
) -> Result<u64, ServiceError> {
    let mut deleted = 0;
    for step in blobs.chunks(SWEEP_STEP_ROWS) {
        let outcomes = store.delete_blobs(scope, step)?;
        deleted += outcomes.iter().filter(|o| **o == Deletion::Deleted).count() as u64;
    }
    Ok(deleted)
}

/// Eight bytes of a blob's name: enough to tell blobs apart, and a collision only keeps garbage.
fn short(id: BlobId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A set of message numbers: a bit for each that was ever given out.
#[derive(Clone, Default)]
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn insert(&mut self, number: u64) {
        let at = usize::try_from(number / 64).unwrap_or(usize::MAX - 1);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (number % 64);
        }
    }

    fn remove(&mut self, number: u64) {
        let at = usize::try_from(number / 64).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(at) {
            *word &= !(1 << (number % 64));
        }
    }

    /// The smallest number in it.
    fn first(&self) -> Option<u64> {
        let (at, word) = (0..).zip(&self.words).find(|(_, word)| **word != 0)?;
        Some(at * 64 + u64::from(word.trailing_zeros()))
    }

    fn contains(&self, number: u64) -> bool {
        let at = usize::try_from(number / 64).unwrap_or(usize::MAX);
        self.words.get(at).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_hold_what_was_put_in() {
        let mut bits = Bits::default();
        for number in [0, 1, 63, 64, 1000] {
            bits.insert(number);
        }
        let held: Vec<u64> = (0..2000).filter(|n| bits.contains(*n)).collect();
        assert_eq!(held, [0, 1, 63, 64, 1000]);
        let mut taken = Vec::new();
        while let Some(first) = bits.first() {
            taken.push(first);
            bits.remove(first);
        }
        assert_eq!(taken, held);
    }
}
