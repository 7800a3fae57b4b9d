//! Pack files: where the bytes of blobs are.
//!
//! Putters append to the active pack under a lock; nothing is synced then. The committer collects
//! what has been appended ([`Packs::collect`]), syncs it, and records the locations in the same
//! transaction as the commits that name the blobs. So the database never knows of bytes that are
//! not on disk, and what lies behind a pack's recorded end is garbage to be overwritten.
//!
//! A blob that gets longer than [`SOLO_BYTES`] is streamed into a pack of its own instead.

pub(crate) mod compact;
pub(crate) mod format;
pub(crate) mod reader;
pub(crate) mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{BlobKey, StoreError};

use crate::disk::{Disk, DiskFile};
use crate::error::write_failed;
use format::{PACK_HEADER_BYTES, pack_header};

/// Number of a pack; never used twice.
pub(crate) type PackId = u64;

/// Where the record of a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: PackId,
    pub(crate) offset: u64,
    /// Length of the record.
    pub(crate) length: u64,
    /// Length of the blob.
    pub(crate) size: u64,
}

/// What the database remembers of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) id: PackId,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Bytes of records that a location row points to.
    pub(crate) live: u64,
    pub(crate) state: PackState,
}

/// Whether a pack takes more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackState {
    Active,
    Sealed,
}

/// All packs of a store.
pub(crate) struct Packs {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    bytes_max: u64,
    state: Mutex<State>,
}

