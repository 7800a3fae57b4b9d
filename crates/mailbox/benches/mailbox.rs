//! A mailbox of 100,000 messages: how long to load it, change it, walk over it and search it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop the program")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mail_types::{
    Flags, InternalDate, MailboxId, MailboxName, MessageId, ModSeq, SystemFlags, ThreadId, Uid,
    UidSet,
};
use mailbox::search::{Key, Program};
use mailbox::{
    Account, Actor, Context, Expunges, FlagMode, MailboxSnapshot, MailboxSnapshotBuilder,
    MembershipRow, NewMessage, Operation, View, apply, decide,
};

const MESSAGES: u32 = 100_000;
const NOW: Context = Context { now: 1_700_000_000 };

fn commit(account: &Account, operation: &Operation) -> Account {
    let entry = decide(account, &Actor::Owner, operation, &NOW).unwrap().entry.unwrap();
    apply(account, &entry).unwrap()
}

/// An account whose INBOX has 100,000 messages, a tenth of them with keywords.
fn account() -> (Account, MailboxId) {
    let account = commit(&Account::empty(), &Operation::CreateAccount);
    let mailbox = account.by_name(&MailboxName::inbox()).unwrap().record().id;
    let message = |n: u32| {
        let mut flags = Flags::system(SystemFlags::NONE);
        if n.is_multiple_of(2) {
            flags.system = SystemFlags::SEEN;
        }
        if n.is_multiple_of(10) {
            flags.insert(mail_types::Keyword::new("$Forwarded").unwrap());
        }
        let internal_date = InternalDate::new(1_600_000_000 + i64::from(n) * 60, 120);
        NewMessage {
            message: None,
            thread: None,
            size: 4000 + n,
            internal_date,
            flags,
            annotations: mailbox::Annotations::default(),
        }
    };
    let messages = (0..MESSAGES).map(message).collect();
    (commit(&account, &Operation::AddMessages { mailbox, messages }), mailbox)
}

fn contents(account: &Account, mailbox: MailboxId) -> MailboxSnapshot {
    account.mailbox(mailbox).unwrap().contents().unwrap().clone()
}

fn bench(c: &mut Criterion) {
    let (account, mailbox) = account();
    let snapshot = contents(&account, mailbox);
    let one = |uid| UidSet::single(Uid::new(uid).unwrap());
    let store = |uids| Operation::SetFlags {
        mailbox,
        uids,
        mode: FlagMode::Add,
        flags: Flags::system(SystemFlags::FLAGGED),
        unchanged_since: None,
    };
    c.bench_function("store one of 100k: decide and apply", |b| {
        let operation = store(one(50_001));
        b.iter(|| commit(black_box(&account), &operation));
    });
    c.bench_function("store one of 100k: apply", |b| {
        let entry =
            decide(&account, &Actor::Owner, &store(one(50_001)), &NOW).unwrap().entry.unwrap();
        b.iter(|| apply(black_box(&account), &entry).unwrap());
    });
    c.bench_function("store all of 100k: decide and apply", |b| {
        let operation = store(UidSet::range(Uid::MIN, Uid::MAX));
        b.iter(|| commit(black_box(&account), &operation));
    });
    c.bench_function("append one to 100k: decide and apply", |b| {
        let internal_date = InternalDate::utc(0);
        let flags = Flags::default();
        let new = NewMessage {
            message: None,
            thread: None,
            size: 9,
            internal_date,
            flags,
            annotations: mailbox::Annotations::default(),
        };
        let operation = Operation::AddMessages { mailbox, messages: vec![new] };
        b.iter(|| commit(black_box(&account), &operation));
    });
    c.bench_function("move one of 100k: decide and apply", |b| {
        let to = account.by_name(&MailboxName::new("Trash").unwrap()).unwrap().record().id;
        let operation = Operation::Move { from: mailbox, to, uids: one(50_001) };
        b.iter(|| commit(black_box(&account), &operation));
    });
    c.bench_function("build 100k from rows", |b| {
        let rows: Vec<MembershipRow> = snapshot.iter().map(|entry| entry.row()).collect();
        let record = account.mailbox(mailbox).unwrap().record().clone();
        b.iter(|| {
            let mut builder = MailboxSnapshotBuilder::new(&record, ModSeq::ZERO);
            for row in &rows {
                builder.push(row).unwrap();
            }
            builder.finish().unwrap()
        });
    });
    sessions(c, &account, mailbox);
}

fn sessions(c: &mut Criterion, account: &Account, mailbox: MailboxId) {
    let snapshot = contents(account, mailbox);
    let all = UidSet::range(Uid::MIN, Uid::MAX);
    c.bench_function("flags of 100k by a view", |b| {
        let view = View::open(snapshot.clone());
        b.iter(|| {
            let mut seen = 0u32;
            for (seq, entry) in view.entries(&all) {
                let keywords = entry.keywords().map(|k| k.as_str().len()).sum::<usize>();
                seen += entry.system_flags().names().count() as u32;
                black_box((seq, entry.uid(), keywords));
            }
            seen
        });
    });
    c.bench_function("tell a session of one change in 100k", |b| {
        let operation = Operation::SetFlags {
            mailbox,
            uids: UidSet::single(Uid::new(70_000).unwrap()),
            mode: FlagMode::Add,
            flags: Flags::system(SystemFlags::FLAGGED),
            unchanged_since: None,
        };
        let next = contents(&commit(account, &operation), mailbox);
        let view = View::open(snapshot.clone());
        let tell = |mut view: View| view.advance(&next, Expunges::Tell, None);
        b.iter_batched(|| view.clone(), tell, BatchSize::SmallInput);
    });
    c.bench_function("search UNSEEN SINCE in 100k", |b| {
        let view = View::open(snapshot.clone());
        let seen = Box::new(Key::System(SystemFlags::SEEN));
        let since = Key::InternalDate(mailbox::search::DateTest::Since(18_550));
        let program = Program::new(&Key::And(vec![Key::Not(seen), since])).unwrap();
        b.iter(|| program.sift(&view, NOW.now));
    });
    c.bench_function("search THREADID in 100k", |b| {
        let view = View::open(snapshot.clone());
        let thread = Key::Thread(ThreadId(777));
        let message = Key::Message(MessageId(778));
        let program = Program::new(&Key::Or(vec![thread, message])).unwrap();
        b.iter(|| program.sift(&view, NOW.now));
    });
    println!(
        "a view with nothing withheld: {} bytes, none on the heap; a message: {} bytes",
        size_of::<View>(),
        MailboxSnapshot::ENTRY_BYTES,
    );
}

criterion_group!(benches, bench);
criterion_main!(benches);
