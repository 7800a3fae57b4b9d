//! The engine in memory: for tests and simulations of everything above the store.
//!
//! It keeps as many versions of a row as open views can see. A commit is "durable" at once; a blob
//! is from the next commit on, so [`Mem::crash`] loses exactly what a disk would be allowed to
//! lose. Views do not expire, because there is no clock here; the fault wrapper can expire them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits::{BLOB_READ_BYTES_MAX, VIEWS_MAX, check_blob_size, check_commit, check_scope};
use crate::{
    BlobId, BlobInfo, BlobKey, BlobLease, BlobReader, BlobWriter, Commit, CommitNo, Deletion, Done,
    KeyRange, Leases, Order, Store, StoreError, View, Visitor, Watch, Watchers, Write,
};

/// A store in memory. Clones share it.
#[derive(Clone, Default)]
pub struct Mem {
    state: Arc<RwLock<State>>,
    leases: Leases,
    watchers: Watchers,
}

impl Mem {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store as it would be found after the process was killed: every acknowledged commit,
    /// and the blobs that one of them made durable.
    #[must_use]
    pub fn crash(&self) -> Self {
        let state = self.read();
        let rows = state.rows.iter().filter_map(|(key, versions)| {
            let (at, value) = versions.last()?;
            value.as_ref()?;
            Some((key.clone(), vec![(*at, value.clone())]))
        });
        let blobs = state.blobs.iter().filter(|(_, blob)| blob.named_at.is_some());
        let survivor = State {
            rows: rows.collect(),
            blobs: blobs.map(|(key, blob)| (key.clone(), blob.clone())).collect(),
            at: state.at,
            ..State::default()
        };
        Self { state: Arc::new(RwLock::new(survivor)), ..Self::default() }
    }

    /// Damages a stored blob: reading it answers `Corrupt` from now on.
    pub fn damage_blob(&self, key: &BlobKey) {
        if let Some(blob) = self.write().blobs.get_mut(key) {
            blob.health = Health::Damaged;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let state = self.write();
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }
}

impl Store for Mem {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        let mut state = self.open()?;
        if state.views.values().sum::<usize>() >= VIEWS_MAX {
            return Err(StoreError::Busy);
        }
        let at = state.at;
        *state.views.entry(at).or_insert(0) += 1;
        Ok(Box::new(MemView { mem: self.clone(), at }))
    }

    fn commit(&self, commit: Commit, done: Done) {
        let result = check_commit(&commit).and_then(|()| self.open()?.commit(&commit));
        if result.is_ok() {
            self.watchers.wake(commit.writes.iter().map(Write::key));
        }
        done(result);
    }

    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        self.watchers.add(prefix, wake)
    }

    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError> {
        check_scope(scope)?;
        drop(self.open()?);
        let writer = MemWriter { mem: self.clone(), scope: scope.to_vec(), bytes: Vec::new() };
        Ok(Box::new(writer))
    }

    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError> {
        let state = self.open()?;
        let blob = state.blobs.get(&BlobKey::new(scope, *id));
        let blob = blob.ok_or(StoreError::BlobMissing { id: *id })?;
        Ok(Box::new(MemReader { id: *id, blob: blob.clone() }))
    }

    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError> {
        let mut state = self.open()?;
        let delete = |&(id, listed): &(BlobId, CommitNo)| {
            let key = BlobKey::new(scope, id);
            if self.leases.contains(&key) {
                return Deletion::InUse;
            }
            match state.blobs.get(&key) {
                None => Deletion::Missing,
                Some(blob) if blob.named_at != Some(listed) => Deletion::InUse,
                Some(_) => {
                    state.blobs.remove(&key);
                    Deletion::Deleted
                }
            }
        };
        Ok(blobs.iter().map(delete).collect())
    }

    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let start = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        let listed: Vec<BlobInfo> = {
            let state = self.open()?;
            let blobs = state.blobs.range((start, Bound::Unbounded));
            blobs.filter_map(|(key, blob)| blob.info(key)).collect()
        };
        let _ = listed.into_iter().try_for_each(visit);
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        self.write().closed = true;
        Ok(())
    }
}