struct State {
    rows: BTreeMap<PackId, PackRow>,
    active: Option<PackId>,
    next: PackId,
    /// Blobs whose bytes are written and whose location is not yet in the database.
    unrecorded: HashMap<BlobKey, Location>,
    /// Those of them that no group has taken on.
    queue: Vec<BlobKey>,
    /// Packs written since the last sync, and packs whose row has changed.
    dirty: BTreeMap<PackId, Arc<dyn DiskFile>>,
    changed: BTreeSet<PackId>,
    folder_dirty: bool,
    /// Packs that a compaction is filling; their records are not live yet but will be.
    pinned: BTreeMap<PackId, usize>,
    handles: HashMap<PackId, (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// What a group has to make durable: see [`Packs::collect`].
#[derive(Default)]
pub(crate) struct Fresh {
    pub(crate) blobs: Vec<(BlobKey, Location)>,
    pub(crate) files: Vec<Arc<dyn DiskFile>>,
    pub(crate) rows: BTreeMap<PackId, PackRow>,
    folder_dirty: bool,
}

impl Packs {
    /// Opens the packs that the database knows, and removes files that it does not know.
    pub(crate) fn open(
        folder: PathBuf,
        disk: Arc<dyn Disk>,
        rows: Vec<PackRow>,
        bytes_max: u64,
    ) -> Result<Self, StoreError> {
        let mut rows: BTreeMap<PackId, PackRow> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        let mut next = rows.keys().next_back().map_or(1, |last| last + 1);
        let names = disk.list(&folder).map_err(|error| StoreError::read_failed(&error))?;
        for id in names.iter().filter_map(|name| parse_name(name)) {
            next = next.max(id + 1);
            if !rows.contains_key(&id) {
                // Made before the crash, never recorded.
                disk.unlink(&folder.join(file_name(id))).map_err(|error| write_failed(&error))?;
            }
        }
        let active = rows.values().find(|row| row.state == PackState::Active).map(|row| row.id);
        let mut changed = BTreeSet::new();
        let active = match active {
            Some(id) if !resumable(disk.as_ref(), &folder, rows.get(&id)) => {
                // It lost its end, or is gone: what it still has stays readable.
                rows.get_mut(&id).into_iter().for_each(|row| row.state = PackState::Sealed);
                changed.insert(id);
                None
            }
            other => other,
        };
        let state = State {
            rows,
            active,
            next,
            unrecorded: HashMap::new(),
            queue: Vec::new(),
            dirty: BTreeMap::new(),
            changed,
            folder_dirty: false,
            pinned: BTreeMap::new(),
            handles: HashMap::new(),
            uses: 0,
        };
        Ok(Self { folder, disk, bytes_max, state: Mutex::new(state) })
    }

    /// Where a blob is that the database may not know yet.
    pub(crate) fn unrecorded(&self, key: &BlobKey) -> Option<Location> {
        self.lock().unrecorded.get(key).copied()
    }

    /// Appends the record of a blob to the active pack, unless another putter just did.
    ///
    /// # Errors
    /// `StorageFull`, `WriteRefused`; the pack is as it was.
    pub(crate) fn append(&self, key: &BlobKey, record: &[u8], size: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.unrecorded.contains_key(key) {
            return Ok(());
        }
        let (pack, offset) = self.append_bytes(&mut state, record)?;
        let location = Location { pack, offset, length: record.len() as u64, size };
        state.unrecorded.insert(key.clone(), location);
        state.queue.push(key.clone());
        Ok(())
    }

    /// Appends a record that moves from another pack; [`Packs::unpin`] when that is settled.
    pub(crate) fn append_moved(
        &self,
        record: &[u8],
        from: Location,
    ) -> Result<Location, StoreError> {
        let mut state = self.lock();
        let (pack, offset) = self.append_bytes(&mut state, record)?;
        *state.pinned.entry(pack).or_insert(0) += 1;
        Ok(Location { pack, offset, ..from })
    }

    /// A moved record has been recorded, or never will be.
    pub(crate) fn unpin(&self, pack: PackId) {
        let mut state = self.lock();
        state.changed.insert(pack);
        if let Some(count) = state.pinned.get_mut(&pack) {
            *count -= 1;
            if *count == 0 {
                state.pinned.remove(&pack);
            }
        }
    }

    /// Has the next group look at a pack.
    pub(crate) fn touch(&self, pack: PackId) {
        self.lock().changed.insert(pack);
    }

    /// Makes a file for one long blob. Nothing knows of it until [`Packs::adopt`].
    pub(crate) fn create_solo(&self) -> Result<(PackId, Arc<dyn DiskFile>), StoreError> {
        let id = {
            let mut state = self.lock();
            state.next += 1;
            state.next - 1
        };
        Ok((id, self.create_file(id)?))
    }

    /// Takes a finished file of one blob among the packs, unless another putter just stored
    /// the same blob.
    pub(crate) fn adopt(
        &self,
        key: &BlobKey,
        location: Location,
        file: Arc<dyn DiskFile>,
    ) -> Adopted {
        let mut state = self.lock();
        if state.unrecorded.contains_key(key) {
            return Adopted::NotNeeded;
        }
        let end = location.offset + location.length;
        let row = PackRow { id: location.pack, end, live: 0, state: PackState::Sealed };
        state.rows.insert(row.id, row);
        state.changed.insert(row.id);
        state.dirty.insert(row.id, file);
        state.folder_dirty = true;
        state.unrecorded.insert(key.clone(), location);
        state.queue.push(key.clone());
        Adopted::Kept
    }

    /// Removes the file of a long blob that is not wanted after all.
    pub(crate) fn discard_solo(&self, id: PackId) {
        // Should it fail, the next start removes the file: no row knows it.
        let _ = self.disk.unlink(&self.folder.join(file_name(id)));
    }

    /// Everything that has been appended since the last time, to be synced and recorded.
    pub(crate) fn collect(&self) -> Fresh {
        let mut state = self.lock();
        let state = &mut *state;
        let queue = std::mem::take(&mut state.queue);
        let blobs = queue.into_iter().filter_map(|key| {
            let location = *state.unrecorded.get(&key)?;
            Some((key, location))
        });
        let blobs = blobs.collect();
        let dirty = std::mem::take(&mut state.dirty);
        state.changed.extend(dirty.keys());
        let changed = std::mem::take(&mut state.changed);
        let rows = changed.into_iter().filter_map(|id| Some((id, *state.rows.get(&id)?)));
        Fresh {
            blobs,
            files: dirty.into_values().collect(),
            rows: rows.collect(),
            folder_dirty: std::mem::take(&mut state.folder_dirty),
        }
    }

    /// Makes collected bytes durable; says how many syncs it took.
    pub(crate) fn sync(&self, fresh: &Fresh) -> io::Result<u64> {
        for file in &fresh.files {
            file.sync()?;
        }
        if fresh.folder_dirty {
            self.disk.sync_folder(&self.folder)?;
        }
        Ok(fresh.files.len() as u64 + u64::from(fresh.folder_dirty))
    }

    /// The transaction with the collected locations was rolled back: they wait for the next one.
    pub(crate) fn give_back(&self, fresh: Fresh) {
        let mut state = self.lock();
        state.queue.extend(fresh.blobs.into_iter().map(|(key, _)| key));
        state.changed.extend(fresh.rows.into_keys());
    }

    /// The state of a pack, for a change of its live bytes.
    pub(crate) fn row(&self, id: PackId) -> Option<PackRow> {
        self.lock().rows.get(&id).copied()
    }

    /// Whether a pack holds nothing that is or will be recorded and takes no more.
    pub(crate) fn is_empty(&self, row: &PackRow, recording: &[(BlobKey, Location)]) -> bool {
        let state = self.lock();
        let recording = |key: &BlobKey| recording.iter().any(|(recorded, _)| recorded == key);
        let awaited = || {
            let mut unrecorded = state.unrecorded.iter();
            unrecorded.any(|(key, location)| location.pack == row.id && !recording(key))
        };
        row.state == PackState::Sealed
            && row.live == 0
            && !state.pinned.contains_key(&row.id)
            && !awaited()
    }

    /// The transaction is durable: these rows are now what the database says, and `removed` packs
    /// are gone from it.
    pub(crate) fn recorded(
        &self,
        fresh: &Fresh,
        live: impl Iterator<Item = (PackId, u64)>,
        removed: &[PackId],
    ) {
        let mut state = self.lock();
        for (key, _) in &fresh.blobs {
            state.unrecorded.remove(key);
        }
        for (id, live) in live {
            state.rows.get_mut(&id).into_iter().for_each(|row| row.live = live);
        }
        for &id in removed {
            state.rows.remove(&id);
            state.handles.remove(&id);
        }
        drop(state);
        for &id in removed {
            self.discard_solo(id);
        }
    }

    /// Sealed packs of which more than half is dead.
    pub(crate) fn worth_compacting(&self) -> Vec<PackId> {
        let state = self.lock();
        let worth = state.rows.values().filter(|row| {
            let used = row.end.saturating_sub(PACK_HEADER_BYTES);
            row.state == PackState::Sealed && row.live < used / 2
        });
        worth.map(|row| row.id).collect()
    }

    /// The file of a pack, opened if need be.
    ///
    /// # Errors
    /// What the system says; `NotFound` when the pack has been compacted away.
    pub(crate) fn file(&self, id: PackId) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        self.open_file(&mut state, id)
    }

    fn open_file(&self, state: &mut State, id: PackId) -> io::Result<Arc<dyn DiskFile>> {
        state.uses += 1;
        let now = state.uses;
        if let Some((file, used)) = state.handles.get_mut(&id) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.folder.join(file_name(id)))?;
        keep_handle(state, id, &file);
        Ok(file)
    }

