//! The built program, from outside: exit codes, files, and the socket of a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a configuration that costs nothing to hash for.
struct Site {
    folder: tempfile::TempDir,
    config: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("pillarbox.toml");
        let listen = |protocol: &str, address: &str, tls: &str| {
            format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\ntls = \"{tls}\"\n"
            )
        };
        let socket = folder.path().join("lmtp.sock");
        let toml = format!(
            "data = \"data\"\nhostname = \"localhost\"\n{}{}\
             [auth]\nargon2 = {{ memory_kib = 8, iterations = 1, parallelism = 1 }}\n",
            listen("imap", "127.0.0.1:0", "starttls"),
            listen("lmtp", &format!("unix:{}", socket.display()), "none"),
        );
        std::fs::write(&config, toml).unwrap();
        let config = config.to_str().unwrap().to_owned();
        Self { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut all = arguments.to_vec();
        all.extend(["--config", &self.config]);
        program(&all, input)
    }

    fn serve(&self) -> Running {
        self.serve_with(&[])
    }

    fn serve_with(&self, more: &[&str]) -> Running {
        let ready = self.folder.path().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(["serve", "--config", &self.config, "--ready-file"])
            .arg(&ready)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = Running { child };
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }

    fn imap(&self) -> u16 {
        let ready = std::fs::read(self.folder.path().join("ready.json")).unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
        let address = ready["listen"][0]["address"].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What the server says to a client that logs in and out.
    fn say(&self, name: &str, password: &str, commands: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.imap())).unwrap();
        stream.write_all(format!("a LOGIN {name} {password}\r\n{commands}").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    /// The tagged reply to a login.
    fn login(&self, name: &str, password: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.imap())).unwrap();
        let mut lines = BufReader::new(&stream).lines();
        lines.next().unwrap().unwrap();
        (&stream).write_all(format!("a LOGIN {name} {password}\r\n").as_bytes()).unwrap();
        lines.map(Result::unwrap).find(|line| line.starts_with("a ")).unwrap()
    }
}

struct Running {
    child: Child,
}

impl Running {
    /// Ends the server as a supervisor does, and returns its log.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        assert!(status.success(), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_mistake_of_a_configuration_is_told_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(
        &config,
        "dta = 'd'\n[[listen]]\nprotocol = 'imap'\naddress = 'x'\ntls = 'none'\n",
    )
    .unwrap();
    let output = program(&["serve", "--check", "--config", config.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for part in
        ["line 1: unknown key \"dta\"", "line 4: address", "data is missing", "hostname is missing"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(program(&["serve", "--config", "/nowhere/c.toml"], "").status.code() == Some(2));
}

#[test]
fn check_of_a_good_configuration_changes_nothing() {
    let site = Site::new();
    assert!(site.run(&["serve", "--check"], "").status.success());
    assert!(!site.data().exists());
    let early = site.run(&["account", "list"], "");
    assert_eq!(early.status.code(), Some(2));
    assert!(text(&early.stderr).contains("has the server ever run?"));
}

#[test]
fn accounts_can_be_made_before_the_server_starts_for_the_first_time() {
    let site = Site::new();
    let add = ["account", "add", "home@pillarbox.example", "--password-stdin"];
    let added = site.run(&add, "swordfish\n");
    assert!(added.status.success(), "{}", text(&added.stderr));
    let slip = site.data().join("slip");
    let args = ["account", "add", "x", "--password-stdin", "--data", slip.to_str().unwrap()];
    assert_eq!(program(&args, "swordfish\n").status.code(), Some(2));
    assert!(!slip.exists());
    let server = site.serve();
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a OK"));
    server.stop();
}

#[test]
fn limits_are_set_on_a_running_server_and_without_one() {
    let site = Site::new();
    let account = |arguments: &[&str]| site.run(&[&["account"], arguments].concat(), "tide\n");
    assert!(account(&["add", "dock", "--password-stdin"]).status.success());
    let none = "storage     used 0 KiB, limit none\nmessages    used 0, limit none\n\
                mailboxes   used 6, limit none\nannotations used 0 KiB, limit none\n";
    assert_eq!(text(&account(&["quota", "dock"]).stdout), none);
    let set = account(&["quota", "dock", "--storage", "10G", "--mailboxes", "6"]);
    assert!(text(&set.stdout).starts_with("storage     used 0 KiB, limit 10485760 KiB\n"));
    let server = site.serve();
    let said = site.say("dock", "tide", "b GETQUOTA \"\"\r\nc CREATE more\r\nd LOGOUT\r\n");
    assert!(said.contains("* QUOTA \"\" (STORAGE 0 10485760 MAILBOX 6 6)"), "{said}");
    assert!(said.contains("c NO [OVERQUOTA]"), "{said}");
    let more = account(&["quota", "dock", "--mailboxes", "none"]);
    assert!(text(&more.stdout).contains("limit 10485760 KiB\nmessages    used 0, limit none\n"));
    let said = site.say("dock", "tide", "b GETQUOTA \"\"\r\nc CREATE more\r\nd LOGOUT\r\n");
    assert!(said.contains("* QUOTA \"\" (STORAGE 0 10485760)"), "{said}");
    assert!(said.contains("c OK"), "{said}");
    let gone = account(&["quota", "nobody"]);
    assert_eq!(text(&gone.stderr), "pillarbox: no such account\n");
    assert_eq!(account(&["quota", "dock", "--storage", "10"]).status.code(), Some(2));
    assert_eq!(account(&["quota", "dock", "--none", "--messages", "1"]).status.code(), Some(2));
    drop(server.stop());
    assert!(text(&account(&["quota", "dock", "--none"]).stdout).contains("used 7, limit none"));
    assert!(site.run(&["check"], "").status.success());
}

#[test]
fn accounts_are_managed_on_a_running_server_and_without_one() {
    let site = Site::new();
    let server = site.serve();
    let add = |name: &str| site.run(&["account", "add", name, "--password-stdin"], "swordfish\n");
    assert!(add("home@pillarbox.example").status.success());
    let again = add("home@pillarbox.example");
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stderr), "pillarbox: the account exists\n");
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a OK"));
    assert!(
        site.run(&["account", "passwd", "home@pillarbox.example", "--password-stdin"], "tide\n")
            .status
            .success()
    );
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a NO"));
    assert!(site.login("home@pillarbox.example", "tide").starts_with("a OK"));
    let busy = site.run(&["check"], "");
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains("a server is running"));
    let control = site.data().join("control.sock");
    assert_eq!(std::fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o600);
    let log = server.stop();
    assert!(!control.exists());
    assert!(!log.contains("swordfish") && !log.contains("tide"), "{log}");

    let list = "work@pillarbox.example:a:b\nhome@pillarbox.example:x\n";
    let import = site.run(&["account", "import", "-"], list);
    assert_eq!(import.status.code(), Some(1));
    assert_eq!(text(&import.stdout), "1 accounts added, 1 not\n");
    assert!(text(&import.stderr).contains("line 2: home@pillarbox.example: the account exists"));
    let listed = site.run(&["account", "list"], "");
    assert_eq!(text(&listed.stdout), "home@pillarbox.example\nwork@pillarbox.example\n");
    assert!(site.run(&["account", "remove", "home@pillarbox.example"], "").status.success());
    let gone = site.run(&["account", "remove", "home@pillarbox.example"], "");
    assert_eq!(text(&gone.stderr), "pillarbox: no such account\n");
    let checked = site.run(&["check"], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).starts_with("1 accounts, "));

    let server = site.serve();
    assert!(site.login("work@pillarbox.example", "a:b").starts_with("a OK"));
    server.stop();
}

