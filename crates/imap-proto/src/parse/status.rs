//! STATUS, the command and its answer. RFC 9051 §6.3.11, §7.3.4

use mail_types::{Uid, UidValidity};

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use super::list::skip_value;
use super::select::mod_seq;
use crate::types::{StatusCommand, StatusItem, StatusReply, StatusValue};

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
pub fn command(cursor: &mut Cursor<'_>) -> Result<StatusCommand> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let items = items(cursor)?;
    Ok(StatusCommand { mailbox, items })
}

/// `"(" status-att *(SP status-att) ")"`
pub fn items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>> {
    cursor.list1(StatusItem::ITEMS_MAX, "status item", |cursor| {
        let start = cursor.clone();
        let name = cursor.keyword("status item")?;
        StatusItem::from_name(&name).map_or_else(|| start.expected("known status item"), Ok)
    })
}

/// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<StatusReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let values = cursor.list(StatusItem::ITEMS_MAX, "status items", value)?;
    Ok(StatusReply { mailbox, values })
}

/// ```text
/// status-att-val = ("MESSAGES" SP number) / ("UIDNEXT" SP nz-number) / …
///                  ("SIZE" SP number64) / ("HIGHESTMODSEQ" SP mod-sequence-valzer) /
///                  ("MAILBOXID" SP "(" objectid ")") / ("APPENDLIMIT" SP (number / nil))
/// ```
fn value(cursor: &mut Cursor<'_>) -> Result<StatusValue> {
    let name = cursor.atom("status item")?.to_owned();
    cursor.space()?;
    let start = cursor.clone();
    let no_zero = || start.fail(ErrorKind::Value, "number above zero");
    Ok(match StatusItem::from_name(&name) {
        Some(StatusItem::Messages) => StatusValue::Messages(cursor.number()?),
        Some(StatusItem::Recent) => StatusValue::Recent(cursor.number()?),
        Some(StatusItem::UidNext) => match Uid::new(cursor.number()?) {
            Some(uid) => StatusValue::UidNext(uid),
            None => return no_zero(),
        },
        Some(StatusItem::UidValidity) => match UidValidity::new(cursor.number()?) {
            Some(value) => StatusValue::UidValidity(value),
            None => return no_zero(),
        },
        Some(StatusItem::Unseen) => StatusValue::Unseen(cursor.number()?),
        Some(StatusItem::Deleted) => StatusValue::Deleted(cursor.number()?),
        Some(StatusItem::Size) => StatusValue::Size(cursor.number64()?),
        Some(StatusItem::HighestModSeq) => StatusValue::HighestModSeq(mod_seq(cursor)?),
        Some(StatusItem::MailboxId) => StatusValue::MailboxId(object_id(cursor)?),
        Some(StatusItem::AppendLimit) => StatusValue::AppendLimit(match cursor.eat_word("NIL") {
            true => None,
            false => Some(cursor.number64()?),
        }),
        Some(StatusItem::DeletedStorage) => StatusValue::DeletedStorage(cursor.number64()?),
        None => {
            let before = cursor.rest();
            skip_value(cursor, 0)?;
            let length = before.len() - cursor.rest().len();
            StatusValue::Other(name, before.get(..length).unwrap_or_default().to_vec())
        }
    })
}

/// `"(" objectid ")"`, where `objectid = 1*255(ALPHA / DIGIT / "_" / "-")`. RFC 8474 §7
pub fn object_id(cursor: &mut Cursor<'_>) -> Result<String> {
    let ids = cursor.list1(1, "object id", bare_object_id)?;
    ids.into_iter().next().map_or_else(|| cursor.expected("object id"), Ok)
}

/// `objectid`
pub fn bare_object_id(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let is_id_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let run = cursor.take_while(is_id_char);
    if run.is_empty() || run.len() > OBJECT_ID_BYTES_MAX {
        return start.expected("object id");
    }
    Ok(run.iter().map(|b| char::from(*b)).collect())
}

/// Longest object id. RFC 8474 §7
const OBJECT_ID_BYTES_MAX: usize = 255;
