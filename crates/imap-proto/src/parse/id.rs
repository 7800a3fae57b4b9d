//! ID, the command and its answer. RFC 2971 §3

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::IdParams;

/// ```text
/// id             = "ID" SP id-params-list
/// id-params-list = "(" #(string SP nstring) ")" / nil
/// ```
/// Atoms are taken for strings; some clients send them.
pub fn command(cursor: &mut Cursor<'_>) -> Result<Option<IdParams>> {
    cursor.space()?;
    params(cursor)
}

/// `id-params-list`
pub fn params(cursor: &mut Cursor<'_>) -> Result<Option<IdParams>> {
    if cursor.eat_word("NIL") {
        return Ok(None);
    }
    let pairs = cursor.list(PAIRS_MAX, "pairs of ID", |cursor| {
        let start = cursor.clone();
        let field = cursor.astring()?.into_owned();
        cursor.space()?;
        let value = match cursor.eat_word("NIL") {
            true => None,
            false => Some(cursor.astring()?.into_owned()),
        };
        if field.len() > FIELD_BYTES_MAX
            || value.as_ref().is_some_and(|v| v.len() > VALUE_BYTES_MAX)
        {
            return start.fail(ErrorKind::TooMany, "octets in a pair of ID");
        }
        Ok((field, value))
    })?;
    Ok(Some(pairs))
}

/// Most pairs: the RFC's own limit is 30; a few more are let pass. RFC 2971 §3.3
const PAIRS_MAX: usize = 64;
/// Longest field name, RFC 2971 §3.3; a server's own fields may be longer.
const FIELD_BYTES_MAX: usize = 128;
/// Longest value. RFC 2971 §3.3
const VALUE_BYTES_MAX: usize = 1024;
