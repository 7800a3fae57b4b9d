//! Writes zeros ahead of the log.
//!
//! A sync of a file that has grown also waits for the file system's own journal, and with it for
//! whatever others are writing; a sync of bytes that were written over does not. So a thread of its
//! own lets the active pack grow, in pieces, away from the commits. That it writes each byte twice
//! is the price.

use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use store::StoreError;

use super::{PackId, Packs, file_name};
use crate::engine::Shared;

/// The thread; it ends when this is dropped.
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// # Errors
    /// `WriteRefused` when there cannot be a thread.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let working = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name("store-ahead".to_owned())
            .spawn(move || while working.packs().grow() {})
            .map_err(|error| StoreError::write_refused(&error))?;
        Ok(Self { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.packs().stop_growing();
        // A panic there has harmed nothing.
        self.thread.take().into_iter().for_each(|thread| _ = thread.join());
    }
}

impl Packs {
    /// Waits until the active pack should grow, and lets it grow by a piece; says whether to go on.
    fn grow(&self) -> bool {
        let mut state = self.lock();
        let Some(id) = state.wants_growth(self.ahead_bytes) else {
            if !state.growing {
                return false;
            }
            drop(self.grows.wait(state).unwrap_or_else(PoisonError::into_inner));
            return true;
        };
        let piece = self.ahead_bytes.min(PIECE_BYTES);
        let at = state.zeroed.max(state.end(id));
        // Under the lock, so that nothing has been appended there meanwhile.
        let written = self.open_file(&mut state, id).and_then(|file| {
            let mut places = (at..at + piece).step_by(ZEROS.len());
            places.try_for_each(|place| file.write_at(place, &ZEROS))
        });
        if written.is_ok() {
            state.zeroed = at + piece;
            drop(state);
            self.sync_piece(id);
        } else {
            // No room, most likely; the log can do without. What was written of it are zeros.
            drop(self.grows.wait_timeout(state, RETRY_AFTER));
        }
        true
    }

    /// Syncs through a handle of its own: a failure is told once to each handle, and must not be
    /// taken from the committer. It will get it with its own sync.
    fn sync_piece(&self, id: PackId) {
        let file = self.disk.open(&self.folder.join(file_name(id)));
        let _ = file.and_then(|file| file.sync());
    }

    fn stop_growing(&self) {
        self.lock().growing = false;
        self.grows.notify_all();
    }

    /// Cuts off the zeros, for a store that is being closed.
    pub(crate) fn trim(&self) {
        let mut state = self.lock();
        let Some(id) = state.active.filter(|_| state.garbage.is_none()) else { return };
        let end = state.end(id);
        let _ = self.open_file(&mut state, id).and_then(|file| match file.length()? > end {
            true => file.truncate(end),
            false => Ok(()),
        });
        state.zeroed = 0;
    }
}

impl super::State {
    /// The active pack, when not enough zeros lie before its end.
    pub(super) fn wants_growth(&self, ahead_bytes: u64) -> Option<PackId> {
        let wanted = |id: &PackId| self.zeroed < self.end(*id) + ahead_bytes.div_ceil(2);
        self.active.filter(|id| self.growing && ahead_bytes > 0 && wanted(id))
    }

    pub(super) fn end(&self, id: PackId) -> u64 {
        self.rows.get(&id).map_or(0, |row| row.end)
    }
}

/// Written at one time. The system keeps what was written at once as one thing in its cache, and
/// counts all of it as written again when a part is.
const ZEROS: [u8; 4096] = [0; 4096];

/// What the committer may have to wait for once: a sync of this much.
const PIECE_BYTES: u64 = 1024 * 1024;

const RETRY_AFTER: Duration = Duration::from_secs(1);
