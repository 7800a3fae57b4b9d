//! The store of one machine: ties the parts together.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use store::limits::{check_commit, check_scope};
use store::{
    BlobId, BlobInfo, BlobKey, BlobReader, BlobWriter, Commit, CommitNo, Deletion, Done, Leases,
    Store, StoreError, View, Watch, Watchers,
};

use crate::checkpoint::{self, Checkpoints};
use crate::committer;
use crate::counters::{Counters, Tally};
use crate::disk::{Clock, Disk, OsClock, OsDisk};
use crate::error::{query_failed, statement_failed};
use crate::folder::Folder;
use crate::index::Index;
use crate::log::LogKey;
use crate::log::replay::{Replay, Tail};
use crate::pack::ahead::Ahead;
use crate::pack::compact;
use crate::pack::reader::PackReader;
use crate::pack::writer::PackWriter;
use crate::pack::{Filling, Packs};
use crate::queue::{Item, Queue, call};
use crate::reserve::Reserve;
use crate::sqlite::{self, PAGE_BYTES};
use crate::views::Readers;

/// Settings of a store. [`Options::default`] is right for a server with some gigabytes of memory.
#[derive(Clone)]
pub struct Options {
    /// Memory for the pages that the writer works on.
    pub cache_bytes: usize,
    /// A pack that has reached this size is sealed and followed by another. Small packs are
    /// compacted sooner, large ones make fewer files.
    pub pack_bytes_max: u64,
    /// The database never grows above this; commits answer `StorageFull` then. `None`: as far as
    /// the disk goes.
    pub database_bytes_max: Option<u64>,
    /// How far ahead of the log zeros are written, so that commits need not wait for the file to
    /// grow. 0: not at all.
    pub ahead_bytes: u64,
    /// The database's own log is copied into the database when it has grown to this. A start after
    /// a crash reads it all, and a longer one does not make copying much cheaper.
    pub database_log_bytes_max: u64,
    /// Room that is kept for a full disk, so that flags can still be changed and messages removed.
    pub reserve_bytes: u64,
    /// How long a reader waits when too many read already; then it is told `Busy`.
    pub read_patience: Duration,
    /// Where packs are kept.
    pub disk: Arc<dyn Disk>,
    /// Tells how old views are.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            pack_bytes_max: 256 * 1024 * 1024,
            database_bytes_max: None,
            ahead_bytes: 8 * 1024 * 1024,
            database_log_bytes_max: 32 * 1024 * 1024,
            reserve_bytes: 16 * 1024 * 1024,
            read_patience: Duration::from_secs(5),
            disk: Arc::new(OsDisk),
            clock: Arc::new(OsClock::default()),
        }
    }
}

/// A store in a data folder of this machine. Dropping it closes it.
pub struct Local {
    shared: Arc<Shared>,
    ahead: Mutex<Option<Ahead>>,
    database: PathBuf,
    committer: Mutex<Option<JoinHandle<()>>>,
    folder: Mutex<Option<Folder>>,
}

/// What the threads of a store share.
pub(crate) struct Shared {
    packs: Packs,
    pub(crate) readers: Arc<Readers>,
    pub(crate) queue: Queue,
    pub(crate) leases: Leases,
    pub(crate) watchers: Watchers,
    pub(crate) tally: Tally,
    pub(crate) reserve: Reserve,
    /// When to copy the database's own log, in pages.
    pub(crate) log_pages_max: u64,
    /// Held while packs are being compacted: one compaction at a time is enough for a disk.
    pub(crate) compacting: Mutex<()>,
    /// Why nothing can be written any more.
    refused: Mutex<Option<StoreError>>,
    closed: AtomicBool,
}

