//! A mailbox of 65,536 messages through SORT, THREAD, fuzzy SEARCH, and results that are kept up to
//! date while flags change.
//!
//! Rows and octets of the messages are at hand, so what is measured is the session and the rules of
//! mail, not a store.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use imap_proto::parse::{self, Frame};
use imap_proto::{BlobSlice, Sink};
use imap_session::{Answer, CleartextLogin, Need, Session, SessionConfig, Step, World};
use mail_types::{Flags, InternalDate, MailboxName, MessageId};
use mailbox::{Account, Context, NewMessage, Operation, Outcome, apply, decide};
use mime::Message;

const MESSAGES: u32 = 65_536;
const NOW: i64 = 1_700_000_000;
/// As many as a session keeps.
const CONTEXTS: u32 = 16;

struct Shell {
    account: Account,
    session: Session,
    /// By the order in which the messages were added.
    rows: Vec<Arc<Message>>,
    first: MessageId,
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
        let texts: Vec<Vec<u8>> = (0..MESSAGES).map(text).collect();
        let messages = texts.iter().zip(0..).map(|(text, n)| new_message(text, n)).collect();
        let outcome = commit(&mut account, &Operation::AddMessages { mailbox, messages });
        let Outcome::Added { messages, .. } = outcome else { unreachable!("it was added") };
        let config =
            SessionConfig { cleartext_login: CleartextLogin::Allowed, ..SessionConfig::default() };
        let mut shell = Self {
            account,
            session: Session::new(config),
            rows: texts.iter().map(|text| Arc::new(mime::parse(text))).collect(),
            first: messages.first().copied().unwrap_or_else(|| unreachable!("there are some")),
            output: Counter::default(),
        };
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
            let answer = self.answer(need);
            let account = self.account.clone();
            let world = World::new(Some(&account), now);
            step = self.session.resume(answer, world, &mut self.output);
        }
        self.output.bytes
    }

    fn answer(&mut self, need: Need) -> Answer {
        match need {
            Need::Login { .. } => Answer::Authenticated { data: None },
            Need::Submit(operation) => Answer::Submitted(Ok(commit(&mut self.account, &operation))),
            Need::Rows(messages) => {
                let row = |id: MessageId| {
                    let index = usize::try_from(id.0 - self.first.0).unwrap_or(usize::MAX);
                    self.rows.get(index).cloned()
                };
                Answer::Rows(messages.into_iter().map(row).collect())
            }
            _ => Answer::Ready,
        }
    }

    /// Begins to keep as many results as can be.
    fn keep(&mut self, search: &str) {
        self.command("k SELECT INBOX");
        for number in 0..CONTEXTS {
            self.command(&format!("k{number} {search}"));
        }
    }
}

fn commit(account: &mut Account, operation: &Operation) -> Outcome {
    let decision = decide(account, &mailbox::Actor::Owner, operation, &Context { now: NOW })
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    if let Some(entry) = &decision.entry {
        *account = apply(account, entry).unwrap_or_else(|error| panic!("{error}"));
    }
    decision.outcome
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
    let mut shell = Shell::new();
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
            Some(search) => shell.keep(search),
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
