//! Each call to the disk failing, one after the other, once or from then on.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use store::{BlobId, Commit, Deletion, Store, StoreError, Write};

use super::{HandClock, copy_folder, in_memory, noise, open, options, report};
use crate::disk::{Disk, DiskFile, OsDisk};
use crate::{Local, Options};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Io,
    Full,
    TooManyFiles,
    /// The write does a part of its work first.
    Short,
    /// Only syncs fail.
    Sync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Once,
    ForEver,
}

/// A disk of which the n-th call fails.
#[derive(Clone)]
struct Nth {
    calls: Arc<AtomicU32>,
    nth: u32,
    fault: Fault,
    lasts: Lasts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    /// Needs a free file handle, or room.
    Open,
    Write,
    Sync,
}

impl Nth {
    fn call(&self, call: Call) -> io::Result<()> {
        let hit = match self.fault {
            Fault::Io => true,
            Fault::Full | Fault::Short => call == Call::Write,
            Fault::TooManyFiles => call == Call::Open,
            Fault::Sync => call == Call::Sync,
        };
        if !hit {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = match self.lasts {
            Lasts::Once => number == self.nth,
            Lasts::ForEver => number >= self.nth,
        };
        match self.fault {
            _ if !fails => Ok(()),
            Fault::Io | Fault::Sync => Err(io::Error::from_raw_os_error(5)),
            Fault::Full | Fault::Short => Err(io::ErrorKind::StorageFull.into()),
            Fault::TooManyFiles => Err(io::Error::from_raw_os_error(24)),
        }
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(NthFile { file, disk: self.clone() })
    }
}

impl Disk for Nth {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.call(Call::Open)?;
        Ok(self.wrap(OsDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.call(Call::Open)?;
        Ok(self.wrap(OsDisk.open(path)?))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Read)?;
        OsDisk.unlink(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.call(Call::Open)?;
        OsDisk.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call(Call::Sync)?;
        OsDisk.sync_folder(folder)
    }
}

struct NthFile {
    file: Arc<dyn DiskFile>,
    disk: Nth,
}

impl DiskFile for NthFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let answer = self.disk.call(Call::Write);
        if answer.is_err() && self.disk.fault == Fault::Short {
            self.file.write_at(offset, &bytes[..bytes.len() / 3])?;
        }
        answer?;
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.call(Call::Read)?;
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(Call::Sync)?;
        self.file.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.call(Call::Read)?;
        self.file.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.call(Call::Read)?;
        self.file.length()
    }
}

/// What a store has acknowledged: bodies by name, and which it may have deleted.
#[derive(Default)]
struct Acknowledged {
    named: BTreeMap<BlobId, Vec<u8>>,
    doubtful: Vec<BlobId>,
    flags: u64,
    flags_tried: u64,
}

fn delete(store: &Local, id: BlobId) -> Result<Deletion, StoreError> {
    let mut blobs = Vec::new();
    store.list_blobs(None, &mut |blob| {
        if blob.key.id == id {
            blobs.push((id, blob.named_at));
        }
        ControlFlow::Continue(())
    })?;
    let deleted = store.delete_blobs(b"a", &blobs)?;
    Ok(deleted.first().copied().unwrap_or(Deletion::Missing))
}

impl Acknowledged {
    fn work(&mut self, store: &Local) -> Vec<StoreError> {
        let mut errors = Vec::new();
        for step in 0..14_u64 {
            self.flags_tried += 1;
            let flags = Write::put(b"flags", self.flags_tried.to_be_bytes());
            match store.commit_wait(Commit::new().write(flags)) {
                Ok(_) => self.flags = self.flags_tried,
                Err(error) => errors.push(error),
            }
            let size = if step == 5 { 1_300_000 } else { 2_000 + 3_000 * step as usize };
            let bytes = noise(self.flags_tried, size);
            let stored = store.put_blob(b"a", &bytes).and_then(|lease| {
                let id = lease.id();
                let row = Write::put(*id.as_bytes(), b"");
                store.commit_wait(Commit::new().write(row).naming(lease)).map(|_| id)
            });
            match stored {
                Ok(id) if step % 3 == 0 => match delete(store, id) {
                    // The commit was answered a moment before it let go of its lease.
                    Ok(deleted) => assert_ne!(deleted, Deletion::Missing),
                    Err(error) => {
                        self.doubtful.push(id);
                        errors.push(error);
                    }
                },
                Ok(id) => _ = self.named.insert(id, bytes),
                Err(error) => errors.push(error),
            }
            if step == 10 {
                errors.extend(store.reclaim().err());
            }
        }
        errors
    }

