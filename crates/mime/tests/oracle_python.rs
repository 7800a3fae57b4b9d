//! Our reading of mail against that of Python's `email` package: generated messages, about which
//! they must agree, and the mail corpus, where the differences that were looked at and kept are
//! counted. `ORACLES.md` explains each of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod common;
#[path = "common/generator.rs"]
mod generator;
#[path = "common/view.rs"]
mod view;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use view::View;

#[test]
fn generated_messages_read_as_in_python() {
    let count = if std::env::var_os("PILLARBOX_LONG_TESTS").is_some() { 50_000 } else { 2_000 };
    let messages: Vec<Vec<u8>> = (0..count).map(generator::message).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let lines: Vec<String> = messages.iter().map(|m| format!("hex:{}", hex(m))).collect();
    let Some(views) = python(&lines) else { return };
    for (seed, (bytes, theirs)) in messages.iter().zip(&views).enumerate() {
        let found = differences(&view::ours(bytes), theirs);
        assert!(found.is_empty(), "seed {seed}: {found:#?}\n{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_corpus_reads_as_in_python_but_for_known_differences() {
    let files = common::corpus();
    if files.is_empty() {
        eprintln!("skipped: no corpus, see PILLARBOX_CORPUS");
        return;
    }
    let paths: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let Some(views) = python(&paths) else { return };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, theirs) in files.iter().zip(&views) {
        for (kind, ours, theirs) in differences(&view::ours(&std::fs::read(file).unwrap()), theirs)
        {
            *counts.entry(kind).or_default() += 1;
            println!("{kind} {}\n  ours   {ours}\n  python {theirs}", file.display());
        }
    }
    println!("{counts:?} of {}", files.len());
    if files.len() == CORPUS_MESSAGES {
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), KNOWN);
    }
}

/// What Python makes of the messages that the lines name; `None` if there is no Python.
fn python(lines: &[String]) -> Option<Vec<View>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle_python.py");
    let child =
        Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no python3");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let views: Vec<View> = text.lines().map(read_view).collect();
    assert_eq!(views.len(), lines.len());
    Some(views)
}

fn read_view(line: &str) -> View {
    let fields: Vec<&str> = line.split('\t').collect();
    let text = |hex: &str| String::from_utf8_lossy(&unhex(hex)).into_owned();
    View {
        shape: text(fields[0]),
        bodies: fields[1].split(',').map(unhex).collect(),
        subject: text(fields[2]),
        addresses: fields[3].split(',').map(text).filter(|a| !a.is_empty()).collect(),
        date: text(fields[4]).parse().ok(),
        names: fields[5].split(',').map(text).collect(),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What differs: kind, ours, theirs. Harmless habits of Python are evened out first.
fn differences(ours: &View, theirs: &View) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    if ours.shape != theirs.shape {
        found.push(("shape", ours.shape.clone(), theirs.shape.clone()));
        return found;
    }
    for (a, b) in ours.bodies.iter().zip(&theirs.bodies) {
        // Python leaves white space at the ends of quoted-printable lines.
        let (a, b) = (without_space(a), without_space(b));
        if a != b {
            let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let show = |text: &[u8]| {
                let window = &text[at.saturating_sub(20)..text.len().min(at + 60)];
                format!("{:?}", String::from_utf8_lossy(window))
            };
            found.push(("body", show(&a), show(&b)));
        }
    }
    if ours.subject.trim() != theirs.subject.trim() {
        let is_raw = theirs.subject.contains(char::REPLACEMENT_CHARACTER);
        let kind = if is_raw { "subject with raw 8-bit text" } else { "subject" };
        found.push((kind, ours.subject.clone(), theirs.subject.clone()));
    }
    // Python keeps the quotes of a local part.
    let unquoted: Vec<String> = theirs.addresses.iter().map(|a| a.replace('"', "")).collect();
    if ours.addresses != unquoted {
        found.push(("addresses", format!("{:?}", ours.addresses), format!("{unquoted:?}")));
    }
    if ours.date != theirs.date {
        found.push(("date", format!("{:?}", ours.date), format!("{:?}", theirs.date)));
    }
    if ours.names != theirs.names {
        found.push(("file name", format!("{:?}", ours.names), format!("{:?}", theirs.names)));
    }
    found
}

/// The lines without white space at their ends.
fn without_space(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|b| *b == b'\n').map(|line| line.trim_ascii_end());
    view::comparable(&lines.collect::<Vec<_>>().join(&b'\n'))
}

/// Differences in the corpus of `CORPUS_MESSAGES` messages.
const KNOWN: [(&str, usize); 6] = [
    ("addresses", 32),
    ("body", 9),
    ("date", 20),
    ("shape", 1),
    ("subject", 2),
    ("subject with raw 8-bit text", 35),
];
const CORPUS_MESSAGES: usize = 6046;
