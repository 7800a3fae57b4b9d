//! A disk that fails: what is answered, and what is still there.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use store::{BlobId, Commit, Store, StoreError, Write};

use super::{copy_folder, damage, noise, open, options, pack_files, put};
use crate::disk::{Disk, DiskFile, OsDisk};
use crate::{Local, Options};

/// What the next calls to the disk meet.
#[derive(Default)]
struct Trouble {
    /// Bytes that may still be written; then the disk is full.
    room: Option<u64>,
    /// Error of the next writes, after half of the bytes.
    tear: Option<io::ErrorKind>,
    sync: Option<io::ErrorKind>,
    sync_folder: Option<io::ErrorKind>,
    read: Option<io::ErrorKind>,
}

/// A disk with trouble.
#[derive(Clone, Default)]
struct BadDisk(Arc<Mutex<Trouble>>);

impl BadDisk {
    fn set(&self, change: impl FnOnce(&mut Trouble)) {
        change(&mut self.0.lock().unwrap());
    }

    fn heal(&self) {
        self.set(|trouble| *trouble = Trouble::default());
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(BadFile { file, disk: self.clone() })
    }

    fn check(&self, which: impl FnOnce(&Trouble) -> Option<io::ErrorKind>) -> io::Result<()> {
        which(&self.0.lock().unwrap()).map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Disk for BadDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(OsDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(OsDisk.open(path)?))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        OsDisk.unlink(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.check(|trouble| trouble.sync_folder)?;
        OsDisk.sync_folder(folder)
    }
}

struct BadFile {
    file: Arc<dyn DiskFile>,
    disk: BadDisk,
}

impl DiskFile for BadFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        let mut trouble = self.disk.0.lock().unwrap();
        if let Some(kind) = trouble.tear {
            self.file.write_at(offset, half)?;
            return Err(kind.into());
        }
        if let Some(room) = &mut trouble.room {
            // What is written over something costs nothing.
            let there = self.file.length()?.saturating_sub(offset);
            let Some(left) = room.checked_sub((bytes.len() as u64).saturating_sub(there)) else {
                self.file.write_at(offset, half)?;
                return Err(io::ErrorKind::StorageFull.into());
            };
            *room = left;
        }
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.check(|trouble| trouble.read)?;
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.check(|trouble| trouble.sync)?;
        self.file.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

fn bad(path: &Path) -> (Local, BadDisk) {
    let disk = BadDisk::default();
    // Without zeros ahead: each append needs room that the disk may not have.
    let options = Options { ahead_bytes: 0, ..options(Arc::new(disk.clone())) };
    (Local::open(path, options).unwrap(), disk)
}

fn row(store: &Local, key: &[u8]) -> Result<store::CommitNo, StoreError> {
    store.commit_wait(Commit::new().write(Write::put(key, b"v")))
}

#[test]
fn failed_sync_acknowledges_nothing_and_refuses_writes_until_reopened() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let (store, disk) = bad(&before);
    let kept = put(&store, &noise(1, 1_000));
    row(&store, b"kept").unwrap();
    disk.set(|trouble| trouble.sync = Some(io::ErrorKind::Other));
    let lease = store.put_blob(b"a", &noise(2, 1_000)).unwrap();
    let doubtful = lease.id();
    let commit = Commit::new().write(Write::put(b"doubtful", b"v")).naming(lease);
    let answer = store.commit_wait(commit);
    assert!(matches!(answer, Err(StoreError::WriteRefused { .. })), "{answer:?}");
    disk.heal();
    // A second sync would succeed and prove nothing.
    for answer in
        [row(&store, b"later"), store.put_blob(b"a", b"later").map(|_| store::CommitNo(0))]
    {
        assert!(matches!(answer, Err(StoreError::WriteRefused { .. })), "{answer:?}");
    }
    assert_eq!(store.view().unwrap().get(b"kept"), Ok(Some(b"v".to_vec())));
    store.verify_blob(b"a", &kept.id()).unwrap();
    copy_folder(&before, &after);
    let store = open(&after);
    let view = store.view().unwrap();
    assert_eq!(view.get(b"kept"), Ok(Some(b"v".to_vec())));
    // It was refused, which leaves open what became of it; but not half of it.
    let found = view.get(b"doubtful").unwrap().is_some();
    assert_eq!(store.blob_size(b"a", &doubtful).unwrap().is_some(), found);
    row(&store, b"later").unwrap();
}

