//! A mailbox of 100,000 messages through a whole session: SELECT, FETCH 1:* (FLAGS), STORE, SEARCH.
//!
//! The shell around it is as small as it can be.

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mail_types::{Flags, InternalDate, Keyword, SystemFlags};
use mailbox::NewMessage;

use common::{NOW, Shell};

const MESSAGES: u32 = 100_000;

fn new_message(n: u32) -> NewMessage {
    let system = if n.is_multiple_of(3) { SystemFlags::SEEN } else { SystemFlags::NONE };
    let keywords = Keyword::new("$Forwarded").ok().filter(|_| n.is_multiple_of(10));
    NewMessage {
        message: None,
        thread: None,
        size: 4000 + n % 1000,
        internal_date: InternalDate::utc(NOW - i64::from(n)),
        flags: Flags::new(system, keywords),
        annotations: mailbox::Annotations::default(),
    }
}

fn session(c: &mut Criterion) {
    let mut shell = Shell::new((0..MESSAGES).map(new_message).collect(), Vec::new());
    let mut group = c.benchmark_group("session_100k");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function("select_warm", |b| b.iter(|| black_box(shell.command("c SELECT INBOX"))));
    group.bench_function("fetch_all_flags", |b| {
        b.iter(|| black_box(shell.command("d FETCH 1:* (FLAGS)")));
    });
    group.bench_function("uid_fetch_all_flags_size_date", |b| {
        b.iter(|| black_box(shell.command("e UID FETCH 1:* (FLAGS RFC822.SIZE INTERNALDATE)")));
    });
    group.bench_function("search_unseen", |b| {
        b.iter(|| black_box(shell.command("f SEARCH UNSEEN")));
    });
    let mut sign = '+';
    group.bench_function("store_one", |b| {
        b.iter(|| {
            sign = if sign == '+' { '-' } else { '+' };
            black_box(shell.command(&format!("g STORE 50000 {sign}FLAGS (\\Flagged)")))
        });
    });
    group.finish();
}

criterion_group!(benches, session);
criterion_main!(benches);
