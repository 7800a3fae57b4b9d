//! A mailbox of 65,536 messages through SORT, THREAD, fuzzy SEARCH, and results that are kept up to
//! date while flags change.
//!
//! Rows and octets of the messages are at hand, so what is measured is the session and the rules of
//! mail, not a store.

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mail_types::{Flags, InternalDate};
use mailbox::NewMessage;

use common::{NOW, Shell};

const MESSAGES: u32 = 65_536;
/// As many as a session keeps.
const CONTEXTS: u32 = 16;

fn shell() -> Shell {
    let texts: Vec<Vec<u8>> = (0..MESSAGES).map(text).collect();
    let messages = texts.iter().zip(0..).map(|(text, n)| new_message(text, n)).collect();
    Shell::new(messages, texts.iter().map(|text| Arc::new(mime::parse(text))).collect())
}

/// Begins to keep as many results as can be.
fn keep(shell: &mut Shell, search: &str) {
    shell.command("k SELECT INBOX");
    for number in 0..CONTEXTS {
        shell.command(&format!("k{number} {search}"));
    }
}

/// Conversations of up to eight messages, subjects that differ in a word, dates in no order.
fn text(n: u32) -> Vec<u8> {
    let (thread, turn) = (n % (MESSAGES / 8), n / (MESSAGES / 8));
    let (day, hour) = (n.wrapping_mul(2_654_435_761) % 28 + 1, n % 24);
    let reply = if turn == 0 { "" } else { "Re: " };
    let references: String =
        (0..turn).map(|turn| format!(" <{thread}.{turn}@sea.example>")).collect();
    let references = match turn {
        0 => String::new(),
        _ => format!("References:{references}\r\n"),
    };
    format!(
        "From: Mate {n} <mate{n}@sea.example>\r\nTo: office@harbour.example\r\n\
         Date: {day} Mar 2022 {hour:02}:00:00 +0000\r\n\
         Subject: {reply}High tide of harbour number {thread} and its currents\r\n\
         Message-ID: <{thread}.{turn}@sea.example>\r\n{references}\r\nText\r\n"
    )
    .into_bytes()
}

fn new_message(text: &[u8], n: u32) -> NewMessage {
    NewMessage {
        message: None,
        thread: None,
        size: u32::try_from(text.len()).unwrap_or(u32::MAX),
        internal_date: InternalDate::utc(NOW - i64::from(n)),
        flags: Flags::default(),
        annotations: mailbox::Annotations::default(),
    }
}

fn search(c: &mut Criterion) {
    let mut shell = shell();
    let mut group = c.benchmark_group("search_65k");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, line) in [
        ("sort_arrival", "a SORT (REVERSE ARRIVAL) UTF-8 ALL"),
        ("sort_date", "a SORT (REVERSE DATE) UTF-8 ALL"),
        ("sort_subject", "a SORT (SUBJECT) UTF-8 ALL"),
        ("thread_orderedsubject", "a THREAD ORDEREDSUBJECT UTF-8 ALL"),
        ("thread_references", "a THREAD REFERENCES UTF-8 ALL"),
        ("search_subject", "a SEARCH SUBJECT \"current\""),
        ("fuzzy_subject", "a SEARCH FUZZY SUBJECT \"harbor currants\""),
    ] {
        group.bench_function(name, |b| b.iter(|| black_box(shell.command(line))));
    }
    for (name, search) in [
        ("none", None),
        ("16_searches", Some("UID SEARCH RETURN (UPDATE) FLAGGED UNDELETED")),
        ("16_searches_untouched", Some("UID SEARCH RETURN (UPDATE) UNDELETED")),
        ("16_sorts_by_arrival", Some("UID SORT RETURN (UPDATE) (REVERSE ARRIVAL) UTF-8 FLAGGED")),
        ("16_sorts_by_subject", Some("UID SORT RETURN (UPDATE) (SUBJECT) UTF-8 FLAGGED")),
    ] {
        match search {
            Some(search) => keep(&mut shell, search),
            None => drop(shell.command("k SELECT INBOX")),
        }
        let mut sign = '-';
        group.bench_function(format!("store_all_with_{name}"), |b| {
            b.iter(|| {
                sign = if sign == '+' { '-' } else { '+' };
                black_box(shell.command(&format!("g STORE 1:* {sign}FLAGS.SILENT (\\Flagged)")))
            });
        });
        group.bench_function(format!("store_one_with_{name}"), |b| {
            b.iter(|| {
                sign = if sign == '+' { '-' } else { '+' };
                black_box(shell.command(&format!("g STORE 50000 {sign}FLAGS.SILENT (\\Flagged)")))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
