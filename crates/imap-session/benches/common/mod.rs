//! The smallest shell around a session: one account with an INBOX full of messages, what is needed
//! is at hand, and output is counted.

use std::sync::Arc;

use imap_proto::parse::{self, Frame};
use imap_proto::{BlobSlice, Sink};
use imap_session::{Answer, CleartextLogin, Need, Session, SessionConfig, Step, World};
use mail_types::{InternalDate, MailboxName, MessageId};
use mailbox::{Account, Actor, Context, NewMessage, Operation, Outcome, apply, decide};
use mime::Message;

pub const NOW: i64 = 1_700_000_000;

pub struct Shell {
    account: Account,
    session: Session,
    /// What was parsed of the messages, in the order in which they were added.
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
    /// A session that has selected INBOX; `rows` may be left out if no command asks for them.
    pub fn new(messages: Vec<NewMessage>, rows: Vec<Arc<Message>>) -> Self {
        let mut account = Account::empty();
        commit(&mut account, &Operation::CreateAccount);
        let inbox = account.by_name(&MailboxName::inbox()).map(|m| m.record().id);
        let mailbox = inbox.unwrap_or_else(|| unreachable!("a new account has an INBOX"));
        let outcome = commit(&mut account, &Operation::AddMessages { mailbox, messages });
        let Outcome::Added { messages, .. } = outcome else { unreachable!("it was added") };
        let config =
            SessionConfig { cleartext_login: CleartextLogin::Allowed, ..SessionConfig::default() };
        let mut shell = Self {
            account,
            session: Session::new(config),
            rows,
            first: messages.first().copied().unwrap_or_else(|| unreachable!("there are some")),
            output: Counter::default(),
        };
        shell.command("a LOGIN office secret");
        shell.command("b SELECT INBOX");
        shell
    }

    /// Runs one command to its end; octets of output.
    pub fn command(&mut self, line: &str) -> usize {
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
}

fn commit(account: &mut Account, operation: &Operation) -> Outcome {
    let decision = decide(account, &Actor::Owner, operation, &Context { now: NOW })
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    if let Some(entry) = &decision.entry {
        *account = apply(account, entry).unwrap_or_else(|error| panic!("{error}"));
    }
    decision.outcome
}
