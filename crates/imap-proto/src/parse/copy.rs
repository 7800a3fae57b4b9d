//! COPY and MOVE. RFC 9051 §6.4.7, §6.4.8

use super::cursor::Cursor;
use super::error::Result;
use crate::types::{CopyMove, Numbering};

/// ```text
/// copy = "COPY" SP sequence-set SP mailbox
/// move = "MOVE" SP sequence-set SP mailbox
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<CopyMove> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    Ok(CopyMove { numbering, set, mailbox })
}
