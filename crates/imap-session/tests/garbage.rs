//! Scripts with their bytes shaken: the session does not panic, and whatever it says can be read by
//! our own client.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::PathBuf;

use imap_proto::frame::{Decision, Event, Framer, Limits};
use imap_proto::parse;
use testkit::pure::{PASSWORD, PureServer, USER};
use testkit::script::{Peer, Received};

#[test]
fn shaken_commands_never_bring_a_session_down() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let lines = lines();
    for seed in 1..=rounds {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15) | 1);
        let input = shaken(&lines, &mut random);
        let mut server = PureServer::default();
        server.deliver("INBOX", MESSAGE);
        server.deliver("INBOX", b"Subject: two\r\n\r\n");
        server.connect(1);
        let login = format!("l LOGIN {USER} {PASSWORD}\r\ns SELECT INBOX\r\n");
        server.send(1, login.as_bytes());
        server.send(1, &input);
        let mut output = Vec::new();
        while let Received::Bytes(bytes) = server.receive(1) {
            output.extend_from_slice(&bytes);
        }
        if let Err(trouble) = read(&output) {
            panic!("seed {seed}: {trouble}\n{}\n{}", input.escape_ascii(), output.escape_ascii());
        }
    }
}

/// Every line that a client says in a script.
fn lines() -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testkit/scripts");
    let mut lines = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let said = text.lines().filter(|line| line.starts_with(['C', 'L']));
            lines.extend(said.filter_map(|line| {
                let line = line.split_once(':')?.1.trim_start();
                let line = line.replace("<crlf>", "\r\n").replace("<len>", "12");
                Some(format!("{line}\r\n").into_bytes())
            }));
        }
    }
    // The order in which a folder is listed is not the same everywhere.
    lines.sort();
    assert!(lines.len() > 300);
    lines
}

fn shaken(lines: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..12 {
        let mut line = lines[random.below(lines.len())].clone();
        for _ in 0..random.below(3) {
            let at = random.below(line.len());
            match random.below(5) {
                0 => line[at] = random.byte(),
                1 => line.insert(at, PUNCTUATION[random.below(PUNCTUATION.len())]),
                2 => drop(line.remove(at)),
                3 => {
                    let other = &lines[random.below(lines.len())];
                    line.truncate(at);
                    line.extend_from_slice(&other[random.below(other.len())..]);
                }
                _ => line[at] = PUNCTUATION[random.below(PUNCTUATION.len())],
            }
            if line.is_empty() {
                line.push(b' ');
            }
        }
        input.extend_from_slice(&line);
    }
    input
}

fn read(mut bytes: &[u8]) -> Result<(), String> {
    let mut framer = Framer::client(Limits::RESPONSES);
    loop {
        let step = framer.push(bytes);
        let (consumed, event) = (step.consumed, step.event);
        bytes = &bytes[consumed..];
        match event {
            Event::NeedMore => break,
            Event::Literal(_) => drop(framer.decide(Decision::Keep)),
            Event::Complete => {
                let frame = framer.frame();
                let describe = |error| format!("{error} in {}", frame.bytes.escape_ascii());
                parse::response(frame).map_err(describe)?;
            }
            other => return Err(format!("{other:?}")),
        }
    }
    if framer.is_between_commands() { Ok(()) } else { Err("ends within a response".to_owned()) }
}

/// A small fixed generator: the same bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

const PUNCTUATION: &[u8] = b" ()[]{}<>\"\\*%$:,.+-~0129\r\n\0aU";
const MESSAGE: &[u8] = b"From: Harbour office <office@harbour.example>\r\n\
    Subject: Berth 12\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\n\r\nIt is free.\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext\r\n\
    --b\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";
