//! Opening again: after a kill, after a torn tail, by somebody else.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use store::limits::VIEW_LIFETIME;
use store::{Commit, Expected, Store, StoreError, Write};

use super::{HandClock, copy_folder, damage, noise, open, options, pack_files, put};
use crate::disk::{DiskFile, OsDisk};
use crate::{Disk, Local, Options};

#[test]
fn folder_in_use_is_refused_with_the_name_of_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let again = Local::open(folder.path(), options(Arc::new(OsDisk))).err();
    let by = format!("process {}", std::process::id());
    assert_eq!(again, Some(StoreError::Locked { by: by.as_str().into() }));
    drop(store);
    assert!(Local::open(folder.path(), options(Arc::new(OsDisk))).is_ok());
}

#[test]
fn database_of_another_program_is_refused_and_left_alone() {
    for made in ["PRAGMA application_id = 7; CREATE TABLE t (x);", "CREATE TABLE t (x);"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(made).unwrap();
        let before = fs::read(&path).unwrap();
        let answer = Local::open(folder.path(), options(Arc::new(OsDisk))).err();
        assert!(matches!(answer, Some(StoreError::Unsupported { .. })), "{answer:?}");
        assert!(fs::read(&path).unwrap() == before, "the database was changed");
    }
}

#[test]
fn damaged_database_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), noise(1, 20_000)).unwrap();
    let answer = Local::open(folder.path(), options(Arc::new(OsDisk))).err();
    assert!(matches!(answer, Some(StoreError::Corrupt { .. })), "{answer:?}");
}

#[test]
fn every_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    put(&store, &noise(1, 10_000));
    put(&store, &noise(2, 3 << 20));
    let mut seen = 0;
    for part in ["data", "data/packs"] {
        for entry in fs::read_dir(folder.path().join(part)).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
            seen += 1;
        }
    }
    // Lock, reserve, database, its log and its index of the log, folder of packs, two packs.
    assert_eq!(seen, 8);
}

#[test]
fn what_a_killed_process_had_written_is_in_the_database_before_anybody_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("live"));
    store.commit_wait(Commit::new().write(Write::put(b"key", b"value"))).unwrap();
    let killed = folder.path().join("killed");
    copy_folder(&folder.path().join("live"), &killed);
    let database = killed.join("store.db");
    let rows = || {
        // Without the log: only what was synced and copied out of it.
        let alone = folder.path().join("alone.db");
        fs::copy(&database, &alone).unwrap();
        let alone = rusqlite::Connection::open(alone).unwrap();
        // The two rows at the ends of the table are the engine's own.
        let count = "SELECT count(*) FROM row WHERE key <> x'' AND length(key) < 1025";
        alone.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    assert_eq!(rows(), 0, "the row is in the log alone");
    let again = open(&killed);
    assert_eq!(rows(), 1);
    drop(again);
}

#[test]
fn closed_store_leaves_one_database_file_without_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let view = store.view().unwrap();
    store.commit_wait(Commit::new().write(Write::put(b"k", b"v"))).unwrap();
    drop(view);
    store.close().unwrap();
    assert!(!folder.path().join("store.db-wal").exists());
    let store = open(folder.path());
    assert_eq!(store.view().unwrap().get(b"k"), Ok(Some(b"v".to_vec())));
}

#[test]
fn garbage_behind_the_last_recorded_blob_is_cut_off_and_written_over() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let store = open(&before);
    let kept = put(&store, &noise(1, 10_000));
    // Appended, and never followed by a commit: what a kill in the middle leaves behind.
    let torn = store.put_blob(b"a", &noise(2, 50_000)).unwrap();
    copy_folder(&before, &after);
    let store = open(&after);
    assert_eq!(store.blob_size(b"a", &torn.id()), Ok(None));
    let next = put(&store, &noise(3, 400));
    store.verify_blob(b"a", &kept.id()).unwrap();
    store.verify_blob(b"a", &next.id()).unwrap();
    let pack = fs::read_dir(after.join("packs")).unwrap().next().unwrap().unwrap();
    assert!(pack.metadata().unwrap().len() < 50_000, "the garbage still takes space");
}

#[test]
fn half_written_long_blob_is_removed_at_the_next_start() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let store = open(&before);
    let mut writer = store.blob_writer(b"a").unwrap();
    writer.write(&noise(1, 3 << 20)).unwrap();
    assert_eq!(pack_files(&before), 1);
    copy_folder(&before, &after);
    let reopened = open(&after);
    assert_eq!(pack_files(&after), 0);
    drop(writer);
    assert_eq!(pack_files(&before), 0, "a forgotten writer leaves no file");
    drop((store, reopened));
}

