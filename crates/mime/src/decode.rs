//! Removes a Content-Transfer-Encoding, in pieces. RFC 2045 §6, RFC 3516 §4
//!
//! Damaged input never fails: what can be decoded is, as mail readers do it. BINARY.SIZE counts
//! what the same decoder writes, so the two agree.

use crate::Part;
use crate::params::hex;

/// A transfer encoding that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `7bit`, `8bit`, `binary`: nothing to remove.
    Identity,
    /// `base64`
    Base64,
    /// `quoted-printable`
    QuotedPrintable,
}

/// The encoding is none of RFC 2045: BINARY answers `NO [UNKNOWN-CTE]`. RFC 9051 §6.4.5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEncoding;

/// What becomes of line ends in decoded data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnds {
    /// They stay as they are.
    Keep,
    /// A bare LF becomes CRLF, as BINARY must send text. RFC 9051 §7.5.2
    Crlf,
}

/// Decodes a body that comes in pieces. Wrong input is skipped or passed through, never an error.
///
/// It holds back less than 1 KiB, and writes at most twice what it is given.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    line_ends: LineEnds,
    last_out: u8,
}

#[derive(Clone, Debug)]
enum State {
    Identity,
    Base64(Base64),
    Quoted(Quoted),
}

impl Encoding {
    /// From the value of Content-Transfer-Encoding; `None` stands for a missing header.
    ///
    /// # Errors
    /// If the encoding is not one of RFC 2045.
    pub fn from_header(value: Option<&[u8]>) -> Result<Self, UnknownEncoding> {
        let value = value.unwrap_or_default().trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        if value.is_empty() || is("7bit") || is("8bit") || is("binary") {
            Ok(Self::Identity)
        } else if is("base64") {
            Ok(Self::Base64)
        } else if is("quoted-printable") {
            Ok(Self::QuotedPrintable)
        } else {
            Err(UnknownEncoding)
        }
    }
}

impl Part {
    /// The decoder for the body as BINARY sends it: text with CRLF line ends, all else unchanged.
    ///
    /// # Errors
    /// If the transfer encoding is not one of RFC 2045.
    pub fn decoder(&self) -> Result<Decoder, UnknownEncoding> {
        let encoding = Encoding::from_header(self.encoding.as_deref())?;
        // In UTF-16 and UTF-32 a byte of 10 is no line end.
        let is_wide = self.params.iter().any(|p| {
            p.name.eq_ignore_ascii_case(b"charset")
                && p.value.get(..5).is_some_and(|v| {
                    v.eq_ignore_ascii_case(b"utf-1") || v.eq_ignore_ascii_case(b"utf-3")
                })
        });
        let is_text = self.is_kind("text") && !is_wide;
        Ok(Decoder::new(encoding, if is_text { LineEnds::Crlf } else { LineEnds::Keep }))
    }
}

impl Decoder {
    /// A decoder at the beginning of a body.
    pub fn new(encoding: Encoding, line_ends: LineEnds) -> Self {
        let state = match encoding {
            Encoding::Identity => State::Identity,
            Encoding::Base64 => State::Base64(Base64::default()),
            Encoding::QuotedPrintable => State::Quoted(Quoted::default()),
        };
        Self { state, line_ends, last_out: 0 }
    }

    /// Decodes the next piece and appends it to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        match &mut self.state {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64(state) => state.push(bytes, out),
            State::Quoted(state) => state.push(bytes, out),
        }
        self.mend_line_ends(out, start);
    }

    /// Appends what was held back at the end of the body.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let start = out.len();
        match &mut self.state {
            State::Identity => {}
            State::Base64(state) => state.finish(out),
            State::Quoted(state) => state.finish(out),
        }
        self.mend_line_ends(out, start);
    }

    /// Puts a CR before each bare LF from `start` on, if that is wanted.
    fn mend_line_ends(&mut self, out: &mut Vec<u8>, start: usize) {
        let Some(&last) = out.get(start..).and_then(<[u8]>::last) else { return };
        if self.line_ends == LineEnds::Crlf {
            let new = out.get(start..).unwrap_or_default();
            let is_bare = |at: usize| {
                let before = at.checked_sub(1).and_then(|before| new.get(before));
                *before.unwrap_or(&self.last_out) != b'\r'
            };
            let bare: Vec<usize> =
                memchr::memchr_iter(b'\n', new).filter(|at| is_bare(*at)).collect();
            if !bare.is_empty() {
                let old = out.split_off(start);
                let mut from = 0;
                for at in bare {
                    out.extend_from_slice(old.get(from..at).unwrap_or_default());
                    out.push(b'\r');
                    from = at;
                }
                out.extend_from_slice(old.get(from..).unwrap_or_default());
            }
        }
        self.last_out = last;
    }
}

