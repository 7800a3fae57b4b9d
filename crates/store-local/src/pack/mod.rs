//! Pack files: where the bytes of blobs are, and the log.
//!
//! Putters append to the active pack under a lock; nothing is synced then. The committer collects
//! what has been appended ([`Packs::collect`]), and appends the record of its group, which says
//! where the blobs are, to the same pack: the active pack is the last segment of the log. It then
//! syncs everything that was written before that record ([`Packs::sync`]). The log has no holes:
//! a record that could not be written whole is overwritten with zeros before the next one.
//!
//! A blob that gets longer than [`SOLO_BYTES`] is streamed into a pack of its own instead, which is
//! no segment.
//!
//! A pack that nothing needs any more is removed only when the index that says so is on disk
//! ([`Packs::release`]): until then a replay after a power cut may come through it.

pub(crate) mod ahead;
pub(crate) mod compact;
pub(crate) mod format;
pub(crate) mod reader;
pub(crate) mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use store::{BlobKey, StoreError};

use crate::disk::{Disk, DiskFile};
use crate::error::write_failed;
use crate::log::format::{GROUP_HEADER_BYTES, segment_header};
use crate::log::format::{SEGMENT_HEADER_BYTES, aligned, encode_group, group_record_bytes};
use crate::log::replay::{Last, Tail};
use crate::log::{LogKey, Position};
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
    key: LogKey,
    bytes_max: u64,
    ahead_bytes: u64,
    state: Mutex<State>,
    /// Something has been appended, so that the active pack may have to grow.
    grows: Condvar,
}

/// How packs are filled.
pub(crate) struct Filling {
    pub(crate) bytes_max: u64,
    pub(crate) ahead_bytes: u64,
    pub(crate) key: LogKey,
}

