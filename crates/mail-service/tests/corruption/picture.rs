//! Mail of all kinds, and everything that can be read of it, as text to compare.

use std::collections::BTreeMap;

use mail_service::{AccountHandle, AuthError, NewMail, Service, ServiceError};
use mail_types::{
    Flags, InternalDate, Keyword, MailboxId, MailboxName, MessageId, ModSeq, Secret, SystemFlags,
    UidSet,
};
use mailbox::{FlagMode, Operation, Outcome, Rights, RightsChange};

use crate::damage::Dice;

/// Everything that was asked, and the answers.
pub type Picture = BTreeMap<String, Result<String, Reading>>;

/// An answer that is no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Something is damaged, and says so.
    Damaged(String),
    /// It is said not to be there, which it is.
    Denied(String),
}

/// What there is to ask for.
#[derive(Default)]
pub struct Plan {
    accounts: Vec<PlannedAccount>,
}

struct PlannedAccount {
    name: String,
    mailboxes: Vec<MailboxId>,
    messages: Vec<(MessageId, u64)>,
}

/// Fills a store: accounts, mailboxes, mail short and long, flags, copies, expunges.
pub async fn build(service: &Service) -> Plan {
    let mut plan = Plan::default();
    let mut dice = Dice::new(0x7069_6c6c, 0);
    for account in 0..ACCOUNTS {
        let name = format!("berth{account}@harbour.example");
        let id = service.create_account(&name, Secret::new(PASSWORD)).await.unwrap();
        let handle = service.account(id).await.unwrap();
        fill(&handle, &mut dice).await;
        plan.accounts.push(planned(&name, &handle).await);
    }
    plan
}

async fn fill(handle: &AccountHandle, dice: &mut Dice) {
    for created in ["Lists/tides", "Projects/boathouse", "Täglich"] {
        let name = MailboxName::new(created).unwrap();
        handle.submit(Operation::CreateMailbox { name, special_use: Vec::new() }).await.unwrap();
    }
    let mailboxes: Vec<MailboxId> =
        handle.current().mailboxes().map(|mailbox| mailbox.record().id).collect();
    let inbox = mailboxes[0];
    for number in 0..MESSAGES {
        let mailbox = if number % 3 == 0 {
            mailboxes[dice.below(mailboxes.len() as u64) as usize]
        } else {
            inbox
        };
        append(handle, mailbox, number, dice).await;
    }
    for (mailbox, letters) in mailboxes.iter().zip(["lrs", "lrswipkxtea"]) {
        let rights = RightsChange::Set(Rights::parse(letters).unwrap());
        handle.set_acl(*mailbox, "berth0@harbour.example", rights).await.unwrap();
    }
    for round in 0..6 {
        let uids: UidSet =
            (0..4).map(|_| mail_types::Uid::new(1 + dice.below(20) as u32).unwrap()).collect();
        let operation = match round % 3 {
            0 => Operation::SetFlags {
                mailbox: inbox,
                uids,
                mode: FlagMode::Add,
                flags: Flags::new(SystemFlags::SEEN, [Keyword::new("keep").unwrap()]),
                unchanged_since: None,
            },
            1 => Operation::Copy { from: inbox, to: mailboxes[1], uids },
            _ => Operation::Move { from: inbox, to: mailboxes[2], uids },
        };
        handle.submit(operation).await.unwrap();
    }
}