/// Base64: all that is no digit is skipped, padding ends the data. RFC 2045 §6.8
#[derive(Clone, Debug, Default)]
struct Base64 {
    bits: u32,
    digits: u8,
    has_ended: bool,
}

impl Base64 {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() / 4 * 3 + 3);
        let mut rest = bytes;
        while !self.has_ended && !rest.is_empty() {
            if self.digits == 0 {
                rest = decode_quads(rest, out);
            }
            let Some((&byte, after)) = rest.split_first() else { return };
            rest = after;
            match digit(byte) {
                PADDING => self.has_ended = self.digits >= 2,
                NO_DIGIT => {}
                value => self.add(value, out),
            }
        }
    }

    fn add(&mut self, value: u8, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | u32::from(value);
        self.digits += 1;
        if self.digits == 4 {
            let [_, a, b, c] = self.bits.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (self.bits, self.digits) = (0, 0);
        }
    }

    /// What is left of an incomplete group: two digits make a byte, three make two.
    fn finish(&mut self, out: &mut Vec<u8>) {
        let [_, a, b, _] = (self.bits << (6 * (4 - u32::from(self.digits.min(4))))).to_be_bytes();
        match self.digits {
            2 => out.push(a),
            3 => out.extend_from_slice(&[a, b]),
            _ => {}
        }
    }
}

/// Decodes groups of four digits as long as nothing else comes; returns the rest.
fn decode_quads<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = bytes;
    while let [a, b, c, d, after @ ..] = rest {
        let (a, b, c, d) = (digit(*a), digit(*b), digit(*c), digit(*d));
        // Both marks for what is no digit have the high bit set.
        if (a | b | c | d) & 0x80 != 0 {
            break;
        }
        let bits = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, x, y, z] = bits.to_be_bytes();
        out.extend_from_slice(&[x, y, z]);
        rest = after;
    }
    rest
}

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT)
}

/// Quoted-printable. RFC 2045 §6.7
///
/// White space at the end of a line was added on the way and goes (rule 3), if it is no more than
/// `HELD_MAX` bytes. What follows a `=` and is neither two digits nor the end of a line stays as it
/// is. Whole lines are decoded at once; what a piece leaves undecided goes byte by byte.
#[derive(Clone, Debug, Default)]
struct Quoted {
    /// What may still become an escape, a soft line break or space at the end of a line.
    held: Vec<u8>,
    /// In white space that is too long to be held.
    is_long_space: bool,
}

