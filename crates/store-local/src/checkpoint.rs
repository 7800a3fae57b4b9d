//! Moves the log into the database, away from the commits.
//!
//! A checkpoint copies pages and syncs the database file: tens of milliseconds that no commit
//! should wait for. So a thread of its own does it while commits go on. It can never reach the end
//! of a log that is being written, though, and the log starts over only when it is copied to the
//! end; so the committer then copies the short rest between two groups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use store::StoreError;

use crate::engine::Shared;
use crate::sqlite::{self, Copied};

/// The committer's side of the checkpoints.
pub(crate) struct Checkpoints {
    /// About how many pages the log holds that the database does not.
    pages: u64,
    state: Arc<AtomicU8>,
    /// Empty once the thread is to end.
    begin: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Whether a checkpoint was begun just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Begun,
    Nothing,
}

impl Checkpoints {
    pub(crate) const BEGUN: Step = Step::Begun;

    /// Starts the thread; it ends when the result is dropped.
    ///
    /// # Errors
    /// `ReadFailed` when the database or the thread cannot be opened.
    pub(crate) fn start(database: &Path, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let connection = sqlite::open_checkpointer(database)?;
        let (begin, begun) = sync_channel(1);
        let state = Arc::new(AtomicU8::new(IDLE));
        let finished = Arc::clone(&state);
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || work(&connection, &shared, &begun, &finished))
            .map_err(|error| StoreError::read_failed(&error))?;
        Ok(Self { pages: 0, state, begin: Some(begin), thread: Some(thread) })
    }

    /// A group has added about `pages` to the log.
    pub(crate) fn after_group(&mut self, writer: &Connection, pages: u64, shared: &Shared) -> Step {
        self.pages += pages;
        match self.state.load(Ordering::Acquire) {
            DONE => {
                self.finish(writer, shared);
                Step::Nothing
            }
            IDLE if self.pages >= pages_max(shared) => {
                self.state.store(RUNNING, Ordering::Release);
                // The channel has room for one, and the thread is idle.
                self.begin.iter().for_each(|begin| _ = begin.try_send(()));
                Step::Begun
            }
            _ => Step::Nothing,
        }
    }

    /// Nobody waits: the whole log can be copied.
    pub(crate) fn when_idle(&mut self, writer: &Connection, shared: &Shared) {
        if self.pages > 0 && self.state.load(Ordering::Acquire) != RUNNING {
            self.finish(writer, shared);
        }
    }

    fn finish(&mut self, writer: &Connection, shared: &Shared) {
        run(writer, shared);
        shared.tally.checkpoints.add(1);
        self.pages = 0;
        self.state.store(IDLE, Ordering::Release);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.begin = None;
        // Its connection must be closed when the store is; a panic there has harmed nothing.
        self.thread.take().into_iter().for_each(|thread| _ = thread.join());
    }
}

/// A full disk has no room for a long log.
fn pages_max(shared: &Shared) -> u64 {
    if shared.reserve.is_spent() { PAGES / 32 } else { PAGES }
}

fn work(connection: &Connection, shared: &Shared, begun: &Receiver<()>, state: &AtomicU8) {
    while begun.recv().is_ok() {
        run(connection, shared);
        state.store(DONE, Ordering::Release);
    }
}

/// Copies as much as no reader prevents; what the copied state does not need any more is removed. A
/// failure leaves everything in the write-ahead log and in ours; the next checkpoint copies it.
pub(crate) fn run(connection: &Connection, shared: &Shared) {
    let Ok(applied) = sqlite::applied(connection) else { return };
    if sqlite::checkpoint(connection) == Ok(Copied::Everything) {
        shared.packs().release(applied.group);
    }
}

/// Nothing is being copied.
const IDLE: u8 = 0;
/// The thread is copying.
const RUNNING: u8 = 1;
/// The thread has finished; the committer should copy the rest.
const DONE: u8 = 2;

/// Checkpoint when the log holds about this many pages (16 MiB): a start after a crash reads it
/// all, and a longer log does not make checkpoints much cheaper.
const PAGES: u64 = 2048;
