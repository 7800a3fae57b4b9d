//! What waits for the committer.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::limits::{PENDING_BYTES_MAX, PENDING_COMMITS_MAX};
use store::{BlobKey, Commit, CommitNo, Deletion, Done, StoreError};

use crate::pack::Location;

/// One thing for the committer to do.
pub(crate) enum Item {
    Commit { commit: Commit, bytes: usize, done: Done },
    Delete { blobs: Vec<(BlobKey, CommitNo)>, done: SyncSender<Result<Vec<Deletion>, StoreError>> },
    Move { moves: Vec<Move>, done: SyncSender<Result<(), StoreError>> },
}

/// A record that has been copied to another pack.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) key: BlobKey,
    pub(crate) from: Location,
    pub(crate) to: Location,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { bytes, .. } => *bytes,
            Self::Delete { blobs, .. } => blobs.len() * size_of::<(BlobKey, CommitNo)>(),
            Self::Move { moves, .. } => moves.len() * size_of::<Move>(),
        }
    }

    /// Whether it names blobs.
    pub(crate) fn brings_blobs(&self) -> bool {
        matches!(self, Self::Commit { commit, .. } if !commit.leases.is_empty())
    }

    /// Answers with an error that is not the item's own fault.
    pub(crate) fn fail(self, error: &StoreError) {
        match self {
            Self::Commit { done, .. } => call(done, Err(error.clone())),
            Self::Delete { done, .. } => _ = done.send(Err(error.clone())),
            Self::Move { done, .. } => _ = done.send(Err(error.clone())),
        }
    }
}

/// Calls back; a caller that panics there must not take the committer with it.
pub(crate) fn call(done: Done, answer: Result<CommitNo, StoreError>) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(answer)));
}

/// Items in the order in which they came.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
}

/// What the committer gets to do next.
pub(crate) enum Next {
    Group(Vec<Item>),
    /// Nothing came for a while.
    Idle,
    /// The queue is closed and empty.
    End,
}

impl Queue {
    /// Adds an item; one that cannot be taken is answered at once.
    pub(crate) fn push(&self, item: Item) {
        let mut waiting = self.lock();
        let bytes = waiting.bytes + item.bytes();
        let refusal = if waiting.closed {
            Some(StoreError::Closed)
        } else if waiting.items.len() >= PENDING_COMMITS_MAX || bytes > PENDING_BYTES_MAX {
            Some(StoreError::Busy)
        } else {
            None
        };
        if let Some(error) = refusal {
            drop(waiting);
            return item.fail(&error);
        }
        waiting.bytes = bytes;
        waiting.items.push_back(item);
        let count = waiting.items.len();
        drop(waiting);
        // The committer waits for the first, or for a whole group.
        if count == 1 || count >= GATHER_COUNT_MIN {
            self.arrived.notify_one();
        }
    }

    /// Refuses further items; those that wait are still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for items and takes as many as one transaction should carry. When the last group had
    /// `expected` items, their senders are likely to come back at once: waits a moment for them,
    /// so that one sync serves all of them again.
    pub(crate) fn next(&self, expected: usize, idle_after: Duration) -> Next {
        let waiting = self.lock();
        let nothing = |waiting: &mut Waiting| waiting.items.is_empty() && !waiting.closed;
        let (mut waiting, timeout) = self
            .arrived
            .wait_timeout_while(waiting, idle_after, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.items.is_empty() {
            return if timeout.timed_out() && !waiting.closed { Next::Idle } else { Next::End };
        }
        if expected >= GATHER_COUNT_MIN {
            waiting = self.gather(waiting, expected);
        }
        Next::Group(waiting.take_group())
    }

    /// Waits for more, up to `expected` items. Those that bring blobs come slowly, because their
    /// bytes are worked on first, and cost two syncs; the others come at once or not at all.
    fn gather<'w>(
        &self,
        mut waiting: MutexGuard<'w, Waiting>,
        expected: usize,
    ) -> MutexGuard<'w, Waiting> {
        let begun = Instant::now();
        while waiting.items.len() < expected && !waiting.closed {
            let (whole, quiet) = match waiting.items.iter().any(Item::brings_blobs) {
                true => (BLOB_GATHER_TIME_MAX, BLOB_GATHER_TIME_MAX),
                false => (GATHER_TIME_MAX, GATHER_QUIET_MAX),
            };
            let left = whole.saturating_sub(begun.elapsed()).min(quiet);
            if left.is_zero() {
                break;
            }
            let count = waiting.items.len();
            let woken = self.arrived.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
            if waiting.items.len() == count {
                break;
            }
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take_group(&mut self) -> Vec<Item> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.items.front() {
            let more = bytes + next.bytes();
            if !group.is_empty() && (more > GROUP_BYTES_MAX || group.len() >= GROUP_COUNT_MAX) {
                break;
            }
            bytes = more;
            group.extend(self.items.pop_front());
        }
        self.bytes -= bytes;
        group
    }
}

/// Most items of one transaction, so that the first of them does not wait for ever.
const GROUP_COUNT_MAX: usize = 1024;

/// A transaction stops growing here, unless one commit alone is larger.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Waiting for company pays from this many senders on.
const GATHER_COUNT_MIN: usize = 3;

/// At most about as long as a sync takes: the wait may cost what it can save.
const GATHER_TIME_MAX: Duration = Duration::from_micros(300);

/// When nothing has come for this long, nothing will: a client answers faster.
const GATHER_QUIET_MAX: Duration = Duration::from_micros(60);

/// The same for commits that bring blobs.
const BLOB_GATHER_TIME_MAX: Duration = Duration::from_micros(1000);