impl Quoted {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.held.is_empty() && !self.is_long_space {
                let decided = decode_lines(rest, out);
                if decided > 0 {
                    rest = rest.get(decided..).unwrap_or_default();
                    continue;
                }
            }
            if self.step(byte, out) {
                rest = after;
            }
        }
    }

    /// Takes one byte; returns whether it was used up. If not, `held` has become shorter.
    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        if std::mem::take(&mut self.is_long_space) && matches!(byte, b' ' | b'\t') {
            self.is_long_space = true;
            out.push(byte);
            return true;
        }
        match (self.held.as_slice(), byte) {
            ([], b'=' | b' ' | b'\t' | b'\r') => self.held.push(byte),
            ([], _) => out.push(byte),
            // An escape.
            ([b'='], digit) if hex(digit).is_some() => self.held.push(digit),
            ([b'=', high], low) if hex(*high).is_some() && hex(low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(low).unwrap_or(0));
                self.held.clear();
            }
            // A soft line break, perhaps with space before the line end: nothing is left of it.
            ([b'=', ..], b'\n') if self.is_break() => self.held.clear(),
            ([b'=', ..], b' ' | b'\t' | b'\r') if self.is_break() && self.held.len() < HELD_MAX => {
                self.held.push(byte);
            }
            // Space before a line end; the line end stays.
            ([b' ' | b'\t' | b'\r', ..], b'\n') => {
                if self.held.ends_with(b"\r") {
                    out.push(b'\r');
                }
                out.push(b'\n');
                self.held.clear();
            }
            ([b' ' | b'\t' | b'\r', ..], b' ' | b'\t' | b'\r')
                if !self.held.ends_with(b"\r") && self.held.len() < HELD_MAX =>
            {
                self.held.push(byte);
            }
            // It was something else: what is held is text.
            _ => {
                let is_space = self.held.iter().all(|b| matches!(b, b' ' | b'\t'));
                self.is_long_space = is_space && matches!(byte, b' ' | b'\t' | b'\r');
                out.append(&mut self.held);
                return false;
            }
        }
        true
    }

    /// Whether what follows the `=` is space only, perhaps with a CR at its end.
    fn is_break(&self) -> bool {
        let tail = self.held.get(1..).unwrap_or_default();
        let tail = tail.strip_suffix(b"\r").unwrap_or(tail);
        tail.iter().all(|b| matches!(b, b' ' | b'\t'))
    }

    /// Space at the end of the body and an unfinished soft break go; half an escape is text.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.held.starts_with(b"=") && !self.is_break() {
            out.append(&mut self.held);
        }
    }
}

/// Decodes as far as the piece decides it; returns how many bytes that is.
fn decode_lines(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut rest = bytes;
    loop {
        let special = memchr::memchr2(b'=', b'\n', rest).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(special);
        rest = match tail {
            [b'\n', after @ ..] => {
                let (line, cr) = match text.strip_suffix(b"\r") {
                    Some(line) => (line, &b"\r"[..]),
                    None => (text, &b""[..]),
                };
                let kept = without_space(line);
                let is_short = text.len() - kept.len() <= HELD_MAX;
                out.extend_from_slice(if is_short { kept } else { line });
                out.extend_from_slice(cr);
                out.push(b'\n');
                after
            }
            [b'=', b'\r', b'\n', after @ ..] | [b'=', b'\n', after @ ..] => {
                out.extend_from_slice(text);
                after
            }
            [b'=', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.extend_from_slice(text);
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                after
            }
            [] => {
                // Space may turn out to stand at the end of its line.
                let space = text.iter().rev().take_while(|b| matches!(b, b' ' | b'\t' | b'\r'));
                let kept = text.len() - space.count();
                out.extend_from_slice(text.get(..kept).unwrap_or_default());
                return bytes.len() - (text.len() - kept);
            }
            _ => {
                out.extend_from_slice(text);
                return bytes.len() - tail.len();
            }
        };
    }
}

/// A line without space and tab at its end.
fn without_space(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
    line.get(..end).unwrap_or_default()
}

/// Most white space that is held back before a line end. Lines have at most 76 characters.
/// RFC 2045 §6.7 (5)
const HELD_MAX: usize = 998;
const NO_DIGIT: u8 = 0xff;
const PADDING: u8 = 0xfe;
const DIGITS: [u8; 256] = digit_table();

