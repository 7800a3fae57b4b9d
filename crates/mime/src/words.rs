//! Encoded words in header values. RFC 2047
//!
//! ```text
//! encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="
//! ```
//!
//! Read leniently, as senders write them: inside of quoted strings, without space around them, with
//! raw space in the text, cut in the middle of a character.

use crate::charset::to_utf8;
use crate::header::unfold;
use crate::params::hex;
use crate::{Decoder, Encoding, LineEnds};

/// A header value as readable text: unfolded, encoded words decoded. RFC 2047 §6
///
/// Bytes outside of encoded words are UTF-8 (RFC 6532 §3.2) or else Windows-1252.
pub fn decode_header(value: &[u8]) -> String {
    let value = unfold(value);
    let mut out = String::with_capacity(value.len());
    let mut words = Words::default();
    let mut rest = value.as_slice();
    let mut plain_from = rest;
    let mut search = Search::default();
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let start = rest.get(at..).unwrap_or_default();
        let Some((word, after)) = encoded_word(start, &mut search) else {
            rest = start.get(2..).unwrap_or_default();
            continue;
        };
        let plain = plain_from.get(..plain_from.len() - start.len()).unwrap_or_default();
        // White space between two encoded words is no text. RFC 2047 §6.2
        if !(words.is_open() && plain.iter().all(u8::is_ascii_whitespace)) {
            words.flush(&mut out);
            out.push_str(&to_utf8(b"", plain));
        }
        words.add(word, &mut out);
        rest = after;
        plain_from = after;
    }
    words.flush(&mut out);
    out.push_str(&to_utf8(b"", plain_from));
    out
}

/// Encoded words of one charset whose bytes are not yet converted: a character may be cut between
/// two of them. RFC 2047 §5 (3) forbids it, senders do it.
#[derive(Default)]
struct Words {
    charset: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

impl Words {
    fn is_open(&self) -> bool {
        self.charset.is_some()
    }

    fn add(&mut self, word: Word<'_>, out: &mut String) {
        if !self.charset.as_ref().is_some_and(|c| c.eq_ignore_ascii_case(word.charset)) {
            self.flush(out);
            self.charset = Some(word.charset.to_vec());
        }
        self.bytes.extend_from_slice(&word.bytes);
    }

    fn flush(&mut self, out: &mut String) {
        if let Some(charset) = self.charset.take() {
            out.push_str(&to_utf8(&charset, &self.bytes));
            self.bytes.clear();
        }
    }
}

/// Remembers that no `?=` follows, so that a text full of beginnings is searched once.
#[derive(Default)]
struct Search {
    found_no_end: bool,
}

/// The encoded word that begins with the `=?` of the text, and what follows it.
fn encoded_word<'a>(text: &'a [u8], search: &mut Search) -> Option<(Word<'a>, &'a [u8])> {
    if search.found_no_end {
        return None;
    }
    let text = text.get(2..)?;
    let window = text.get(..CHARSET_BYTES_MAX).unwrap_or(text);
    let charset_end = memchr::memchr(b'?', window)?;
    let charset = text.get(..charset_end)?;
    // RFC 2231 §5 puts a language after the charset.
    let charset = charset.split(|b| *b == b'*').next().unwrap_or_default();
    let (encoding, text) = match text.get(charset_end + 1..)? {
        [encoding, b'?', text @ ..] => (encoding.to_ascii_lowercase(), text),
        _ => return None,
    };
    let is_known = matches!(encoding, b'b' | b'q');
    if !is_known || charset.is_empty() || !charset.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    // From here on the text is used up to its end, so nothing is searched twice.
    let Some(end) = memchr::memmem::find(text, b"?=") else {
        search.found_no_end = true;
        return None;
    };
    let (encoded, after) = text.split_at(end);
    let bytes = if encoding == b'b' { decode_b(encoded) } else { decode_q(encoded) };
    Some((Word { charset, bytes }, after.get(2..).unwrap_or_default()))
}

fn decode_b(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut decoder = Decoder::new(Encoding::Base64, LineEnds::Keep);
    decoder.push(text, &mut bytes);
    decoder.finish(&mut bytes);
    bytes
}

/// RFC 2047 §4.2
fn decode_q(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'_', _) => bytes.push(b' '),
            (b'=', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = tail;
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}

/// Longest charset with its language. An encoded word has at most 75 characters. RFC 2047 §2
const CHARSET_BYTES_MAX: usize = 75;

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &str) -> String {
        decode_header(value.as_bytes())
    }

    #[test]
    fn the_examples_of_the_rfc_decode() {
        assert_eq!(
            decoded("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>"),
            "Keith Moore <moore@cs.utk.edu>"
        );
        assert_eq!(decoded("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?="), "Keld Jørn Simonsen");
        assert_eq!(
            decoded(
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n \
                 =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="
            ),
            "If you can read this you understand the example."
        );
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?=)"), "(a)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?= b)"), "(a b)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)"), "(ab)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?=  \r\n   =?ISO-8859-1?Q?b?=)"), "(ab)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a_b?=)"), "(a b)");
        assert_eq!(decoded("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)"), "(a b)");
        assert_eq!(decoded("=?us-ascii*en?q?a?="), "a");
    }

    #[test]
    fn a_character_cut_between_two_words_is_whole_again() {
        assert_eq!(decoded("=?utf-8?Q?=C3?= =?UTF-8?B?pA==?="), "ä");
        assert_eq!(decoded("=?utf-8?B?w6Q=?==?utf-8?B?w6Q=?="), "ää");
    }

    #[test]
    fn what_is_no_encoded_word_stays() {
        for text in
            ["=?", "=?a", "=?a?b", "=?a?b?", "=?a?x?b?=", "=??q?a?=", "a =? b ?= c", "=?a b?q?c?="]
        {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(
            decoded("=?a?q?=?utf-8?q?b?="),
            "=?utf-8?q?b",
            "the first `?=` ends the first word"
        );
        assert_eq!(decoded("a  b"), "a  b");
    }

    #[test]
    fn raw_8_bit_text_and_unknown_charsets_are_read() {
        assert_eq!(decoded("ä =?x-unknown?q?=E4?="), "ä ä");
        assert_eq!(decode_header(b"\xe4"), "ä");
        assert_eq!(decoded("=?utf-8?q?two words?= x"), "two words x");
    }

    #[test]
    fn many_beginnings_without_an_end_take_linear_time() {
        for beginning in ["=?a?q?b", "=?a?x?b", "=?a?", "=?"] {
            let text = beginning.repeat(200_000);
            assert_eq!(decoded(&text), text);
            let ended = format!("{text}?=");
            assert!(decoded(&ended).len() <= ended.len());
        }
    }
}