    /// Writes bytes at the end of the active pack. A write that fails may leave a part of them
    /// there; the end does not move, so the next record overwrites it.
    fn append_bytes(&self, state: &mut State, bytes: &[u8]) -> Result<(PackId, u64), StoreError> {
        let id = self.active_pack(state, bytes.len() as u64)?;
        let file = self.open_file(state, id).map_err(|error| write_failed(&error))?;
        let Some(row) = state.rows.get_mut(&id) else {
            return Err(StoreError::write_refused("the active pack has no row"));
        };
        let offset = row.end;
        file.write_at(offset, bytes).map_err(|error| write_failed(&error))?;
        row.end += bytes.len() as u64;
        state.dirty.insert(id, file);
        Ok((id, offset))
    }

    /// The pack that takes the next record; a full one is sealed and followed by a new one.
    fn active_pack(&self, state: &mut State, bytes: u64) -> Result<PackId, StoreError> {
        if let Some(id) = state.active {
            match state.rows.get_mut(&id) {
                Some(row) if row.end <= PACK_HEADER_BYTES || row.end + bytes <= self.bytes_max => {
                    return Ok(id);
                }
                Some(row) => row.state = PackState::Sealed,
                None => {}
            }
            state.changed.insert(id);
            state.active = None;
        }
        let id = state.next;
        state.next += 1;
        let file = self.create_file(id)?;
        keep_handle(state, id, &file);
        let row = PackRow { id, end: PACK_HEADER_BYTES, live: 0, state: PackState::Active };
        state.rows.insert(id, row);
        state.dirty.insert(id, file);
        state.folder_dirty = true;
        state.active = Some(id);
        Ok(id)
    }

    fn create_file(&self, id: PackId) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = self.folder.join(file_name(id));
        let file = self.disk.create(&path).map_err(|error| write_failed(&error))?;
        if let Err(error) = file.write_at(0, &pack_header(id)) {
            self.discard_solo(id);
            return Err(write_failed(&error));
        }
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    Kept,
    NotNeeded,
}

/// Whether the active pack can go on where it ended; cuts off what a crash left behind the end.
fn resumable(disk: &dyn Disk, folder: &std::path::Path, row: Option<&PackRow>) -> bool {
    let Some(row) = row else { return false };
    let cut = || -> io::Result<bool> {
        let file = disk.open(&folder.join(file_name(row.id)))?;
        let length = file.length()?;
        if length > row.end {
            file.truncate(row.end)?;
        }
        Ok(length >= row.end)
    };
    cut().unwrap_or(false)
}

fn keep_handle(state: &mut State, id: PackId, file: &Arc<dyn DiskFile>) {
    if state.handles.len() >= HANDLES_MAX {
        let oldest = state.handles.iter().min_by_key(|(_, (_, used))| *used).map(|(&id, _)| id);
        oldest.into_iter().for_each(|id| _ = state.handles.remove(&id));
    }
    state.handles.insert(id, (Arc::clone(file), state.uses));
}

fn file_name(id: PackId) -> String {
    format!("{id:016x}.pack")
}

fn parse_name(name: &str) -> Option<PackId> {
    u64::from_str_radix(name.strip_suffix(".pack")?, 16).ok()
}

/// A blob whose stored form is longer gets a pack of its own: it is streamed to the file, and
/// deleting it gives the space back at once. Shorter ones wait in memory until they are whole.
pub(crate) const SOLO_BYTES: usize = 1024 * 1024;

/// Files kept open. Well below the usual limit of 1,024 of a process, which has sockets too.
const HANDLES_MAX: usize = 128;
