//! REPLACE. RFC 8508 §5

use super::append;
use super::cursor::Cursor;
use super::error::Result;
use crate::types::{Numbering, Replace};

/// `replace = "REPLACE" SP seq-number SP mailbox append-message`
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Replace> {
    cursor.space()?;
    let target = cursor.seq_bound()?;
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let message = append::message(cursor)?;
    Ok(Replace { numbering, target, mailbox, message })
}