#[test]
fn failed_sync_of_the_folder_counts_as_a_failed_sync() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = bad(folder.path());
    disk.set(|trouble| trouble.sync_folder = Some(io::ErrorKind::Other));
    let lease = store.put_blob(b"a", b"first of its pack").unwrap();
    let answer = store.commit_wait(Commit::new().naming(lease));
    assert!(matches!(answer, Err(StoreError::WriteRefused { .. })), "{answer:?}");
}

#[test]
fn full_disk_is_told_as_such_and_works_again_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = bad(folder.path());
    let before = put(&store, &noise(1, 30_000));
    for size in [30_000, 300_000, 3 << 20] {
        disk.set(|trouble| trouble.room = Some(size as u64 / 2));
        let answer = store.put_blob(b"a", &noise(2, size)).map(|_| ());
        assert_eq!(answer, Err(StoreError::StorageFull), "{size} bytes");
        // Rows are elsewhere, and a full disk is no reason to stop.
        row(&store, b"row").unwrap();
        disk.heal();
        let after = put(&store, &noise(2, size));
        store.verify_blob(b"a", &after.id()).unwrap();
    }
    store.verify_blob(b"a", &before.id()).unwrap();
    drop(store);
    let store = open(folder.path());
    store.verify_blob(b"a", &before.id()).unwrap();
    store.verify_blob(b"a", &BlobId::of(&noise(2, 30_000))).unwrap();
}

#[test]
fn full_database_is_told_as_such_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let limited = Options { database_bytes_max: Some(400_000), ..options(Arc::new(OsDisk)) };
    let store = Local::open(folder.path(), limited).unwrap();
    let lease = store.put_blob(b"a", b"named by the commit that does not fit").unwrap();
    let big = Write::put(b"big", noise(1, 200_000));
    row(&store, b"kept").unwrap();
    store.commit_wait(Commit::new().write(big)).unwrap();
    let lots = Commit::new().write(Write::put(b"more", noise(2, 250_000))).naming(lease.clone());
    assert_eq!(store.commit_wait(lots.clone()), Err(StoreError::StorageFull));
    assert_eq!(store.view().unwrap().get(b"more"), Ok(None));
    store.commit_wait(Commit::new().write(Write::delete(b"big"))).unwrap();
    store.commit_wait(lots).unwrap();
    store.verify_blob(b"a", &lease.id()).unwrap();
    assert_eq!(store.view().unwrap().get(b"kept"), Ok(Some(b"v".to_vec())));
}

#[test]
fn write_that_stops_half_way_leaves_the_pack_usable() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = bad(folder.path());
    let before = put(&store, &noise(1, 5_000));
    disk.set(|trouble| trouble.tear = Some(io::ErrorKind::Other));
    let answer = store.put_blob(b"a", &noise(2, 90_000)).map(|_| ());
    assert!(matches!(answer, Err(StoreError::WriteRefused { .. })), "{answer:?}");
    assert!(store.put_blob(b"a", &noise(3, 3 << 20)).is_err());
    disk.heal();
    let after = put(&store, &noise(4, 5_000));
    drop(store);
    let store = open(folder.path());
    store.verify_blob(b"a", &before.id()).unwrap();
    store.verify_blob(b"a", &after.id()).unwrap();
    assert_eq!(pack_files(folder.path()), 1, "the torn long blob left a file");
}

#[test]
fn failed_read_is_an_error_that_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = bad(folder.path());
    let lease = put(&store, &noise(1, 5_000));
    disk.set(|trouble| trouble.read = Some(io::ErrorKind::Other));
    let answer = store.verify_blob(b"a", &lease.id());
    assert!(matches!(answer, Err(StoreError::ReadFailed { .. })), "{answer:?}");
    disk.heal();
    store.verify_blob(b"a", &lease.id()).unwrap();
}

#[test]
fn damaged_frame_is_told_by_blob_and_the_frames_beside_it_are_returned() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for size in [200_000, 600_000, 3 << 20] {
        let bytes = noise(size as u64, size);
        let lease = put(&store, &bytes);
        damage(&store, folder.path(), lease.key());
        match store.read_blob(b"a", &lease.id(), 0..10) {
            Err(StoreError::Corrupt { what }) => {
                assert!(what.contains(&lease.id().to_string()), "{what}");
            }
            answer => panic!("{answer:?}"),
        }
        let rest = store.read_blob(b"a", &lease.id(), 131_072..u64::MAX).unwrap();
        assert!(rest == bytes[131_072..], "an undamaged frame changed");
    }
}

#[test]
fn caller_that_panics_in_its_callback_does_not_stop_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(Commit::new(), Box::new(|_| panic!("on purpose")));
    row(&store, b"after").unwrap();
}