impl Local {
    /// Opens the store in a folder, which is made when it does not exist. The time it takes does
    /// not depend on how much is stored.
    ///
    /// # Errors
    /// `Locked` when a process has it open, `Unsupported` when it is of another version, `Corrupt`,
    /// `StorageFull`, `WriteRefused`, `ReadFailed`.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let Options { cache_bytes, pack_bytes_max, ahead_bytes, database_bytes_max, .. } = options;
        let Options { read_patience, disk, clock, reserve_bytes, database_log_bytes_max, .. } =
            options;
        let folder = Folder::open(path)?;
        let database = folder.database();
        if sqlite::is_missing(&database)? {
            check_new(&folder.packs(), disk.as_ref())?;
            sqlite::create(&database)?;
        }
        let connection = sqlite::open_writer(&database, cache_bytes)?;
        if let Some(bytes) = database_bytes_max {
            let pages = i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX);
            let set = connection.pragma_update(None, "max_page_count", pages);
            set.map_err(|error| statement_failed(&error))?;
        }
        let key = sqlite::log_key(&connection)?;
        let tail = recover(&folder.packs(), disk.as_ref(), &connection, &key)?;
        let rows = sqlite::packs(&connection).map_err(|error| query_failed(&error))?;
        let filling = Filling { bytes_max: pack_bytes_max, ahead_bytes, key };
        let (room, time) = (Arc::clone(&disk), Arc::clone(&clock));
        let shared = Arc::new(Shared {
            reserve: Reserve::open(folder.reserve(), reserve_bytes, room, time),
            log_pages_max: database_log_bytes_max / PAGE_BYTES,
            packs: Packs::open(folder.packs(), disk, rows, &tail, filling)?,
            readers: Arc::new(Readers::new(database.clone(), clock, read_patience)),
            queue: Queue::default(),
            leases: Leases::default(),
            watchers: Watchers::default(),
            tally: Tally::default(),
            compacting: Mutex::default(),
            refused: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let checkpoints = Checkpoints::start(&database, &shared)?;
        let working = Arc::clone(&shared);
        let at = tail.applied;
        let committer = thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || committer::run(&working, &connection, at, checkpoints))
            .map_err(|error| StoreError::write_refused(&error))?;
        let ahead = Ahead::start(&shared)?;
        Ok(Self {
            ahead: Mutex::new(Some(ahead)),
            shared,
            database,
            committer: Mutex::new(Some(committer)),
            folder: Mutex::new(Some(folder)),
        })
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// A database is made only where nothing is: beside a log that has lost its database a new one
/// would pass for an empty store at the next start.
fn check_new(packs: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
    let names = disk.list(packs).map_err(|error| StoreError::read_failed(&error))?;
    match names.len() {
        0 => Ok(()),
        count => {
            let what = format_args!("database: it is missing, but there are {count} packs");
            Err(StoreError::corrupt(what))
        }
    }
}

/// Brings the database up to the end of the log, and makes both durable: whatever can be read from
/// now on must not be taken back by a power cut, or its numbers would be given twice.
fn recover(
    packs: &Path,
    disk: &dyn Disk,
    connection: &Connection,
    key: &LogKey,
) -> Result<Tail, StoreError> {
    let failed = |error: rusqlite::Error| statement_failed(&error);
    let applied = sqlite::applied(connection)?;
    let rows = sqlite::packs(connection).map_err(|error| query_failed(&error))?;
    let known = rows.iter().map(|row| row.id).collect();
    let mut index = Index::new(connection)?;
    let replay = Replay { disk, folder: packs, key };
    let tail =
        replay.run(applied, &known, &mut |applied, changes| index.apply(applied, changes))?;
    index.finish()?;
    // Nobody else reads or writes yet, so it copies all.
    sqlite::checkpoint(connection).map_err(failed)?;
    Ok(tail)
}

impl Store for Local {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        self.shared.check_open()?;
        self.shared.readers.view()
    }

    fn commit(&self, commit: Commit, done: Done) {
        if let Err(error) = check_commit(&commit) {
            return call(done, Err(error));
        }
        let bytes = commit.bytes();
        self.shared.queue.push(Item::Commit { commit, bytes, done });
    }

    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        self.shared.watchers.add(prefix, wake)
    }

    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError> {
        check_scope(scope)?;
        self.shared.check_room()?;
        Ok(Box::new(PackWriter::new(Arc::clone(&self.shared), scope)))
    }

    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError> {
        self.shared.check_open()?;
        let key = BlobKey::new(scope, *id);
        let mut tried = None;
        loop {
            let location = self.shared.locate(&key)?;
            match self.shared.packs.file(location.pack) {
                Ok(file) => return Ok(Box::new(PackReader::open(file, &key, location)?)),
                // A compaction has moved the blob since its location was read: look again.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if tried.replace(location) == Some(location) {
                        let pack = location.pack;
                        let what = format_args!("blob {id}: pack {pack:016x} is missing");
                        return Err(StoreError::corrupt(what));
                    }
                }
                Err(error) => return Err(StoreError::read_failed(&error)),
            }
        }
    }

    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError> {
        let mut answers = Vec::with_capacity(blobs.len());
        for blobs in blobs.chunks(DELETIONS_PER_GROUP) {
            let blobs = blobs.iter().map(|&(id, at)| (BlobKey::new(scope, id), at)).collect();
            let (done, answered) = sync_channel(1);
            self.shared.queue.push(Item::Delete { blobs, done });
            answers.extend(answered.recv().map_err(|_| StoreError::Closed)??);
        }
        Ok(answers)
    }

    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.check_open()?;
        self.shared.readers.list_blobs(after, visit)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.shared.check_writable()?;
        compact::run(&self.shared)?;
        self.shared.release(&self.database)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shared.queue.close();
        let committer = lock(&self.committer).take();
        if let Some(committer) = committer
            // A callback that closes the store runs on the committer, which cannot wait for itself.
            && committer.thread().id() != thread::current().id()
            && committer.join().is_err()
        {
            self.shared.refuse_writes(StoreError::write_refused("the committer failed"));
        }
        if lock(&self.ahead).take().is_some() {
            self.shared.packs().trim();
        }
        self.shared.closed.store(true, Ordering::Release);
        self.shared.readers.close();
        drop(lock(&self.folder).take());
        lock(&self.shared.refused).clone().map_or(Ok(()), Err)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Nobody is left to tell; whatever was acknowledged is durable.
        let _ = self.close();
    }
}

