//! Read scopes: a pool of connections, each in a read transaction while a view uses it.
//!
//! An open read transaction keeps the log from being reused, so a view that is forgotten must not
//! live for ever: it refuses when it is used too late, and [`Readers::expire`] ends it even when
//! nobody uses it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;
use store::limits::{VIEW_LIFETIME, VIEWS_MAX};
use store::{BlobInfo, BlobKey, CommitNo, KeyRange, StoreError, View, Visitor};

use crate::disk::Clock;
use crate::error::query_failed;
use crate::pack::Location;
use crate::permits::{Permit, Permits};
use crate::sqlite;

/// The connections that read.
pub(crate) struct Readers {
    database: PathBuf,
    clock: Arc<dyn Clock>,
    /// How long to wait for a permit.
    patience: Duration,
    views: Arc<Permits>,
    /// Apart from the views, so that a thread that has a view open can always do a short read.
    reads: Arc<Permits>,
    idle: Mutex<Idle>,
    open: Mutex<Vec<Weak<Slot>>>,
}

/// Connections that wait for the next read.
struct Idle {
    connections: Vec<Connection>,
    /// How many are kept; none once the store is closed.
    room: usize,
}

struct Slot {
    /// Empty once the view has ended.
    reading: Mutex<Option<Reading>>,
    opened: Duration,
}

/// A connection in a read transaction.
struct Reading {
    connection: Connection,
    _permit: Permit,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self {
            database,
            clock,
            patience,
            views: Permits::new(VIEWS_MAX),
            reads: Permits::new(READS_MAX),
            idle: Mutex::new(Idle { connections: Vec::new(), room: IDLE_MAX }),
            open: Mutex::default(),
        }
    }

    /// Opens a view on the last commit.
    pub(crate) fn view(self: &Arc<Self>) -> Result<Box<dyn View>, StoreError> {
        let permit = self.views.take(self.patience).ok_or(StoreError::Busy)?;
        let connection = self.take()?;
        let begin = || connection.prepare_cached("BEGIN")?.execute([]);
        begin().map_err(|error| query_failed(&error))?;
        // The first read fixes what the transaction sees.
        let at = CommitNo(sqlite::applied(&connection)?.commit);
        let reading = Mutex::new(Some(Reading { connection, _permit: permit }));
        let slot = Arc::new(Slot { reading, opened: self.clock.monotonic() });
        let mut open = lock(&self.open);
        if open.len() >= 2 * VIEWS_MAX {
            open.retain(|slot| slot.strong_count() > 0);
        }
        open.push(Arc::downgrade(&slot));
        Ok(Box::new(LocalView { readers: Arc::clone(self), slot, at }))
    }

    /// Where the database says that a blob is.
    pub(crate) fn locate(&self, key: &BlobKey) -> Result<Option<Location>, StoreError> {
        self.with(|connection| sqlite::locate(connection, key))
    }

    /// Visits the recorded blobs.
    pub(crate) fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = after.cloned();
        loop {
            // In pieces: a visitor may take its time, and must not hold the log meanwhile.
            let mut piece = Vec::new();
            let mut collect = |info| {
                piece.push(info);
                if piece.len() == LIST_ROWS {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            self.with(|connection| sqlite::list_blobs(connection, after.as_ref(), &mut collect))?;
            let full = piece.len() == LIST_ROWS;
            after = piece.last().map(|info| info.key.clone());
            if piece.into_iter().try_for_each(&mut *visit).is_break() || !full {
                return Ok(());
            }
        }
    }

    /// Reads outside of any view.
    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _permit = self.reads.take(self.patience).ok_or(StoreError::Busy)?;
        let connection = self.take()?;
        let result = read(&connection);
        self.give_back(connection);
        result
    }

    /// Ends the views that have lived too long.
    pub(crate) fn expire(&self) {
        let now = self.clock.monotonic();
        let mut slots = Vec::new();
        lock(&self.open).retain(|slot| match slot.upgrade() {
            Some(slot) => {
                slots.push(slot);
                true
            }
            None => false,
        });
        for slot in slots.iter().filter(|slot| slot.expired(now)) {
            // One that is being read just now is looked at again next time.
            let reading = match slot.reading.try_lock() {
                Ok(mut reading) => reading.take(),
                Err(_) => None,
            };
            reading.into_iter().for_each(|reading| self.end(reading));
        }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = lock(&self.idle).connections.pop();
        idle.map_or_else(|| sqlite::open_reader(&self.database), Ok)
    }

    /// Ends a read transaction.
    fn end(&self, reading: Reading) {
        let connection = reading.connection;
        let ended = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if ended.is_ok() {
            self.give_back(connection);
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.connections.len() < idle.room {
            idle.connections.push(connection);
        }
    }

    /// Closes the idle connections, and those of open views as they end.
    pub(crate) fn close(&self) {
        let mut idle = lock(&self.idle);
        idle.room = 0;
        idle.connections.clear();
    }
}

impl Slot {
    fn expired(&self, now: Duration) -> bool {
        now.saturating_sub(self.opened) > VIEW_LIFETIME
    }
}

struct LocalView {
    readers: Arc<Readers>,
    slot: Arc<Slot>,
    at: CommitNo,
}

impl LocalView {
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reading = lock(&self.slot.reading);
        let expired = self.slot.expired(self.readers.clock.monotonic());
        match reading.as_ref().filter(|_| !expired) {
            Some(reading) => read(&reading.connection),
            None => Err(StoreError::ViewExpired),
        }
    }
}

impl View for LocalView {
    fn at(&self) -> CommitNo {
        self.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| sqlite::get(connection, key))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.read(|connection| keys.iter().map(|key| sqlite::get(connection, key)).collect())
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.read(|connection| sqlite::scan(connection, range, visit))
    }
}

impl Drop for LocalView {
    fn drop(&mut self) {
        let reading = lock(&self.slot.reading).take();
        reading.into_iter().for_each(|reading| self.readers.end(reading));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections kept for the next view: about as many as threads read at one time.
const IDLE_MAX: usize = 16;

/// Reads outside of views at one time; each takes some microseconds.
const READS_MAX: usize = 32;

/// Blobs listed by one statement.
const LIST_ROWS: usize = 512;