#[test]
fn pack_that_lost_its_end_is_reported_by_blob_and_takes_no_more() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("1");
    let store = open(&path);
    let kept = put(&store, &noise(1, 10_000));
    let lost = put(&store, &noise(2, 10_000));
    drop(store);
    let pack = fs::read_dir(path.join("packs")).unwrap().next().unwrap().unwrap().path();
    OsDisk.open(&pack).unwrap().truncate(12_000).unwrap();
    let store = open(&path);
    store.verify_blob(b"a", &kept.id()).unwrap();
    match store.verify_blob(b"a", &lost.id()) {
        Err(StoreError::Corrupt { what }) => assert!(what.contains(&lost.id().to_string())),
        answer => panic!("{answer:?}"),
    }
    let next = put(&store, &noise(3, 10_000));
    store.verify_blob(b"a", &next.id()).unwrap();
    assert_eq!(pack_files(&path), 2);
}

#[test]
fn start_after_a_kill_does_not_read_what_is_stored() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let store = open(&before);
    let leases: Vec<_> = (0..20).map(|seed| put(&store, &noise(seed, 100_000))).collect();
    copy_folder(&before, &after);
    let disk = Arc::new(ReadCounter::default());
    let store = Local::open(&after, options(disk.clone())).unwrap();
    assert!(disk.read_bytes() < 100_000, "{} of 2 MB", disk.read_bytes());
    let before = disk.read_bytes();
    store.verify_blob(b"a", &leases[7].id()).unwrap();
    assert!(disk.read_bytes() > before, "the counter counts");
}

#[test]
fn commit_log_survives_a_kill_between_checkpoints() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("1"), outer.path().join("2"));
    let store = open(&before);
    // More than the checkpointer's threshold, so that some pages are in the database and some are
    // in the log.
    for round in 0..40_u64 {
        let row = |n: u64| Write::put((round * 1000 + n).to_be_bytes(), noise(n, 300));
        let commit = Commit { writes: (0..100).map(row).collect(), ..Commit::new() };
        store.commit_wait(commit).unwrap();
    }
    copy_folder(&before, &after);
    let store = open(&after);
    let view = store.view().unwrap();
    for key in (0..40).flat_map(|round| (0..100).map(move |n| round * 1000 + n)) {
        let value = view.get(&u64::to_be_bytes(key)).unwrap();
        assert!(value == Some(noise(key % 1000, 300)), "row {key}");
    }
}

#[test]
fn damaged_blob_does_not_keep_the_store_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let lease = put(&store, &noise(1, 10_000));
    damage(&store, folder.path(), lease.key());
    drop(store);
    let store = open(folder.path());
    assert!(matches!(store.verify_blob(b"a", &lease.id()), Err(StoreError::Corrupt { .. })));
    store.commit_wait(Commit::new().when(b"k", Expected::Absent)).unwrap();
}

#[test]
fn view_expires_even_when_nobody_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(HandClock::default());
    let options = Options { clock: clock.clone(), ..options(Arc::new(OsDisk)) };
    let store = Local::open(folder.path(), options).unwrap();
    store.commit_wait(Commit::new().write(Write::put(b"k", b"v"))).unwrap();
    let (used, unused) = (store.view().unwrap(), store.view().unwrap());
    clock.advance(VIEW_LIFETIME);
    assert_eq!(used.get(b"k"), Ok(Some(b"v".to_vec())));
    clock.advance(Duration::from_millis(1));
    assert_eq!(used.get(b"k"), Err(StoreError::ViewExpired));
    store.shared().readers.expire();
    // Its transaction has ended, so the whole log can be copied and started over.
    let log = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = log.query_row(truncate, [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0, "a forgotten view still holds the log");
    assert_eq!(unused.get(b"k"), Err(StoreError::ViewExpired));
}

/// Counts bytes read from packs.
#[derive(Default)]
struct ReadCounter(Arc<std::sync::atomic::AtomicU64>);

impl ReadCounter {
    fn read_bytes(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountedFile { file, read: Arc::clone(&self.0) })
    }
}

impl Disk for ReadCounter {
    fn create(&self, path: &std::path::Path) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(OsDisk.create(path)?))
    }

    fn open(&self, path: &std::path::Path) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(OsDisk.open(path)?))
    }

    fn unlink(&self, path: &std::path::Path) -> std::io::Result<()> {
        OsDisk.unlink(path)
    }

    fn list(&self, folder: &std::path::Path) -> std::io::Result<Vec<String>> {
        OsDisk.list(folder)
    }

    fn sync_folder(&self, folder: &std::path::Path) -> std::io::Result<()> {
        OsDisk.sync_folder(folder)
    }
}

struct CountedFile {
    file: Arc<dyn DiskFile>,
    read: Arc<std::sync::atomic::AtomicU64>,
}

impl DiskFile for CountedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, std::sync::atomic::Ordering::Relaxed);
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync()
    }

    fn truncate(&self, length: u64) -> std::io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> std::io::Result<u64> {
        self.file.length()
    }
}

#[test]
fn database_that_was_never_finished_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["store.new", "store.new-journal", "store.new-wal"] {
        fs::write(folder.path().join(name), noise(1, 9000)).unwrap();
    }
    let lease = put(&open(folder.path()), b"Subject: low water");
    open(folder.path()).verify_blob(b"a", &lease.id()).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_string_lossy().starts_with("store.new"));
    assert!(names.is_empty(), "{names:?}");
}
