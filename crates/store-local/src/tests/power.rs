//! Power cuts: what was not synced is there or not, sector by sector; what was acknowledged stays.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use store::{BlobId, Commit, Deletion, Store, StoreError, Write};

use super::{copy_folder, in_memory, listed, noise, options, report};
use crate::disk::{Disk, DiskFile, OsDisk};
use crate::{Local, Options};

/// A disk that remembers what of each pack is on stable storage.
#[derive(Clone, Default)]
struct Durable(Arc<Mutex<Stable>>);

#[derive(Default)]
struct Stable {
    files: BTreeMap<PathBuf, Shadow>,
    /// Removed, and the folder not synced since.
    ghosts: BTreeMap<PathBuf, Shadow>,
    /// The database as it was when a checkpoint had last been completed.
    database: Vec<u8>,
    /// Calls until the disk fails for good; `None` is never.
    fuse: Option<u32>,
    calls: u32,
}

#[derive(Clone, Default)]
struct Shadow {
    /// Content at the last sync.
    bytes: Vec<u8>,
    /// Whether the folder has been synced since the file was made.
    named: bool,
}

impl Durable {
    fn with_fuse(calls: u32) -> Self {
        let disk = Self::default();
        disk.lock().fuse = Some(calls);
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Stable> {
        self.0.lock().unwrap()
    }

    /// One call to the disk, which fails once the fuse has burnt.
    fn call(&self) -> io::Result<MutexGuard<'_, Stable>> {
        let mut stable = self.lock();
        stable.calls += 1;
        let calls = stable.calls;
        if stable.fuse.is_some_and(|fuse| calls > fuse) {
            return Err(io::Error::other("the power is going"));
        }
        Ok(stable)
    }

    /// A checkpoint of the store in this folder has just been completed.
    fn checkpointed(&self, folder: &Path) {
        let database = fs::read(folder.join("store.db")).unwrap();
        self.lock().database = database;
    }

    /// Does to a copy of the folder what the power cut did to the original.
    fn cut(&self, copy: &Path, random: &mut u64) {
        let stable = self.lock();
        let at = |path: &Path| copy.join("packs").join(path.file_name().unwrap());
        for (path, shadow) in &stable.files {
            let path = at(path);
            if !shadow.named && next(random).is_multiple_of(2) {
                let _ = fs::remove_file(path);
                continue;
            }
            let Ok(written) = fs::read(&path) else { continue };
            fs::write(&path, mix(&shadow.bytes, &written, random)).unwrap();
        }
        for (path, shadow) in &stable.ghosts {
            if shadow.named && next(random).is_multiple_of(2) {
                fs::write(at(path), &shadow.bytes).unwrap();
            }
        }
        // Of the database, whatever came after the last checkpoint may be lost.
        if !stable.database.is_empty() && next(random).is_multiple_of(2) {
            fs::write(copy.join("store.db"), &stable.database).unwrap();
            let _ = fs::remove_file(copy.join("store.db-wal"));
        }
    }
}

/// The synced content, with some of the sectors or pages that were written since.
fn mix(synced: &[u8], written: &[u8], random: &mut u64) -> Vec<u8> {
    let (short, long) = (synced.len().min(written.len()), synced.len().max(written.len()));
    let length = match next(random) % 3 {
        0 => synced.len(),
        1 => written.len(),
        _ => short + (next(random) as usize) % (long - short + 1),
    };
    let unit = if next(random).is_multiple_of(2) { 512 } else { 4096 };
    let all = next(random) % 4;
    let mut bytes = synced.to_vec();
    bytes.resize(length, 0);
    for (index, piece) in bytes.chunks_mut(unit).enumerate() {
        let new = written.get(index * unit..).unwrap_or_default();
        let count = piece.len().min(new.len());
        if all == 0 || (all > 1 && next(random).is_multiple_of(2)) {
            piece[..count].copy_from_slice(&new[..count]);
        }
    }
    bytes
}