struct State {
    rows: BTreeMap<PackId, PackRow>,
    active: Option<PackId>,
    next: PackId,
    /// Blobs whose bytes are written and whose location is not yet in the database.
    unrecorded: HashMap<BlobKey, Location>,
    /// Those of them that no group has taken on.
    queue: Vec<BlobKey>,
    /// Packs written since the last group, and packs whose row has changed.
    dirty: BTreeMap<PackId, Arc<dyn DiskFile>>,
    changed: BTreeSet<PackId>,
    /// Number of the next group.
    next_group: u64,
    /// Up to where the active pack holds zeros behind its end, and whether it gets more of them.
    zeroed: u64,
    growing: bool,
    /// How far behind the end of the active pack a failed write may have left something.
    garbage: Option<u64>,
    /// A sync has failed: nobody knows what the active pack holds.
    failed: Option<StoreError>,
    /// Packs that are gone from the index, by the group that removed them.
    doomed: Vec<(PackId, u64)>,
    folder_dirty: bool,
    /// Packs that a compaction is filling; their records are not live yet but will be.
    pinned: BTreeMap<PackId, usize>,
    handles: HashMap<PackId, (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// What a group has to record: see [`Packs::collect`].
#[derive(Default)]
pub(crate) struct Fresh {
    pub(crate) blobs: Vec<(BlobKey, Location)>,
    pub(crate) rows: BTreeMap<PackId, PackRow>,
}

/// The record of a group, written and not yet synced.
pub(crate) struct Logged {
    /// Number of the group.
    pub(crate) group: u64,
    /// Where its record ends.
    pub(crate) end: Position,
    /// Length of the record.
    pub(crate) bytes: u64,
    files: Vec<Arc<dyn DiskFile>>,
    folder_dirty: bool,
}

impl Packs {
    /// Opens the packs that the database knows, and removes files that it does not know. The
    /// database must be on disk as it is, and the log be replayed to `tail`.
    pub(crate) fn open(
        folder: PathBuf,
        disk: Arc<dyn Disk>,
        rows: Vec<PackRow>,
        tail: &Tail,
        filling: Filling,
    ) -> Result<Self, StoreError> {
        let mut rows: BTreeMap<PackId, PackRow> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        let Position { segment, offset } = tail.applied.at;
        if tail.segment == Last::Whole {
            let new = PackRow { id: segment, end: offset, live: 0, state: PackState::Active };
            rows.entry(segment).or_insert(new).end = offset;
        }
        let mut changed = BTreeSet::new();
        for row in rows.values_mut() {
            row.end = row.end.max(tail.ends.get(&row.id).copied().unwrap_or(0));
            let resumed = tail.segment == Last::Whole && row.id == segment;
            if row.state == PackState::Active && !resumed {
                // Followed by another one, or it lost its end: what it has stays readable.
                row.state = PackState::Sealed;
                changed.insert(row.id);
            }
        }
        let active = rows.values().find(|row| row.state == PackState::Active).map(|row| row.id);
        let mut next = rows.keys().next_back().map_or(1, |last| last + 1).max(segment + 1);
        let names = disk.list(&folder).map_err(|error| StoreError::read_failed(&error))?;
        let unknown = names.iter().filter_map(|name| parse_name(name));
        for id in unknown.filter(|id| !rows.contains_key(id)) {
            next = next.max(id + 1);
            // Made before the crash and never recorded, or removed from the index.
            disk.unlink(&folder.join(file_name(id))).map_err(|error| write_failed(&error))?;
        }
        let state = State {
            rows,
            active,
            next,
            unrecorded: HashMap::new(),
            queue: Vec::new(),
            dirty: BTreeMap::new(),
            changed,
            next_group: tail.applied.group + 1,
            zeroed: 0,
            growing: true,
            garbage: None,
            failed: None,
            doomed: Vec::new(),
            folder_dirty: false,
            pinned: BTreeMap::new(),
            handles: HashMap::new(),
            uses: 0,
        };
        let Filling { bytes_max, ahead_bytes, key } = filling;
        let (state, grows) = (Mutex::new(state), Condvar::new());
        Ok(Self { folder, disk, key, bytes_max, ahead_bytes, state, grows })
    }

    /// The key of the log's sums.
    pub(crate) fn log_key(&self) -> LogKey {
        self.key
    }

    /// All packs as the database has them or will have them.
    pub(crate) fn rows(&self) -> Vec<PackRow> {
        self.lock().rows.values().copied().collect()
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
        Ok((id, self.create_file(id, &pack_header(id))?))
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

    /// Everything that has been appended since the last time, to be recorded.
    pub(crate) fn collect(&self) -> Fresh {
        let mut state = self.lock();
        let state = &mut *state;
        let queue = std::mem::take(&mut state.queue);
        let blobs = queue.into_iter().filter_map(|key| {
            let location = *state.unrecorded.get(&key)?;
            Some((key, location))
        });
        let blobs = blobs.collect();
        let changed = std::mem::take(&mut state.changed);
        let rows = changed.into_iter().filter_map(|id| Some((id, *state.rows.get(&id)?)));
        Fresh { blobs, rows: rows.collect() }
    }

    /// Appends the record of the next group, and takes on everything that was written before it.
    ///
    /// # Errors
    /// `StorageFull`, `WriteRefused`, `Busy`; the log is as it was.
    pub(crate) fn append_group(
        &self,
        payload: Vec<u8>,
        commits: (u64, u64),
    ) -> Result<Logged, StoreError> {
        let mut state = self.lock();
        let state = &mut *state;
        let group = state.next_group;
        let payload_bytes = payload.len().saturating_sub(GROUP_HEADER_BYTES) as u64;
        let bytes = group_record_bytes(payload_bytes);
        let (segment, offset) = self.append_with(state, bytes, |segment, offset| {
            encode_group(&self.key, Position { segment, offset }, group, commits, payload)
        })?;
        state.next_group += 1;
        // Also what belongs to later groups: bytes that were written before a group and lost would
        // look as if they and the group were torn.
        let files = std::mem::take(&mut state.dirty).into_values().collect();
        let folder_dirty = std::mem::take(&mut state.folder_dirty);
        let end = Position { segment, offset: offset + bytes };
        Ok(Logged { group, end, bytes, files, folder_dirty })
    }

    /// Makes a group durable; says how many syncs it took.
    pub(crate) fn sync(&self, logged: &Logged) -> io::Result<u64> {
        for file in &logged.files {
            file.sync()?;
        }
        if logged.folder_dirty {
            self.disk.sync_folder(&self.folder)?;
        }
        Ok(logged.files.len() as u64 + u64::from(logged.folder_dirty))
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

    /// The group is durable: these rows are now what the database says, and `removed` packs are
    /// gone from it.
    pub(crate) fn recorded(
        &self,
        fresh: &Fresh,
        live: impl Iterator<Item = (PackId, u64)>,
        removed: &[PackId],
        group: u64,
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
            state.doomed.push((id, group));
        }
    }

    /// The index is on disk with everything up to a group: what that has removed can go.
    pub(crate) fn release(&self, group: u64) {
        let mut state = self.lock();
        let (gone, kept) =
            std::mem::take(&mut state.doomed).into_iter().partition(|(_, by)| *by <= group);
        state.doomed = kept;
        drop(state);
        let gone: Vec<(PackId, u64)> = gone;
        gone.into_iter().for_each(|(id, _)| self.discard_solo(id));
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

    /// Writes bytes at the end of the active pack.
    fn append_bytes(&self, state: &mut State, bytes: &[u8]) -> Result<(PackId, u64), StoreError> {
        self.append_with(state, bytes.len() as u64, |_, _| bytes)
    }

    /// Writes a record that depends on its place at the end of the active pack. A write that fails
    /// may leave a part of it there; the end does not move.
    fn append_with<B: AsRef<[u8]>>(
        &self,
        state: &mut State,
        length: u64,
        record: impl FnOnce(PackId, u64) -> B,
    ) -> Result<(PackId, u64), StoreError> {
        let id = self.active_pack(state, length)?;
        let file = self.open_file(state, id).map_err(|error| write_failed(&error))?;
        self.clean(state, id, file.as_ref())?;
        let Some(row) = state.rows.get_mut(&id) else {
            return Err(StoreError::write_refused("the active pack has no row"));
        };
        let offset = row.end;
        let record = record(id, offset);
        debug_assert_eq!(record.as_ref().len() as u64, length);
        if let Err(error) = file.write_at(offset, record.as_ref()) {
            state.garbage = Some(offset + length);
            return Err(write_failed(&error));
        }
        row.end = aligned(offset + length);
        state.dirty.insert(id, file);
        if state.wants_growth(self.ahead_bytes).is_some() {
            self.grows.notify_one();
        }
        Ok((id, offset))
    }

    /// Removes what a failed write has left behind the end. Synced at once: or a crash could show
    /// it together with a part of what is written there next.
    fn clean(&self, state: &mut State, id: PackId, file: &dyn DiskFile) -> Result<(), StoreError> {
        if let Some(failed) = &state.failed {
            return Err(failed.clone());
        }
        let (Some(to), Some(row)) = (state.garbage, state.rows.get(&id)) else { return Ok(()) };
        let length = file.length().map_err(|error| write_failed(&error))?;
        let zeros = vec![0; usize::try_from(to.min(length).saturating_sub(row.end)).unwrap_or(0)];
        file.write_at(row.end, &zeros).map_err(|error| write_failed(&error))?;
        if let Err(error) = file.sync() {
            let error = StoreError::write_refused(&error);
            state.failed = Some(error.clone());
            return Err(error);
        }
        state.garbage = None;
        Ok(())
    }

    /// The pack that takes the next record; a full one is sealed and followed by a new one.
    fn active_pack(&self, state: &mut State, bytes: u64) -> Result<PackId, StoreError> {
        let mut full = None;
        if let Some(id) = state.active {
            let end = state.rows.get(&id).map_or(0, |row| row.end);
            if end <= SEGMENT_HEADER_BYTES || end + bytes <= self.bytes_max {
                return Ok(id);
            }
            let file = self.open_file(state, id).map_err(|error| write_failed(&error))?;
            self.clean(state, id, file.as_ref())?;
            full = Some((file, end));
        }
        let id = state.next;
        state.next += 1;
        let header = segment_header(&self.key, id, state.next_group);
        let file = self.create_file(id, &header)?;
        if let Some(full) = state.active.replace(id) {
            state.rows.get_mut(&full).into_iter().for_each(|row| row.state = PackState::Sealed);
            state.changed.insert(full);
        }
        // Only zeros are cut off, and if they stay they do no harm.
        full.into_iter().for_each(|(file, end)| _ = file.truncate(end));
        state.zeroed = 0;
        keep_handle(state, id, &file);
        let row = PackRow { id, end: SEGMENT_HEADER_BYTES, live: 0, state: PackState::Active };
        state.rows.insert(id, row);
        state.changed.insert(id);
        state.dirty.insert(id, file);
        state.folder_dirty = true;
        Ok(id)
    }

    fn create_file(&self, id: PackId, header: &[u8]) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = self.folder.join(file_name(id));
        let file = self.disk.create(&path).map_err(|error| write_failed(&error))?;
        if let Err(error) = file.write_at(0, header) {
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

fn keep_handle(state: &mut State, id: PackId, file: &Arc<dyn DiskFile>) {
    if state.handles.len() >= HANDLES_MAX {
        let oldest = state.handles.iter().min_by_key(|(_, (_, used))| *used).map(|(&id, _)| id);
        oldest.into_iter().for_each(|id| _ = state.handles.remove(&id));
    }
    state.handles.insert(id, (Arc::clone(file), state.uses));
}

pub(crate) fn file_name(id: PackId) -> String {
    format!("{id:016x}.pack")
}

pub(crate) fn parse_name(name: &str) -> Option<PackId> {
    u64::from_str_radix(name.strip_suffix(".pack")?, 16).ok()
}

/// A blob whose stored form is longer gets a pack of its own: it is streamed to the file, and
/// deleting it gives the space back at once. Shorter ones wait in memory until they are whole.
pub(crate) const SOLO_BYTES: usize = 1024 * 1024;

/// Files kept open. Well below the usual limit of 1,024 of a process, which has sockets too.
const HANDLES_MAX: usize = 128;
