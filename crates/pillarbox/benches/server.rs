//! What the built program does on this machine, over real sockets: the figures that the project
//! promises, measured from outside.
//!
//! ```text
//! cargo bench -p pillarbox                    all of them
//! cargo bench -p pillarbox -- append idle     some
//! ```
//! Loads: `append` (8 connections, messages of 4 to 300 KiB), `store` (8 connections), `select` and
//! `fetch` (100,000 messages), `idle` (2,000 sessions over TLS).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that fails shall stop")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|it| it == name);
    if wanted("append") {
        append();
    }
    if wanted("store") {
        store();
    }
    if wanted("select") || wanted("fetch") {
        large_mailbox();
    }
    if wanted("idle") {
        idle();
    }
}

/// 8 connections append messages, each waits for its OK.
fn append() {
    let server = Server::start(None);
    let before = server.counters();
    let (connections, each) = (8, 400);
    let begun = Instant::now();
    let octets: usize = at_once(connections, |index, ready| {
        let mut client = server.login();
        let mut random = Random(index as u64 + 1);
        let messages: Vec<_> = (0..50).map(|_| message(&mut random)).collect();
        ready.wait();
        let mut octets = 0;
        for number in 0..each {
            let message = &messages[number % messages.len()];
            let unique = format!("X-Number: {index}.{number}\r\n");
            let size = unique.len() + message.len();
            client.send(format!("a APPEND INBOX {{{size}+}}\r\n{unique}").as_bytes());
            client.send(message);
            client.send(b"\r\n");
            client.expect_ok("a");
            octets += size;
        }
        octets
    })
    .into_iter()
    .sum();
    let spent = begun.elapsed().as_secs_f64();
    let count = (connections * each) as f64;
    let after = server.counters();
    println!(
        "append   {:8.0} messages/s, {:.0} MB/s, {:.1} KiB on average, {:.3} syncs and {:.0} us of CPU a message",
        count / spent,
        octets as f64 / spent / 1e6,
        octets as f64 / count / 1024.0,
        (after.syncs - before.syncs) as f64 / count,
        (after.cpu - before.cpu).as_secs_f64() * 1e6 / count,
    );
}

/// 8 connections change flags of messages of their own; with and without pipelining.
fn store() {
    let server = Server::start(None);
    let mut client = server.login();
    fill(&mut client, "INBOX", 800);
    for depth in [1, 16] {
        let (connections, each) = (8, 4000);
        let before = server.counters();
        let begun = Instant::now();
        at_once(connections, |index, ready| {
            let mut client = server.login();
            client.run("s SELECT INBOX");
            ready.wait();
            let mut waiting = VecDeque::new();
            for number in 0..each {
                let uid = 1 + index * 100 + number % 100;
                let sign = if number / 100 % 2 == 0 { '+' } else { '-' };
                client.send(
                    format!("t{number} UID STORE {uid} {sign}FLAGS.SILENT (\\Flagged)\r\n")
                        .as_bytes(),
                );
                waiting.push_back(number);
                if waiting.len() >= depth {
                    let first = waiting.pop_front().unwrap();
                    client.expect_ok(&format!("t{first}"));
                }
            }
            for number in waiting {
                client.expect_ok(&format!("t{number}"));
            }
        });
        let spent = begun.elapsed().as_secs_f64();
        let after = server.counters();
        let count = (connections * each) as f64;
        println!(
            "store    {:8.0} changes/s with {depth} under way on each connection, {:.3} syncs and {:.0} us of CPU a change",
            count / spent,
            (after.syncs - before.syncs) as f64 / count,
            (after.cpu - before.cpu).as_secs_f64() * 1e6 / count,
        );
    }
}

