//! The data folder: what lies where, and whose it is.
//!
//! ```text
//! lock          held by the process that has the folder open; its text says who
//! store.db      the database (with store.db-wal and store.db-shm beside it)
//! packs/        pack files, one name per number
//! reserve       zeros: room for a full disk, see `reserve`
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use store::StoreError;

use crate::disk::private;
use crate::error::write_failed;

/// A data folder that belongs to this process until it is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes a folder, and makes it when it does not exist.
    ///
    /// # Errors
    /// `Locked` when another process has it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => StoreError::StorageFull,
            _ => StoreError::write_refused(format_args!("{}: {error}", path.display())),
        };
        make_private_folder(path).map_err(refused)?;
        let lock_path = path.join("lock");
        let mut lock = private().create(true).truncate(false).open(&lock_path).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&mut lock)),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        sign(&mut lock).map_err(refused)?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        make_private_folder(&folder.packs()).map_err(refused)?;
        sync(&folder.path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        Ok(folder)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("store.db")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.path.join("packs")
    }
}

fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// `WriteRefused` or `StorageFull`.
pub(crate) fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| write_failed(&error))
}

/// Leaves word for whoever finds the folder locked.
fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "process {}", std::process::id())
}

fn locked(lock: &mut File) -> StoreError {
    let mut by = String::new();
    let known = lock.take(SIGNATURE_BYTES_MAX).read_to_string(&mut by).is_ok();
    let by = by.trim();
    let by = if known && !by.is_empty() { by } else { "another process" };
    StoreError::Locked { by: by.into() }
}

/// More than a signature has; the file could hold anything.
const SIGNATURE_BYTES_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_files_are_for_their_owner_only() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("deep/data");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&folder.packs()), 0o700);
        crate::sqlite::create(&folder.database()).unwrap();
        assert_eq!(mode(&folder.database()), 0o600);
        assert_eq!(mode(&path.join("lock")), 0o600);
    }

    #[test]
    fn second_opener_is_told_who_has_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::open(outer.path()).unwrap();
        let Err(StoreError::Locked { by }) = Folder::open(outer.path()) else { panic!("opened") };
        assert_eq!(*by, format!("process {}", std::process::id()));
        drop(folder);
        assert!(Folder::open(outer.path()).is_ok());
    }
}
