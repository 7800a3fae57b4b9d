//! CREATE. RFC 9051 §6.3.4, RFC 6154 §3

use super::cursor::Cursor;
use super::error::Result;
use super::flags::flag;
use crate::types::{Create, UseAttribute};

/// ```text
/// create       = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]
/// create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Create> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut special_use = Vec::new();
    if cursor.space_before_more() {
        cursor.list1(1, "parameter of CREATE", |cursor| {
            if !cursor.eat_word("USE") {
                return cursor.expected("USE");
            }
            cursor.space()?;
            special_use = cursor.list(USES_MAX, "special uses", |cursor| {
                let start = cursor.clone();
                let name = flag(cursor)?;
                if !name.starts_with('\\') {
                    return start.expected("special use");
                }
                Ok(UseAttribute::from_name(&name))
            })?;
            Ok(())
        })?;
    }
    Ok(Create { mailbox, special_use })
}

/// Most special uses in one command; there are eight.
const USES_MAX: usize = 16;
