//! Nobody on the way reads a message, a line or an address differently from the one before him.

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::Peer;
use smtp::{Inbound, Role};
use smtp_session::Content;
use testkit::smuggling::LOOKALIKES;

use crate::common::{Client, Harness};
use crate::filter::{FakeFilter, Manner, answer};

const HOME: &str = "home@pillarbox.example";

/// What does not end a message, whoever reads it as we do.
fn lookalikes() -> impl Iterator<Item = &'static str> {
    LOOKALIKES.iter().copied().filter(|it| !it.starts_with("\r\n.\r\n"))
}

async fn envelope(client: &mut Client) {
    assert!(client.say("MAIL FROM:<a@b.example>").await.starts_with("250"));
    assert!(client.say(&format!("RCPT TO:<{HOME}>")).await.starts_with("250"));
    assert!(client.say("DATA").await.starts_with("354"));
}

/// A text with something that looks like its end, and what it is without the dots that guard it.
fn text_with(lookalike: &str) -> (String, Vec<u8>) {
    let text = format!("Subject: x\r\n\r\na{lookalike}MAIL FROM:<evil@b.example>\r\n.\r\n");
    let (mut content, mut plain) = (Content::default(), Vec::new());
    assert_eq!(content.push(text.as_bytes(), &mut plain), text.len());
    assert!(content.has_ended());
    (text, plain)
}

#[tokio::test]
async fn s007_lmtp_and_the_store_agree_where_a_message_ends() {
    let harness = Harness::of(Role::Lmtp).await;
    let mut client = harness.connect().await;
    for lookalike in lookalikes() {
        let (text, plain) = text_with(lookalike);
        let before = harness.messages("home", "INBOX").await.len();
        envelope(&mut client).await;
        client.send(&text).await;
        assert!(client.reply().await.starts_with("250"), "{lookalike:?}");
        assert_eq!(client.say("NOOP").await, "250 2.0.0 OK", "{lookalike:?}");
        let messages = harness.messages("home", "INBOX").await;
        assert_eq!(messages.len(), before + 1, "{lookalike:?}");
        assert!(messages[before].as_bytes().ends_with(&plain), "{lookalike:?}");
    }
}

