//! A PostgreSQL of a test's own: a private cluster in a temporary folder, on a free loopback port,
//! stopped when it is dropped or when the test's process ends.

use std::collections::hash_map::RandomState;
use std::fs::Permissions;
use std::hash::BuildHasher;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running cluster.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    options: Vec<String>,
    server: Option<Child>,
}

/// Whether what is committed has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything is synced, as in earnest.
    Synced,
    /// Nothing is: for tests that do not end the server.
    Fast,
}

/// How a cluster is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends sessions and writes everything out.
    Fast,
    /// As a crash: recovery follows at the next start.
    Immediate,
}

impl Cluster {
    /// Makes and starts a cluster; `options` are settings as `name=value`.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start(durability: Durability, options: &[&str]) -> io::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("pbpg").tempdir()?;
        if is_root() {
            let (user, group) = owner()?;
            chown(folder.path(), Some(user), Some(group))?;
        }
        let mut all = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.path().display()),
            "max_connections=200".to_owned(),
            "log_min_messages=warning".to_owned(),
        ];
        if durability == Durability::Fast {
            let unsafe_but_fast = ["fsync=off", "full_page_writes=off", "synchronous_commit=off"];
            all.extend(unsafe_but_fast.map(str::to_owned));
        }
        all.extend(options.iter().map(|&option| option.to_owned()));
        let mut cluster = Self { folder, programs, port: 0, options: all, server: None };
        let mut init = cluster.as_owner("initdb");
        init.arg("-D").arg(cluster.data());
        init.args(["-U", "mail", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        succeed(init.arg("--no-instructions"))?;
        cluster.begin()?;
        Ok(cluster)
    }

    /// How to connect over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://mail@127.0.0.1:{}/postgres", self.port)
    }

    /// The port on the loopback address; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Writes a file of the server's own into its data folder, such as a key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.data().join(name);
        std::fs::write(&path, bytes)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        if is_root() {
            let (user, group) = owner()?;
            chown(&path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Runs SQL and returns what it printed, a row a line, columns separated by `|`.
    ///
    /// # Errors
    /// When it failed, with what was said.
    pub fn run_sql(&self, sql: &str) -> io::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]);
        let output = succeed(psql.arg(self.url()).args(["-c", sql]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self, how: Stop) -> io::Result<()> {
        let mode = if how == Stop::Fast { "fast" } else { "immediate" };
        let mut stop = self.as_owner("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["stop", "-w", "-t", "180", "-s", "-m", mode]);
        succeed(&mut stop)?;
        self.end();
        Ok(())
    }

    /// Starts the server again after a [`Cluster::stop`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.serve()?;
        self.wait_until_ready()
    }

    /// Stops and starts the server.
    ///
    /// # Errors
    /// As [`Cluster::stop`] and [`Cluster::start_again`].
    pub fn restart(&mut self, how: Stop) -> io::Result<()> {
        self.stop(how)?;
        self.start_again()
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            self.port = free_port()?;
            self.serve()?;
            match self.wait_until_ready() {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.end();
                    tries += 1;
                    if tries == START_TRIES {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Starts the server under a shell that ends it when our end of its input is closed, which the
    /// system does for us if the test is killed.
    fn serve(&mut self) -> io::Result<()> {
        let keeper = "exec 3<&0; \"$@\" </dev/null 3<&- & pid=$!;
            { read -r line <&3; kill -INT $pid 2>/dev/null; } & wait $pid";
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", keeper, "sh"]).args(self.owner_prefix());
        shell.arg(self.programs.join("postgres")).arg("-D").arg(self.data());
        shell.arg("-p").arg(self.port.to_string());
        for option in &self.options {
            shell.arg("-c").arg(option);
        }
        shell.current_dir("/").stdin(Stdio::piped());
        shell.stdout(log.try_clone()?).stderr(log);
        self.server = Some(shell.spawn()?);
        Ok(())
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.arg("-q").arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
            if ready.status()?.success() {
                return Ok(());
            }
            let has_ended = self
                .server
                .as_mut()
                .is_none_or(|server| server.try_wait().is_ok_and(|status| status.is_some()));
            if has_ended || Instant::now() > deadline {
                return Err(io::Error::other(format!("PostgreSQL did not start: {}", self.log())));
            }
            thread::sleep(START_POLL);
        }
    }

    fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            let _ = server.wait();
        }
    }

    fn as_owner(&self, program: &str) -> Command {
        let mut words = self.owner_prefix();
        words.push(self.programs.join(program).display().to_string());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir("/");
        command
    }

    /// The server refuses to run as root.
    fn owner_prefix(&self) -> Vec<String> {
        let words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
        if is_root() { words.map(str::to_owned).to_vec() } else { Vec::new() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nobody needs what is in it: no reason to write it out.
        let _ = self.stop(Stop::Immediate);
        self.end();
    }
}

/// A port below those that the system gives to whoever connects: it stays free while the server is
/// stopped, and a client that calls meanwhile is not connected to itself.
fn free_port() -> io::Result<u16> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let chance = RandomState::new().hash_one(0_u8) % u64::from(PORT_COUNT);
        let port = PORT_LOWEST + u16::try_from(chance).unwrap_or(0);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no port was tried")))
}

fn succeed(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{:?}: {said}", command.get_program())))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whose the cluster is when we are root: Debian's package makes this user.
fn owner() -> io::Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&"postgres"))
        .ok_or_else(|| io::Error::other("there is no user postgres"))?;
    let number = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    number(2).zip(number(3)).ok_or_else(|| io::Error::other("the user postgres has no numbers"))
}

/// Debian keeps the server's programs out of the way of PATH.
fn programs() -> io::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(DEBIAN_PROGRAMS).into_iter().flatten().flatten() {
        let version = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let folder = entry.path().join("bin");
        if let Some(version) = version
            && is_program(&folder.join("initdb"))
        {
            found.push((version, folder));
        }
    }
    found.sort();
    let newest = found.pop().map(|(_, folder)| folder);
    let on_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|folder| is_program(&folder.join("initdb")))
    };
    newest.or_else(on_path).ok_or_else(|| {
        io::Error::other("PostgreSQL is not installed: apt-get install postgresql-15")
    })
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}

const DEBIAN_PROGRAMS: &str = "/usr/lib/postgresql";

/// Somebody else may take the port before the server does.
const START_TRIES: u32 = 3;

/// Linux gives out 32768 and above.
const PORT_LOWEST: u16 = 10_000;
const PORT_COUNT: u16 = 20_000;
const PORT_TRIES: u32 = 100;

/// Recovery after a crash takes a while on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(180);
const START_POLL: Duration = Duration::from_millis(20);
