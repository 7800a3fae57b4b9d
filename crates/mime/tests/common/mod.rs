//! What the tests of this crate share: samples, a generator of odd messages, the rules that every
//! parsed message must keep.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::path::PathBuf;

use mime::{Content, Limits, Message, Parser, Part, SectionKind};

/// A small fixed generator (SplitMix64): the same messages in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// A message of random lines that look like parts of MIME, most of them in the wrong place.
pub fn random_message(seed: u64) -> Vec<u8> {
    const LINES: &[&str] = &[
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: multipart/alternative; boundary=\"ab\"",
        "Content-Type: multipart/digest; boundary=b",
        "Content-Type: multipart/mixed;",
        "\tboundary=\"a b\"",
        "Content-Type: message/rfc822",
        "Content-Type: text/html; charset=utf-8",
        "Content-Type: text/plain",
        "Content-Type: image/png; name=\"x.png\"",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%A4",
        "Subject: =?utf-8?q?=C3=A4?=",
        "From: A <a@b>, \"c\" d@e (f)",
        "To: g: h@i;",
        "Date: Thu, 1 Jan 2004 10:00:00 +0100",
        "",
        "",
        "",
        "",
        "--a",
        "--a",
        "--a--",
        "--ab",
        "--ab--",
        "--b",
        "--b--",
        "--b \t",
        "--a b",
        "--abc",
        "--",
        "-",
        "x--a",
        "text",
        "TWltZQ==",
        "a=20b=",
        "> quoted",
        "\0",
        "\u{e4}",
        " ",
    ];
    let mut random = Random(seed);
    let mut message = Vec::new();
    let line_end = if random.below(2) == 0 { "\r\n" } else { "\n" };
    for _ in 0..random.below(60) {
        message.extend_from_slice(random.pick(LINES).as_bytes());
        let mixed = ["\n", "\r\n", "\r", "\r\r\n", ""];
        let end = if random.below(12) == 0 { random.pick(&mixed) } else { line_end };
        message.extend_from_slice(end.as_bytes());
    }
    message
}

/// Parses in pieces of random sizes.
pub fn parse_split(message: &[u8], seed: u64) -> Message {
    let mut random = Random(seed);
    let mut parser = Parser::new(Limits::default());
    let mut rest = message;
    while !rest.is_empty() {
        let most = [1, 3, 17, 200][random.below(4)];
        let (piece, after) = rest.split_at((1 + random.below(most)).min(rest.len()));
        parser.push(piece);
        rest = after;
    }
    parser.finish()
}

/// Checks what must hold of every parsed message.
pub fn check(bytes: &[u8], message: &Message) {
    let size = bytes.len() as u64;
    assert_eq!((message.size, message.root.header_start, message.root.end), (size, 0, size));
    // BODY[HEADER] and BODY[TEXT] make up BODY[].
    assert_eq!(message.section(&[], SectionKind::Header), Some(0..message.root.body_start));
    assert_eq!(message.section(&[], SectionKind::Text), Some(message.root.body_start..size));
    assert_eq!(message.section(&[], SectionKind::Whole), Some(0..size));
    assert!(message.preview.chars().count() <= mime::PREVIEW_CHARS_MAX);
    check_part(bytes, message, &message.root, &mut Vec::new(), true);
    let _ = (message.root.structure(), message.has_attachment());
}

fn check_part(bytes: &[u8], message: &Message, part: &Part, path: &mut Vec<u32>, is_root: bool) {
    assert!(part.header_start <= part.body_start && part.body_start <= part.end);
    let body = &bytes[part.body_start as usize..part.end as usize];
    assert_eq!(part.lines, body.iter().filter(|b| **b == b'\n').count() as u64, "lines {path:?}");
    let header = &bytes[part.header_start as usize..part.body_start as usize];
    assert_header(header);
    assert!(!part.kind.is_empty() && !part.subtype.is_empty());
    if !is_root || !matches!(part.content, Content::Multipart(_)) {
        let here: Vec<u32> = if is_root { [path.as_slice(), &[1]].concat() } else { path.clone() };
        assert_eq!(message.part(&here), Some(part), "{here:?}");
        assert_eq!(message.section(&here, SectionKind::Whole), Some(part.body()));
        assert_eq!(message.section(&here, SectionKind::Mime), Some(part.header()));
    }
    match &part.content {
        Content::Leaf => assert!(part.children().is_empty()),
        Content::Multipart(parts) => {
            assert!(!parts.is_empty());
            let mut at = part.body_start;
            for (index, child) in parts.iter().enumerate() {
                // In order, apart, inside: a delimiter line stands before each.
                assert!(at < child.header_start && child.end <= part.end);
                at = child.end;
                path.push(index as u32 + 1);
                check_part(bytes, message, child, path, false);
                path.pop();
            }
        }
        Content::Message(inner) => {
            assert_eq!((inner.root.header_start, inner.root.end), (part.body_start, part.end));
            if is_root {
                path.push(1);
            }
            assert_eq!(message.section(path, SectionKind::Header), Some(inner.root.header()));
            assert_eq!(message.section(path, SectionKind::Text), Some(inner.root.body()));
            check_part(bytes, message, &inner.root, path, true);
            if is_root {
                path.pop();
            }
        }
    }
}

/// A header ends with its only blank line, or has none; its fields are all of it.
fn assert_header(header: &[u8]) {
    let fields: usize = mime::header::fields(header).map(|field| field.raw.len()).sum();
    let blank = &header[fields..];
    assert!(matches!(blank, b"" | b"\n" | b"\r\n"), "{:?}", String::from_utf8_lossy(header));
}

/// The files of the mail corpus, if there is one: `$PILLARBOX_CORPUS` or `target/corpus`.
pub fn corpus() -> Vec<PathBuf> {
    let root = std::env::var_os("PILLARBOX_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus"),
        PathBuf::from,
    );
    let mut files = Vec::new();
    let mut open = vec![root];
    while let Some(path) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_mail = path.extension().is_some_and(|e| e == "txt" || e == "eml");
            if path.is_dir() {
                open.push(path);
            } else if is_mail {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The samples of `samples/`.
pub fn samples() -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "eml"));
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}
