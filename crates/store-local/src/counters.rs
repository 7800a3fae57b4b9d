//! Counts of what the engine did, for benches and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits refused by a condition.
    pub conflicts: u64,
    /// Transactions that carried them.
    pub groups: u64,
    /// Syncs of packs of one blob, of packs that have just been sealed, and of their folder.
    pub pack_syncs: u64,
    /// Syncs of the log: one a group.
    pub log_syncs: u64,
    /// Checkpoints of SQLite's log into the database.
    pub checkpoints: u64,
    /// Bytes of bodies appended to packs.
    pub pack_bytes: u64,
    /// Bytes of the records of groups.
    pub log_bytes: u64,
    /// Bytes of keys and values committed.
    pub row_bytes: u64,
}

impl Counters {
    /// Syncs that somebody waited for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.pack_syncs + self.log_syncs
    }
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) commits: Count,
    pub(crate) conflicts: Count,
    pub(crate) groups: Count,
    pub(crate) pack_syncs: Count,
    pub(crate) log_syncs: Count,
    pub(crate) checkpoints: Count,
    pub(crate) pack_bytes: Count,
    pub(crate) log_bytes: Count,
    pub(crate) row_bytes: Count,
}

impl Tally {
    /// A group was made durable by so many syncs.
    pub(crate) fn synced(&self, syncs: u64, record_bytes: u64) {
        self.log_syncs.add(1);
        self.pack_syncs.add(syncs.saturating_sub(1));
        self.log_bytes.add(record_bytes);
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            commits: self.commits.get(),
            conflicts: self.conflicts.get(),
            groups: self.groups.get(),
            pack_syncs: self.pack_syncs.get(),
            log_syncs: self.log_syncs.get(),
            checkpoints: self.checkpoints.get(),
            pack_bytes: self.pack_bytes.get(),
            log_bytes: self.log_bytes.get(),
            row_bytes: self.row_bytes.get(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
