//! UIDBATCHES, the command and its answer. RFC 10022

use mail_types::Uid;

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{UidBatches, UidBatchesReply};

/// ```text
/// message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<UidBatches> {
    cursor.space()?;
    let size = cursor.nz_number()?;
    let mut range = None;
    if cursor.space_before_more() {
        let first = cursor.nz_number()?;
        cursor.byte(b':', ": of a range")?;
        range = Some((first, cursor.nz_number()?));
    }
    Ok(UidBatches { size, range })
}

/// `"UIDBATCHES" SP "(" "TAG" SP tag-string ")" [SP uid-range *("," uid-range)]`, each range from
/// its higher end to its lower one.
pub fn reply(cursor: &mut Cursor<'_>) -> Result<UidBatchesReply> {
    cursor.space()?;
    cursor.byte(b'(', "( of a correlator")?;
    if !cursor.eat_word("TAG") {
        return cursor.expected("TAG");
    }
    cursor.space()?;
    let tag = String::from_utf8_lossy(&cursor.astring()?).into_owned();
    cursor.byte(b')', ") of a correlator")?;
    let mut batches = Vec::new();
    if cursor.space_before_more() {
        batches.push(batch(cursor)?);
        while cursor.eat(b',') {
            batches.push(batch(cursor)?);
        }
    }
    Ok(UidBatchesReply { tag, batches })
}

fn batch(cursor: &mut Cursor<'_>) -> Result<(Uid, Uid)> {
    let uid = |cursor: &mut Cursor<'_>| {
        let start = cursor.clone();
        Uid::new(cursor.nz_number()?).map_or_else(|| start.fail(ErrorKind::Value, "UID"), Ok)
    };
    let high = uid(cursor)?;
    cursor.byte(b':', ": of a range")?;
    Ok((high, uid(cursor)?))
}