async fn append(handle: &AccountHandle, mailbox: MailboxId, number: u64, dice: &mut Dice) {
    let lines = match number % 25 {
        0 => 3000 + dice.below(4000),
        n if n % 5 == 0 => 200 + dice.below(300),
        _ => dice.below(40),
    };
    let mut text = format!(
        "From: office@harbour.example\r\nMessage-ID: <m{number}-{}@harbour.example>\r\n\
         References: <m{}@harbour.example>\r\nSubject: Tide {number}\r\n\r\n",
        dice.next(),
        number / 3
    );
    for _ in 0..lines {
        text += &format!("{:016x} high water {:016x}\r\n", dice.next(), dice.next());
    }
    let mut staging = handle.stage();
    staging.push(text.as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let date = InternalDate::utc(1_800_000_000 + number as i64);
    let mail = NewMail {
        staged,
        flags: Flags::default(),
        date,
        annotations: mailbox::Annotations::default(),
    };
    let added = handle.append(mailbox, vec![mail]).await.unwrap().1;
    assert!(matches!(added, Outcome::Added { .. }));
}

async fn planned(name: &str, handle: &AccountHandle) -> PlannedAccount {
    let account = handle.current();
    let mailboxes: Vec<MailboxId> = account.mailboxes().map(|it| it.record().id).collect();
    let mut messages = BTreeMap::new();
    for mailbox in &mailboxes {
        let (account, _pin) = handle.load(*mailbox).await.unwrap();
        let contents = account.mailbox(*mailbox).unwrap().contents().unwrap().clone();
        messages.extend(contents.iter().map(|entry| (entry.message(), u64::from(entry.size()))));
    }
    PlannedAccount { name: name.to_owned(), mailboxes, messages: messages.into_iter().collect() }
}

/// Asks for everything.
pub async fn read(service: &Service, plan: &Plan) -> Picture {
    let mut picture = Picture::new();
    let accounts = service.list_accounts().await;
    picture.insert("accounts".to_owned(), told(accounts.map(|all| format!("{all:?}"))));
    for planned in &plan.accounts {
        read_account(service, planned, &mut picture).await;
    }
    picture
}

async fn read_account(service: &Service, planned: &PlannedAccount, picture: &mut Picture) {
    let name = &planned.name;
    let login = service.authenticate(name, &Secret::new(PASSWORD)).await;
    let login = match login {
        Ok(handle) => Ok(handle.id().to_string()),
        Err(AuthError::Failed(error)) => Err(reading(&error)),
        Err(other) => Err(Reading::Denied(format!("{other:?}"))),
    };
    picture.insert(format!("{name} login"), login);
    let found = match service.find_account(name).await {
        Ok(Some(found)) => service.account(found.id).await,
        Ok(None) => Err(ServiceError::NoSuchAccount),
        Err(error) => Err(error),
    };
    let handle = match found {
        Ok(handle) => handle,
        Err(error) => return fail_all(planned, &error, picture),
    };
    let account = handle.current();
    let mut mailboxes: Vec<String> =
        account.mailboxes().map(|mailbox| format!("{:?}", mailbox.record())).collect();
    mailboxes.extend(account.subscriptions().map(|subscribed| format!("{subscribed:?}")));
    mailboxes.extend(account.acls().map(|list| format!("{list:?}")));
    mailboxes.push(format!("{:?}", account.head()));
    picture.insert(format!("{name} mailboxes"), Ok(mailboxes.join("\n")));
    for mailbox in &planned.mailboxes {
        let contents = contents(&handle, *mailbox).await;
        picture.insert(format!("{name} {mailbox}"), told(contents));
    }
    for (message, size) in &planned.messages {
        read_message(&handle, name, *message, *size, picture).await;
    }
}

fn fail_all(planned: &PlannedAccount, error: &ServiceError, picture: &mut Picture) {
    let name = &planned.name;
    let mut fail = |what: String| picture.insert(what, Err(reading(error)));
    fail(format!("{name} mailboxes"));
    for mailbox in &planned.mailboxes {
        fail(format!("{name} {mailbox}"));
    }
    for (message, _) in &planned.messages {
        fail(format!("{name} {message} row"));
        fail(format!("{name} {message} body"));
        fail(format!("{name} {message} middle"));
    }
}

/// Messages, flags, modseqs, and what QRESYNC would tell of those that are gone.
async fn contents(handle: &AccountHandle, mailbox: MailboxId) -> Result<String, ServiceError> {
    let (account, _pin) = handle.load(mailbox).await?;
    let loaded = account.mailbox(mailbox).and_then(|mailbox| mailbox.contents().cloned());
    let contents = loaded.ok_or(ServiceError::NoSuchMailbox)?;
    let mut lines: Vec<String> = contents
        .iter()
        .map(|entry| format!("{} {:?} {:?}", entry.uid(), entry.row(), entry.flags()))
        .collect();
    lines.push(format!("{:?}", contents.vanished_since(ModSeq::ZERO)));
    Ok(lines.join("\n"))
}

async fn read_message(
    handle: &AccountHandle,
    name: &str,
    message: MessageId,
    size: u64,
    picture: &mut Picture,
) {
    let rows = handle.rows(&[message]).await;
    let row = rows.and_then(|mut rows| rows.pop().flatten().ok_or(ServiceError::NoSuchMessage));
    let row = told(row.map(|row| format!("{row:?}")));
    picture.insert(format!("{name} {message} row"), row);
    for (part, range) in [("body", 0..u64::MAX), ("middle", size / 3..size / 3 + 5000)] {
        let read = handle.read(vec![(message, range)]).await;
        let octets =
            read.and_then(|mut all| all.pop().flatten().ok_or(ServiceError::NoSuchMessage));
        let shown = |octets: Vec<u8>| format!("{} {}", octets.len(), store::BlobId::of(&octets));
        picture.insert(format!("{name} {message} {part}"), told(octets.map(shown)));
    }
}

fn told(answer: Result<String, ServiceError>) -> Result<String, Reading> {
    answer.map_err(|error| reading(&error))
}

/// Whether an error tells of damage, or pretends that there is nothing.
fn reading(error: &ServiceError) -> Reading {
    let is_read_failure =
        matches!(error, ServiceError::Store(store::StoreError::ReadFailed { .. }));
    if error.is_damage() || is_read_failure {
        return Reading::Damaged(error.to_string());
    }
    Reading::Denied(format!("{error:?}"))
}

/// Where two texts differ.
pub fn difference(was: &str, is: &str) -> String {
    let differs = was.lines().zip(is.lines()).find(|(was, is)| was != is);
    match differs {
        Some((was, is)) => {
            let same = was.bytes().zip(is.bytes()).take_while(|(a, b)| a == b).count();
            let show = |text: &str| {
                let from =
                    (0..=same.saturating_sub(20)).rev().find(|at| text.is_char_boundary(*at));
                text[from.unwrap_or(0)..].chars().take(80).collect::<String>()
            };
            format!("was {:?}, is {:?}", show(was), show(is))
        }
        None => format!("{} lines were {}", is.lines().count(), was.lines().count()),
    }
}

const PASSWORD: &str = "low-tide";
const ACCOUNTS: u64 = 3;
const MESSAGES: u64 = 50;
