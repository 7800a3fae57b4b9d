//! Annotations of messages. RFC 5257 §5

use mail_types::{AnnotationName, AnnotationScope, ModSeq};

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{
    AnnotationData, AnnotationEntry, AnnotationItem, AnnotationKey, AnnotationPart,
    AnnotationSetting, AnnotationSupport, Numbering, SequenceSet, StoreAnnotation,
};

/// ```text
/// fetch-att =/ "ANNOTATION" SP "(" entries SP attribs ")"
/// entries   = entry-match / "(" entry-match *(SP entry-match) ")"
/// attribs   = attrib / "(" attrib *(SP attrib) ")"
/// ```
/// The cursor stands behind the word.
pub fn item(cursor: &mut Cursor<'_>) -> Result<AnnotationItem> {
    cursor.space()?;
    cursor.byte(b'(', "( of ANNOTATION")?;
    cursor.skip_spaces();
    let entries = match cursor.peek() {
        Some(b'(') => cursor.list1(AnnotationItem::ENTRIES_MAX, "entry", entry_match)?,
        _ => vec![entry_match(cursor)?],
    };
    cursor.space()?;
    let attributes = match cursor.peek() {
        Some(b'(') => cursor.list1(AnnotationItem::ATTRIBUTES_MAX, "attribute", attribute)?,
        _ => vec![attribute(cursor)?],
    };
    cursor.skip_spaces();
    cursor.byte(b')', ") of ANNOTATION")?;
    Ok(AnnotationItem { entries, attributes })
}

/// `entry-match = list-mailbox`; without a wildcard it has to be a name. RFC 5257 §3.2
fn entry_match(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let raw = cursor.list_mailbox()?;
    let text = String::from_utf8(raw.into_owned()).ok().filter(|text| is_entry_match(text));
    text.map_or_else(|| start.fail(ErrorKind::Value, "name of an annotation, or a pattern"), Ok)
}

fn is_entry_match(text: &str) -> bool {
    if !text.contains(['*', '%']) {
        return AnnotationName::new(text).is_ok();
    }
    text.len() <= AnnotationName::BYTES_MAX
        && text.bytes().all(|b| b.is_ascii() && b != 0)
        && !text.contains("//")
        && !text.ends_with('/')
}

/// `attrib = astring`: what is neither `value` nor `size` does not exist. RFC 5257 §3.2.2
fn attribute(cursor: &mut Cursor<'_>) -> Result<(AnnotationPart, Option<AnnotationScope>)> {
    let start = cursor.clone();
    let raw = cursor.astring()?;
    let known = ATTRIBUTES.iter().find(|(name, ..)| name.as_bytes() == &*raw);
    match known {
        Some((_, part, scope)) => Ok((*part, *scope)),
        None => start.fail(ErrorKind::Value, "attribute of an annotation"),
    }
}

/// `entry = astring`
fn entry(cursor: &mut Cursor<'_>) -> Result<AnnotationName> {
    let start = cursor.clone();
    let raw = cursor.astring()?;
    let name = std::str::from_utf8(&raw).ok().and_then(|text| AnnotationName::new(text).ok());
    name.map_or_else(|| start.fail(ErrorKind::Value, "name of an annotation"), Ok)
}

/// ```text
/// att-annotate = "ANNOTATION" SP "(" entry-att *(SP entry-att) ")"
/// entry-att    = entry SP "(" att-value *(SP att-value) ")"
/// att-value    = attrib SP value
/// value        = nstring / literal8
/// ```
/// The cursor stands behind the word. Only values with a suffix can be set. RFC 5257 §3.2.2
pub fn settings(cursor: &mut Cursor<'_>) -> Result<Vec<AnnotationSetting>> {
    cursor.space()?;
    let settings = cursor.list1(AnnotationSetting::ENTRIES_MAX, "entry with values", |cursor| {
        let entry = entry(cursor)?;
        cursor.space()?;
        cursor.list1(AnnotationItem::ATTRIBUTES_MAX, "value", |cursor| {
            let start = cursor.clone();
            let (AnnotationPart::Value, Some(scope)) = attribute(cursor)? else {
                return start.fail(ErrorKind::Value, "value.priv or value.shared");
            };
            cursor.space()?;
            let value = cursor.nstring()?.map(std::borrow::Cow::into_owned);
            Ok(AnnotationSetting { entry: entry.clone(), scope, value })
        })
    })?;
    Ok(settings.into_iter().flatten().collect())
}

