//! What is done to the header of a stranger's message before it is delivered: fields that claim to
//! be ours go, and those in which we say what we found out stand in front.

use std::collections::HashSet;

use bytes::Bytes;
use mime::header::{Field, fields};

use super::answer::Edits;

/// The name of the field that says why a message is junk.
const JUNK_FIELD: &str = "X-Pillarbox-Junk";

/// Where the header of a message ends, behind its blank line; all of it without one.
fn header_end(message: &[u8]) -> usize {
    let mut end = 0;
    for field in fields(message) {
        end += field.raw.len();
    }
    let behind = message.get(end..).unwrap_or_default();
    if behind.starts_with(b"\r\n") { end + 2 } else { end }
}

/// The message with its header as it is kept ([`cleaned`]); no copy if nothing goes.
pub(crate) fn cleaned_whole(message: Bytes, hostname: &str, edits: &Edits) -> Bytes {
    let (header, body) = message.split_at(header_end(&message));
    let kept = cleaned(header, hostname, edits);
    if kept == header { message } else { [&kept, body].concat().into() }
}

/// The header as it is kept: without results of checks that claim to be ours (RFC 8601 §5), without
/// our word for junk, and without what the content filter takes away.
pub(crate) fn cleaned(header: &[u8], hostname: &str, edits: &Edits) -> Vec<u8> {
    let header = sender_auth::strip_results(header, hostname);
    let all: Vec<Field<'_>> = fields(&header).collect();
    let block: usize = all.iter().map(|field| field.raw.len()).sum();
    let mut out = Vec::with_capacity(header.len());
    let removed = removed(&all, edits);
    for (index, field) in all.iter().enumerate() {
        let is_ours = field.is_named(JUNK_FIELD.as_bytes());
        if !is_ours && !removed.contains(&index) {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(header.get(block..).unwrap_or_default());
    out
}

/// The fields that a filter takes away, by their place among all: each edit looks at them once,
/// because a stranger decides how many there are.
fn removed(all: &[Field<'_>], edits: &Edits) -> HashSet<usize> {
    let mut removed = HashSet::new();
    for (name, which) in &edits.remove {
        let is_named = |(_, field): &(usize, &Field<'_>)| field.is_named(name.as_bytes());
        let named = all.iter().enumerate().filter(is_named).map(|(index, _)| index);
        let named: Vec<usize> = named.collect();
        let place = |nth: i64| usize::try_from(nth).ok().and_then(|nth| named.get(nth));
        match *which {
            0 => removed.extend(&named),
            from_top @ 1.. => removed.extend(place(from_top - 1)),
            from_bottom => removed.extend(place((named.len() as i64).saturating_add(from_bottom))),
        }
    }
    removed
}

/// The lines of the fields that a filter adds.
pub(crate) fn added(edits: &Edits) -> Vec<u8> {
    let lines = edits.add.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    lines.collect::<String>().into_bytes()
}

/// The field that says why a message is junk; nothing if it is not.
pub(crate) fn junk(reasons: &[String]) -> Vec<u8> {
    if reasons.is_empty() {
        return Vec::new();
    }
    let mut field = format!("{JUNK_FIELD}: yes");
    for reason in reasons.iter().take(REASONS_MAX) {
        field.push_str(";\r\n\t");
        field.extend(reason.chars().filter(|c| fits(*c)).take(REASON_CHARS_MAX));
    }
    field.push_str("\r\n");
    field.into_bytes()
}

/// A reason may repeat a name that a stranger chose.
fn fits(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic()
}

const REASONS_MAX: usize = 16;

/// A line has 998 octets at most. RFC 5322 §2.1.1
const REASON_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(remove: &[(&str, i64)]) -> Edits {
        let remove = remove.iter().map(|(name, which)| ((*name).to_owned(), *which)).collect();
        Edits { add: Vec::new(), remove }
    }

    #[test]
    fn the_header_ends_behind_its_blank_line() {
        for (message, header) in [
            ("A: b\r\n\r\nbody\r\n\r\n", "A: b\r\n\r\n"),
            ("A: b\r\n c\r\n\r\n", "A: b\r\n c\r\n\r\n"),
            ("\r\nbody", "\r\n"),
            ("A: b\r\n", "A: b\r\n"),
            ("", ""),
        ] {
            assert_eq!(&message[..header_end(message.as_bytes())], header, "{message:?}");
        }
    }

    #[test]
    fn fields_are_taken_away_by_name_and_place() {
        let header = b"X: 1\r\nY: a\r\nx: 2\r\n folded\r\nX: 3\r\n\r\n";
        let run = |remove: &[(&str, i64)]| {
            let out = cleaned(header, "h.example", &edits(remove));
            String::from_utf8(out).unwrap().replace("\r\n", "|")
        };
        assert_eq!(run(&[]), "X: 1|Y: a|x: 2| folded|X: 3||");
        assert_eq!(run(&[("X", 0)]), "Y: a||");
        assert_eq!(run(&[("X", 2)]), "X: 1|Y: a|X: 3||");
        assert_eq!(run(&[("X", -1)]), "X: 1|Y: a|x: 2| folded||");
        assert_eq!(run(&[("X", 9), ("Y", 1)]), "X: 1|x: 2| folded|X: 3||");
    }

    #[test]
    fn a_message_is_copied_only_if_a_field_goes() {
        let message = Bytes::from_static(b"X: 1\r\nY: a\r\n\r\nX: 2\r\n");
        let kept = cleaned_whole(message.clone(), "h.example", &Edits::default());
        assert_eq!(kept.as_ptr_range(), message.as_ptr_range());
        let kept = cleaned_whole(message, "h.example", &edits(&[("X", 0)]));
        assert_eq!(kept, "Y: a\r\n\r\nX: 2\r\n");
    }

    #[test]
    fn nobody_else_says_that_it_is_junk() {
        let header = b"x-pillarbox-junk: no\r\nA: b\r\nX-Pillarbox-Junk:\r\n no\r\n\r\n";
        assert_eq!(cleaned(header, "h.example", &Edits::default()), b"A: b\r\n\r\n");
    }

    #[test]
    fn s016_a_reason_cannot_bring_a_field_of_its_own() {
        let field = junk(&["a\r\nSubject: evil\u{202e}\u{1b}[0m\0".to_owned(), "b".to_owned()]);
        let text = String::from_utf8(field).unwrap();
        assert_eq!(text, "X-Pillarbox-Junk: yes;\r\n\taSubject: evil[0m;\r\n\tb\r\n");
        assert_eq!(fields(text.as_bytes()).count(), 1);
        assert!(junk(&[]).is_empty());
    }
}
