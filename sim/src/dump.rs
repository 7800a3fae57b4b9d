//! An account as text: everything that a client may have been told, one line for each thing.
//!
//! The account's own modseq is not in it, because a sweep raises it without telling anybody; it is
//! compared as a bound instead.

use std::fmt::Write;

use mail_service::{AccountHandle, ServiceError};
use mail_types::MessageId;
use mailbox::{Account, Mailbox};

use crate::Result;

/// The text of an account that does not exist.
pub const ABSENT: &str = "absent\n";

/// An account at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// Everything that was told.
    pub text: String,
    /// The account's modseq: nothing new may get one that is not above it.
    pub modseq: u64,
}

impl Dump {
    /// No account.
    pub fn absent() -> Self {
        Self { text: ABSENT.to_owned(), modseq: 0 }
    }

    /// What stands for the text where it would be too long.
    pub fn hash(text: &str) -> String {
        blake3::hash(text.as_bytes()).to_hex().as_str().get(..32).unwrap_or_default().to_owned()
    }
}

/// Writes down an account; `password` names the one that opens it.
///
/// # Errors
/// Those of the service.
pub async fn dump(handle: &AccountHandle, password: u32) -> Result<Dump> {
    let (account, _pins) = loaded(handle).await?;
    let mut text = String::new();
    writeln!(text, "account {} password {password}", handle.id())?;
    for mailbox in account.mailboxes() {
        write_mailbox(&mut text, handle, mailbox).await?;
    }
    for (name, subscription) in account.subscriptions() {
        writeln!(text, "subscription {name:?} {subscription:?}")?;
    }
    Ok(Dump { text, modseq: account.modseq().get() })
}

/// The state with the contents of every mailbox.
async fn loaded(handle: &AccountHandle) -> Result<(Account, Vec<mail_service::MailboxPin>)> {
    let mut pins = Vec::new();
    for mailbox in handle.state().await?.mailboxes() {
        pins.push(handle.load(mailbox.record().id).await?.1);
    }
    Ok((handle.state().await?, pins))
}

async fn write_mailbox(text: &mut String, handle: &AccountHandle, mailbox: &Mailbox) -> Result<()> {
    let record = mailbox.record();
    writeln!(
        text,
        "mailbox {} {:?} validity {} next {} highest {} created {} use {:?} mark {} recent {} {:?}",
        record.id,
        record.name.as_str(),
        record.uid_validity,
        record.uid_next,
        record.highest_modseq,
        record.created,
        record.special_use,
        record.recent_mark,
        record.recent,
        record.counts,
    )?;
    let contents = mailbox.contents().ok_or(ServiceError::NoSuchMailbox)?;
    let ids: Vec<MessageId> = contents.iter().map(|entry| entry.message()).collect();
    let mut rows = Vec::with_capacity(ids.len());
    for ids in ids.chunks(mail_service::limits::ROWS_PER_READ_MAX) {
        rows.extend(handle.rows(ids).await?);
    }
    for (entry, row) in contents.iter().zip(rows) {
        let row = row.ok_or(ServiceError::NoSuchMessage)?;
        writeln!(
            text,
            "  {} {} {} modseq {} date {} saved {} size {} {:?} blob {}",
            entry.uid(),
            entry.message(),
            entry.thread(),
            entry.modseq(),
            entry.internal_date(),
            entry.save_date(),
            entry.size(),
            entry.flags(),
            row.blob,
        )?;
    }
    Ok(())
}

/// The lines in which two texts differ, as far as a person wants to read them.
pub fn difference(one: &str, other: &str) -> String {
    let mut shown = String::new();
    let is_in = |text: &str, line: &str| text.lines().any(|other| other == line);
    for (mark, text, against) in [('-', one, other), ('+', other, one)] {
        for line in text.lines().filter(|line| !is_in(against, line)).take(LINES_SHOWN_MAX) {
            shown.push_str(&format!("  {mark} {line}\n"));
        }
    }
    shown
}

const LINES_SHOWN_MAX: usize = 12;
