//! Annotations: named values of the server and of mailboxes. RFC 5464
//!
//! All of an account's are in memory, so that LIST can tell those of every mailbox and a session
//! can see what has changed by comparing two states. A change copies the map but no value.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail_types::{EntryName, MailboxId};

/// What an annotation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataTarget {
    /// The server, as this account sees it.
    Server,
    /// A mailbox. The id stays when the mailbox is renamed, and so do its annotations.
    /// RFC 5464 §4.1
    Mailbox(MailboxId),
}

/// The octets of an annotation.
pub type MetadataValue = Arc<[u8]>;

/// All annotations of an account.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metadata {
    entries: BTreeMap<MetadataTarget, BTreeMap<EntryName, MetadataValue>>,
    bytes: usize,
}

impl Metadata {
    /// Longest value in octets; 1,024 is the least that a server may allow. RFC 5464 §4.1
    pub const VALUE_BYTES_MAX: usize = 16 * 1024;
    /// Most annotations of one mailbox, or of the server; 10 is the least. RFC 5464 §4.1
    pub const ENTRIES_MAX: usize = 128;
    /// Most octets of all annotations of an account, names and [`Self::ENTRY_BYTES`] each counted:
    /// they stay in memory while the account is open.
    pub const BYTES_MAX: usize = 1024 * 1024;
    /// What an annotation is counted as besides its name and value.
    pub const ENTRY_BYTES: usize = 64;

    /// The value of an annotation.
    pub fn get(&self, target: MetadataTarget, name: &EntryName) -> Option<&MetadataValue> {
        self.entries.get(&target)?.get(name)
    }

    /// All of one mailbox or of the server, in the order of their names.
    pub fn of(&self, target: MetadataTarget) -> impl Iterator<Item = (&EntryName, &MetadataValue)> {
        self.entries.get(&target).into_iter().flatten()
    }

    /// How many there are of one mailbox or of the server.
    pub fn count(&self, target: MetadataTarget) -> usize {
        self.entries.get(&target).map_or(0, BTreeMap::len)
    }

    /// Octets of all, as [`Self::BYTES_MAX`] counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What `self` has otherwise than `before`: names whose values are new, changed or gone.
    pub fn changed_since(&self, before: &Self) -> Vec<(MetadataTarget, EntryName)> {
        let mut changed = Vec::new();
        let targets = before.entries.keys().filter(|target| !self.entries.contains_key(target));
        for target in targets.chain(self.entries.keys()) {
            let (old, new) = (before.entries.get(target), self.entries.get(target));
            if old == new {
                continue;
            }
            let differs = |name: &&EntryName| self.get(*target, name) != before.get(*target, name);
            let gone = old.into_iter().flatten().map(|(name, _)| name);
            let gone = gone.filter(|name| self.get(*target, name).is_none());
            let names = new.into_iter().flatten().map(|(name, _)| name).filter(differs);
            changed.extend(gone.chain(names).map(|name| (*target, name.clone())));
        }
        changed
    }

    /// The octets that one annotation is counted as.
    pub(crate) fn entry_bytes(name: &EntryName, value: &[u8]) -> usize {
        name.as_str().len() + value.len() + Self::ENTRY_BYTES
    }

    pub(crate) fn set(
        &mut self,
        target: MetadataTarget,
        name: EntryName,
        value: Option<MetadataValue>,
    ) {
        let entries = self.entries.entry(target).or_default();
        let size = |value: &MetadataValue| Self::entry_bytes(&name, value);
        let added = value.as_ref().map_or(0, size);
        let lost = entries.get(&name).map_or(0, size);
        match value {
            Some(value) => _ = entries.insert(name, value),
            None => _ = entries.remove(&name),
        }
        if entries.is_empty() {
            self.entries.remove(&target);
        }
        self.bytes = (self.bytes + added).saturating_sub(lost);
    }

    pub(crate) fn remove_mailbox(&mut self, id: MailboxId) {
        let removed = self.entries.remove(&MetadataTarget::Mailbox(id)).unwrap_or_default();
        let lost: usize = removed.iter().map(|(name, value)| Self::entry_bytes(name, value)).sum();
        self.bytes = self.bytes.saturating_sub(lost);
    }
}
