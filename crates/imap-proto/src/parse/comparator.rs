//! COMPARATOR, the command and its answer. RFC 5255 §4.10

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::ComparatorReply;

/// ```text
/// comparator-cmd    = "COMPARATOR" *(SP comp-order-quoted)
/// comp-order-quoted = astring
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut orders = Vec::new();
    while cursor.space_before_more() {
        if orders.len() >= COMPARATORS_MAX {
            return cursor.fail(ErrorKind::TooMany, "comparators");
        }
        orders.push(name(cursor)?);
    }
    Ok(orders)
}

/// ```text
/// comparator-data = "COMPARATOR" SP comp-sel-quoted
///                   [SP "(" comp-id-quoted *(SP comp-id-quoted) ")"]
/// ```
pub fn reply(cursor: &mut Cursor<'_>) -> Result<ComparatorReply> {
    cursor.space()?;
    let active = name(cursor)?;
    let mut matching = Vec::new();
    if cursor.space_before_more() {
        matching = cursor.list1(COMPARATORS_MAX, "comparator", name)?;
    }
    Ok(ComparatorReply { active, matching })
}

/// An identifier or a pattern for one, or a URI. RFC 4790 §3
fn name(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let name = cursor.astring()?.into_owned();
    let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.is_ascii();
    let name = String::from_utf8(name).ok().filter(|_| is_name);
    name.map_or_else(|| start.fail(ErrorKind::Value, "name of a comparator"), Ok)
}

/// Most comparators in one list: the registry has fewer.
const COMPARATORS_MAX: usize = 64;
/// Longest name. Identifiers have at most 254 octets (RFC 4790 §3.1); as URIs they are longer.
const NAME_BYTES_MAX: usize = 512;
