//! Header blocks: their fields, and the subsets that FETCH asks for. RFC 5322 §2.2
//!
//! ```text
//! field       = field-name *WSP ":" unstructured CRLF
//! field-name  = 1*(%d33-57 / %d59-126)
//! ```
//!
//! A line ends with LF, with or without a CR. A line that begins with a space or tab continues the
//! field before it. A line without a colon is a field without a name: kept, found by no name.

use std::collections::BTreeSet;
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
    // A client may name as many fields as a header has, so no name is looked for one by one.
    let lower = |name: &[u8]| name.to_ascii_lowercase();
    let names: BTreeSet<Vec<u8>> = names.iter().map(|name| lower(name.as_ref())).collect();
    let mut out = Vec::new();
    let mut rest = fields(header);
    for field in rest.by_ref() {
        let is_named = !field.name.is_empty() && names.contains(&lower(field.name));
        if is_named == (filter == FieldFilter::Only) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(rest.rest);
    out
}

/// A value without its line ends and the space around it. Each line end before a space or tab goes,
/// the space stays. RFC 5322 §2.2.3
///
/// A NUL becomes `?`, since no string of IMAP can carry one. RFC 9051 §9 (`CHAR8`)
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        return value.to_vec();
    }
    let kept = value.iter().filter(|b| !matches!(b, b'\r' | b'\n'));
    kept.map(|b| if *b == 0 { b'?' } else { *b }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"From: a@b\r\nSubject : one\r\n two\r\njunk line\r\nTo:\r\nsubject: x\r\n\r\n";

    #[test]
    fn fields_keep_their_bytes_and_are_found_in_any_case() {
        let found: Vec<_> = fields(HEADER).map(|f| (f.name, f.value)).collect();
        assert_eq!(
            found,
            [
                (&b"From"[..], &b" a@b\r\n"[..]),
                (b"Subject", b" one\r\n two\r\n"),
                (b"", b"junk line\r\n"),
                (b"To", b"\r\n"),
                (b"subject", b" x\r\n"),
            ]
        );
        assert_eq!(value(HEADER, "SUBJECT").unwrap(), b"one two");
        assert_eq!(value(HEADER, "to").unwrap(), b"");
        assert_eq!(value(HEADER, "cc"), None);
        assert_eq!(value(b"\nSubject: in the body\n", "subject"), None);
    }

    #[test]
    fn subsets_keep_the_bytes_of_fields_and_the_blank_line() {
        let only = subset(HEADER, &["subject", "nothing", "to"], FieldFilter::Only);
        assert_eq!(only, b"Subject : one\r\n two\r\nTo:\r\nsubject: x\r\n\r\n");
        let except = subset(HEADER, &["subject", "to"], FieldFilter::Except);
        assert_eq!(except, b"From: a@b\r\njunk line\r\n\r\n");
        assert_eq!(subset(HEADER, &["x"], FieldFilter::Only), b"\r\n");
        assert_eq!(subset(HEADER, &[""], FieldFilter::Only), b"\r\n");
        assert_eq!(subset::<&str>(HEADER, &[], FieldFilter::Except), HEADER);
    }

    #[test]
    fn a_header_without_a_blank_line_gets_none() {
        assert_eq!(subset(b"A: 1\nB: 2", &["b"], FieldFilter::Only), b"B: 2");
        assert_eq!(subset(b"A: 1\nB: 2\n", &["a"], FieldFilter::Only), b"A: 1\n");
        assert_eq!(subset(b"", &["a"], FieldFilter::Only), b"");
    }

    #[test]
    fn any_bytes_are_some_fields() {
        for header in
            [&b": x\n"[..], b" leading\n", b"a b: x\n", b"\xff: x\n", b"\0\n", b"a", b"\r", b"a:\r"]
        {
            let total: usize = fields(header).map(|f| f.raw.len()).sum();
            assert_eq!(total, header.len(), "{header:?}");
        }
        assert_eq!(fields(b"\xc3\xa4: x\n").next().unwrap().name, b"");
    }
}
