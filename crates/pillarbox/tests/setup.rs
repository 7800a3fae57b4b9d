//! `setup`, `dns records` and `doctor` as they are called, against name servers of our own: from an
//! empty folder to a server about which nothing is to be said.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{program, text};
use testkit::dns::{NameServer, Zone};

/// Where the world would reach the machine.
const ADDRESS: &str = "192.0.2.25";

const APEX: &str = "@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n@ 60 IN NS ns\n\
                    ns 60 IN A 127.0.0.1\n";

const REVERSE: &str = "25 60 IN PTR mail.example.org.\n";

/// An empty machine, and the names around it.
struct Machine {
    folder: tempfile::TempDir,
    names: NameServer,
    /// A mail server elsewhere that greets.
    probe: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = NameServer::start(&[
            zone("example.org", "").signed(),
            zone("2.0.192.in-addr.arpa", REVERSE),
            zone("list.example", ""),
        ]);
        fs::write(folder.path().join("anchor"), names.trust_anchor()).unwrap();
        Self { folder, names, probe: greeter() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("root/etc/pillarbox/pillarbox.toml")
    }

    /// What is set up so that it can be looked at from here.
    fn outside(&self) -> Vec<String> {
        let arguments =
            ["--address", ADDRESS, "--probe", &self.probe, "--block-list", "list.example"];
        arguments.map(str::to_owned).into()
    }

    fn setup(&self, more: &[&str]) -> Output {
        let mut arguments =
            ["setup", "you@example.org", "--self-signed"].map(str::to_owned).to_vec();
        let prefix = self.path("root").display().to_string();
        let (server, anchor) =
            (self.names.address().to_string(), self.path("anchor").display().to_string());
        for (name, value) in
            [("--prefix", prefix), ("--name-server", server), ("--trust-anchor", anchor)]
        {
            arguments.extend([name.to_owned(), value]);
        }
        arguments.extend(self.outside());
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        program(&arguments, "swordfish\n")
    }

    /// Sets up although the ports of mail may be taken on the machine that runs the test.
    fn set_up(&self) -> String {
        let output = self.setup(&["--yes", "--despite-failures", "--password-stdin"]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Lets the server that was set up listen at ports that nobody else has.
    fn move_ports(&self) {
        let mut config = fs::read_to_string(self.config()).unwrap();
        for port in [25, 465, 587, 993, 443, 80] {
            let free = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap();
            for any in ["[::]", "0.0.0.0"] {
                config = config.replace(&format!("\"{any}:{port}\""), &format!("\"{free}\""));
            }
        }
        fs::write(self.config(), config).unwrap();
    }

    fn with_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        all.extend(["--config".to_owned(), self.config().display().to_string()]);
        all
    }

    fn doctor(&self, more: &[&str]) -> Output {
        program(&self.doctor_arguments(more), "")
    }

    fn doctor_arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments = self.with_config(&["doctor"]);
        arguments.extend(self.outside());
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments
    }

    /// The records as they are printed, as a zone.
    fn records(&self) -> String {
        let mut arguments = self.with_config(&["dns", "records", "--form", "zone"]);
        arguments.extend(["--address".to_owned(), ADDRESS.to_owned()]);
        let output = program(&arguments, "");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command on the configuration, which must succeed; what it says.
    fn run(&self, arguments: &[&str]) -> String {
        let output = program(&self.with_config(arguments), "");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Asks for the keys until they are as they shall be.
    fn wait_for_keys(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let keys = self.run(&["dkim", "list"]);
            if is_wanted(&keys) {
                return keys;
            }
            assert!(begun.elapsed() < Duration::from_secs(180), "not what was wanted: {keys}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a stranger is answered, who wants to write to somebody here.
    fn answer_to_stranger(&self) -> String {
        let ready: serde_json::Value =
            serde_json::from_slice(&fs::read(self.path("ready.json")).unwrap()).unwrap();
        let listeners = ready["listen"].as_array().unwrap();
        let smtp = listeners.iter().find(|listener| listener["protocol"] == "smtp").unwrap();
        let port = smtp["address"].as_str().unwrap().rsplit_once(':').unwrap().1;
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        for command in [
            "",
            "HELO c.example\r\n",
            "MAIL FROM:<a@b.example>\r\n",
            "RCPT TO:<you@example.org>\r\n",
        ] {
            lines.get_mut().write_all(command.as_bytes()).unwrap();
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        line
    }

    fn serve(&self) -> Running {
        let ready = self.path("ready.json");
        let child = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(self.with_config(&["serve"]))
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let running = Running(child);
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(180), "not ready in time");
            thread::sleep(Duration::from_millis(5));
        }
        running
    }
}

/// A server, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn zone(origin: &str, records: &str) -> Zone {
    Zone::parse(origin, &format!("{APEX}{records}"))
}

fn greeter() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"220 mx.example.net ready\r\n");
        }
    });
    address
}