/// Versions of a row, oldest first; `None` is a deletion.
type Versions = Vec<(CommitNo, Option<Arc<[u8]>>)>;

#[derive(Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Versions>,
    /// Keys that have more than one version or end in a deletion.
    stale: BTreeSet<Vec<u8>>,
    blobs: BTreeMap<BlobKey, Blob>,
    at: CommitNo,
    /// How many open views there are at each position.
    views: BTreeMap<CommitNo, usize>,
    closed: bool,
}

impl State {
    fn get(&self, key: &[u8], at: CommitNo) -> Option<&Arc<[u8]>> {
        visible(self.rows.get(key)?, at)
    }

    fn commit(&mut self, commit: &Commit) -> Result<CommitNo, StoreError> {
        for (index, condition) in commit.conditions.iter().enumerate() {
            let found = self.get(&condition.key, self.at).map(AsRef::as_ref);
            if !condition.expected.holds(found) {
                return Err(StoreError::Conflict { condition: index });
            }
        }
        let missing = commit.leases.iter().find(|lease| !self.blobs.contains_key(lease.key()));
        if let Some(lease) = missing {
            return Err(StoreError::BlobMissing { id: lease.id() });
        }
        self.at = self.at.next();
        for write in &commit.writes {
            let value = match write {
                Write::Put { value, .. } => Some(Arc::from(value.as_slice())),
                Write::Delete { .. } => None,
            };
            self.set(write.key(), value);
        }
        let at = self.at;
        for blob in self.blobs.values_mut().filter(|blob| blob.named_at.is_none()) {
            blob.named_at = Some(at);
        }
        for lease in &commit.leases {
            if let Some(blob) = self.blobs.get_mut(lease.key()) {
                blob.named_at = Some(at);
            }
        }
        self.prune();
        Ok(at)
    }

    fn set(&mut self, key: &[u8], value: Option<Arc<[u8]>>) {
        let versions = self.rows.entry(key.to_vec()).or_default();
        if versions.last().is_some_and(|(at, _)| *at == self.at) {
            versions.pop();
        }
        if !versions.is_empty() || value.is_none() {
            self.stale.insert(key.to_vec());
        }
        versions.push((self.at, value));
    }

    /// Forgets the versions that no open view can see.
    fn prune(&mut self) {
        let oldest = self.views.keys().next().copied().unwrap_or(self.at);
        let rows = &mut self.rows;
        self.stale.retain(|key| {
            let Some(versions) = rows.get_mut(key) else { return false };
            let first = versions.iter().rposition(|(at, _)| *at <= oldest).unwrap_or(0);
            versions.drain(..first);
            if matches!(versions.as_slice(), [(at, None)] if *at <= oldest) {
                rows.remove(key);
                return false;
            }
            !matches!(versions.as_slice(), [(_, Some(_))])
        });
    }
}

fn visible(versions: &Versions, at: CommitNo) -> Option<&Arc<[u8]>> {
    versions.iter().rev().find(|(written, _)| *written <= at)?.1.as_ref()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Damaged,
}

#[derive(Clone)]
struct Blob {
    bytes: Arc<[u8]>,
    /// `None` until a commit has made the blob durable.
    named_at: Option<CommitNo>,
    health: Health,
}

impl Blob {
    fn info(&self, key: &BlobKey) -> Option<BlobInfo> {
        let size = self.bytes.len() as u64;
        Some(BlobInfo { key: key.clone(), size, stored_bytes: size, named_at: self.named_at? })
    }
}

struct MemView {
    mem: Mem,
    at: CommitNo,
}

impl View for MemView {
    fn at(&self) -> CommitNo {
        self.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.mem.read().get(key, self.at).map(|value| value.to_vec()))
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let mut rest = range.clone();
        loop {
            // In pieces, so that the lock is not held while a visitor works.
            let rows = self.piece(&rest);
            for (key, value) in &rows {
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == SCAN_ROWS => rest = rest.after(last),
                _ => return Ok(()),
            }
        }
    }
}

