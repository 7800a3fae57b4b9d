//! HTML to plain text: for searching and previews, never for display.
//!
//! One pass, no tree, no recursion: a tag is dropped where it stands, block tags become line ends,
//! `script`, `style` and the like go with their contents, character references are decoded. What is
//! never closed reaches to the end, as in a browser; so nothing is searched for twice.

/// The readable text of HTML, at most `bytes_max` bytes. White space is collapsed, blocks stand on
/// lines of their own.
pub fn html_to_text(html: &str, bytes_max: usize) -> String {
    let mut out = Text { text: String::new(), bytes_max, is_spaced: false };
    let mut rest = html;
    while !rest.is_empty() && !out.is_full() {
        let start = memchr::memchr2(b'<', b'&', rest.as_bytes()).unwrap_or(rest.len());
        let (plain, tail) = split(rest, start);
        out.push(plain);
        rest = match tail.as_bytes().first() {
            Some(b'<') => skip_tag(tail, &mut out),
            Some(_) => decode_reference(tail, &mut out),
            None => "",
        };
    }
    out.text
}

/// The text so far. White space is written when something follows it.
struct Text {
    text: String,
    bytes_max: usize,
    is_spaced: bool,
}

impl Text {
    fn is_full(&self) -> bool {
        self.text.len() >= self.bytes_max
    }

    fn push(&mut self, plain: &str) {
        for c in plain.chars() {
            if c.is_whitespace() {
                self.is_spaced = true;
            } else {
                self.push_char(c);
            }
        }
    }

    fn push_char(&mut self, c: char) {
        let has_text = !self.text.is_empty() && !self.text.ends_with('\n');
        if std::mem::take(&mut self.is_spaced) && has_text {
            self.text.push(' ');
        }
        if self.text.len() + c.len_utf8() <= self.bytes_max {
            self.text.push(c);
        } else {
            // Nothing more fits; filling up with spaces would be seen, so the limit comes down.
            self.bytes_max = self.text.len();
        }
    }

    fn end_line(&mut self) {
        self.is_spaced = false;
        if !self.text.is_empty() && !self.text.ends_with('\n') && !self.is_full() {
            self.text.push('\n');
        }
    }
}

/// Skips the markup that begins with the `<` of the text; returns what follows.
fn skip_tag<'a>(text: &'a str, out: &mut Text) -> &'a str {
    let bytes = text.as_bytes();
    if let Some(comment) = text.strip_prefix("<!--") {
        return after(comment, "-->");
    }
    if let Some(data) = text.strip_prefix("<![CDATA[") {
        return after(data, "]]>");
    }
    let is_end = bytes.get(1) == Some(&b'/');
    let name_start = if is_end { 2 } else { 1 };
    let name = bytes.get(name_start..).unwrap_or_default();
    let name_len =
        name.iter().take(TAG_BYTES_MAX).take_while(|b| b.is_ascii_alphanumeric()).count();
    match name.first() {
        Some(first) if first.is_ascii_alphabetic() => {}
        // A declaration or a processing instruction.
        Some(b'!' | b'?') => return after(text, ">"),
        // `</` before anything else is a comment to browsers; `<` alone is text.
        _ if is_end => return after(text, ">"),
        _ => {
            out.push_char('<');
            return split(text, 1).1;
        }
    }
    let name = name.get(..name_len).unwrap_or_default().to_ascii_lowercase();
    let rest = after_tag(text);
    if BLOCKS.binary_search(&name.as_slice()).is_ok() {
        out.end_line();
    } else if matches!(name.as_slice(), b"td" | b"th") {
        out.is_spaced = true;
    }
    if !is_end && let Some(end) = hidden_end(&name) {
        return after_end_tag(rest, end);
    }
    rest
}

/// What follows the tag: its `>`, unless that stands in a quoted value.
fn after_tag(text: &str) -> &str {
    let mut quote = None;
    let mut previous = b' ';
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        match quote {
            Some(end) if byte == end => quote = None,
            Some(_) => {}
            None if byte == b'>' => return split(text, at + 1).1,
            // A quote counts only where a value begins.
            None if matches!(byte, b'"' | b'\'') && previous == b'=' => quote = Some(byte),
            None => {}
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
    ""
}

/// The end tag up to which the contents of an element are no text.
fn hidden_end(name: &[u8]) -> Option<&'static str> {
    match name {
        b"script" => Some("</script"),
        b"style" => Some("</style"),
        b"title" => Some("</title"),
        b"textarea" => Some("</textarea"),
        b"noframes" => Some("</noframes"),
        b"iframe" => Some("</iframe"),
        _ => None,
    }
}

/// What follows the end tag, in any letter case.
fn after_end_tag<'a>(text: &'a str, end: &str) -> &'a str {
    for at in memchr::memmem::find_iter(text.as_bytes(), "</") {
        let tail = split(text, at).1;
        if tail.as_bytes().get(..end.len()).is_some_and(|t| t.eq_ignore_ascii_case(end.as_bytes()))
        {
            return after_tag(tail);
        }
    }
    ""
}

/// What follows the first `mark`; nothing if there is none.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let at = memchr::memmem::find(text.as_bytes(), mark.as_bytes());
    at.map_or("", |at| split(text, at + mark.len()).1)
}

