//! A mailbox of 100,000 messages through a whole session: SELECT, FETCH 1:* (FLAGS), STORE, SEARCH.
//!
//! The shell around it is as small as it can be: what is needed is at hand, output is counted.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use imap_proto::parse::{self, Frame};
use imap_proto::{BlobSlice, Sink};
use imap_session::{Answer, CleartextLogin, Need, Session, SessionConfig, Step, World};
use mail_types::{Flags, InternalDate, Keyword, MailboxName, SystemFlags};
use mailbox::{Account, Actor, Context, NewMessage, Operation, apply, decide};

const MESSAGES: u32 = 100_000;

struct Shell {
    account: Account,
    session: Session,
    output: Counter,
}

#[derive(Default)]
struct Counter {
    bytes: usize,
}

impl Sink for Counter {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }

    fn blob(&mut self, slice: BlobSlice) {
        self.bytes += usize::try_from(slice.length).unwrap_or(0);
    }
}

impl Shell {
    fn new() -> Self {
        let mut account = Account::empty();
        commit(&mut account, &Operation::CreateAccount);
        let inbox = account.by_name(&MailboxName::inbox()).map(|m| m.record().id);
        let mailbox = inbox.unwrap_or_else(|| unreachable!("a new account has an INBOX"));
        let messages = (0..MESSAGES).map(new_message).collect();
        commit(&mut account, &Operation::AddMessages { mailbox, messages });
        let config =
            SessionConfig { cleartext_login: CleartextLogin::Allowed, ..SessionConfig::default() };
        let mut shell = Self { account, session: Session::new(config), output: Counter::default() };
        shell.command("a LOGIN office secret");
        shell.command("b SELECT INBOX");
        shell
    }

    /// Runs one command to its end; octets of output.
    fn command(&mut self, line: &str) -> usize {
        self.output.bytes = 0;
        let command = parse::command(Frame::whole(line.as_bytes()));
        let command = command.unwrap_or_else(|error| panic!("{line}: {error}"));
        let now = InternalDate::utc(NOW);
        let account = self.account.clone();
        let world = World::new(Some(&account), now);
        let mut step = self.session.begin(command, world, &mut self.output);
        while let Step::Need(need) = step {
            let answer = match need {
                Need::Login { .. } => Answer::Authenticated { data: None },
                Need::Submit(operation) => {
                    Answer::Submitted(Ok(commit(&mut self.account, &operation)))
                }
                _ => Answer::Ready,
            };
            let account = self.account.clone();
            let world = World::new(Some(&account), now);
            step = self.session.resume(answer, world, &mut self.output);
        }
        self.output.bytes
    }
}

fn commit(account: &mut Account, operation: &Operation) -> mailbox::Outcome {
    let decision = decide(account, &Actor::Owner, operation, &Context { now: NOW })
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    if let Some(entry) = &decision.entry {
        *account = apply(account, entry).unwrap_or_else(|error| panic!("{error}"));
    }
    decision.outcome
}

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
    let mut shell = Shell::new();
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

const NOW: i64 = 1_700_000_000;