fn large_mailbox() {
    let folder = Folder::new();
    let count = 100_000;
    let server = Server::start(Some(&folder.0));
    let mut client = server.login();
    fill(&mut client, "INBOX", count);
    drop(client);
    server.stop();
    let mut cold = Vec::new();
    let mut start = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let server = Server::start(Some(&folder.0));
        start.push(begun.elapsed());
        let mut client = server.login();
        cold.push(client.time("s SELECT INBOX"));
        drop(client);
        server.stop();
    }
    println!("start    {:8.1} ms with {count} messages in store", median(start));
    println!("select   {:8.1} ms cold, {count} messages", median(cold));
    let server = Server::start(Some(&folder.0));
    let mut client = server.login();
    client.run("s SELECT INBOX");
    let warm = (0..50).map(|_| client.time("s SELECT INBOX")).collect();
    println!("select   {:8.2} ms warm", median(warm));
    let mut second = server.login();
    let other = (0..20).map(|_| second.time("s EXAMINE INBOX")).collect();
    println!("select   {:8.2} ms warm, by another session", median(other));
    let fetch = (0..20).map(|_| client.time("f FETCH 1:* (FLAGS)")).collect();
    println!("fetch    {:8.1} ms FETCH 1:* (FLAGS)", median(fetch));
    let fetch = (0..20).map(|_| client.time("f UID FETCH 1:* (FLAGS)")).collect();
    println!("fetch    {:8.1} ms UID FETCH 1:* (FLAGS)", median(fetch));
    let search = (0..20).map(|_| client.time("f UID SEARCH UNSEEN")).collect();
    println!("search   {:8.1} ms UID SEARCH UNSEEN", median(search));
    let store = (0..200)
        .map(|number| {
            client.time(&format!("f UID STORE {} +FLAGS.SILENT (\\Flagged)", 1 + number * 7))
        })
        .collect();
    println!("store    {:8.2} ms one STORE in {count} messages, durable", median(store));
}

/// Sessions over TLS in IDLE, each with an INBOX of 1,000 messages.
fn idle() {
    let server = Server::start(None);
    fill(&mut server.login(), "INBOX", 1000);
    let config = client_config(&server.certificate);
    // The first ones fill what logins and handshakes before them had left free.
    let warm: Vec<_> = (0..1000).map(|_| idle_session(&server, &config)).collect();
    let before = settled_rss(server.child.id());
    let count = 2000;
    let sessions: Vec<_> = (0..count).map(|_| idle_session(&server, &config)).collect();
    let after = settled_rss(server.child.id());
    println!(
        "idle     {:8.1} KiB a TLS session in IDLE ({count} held, {} MiB to {} MiB)",
        (after as f64 - before as f64) / f64::from(count),
        before / 1024,
        after / 1024,
    );
    // A change reaches all of them.
    let begun = Instant::now();
    let mut writer = server.login();
    writer.run("a APPEND INBOX {3+}\r\nx\r\n");
    for mut session in sessions.into_iter().chain(warm) {
        let mut seen = Vec::new();
        while !contains(&seen, b"EXISTS") {
            let mut piece = [0; 256];
            let count = session.read(&mut piece).expect("a push");
            assert!(count > 0);
            seen.extend_from_slice(&piece[..count]);
        }
    }
    println!(
        "idle     {:8.0} ms until all of them have heard of a new message",
        begun.elapsed().as_secs_f64() * 1e3
    );
}

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

fn idle_session(server: &Server, config: &Arc<ClientConfig>) -> TlsClient {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", server.imaps)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let (user, password) = &server.account;
    write!(stream, "a LOGIN {user} {password}\r\nb SELECT INBOX\r\nc IDLE\r\n").unwrap();
    stream.flush().unwrap();
    let mut seen = Vec::new();
    while !contains(&seen, b"\r\n+ ") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
    stream
}

fn client_config(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(certificate).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Resident memory in KiB, once it has stopped changing.
fn settled_rss(pid: u32) -> u64 {
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut last = rss();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(500));
        let now = rss();
        if now.abs_diff(last) < 64 {
            return now;
        }
        last = now;
    }
    last
}

/// Brings a mailbox to this many messages.
fn fill(client: &mut Client, mailbox: &str, count: usize) {
    let batch = 500.min(count);
    for _ in 0..count / batch {
        let mut command = format!("a APPEND {mailbox}");
        for number in 0..batch {
            let text = format!(
                "From: office@harbour.example\r\nTo: home@pillarbox.example\r\n\
                 Subject: notice {number}\r\nMessage-ID: <{number}@harbour.example>\r\n\r\ntext\r\n"
            );
            command.push_str(&format!(" (\\Seen) {{{}+}}\r\n{text}", text.len()));
        }
        command.push_str("\r\n");
        client.send(command.as_bytes());
        client.expect_ok("a");
    }
}

