//! GETMETADATA and SETMETADATA, and the METADATA response. RFC 5464 §5

use mail_types::EntryName;

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{
    GetMetadata, List, MetadataData, MetadataDepth, MetadataEntry, MetadataReply, SetMetadata,
};

/// ```text
/// getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries
/// entries     = entry / "(" entry *(SP entry) ")"
/// ```
/// The examples of §4.2 have the options behind the mailbox, and those of §4.4.1 several entries
/// without parentheses; clients were written after either, so all are read.
pub fn get(cursor: &mut Cursor<'_>) -> Result<GetMetadata> {
    cursor.space()?;
    let mut options = Options::default();
    if cursor.peek() == Some(b'(') {
        options.read(cursor)?;
        cursor.space()?;
    }
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    if is_option_list(cursor) {
        options.read(cursor)?;
        cursor.space()?;
    }
    let entries = entries(cursor)?;
    let Options { max_size, depth } = options;
    Ok(GetMetadata { mailbox, max_size, depth, entries })
}

/// An option begins with a letter, an entry with a slash or as a string.
fn is_option_list(cursor: &Cursor<'_>) -> bool {
    let rest = cursor.rest().strip_prefix(b"(").unwrap_or_default();
    rest.iter().find(|b| **b != b' ').is_some_and(u8::is_ascii_alphabetic)
}

#[derive(Default)]
struct Options {
    max_size: Option<u32>,
    depth: MetadataDepth,
}

impl Options {
    /// ```text
    /// getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"
    /// maxsize-opt         = "MAXSIZE" SP number
    /// scope-opt           = "DEPTH" SP ("0" / "1" / "infinity")
    /// ```
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        cursor.list1(OPTIONS_MAX, "option of GETMETADATA", |cursor| {
            let start = cursor.clone();
            match cursor.keyword("option of GETMETADATA")?.as_str() {
                "MAXSIZE" => {
                    cursor.space()?;
                    self.max_size = Some(cursor.number()?);
                }
                "DEPTH" => {
                    cursor.space()?;
                    let known = MetadataDepth::ALL.iter().find(|(_, name)| cursor.eat_word(name));
                    match known {
                        Some((depth, _)) => self.depth = *depth,
                        None => return cursor.expected("0, 1 or infinity"),
                    }
                }
                _ => return start.expected("known option of GETMETADATA"),
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn entries(cursor: &mut Cursor<'_>) -> Result<Vec<EntryName>> {
    if cursor.peek() == Some(b'(') {
        return cursor.list1(GetMetadata::ENTRIES_MAX, "entry", entry);
    }
    entry_list(cursor)
}

/// `entry-list = entry *(SP entry)`
fn entry_list(cursor: &mut Cursor<'_>) -> Result<Vec<EntryName>> {
    let mut entries = vec![entry(cursor)?];
    while cursor.space_before_more() {
        if entries.len() >= GetMetadata::ENTRIES_MAX {
            return cursor.fail(ErrorKind::TooMany, "entries");
        }
        entries.push(entry(cursor)?);
    }
    Ok(entries)
}

/// `"(" entry *(SP entry) ")"`, as LIST takes it; one entry may stand alone, as in GETMETADATA.
/// RFC 9590
pub fn entries_in_list(cursor: &mut Cursor<'_>) -> Result<Vec<EntryName>> {
    if cursor.peek() != Some(b'(') {
        return Ok(vec![entry(cursor)?]);
    }
    cursor.list1(List::ENTRIES_MAX, "entry", entry)
}

/// `entry = astring`; a wrong name is a BAD, whatever is done with it. RFC 5464 §3.2
fn entry(cursor: &mut Cursor<'_>) -> Result<EntryName> {
    let start = cursor.clone();
    let raw = cursor.astring()?;
    let name = std::str::from_utf8(&raw).ok().and_then(|text| EntryName::new(text).ok());
    name.map_or_else(|| start.fail(ErrorKind::Value, "name of an annotation"), Ok)
}

/// ```text
/// setmetadata  = "SETMETADATA" SP mailbox SP entry-values
/// entry-values = "(" entry-value *(SP entry-value) ")"
/// ```
pub fn set(cursor: &mut Cursor<'_>) -> Result<SetMetadata> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let entries = cursor.list1(SetMetadata::ENTRIES_MAX, "entry and value", |cursor| {
        let start = cursor.clone();
        let (name, value) = entry_value(cursor)?;
        // RFC 5464 §3.2: two components at least, four with those of vendors.
        if !name.can_hold_value() {
            return start.fail(ErrorKind::Value, "name of an annotation with all its components");
        }
        Ok((name, value))
    })?;
    Ok(SetMetadata { mailbox, entries })
}

/// ```text
/// entry-value = entry SP value
/// value       = nstring / literal8
/// ```
fn entry_value(cursor: &mut Cursor<'_>) -> Result<MetadataEntry> {
    let name = entry(cursor)?;
    cursor.space()?;
    let value = cursor.nstring()?;
    Ok((name, value.map(std::borrow::Cow::into_owned)))
}

/// `metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<MetadataReply> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let data = if cursor.peek() == Some(b'(') {
        let values = cursor.list1(REPLY_ENTRIES_MAX, "entry and value", entry_value)?;
        MetadataData::Values(values)
    } else {
        MetadataData::Changed(entry_list(cursor)?)
    };
    Ok(MetadataReply { mailbox, data })
}

/// Most options of one command; there are two.
const OPTIONS_MAX: usize = 8;
/// Most values in one response.
const REPLY_ENTRIES_MAX: usize = 65_536;
