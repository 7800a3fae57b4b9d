//! Rust source with comments and literals blanked out, so that the other rules can look for
//! braces and words without a parser. Lines and columns stay where they were.

/// What a byte of the source belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Code,
    Comment,
    Literal,
}

/// The source and, for each of its bytes, what it belongs to.
pub struct Masked {
    /// The source with every byte of a comment or a literal replaced by a space.
    pub code: String,
    /// One kind for each byte of the source.
    pub kinds: Vec<Kind>,
}

impl Masked {
    pub fn new(source: &str) -> Self {
        let kinds = classify(source.as_bytes());
        let code = source
            .bytes()
            .zip(&kinds)
            .map(|(byte, kind)| if *kind == Kind::Code || byte == b'\n' { byte } else { b' ' })
            .map(|byte| if byte.is_ascii() { char::from(byte) } else { '_' })
            .collect();
        Self { code, kinds }
    }

    /// The line of a byte, from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.code.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

fn classify(source: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; source.len()];
    let mut at = 0;
    while at < source.len() {
        let (kind, end) = token(source, at);
        for slot in kinds.iter_mut().take(end).skip(at) {
            *slot = kind;
        }
        at = end;
    }
    kinds
}

/// The token that starts at `at` and the offset of its end, which is always beyond `at`.
fn token(source: &[u8], at: usize) -> (Kind, usize) {
    let rest = &source[at..];
    match rest {
        [b'/', b'/', ..] => (Kind::Comment, at + line_length(rest)),
        [b'/', b'*', ..] => (Kind::Comment, at + block_comment_length(rest)),
        [b'"', ..] => (Kind::Literal, at + string_length(rest)),
        [b'\'', ..] => char_length(rest).map_or((Kind::Code, at + 1), |n| (Kind::Literal, at + n)),
        [b'r' | b'b' | b'c', ..] if !continues_a_word(source, at) => prefixed(source, at),
        [first, ..] if is_word(*first) => (Kind::Code, at + word_length(rest)),
        _ => (Kind::Code, at + 1),
    }
}

/// A word that begins with r, b or c may be the prefix of a literal: r#"..."#, b"...", br"...".
fn prefixed(source: &[u8], at: usize) -> (Kind, usize) {
    let rest = &source[at..];
    let word = word_length(rest);
    let raw = matches!(&rest[..word], b"r" | b"br" | b"cr");
    let plain = matches!(&rest[..word], b"b" | b"c");
    let after = &rest[word..];
    match after {
        [b'"', ..] if plain => (Kind::Literal, at + word + string_length(after)),
        [b'\'', ..] if &rest[..word] == b"b" => {
            (Kind::Literal, at + word + char_length(after).unwrap_or(1))
        }
        [b'"' | b'#', ..] if raw => match raw_string_length(after) {
            Some(length) => (Kind::Literal, at + word + length),
            None => (Kind::Code, at + word), // r#name
        },
        _ => (Kind::Code, at + word),
    }
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// Block comments nest in Rust.
fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut at = hashes + 1;
    while at < rest.len() {
        let closes = rest[at] == b'"'
            && rest[at + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes;
        if closes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(rest.len())
}

/// The length of a character literal; `None` for a lifetime or a label.
fn char_length(rest: &[u8]) -> Option<usize> {
    match rest {
        // The byte after the backslash is never the end: '\'' and '\\'.
        [b'\'', b'\\', _, tail @ ..] => tail.iter().position(|byte| *byte == b'\'').map(|n| n + 4),
        [b'\'', first, ..] => {
            let width = match first {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
        _ => None,
    }
}

fn word_length(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| is_word(**byte)).count()
}

fn continues_a_word(source: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| source.get(before)).is_some_and(|byte| is_word(*byte))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        Masked::new(source).code
    }

    #[test]
    fn comments_and_literals_become_spaces() {
        assert_eq!(code("a // {\nb"), "a     \nb");
        assert_eq!(code("/* { /* } */ */x"), "               x");
        assert_eq!(code(r#"f("}{")"#), "f(    )");
        assert_eq!(code(r#"f("\"{")"#), "f(     )");
    }

    #[test]
    fn raw_strings_end_at_their_own_number_of_hashes() {
        assert_eq!(code(r###"r##"{"#}"## }"###).trim(), "}");
        assert_eq!(code("br\"\\\" }").trim(), "}");
        assert_eq!(code("r#type }"), "r#type }");
    }

    #[test]
    fn characters_are_literals_and_lifetimes_are_not() {
        assert_eq!(code("'{' b'}' '\\'' '\\u{7d}'").trim(), "");
        assert_eq!(code("&'a str {}"), "&'a str {}");
        assert_eq!(code("'ä'").trim(), "");
    }

    #[test]
    fn a_word_that_ends_in_r_is_no_prefix() {
        assert_eq!(code("for\"}\""), "for   ");
        assert_eq!(code("var#"), "var#");
    }
}
