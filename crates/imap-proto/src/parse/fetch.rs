//! FETCH, the command and its answers. RFC 9051 §6.4.5, §7.5.2

use mail_types::Uid;

use super::annotate;
use super::cursor::{Cursor, LiteralForm};
use super::envelope::envelope;
use super::error::{ErrorKind, Result};
use super::flags::flag_list;
use super::list::skip_value;
use super::search::partial_range;
use super::section::{origin, partial, section, section_binary};
use super::select::nz_mod_seq;
use super::status::object_id;
use super::structure::structure;
use crate::types::{BodyData, Fetch, FetchAttribute, FetchItem, Literal, Numbering, Peek, Preview};

/// ```text
/// fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
///         "(" fetch-att *(SP fetch-att) ")") [SP "(" fetch-modifier *(SP fetch-modifier) ")"]
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Fetch> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let mut fetch = Fetch {
        numbering,
        set,
        items: Vec::new(),
        changed_since: None,
        vanished: false,
        partial: None,
    };
    if cursor.peek() == Some(b'(') {
        fetch.items = cursor.list1(FetchItem::ITEMS_MAX, "fetch item", item)?;
    } else if let Some(items) = macro_items(cursor) {
        fetch.items = items;
    } else {
        fetch.items = vec![item(cursor)?];
    }
    if cursor.space_before_more() {
        cursor.list1(MODIFIERS_MAX, "modifier of FETCH", |cursor| modifier(cursor, &mut fetch))?;
    }
    Ok(fetch)
}

/// The macros, written out. RFC 9051 §6.4.5
fn macro_items(cursor: &mut Cursor<'_>) -> Option<Vec<FetchItem>> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    if cursor.eat_word("FAST") {
        Some(vec![Flags, InternalDate, Rfc822Size])
    } else if cursor.eat_word("ALL") {
        Some(vec![Flags, InternalDate, Rfc822Size, Envelope])
    } else if cursor.eat_word("FULL") {
        Some(vec![Flags, InternalDate, Rfc822Size, Envelope, Body])
    } else {
        None
    }
}

/// ```text
/// fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" /
///                  "PARTIAL" SP partial-range
/// ```
///
/// RFC 7162 §7, RFC 9394 §4
fn modifier(cursor: &mut Cursor<'_>, fetch: &mut Fetch) -> Result<()> {
    let start = cursor.clone();
    match cursor.keyword("modifier of FETCH")?.as_str() {
        "CHANGEDSINCE" if fetch.changed_since.is_none() => {
            cursor.space()?;
            fetch.changed_since = Some(nz_mod_seq(cursor)?);
        }
        "VANISHED" => fetch.vanished = true,
        "PARTIAL" if fetch.partial.is_none() => {
            cursor.space()?;
            fetch.partial = Some(partial_range(cursor)?);
        }
        _ => return start.expected("one CHANGEDSINCE, VANISHED or PARTIAL"),
    }
    Ok(())
}

/// ```text
/// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822.SIZE" / "BODY" ["STRUCTURE"] /
///             "UID" / "BODY" [".PEEK"] section [partial] /
///             "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary /
///             "RFC822" [".HEADER" / ".TEXT"] / "MODSEQ" / "EMAILID" / "THREADID" /
///             "SAVEDATE" / "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"] /
///             "ANNOTATION" SP "(" entries SP attribs ")"
/// ```
pub fn item(cursor: &mut Cursor<'_>) -> Result<FetchItem> {
    let start = cursor.clone();
    let name = cursor.keyword("fetch item")?;
    Ok(match name.as_str() {
        "UID" => FetchItem::Uid,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "ENVELOPE" => FetchItem::Envelope,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "BODY" if cursor.peek() != Some(b'[') => FetchItem::Body,
        "BODY" | "BODY.PEEK" => {
            let section = section(cursor)?;
            FetchItem::Section { section, partial: partial(cursor)?, peek: peek(&name) }
        }
        "BINARY" | "BINARY.PEEK" => {
            let part = section_binary(cursor)?;
            FetchItem::Binary { part, partial: partial(cursor)?, peek: peek(&name) }
        }
        "BINARY.SIZE" => FetchItem::BinarySize { part: section_binary(cursor)? },
        "RFC822" | "RFC822.PEEK" => FetchItem::Rfc822(peek(&name)),
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" | "RFC822.TEXT.PEEK" => FetchItem::Rfc822Text(peek(&name)),
        "MODSEQ" => FetchItem::ModSeq,
        "EMAILID" => FetchItem::EmailId,
        "THREADID" => FetchItem::ThreadId,
        "SAVEDATE" => FetchItem::SaveDate,
        "PREVIEW" => FetchItem::Preview(preview(cursor)?),
        "ANNOTATION" => FetchItem::Annotation(annotate::item(cursor)?),
        _ => return start.expected("known fetch item"),
    })
}

fn peek(name: &str) -> Peek {
    if name.ends_with(".PEEK") { Peek::Peek } else { Peek::SetSeen }
}

/// `[SP "(" "LAZY" *(SP "LAZY") ")"]`. A modifier of FETCH in the same place is left alone: inside
/// a list of items none can stand, and after a single item only LAZY is one of PREVIEW.
fn preview(cursor: &mut Cursor<'_>) -> Result<Preview> {
    let before = cursor.clone();
    if !cursor.space_before_more() || cursor.peek() != Some(b'(') {
        *cursor = before;
        return Ok(Preview::Full);
    }
    let mut inside = cursor.clone();
    inside.eat(b'(');
    inside.skip_spaces();
    if ["CHANGEDSINCE", "VANISHED", "PARTIAL"].into_iter().any(|word| inside.eat_word(word)) {
        *cursor = before;
        return Ok(Preview::Full);
    }
    cursor.list1(MODIFIERS_MAX, "modifier of PREVIEW", |cursor| {
        if cursor.eat_word("LAZY") { Ok(()) } else { cursor.expected("LAZY") }
    })?;
    Ok(Preview::Lazy)
}

