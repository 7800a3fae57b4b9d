//! Flags and lists of them.

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::FlagList;

/// `flag-list = "(" [flag *(SP flag)] ")"`, and `flag-perm` among them in a response.
pub fn flag_list(cursor: &mut Cursor<'_>) -> Result<FlagList> {
    let mut flags = FlagList::default();
    cursor.list(FlagList::ITEMS_MAX, "flags", |cursor| {
        let name = flag(cursor)?;
        flags.add(&name);
        Ok(())
    })?;
    Ok(flags)
}

/// `flag *(SP flag)`, as STORE may name them.
pub fn bare_flags(cursor: &mut Cursor<'_>) -> Result<FlagList> {
    let mut flags = FlagList::default();
    flags.add(&flag(cursor)?);
    let mut count = 1;
    while cursor.space_before_more() {
        if count >= FlagList::ITEMS_MAX {
            return cursor.fail(ErrorKind::TooMany, "flags");
        }
        flags.add(&flag(cursor)?);
        count += 1;
    }
    Ok(flags)
}

/// ```text
/// flag      = "\Answered" / … / flag-keyword / flag-extension
/// flag-perm = flag / "\*"
/// ```
pub fn flag(cursor: &mut Cursor<'_>) -> Result<String> {
    if !cursor.eat(b'\\') {
        return cursor.atom("flag").map(str::to_owned);
    }
    if cursor.eat(b'*') {
        return Ok("\\*".to_owned());
    }
    Ok(format!("\\{}", cursor.atom("name of a flag")?))
}
