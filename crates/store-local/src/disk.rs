//! What the engine asks of the machine: files for packs, and the time.
//!
//! Everything that a crash can tear goes through these two traits, so that a test can stand in for
//! the disk. SQLite reaches the disk through its own VFS and has been crash-tested for itself; what
//! remains ours is the order: packs are synced before the database commits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files of packs.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist, readable by its owner only.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file; open handles keep working.
    ///
    /// # Errors
    /// What the system says.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Names of the files in a folder.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Writes all bytes at an offset; after an error any part of them may have been written.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is too short, or what the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What the system says. After an error the state of the file on disk is unknown.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Length of the file.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;
}

/// Time since some fixed moment; it never goes back.
pub trait Clock: Send + Sync {
    /// Now.
    fn monotonic(&self) -> Duration;
}

/// The disk of this machine.
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = private().create_new(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(private().open(path)?))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // The length counts as data; only times are left out.
        self.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// The clock of this machine.
pub struct OsClock {
    start: Instant,
}

impl Default for OsClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for OsClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Mail is nobody else's business: files are for their owner only.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
