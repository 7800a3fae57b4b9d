//! RENAME, and the commands with one mailbox: DELETE, SUBSCRIBE, UNSUBSCRIBE. RFC 9051 §6.3.5–8

use super::cursor::Cursor;
use super::error::Result;
use crate::types::{MailboxArg, Rename};

/// `rename = "RENAME" SP mailbox SP mailbox`
pub fn command(cursor: &mut Cursor<'_>) -> Result<Rename> {
    let from = one_mailbox(cursor)?;
    let to = one_mailbox(cursor)?;
    Ok(Rename { from, to })
}

/// `SP mailbox`
pub fn one_mailbox(cursor: &mut Cursor<'_>) -> Result<MailboxArg> {
    cursor.space()?;
    cursor.mailbox()
}
