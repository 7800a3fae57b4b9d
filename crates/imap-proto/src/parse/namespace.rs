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
        // Namespace-Response-Extension = SP string SP "(" string *(SP string) ")"
        while cursor.space_before_more() {
            skip_value(cursor, 0)?;
        }
        cursor.byte(b')', ")")?;
        cursor.skip_spaces();
        entries.push(NamespaceEntry { prefix, delimiter });
    }
    Ok(entries)
}
