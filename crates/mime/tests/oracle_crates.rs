//! Our reading of mail against that of the crates mail-parser and mailparse, as `oracle_python.rs`
//! does with Python. `ORACLES.md` explains the differences that were kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod common;
#[path = "common/view.rs"]
mod view;

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders, PartType};
use mailparse::ParsedMail;

/// Shape and bodies, as far as both sides can tell them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    kinds: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

fn mail_parser(bytes: &[u8]) -> (Parts, String, Option<i64>) {
    let Some(message) = MessageParser::default().parse(bytes) else { return Default::default() };
    let mut parts = Parts::default();
    collect_mail_parser(&message, &mut parts);
    let subject = message.subject().unwrap_or_default().to_owned();
    (parts, subject, message.date().map(mail_parser::DateTime::to_timestamp))
}

fn collect_mail_parser(message: &mail_parser::Message<'_>, parts: &mut Parts) {
    for part in &message.parts {
        let kind = part.content_type().map_or_else(
            || "text/plain".to_owned(),
            |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("plain")).to_lowercase(),
        );
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(inner) => collect_mail_parser(inner, parts),
            PartType::Text(_) | PartType::Html(_) => {
                // Its text is converted to UTF-8 already, so only its type is compared.
                parts.kinds.push(kind);
                parts.bodies.push(Vec::new());
            }
            PartType::Binary(body) | PartType::InlineBinary(body) => {
                parts.kinds.push(kind);
                parts.bodies.push(view::comparable(body));
            }
        }
    }
}

fn mailparse_parts(mail: &ParsedMail<'_>, parts: &mut Parts) {
    if mail.subparts.is_empty() {
        parts.kinds.push(mail.ctype.mimetype.to_lowercase());
        parts.bodies.push(view::comparable(&mail.get_body_raw().unwrap_or_default()));
    } else {
        mail.subparts.iter().for_each(|part| mailparse_parts(part, parts));
    }
}

/// Ours, with messages inside as leaves or opened.
fn ours(bytes: &[u8], part: &mime::Part, opens_messages: bool, parts: &mut Parts) {
    let kind = |part: &mime::Part| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        format!("{}/{}", text(&part.kind), text(&part.subtype))
    };
    let is_leaf = match &part.content {
        mime::Content::Leaf => true,
        mime::Content::Message(_) => !opens_messages,
        mime::Content::Multipart(_) => false,
    };
    if !is_leaf {
        part.children().iter().for_each(|child| ours(bytes, child, opens_messages, parts));
        return;
    }
    let body = &bytes[part.body_start as usize..part.end as usize];
    let mut decoded = Vec::new();
    match part.decoder() {
        Ok(_) => {
            let encoding = mime::Encoding::from_header(part.encoding.as_deref()).unwrap();
            let mut decoder = mime::Decoder::new(encoding, mime::LineEnds::Keep);
            decoder.push(body, &mut decoded);
            decoder.finish(&mut decoded);
        }
        Err(_) => decoded.extend_from_slice(body),
    }
    let decoded = view::comparable(&decoded);
    parts.kinds.push(kind(part));
    parts.bodies.push(decoded);
}

/// What differs between us and mail-parser.
fn against_mail_parser(bytes: &[u8]) -> Vec<(&'static str, String, String)> {
    let (theirs, subject, date) = mail_parser(bytes);
    let message = mime::parse(bytes);
    let mut mine = Parts::default();
    ours(bytes, &message.root, true, &mut mine);
    let mut found = Vec::new();
    if mine.kinds != theirs.kinds {
        found.push(("parts", format!("{:?}", mine.kinds), format!("{:?}", theirs.kinds)));
    } else {
        for (index, (a, b)) in mine.bodies.iter().zip(&theirs.bodies).enumerate() {
            if !b.is_empty() && without_space(a) != without_space(b) {
                found.push((
                    "body",
                    format!("{index}: {} bytes", a.len()),
                    format!("{} bytes", b.len()),
                ));
            }
        }
    }
    let my_subject =
        mime::decode_header(message.header.envelope.subject.as_deref().unwrap_or_default());
    if words(&my_subject) != words(&subject) {
        let kind = if my_subject.is_ascii() { "subject" } else { "subject with raw 8-bit text" };
        found.push((kind, my_subject, subject));
    }
    let my_date = message.header.date.map(mail_types::InternalDate::seconds);
    if my_date != date {
        found.push(("date", format!("{my_date:?}"), format!("{date:?}")));
    }
    found
}

/// What differs between us and mailparse, which does not open messages inside.
fn against_mailparse(bytes: &[u8]) -> Vec<(&'static str, String, String)> {
    let message = mime::parse(bytes);
    let mut mine = Parts::default();
    ours(bytes, &message.root, false, &mut mine);
    let Ok(mail) = mailparse::parse_mail(bytes) else {
        return vec![("refused", format!("{:?}", mine.kinds), String::new())];
    };
    let mut theirs = Parts::default();
    mailparse_parts(&mail, &mut theirs);
    if mine.kinds != theirs.kinds {
        return vec![("parts", format!("{:?}", mine.kinds), format!("{:?}", theirs.kinds))];
    }
    let pairs = mine.bodies.iter().zip(&theirs.bodies);
    pairs
        .filter(|(a, b)| without_space(a) != without_space(b))
        .map(|(a, b)| ("body", format!("{} bytes", a.len()), format!("{} bytes", b.len())))
        .collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn without_space(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|b| *b == b'\n').map(|line| line.trim_ascii_end());
    view::comparable(&lines.collect::<Vec<_>>().join(&b'\n'))
}

type Compare = fn(&[u8]) -> Vec<(&'static str, String, String)>;

fn compare_corpus(name: &str, compare: Compare, known: &[(&str, usize)]) {
    let files = common::corpus();
    if files.is_empty() {
        eprintln!("skipped: no corpus, see PILLARBOX_CORPUS");
        return;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &files {
        for (kind, ours, theirs) in compare(&std::fs::read(file).unwrap()) {
            *counts.entry(kind).or_default() += 1;
            println!("{kind} {}\n  ours   {ours}\n  {name} {theirs}", file.display());
        }
    }
    println!("{counts:?} of {}", files.len());
    if files.len() == CORPUS_MESSAGES {
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), known, "{name}");
    }
}

#[test]
fn the_corpus_reads_as_in_mail_parser_but_for_known_differences() {
    compare_corpus("mail-parser", against_mail_parser, &MAIL_PARSER);
}

#[test]
fn the_corpus_reads_as_in_mailparse_but_for_known_differences() {
    compare_corpus("mailparse", against_mailparse, &MAILPARSE);
}

/// Differences in the corpus of `CORPUS_MESSAGES` messages.
const MAIL_PARSER: [(&str, usize); 4] =
    [("body", 3), ("date", 101), ("parts", 1), ("subject with raw 8-bit text", 35)];
const MAILPARSE: [(&str, usize); 2] = [("body", 21), ("parts", 28)];
const CORPUS_MESSAGES: usize = 6046;
