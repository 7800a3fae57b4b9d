//! Bugs that other servers had, as tests that would have found them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Live, PASSWORD, USER, settings};
use imap_server::ImapSettings;
use net::{CertificateFiles, Peer, Stream, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

struct TlsFixture {
    _folder: tempfile::TempDir,
    live: Live,
    connector: TlsConnector,
}

/// A server that offers STARTTLS, and a client that trusts it.
async fn starttls() -> TlsFixture {
    let folder = tempfile::tempdir().unwrap();
    let files = CertificateFiles::self_signed(folder.path(), "localhost").unwrap();
    let server = Tls::new(&files).unwrap().server("imap").unwrap();
    let live = Live::new(ImapSettings { starttls: Some(server), ..settings() }).await;
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(&files.certificate).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsFixture { _folder: folder, live, connector: TlsConnector::from(Arc::new(config)) }
}

impl TlsFixture {
    /// A pipe to a new connection from far away.
    fn dial(&self) -> tokio::io::DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (server, guard) = (Arc::clone(&self.live.server), self.live.shutdown.token());
        let peer = Peer::Ip("192.0.2.1".parse().unwrap());
        tokio::spawn(async move {
            net::Service::serve(&*server, Stream::memory(theirs), peer, guard).await;
        });
        ours
    }
}

async fn read_line(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn s003_nothing_said_before_tls_counts_after_it_and_passwords_wait_for_it() {
    let fixture = starttls().await;
    let mut stream = fixture.dial();
    let greeting = read_line(&mut stream).await;
    assert!(greeting.contains(" STARTTLS") && greeting.contains(" LOGINDISABLED"), "{greeting}");
    stream.write_all(format!("a LOGIN {USER} {PASSWORD}\r\n").as_bytes()).await.unwrap();
    assert!(read_line(&mut stream).await.starts_with("a NO"));
    stream.write_all(b"b STARTTLS\r\n").await.unwrap();
    assert!(read_line(&mut stream).await.starts_with("b OK"));
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = fixture.connector.connect(name, stream).await.unwrap();
    tls.write_all(b"c CAPABILITY\r\n").await.unwrap();
    let capability = read_line(&mut tls).await;
    assert!(!capability.contains("STARTTLS") && !capability.contains("LOGINDISABLED"));
    assert!(read_line(&mut tls).await.starts_with("c OK"));
    tls.write_all(format!("d STARTTLS\r\ne LOGIN {USER} {PASSWORD}\r\n").as_bytes()).await.unwrap();
    assert!(read_line(&mut tls).await.starts_with("d BAD"));
    assert!(read_line(&mut tls).await.starts_with("e OK"));
    tls.write_all(b"f LOGOUT\r\n").await.unwrap();
    let mut rest = Vec::new();
    // wire_26: an end without close_notify would be an error here.
    tls.read_to_end(&mut rest).await.unwrap();
    assert!(rest.starts_with(b"* BYE"));
}

/// Sends the injection in two pieces and shakes hands; nothing may be answered inside TLS.
async fn inject(fixture: &TlsFixture, before: &str, split: usize) {
    let payload = format!("{before}s STARTTLS\r\ni CAPABILITY\r\n");
    let mut stream = fixture.dial();
    read_line(&mut stream).await;
    let (one, other) = payload.as_bytes().split_at(split);
    stream.write_all(one).await.unwrap();
    tokio::task::yield_now().await;
    // The server may have closed already: the first piece was no handshake.
    let _ = stream.write_all(other).await;
    while !read_line(&mut stream).await.starts_with("s OK") {}
    let name = ServerName::try_from("localhost").unwrap();
    let shaken = fixture.connector.connect(name, stream).await;
    assert!(shaken.is_err(), "the handshake worked although a command was injected at {split}");
}

#[tokio::test]
async fn s001_a_command_behind_starttls_is_never_answered() {
    let fixture = starttls().await;
    let whole = "s STARTTLS\r\ni CAPABILITY\r\n".len();
    inject(&fixture, "", whole).await;
}

#[tokio::test]
async fn s002_a_command_behind_starttls_is_never_answered_at_any_split_or_while_one_runs() {
    let fixture = starttls().await;
    for split in 0.."s STARTTLS\r\ni CAPABILITY\r\n".len() {
        inject(&fixture, "", split).await;
    }
    let slow = "a NOOP\r\nb AUTHENTICATE SCRAM-SHA-256 biwsbj1hLHI9YWJj\r\n*\r\n";
    for split in (0..slow.len() + 20).step_by(5) {
        inject(&fixture, slow, split).await;
    }
}

#[tokio::test]
async fn s012_a_web_request_ends_the_connection_and_is_not_repeated() {
    let live = Live::new(settings()).await;
    for request in ["GET /secret HTTP/1.1", "POST /secret HTTP/1.0", "PRI * HTTP/2.0"] {
        let mut client = live.connect();
        client.line().await;
        client
            .send(format!("{request}\r\nHost: localhost\r\n\r\na LOGIN {USER} {PASSWORD}\r\n"))
            .await;
        let rest = client.rest().await;
        assert_eq!(rest, ["* BYE This is an IMAP server"]);
    }
}

#[tokio::test]
async fn s026_literals_of_any_size_are_refused_before_login() {
    let live = Live::new(settings()).await;
    for size in ["4294967295", "18446744073709551616", "99999999999999999999999", "9000"] {
        for plus in ["", "+"] {
            let mut client = live.connect();
            client.line().await;
            client.send(format!("a LOGIN {{{size}{plus}}}\r\n")).await;
            // The small one is read over: its end is in reach.
            client.send("x".repeat(9000) + "\r\n").await;
            let reply = client.line().await;
            assert!(reply.starts_with("a BAD") || reply.starts_with("* BYE"), "{size}: {reply}");
        }
    }
    let mut client = live.connect();
    client.line().await;
    client.send("a APPEND INBOX {10}\r\n").await;
    assert!(client.line().await.starts_with("a BAD"));
}

#[tokio::test]
async fn s026_a_stranger_cannot_send_without_end() {
    let live = Live::new(settings()).await;
    let mut client = live.connect();
    client.line().await;
    for _ in 0..100 {
        client.send(vec![b'a'; 4096]).await;
    }
    let rest = client.rest().await;
    assert!(rest.last().unwrap().starts_with("* BYE"), "{rest:?}");
}

#[tokio::test]
async fn s026_many_literals_in_one_search_are_refused_after_login() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.run("s SELECT INBOX").await;
    let mut command = b"a SEARCH".to_vec();
    for _ in 0..100_000 {
        command.extend_from_slice(b" SUBJECT {1+}\r\nx");
    }
    command.extend_from_slice(b"\r\nb NOOP\r\n");
    client.send(&command).await;
    let lines = client.until("b").await;
    assert!(lines[0].starts_with("a BAD"), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("b OK"));
}

