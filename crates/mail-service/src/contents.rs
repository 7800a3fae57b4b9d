//! Which mailboxes' contents are in memory, and which of them may go.
//!
//! A session that has a mailbox selected holds a [`MailboxPin`]; what is pinned stays. Of the rest
//! as much is kept as the configuration allows, the least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mail_types::{AccountId, MailboxId};

use crate::open::OpenAccount;

/// Keeps a mailbox's contents loaded in every newer state of its account, until it is dropped.
pub struct MailboxPin {
    pins: Arc<Pins>,
    mailbox: MailboxId,
    /// The account stays open as well, so that its state keeps being told.
    _account: Arc<OpenAccount>,
}

impl MailboxPin {
    /// The mailbox that stays loaded.
    #[must_use]
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }
}

impl Drop for MailboxPin {
    fn drop(&mut self) {
        let mut counts = self.pins.lock();
        if let Some(count) = counts.get_mut(&self.mailbox) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.mailbox);
            }
        }
    }
}

/// How many sessions have each mailbox of one account selected.
#[derive(Default)]
pub(crate) struct Pins {
    counts: Mutex<HashMap<MailboxId, usize>>,
}

impl Pins {
    pub(crate) fn pin(
        self: &Arc<Self>,
        mailbox: MailboxId,
        account: Arc<OpenAccount>,
    ) -> MailboxPin {
        *self.lock().entry(mailbox).or_insert(0) += 1;
        MailboxPin { pins: Arc::clone(self), mailbox, _account: account }
    }

    /// The pinned mailboxes.
    pub(crate) fn pinned(&self) -> Vec<MailboxId> {
        self.lock().keys().copied().collect()
    }

    pub(crate) fn is_pinned(&self, mailbox: MailboxId) -> bool {
        self.lock().contains_key(&mailbox)
    }

    /// Runs `act` unless the mailbox is pinned; no pin can be taken meanwhile.
    pub(crate) fn unless_pinned(&self, mailbox: MailboxId, act: impl FnOnce()) {
        let counts = self.lock();
        if !counts.contains_key(&mailbox) {
            act();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MailboxId, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All loaded mailboxes of all accounts.
pub(crate) struct Contents {
    entries_max: usize,
    inner: Mutex<Inner>,
}

type Key = (AccountId, MailboxId);

#[derive(Default)]
struct Inner {
    loaded: HashMap<Key, Loaded>,
    /// By the moment of the last use; the first is the oldest.
    by_use: BTreeMap<u64, Key>,
    moment: u64,
    entries: usize,
}

struct Loaded {
    account: Weak<OpenAccount>,
    entries: usize,
    used: u64,
}

impl Contents {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max, inner: Mutex::default() }
    }

    /// Notes that a mailbox's contents are in memory and in use, and asks the accounts of those
    /// that were not used for longest to let go of theirs.
    pub(crate) fn used(&self, account: &Arc<OpenAccount>, mailbox: MailboxId, entries: usize) {
        for (account, mailbox) in self.note(account, mailbox, entries) {
            account.unload(mailbox);
        }
    }

    /// Forgets an account that was closed.
    pub(crate) fn closed(&self, id: AccountId) {
        let mut inner = self.lock();
        let keys: Vec<_> = inner.loaded.keys().filter(|key| key.0 == id).copied().collect();
        for key in keys {
            inner.remove(key);
        }
    }

    fn note(
        &self,
        account: &Arc<OpenAccount>,
        mailbox: MailboxId,
        entries: usize,
    ) -> Vec<(Arc<OpenAccount>, MailboxId)> {
        let mut inner = self.lock();
        let key = (account.id(), mailbox);
        inner.remove(key);
        // An empty mailbox costs something too.
        inner.insert(key, Arc::downgrade(account), entries + ENTRIES_MIN);
        let mut victims = Vec::new();
        for _ in 0..LOOKED_AT_MAX {
            let Some((_, &oldest)) = inner.by_use.first_key_value() else { break };
            if inner.entries <= self.entries_max || oldest == key {
                break;
            }
            let Some(loaded) = inner.remove(oldest) else { break };
            let Some(open) = loaded.account.upgrade() else { continue };
            if open.pins().is_pinned(oldest.1) {
                // It is in use all the time, whenever it was asked for.
                inner.insert(oldest, loaded.account, loaded.entries);
            } else {
                victims.push((open, oldest.1));
            }
        }
        victims
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, key: Key, account: Weak<OpenAccount>, entries: usize) {
        self.moment += 1;
        let used = self.moment;
        self.entries += entries;
        self.by_use.insert(used, key);
        self.loaded.insert(key, Loaded { account, entries, used });
    }

    fn remove(&mut self, key: Key) -> Option<Loaded> {
        let loaded = self.loaded.remove(&key)?;
        self.by_use.remove(&loaded.used);
        self.entries -= loaded.entries;
        Some(loaded)
    }
}

/// What a loaded mailbox counts besides its messages.
const ENTRIES_MIN: usize = 16;

/// Mailboxes that are looked at for each one that is used: when most are in use, looking at all of
/// them each time would cost more than it frees.
const LOOKED_AT_MAX: usize = 16;