// Evaluated by the compiler: an index out of bounds would fail the build.
const fn digit_table() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 64 {
        table[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    table[b'=' as usize] = PADDING;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, line_ends: LineEnds, input: &str) -> String {
        let mut whole = Vec::new();
        let mut decoder = Decoder::new(encoding, line_ends);
        decoder.push(input.as_bytes(), &mut whole);
        decoder.finish(&mut whole);
        let mut pieces = Vec::new();
        let mut decoder = Decoder::new(encoding, line_ends);
        for byte in input.bytes() {
            decoder.push(&[byte], &mut pieces);
        }
        decoder.finish(&mut pieces);
        assert_eq!(whole, pieces, "byte by byte: {input:?}");
        String::from_utf8_lossy(&whole).into_owned()
    }

    fn base64(input: &str) -> String {
        decode(Encoding::Base64, LineEnds::Keep, input)
    }

    fn quoted(input: &str) -> String {
        decode(Encoding::QuotedPrintable, LineEnds::Keep, input)
    }

    #[test]
    fn base64_of_any_length_decodes() {
        assert_eq!(base64("SGVsbG8sIHdvcmxkIQ=="), "Hello, world!");
        assert_eq!(base64("SGVs\r\nbG8s\r\nIHdv\r\ncmxk"), "Hello, world");
        assert_eq!(base64("SGVsbG8="), "Hello");
        assert_eq!(base64(""), "");
    }

    #[test]
    fn base64_skips_garbage_and_ends_at_padding() {
        assert_eq!(base64("S*G V-s\0bG8="), "Hello");
        assert_eq!(base64("SGVsbG8"), "Hello", "padding is missing");
        assert_eq!(base64("SGVsbA"), "Hell");
        assert_eq!(base64("SGVsb"), "Hel", "one digit is no byte");
        assert_eq!(base64("SGVsbG8=\r\n____\r\nlist footer"), "Hello");
        assert_eq!(base64("=SGVs=bG8="), "Hello", "padding too early is garbage");
    }

    #[test]
    fn quoted_printable_decodes_as_the_rfc_says() {
        let text = "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.";
        assert_eq!(
            quoted(text),
            "Now's the time for all folk to come to the aid of their country."
        );
        assert_eq!(quoted("=C3=A4=c3=a4"), "ää");
        assert_eq!(quoted("a  \t\r\nb \nc  "), "a\r\nb\nc");
        assert_eq!(quoted("a= \t\r\nb=\nc="), "abc");
        assert_eq!(quoted("a b\tc"), "a b\tc");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(quoted("a=b"), "a=b");
        assert_eq!(quoted("=ZZ=4=41"), "=ZZ=4A");
        assert_eq!(quoted("a\rb\r\r\nc"), "a\rb\r\r\nc");
        assert_eq!(quoted("= x"), "= x");
        assert_eq!(quoted("=\rx"), "=\rx");
        assert_eq!(quoted("=="), "=");
    }

    #[test]
    fn a_line_of_spaces_is_not_held_back_without_end() {
        let spaces = " ".repeat(5000);
        assert_eq!(quoted(&format!("{spaces}x")), format!("{spaces}x"));
        let mut decoder = Decoder::new(Encoding::QuotedPrintable, LineEnds::Keep);
        let mut out = Vec::new();
        decoder.push(spaces.as_bytes(), &mut out);
        assert!(out.len() > 5000 - 2 * HELD_MAX);
        // `quoted` feeds each whole and byte by byte: the limit is the same for both.
        for spaces in [HELD_MAX - 1, HELD_MAX, HELD_MAX + 1, 3 * HELD_MAX] {
            let line = format!("a{}", " ".repeat(spaces));
            for line_end in ["\n", "\r\n", "\r\r\n", "=\n", "\rx"] {
                let decoded = quoted(&format!("{line}{line_end}b"));
                assert!(
                    decoded.starts_with('a') && decoded.ends_with('b'),
                    "{spaces} {line_end:?}"
                );
            }
        }
    }

    #[test]
    fn text_gets_crlf_line_ends_and_nothing_else_changes() {
        let crlf = |input| decode(Encoding::Identity, LineEnds::Crlf, input);
        assert_eq!(crlf("a\nb\r\nc\n\nd\re"), "a\r\nb\r\nc\r\n\r\nd\re");
        assert_eq!(decode(Encoding::Base64, LineEnds::Crlf, "YQpiDQpj"), "a\r\nb\r\nc");
        assert_eq!(decode(Encoding::Identity, LineEnds::Keep, "a\nb"), "a\nb");
    }

    #[test]
    fn an_unknown_encoding_is_an_error_and_a_missing_one_is_not() {
        assert_eq!(Encoding::from_header(None), Ok(Encoding::Identity));
        assert_eq!(Encoding::from_header(Some(b" 8BIT ")), Ok(Encoding::Identity));
        assert_eq!(Encoding::from_header(Some(b"Base64")), Ok(Encoding::Base64));
        assert_eq!(Encoding::from_header(Some(b"x-uuencode")), Err(UnknownEncoding));
    }
}
