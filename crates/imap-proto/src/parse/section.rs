//! What stands in the brackets of BODY and BINARY, and after them. RFC 9051 §9

use super::cursor::{Cursor, Frame};
use super::error::{ErrorKind, Result};
use crate::types::{HeaderFields, Partial, Section, SectionText};

/// ```text
/// section         = "[" [section-spec] "]"
/// section-spec    = section-msgtext / (section-part ["." section-text])
/// section-text    = section-msgtext / "MIME"
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// ```
pub fn section(cursor: &mut Cursor<'_>) -> Result<Section> {
    cursor.byte(b'[', "[")?;
    let mut section = Section::default();
    let has_text = if matches!(cursor.peek(), Some(b'0'..=b'9')) {
        section.part = part_numbers(cursor)?;
        // The numbers end before a "." that no number follows.
        cursor.eat(b'.')
    } else {
        cursor.peek() != Some(b']')
    };
    if has_text {
        section.text = Some(text(cursor, &section.part)?);
    }
    cursor.byte(b']', "]")?;
    Ok(section)
}

/// A section that is all there is, as in a URL.
pub fn whole(frame: Frame<'_>) -> Result<Section> {
    let mut cursor = Cursor::new(frame);
    let found = section(&mut cursor)?;
    cursor.end()?;
    Ok(found)
}

fn text(cursor: &mut Cursor<'_>, part: &[u32]) -> Result<SectionText> {
    let start = cursor.clone();
    Ok(match cursor.keyword("section")?.as_str() {
        "HEADER" => SectionText::Header,
        "TEXT" => SectionText::Text,
        "HEADER.FIELDS" => SectionText::HeaderFields(header_list(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(header_list(cursor)?),
        // MIME is a part's header; the message has no part around it. RFC 9051 §6.4.5.1
        "MIME" if !part.is_empty() => SectionText::Mime,
        _ => return start.expected("HEADER, HEADER.FIELDS, TEXT or, of a part, MIME"),
    })
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`, each an astring.
fn header_list(cursor: &mut Cursor<'_>) -> Result<HeaderFields> {
    cursor.space()?;
    cursor
        .list1(HeaderFields::NAMES_MAX, "header field", |c| c.astring().map(|n| n.into_owned()))
        .map(HeaderFields)
}

/// `section-binary = "[" [section-part] "]"`
pub fn section_binary(cursor: &mut Cursor<'_>) -> Result<Vec<u32>> {
    cursor.byte(b'[', "[")?;
    let part = match cursor.peek() {
        Some(b']') => Vec::new(),
        _ => part_numbers(cursor)?,
    };
    cursor.byte(b']', "]")?;
    Ok(part)
}

/// `section-part = nz-number *("." nz-number)`
fn part_numbers(cursor: &mut Cursor<'_>) -> Result<Vec<u32>> {
    let mut part = vec![cursor.nz_number()?];
    while matches!(cursor.rest(), [b'.', b'0'..=b'9', ..]) {
        if part.len() >= Section::DEPTH_MAX {
            return cursor.fail(ErrorKind::TooDeep, "part number");
        }
        cursor.eat(b'.');
        part.push(cursor.nz_number()?);
    }
    Ok(part)
}

/// `partial = "<" number64 "." nz-number64 ">"`, if there is one.
pub fn partial(cursor: &mut Cursor<'_>) -> Result<Option<Partial>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let offset = cursor.number64()?;
    cursor.byte(b'.', ". in <offset.length>")?;
    let length = cursor.nz_number64()?;
    cursor.byte(b'>', ">")?;
    Ok(Some(Partial { offset, length }))
}

/// `"<" number64 ">"` of a response, if there is one.
pub fn origin(cursor: &mut Cursor<'_>) -> Result<Option<u64>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let origin = cursor.number64()?;
    cursor.byte(b'>', ">")?;
    Ok(Some(origin))
}
