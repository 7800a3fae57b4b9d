//! LIST and LSUB, the commands and their answers. RFC 9051 §6.3.9, RFC 5258, RFC 3501 §6.3.9

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use super::flags::flag;
use super::metadata::entries_in_list;
use super::status::items;
use crate::types::{
    List, ListAttribute, ListPattern, ListReply, ListReturn, ListSelection, Lsub, MailboxArg,
};

/// ```text
/// list        = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat
///               [SP "RETURN" SP "(" [list-return-opt *(SP list-return-opt)] ")"]
/// mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")"
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<List> {
    cursor.space()?;
    let mut list = List::default();
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.selection = selection(cursor)?;
        cursor.space()?;
    }
    list.reference = reference(cursor)?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = cursor.list1(List::PATTERNS_MAX, "pattern", pattern)?;
    } else {
        list.patterns = vec![pattern(cursor)?];
    }
    if cursor.space_before_more() {
        if !cursor.eat_word("RETURN") {
            return cursor.expected("RETURN");
        }
        cursor.space()?;
        list.extended = true;
        list.returns = returns(cursor)?;
    }
    Ok(list)
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`, and XLIST, which has the same arguments.
pub fn lsub(cursor: &mut Cursor<'_>) -> Result<Lsub> {
    cursor.space()?;
    let reference = reference(cursor)?;
    cursor.space()?;
    let pattern = pattern(cursor)?;
    Ok(Lsub { reference, pattern })
}

/// The reference is a `mailbox`; some clients put a pattern there, which a server may take as it
/// would in the other place.
fn reference(cursor: &mut Cursor<'_>) -> Result<MailboxArg> {
    cursor.list_mailbox().map(|raw| MailboxArg::from_wire(raw.into_owned()))
}

fn pattern(cursor: &mut Cursor<'_>) -> Result<ListPattern> {
    cursor.list_mailbox().map(|raw| ListPattern::from_wire(raw.into_owned()))
}

/// ```text
/// list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"
/// list-select-opt  = "SUBSCRIBED" / "REMOTE" / "SPECIAL-USE" / "RECURSIVEMATCH"
/// ```
fn selection(cursor: &mut Cursor<'_>) -> Result<ListSelection> {
    let begin = cursor.clone();
    let mut selection = ListSelection::default();
    cursor.list(OPTIONS_MAX, "selection options", |cursor| {
        let start = cursor.clone();
        match cursor.keyword("selection option")?.as_str() {
            "SUBSCRIBED" => selection.subscribed = true,
            "REMOTE" => selection.remote = true,
            "SPECIAL-USE" => selection.special_use = true,
            "RECURSIVEMATCH" => selection.recursive_match = true,
            // What is not known must be refused. RFC 5258 §3
            _ => return start.expected("known selection option"),
        }
        Ok(())
    })?;
    // RECURSIVEMATCH modifies another option, and REMOTE is none. RFC 5258 §3.1
    if selection.recursive_match && !selection.subscribed {
        return begin.expected("SUBSCRIBED with RECURSIVEMATCH");
    }
    Ok(selection)
}

/// ```text
/// list-return-opt = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "MYRIGHTS" /
///                   "STATUS" SP "(" … ")" / "METADATA" SP "(" entry *(SP entry) ")"
/// ```
fn returns(cursor: &mut Cursor<'_>) -> Result<ListReturn> {
    let mut returns = ListReturn::default();
    cursor.list(OPTIONS_MAX, "return options", |cursor| {
        let start = cursor.clone();
        match cursor.keyword("return option")?.as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "MYRIGHTS" => returns.my_rights = true,
            "STATUS" => {
                cursor.space()?;
                returns.status = items(cursor)?;
            }
            "METADATA" => {
                cursor.space()?;
                returns.metadata = entries_in_list(cursor)?;
            }
            _ => return start.expected("known return option"),
        }
        Ok(())
    })?;
    Ok(returns)
}

