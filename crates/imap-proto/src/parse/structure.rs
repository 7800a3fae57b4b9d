//! BODY and BODYSTRUCTURE. RFC 9051 §7.5.2

use mail_types::{BodyFields, BodyStructure, Disposition, ExtensionFields, Param};

use super::cursor::Cursor;
use super::envelope::envelope;
use super::error::{ErrorKind, Result};
use super::list::skip_value;

/// `body = "(" (body-type-1part / body-type-mpart) ")"`
pub fn structure(cursor: &mut Cursor<'_>) -> Result<BodyStructure> {
    body(cursor, 0)
}

fn body(cursor: &mut Cursor<'_>, depth: usize) -> Result<BodyStructure> {
    if depth >= DEPTH_MAX {
        return cursor.fail(ErrorKind::TooDeep, "body structure");
    }
    cursor.byte(b'(', "( of a body")?;
    let body = match cursor.peek() {
        Some(b'(') => multipart(cursor, depth)?,
        _ => single_part(cursor, depth)?,
    };
    cursor.skip_spaces();
    cursor.byte(b')', ") of a body")?;
    Ok(body)
}

/// ```text
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang
///                   [SP body-fld-loc *(SP body-extension)]]]
/// ```
fn multipart(cursor: &mut Cursor<'_>, depth: usize) -> Result<BodyStructure> {
    let mut parts = Vec::new();
    while cursor.peek() == Some(b'(') {
        parts.push(body(cursor, depth + 1)?);
        // Some servers put spaces between the parts; one stands before the subtype.
        cursor.skip_spaces();
    }
    let subtype = cursor.string()?.into_owned();
    let params = if more(cursor) { params(cursor)? } else { Vec::new() };
    let extension = extension(cursor)?;
    Ok(BodyStructure::Multipart { parts, subtype, params, extension })
}

/// ```text
/// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
/// body-type-basic = media-type SP media-subtype SP body-fields
/// body-type-msg   = "MESSAGE" SP ("RFC822" / "GLOBAL") SP body-fields SP envelope SP body SP
///                   body-fld-lines
/// body-type-text  = "TEXT" SP media-subtype SP body-fields SP body-fld-lines
/// ```
fn single_part(cursor: &mut Cursor<'_>, depth: usize) -> Result<BodyStructure> {
    let kind = cursor.string()?.into_owned();
    cursor.space()?;
    let subtype = cursor.string()?.into_owned();
    cursor.space()?;
    let fields = fields(cursor)?;
    let is_message = kind.eq_ignore_ascii_case(b"message")
        && (subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global"));
    let mut after = cursor.clone();
    let has_more = after.space_before_more();
    // Some servers tell a broken inner message as a basic part: no envelope follows then.
    if is_message && has_more && after.peek() == Some(b'(') {
        cursor.space()?;
        let envelope = Box::new(envelope(cursor)?);
        cursor.space()?;
        let body = Box::new(body(cursor, depth + 1)?);
        cursor.space()?;
        let lines = cursor.number64()?;
        let (md5, extension) = (md5(cursor)?, extension(cursor)?);
        return Ok(BodyStructure::Message {
            subtype,
            fields,
            envelope,
            body,
            lines,
            md5,
            extension,
        });
    }
    if kind.eq_ignore_ascii_case(b"text") {
        cursor.space()?;
        let lines = cursor.number64()?;
        let (md5, extension) = (md5(cursor)?, extension(cursor)?);
        return Ok(BodyStructure::Text { subtype, fields, lines, md5, extension });
    }
    let (md5, extension) = (md5(cursor)?, extension(cursor)?);
    Ok(BodyStructure::Basic { kind, subtype, fields, md5, extension })
}

/// ```text
/// body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP
///               body-fld-octets
/// ```
fn fields(cursor: &mut Cursor<'_>) -> Result<BodyFields> {
    let params = params(cursor)?;
    cursor.space()?;
    let id = text(cursor)?;
    cursor.space()?;
    let description = text(cursor)?;
    cursor.space()?;
    // Not an nstring, but some servers send NIL where the header is missing.
    let encoding = text(cursor)?.unwrap_or_else(|| b"7BIT".to_vec());
    cursor.space()?;
    let octets = cursor.number64()?;
    Ok(BodyFields { params, id, description, encoding, octets })
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn params(cursor: &mut Cursor<'_>) -> Result<Vec<Param>> {
    if cursor.eat_word("NIL") {
        return Ok(Vec::new());
    }
    cursor.list(PARAMS_MAX, "parameters", |cursor| {
        let name = cursor.string()?.into_owned();
        cursor.space()?;
        // Not an nstring either.
        let value = text(cursor)?.unwrap_or_default();
        Ok(Param { name, value })
    })
}

/// `[SP body-fld-md5]`
fn md5(cursor: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    if more(cursor) { text(cursor) } else { Ok(None) }
}

/// `[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]]`
fn extension(cursor: &mut Cursor<'_>) -> Result<ExtensionFields> {
    let mut extension = ExtensionFields::default();
    if !more(cursor) {
        return Ok(extension);
    }
    extension.disposition = disposition(cursor)?;
    if !more(cursor) {
        return Ok(extension);
    }
    extension.language = match cursor.peek() {
        Some(b'(') => {
            cursor.list(PARAMS_MAX, "languages", |c| c.string().map(|tag| tag.into_owned()))?
        }
        _ => text(cursor)?.into_iter().collect(),
    };
    if !more(cursor) {
        return Ok(extension);
    }
    extension.location = text(cursor)?;
    while more(cursor) {
        skip_value(cursor, 0)?;
    }
    Ok(extension)
}

/// `body-fld-dsp = "(" string SP body-fld-param ")" / nil`
fn disposition(cursor: &mut Cursor<'_>) -> Result<Option<Disposition>> {
    if cursor.eat_word("NIL") {
        return Ok(None);
    }
    cursor.byte(b'(', "disposition or NIL")?;
    let kind = cursor.string()?.into_owned();
    cursor.space()?;
    let params = params(cursor)?;
    cursor.byte(b')', ") of a disposition")?;
    Ok(Some(Disposition { kind, params }))
}

/// Reads the space before a further field of this body.
fn more(cursor: &mut Cursor<'_>) -> bool {
    let mut after = cursor.clone();
    let more = after.space_before_more() && after.peek() != Some(b')');
    if more {
        *cursor = after;
    }
    more
}

fn text(cursor: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    Ok(cursor.nstring()?.map(|text| text.into_owned()))
}

/// Deepest nesting that is read: what servers keep is less, and the stack has an end.
const DEPTH_MAX: usize = 128;
/// Most parameters of one header field.
const PARAMS_MAX: usize = 4096;
