//! Power cuts: of what was not synced, packs keep any part or garbage; what was acknowledged stays.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use store::{BlobId, Commit, Deletion, Store, Write};

use super::{copy_folder, listed, noise, options};
use crate::disk::{Disk, DiskFile, OsDisk};
use crate::{Local, Options};

/// What of each pack file is on stable storage.
#[derive(Clone, Default)]
struct Durable(Arc<Mutex<BTreeMap<PathBuf, Durability>>>);

#[derive(Clone, Copy)]
struct Durability {
    /// Length at the last sync; everything below is as it was written.
    length: u64,
    name: Name,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Durable,
    /// The folder has not been synced since the file was made.
    New,
}

impl Durable {
    /// Does to a copy of the folder what the power cut did to the original.
    fn cut(&self, copy: &Path, random: &mut u64) {
        for (path, durability) in &*self.0.lock().unwrap() {
            let path = copy.join("packs").join(path.file_name().unwrap());
            let Ok(file) = OsDisk.open(&path) else { continue };
            let written = file.length().unwrap();
            if durability.name == Name::New && next(random).is_multiple_of(2) {
                OsDisk.unlink(&path).unwrap();
                continue;
            }
            let unsynced = written - durability.length;
            let kept = durability.length + if unsynced > 0 { next(random) % unsynced } else { 0 };
            file.truncate(kept).unwrap();
            // Of what kept its place, pages may not have been written.
            let garbage = (kept - durability.length) / 2;
            file.write_at(durability.length, &vec![0; garbage as usize]).unwrap();
        }
    }
}

impl Disk for Durable {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OsDisk.create(path)?;
        let new = Durability { length: 0, name: Name::New };
        self.0.lock().unwrap().insert(path.to_owned(), new);
        Ok(Arc::new(DurableFile { file, path: path.to_owned(), durable: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OsDisk.open(path)?;
        // Found at the start: that much has survived.
        let found = Durability { length: file.length()?, name: Name::Durable };
        self.0.lock().unwrap().entry(path.to_owned()).or_insert(found);
        Ok(Arc::new(DurableFile { file, path: path.to_owned(), durable: self.clone() }))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path);
        OsDisk.unlink(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.lock().unwrap().values_mut().for_each(|file| file.name = Name::Durable);
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
        if let Some(durability) = self.durable.0.lock().unwrap().get_mut(&self.path) {
            // What is written over is not durable either until the next sync.
            durability.length = durability.length.min(offset);
        }
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        let length = self.file.length()?;
        if let Some(durability) = self.durable.0.lock().unwrap().get_mut(&self.path) {
            durability.length = length;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
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
    for seed in 1..=6 {
        eprintln!("seed {seed}");
        cuts(seed);
    }
}

fn cuts(seed: u64) {
    let outer = tempfile::tempdir().unwrap();
    let mut random = seed;
    let mut named: BTreeMap<BlobId, Vec<u8>> = BTreeMap::new();
    for generation in 0..6 {
        let folder = outer.path().join(generation.to_string());
        let disk = Durable::default();
        let options = Options { pack_bytes_max: 150_000, ..options(Arc::new(disk.clone())) };
        let store = Local::open(&folder, options).unwrap();
        check(&store, &named);
        for _ in 0..12 {
            act(&store, &mut named, &mut random);
        }
        // Puts that no commit follows.
        for _ in 0..next(&mut random) % 4 {
            drop(store.put_blob(b"a", &sample(&mut random)).unwrap());
        }
        let after = outer.path().join((generation + 1).to_string());
        copy_folder(&folder, &after);
        disk.cut(&after, &mut random);
    }
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
