//! GETQUOTA, GETQUOTAROOT and SETQUOTA, and their responses. RFC 9208 §7

use super::cursor::Cursor;
use super::error::Result;
use crate::types::{QuotaReply, QuotaResource, QuotaRootName, QuotaRootReply, SetQuota};

/// `getquota = "GETQUOTA" SP quota-root-name`
pub fn get(cursor: &mut Cursor<'_>) -> Result<QuotaRootName> {
    cursor.space()?;
    root(cursor)
}

/// `quota-root-name = astring`
fn root(cursor: &mut Cursor<'_>) -> Result<QuotaRootName> {
    cursor.astring().map(std::borrow::Cow::into_owned)
}

/// ```text
/// setquota          = "SETQUOTA" SP quota-root-name SP setquota-list
/// setquota-list     = "(" [setquota-resource *(SP setquota-resource)] ")"
/// setquota-resource = resource-name SP resource-limit
/// ```
pub fn set(cursor: &mut Cursor<'_>) -> Result<SetQuota> {
    cursor.space()?;
    let root = root(cursor)?;
    cursor.space()?;
    let limits = cursor.list(SetQuota::RESOURCES_MAX, "resources", |cursor| {
        let name = name(cursor)?;
        cursor.space()?;
        Ok((name, cursor.number64()?))
    })?;
    Ok(SetQuota { root, limits })
}

/// `resource-name = "STORAGE" / "MESSAGE" / "MAILBOX" / "ANNOTATION-STORAGE" / atom`
fn name(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.atom("name of a resource").map(str::to_ascii_uppercase)
}

/// ```text
/// quota-response = "QUOTA" SP quota-root-name SP quota-list
/// quota-resource = resource-name SP resource-usage SP resource-limit
/// ```
/// The list may be empty: then there is no limit. RFC 9208 §4.2.1
pub fn reply(cursor: &mut Cursor<'_>) -> Result<QuotaReply> {
    cursor.space()?;
    let root = root(cursor)?;
    cursor.space()?;
    let resources = cursor.list(SetQuota::RESOURCES_MAX, "resources", |cursor| {
        let name = name(cursor)?;
        cursor.space()?;
        let usage = cursor.number64()?;
        cursor.space()?;
        Ok(QuotaResource { name, usage, limit: cursor.number64()? })
    })?;
    Ok(QuotaReply { root, resources })
}

/// `quotaroot-response = "QUOTAROOT" SP mailbox *(SP quota-root-name)`
pub fn root_reply(cursor: &mut Cursor<'_>) -> Result<QuotaRootReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut roots = Vec::new();
    while cursor.space_before_more() {
        if roots.len() >= ROOTS_MAX {
            return cursor.fail(super::ErrorKind::TooMany, "quota roots");
        }
        roots.push(root(cursor)?);
    }
    Ok(QuotaRootReply { mailbox, roots })
}

/// Most quota roots of one mailbox.
const ROOTS_MAX: usize = 1024;