impl Shared {
    pub(crate) fn packs(&self) -> &Packs {
        &self.packs
    }

    /// Copies what SQLite's log holds into the database, and removes packs that are not needed
    /// then. A checkpoint that is under way does the same.
    fn release(&self, database: &Path) -> Result<(), StoreError> {
        checkpoint::run(&sqlite::open_checkpointer(database)?, self);
        Ok(())
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        self.check_open()?;
        lock(&self.refused).clone().map_or(Ok(()), Err)
    }

    /// Whether bodies can be taken.
    pub(crate) fn check_room(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        if self.reserve.is_held() { Ok(()) } else { Err(StoreError::StorageFull) }
    }

    /// A write of a body has failed. On a full disk, what room there is now belongs to others.
    pub(crate) fn body_failed(&self, error: StoreError) -> StoreError {
        if error == StoreError::StorageFull {
            self.reserve.spend();
        }
        error
    }

    /// From now on every write is refused with this reason; the first one stays.
    pub(crate) fn refuse_writes(&self, error: StoreError) {
        let refused = match error {
            StoreError::WriteRefused { .. } => error,
            other => StoreError::write_refused(other),
        };
        lock(&self.refused).get_or_insert(refused);
    }

    fn locate(&self, key: &BlobKey) -> Result<super::pack::Location, StoreError> {
        if let Some(location) = self.packs.unrecorded(key) {
            return Ok(location);
        }
        self.readers.locate(key)?.ok_or(StoreError::BlobMissing { id: key.id })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletions that go into one transaction.
const DELETIONS_PER_GROUP: usize = 1024;
