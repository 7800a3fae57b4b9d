//! Commits that wait, in lanes: those of one lane are decided in order, one after the other.
//!
//! A lane is the hash of the key of a commit's first condition, which for mail is the head of an
//! account. A writer takes the first commit of a lane and gives the lane back when it is decided,
//! so that a slow commit holds up its own account only. Two accounts with the same hash only wait
//! for each other.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::limits::{PENDING_BYTES_MAX, PENDING_COMMITS_MAX};
use store::{Commit, Done, StoreError};
use tokio::sync::Notify;

/// A commit and who waits for it.
pub(crate) struct Item {
    pub(crate) commit: Commit,
    pub(crate) done: Done,
    bytes: usize,
}

/// A commit that a writer works on; its lane must be given back.
pub(crate) struct Taken {
    pub(crate) item: Item,
    pub(crate) lane: u64,
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// A lane has become ready, or the queue has been closed.
    ready: Notify,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    /// Those that are ready or worked on.
    lanes: HashMap<u64, VecDeque<Item>>,
    ready: VecDeque<u64>,
    /// Commits that wait or are worked on.
    count: usize,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// Adds a commit, or gives its callback back with the reason why not.
    pub(crate) fn push(&self, commit: Commit, done: Done) -> Result<(), (Done, StoreError)> {
        let lane = lane_of(&commit);
        let bytes = commit.bytes();
        let mut state = self.lock();
        if state.is_closed {
            return Err((done, StoreError::Closed));
        }
        if state.count >= PENDING_COMMITS_MAX || state.bytes + bytes > PENDING_BYTES_MAX {
            return Err((done, StoreError::Busy));
        }
        state.count += 1;
        state.bytes += bytes;
        let item = Item { commit, done, bytes };
        if let Some(waiting) = state.lanes.get_mut(&lane) {
            waiting.push_back(item);
            return Ok(());
        }
        state.lanes.insert(lane, VecDeque::from([item]));
        state.ready.push_back(lane);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for a commit; `None` when the queue is closed and nothing is left for this writer.
    pub(crate) async fn take(&self) -> Option<Taken> {
        loop {
            let notified = self.ready.notified();
            {
                let mut state = self.lock();
                if let Some(lane) = state.ready.pop_front()
                    && let Some(item) = state.lanes.get_mut(&lane).and_then(VecDeque::pop_front)
                {
                    return Some(Taken { item, lane });
                }
                if state.is_closed && state.count == 0 {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// Gives a lane back after its commit was decided, and before it is answered.
    pub(crate) fn give_back(&self, lane: u64, bytes: usize) {
        let mut state = self.lock();
        state.count -= 1;
        state.bytes -= bytes;
        if state.lanes.get(&lane).is_some_and(|waiting| !waiting.is_empty()) {
            state.ready.push_back(lane);
            drop(state);
            self.ready.notify_one();
            return;
        }
        state.lanes.remove(&lane);
        let is_over = state.is_closed && state.count == 0;
        drop(state);
        if is_over {
            self.ready.notify_waiters();
        }
    }

    /// Tells a waiting [`Queue::close`] that an answer has been given.
    pub(crate) fn answered(&self) {
        self.idle.notify_all();
    }

    /// Refuses what comes from now on, and waits until what came before is decided.
    pub(crate) fn close(&self, patience: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        state.is_closed = true;
        while state.count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::write_refused("commits wait for the database"));
            }
            state = self
                .idle
                .wait_timeout(state, left.min(RECOUNT))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        self.ready.notify_waiters();
        Ok(())
    }

    /// Takes everything that no writer has begun, when there will be none.
    pub(crate) fn abandon(&self) -> Vec<Done> {
        let mut state = self.lock();
        state.is_closed = true;
        let mut left = Vec::new();
        for waiting in state.lanes.values_mut() {
            left.extend(waiting.drain(..).map(|item| item.done));
        }
        state.ready.clear();
        state.count -= left.len();
        left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn lane_of(commit: &Commit) -> u64 {
    let condition = commit.conditions.first().map(|condition| condition.key.as_slice());
    let key = condition.or_else(|| commit.writes.first().map(store::Write::key));
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A missed wake-up must not keep a closing store from seeing that it is done.
const RECOUNT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use store::{Expected, Write};

    use super::*;

    fn commit(head: &[u8], row: u8) -> Commit {
        Commit::new().when(head, Expected::Absent).write(Write::put([row], b""))
    }

    fn push(queue: &Queue, head: &[u8], row: u8) {
        assert!(queue.push(commit(head, row), Box::new(|_| ())).is_ok());
    }

    #[tokio::test]
    async fn lane_is_worked_on_by_one_writer_and_others_pass_it() {
        let queue = Queue::default();
        push(&queue, b"a", 1);
        push(&queue, b"a", 2);
        push(&queue, b"b", 3);
        let first = queue.take().await.unwrap();
        let other = queue.take().await.unwrap();
        assert_eq!(first.item.commit.writes[0].key(), [1]);
        assert_eq!(other.item.commit.writes[0].key(), [3], "the second of a lane came too early");
        queue.give_back(first.lane, first.item.bytes());
        assert_eq!(queue.take().await.unwrap().item.commit.writes[0].key(), [2]);
    }

    #[test]
    fn more_than_may_wait_is_refused() {
        let queue = Queue::default();
        for number in 0..PENDING_COMMITS_MAX {
            push(&queue, &number.to_be_bytes(), 0);
        }
        let refused = queue.push(commit(b"one more", 0), Box::new(|_| ()));
        assert!(matches!(refused, Err((_, StoreError::Busy))));
        assert_eq!(queue.abandon().len(), PENDING_COMMITS_MAX);
        let refused = queue.push(commit(b"late", 0), Box::new(|_| ()));
        assert!(matches!(refused, Err((_, StoreError::Closed))));
    }
}
