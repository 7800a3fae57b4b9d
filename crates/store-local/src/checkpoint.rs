//! Moves the log into the database, away from the commits.
//!
//! A checkpoint copies pages and syncs the database file: tens of milliseconds that no commit
//! should wait for. So a thread of its own does it while commits go on. It can never reach the end
//! of a log that is being written, though, and the log starts over only when it is copied to the
//! end; so the committer then copies the short rest between two groups.

use std::fs::File;
use std::path::{Path, PathBuf};
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
    /// Of them, how many have been asked to be written to the disk already.
    written: u64,
    /// Empty once the thread is to end.
    begin: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Copy the log into the database.
    Copy,
    /// Write what the log holds to the disk. Nobody needs it there yet, but at the checkpoint it
    /// would all be written at once, and the commits of that moment would stand in line behind it.
    Write,
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
        let (begin, begun) = sync_channel(TASKS_MAX);
        let state = Arc::new(AtomicU8::new(IDLE));
        let finished = Arc::clone(&state);
        let shared = Arc::clone(shared);
        let log = log_of(database);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || work(&connection, &log, &shared, &begun, &finished))
            .map_err(|error| StoreError::read_failed(&error))?;
        Ok(Self { pages: 0, written: 0, state, begin: Some(begin), thread: Some(thread) })
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
                self.send(Task::Copy);
                Step::Begun
            }
            IDLE if self.pages >= self.written + WRITE_PAGES => {
                self.state.store(WRITING, Ordering::Release);
                self.written = self.pages;
                self.send(Task::Write);
                Step::Nothing
            }
            _ => Step::Nothing,
        }
    }

    fn send(&self, task: Task) {
        // The channel has room for one, and the thread has nothing else to do.
        self.begin.iter().for_each(|begin| _ = begin.try_send(task));
    }

    /// Nobody waits: the whole log can be copied.
    pub(crate) fn when_idle(&mut self, writer: &Connection, shared: &Shared) {
        if self.pages > 0 && matches!(self.state.load(Ordering::Acquire), IDLE | DONE) {
            self.finish(writer, shared);
        }
    }

    fn finish(&mut self, writer: &Connection, shared: &Shared) {
        run(writer, shared);
        shared.tally.checkpoints.add(1);
        (self.pages, self.written) = (0, 0);
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

fn work(
    connection: &Connection,
    log: &Path,
    shared: &Shared,
    begun: &Receiver<Task>,
    state: &AtomicU8,
) {
    while let Ok(task) = begun.recv() {
        if task == Task::Write {
            // A handle of its own: a failure is told to SQLite's as well.
            let _ = File::open(log).and_then(|log| log.sync_data());
            state.store(IDLE, Ordering::Release);
            continue;
        }
        // Each pass leaves less: what came while it ran.
        let mut copied = 0;
        for _ in 0..PASSES_MAX {
            let before = std::mem::replace(&mut copied, run(connection, shared));
            if copied < before.saturating_add(REST_PAGES) {
                break;
            }
        }
        state.store(DONE, Ordering::Release);
    }
}

/// SQLite's log of a database. It holds no locks, so that closing it ends none.
fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Copies as much as no reader prevents; what the copied state does not need any more is removed. A
/// failure leaves everything in the write-ahead log and in ours; the next checkpoint copies it.
/// Says how many pages of the log are in the database.
pub(crate) fn run(connection: &Connection, shared: &Shared) -> u64 {
    let Ok(applied) = sqlite::applied(connection) else { return 0 };
    match sqlite::checkpoint(connection) {
        Ok(Copied::Everything(pages)) => {
            shared.packs().release(applied.group);
            pages
        }
        Ok(Copied::Part(pages)) => pages,
        Err(_) => 0,
    }
}

/// Nothing is being copied.
const IDLE: u8 = 0;
/// The thread is copying.
const RUNNING: u8 = 1;
/// The thread has finished; the committer should copy the rest.
const DONE: u8 = 2;
/// The thread is writing to the disk.
const WRITING: u8 = 3;

/// Tasks that wait: each is sent when the one before is done.
const TASKS_MAX: usize = 1;

/// Have the log written to the disk whenever it has grown by this much (4 MiB).
const WRITE_PAGES: u64 = 512;

/// Checkpoint when the log holds about this many pages (32 MiB): a start after a crash reads it
/// all, and a longer log does not make checkpoints much cheaper.
const PAGES: u64 = 4096;

/// So many pages the committer may copy between two groups: a millisecond or two.
const REST_PAGES: u64 = 128;

/// Passes of the thread over the log at most; when the log grows faster than it is copied, more of
/// them do not help.
const PASSES_MAX: u32 = 4;
