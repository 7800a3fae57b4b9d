//! Runs this program again under strace and reads what it did to the disk.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use tempfile::TempDir;

use crate::Result;
use crate::disk::Disk;
use crate::events::{self, Recording};
use crate::history::History;
use crate::image::read_folder;
use crate::trace;

/// Folders of one recording; removed when dropped.
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// In memory if the system has a place for that: syncs cost nothing there, and the order of
    /// calls is the same.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("pillarbox-crash-");
        let folder =
            if memory.is_dir() { builder.tempdir_in(memory)? } else { builder.tempdir()? };
        let scratch = Self { folder };
        std::fs::create_dir(scratch.root())?;
        std::fs::create_dir(scratch.dumps())?;
        Ok(scratch)
    }

    /// A place below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that is recorded; the store is made in it.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.root().join(STORE)
    }

    /// The side folder of a workload.
    pub fn dumps(&self) -> PathBuf {
        self.path("dumps")
    }
}

/// What fails while something is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// System calls, as strace wants to be told.
    Call(String),
    /// No file can grow above so many KiB: the write that reaches it is short, later ones fail.
    FileSize(u64),
}

/// A workload that was recorded.
pub struct Session {
    /// What it did.
    pub recording: Recording,
    /// What it told.
    pub history: History,
    /// How it ended.
    pub status: ExitStatus,
}

/// Records a workload.
///
/// # Errors
/// When strace cannot be started or its recording not be read.
pub fn workload(scratch: &Scratch, seed: u64, steps: u64, fault: &Fault) -> Result<Session> {
    let mut arguments = vec!["workload".to_owned(), "--seed".to_owned(), seed.to_string()];
    arguments.extend(["--operations".to_owned(), steps.to_string()]);
    arguments.extend(["--folder".to_owned(), scratch.store().display().to_string()]);
    arguments.extend(["--dumps".to_owned(), scratch.dumps().display().to_string()]);
    if *fault != Fault::None {
        arguments.push("--failing".to_owned());
    }
    let (recording, status) = record(scratch, &arguments, fault)?;
    let history = History::read_folder(&scratch.dumps(), &recording.events)?;
    Ok(Session { recording, history, status })
}

/// Records an opening of the store that is in the scratch folder.
///
/// # Errors
/// As [`workload`].
pub fn recovery(scratch: &Scratch, fault: &Fault) -> Result<(Recording, ExitStatus)> {
    let folder = scratch.store().display().to_string();
    record(scratch, &["recover".to_owned(), "--folder".to_owned(), folder], fault)
}

fn record(
    scratch: &Scratch,
    arguments: &[String],
    fault: &Fault,
) -> Result<(Recording, ExitStatus)> {
    let before = read_folder(&scratch.root())?;
    let log = scratch.path("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-xx", "-s"]);
    strace.arg(STRING_BYTES_MAX).args(["-e", &format!("trace={CALLS}"), "-o"]).arg(&log);
    match fault {
        Fault::None => {}
        Fault::Call(call) => _ = strace.args(["-e", &format!("inject={call}")]),
        // The signal would end the process before the call could fail.
        Fault::FileSize(kib) => {
            let limited = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
            strace.args(["bash", "-c", &limited, "sim"]);
        }
    }
    strace.arg(std::env::current_exe()?).args(arguments);
    strace.stdin(Stdio::null()).stdout(Stdio::null());
    strace.stderr(File::create(scratch.path("stderr"))?);
    let status = strace.status().map_err(|error| format!("strace: {error}"))?;
    let recording = read_log(&log, &scratch.root(), before)?;
    Ok((recording, status))
}

/// Reads a recording that was kept.
///
/// # Errors
/// When it is not one.
pub fn read_log(log: &Path, root: &Path, before: Disk) -> Result<Recording> {
    let file = File::open(log).map_err(|error| format!("strace wrote nothing: {error}"))?;
    let calls = trace::read(BufReader::new(file))?;
    events::read(&calls, root, before)
}

impl Scratch {
    /// Keeps the recording of a workload for [`crate::run::replay`].
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, folder: &Path, seed: u64) -> Result<()> {
        std::fs::create_dir_all(folder.join(format!("{seed}.dumps")))?;
        std::fs::copy(self.path("strace"), folder.join(format!("{seed}.strace")))?;
        std::fs::write(folder.join(format!("{seed}.root")), self.root().display().to_string())?;
        for entry in std::fs::read_dir(self.dumps())? {
            let entry = entry?;
            let kept = folder.join(format!("{seed}.dumps")).join(entry.file_name());
            std::fs::copy(entry.path(), kept)?;
        }
        Ok(())
    }
}

impl Session {
    /// Fails unless the workload came to its end.
    ///
    /// # Errors
    /// With what it said.
    pub fn expect_success(&self, scratch: &Scratch) -> Result<()> {
        if self.status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
        Err(format!("the workload ended with {}: {said}", self.status).into())
    }
}

/// The store's folder within what is recorded.
pub const STORE: &str = "store";

/// Every call that can change a file, and those that say which file is meant.
const CALLS: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,writev,pwrite64,\
    pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,\
    mkdir,mkdirat,rmdir,link,linkat,fsync,fdatasync,copy_file_range,pread64";

/// No write is longer.
const STRING_BYTES_MAX: &str = "16777216";
