//! Character sets to UTF-8.

use std::borrow::Cow;

use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::utf7;

/// Whether text in this charset can be converted. SEARCH CHARSET. RFC 9051 §6.4.4
pub fn charset_is_known(label: &[u8]) -> bool {
    is_utf7(label) || find(label).is_some()
}

/// Text of a charset as UTF-8.
///
/// A missing or unknown charset, and US-ASCII that is none, is read as UTF-8 if it is valid UTF-8,
/// else as Windows-1252: senders that do not say, or lie, mostly mean one of the two. Characters
/// that do not exist become U+FFFD.
pub fn to_utf8(label: &[u8], bytes: &[u8]) -> String {
    if is_utf7(label) {
        return utf7::decode(bytes);
    }
    let is_ascii = is_label(label, "us-ascii") || is_label(label, "ascii");
    match find(label).filter(|_| !is_ascii) {
        Some(encoding) => {
            // The mark at the beginning tells the byte order, whatever the label. RFC 2781 §4.3
            let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
            let marked = Encoding::for_bom(bytes).map(|(marked, _)| marked).filter(|_| is_wide);
            let bytes =
                if encoding == ISO_2022_JP { useful_escapes(bytes) } else { Cow::Borrowed(bytes) };
            marked.unwrap_or(encoding).decode_with_bom_removal(&bytes).0.into_owned()
        }
        None => match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        },
    }
}

/// Drops each escape sequence that another one follows at once. Senders write such pairs, and the
/// ends of encoded words make them; the decoder of the web platform takes them for an attack.
fn useful_escapes(bytes: &[u8]) -> Cow<'_, [u8]> {
    // ESC "(" or ESC "$" and one byte. RFC 1468
    let is_useless =
        |at: usize| matches!(bytes.get(at..), Some([ESCAPE, b'(' | b'$', _, ESCAPE, ..]));
    let mut out = Vec::new();
    let mut from = 0;
    for at in memchr::memchr_iter(ESCAPE, bytes) {
        if at >= from && is_useless(at) {
            out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
            from = at + 3;
        }
    }
    if from == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

/// The part of `bytes` that holds whole characters if they were cut at the end, for charsets where
/// that can be told.
pub(crate) fn whole_characters<'a>(label: &[u8], bytes: &'a [u8]) -> &'a [u8] {
    let is_utf8 =
        find(label).is_none_or(|encoding| encoding == UTF_8) || is_label(label, "us-ascii");
    if !is_utf8 {
        return bytes;
    }
    // At most three bytes of a character can be without their end.
    let start = bytes.len().saturating_sub(3);
    let tail = bytes.get(start..).unwrap_or_default();
    let Some(lead) = tail.iter().rposition(|b| *b >= 0xc0) else { return bytes };
    let want = match tail.get(lead) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        _ => 2,
    };
    if tail.len() - lead < want { bytes.get(..start + lead).unwrap_or(bytes) } else { bytes }
}

fn is_utf7(label: &[u8]) -> bool {
    is_label(label, "utf-7") || is_label(label, "utf7") || is_label(label, "unicode-1-1-utf-7")
}

fn is_label(label: &[u8], name: &str) -> bool {
    label.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

/// The encoding of a label. Those that the web platform forbids decode to nothing there, so they
/// count as unknown.
fn find(label: &[u8]) -> Option<&'static Encoding> {
    let label = label.trim_ascii();
    let alias = ALIASES.iter().find(|(name, _)| label.eq_ignore_ascii_case(name.as_bytes()));
    let label = alias.map_or(label, |(_, name)| name.as_bytes());
    Encoding::for_label(label).filter(|encoding| *encoding != REPLACEMENT)
}

const ESCAPE: u8 = 0x1b;

/// Names that mail uses and the WHATWG standard does not list.
const ALIASES: [(&str, &str); 12] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("utf_8", "utf-8"),
    ("utf8mb4", "utf-8"),
    ("iso8859_1", "iso-8859-1"),
    ("iso8859_15", "iso-8859-15"),
    ("iso-8859-1-windows-3.1-latin-1", "windows-1252"),
    ("x-mac-roman", "macintosh"),
    ("x-gbk2k", "gb18030"),
    ("eucjp", "euc-jp"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_charsets_decode() {
        assert_eq!(to_utf8(b"iso-8859-1", b"\xe4"), "ä");
        assert_eq!(to_utf8(b" ISO-8859-15 ", b"\xa4"), "€");
        assert_eq!(to_utf8(b"windows-1251", b"\xcf"), "П");
        assert_eq!(to_utf8(b"iso-2022-jp", b"\x1b$B$\"\x1b(B"), "あ");
        assert_eq!(to_utf8(b"iso-2022-jp", b"\x1b$B$\"\x1b(B\x1b$B$\"\x1b(B"), "ああ");
        assert!(to_utf8(b"iso-2022-jp", b"a\x1b\x1b\x1b\x1b\x1b(").starts_with("a\u{fffd}"));
        assert!(to_utf8(b"iso-2022-jp", b"\x1b(\x1b\x1b\x1b\x1b(b").ends_with('b'));
        assert_eq!(to_utf8(b"cp932", b"\x82\xa0"), "あ");
        assert_eq!(to_utf8(b"utf-16", b"\xfe\xff\0a"), "a");
        assert_eq!(to_utf8(b"utf-16be", b"\0a"), "a");
        assert_eq!(to_utf8(b"utf-7", b"+AOQ-"), "ä");
        assert_eq!(to_utf8(b"utf-8", b"\xef\xbb\xbfa"), "a");
    }

    #[test]
    fn unknown_charsets_fall_back() {
        for label in ["", "us-ascii", "unknown-8bit", "x-foo", "iso-2022-kr"] {
            assert_eq!(to_utf8(label.as_bytes(), "ä".as_bytes()), "ä", "{label}");
            assert_eq!(to_utf8(label.as_bytes(), b"\xe4"), "ä", "{label}");
        }
        assert!(
            charset_is_known(b"UTF-8")
                && charset_is_known(b"utf-7")
                && charset_is_known(b"us-ascii")
        );
        assert!(
            !charset_is_known(b"x-foo")
                && !charset_is_known(b"")
                && !charset_is_known(b"iso-2022-kr")
        );
    }

    #[test]
    fn a_cut_character_at_the_end_is_left_out() {
        let text = "aä€😀".as_bytes();
        for end in 0..=text.len() {
            let whole = whole_characters(b"utf-8", &text[..end]);
            assert!(std::str::from_utf8(whole).is_ok() && end - whole.len() <= 3, "{end}");
        }
        assert_eq!(whole_characters(b"iso-8859-1", b"\xc3"), b"\xc3");
    }
}