/// ```text
/// mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
///                [SP "(" [mbox-list-extended-item *(SP mbox-list-extended-item)] ")"]
/// ```
pub fn reply(cursor: &mut Cursor<'_>) -> Result<ListReply> {
    cursor.space()?;
    let attributes = cursor.list(OPTIONS_MAX, "attributes", |cursor| {
        flag(cursor).map(|name| ListAttribute::from_name(&name))
    })?;
    cursor.space()?;
    let delimiter = delimiter(cursor)?;
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut reply =
        ListReply { attributes, delimiter, mailbox, child_info: Vec::new(), old_name: None };
    if cursor.space_before_more() {
        cursor.list(OPTIONS_MAX, "extended items", |cursor| extended_item(cursor, &mut reply))?;
    }
    Ok(reply)
}

/// `DQUOTE QUOTED-CHAR DQUOTE / nil`
pub fn delimiter(cursor: &mut Cursor<'_>) -> Result<Option<char>> {
    if cursor.eat_word("NIL") {
        return Ok(None);
    }
    let start = cursor.clone();
    let quoted = cursor.quoted()?;
    let mut chars = std::str::from_utf8(&quoted).unwrap_or_default().chars();
    match (chars.next(), chars.next()) {
        (Some(delimiter), None) => Ok(Some(delimiter)),
        _ => start.expected("one character in quotes"),
    }
}

/// ```text
/// mbox-list-extended-item = astring SP tagged-ext-val
/// childinfo-extended-item = "CHILDINFO" SP "(" DQUOTE … DQUOTE *(SP DQUOTE … DQUOTE) ")"
/// oldname-extended-item   = "OLDNAME" SP "(" mailbox ")"
/// ```
fn extended_item(cursor: &mut Cursor<'_>, reply: &mut ListReply) -> Result<()> {
    let tag = cursor.astring()?.to_ascii_uppercase();
    cursor.space()?;
    match tag.as_slice() {
        b"CHILDINFO" => {
            reply.child_info = cursor.list(OPTIONS_MAX, "selection options", |cursor| {
                let option = cursor.astring()?;
                Ok(String::from_utf8_lossy(&option).into_owned())
            })?;
        }
        b"OLDNAME" => {
            let names = cursor.list1(1, "old name", Cursor::mailbox)?;
            reply.old_name = names.into_iter().next();
        }
        _ => skip_value(cursor, 0)?,
    }
    Ok(())
}

/// ```text
/// tagged-ext-val  = sequence-set / number / "(" [tagged-ext-comp] ")"
/// tagged-ext-comp = astring / tagged-ext-comp *(SP tagged-ext-comp) / "(" tagged-ext-comp ")"
/// ```
/// Values of items that are not known are read over.
pub fn skip_value(cursor: &mut Cursor<'_>, depth: usize) -> Result<()> {
    match cursor.peek() {
        Some(b'(') if depth >= VALUE_DEPTH_MAX => cursor.fail(ErrorKind::TooDeep, "value"),
        Some(b'(') => {
            cursor.list(VALUES_MAX, "values", |cursor| skip_value(cursor, depth + 1)).map(|_| ())
        }
        Some(b'"' | b'{') => cursor.string().map(|_| ()),
        Some(b'*' | b'\\') => {
            cursor.eat(b'\\');
            cursor.eat(b'*');
            // A sequence set or a flag goes on here; neither has to.
            cursor.take_while(crate::chars::is_list_char);
            Ok(())
        }
        _ => {
            let run = cursor.take_while(|b| crate::chars::is_list_char(b) || b >= 0x80);
            if run.is_empty() { cursor.expected("value") } else { Ok(()) }
        }
    }
}

/// Most options or attributes; there are about a dozen of each.
const OPTIONS_MAX: usize = 64;
/// Deepest nesting of a value that is not known.
const VALUE_DEPTH_MAX: usize = 32;
/// Most parts of a value that is not known.
const VALUES_MAX: usize = 65_536;