    fn check(&self, store: &Local, case: &str) {
        let view = store.view().unwrap();
        for (id, bytes) in &self.named {
            assert_eq!(view.get(id.as_bytes()), Ok(Some(Vec::new())), "{case}: a row");
            let found = store.read_blob(b"a", id, 0..u64::MAX);
            assert!(found.as_ref() == Ok(bytes), "{case}: {:?}", found.err());
        }
        let flags = view
            .get(b"flags")
            .unwrap()
            .map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
        assert!((self.flags..=self.flags_tried).contains(&flags), "{case}: flags {flags}");
        let mut damage = Vec::new();
        store.verify(&mut |what| damage.push(what.to_owned())).unwrap();
        assert_eq!(damage, Vec::<String>::new(), "{case}");
    }
}

fn settings(disk: Arc<dyn Disk>) -> Options {
    // Without zeros ahead, so that each run makes the same calls.
    Options { pack_bytes_max: 60_000, ahead_bytes: 0, ..options(disk) }
}

/// Runs the work with one fault; says whether the fault came.
fn case(fault: Fault, lasts: Lasts, nth: u32) -> bool {
    let name = format!("{fault:?} {lasts:?} at call {nth}");
    let outer = in_memory();
    let (live, after) = (outer.path().join("live"), outer.path().join("after"));
    let disk = Nth { calls: Arc::default(), nth, fault, lasts };
    let calls = || disk.calls.load(Ordering::SeqCst);
    let mut acknowledged = Acknowledged::default();
    let clock = Arc::new(HandClock::default());
    let options = Options { clock: clock.clone(), ..settings(Arc::new(disk.clone())) };
    match Local::open(&live, options) {
        Ok(store) => {
            let errors = acknowledged.work(&store);
            for error in &errors {
                let known = matches!(
                    error,
                    StoreError::StorageFull
                        | StoreError::Busy
                        | StoreError::WriteRefused { .. }
                        | StoreError::ReadFailed { .. }
                );
                assert!(known, "{name}: {error:?}");
            }
            if fault == Fault::Full && calls() > nth {
                assert!(
                    !errors.iter().any(|e| matches!(e, StoreError::WriteRefused { .. })),
                    "{name}: {errors:?}"
                );
            }
            if lasts == Lasts::ForEver {
                // As a crash now would leave it.
                copy_folder(&live, &after);
                acknowledged.check(&open(&after), &name);
            } else if fault != Fault::Sync && fault != Fault::Io && calls() > nth {
                // It has passed: everything works again, without a new start.
                clock.advance(Duration::from_secs(2));
                let later = acknowledged.work(&store);
                assert_eq!(later, [], "{name}");
            }
        }
        Err(error) => assert!(!matches!(error, StoreError::Corrupt { .. }), "{name}: {error}"),
    }
    acknowledged.check(&open(&live), &name);
    calls() > nth
}

#[test]
fn no_failing_call_to_the_disk_loses_what_was_acknowledged() {
    for fault in [Fault::Io, Fault::Full, Fault::TooManyFiles, Fault::Short, Fault::Sync] {
        for lasts in [Lasts::Once, Lasts::ForEver] {
            let mut cases = 0;
            let mut nth = 0;
            while case(fault, lasts, nth) {
                cases += 1;
                // Every call at first; later ones resemble each other.
                nth += if nth < 24 { 1 } else { 3 };
            }
            assert!(cases > 4, "{fault:?} {lasts:?}: only {cases} cases");
            report(&format!("{}, {}", fault.words(), lasts.words()), cases);
        }
    }
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Io => "a call to the disk fails",
            Self::Full => "a call to the disk finds it full",
            Self::TooManyFiles => "a call to the disk finds too many files open",
            Self::Short => "a write to the disk is cut short",
            Self::Sync => "a sync of the disk fails",
        }
    }
}

impl Lasts {
    fn words(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::ForEver => "for ever",
        }
    }
}
