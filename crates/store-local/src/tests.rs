//! Tests of the engine as a whole: the conformance suite, faults of the disk, kills.

mod conform;
mod damage;
mod faults;
mod nth;
mod packs;
mod power;
mod replay;
mod restart;
mod upgrade;

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::{BlobId, BlobKey, BlobLease, Commit, CommitNo, Store};

use crate::disk::{Clock, OsDisk};
use crate::{Disk, Local, Options};

/// Settings that make tests small, with a disk of the test's own.
fn options(disk: Arc<dyn Disk>) -> Options {
    Options {
        cache_bytes: 1 << 20,
        ahead_bytes: 16 << 10,
        reserve_bytes: 64 << 10,
        read_patience: Duration::ZERO,
        disk,
        ..Options::default()
    }
}

fn open(path: &Path) -> Local {
    Local::open(path, options(Arc::new(OsDisk))).unwrap()
}

/// Puts a blob and has a commit name it.
fn put(store: &Local, bytes: &[u8]) -> BlobLease {
    let lease = store.put_blob(b"a", bytes).unwrap();
    store.commit_wait(Commit::new().naming(lease.clone())).unwrap();
    lease
}

/// Blobs with what a listing says of them, in the order asked.
fn listed(store: &Local, ids: &[BlobId]) -> Vec<(BlobId, CommitNo)> {
    let mut found = std::collections::BTreeMap::new();
    let mut visit = |blob: store::BlobInfo| {
        found.insert(blob.key.id, blob.named_at);
        ControlFlow::Continue(())
    };
    store.list_blobs(None, &mut visit).unwrap();
    ids.iter().map(|id| (*id, found[id])).collect()
}

/// Bytes that do not compress.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Copies a data folder as a kill at this moment would leave it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_name() != "store.db-shm" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Flips a byte in the first frame of a stored blob.
fn damage(store: &Local, folder: &Path, key: &BlobKey) {
    let shared = store.shared();
    let location =
        shared.packs().unrecorded(key).or_else(|| shared.readers.locate(key).unwrap()).unwrap();
    let path = folder.join(format!("packs/{:016x}.pack", location.pack));
    let file = OsDisk.open(&path).unwrap();
    let at = location.offset + 96 + key.scope.len() as u64 + 2;
    let mut byte = [0];
    file.read_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ 0x10]).unwrap();
}

/// A folder in memory where there is such a place, for tests that do not ask how a disk syncs.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A line of the table that continuous integration prints.
fn report(fault: &str, cases: u32) {
    eprintln!("{fault}: {cases} cases");
    let Some(path) = std::env::var_os("PILLARBOX_FAULTS") else { return };
    let mut table = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(table, "{fault}\t{cases}\t0").unwrap();
}

fn pack_files(folder: &Path) -> usize {
    fs::read_dir(folder.join("packs")).unwrap().count()
}

/// A clock that stands still until it is told to go on.
#[derive(Default)]
struct HandClock(AtomicU64);

impl HandClock {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}
