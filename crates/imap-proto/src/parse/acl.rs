//! SETACL, DELETEACL and LISTRIGHTS, and the responses to the commands of ACL. RFC 4314 §7

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{
    AclEntry, AclReply, ListRightsReply, ModRights, MyRightsReply, RightsMode, SetAcl,
};

/// ```text
/// setacl     = "SETACL" SP mailbox SP identifier SP mod-rights
/// mod-rights = astring
///                ;; +rights to add, -rights to remove
///                ;; rights to replace
/// ```
pub fn set(cursor: &mut Cursor<'_>) -> Result<SetAcl> {
    let AclEntry { mailbox, identifier } = entry(cursor)?;
    cursor.space()?;
    Ok(SetAcl { mailbox, identifier, rights: mod_rights(cursor)? })
}

/// ```text
/// deleteacl  = "DELETEACL" SP mailbox SP identifier
/// listrights = "LISTRIGHTS" SP mailbox SP identifier
/// ```
pub fn entry(cursor: &mut Cursor<'_>) -> Result<AclEntry> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let start = cursor.clone();
    let identifier = identifier(cursor)?;
    // Nothing that is prepared from an empty text would be an identifier. RFC 4314 §3
    if identifier.is_empty() || identifier.len() > SetAcl::IDENTIFIER_BYTES_MAX {
        return start.fail(ErrorKind::Value, "identifier of 1 to 1024 octets");
    }
    Ok(AclEntry { mailbox, identifier })
}

/// `identifier = astring`, in UTF-8. RFC 4314 §2
fn identifier(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let raw = cursor.astring()?.into_owned();
    String::from_utf8(raw).or_else(|_| start.fail(ErrorKind::Value, "identifier in UTF-8"))
}

fn mod_rights(cursor: &mut Cursor<'_>) -> Result<ModRights> {
    let start = cursor.clone();
    let raw = cursor.astring()?;
    let (mode, named) = match raw.split_first() {
        Some((b'+', named)) => (RightsMode::Add, named),
        Some((b'-', named)) => (RightsMode::Remove, named),
        _ => (RightsMode::Set, &*raw),
    };
    Ok(ModRights { mode, rights: checked(named, &start)? })
}

/// ```text
/// rights = astring
///            ;; only lowercase ASCII letters and digits
///            ;; are allowed.
/// ```
fn rights(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    checked(&cursor.astring()?, &start)
}

/// The rights, if they are spelt as rights may be; `start` is where the argument begins.
fn checked(named: &[u8], start: &Cursor<'_>) -> Result<String> {
    if named.len() > SetAcl::RIGHTS_MAX {
        return start.fail(ErrorKind::TooMany, "rights");
    }
    // RFC 2086 had them, and servers gave them meanings of their own. RFC 4314 §2
    if named.iter().any(u8::is_ascii_uppercase) {
        return start.fail(ErrorKind::NotAllowed, "Uppercase rights");
    }
    if !named.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return start.expected("rights: lowercase letters and digits");
    }
    Ok(named.iter().map(|b| char::from(*b)).collect())
}

/// `acl-data = "ACL" SP mailbox *(SP identifier SP rights)`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<AclReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut entries = Vec::new();
    while cursor.space_before_more() {
        if entries.len() >= REPLY_ENTRIES_MAX {
            return cursor.fail(ErrorKind::TooMany, "entries of an ACL");
        }
        let identifier = identifier(cursor)?;
        cursor.space()?;
        entries.push((identifier, rights(cursor)?));
    }
    Ok(AclReply { mailbox, entries })
}

/// `listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)`
pub fn list_reply(cursor: &mut Cursor<'_>) -> Result<ListRightsReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let identifier = identifier(cursor)?;
    cursor.space()?;
    let required = rights(cursor)?;
    let mut optional = Vec::new();
    while cursor.space_before_more() {
        if optional.len() >= SetAcl::RIGHTS_MAX {
            return cursor.fail(ErrorKind::TooMany, "rights");
        }
        optional.push(rights(cursor)?);
    }
    Ok(ListRightsReply { mailbox, identifier, required, optional })
}

/// `myrights-data = "MYRIGHTS" SP mailbox SP rights`
pub fn my_reply(cursor: &mut Cursor<'_>) -> Result<MyRightsReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    Ok(MyRightsReply { mailbox, rights: rights(cursor)? })
}

/// Most entries of an ACL in one response.
const REPLY_ENTRIES_MAX: usize = 65_536;
