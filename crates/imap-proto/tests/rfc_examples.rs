//! Every example of the RFCs, read and written again.
//!
//! The transcripts in `tests/rfc` have one line of protocol in a line, after `C: ` or `S: `. `C! `
//! marks a command that has to be refused: it belongs to an extension that is not there. Examples
//! that the RFC cuts short with `...` are left out, and lines that it wraps are one line.
//!
//! What is written again is mostly the same bytes. Where it is not, because there is one spelling
//! for what can be spelt in several ways, `tests/rfc/rewritten.txt` holds both; with
//! `REWRITE=1` in the environment that file is made anew, to be read before it is committed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use imap_proto::flow::is_done;
use imap_proto::frame::{Decision, Event, Framer, Limits, LiteralSync, Offer, Reply};
use imap_proto::parse;
use imap_proto::serialize::{self, Chunk, ClientOptions, LiteralSupport};
use imap_proto::types::{CommandBody, NameEncoding, Response, StatusTarget};

#[test]
fn every_example_is_read_and_written_again() {
    let mut rewritten = String::new();
    let mut lines = 0;
    for path in transcripts() {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut replay = Replay::new(&name, rewritten);
        for (index, line) in text.lines().enumerate() {
            replay.line(index + 1, line);
        }
        replay.end();
        lines += replay.count;
        rewritten = replay.rewritten;
    }
    assert!(lines > 1500, "only {lines} lines were found");
    let path = directory().join("rewritten.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, &rewritten).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(rewritten, expected, "see the first lines of this test");
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc")
}

fn transcripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|p| p.file_name().unwrap().to_string_lossy().starts_with("rfc"));
    paths.sort();
    paths
}

/// What a client's next line is.
#[derive(PartialEq)]
enum Expect {
    Command,
    /// Lines of AUTHENTICATE, until the command is answered.
    Auth,
    /// DONE.
    Done,
}

struct Replay {
    name: String,
    client: Framer,
    server: Framer,
    expect: Expect,
    must_fail: bool,
    count: usize,
    rewritten: String,
}

impl Replay {
    fn new(name: &str, rewritten: String) -> Self {
        Self {
            name: name.to_owned(),
            client: Framer::server(Limits::AUTHENTICATED),
            server: Framer::client(Limits::RESPONSES),
            expect: Expect::Command,
            must_fail: false,
            count: 0,
            rewritten,
        }
    }

    fn line(&mut self, number: usize, line: &str) {
        let place = format!("{}:{number}: {line}", self.name);
        let (side, text) = match line.split_at_checked(3) {
            Some((side @ ("C: " | "C! " | "S: "), text)) => (side, text),
            _ if line.trim().is_empty() || line.starts_with('#') => return,
            _ if matches!(line, "C:" | "S:") => (line, ""),
            _ => panic!("no line of a transcript: {place}"),
        };
        self.count += 1;
        let bytes = format!("{text}\r\n").into_bytes();
        if side.starts_with('S') {
            return self.server_line(&bytes, &place);
        }
        self.must_fail |= side == "C! ";
        if self.expect == Expect::Command {
            return self.client_line(&bytes, &place);
        }
        self.client.expect_line();
        assert_eq!(self.client.push(&bytes).event, Event::Line, "{place}");
        let line = self.client.line();
        if self.expect == Expect::Done {
            assert!(is_done(line), "{place}");
            self.expect = Expect::Command;
        } else {
            assert!(imap_proto::flow::server_line(line).is_ok(), "{place}");
        }
    }

    fn client_line(&mut self, bytes: &[u8], place: &str) {
        let mut rest = bytes;
        loop {
            let step = self.client.push(rest);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedMore => return,
                Event::Literal(offer) => self.offered(offer, place),
                Event::Complete => self.command(place),
                Event::Rejected(_) if self.must_fail => self.must_fail = false,
                other => panic!("{other:?} at {place}"),
            }
        }
    }

    fn offered(&mut self, offer: Offer, place: &str) {
        let decision = if self.must_fail { Decision::Refuse } else { Decision::Keep };
        let reply = self.client.decide(decision);
        let waits = offer.sync == LiteralSync::Waits && !self.must_fail;
        assert_eq!(reply == Reply::Continue, waits, "{place}");
    }

    fn command(&mut self, place: &str) {
        let frame = self.client.frame();
        let parsed = parse::command(frame);
        if std::mem::take(&mut self.must_fail) {
            let error = parsed.expect_err(place);
            assert_eq!(error.kind, parse::ErrorKind::UnknownCommand, "{place}");
            assert!(error.tag.is_some(), "{place}");
            return;
        }
        let command = parsed.unwrap_or_else(|e| panic!("{e} in {place}"));
        self.expect = match command.body {
            CommandBody::Authenticate(_) => Expect::Auth,
            CommandBody::Idle => Expect::Done,
            _ => Expect::Command,
        };
        let options = ClientOptions { encoding: NameEncoding::Utf8, literals: LiteralSupport::Ask };
        let mut written = Vec::new();
        for chunk in serialize::command(&command, options) {
            if let Chunk::Bytes(bytes) = chunk {
                written.extend_from_slice(&bytes);
            }
        }
        let written = written.strip_suffix(b"\r\n").unwrap();
        assert_eq!(parse::command(parse::Frame::whole(written)), Ok(command), "{place}");
        note(&mut self.rewritten, frame.bytes, written);
    }

    fn server_line(&mut self, bytes: &[u8], place: &str) {
        let mut rest = bytes;
        loop {
            let step = self.server.push(rest);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedMore => return,
                Event::Literal(_) => assert_eq!(self.server.decide(Decision::Keep), Reply::Nothing),
                Event::Complete => self.response(place),
                other => panic!("{other:?} at {place}"),
            }
        }
    }

    fn response(&mut self, place: &str) {
        let frame = self.server.frame();
        let response = parse::response(frame).unwrap_or_else(|e| panic!("{e} in {place}"));
        if let Response::Status(status) = &response
            && matches!(status.target, StatusTarget::Tagged(_))
            && self.expect == Expect::Auth
        {
            self.expect = Expect::Command;
        }
        let mut written = Vec::new();
        serialize::response(&response, NameEncoding::Utf8, &mut written);
        let written = written.strip_suffix(b"\r\n").unwrap();
        assert_eq!(parse::response(parse::Frame::whole(written)), Ok(response), "{place}");
        note(&mut self.rewritten, frame.bytes, written);
    }

    fn end(&self) {
        assert!(self.client.is_between_commands(), "{} ends within a command", self.name);
        assert!(self.server.is_between_commands(), "{} ends within a response", self.name);
    }
}

/// Notes what was not written as it was read, each pair once.
fn note(rewritten: &mut String, read: &[u8], written: &[u8]) {
    if read == written {
        return;
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\\r\\n");
    let mut pair = String::new();
    writeln!(pair, "< {}\n> {}", show(read), show(written)).unwrap();
    if !rewritten.contains(&pair) {
        rewritten.push_str(&pair);
    }
}