impl MemView {
    fn piece(&self, range: &KeyRange) -> Vec<(Vec<u8>, Arc<[u8]>)> {
        if range.is_empty() {
            return Vec::new();
        }
        let start = Bound::Included(range.start.as_slice());
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.mem.read();
        let rows = state.rows.range::<[u8], _>((start, end));
        let shown = |(key, versions): (&Vec<u8>, &Versions)| {
            Some((key.clone(), Arc::clone(visible(versions, self.at)?)))
        };
        match range.order {
            Order::Ascending => rows.filter_map(shown).take(SCAN_ROWS).collect(),
            Order::Descending => rows.rev().filter_map(shown).take(SCAN_ROWS).collect(),
        }
    }
}

impl Drop for MemView {
    fn drop(&mut self) {
        let mut state = self.mem.write();
        if let Some(count) = state.views.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                state.views.remove(&self.at);
            }
        }
    }
}

struct MemWriter {
    mem: Mem,
    scope: Vec<u8>,
    bytes: Vec<u8>,
}

impl BlobWriter for MemWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        check_blob_size(self.size() + bytes.len() as u64)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn finish(self: Box<Self>) -> Result<BlobLease, StoreError> {
        let Self { mem, scope, bytes } = *self;
        let key = BlobKey { id: BlobId::of(&bytes), scope };
        let mut state = mem.open()?;
        let lease = mem.leases.take(key.clone(), bytes.len() as u64);
        state.blobs.entry(key).or_insert_with(|| Blob {
            bytes: bytes.into(),
            named_at: None,
            health: Health::Good,
        });
        Ok(lease)
    }
}

struct MemReader {
    id: BlobId,
    blob: Blob,
}

impl BlobReader for MemReader {
    fn size(&self) -> u64 {
        self.blob.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        if self.blob.health == Health::Damaged {
            return Err(StoreError::corrupt(format_args!("blob {}", self.id)));
        }
        let bytes = &self.blob.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(bytes_max.min(BLOB_READ_BYTES_MAX)).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }
}

/// Rows that a scan copies at a time.
const SCAN_ROWS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Engine, Restart};

    struct InMemory(Mem);

    impl Engine for InMemory {
        fn store(&self) -> Arc<dyn Store> {
            Arc::new(self.0.clone())
        }

        fn restart(&mut self, how: Restart) {
            if how == Restart::Closed {
                self.0.close().unwrap();
            }
            self.0 = self.0.crash();
        }

        fn damage_blob(&mut self, key: &BlobKey) {
            self.0.damage_blob(key);
        }
    }

    #[test]
    fn engine_in_memory_conforms() {
        conformance::all(&|| Box::new(InMemory(Mem::new())));
    }

    #[test]
    fn old_versions_are_forgotten_when_no_view_can_see_them() {
        let mem = Mem::new();
        let put = |value: &[u8]| mem.commit_wait(Commit::new().write(Write::put(b"k", value)));
        put(b"1").unwrap();
        let view = mem.view().unwrap();
        put(b"2").unwrap();
        mem.commit_wait(Commit::new().write(Write::delete(b"k"))).unwrap();
        assert_eq!(view.get(b"k").unwrap().as_deref(), Some(&b"1"[..]));
        drop(view);
        mem.commit_wait(Commit::new()).unwrap();
        assert!(mem.read().rows.is_empty() && mem.read().stale.is_empty());
    }

    #[test]
    fn crash_loses_a_blob_that_no_commit_has_followed() {
        let mem = Mem::new();
        let lost = mem.put_blob(b"a", b"never named").unwrap();
        let survivor = mem.crash();
        assert_eq!(survivor.blob_size(b"a", &lost.id()), Ok(None));
        mem.commit_wait(Commit::new()).unwrap();
        assert_eq!(mem.crash().blob_size(b"a", &lost.id()), Ok(Some(11)));
    }
}
