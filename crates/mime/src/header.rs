//! Header blocks: their fields, and the subsets that FETCH asks for. RFC 5322 §2.2
//!
//!     field       = field-name *WSP ":" unstructured CRLF
//!     field-name  = 1*(%d33-57 / %d59-126)
//!
//! A line ends with LF, with or without a CR. A line that begins with a space or tab continues the
//! field before it. A line without a colon is a field without a name: kept, found by no name.

use std::ops::Range;

/// One field of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as spelt, without the space before the colon; empty for a line that is no field.
    pub name: &'a [u8],
    /// Everything after the colon, folded, with its last line end.
    pub value: &'a [u8],
    /// The whole field with name and line ends.
    pub raw: &'a [u8],
}

/// Which fields HEADER.FIELDS and HEADER.FIELDS.NOT select. RFC 9051 §6.4.5.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldFilter {
    /// Those that are named.
    Only,
    /// Those that are not named.
    Except,
}

/// The fields of a header block, up to its blank line.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Iterates over the fields of a header block.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The first field of this name, in any letter case: its value, unfolded and trimmed.
pub fn value(header: &[u8], name: &str) -> Option<Vec<u8>> {
    fields(header).find(|f| f.is_named(name.as_bytes())).map(|f| unfold(f.value))
}

/// HEADER.FIELDS or HEADER.FIELDS.NOT of a header block: the fields exactly as they stand, and the
/// blank line if the block has one. RFC 9051 §6.4.5.1
pub fn subset<N: AsRef<[u8]>>(header: &[u8], names: &[N], filter: FieldFilter) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = fields(header);
    for field in rest.by_ref() {
        let is_named = !field.name.is_empty() && names.iter().any(|n| field.is_named(n.as_ref()));
        if is_named == (filter == FieldFilter::Only) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(rest.rest);
    out
}

/// A value without its line ends and the space around it. Each line end before a space or tab goes,
/// the space stays. RFC 5322 §2.2.3
pub fn unfold(value: &[u8]) -> Vec<u8> {
    value.trim_ascii().iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

impl Field<'_> {
    /// Whether the field has this name, in any letter case.
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || is_blank(self.rest) {
            return None;
        }
        let end = field_end(self.rest);
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        let line_end = memchr::memchr(b'\n', raw).unwrap_or(raw.len());
        let colon = memchr::memchr(b':', raw.get(..line_end).unwrap_or_default());
        let Range { start, end } = colon.map_or(0..0, |at| at..at + 1);
        let name = raw.get(..start).unwrap_or_default().trim_ascii_end();
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        if !is_name {
            return Some(Field { name: &[], value: raw, raw });
        }
        Some(Field { name, value: raw.get(end..).unwrap_or_default(), raw })
    }
}

/// Whether the bytes begin with an empty line.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") || bytes.starts_with(b"\r\n")
}

/// Where the field that begins the bytes ends: after the first line end that no space follows.
fn field_end(bytes: &[u8]) -> usize {
    for at in memchr::memchr_iter(b'\n', bytes) {
        if !matches!(bytes.get(at + 1), Some(b' ' | b'\t')) {
            return at + 1;
        }
    }
    bytes.len()
}
