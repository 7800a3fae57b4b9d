//! The answer to NAMESPACE. RFC 9051 §7.3.2, RFC 2342 §5

use super::cursor::Cursor;
use super::error::Result;
use super::list::{delimiter, skip_value};
use crate::types::{MailboxArg, NamespaceEntry, NamespaceReply};

/// `Namespace-Response = "NAMESPACE" SP Namespace SP Namespace SP Namespace`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<NamespaceReply> {
    cursor.space()?;
    let personal = namespace(cursor)?;
    cursor.space()?;
    let other_users = namespace(cursor)?;
    cursor.space()?;
    let shared = namespace(cursor)?;
    Ok(NamespaceReply { personal, other_users, shared })
}

/// ```text
/// Namespace       = nil / "(" 1*Namespace-Descr ")"
/// Namespace-Descr = "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil)
///                   *(Namespace-Response-Extension) ")"
/// ```
/// The entries have no space between them.
fn namespace(cursor: &mut Cursor<'_>) -> Result<Vec<NamespaceEntry>> {
    if cursor.eat_word("NIL") {
        return Ok(Vec::new());
    }
    cursor.byte(b'(', "namespaces or NIL")?;
    let mut entries = Vec::new();
    while !cursor.eat(b')') {
        cursor.byte(b'(', "namespace")?;
        let prefix = MailboxArg::from_wire(cursor.string()?.into_owned());
        cursor.space()?;
        let delimiter = delimiter(cursor)?;
        let translation = extensions(cursor)?;
        cursor.byte(b')', ")")?;
        cursor.skip_spaces();
        entries.push(NamespaceEntry { prefix, delimiter, translation });
    }
    Ok(entries)
}

/// ```text
/// Namespace-Response-Extension = SP string SP "(" string *(SP string) ")"
/// namespace-trans              = SP DQUOTE "TRANSLATION" DQUOTE SP "(" string ")"
/// ```
/// of which only the latter is known. RFC 5255 §3.5
fn extensions(cursor: &mut Cursor<'_>) -> Result<Option<MailboxArg>> {
    let mut translation = None;
    while cursor.space_before_more() {
        let name = cursor.string()?;
        cursor.space()?;
        if name.eq_ignore_ascii_case(b"TRANSLATION") {
            let shown = cursor.list1(1, "translation", |cursor| cursor.string())?;
            translation = shown.into_iter().next();
        } else {
            skip_value(cursor, 0)?;
        }
    }
    Ok(translation.map(|shown| MailboxArg::from_wire(shown.into_owned())))
}