#[tokio::test]
async fn s007_the_filter_is_shown_exactly_what_is_stored() {
    let fake = FakeFilter::start(Manner::Answers(answer(r#"{"action":"no action"}"#))).await;
    let filter = Some(fake.client(Duration::from_secs(10)));
    let harness = Harness::inbound(Inbound { filter, ..Inbound::default() }).await;
    let mut client = harness.connect().await;
    let mut taken = 0;
    for lookalike in lookalikes() {
        let (text, plain) = text_with(lookalike);
        envelope(&mut client).await;
        client.send(&text).await;
        let reply = client.reply().await;
        assert_eq!(client.say("NOOP").await, "250 2.0.0 OK", "{lookalike:?}");
        let messages = harness.messages("home", "INBOX").await;
        if reply.starts_with("250") {
            taken += 1;
            let (_, shown) = fake.requests().remove(0);
            assert_eq!(shown, plain, "{lookalike:?}");
            assert!(messages[taken - 1].as_bytes().ends_with(&plain), "{lookalike:?}");
        } else {
            assert_eq!(reply, "550 5.6.0 Bare CR or LF in the message", "{lookalike:?}");
            assert!(fake.requests().is_empty());
        }
        assert_eq!(messages.len(), taken, "{lookalike:?}");
    }
    assert!((5..lookalikes().count()).contains(&taken), "{taken}");
}

#[tokio::test]
async fn s061_nobody_says_for_himself_where_he_comes_from() {
    let fake = FakeFilter::start(Manner::Answers(answer(r#"{"action":"no action"}"#))).await;
    let filter = Some(fake.client(Duration::from_secs(10)));
    let trusted = vec!["10.0.0.0/8".parse().unwrap()];
    let inbound = Inbound { filter, trusted, ..Inbound::default() };
    let mut harness = Harness::inbound(inbound).await;
    harness.peer = Peer::Ip(IpAddr::from([192, 0, 2, 66]));
    let proxies = ["PROXY TCP4 10.0.0.1 10.0.0.2 4000 25", "\r\n\r\n\0\r\nQUIT\n!\u{11}\0\u{c}"];
    for proxy in proxies {
        // Before the greeting, as proxies do.
        let mut client = harness.dial();
        client.send(&format!("{proxy}\r\n")).await;
        assert_eq!(client.reply().await, "554 5.5.0 Speak when you have been greeted");
    }
    let mut client = harness.connect().await;
    for line in [
        proxies[0],
        "XCLIENT ADDR=10.0.0.1 NAME=localhost",
        "XFORWARD ADDR=10.0.0.1",
        "X-Forwarded-For: 10.0.0.1",
    ] {
        let reply = client.say(line).await;
        assert!(reply.starts_with("500"), "{line}: {reply}");
    }
    assert!(!client.ask("EHLO [10.0.0.1]").await.contains("XCLIENT"));
    envelope(&mut client).await;
    let claims = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Originating-IP: [10.0.0.1]\r\n\
                  Received: from [10.0.0.1] by mail.pillarbox.example\r\n";
    client.send(&format!("{claims}\r\nx\r\n.\r\n")).await;
    assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    let (head, _) = fake.requests().remove(0);
    assert!(head.contains("\r\nip: 192.0.2.66\r\n"), "{head}");
    let message = harness.messages("home", "INBOX").await.remove(0);
    let received = message.split("\r\n").find(|line| line.starts_with("Received: ")).unwrap();
    assert_eq!(received, "Received: from [10.0.0.1] ([192.0.2.66])");
}

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const HOSTILE: [&str; 6] = [
    "a\rlevel=ERROR",
    "a\nX-Evil: 1",
    "a\u{1b}[31mred",
    "a\u{202e}cod.exe",
    "a%s%n{}${jndi:x}\"}\\",
    "a\u{0}b\u{7f}c\u{85}d\u{2028}e",
];

#[tokio::test]
async fn s016_s017_what_a_client_says_begins_no_field_and_no_line_of_the_log() {
    let lines = Lines::default();
    let dispatch = || {
        let writer = lines.clone();
        let json = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
        tracing::Dispatch::new(json.with_writer(move || writer.clone()).finish())
    };
    // If it were the only one, events would be off that another test came to first.
    let (dispatch, _second) = (dispatch(), dispatch());
    let guard = tracing::dispatcher::set_default(&dispatch);
    let fake = FakeFilter::start(Manner::Answers(answer(r#"{"action":"no action"}"#))).await;
    let filter = Some(fake.client(Duration::from_secs(10)));
    let harness = Harness::inbound(Inbound { filter, ..Inbound::default() }).await;
    for hostile in HOSTILE {
        for line in [
            format!("EHLO {hostile}"),
            format!("MAIL FROM:<{hostile}@b.example> SMTPUTF8"),
            format!("RCPT TO:<{hostile}@pillarbox.example>"),
        ] {
            // It may be refused, it may be several lines, it may end the session.
            let mut client = harness.connect().await;
            client.say("MAIL FROM:<a@b.example> SMTPUTF8").await;
            client.send(&format!("{line}\r\n")).await;
            client.reply_or_end().await;
        }
        let mut client = harness.connect().await;
        let plain: String = hostile.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        client.ask(&format!("EHLO {plain}")).await;
        client.say("MAIL FROM:<a@b.example>").await;
        client.say(&format!("RCPT TO:<{HOME}>")).await;
        assert!(client.say("DATA").await.starts_with("354"));
        client.send(&format!("From: {plain}\r\nSubject: {plain}\r\n\r\nx\r\n.\r\n")).await;
        assert_eq!(client.reply().await, "250 2.0.0 Accepted", "{hostile:?}");
        let message = harness.messages("home", "INBOX").await.pop().unwrap();
        let (header, _) = message.split_once("\r\n\r\n").unwrap();
        let names = mime::header::fields(header.as_bytes());
        let names: Vec<_> = names.map(|it| String::from_utf8_lossy(it.name).into_owned()).collect();
        assert_eq!(names, ["Return-Path", "Delivered-To", "Received", "From", "Subject"]);
    }
    // A filter that repeats what it was sent.
    let echo = format!("HTTP/1.1 500 {}\r\n\r\n{}", HOSTILE[2], HOSTILE[3]);
    fake.manner(Manner::Answers(echo.into_bytes()));
    let mut client = harness.connect().await;
    envelope(&mut client).await;
    client.send("Subject: x\r\n\r\nx\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("451"));
    drop(guard);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("gives no verdict") && log.contains("message arrives"), "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event.get("fields").is_some(), "{line}");
        let is_harmless =
            |c: char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}');
        assert!(line.chars().all(is_harmless), "{line:?}");
    }
}
