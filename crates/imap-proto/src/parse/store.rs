//! STORE. RFC 9051 §6.4.6, RFC 7162 §3.1.3, RFC 5257 §4.5

use super::annotate;
use super::cursor::Cursor;
use super::error::Result;
use super::flags::{bare_flags, flag_list};
use super::select::mod_seq;
use crate::types::{CommandBody, Numbering, Store, StoreAction, StoreReply};

/// ```text
/// store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
/// store-modifiers = SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"
/// store-att-flags = att-annotate /
///                   (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<CommandBody> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        cursor.list1(1, "modifier of STORE", |cursor| {
            if !cursor.eat_word("UNCHANGEDSINCE") {
                return cursor.expected("UNCHANGEDSINCE");
            }
            cursor.space()?;
            unchanged_since = Some(mod_seq(cursor)?);
            Ok(())
        })?;
        cursor.space()?;
    }
    if cursor.eat_word("ANNOTATION") {
        let store = annotate::store(cursor, (numbering, set), unchanged_since)?;
        return Ok(CommandBody::StoreAnnotation(store));
    }
    let action = if cursor.eat(b'+') {
        StoreAction::Add
    } else if cursor.eat(b'-') {
        StoreAction::Remove
    } else {
        StoreAction::Replace
    };
    let reply = if cursor.eat_word("FLAGS") {
        StoreReply::Flags
    } else if cursor.eat_word("FLAGS.SILENT") {
        StoreReply::Silent
    } else {
        return cursor.expected("FLAGS, FLAGS.SILENT or ANNOTATION");
    };
    cursor.space()?;
    let flags = match cursor.peek() {
        Some(b'(') => flag_list(cursor)?,
        _ => bare_flags(cursor)?,
    };
    Ok(CommandBody::Store(Store { numbering, set, unchanged_since, action, reply, flags }))
}