/// Every file below a folder, with what is in it.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return all };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(tree(&path)),
            false => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

#[test]
fn a_look_alone_writes_nothing_and_says_what_would_be_written() {
    let machine = Machine::new();
    let output = machine.setup(&["--dry-run"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for part in [
        "OK    outbound port 25: 127.0.0.1 greeted",
        "WARN  host name mail.example.org: has no address yet",
        "WARN  PTR of 192.0.2.25: is mail.example.org, which does not lead back to it",
        "OK    192.0.2.25 in list.example: is not listed",
        "OK    MX of example.org: there is none yet",
        "OK    DNSSEC of example.org: the zone is signed",
        "account        you@example.org, which gets mail for postmaster@example.org",
        "Records that must be there:",
        "Records that make it better:",
        "@                        IN MX    10 mail.example.org.",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(!machine.path("root").exists());
}

#[test]
fn a_failure_stops_the_set_up_before_anything_is_written() {
    let machine = Machine::new();
    // This machine is not where the name leads.
    let elsewhere = "mail 60 IN A 198.51.100.1\n";
    machine.names.replace(zone("example.org", elsewhere).signed());
    let output = machine.setup(&["--yes", "--password-stdin"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing was written; mend what fails"));
    let nobody = machine.setup(&["--despite-failures"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("nobody can be asked; say --yes"));
    assert!(!machine.path("root").exists());
}

#[test]
fn a_set_up_that_is_run_again_changes_nothing_and_says_so() {
    let machine = Machine::new();
    let said = machine.set_up();
    for part in ["wrote ", "rsa", "_domainkey", "the same, cut into strings:", "IN TXT   \"v=DKIM1"]
    {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let before = tree(&machine.path("root"));
    let again = machine.setup(&["--yes", "--password-stdin"]);
    assert!(again.status.success());
    assert!(text(&again.stdout).contains("is set up already: nothing was changed"));
    assert_eq!(tree(&machine.path("root")), before);
    let mut other = vec!["setup".to_owned(), "you@example.net".to_owned(), "--yes".to_owned()];
    other.extend(["--prefix".to_owned(), machine.path("root").display().to_string()]);
    let other = program(&other, "");
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("is for example.org; add \"example.net\""));
    assert_eq!(tree(&machine.path("root")), before);
}

#[test]
fn what_is_set_up_can_be_served_and_the_doctor_is_content_once_the_records_are_set() {
    let machine = Machine::new();
    machine.set_up();
    machine.move_ports();
    let check = program(&machine.with_config(&["serve", "--check"]), "");
    assert!(check.status.success(), "{}", text(&check.stderr));
    let early = machine.doctor(&[]);
    assert_eq!(early.status.code(), Some(2), "{}", text(&early.stdout));
    assert!(text(&early.stdout).contains("nobody answers"), "{}", text(&early.stdout));
    assert!(text(&early.stdout).contains("FAIL  MX example.org: is missing"));

    // What is printed is what is set.
    machine.names.replace(zone("example.org", &machine.records()).signed());
    let _server = machine.serve();
    // The certificate is signed by nobody else, and the clock of a container follows nobody.
    let well = machine.doctor(&["--accept-warnings"]);
    let said = text(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{said}{}", text(&well.stderr));
    assert!(said.contains("OK    MX example.org: mail comes here"), "{said}");
    assert!(said.contains("OK    TLSA _25._tcp.mail.example.org: the certificate's key"), "{said}");
    assert!(!said.contains("FAIL"), "{said}");
    let records = said.lines().filter(|line| line.contains(" _") && line.starts_with("WARN"));
    assert_eq!(records.collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(machine.doctor(&[]).status.code(), Some(1));

    let json = text(&machine.doctor(&["--json"]).stdout);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["worst"], "WARN");
    assert!(json["findings"].as_array().unwrap().len() > 15);
}

#[test]
fn the_doctor_that_watches_ends_when_the_last_record_is_right() {
    let machine = Machine::new();
    machine.set_up();
    machine.move_ports();
    let good = machine.records();
    let without: String = good
        .lines()
        .filter(|line| !line.contains(" MX "))
        .map(|line| format!("{line}\n"))
        .collect();
    machine.names.replace(zone("example.org", &without).signed());
    let _server = machine.serve();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
        .args(machine.doctor_arguments(&["--watch", "--every", "1", "--accept-warnings"]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(doctor.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(" ok, ") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.contains("FAIL  MX example.org: is missing"), "{said}");
    // Without it nobody is meant by the mx of the policy of senders.
    assert!(said.contains("mx lets the servers of the MX records send: set those"), "{said}");
    assert!(said.contains("2 failures\n"), "{said}");
    machine.names.replace(zone("example.org", &good).signed());
    let mut later = String::new();
    lines.read_to_string(&mut later).unwrap();
    assert!(doctor.wait().unwrap().success(), "{later}");
    assert!(later.contains("OK    MX example.org: mail comes here"), "{later}");
    // Only what has changed is told.
    assert!(!later.contains("OK    memory"), "{later}");
}

#[test]
fn a_new_key_signs_once_its_record_is_seen_and_the_old_one_rests() {
    let machine = Machine::new();
    machine.set_up();
    machine.move_ports();
    machine.names.replace(zone("example.org", &machine.records()).signed());
    let _server = machine.serve();
    let first = machine.run(&["dkim", "list"]);
    let before: Vec<_> = first.lines().map(str::to_owned).collect();
    assert_eq!(before.len(), 2, "{first}");
    assert!(before.iter().all(|line| line.contains(": signs since ")), "{first}");

    let rotated = machine.run(&["dkim", "rotate", "example.org"]);
    assert_eq!(rotated.matches("v=DKIM1; k=").count(), 3, "{rotated}");
    assert!(rotated.contains("the same, cut into strings:"), "{rotated}");
    let waiting = machine.run(&["dkim", "list"]);
    assert_eq!(waiting.matches("waits for its record").count(), 2, "{waiting}");
    let again = program(&machine.with_config(&["dkim", "rotate", "example.org"]), "");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("still waits for its record"));

    machine.names.replace(zone("example.org", &machine.records()).signed());
    machine.run(&["reload"]);
    // The new ones are taken up one after the other.
    let keys = machine.wait_for_keys(|keys| keys.matches("rests since").count() == 2);
    for line in &before {
        let (name, _) = line.split_once(':').unwrap();
        assert!(keys.contains(&format!("{name}: rests since ")), "{keys}");
        let (domain, selector) = name.split_once(' ').unwrap();
        machine.run(&["dkim", "remove", domain, selector]);
    }
    let left = machine.run(&["dkim", "list"]);
    assert_eq!(left.matches(": signs since ").count(), 2, "{left}");
    assert_eq!(left.lines().count(), 2, "{left}");
}

#[test]
fn the_configuration_is_read_again_whole_or_not_at_all() {
    let machine = Machine::new();
    machine.set_up();
    machine.move_ports();
    let _server = machine.serve();
    assert!(machine.answer_to_stranger().starts_with("250 "));
    let good = fs::read_to_string(machine.config()).unwrap();
    let strict = format!("{good}\n[inbound]\ntrusted_networks = []\n[inbound.greylist]\n");

    fs::write(machine.config(), format!("{strict}delay = 5\n")).unwrap();
    let data = machine.path("root/var/lib/pillarbox").display().to_string();
    let refused = program(&["reload", "--data", &data], "");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("unknown key \"delay\"") && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(machine.answer_to_stranger().starts_with("250 "));

    let changed = strict.replace("mail.example.org", "mx.example.org");
    fs::write(machine.config(), changed).unwrap();
    let said = machine.run(&["reload"]);
    assert!(
        said.contains("read again and in force: [[relay]], [outbound], [inbound], [[dkim]]"),
        "{said}"
    );
    assert!(said.contains("in force after a restart: hostname"), "{said}");
    let answer = machine.answer_to_stranger();
    assert!(answer.starts_with("4"), "{answer}");

    fs::write(machine.config(), good).unwrap();
    machine.run(&["reload"]);
    assert!(machine.answer_to_stranger().starts_with("250 "));
}