/// Decodes the character reference that begins with the `&` of the text, or takes the `&` as text.
fn decode_reference<'a>(text: &'a str, out: &mut Text) -> &'a str {
    let window = text.as_bytes().get(1..REFERENCE_BYTES_MAX.min(text.len())).unwrap_or_default();
    let is_part = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'#';
    let len = window.iter().take_while(is_part).count();
    let name = window.get(..len).unwrap_or_default();
    let Some(c) = reference(name) else {
        out.push_char('&');
        return split(text, 1).1;
    };
    if c.is_whitespace() {
        out.is_spaced = true;
    } else {
        out.push_char(c);
    }
    let has_semicolon = window.get(len) == Some(&b';');
    split(text, 1 + len + usize::from(has_semicolon)).1
}

fn reference(name: &[u8]) -> Option<char> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        // 128 to 159 are written by those who mean Windows-1252, and browsers take them so.
        if let Some(byte) = u8::try_from(code).ok().filter(|b| (0x80..0xa0).contains(b)) {
            return encoding_rs::WINDOWS_1252.decode(&[byte]).0.chars().next();
        }
        return Some(
            char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER),
        );
    }
    if let Some((_, c)) = REFERENCES.iter().find(|(known, _)| *known == name) {
        return Some(*c);
    }
    // The letters of Latin-1, such as `eacute`.
    let at = LATIN1.iter().position(|known| *known == name)?;
    char::from_u32(u32::try_from(at).ok()? + 0xa0)
}

/// Splits at a place that is known to be between two characters.
fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Longest name of a tag that matters.
const TAG_BYTES_MAX: usize = 16;
/// Longest character reference that is decoded: `&thetasym;`, `&#x10FFFF;`.
const REFERENCE_BYTES_MAX: usize = 16;

/// Elements that begin a line, sorted.
const BLOCKS: [&[u8]; 31] = [
    b"address",
    b"article",
    b"aside",
    b"blockquote",
    b"body",
    b"br",
    b"center",
    b"dd",
    b"div",
    b"dl",
    b"dt",
    b"footer",
    b"form",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"header",
    b"hr",
    b"html",
    b"li",
    b"ol",
    b"p",
    b"pre",
    b"section",
    b"table",
    b"tr",
    b"ul",
    b"xmp",
];

/// References outside of Latin-1 that mail uses.
const REFERENCES: [(&str, char); 38] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("QUOT", '"'),
    ("euro", '€'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("bull", '•'),
    ("hellip", '…'),
    ("trade", '™'),
    ("dagger", '†'),
    ("Dagger", '‡'),
    ("permil", '‰'),
    ("larr", '←'),
    ("rarr", '→'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
];

/// References from U+00A0 to U+00FF in order.
const LATIN1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf",
    "laquo", "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro",
    "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest",
    "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute",
    "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute",
    "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute",
    "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil",
    "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde",
    "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc",
    "uuml", "yacute", "thorn", "yuml",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        html_to_text(html, 1 << 20)
    }

    #[test]
    fn tags_go_and_blocks_part_lines() {
        assert_eq!(
            text("<html><body><p>One <b>bold</b>\n word</p><div>Two<br>Three</div></body></html>"),
            "One bold word\nTwo\nThree\n"
        );
        assert_eq!(text("<table><tr><td>a</td><td>b</td></tr><tr><td>c"), "a b\nc");
        assert_eq!(text("in<i>te</i>rnal"), "internal");
        assert_eq!(text("<a title=\"a > b\" href='x>y'>link</a>"), "link");
        assert_eq!(text("don't <a x=1 '>stop"), "don't stop");
    }

    #[test]
    fn script_style_comments_and_declarations_go_with_their_contents() {
        assert_eq!(
            text(
                "<!DOCTYPE html><style>p{}</style>a<SCRIPT>if (a<b) </x></Script >b<!-- > c -->d<?xml x?>e"
            ),
            "abde"
        );
        assert_eq!(text("<title>Mail</title>a"), "a");
        assert_eq!(text("a<script>never closed"), "a");
        assert_eq!(text("a<!-- never closed"), "a");
        assert_eq!(text("a<b never closed"), "a");
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(text("1 < 2 <3 <"), "1 < 2 <3 <");
        assert_eq!(text("a</ >b"), "ab");
    }

    #[test]
    fn character_references_are_decoded() {
        assert_eq!(text("a&amp;b&lt;c&gt;&quot;&apos;&euro;&eacute;&Uuml;&yuml;"), "a&b<c>\"'€éÜÿ");
        assert_eq!(text("&#228;&#xe4;&#XE4;&#150;&#0;&#x110000;"), "äää–\u{fffd}\u{fffd}");
        assert_eq!(text("a&nbsp;&nbsp;b &copy 2004"), "a b © 2004");
        assert_eq!(text("&; &# &#x &bogus; a&b=c &ampx"), "&; &# &#x &bogus; a&b=c &ampx");
    }

    #[test]
    fn the_text_is_bounded() {
        assert_eq!(html_to_text("ä".repeat(100).as_str(), 5), "ää");
        assert_eq!(html_to_text("<p>a<p>b<p>c", 3), "a\nb");
    }

    #[test]
    fn millions_of_open_tags_take_linear_time() {
        for part in
            ["<div>", "<", "<!", "<!--", "<script>", "</script", "&", "&#", "<a b=\"", "<a b='>\""]
        {
            let html = part.repeat((3 << 20) / part.len());
            assert!(text(&html).len() <= html.len(), "{part}");
        }
    }

    #[test]
    fn the_lists_are_in_order() {
        assert!(BLOCKS.is_sorted());
        assert_eq!((LATIN1[0xe4 - 0xa0], LATIN1[0xff - 0xa0]), ("auml", "yuml"));
    }
}