#[tokio::test]
async fn s027_nesting_without_end_is_refused_quickly() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.run("s SELECT INBOX").await;
    for piece in ["(", "NOT ", "OR ALL "] {
        let command = format!("a SEARCH {}\r\n", piece.repeat(1_000_000 / piece.len()));
        let begun = Instant::now();
        client.send(&command).await;
        let reply = client.line().await;
        assert!(reply.starts_with("a BAD"), "{reply}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    let mut stranger = live.connect();
    stranger.line().await;
    stranger.send(format!("a ID {}\r\n", "(".repeat(10_000))).await;
    assert!(stranger.line().await.starts_with("a BAD"));
}

#[tokio::test]
async fn s038_a_nul_never_shortens_a_name_or_a_password() {
    let live = Live::new(settings()).await;
    let sign_in = async |user: &str, password: &str| {
        let mut client = live.connect();
        client.line().await;
        let (user_len, password_len) = (user.len(), password.len());
        client
            .send(format!(
                "a LOGIN {{{user_len}+}}\r\n{user} {{{password_len}+}}\r\n{password}\r\n"
            ))
            .await;
        client.line().await
    };
    assert!(sign_in(USER, PASSWORD).await.starts_with("a OK"));
    for (user, password) in [
        (format!("{USER}\0"), PASSWORD.to_owned()),
        (USER.to_owned(), format!("{PASSWORD}\0")),
        (USER.to_owned(), format!("{PASSWORD}\0x")),
        (format!("{USER}\0@x"), PASSWORD.to_owned()),
    ] {
        let reply = sign_in(&user, &password).await;
        assert!(reply.starts_with("a NO") || reply.starts_with("a BAD"), "{reply}");
    }
    // NUL in SASL PLAIN: more fields than there may be.
    let mut client = live.connect();
    client.line().await;
    // "\0home@pillarbox.example\0low-tide\0x"
    client.send("a AUTHENTICATE PLAIN AGhvbWVAcGlsbGFyYm94LmV4YW1wbGUAbG93LXRpZGUAeA==\r\n").await;
    let reply = client.line().await;
    assert!(!reply.starts_with("a OK"), "{reply}");
    // In a message it is kept, and the literal is as long as it says.
    let mut client = live.login().await;
    client.send(b"b APPEND INBOX ~{13+}\r\nA: b\r\n\r\nx\0y\r\n\r\n").await;
    client.until("b").await;
    client.run("s SELECT INBOX").await;
    let lines = client.run("f FETCH 1 (RFC822.SIZE BODY.PEEK[])").await;
    assert!(lines.join("\r\n").contains("{13}\r\nA: b\r\n\r\nx\0y\r\n"), "{lines:?}");
}

#[tokio::test]
async fn s039_bad_sasl_of_others_does_not_hurt_good_logins() {
    let live = Live::new(settings()).await;
    let live = Arc::new(live);
    let mut bad = Vec::new();
    for worker in 0..8 {
        let live = Arc::clone(&live);
        bad.push(tokio::spawn(async move {
            for attempt in 0..25 {
                let mut client = live.connect();
                client.line().await;
                let noise = ["=", "!!!!", "AAAA", "bixhPXgsbj15LHI9eg==", "/////w=="];
                let response = noise[(worker + attempt) % noise.len()];
                client.send(format!("a AUTHENTICATE PLAIN {response}\r\n")).await;
                assert!(!client.line().await.starts_with("a OK"));
                client.send("b AUTHENTICATE SCRAM-SHA-256\r\n").await;
                client.line().await;
                client.send(format!("{response}\r\n")).await;
                assert!(!client.line().await.starts_with("b OK"));
            }
        }));
    }
    for _ in 0..100 {
        live.login().await;
    }
    for worker in bad {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn s040_whatever_is_broken_off_leaves_no_connection_behind() {
    let live = Live::new(settings()).await;
    for round in 0..200 {
        let mut client = if round % 2 == 0 { live.login().await } else { live.connect() };
        let beginning = [
            "a AUTHENTICATE PLAIN\r\n",
            "a APPEND INBOX {100000}\r\n",
            "a IDLE\r\n",
            "a APPEND INBOX {100000+}\r\nSubject: x",
            "a LOGIN {5}\r\n",
        ][round % 5];
        client.send(beginning).await;
        drop(client);
    }
    // Every connection has dropped its guard: none is left.
    live.shutdown.begin();
    assert!(live.shutdown.drained(Duration::from_secs(20)).await);
    let report = live.service.sweep().await.unwrap();
    assert_eq!(report.messages, 0);
}

#[tokio::test]
async fn s041_handshakes_that_are_broken_off_leave_nothing_behind() {
    let fixture = starttls().await;
    for cut in 0..100_usize {
        let mut stream = fixture.dial();
        read_line(&mut stream).await;
        stream.write_all(b"s STARTTLS\r\n").await.unwrap();
        read_line(&mut stream).await;
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
        let noise: Vec<u8> = hello.into_iter().chain((0..255).cycle()).take(cut * 7).collect();
        // The server may have given up already.
        let _ = stream.write_all(&noise).await;
        drop(stream);
    }
    fixture.live.shutdown.begin();
    assert!(fixture.live.shutdown.drained(Duration::from_secs(20)).await);
}

/// Connections of clients that stop in the middle of something before login.
async fn slow_strangers(live: &Live) -> Vec<Client> {
    let mut slow: Vec<Client> = (0..500).map(|_| live.connect()).collect();
    for (index, client) in slow.iter_mut().enumerate() {
        client.line().await;
        client.send(["", "a", "a LOGIN {5}\r\n", "a LOGIN {5+}\r\nx"][index % 4]).await;
    }
    slow
}

fn with_login_patience(login: Duration) -> ImapSettings {
    let patience = imap_server::Patience { login, ..settings().patience };
    ImapSettings { patience, ..settings() }
}

#[tokio::test]
async fn s042_slow_strangers_do_not_hold_up_others() {
    // None of them is closed while the other one logs in.
    let live = Live::new(with_login_patience(Duration::from_secs(3600))).await;
    let _slow = slow_strangers(&live).await;
    timeout(Duration::from_secs(60), live.login()).await.expect("nobody is held up");
}

#[tokio::test]
async fn s042_slow_strangers_are_closed_and_octets_buy_no_time() {
    let live = Live::new(with_login_patience(Duration::from_secs(5))).await;
    let mut slow = slow_strangers(&live).await;
    let mut dripping = live.connect();
    dripping.line().await;
    // One octet now and then, without end.
    let dripped = async {
        let mut last = None;
        loop {
            tokio::select! {
                line = dripping.try_line() => match line {
                    Some(line) => last = Some(line),
                    None => break last,
                },
                () = tokio::time::sleep(Duration::from_millis(100)) => dripping.send("a").await,
            }
        }
    };
    let last = timeout(Duration::from_secs(60), dripped).await.expect("octets buy no time");
    assert!(last.is_some_and(|line| line.starts_with("* BYE")));
    for client in &mut slow {
        let rest = client.rest().await;
        assert!(rest.last().unwrap().starts_with("* BYE"), "{rest:?}");
    }
}

#[tokio::test]
async fn s058_bad_commands_and_bad_logins_end_the_connection() {
    let live = Live::new(settings()).await;
    let mut client = live.connect();
    client.line().await;
    client.send("a X\r\nb Y\r\nc Z\r\nd NOOP\r\n").await;
    let rest = client.rest().await;
    assert_eq!(rest.len(), 4, "{rest:?}");
    assert!(rest[3].starts_with("* BYE"));
    let mut client = live.login().await;
    client.send("x BAD\r\n".repeat(30)).await;
    assert_eq!(client.rest().await.len(), 21);
    let mut client = live.connect();
    client.line().await;
    for _ in 0..10 {
        client.send(format!("a LOGIN {USER} wrong\r\n")).await;
    }
    let rest = client.rest().await;
    assert!(rest.len() < 10 && rest.iter().any(|line| line.starts_with("* BYE")), "{rest:?}");
}
