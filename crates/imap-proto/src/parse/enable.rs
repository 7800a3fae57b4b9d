//! ENABLE, and the lists of capabilities. RFC 9051 §6.3.1, §7.2.1, §7.2.2

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::Capability;

/// `enable = "ENABLE" 1*(SP capability)`
pub fn command(cursor: &mut Cursor<'_>) -> Result<Vec<Capability>> {
    let start = cursor.clone();
    let names = capabilities(cursor)?;
    if names.is_empty() { start.expected("capability") } else { Ok(names) }
}

/// `*(SP capability)`, where `capability = ("AUTH=" auth-type) / atom`.
pub fn capabilities(cursor: &mut Cursor<'_>) -> Result<Vec<Capability>> {
    let mut names = Vec::new();
    while cursor.space_before_more() {
        if names.len() >= CAPABILITIES_MAX {
            return cursor.fail(ErrorKind::TooMany, "capabilities");
        }
        names.push(cursor.atom("capability")?.to_owned().into());
    }
    Ok(names)
}

/// Most capabilities in one list; the registry has about eighty.
const CAPABILITIES_MAX: usize = 512;