/// A message of 4 to 300 KiB, as mail has them: many small ones, few large ones.
fn message(random: &mut Random) -> Vec<u8> {
    let size = 4096.0 * 75.0_f64.powf(random.fraction().powi(2));
    let mut message = format!(
        "From: office@harbour.example\r\nTo: home@pillarbox.example\r\nSubject: notice {}\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=edge\r\n\r\n--edge\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n",
        random.next()
    )
    .into_bytes();
    while (message.len() as f64) < size / 3.0 {
        let word = ["harbour", "tide", "boat", "rope", "mast", "the", "of", "and"]
            [random.next() as usize % 8];
        message.extend_from_slice(word.as_bytes());
        message.extend_from_slice(if random.next().is_multiple_of(10) { b"\r\n" } else { b" " });
    }
    message.extend_from_slice(
        b"\r\n--edge\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (message.len() as f64) < size {
        for _ in 0..76 {
            message.push(alphabet[random.next() as usize % 64]);
        }
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--edge--\r\n");
    message
}

/// Runs the same on several threads, which begin together.
fn at_once<T: Send>(count: usize, work: impl Fn(usize, &Barrier) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..count)
            .map(|index| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || work(index, barrier))
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A small generator: the same mail in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn fraction(&mut self) -> f64 {
        self.next() as f64 / (1_u64 << 31) as f64
    }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let unique = format!("pillarbox-bench-{}-{:?}", std::process::id(), Instant::now());
        let safe: String =
            unique.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let path = std::env::temp_dir().join(safe);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program under test.
struct Server {
    child: Child,
    imap: u16,
    imaps: u16,
    certificate: PathBuf,
    control: PathBuf,
    account: (String, String),
    _own: Option<Folder>,
}

struct Counters {
    syncs: u64,
    /// What the server has computed so far: that differs less than the time on a busy machine.
    cpu: Duration,
}

impl Server {
    fn start(folder: Option<&Path>) -> Self {
        let own = folder.is_none().then(Folder::new);
        let folder = folder.unwrap_or_else(|| &own.as_ref().unwrap().0);
        let ready = folder.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(["try", "--empty", "--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"])
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let text = loop {
            match std::fs::read_to_string(&ready) {
                Ok(text) => break text,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let port = |name: &str| u16::try_from(ready[name].as_u64().unwrap()).unwrap();
        let account = &ready["accounts"][0];
        Self {
            child,
            imap: port("imap"),
            imaps: port("imaps"),
            certificate: text(&ready["certificate"]).into(),
            control: Path::new(&text(&ready["data"])).join("control.sock"),
            account: (text(&account["name"]), text(&account["password"])),
            _own: own,
        }
    }

    fn login(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.imap)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, unread: Vec::new(), at: 0 };
        client.line();
        let (user, password) = &self.account;
        client.run(&format!("l LOGIN {user} {password}"));
        client
    }

    fn counters(&self) -> Counters {
        let mut control = UnixStream::connect(&self.control).unwrap();
        control.write_all(b"{\"do\":\"counters\"}\n").unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            control.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let reply: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let cpu = Duration::from_millis(ticks * 10);
        Counters { syncs: reply["syncs"].as_u64().unwrap(), cpu }
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that reads fast.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    at: usize,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn line(&mut self) -> Vec<u8> {
        let mut searched = self.at;
        loop {
            if let Some(end) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.unread[self.at..searched + end].to_vec();
                self.at = searched + end + 1;
                return line;
            }
            self.unread.drain(..self.at);
            self.at = 0;
            searched = self.unread.len();
            let start = self.unread.len();
            self.unread.resize(start + 256 * 1024, 0);
            let count = self.stream.read(&mut self.unread[start..]).unwrap();
            assert!(count > 0, "the server closed the connection");
            self.unread.truncate(start + count);
        }
    }

    fn expect_ok(&mut self, tag: &str) {
        let start = format!("{tag} ");
        loop {
            let line = self.line();
            if line.starts_with(start.as_bytes()) {
                let text = String::from_utf8_lossy(&line);
                assert!(text.starts_with(&format!("{tag} OK")), "{text}");
                return;
            }
        }
    }

    fn run(&mut self, command: &str) {
        self.send(format!("{command}\r\n").as_bytes());
        self.expect_ok(command.split(' ').next().unwrap());
    }

    fn time(&mut self, command: &str) -> Duration {
        let begun = Instant::now();
        self.run(command);
        begun.elapsed()
    }
}
