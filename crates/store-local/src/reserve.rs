//! Room for what must still be possible on a full disk.
//!
//! A file of zeros lies beside the database. When the disk refuses a write for want of space, the
//! file is removed, and the room goes to commits that bring no bodies: flags, expunges, deletions,
//! with which a person makes room. Until the file could be made again, bodies are refused.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{Clock, Disk};

/// The room that is kept.
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    /// Given up; not to be made again before this time.
    Spent {
        until: Duration,
    },
}

impl Reserve {
    /// Takes over or makes the file; without room for it the store is full from the start.
    pub(crate) fn open(
        path: PathBuf,
        bytes: u64,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let state = Mutex::new(State::Spent { until: Duration::ZERO });
        let reserve = Self { path, bytes, disk, clock, state };
        let there = reserve.disk.open(&reserve.path).and_then(|file| file.length());
        if there.is_ok_and(|length| length == bytes) {
            *reserve.lock() = State::Held;
        } else {
            reserve.is_held();
        }
        reserve
    }

    /// Whether there is room for bodies. When the room was given up, tries to take it back.
    pub(crate) fn is_held(&self) -> bool {
        let mut state = self.lock();
        let now = self.clock.monotonic();
        match *state {
            State::Held => true,
            State::Spent { until } if now < until => false,
            State::Spent { .. } => {
                let made = self.make();
                *state = match made {
                    Ok(()) => State::Held,
                    Err(_) => State::Spent { until: now + RETRY_AFTER },
                };
                made.is_ok()
            }
        }
    }

    /// Whether the room has been given up, without trying to take it back.
    pub(crate) fn is_spent(&self) -> bool {
        *self.lock() != State::Held
    }

    /// Gives the room to whoever needs it now; says whether there was any.
    pub(crate) fn spend(&self) -> bool {
        let mut state = self.lock();
        if *state != State::Held {
            return false;
        }
        *state = State::Spent { until: Duration::ZERO };
        self.disk.unlink(&self.path).is_ok()
    }

    /// Nothing of it is ever read, so it need not be durable; but its blocks have to be there, and
    /// some file systems find out only when they write them.
    fn make(&self) -> std::io::Result<()> {
        // What a half-made one holds is of no use.
        let _ = self.disk.unlink(&self.path);
        let write = || {
            let file = self.disk.create(&self.path)?;
            let piece = vec![0; PIECE_BYTES];
            let mut at = 0;
            while at < self.bytes {
                let length = usize::try_from(self.bytes - at)
                    .map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
                file.write_at(at, piece.get(..length).unwrap_or_default())?;
                at += length as u64;
            }
            file.sync()
        };
        let made = write();
        if made.is_err() {
            let _ = self.disk.unlink(&self.path);
        }
        made
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On a disk that stays full, trying costs writes that help nobody.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const PIECE_BYTES: usize = 256 * 1024;