impl Disk for Durable {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut stable = self.call()?;
        let file = OsDisk.create(path)?;
        stable.files.insert(path.to_owned(), Shadow::default());
        Ok(Arc::new(DurableFile { file, path: path.to_owned(), durable: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut stable = self.call()?;
        let file = OsDisk.open(path)?;
        // Found at the start: that much has survived.
        let found = Shadow { bytes: fs::read(path)?, named: true };
        stable.files.entry(path.to_owned()).or_insert(found);
        Ok(Arc::new(DurableFile { file, path: path.to_owned(), durable: self.clone() }))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        // Whoever unlinks a pack has completed a checkpoint just before.
        let folder = path.parent().and_then(Path::parent).unwrap();
        if path.extension().is_some() {
            self.checkpointed(folder);
        }
        let mut stable = self.call()?;
        OsDisk.unlink(path)?;
        let gone = stable.files.remove(path);
        stable.ghosts.extend(gone.map(|shadow| (path.to_owned(), shadow)));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        drop(self.call()?);
        OsDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut stable = self.call()?;
        stable.files.values_mut().for_each(|file| file.named = true);
        stable.ghosts.clear();
        OsDisk.sync_folder(folder)
    }
}

struct DurableFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    durable: Durable,
}

impl DiskFile for DurableFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _held = self.durable.call()?;
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        drop(self.durable.call()?);
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        let mut stable = self.durable.call()?;
        if let Some(shadow) = stable.files.get_mut(&self.path) {
            shadow.bytes = fs::read(&self.path)?;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let _held = self.durable.call()?;
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        drop(self.durable.call()?);
        self.file.length()
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn power_cut_at_any_moment_loses_nothing_acknowledged() {
    let seeds = std::env::var("STORE_POWER_SEEDS").ok().and_then(|text| text.parse().ok());
    let seeds: u64 = seeds.unwrap_or(12);
    let mut count = 0;
    for seed in 1..=seeds {
        eprintln!("seed {seed}");
        count += cuts(seed);
    }
    report("power cut of the packs, sector by sector, also while opening", count);
}

/// Says how many times the power was cut.
fn cuts(seed: u64) -> u32 {
    let outer = in_memory();
    let mut count = 0;
    let mut random = seed;
    let mut named: BTreeMap<BlobId, Vec<u8>> = BTreeMap::new();
    let mut last = 0;
    for generation in 0..6 {
        let folder = outer.path().join(generation.to_string());
        let disk = Durable::default();
        let store = recover(&folder, &disk, &mut random, &mut count);
        check(&store, &named);
        assert!(store.view().unwrap().at().0 >= last, "a number of a commit may come twice");
        for _ in 0..12 {
            act(&store, &mut named, &mut random);
        }
        last = store.view().unwrap().at().0;
        // Puts that no commit follows.
        for _ in 0..next(&mut random) % 4 {
            drop(store.put_blob(b"a", &sample(&mut random)).unwrap());
        }
        let after = outer.path().join((generation + 1).to_string());
        copy_folder(&folder, &after);
        disk.cut(&after, &mut random);
        count += 1;
    }
    count
}

/// Opens a store whose power has failed, with perhaps some more power cuts while it is opened.
fn recover(folder: &Path, disk: &Durable, random: &mut u64, count: &mut u32) -> Local {
    for _ in 0..3 {
        let weak = Durable::with_fuse((next(random) % 40) as u32);
        let Err(error) = Local::open(folder, settings(&weak)) else { break };
        assert!(!matches!(error, StoreError::Corrupt { .. }), "{error}");
        let copy = folder.with_extension("again");
        copy_folder(folder, &copy);
        weak.cut(&copy, random);
        fs::remove_dir_all(folder).unwrap();
        fs::rename(&copy, folder).unwrap();
        *count += 1;
    }
    let store = Local::open(folder, settings(disk)).unwrap();
    disk.checkpointed(folder);
    store
}

fn settings(disk: &Durable) -> Options {
    Options { pack_bytes_max: 150_000, ..options(Arc::new(disk.clone())) }
}

fn act(store: &Local, named: &mut BTreeMap<BlobId, Vec<u8>>, random: &mut u64) {
    match next(random) % 6 {
        0 => {
            let Some((&id, _)) = named.iter().nth(next(random) as usize % named.len().max(1))
            else {
                return;
            };
            let forget = Commit::new().write(Write::delete(*id.as_bytes()));
            store.commit_wait(forget).unwrap();
            let blobs = listed(store, &[id]);
            assert_eq!(store.delete_blobs(b"a", &blobs), Ok(vec![Deletion::Deleted]));
            named.remove(&id);
        }
        1 => store.reclaim().unwrap(),
        _ => {
            let bytes = sample(random);
            let lease = store.put_blob(b"a", &bytes).unwrap();
            let id = lease.id();
            let commit = Commit::new().write(Write::put(*id.as_bytes(), b"")).naming(lease);
            store.commit_wait(commit).unwrap();
            named.insert(id, bytes);
        }
    }
}

/// Small ones, large ones, and rarely one that gets a pack of its own.
fn sample(random: &mut u64) -> Vec<u8> {
    let size = [300, 20_000, 60_000, 140_000, 1_500_000][(next(random) % 23 / 5) as usize];
    noise(next(random), size)
}

fn check(store: &Local, named: &BTreeMap<BlobId, Vec<u8>>) {
    let view = store.view().unwrap();
    for (id, bytes) in named {
        assert!(view.get(id.as_bytes()).unwrap().is_some(), "a row is lost");
        let found = store.read_blob(b"a", id, 0..u64::MAX).unwrap();
        assert!(found == *bytes, "a blob has changed");
    }
}