#[test]
fn s054_a_log_of_everything_holds_no_password() {
    let site = Site::new();
    let server = site.serve_with(&["--log", "json", "--log-filter", "trace"]);
    let add = ["account", "add", "home@pillarbox.example", "--password-stdin"];
    assert!(site.run(&add, "canary-one\n").status.success());
    assert!(site.login("home@pillarbox.example", "canary-one").starts_with("a OK"));
    assert!(site.login("home@pillarbox.example", "canary-two").starts_with("a NO"));
    assert!(site.login("\"canary-three", "{5}").starts_with("a BAD"));
    let log = server.stop();
    assert!(log.lines().count() > 5, "{log}");
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn a_certificate_is_read_again_at_hangup_and_a_broken_one_is_not_taken() {
    let site = Site::new();
    let mut server = site.serve();
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let pid = server.child.id().to_string();
    let mut hangup = |expected: &str| {
        assert!(Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
        assert!(log.any(|line| line.unwrap().contains(expected)), "{expected}");
    };
    hangup("certificate read again");
    std::fs::write(site.data().join("tls/self-signed.pem"), "nothing").unwrap();
    hangup("the old certificate stays");
    assert!(site.login("nobody", "x").starts_with("a NO"));
    server.stop();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let site = Site::new();
    let _server = site.serve();
    let second = site.run(&["serve"], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("is in use by"), "{}", text(&second.stderr));
}

#[test]
fn a_trial_keeps_its_accounts_in_a_named_folder_and_nothing_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let start = |data: Option<&Path>| {
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
        command.args(["try", "--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"]);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let child =
            command.arg("--ready-file").arg(&ready).stdout(Stdio::null()).stderr(Stdio::piped());
        let running = Running { child: child.spawn().unwrap() };
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
        (running, read)
    };
    let data = folder.path().join("data");
    let (running, first) = start(Some(&data));
    assert_eq!(first["accounts"].as_array().unwrap().len(), 2);
    running.stop();
    let (running, second) = start(Some(&data));
    assert_eq!(first["accounts"], second["accounts"]);
    running.stop();
    let checked = program(&["check", "--data", data.to_str().unwrap()], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));

    let (running, third) = start(None);
    let data = PathBuf::from(third["data"].as_str().unwrap());
    assert!(data.exists());
    running.stop();
    assert!(!data.parent().unwrap().exists());
}