/// `msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP …) ")"`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<Vec<FetchAttribute>> {
    cursor.space()?;
    let attributes = cursor.list(FetchItem::ITEMS_MAX, "fetch items", attribute)?;
    Ok(attributes.into_iter().flatten().collect())
}

/// One item; `None` if it is not known, as those of other servers' extensions.
fn attribute(cursor: &mut Cursor<'_>) -> Result<Option<FetchAttribute>> {
    let start = cursor.clone();
    let name = cursor.keyword("fetch item")?;
    let bracket = cursor.peek() == Some(b'[');
    Ok(Some(match name.as_str() {
        "BODY" if bracket => {
            let section = section(cursor)?;
            let origin = origin(cursor)?;
            cursor.space()?;
            FetchAttribute::Section { section, origin, data: body_data(cursor)? }
        }
        "BINARY" if bracket => {
            let part = section_binary(cursor)?;
            let origin = origin(cursor)?;
            cursor.space()?;
            FetchAttribute::Binary { part, origin, data: body_data(cursor)? }
        }
        "BINARY.SIZE" if bracket => {
            let part = section_binary(cursor)?;
            cursor.space()?;
            FetchAttribute::BinarySize { part, size: cursor.number64()? }
        }
        _ => {
            cursor.space()?;
            let known = plain_attribute(&name, cursor, &start)?;
            if known.is_none() {
                skip_value(cursor, 0)?;
            }
            return Ok(known);
        }
    }))
}

/// ```text
/// msg-att-dynamic = "FLAGS" SP "(" [flag-fetch *(SP flag-fetch)] ")" / "MODSEQ" SP "(" … ")" /
///                   "PREVIEW" SP nstring
/// msg-att-static  = "ENVELOPE" SP envelope / "INTERNALDATE" SP date-time /
///                   "RFC822.SIZE" SP number64 / "BODY" ["STRUCTURE"] SP body /
///                   "RFC822" [".HEADER" / ".TEXT"] SP nstring / "UID" SP uniqueid /
///                   "EMAILID" SP "(" objectid ")" / "THREADID" SP ("(" objectid ")" / nil) /
///                   "SAVEDATE" SP (date-time / nil)
/// ```
fn plain_attribute(
    name: &str,
    cursor: &mut Cursor<'_>,
    start: &Cursor<'_>,
) -> Result<Option<FetchAttribute>> {
    Ok(Some(match name {
        "UID" => match Uid::new(cursor.nz_number()?) {
            Some(uid) => FetchAttribute::Uid(uid),
            None => return start.fail(ErrorKind::Value, "UID"),
        },
        "FLAGS" => FetchAttribute::Flags(flag_list(cursor)?),
        "ANNOTATION" => FetchAttribute::Annotation(annotate::data(cursor)?),
        "INTERNALDATE" => FetchAttribute::InternalDate(cursor.date_time()?),
        "RFC822.SIZE" => FetchAttribute::Rfc822Size(cursor.number64()?),
        "ENVELOPE" => FetchAttribute::Envelope(Box::new(envelope(cursor)?)),
        "BODY" => FetchAttribute::Body(Box::new(structure(cursor)?)),
        "BODYSTRUCTURE" => FetchAttribute::BodyStructure(Box::new(structure(cursor)?)),
        "RFC822" => FetchAttribute::Rfc822(body_data(cursor)?),
        "RFC822.HEADER" => FetchAttribute::Rfc822Header(body_data(cursor)?),
        "RFC822.TEXT" => FetchAttribute::Rfc822Text(body_data(cursor)?),
        "MODSEQ" => {
            let values = cursor.list1(1, "modseq", nz_mod_seq)?;
            match values.first() {
                Some(value) => FetchAttribute::ModSeq(*value),
                None => return start.expected("modseq"),
            }
        }
        "EMAILID" => FetchAttribute::EmailId(object_id(cursor)?),
        "THREADID" => FetchAttribute::ThreadId(match cursor.eat_word("NIL") {
            true => None,
            false => Some(object_id(cursor)?),
        }),
        "SAVEDATE" => FetchAttribute::SaveDate(match cursor.eat_word("NIL") {
            true => None,
            false => Some(cursor.date_time()?),
        }),
        "PREVIEW" => {
            let text = cursor.nstring()?;
            FetchAttribute::Preview(text.map(|t| String::from_utf8_lossy(&t).into_owned()))
        }
        _ => return Ok(None),
    }))
}

/// `nstring / literal8`
pub fn body_data(cursor: &mut Cursor<'_>) -> Result<BodyData> {
    if cursor.eat_word("NIL") {
        return Ok(BodyData::Nil);
    }
    if cursor.peek() == Some(b'"') {
        return Ok(BodyData::Bytes(cursor.quoted()?.into_owned()));
    }
    // A NUL in a message is no reason to lose the message, whatever the form.
    let (LiteralForm::Plain | LiteralForm::Binary, literal) = cursor.literal()?;
    Ok(match literal {
        Literal::Inline(octets) => BodyData::Bytes(octets),
        Literal::Streamed { index, size } => BodyData::Streamed { index, size },
    })
}

/// There are three modifiers; the limit only bounds the loop.
const MODIFIERS_MAX: usize = 8;