/// `store-att-flags =/ att-annotate`
pub fn store(
    cursor: &mut Cursor<'_>,
    (numbering, set): (Numbering, SequenceSet),
    unchanged_since: Option<ModSeq>,
) -> Result<StoreAnnotation> {
    Ok(StoreAnnotation { numbering, set, unchanged_since, settings: settings(cursor)? })
}

/// `search-key =/ "ANNOTATION" SP entry-match SP att-search SP value`, from the entry on.
///
/// The text may be an atom, too, as in every other key.
pub fn key(cursor: &mut Cursor<'_>) -> Result<AnnotationKey> {
    let entry = entry_match(cursor)?;
    cursor.space()?;
    let start = cursor.clone();
    let (AnnotationPart::Value, scope) = attribute(cursor)? else {
        return start.fail(ErrorKind::Value, "value, value.priv or value.shared");
    };
    cursor.space()?;
    let text = match cursor.eat_word("NIL") {
        true => None,
        false => Some(cursor.astring()?.into_owned()),
    };
    Ok(AnnotationKey { entry, scope, text })
}

/// `sort-key =/ "ANNOTATION" SP entry SP att-sort`. The cursor stands behind the word.
pub fn sort_key(cursor: &mut Cursor<'_>) -> Result<(AnnotationName, AnnotationScope)> {
    cursor.space()?;
    let entry = entry(cursor)?;
    cursor.space()?;
    let start = cursor.clone();
    match attribute(cursor)? {
        (AnnotationPart::Value, Some(scope)) => Ok((entry, scope)),
        _ => start.fail(ErrorKind::Value, "value.priv or value.shared"),
    }
}

/// ```text
/// msg-att-dynamic =/ "ANNOTATION" SP ("(" entry-att *(SP entry-att) ")" /
///                                     "(" entry *(SP entry) ")")
/// ```
/// From the list on. Attributes that are not known here are passed over.
pub fn data(cursor: &mut Cursor<'_>) -> Result<AnnotationData> {
    let (mut values, mut changed) = (Vec::new(), Vec::new());
    cursor.list1(REPLY_ENTRIES_MAX, "entry", |cursor| {
        let name = entry(cursor)?;
        if cursor.rest().trim_ascii_start().first() != Some(&b'(') {
            changed.push(name);
            return Ok(());
        }
        cursor.space()?;
        let attributes = cursor.list1(AnnotationItem::ATTRIBUTES_MAX, "value", |cursor| {
            let attribute = attribute(&mut cursor.clone()).ok();
            cursor.astring()?;
            cursor.space()?;
            let value = cursor.nstring()?.map(std::borrow::Cow::into_owned);
            Ok(attribute.and_then(|(part, scope)| Some((part, scope?, value))))
        })?;
        let attributes = attributes.into_iter().flatten().collect();
        values.push(AnnotationEntry { name, attributes });
        Ok(())
    })?;
    if values.is_empty() {
        return Ok(AnnotationData::Changed(changed));
    }
    Ok(AnnotationData::Values(values))
}

/// ```text
/// ann-size = "NONE" / (("READ-ONLY" / nz-number) [SP "NOPRIVATE"])
/// ```
pub fn support(cursor: &mut Cursor<'_>) -> Result<AnnotationSupport> {
    if cursor.eat_word("NONE") {
        return Ok(AnnotationSupport::None);
    }
    let value_bytes_max = match cursor.eat_word("READ-ONLY") {
        true => None,
        false => Some(cursor.nz_number()?),
    };
    let before = cursor.clone();
    let no_private = cursor.space_before_more() && cursor.eat_word("NOPRIVATE");
    if !no_private {
        *cursor = before;
    }
    Ok(match value_bytes_max {
        None => AnnotationSupport::ReadOnly { no_private },
        Some(value_bytes_max) => AnnotationSupport::Writable { value_bytes_max, no_private },
    })
}

/// The attributes there are, in the one spelling that they have: letter case counts.
/// RFC 5257 §3.2
pub const ATTRIBUTES: [(&str, AnnotationPart, Option<AnnotationScope>); 6] = [
    ("value", AnnotationPart::Value, None),
    ("value.priv", AnnotationPart::Value, Some(AnnotationScope::Private)),
    ("value.shared", AnnotationPart::Value, Some(AnnotationScope::Shared)),
    ("size", AnnotationPart::Size, None),
    ("size.priv", AnnotationPart::Size, Some(AnnotationScope::Private)),
    ("size.shared", AnnotationPart::Size, Some(AnnotationScope::Shared)),
];

/// Most entries in one response.
const REPLY_ENTRIES_MAX: usize = 65_536;
