//! Values with parameters: Content-Type, Content-Disposition. RFC 2045 §5.1, RFC 2183, RFC 2231
//!
//! ```text
//! content    = type "/" subtype *(";" parameter)
//! parameter  = attribute ["*" number] ["*"] "=" value
//! value      = token / quoted-string
//! ```
//!
//! Read leniently: an unquoted value reaches to the next `;`, so that `name=two words.txt` and
//! `boundary=a=b` mean what their senders meant; a comment at its end goes.

use mail_types::Param;

use crate::charset::to_utf8;
use crate::{Part, decode_header};

/// Reads what follows the first `;`. The value must be unfolded.
pub(crate) fn parse_params(text: &[u8]) -> Vec<Param> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && found.len() < PARAMS_MAX {
        let (param, after) = next_param(rest);
        found.extend(param);
        rest = after;
    }
    join_continuations(found)
}

/// One parameter, if there is one up to the next `;`, and what follows that.
fn next_param(text: &[u8]) -> (Option<Param>, &[u8]) {
    let name_end = memchr::memchr2(b'=', b';', text).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let Some(rest) = rest.strip_prefix(b"=") else {
        return (None, rest.get(1..).unwrap_or_default());
    };
    let rest = rest.trim_ascii_start();
    let (value, rest) = match rest.strip_prefix(b"\"") {
        Some(quoted) => unquote(quoted),
        None => {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            let (value, rest) = rest.split_at(end);
            (without_comment(value).to_vec(), rest)
        }
    };
    let after = memchr::memchr(b';', rest).and_then(|at| rest.get(at + 1..)).unwrap_or_default();
    // RFC 2231 §7 allows no space in the name, but `filename *= x` is seen.
    let name: Vec<u8> = name.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    (is_name.then_some(Param { name, value }), after)
}

/// A quoted string after its first quote: its text, and what follows the closing quote. A string
/// that is not closed reaches to the end.
pub(crate) fn unquote(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at(end);
        value.extend_from_slice(plain);
        match tail {
            [b'\\', byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [b'"', after @ ..] => return (value, after),
            _ => return (value, &[]),
        }
    }
}

/// `us-ascii (Plain text)` is `us-ascii`, the example of RFC 2045 §5.1; but `a (1).txt` has no
/// comment at its end.
fn without_comment(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    if !value.ends_with(b")") {
        return value;
    }
    let start = memchr::memchr(b'(', value).unwrap_or(value.len());
    value.get(..start).unwrap_or_default().trim_ascii_end()
}

/// Joins `name*0`, `name*1` ... into one parameter, `name`, or `name*` if a piece is extended.
/// RFC 2231 §3 and §4.1; RFC 9051 §7.5.2 asks servers to do so
fn join_continuations(found: Vec<Param>) -> Vec<Param> {
    if !found.iter().any(|p| piece_of(&p.name).is_some()) {
        return found;
    }
    let mut joined: Vec<Param> = Vec::new();
    // Name in lower case, place in `joined`, pieces: number, extended, value.
    let mut groups: Vec<(Vec<u8>, usize, Vec<Piece>)> = Vec::new();
    for param in found {
        let Some((base, number, form)) = piece_of(&param.name) else {
            joined.push(param);
            continue;
        };
        let piece = Piece { number, form, value: param.value };
        let key = base.to_ascii_lowercase();
        // At most PARAMS_MAX names, so that a search in order is cheap enough.
        if let Some((_, _, pieces)) = groups.iter_mut().find(|(name, _, _)| *name == key) {
            pieces.push(piece);
        } else {
            groups.push((key, joined.len(), vec![piece]));
            joined.push(Param { name: base.to_vec(), value: Vec::new() });
        }
    }
    for (_, at, mut pieces) in groups {
        // Any order is allowed. RFC 2231 §3. Of two pieces with one number, the first counts.
        pieces.sort_by_key(|piece| piece.number);
        pieces.dedup_by_key(|piece| piece.number);
        if let Some(param) = joined.get_mut(at) {
            join_pieces(param, &pieces);
        }
    }
    joined
}

struct Piece {
    number: u32,
    form: Form,
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Extended,
}

fn join_pieces(param: &mut Param, pieces: &[Piece]) {
    if pieces.iter().all(|piece| piece.form == Form::Plain) {
        param.value = pieces.iter().flat_map(|piece| piece.value.iter().copied()).collect();
        return;
    }
    param.name.push(b'*');
    // Only the first piece names the charset. RFC 2231 §4.1
    if pieces.first().is_some_and(|piece| piece.form == Form::Plain) {
        param.value.extend_from_slice(b"''");
    }
    for piece in pieces {
        match piece.form {
            Form::Extended => param.value.extend_from_slice(&piece.value),
            Form::Plain => percent_encode(&piece.value, &mut param.value),
        }
    }
}

/// `name*3*` as `name`, 3, extended. `None` if the name has no number.
fn piece_of(name: &[u8]) -> Option<(&[u8], u32, Form)> {
    let (name, form) = match name.strip_suffix(b"*") {
        Some(name) => (name, Form::Extended),
        None => (name, Form::Plain),
    };
    let star = memchr::memrchr(b'*', name)?;
    let (base, digits) = (name.get(..star)?, name.get(star + 1..)?);
    let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if base.is_empty() || !is_number {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((base, number, form))
}

/// Escapes all that is no `attribute-char`. RFC 2231 §7
fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{}~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// `charset'language'text` with percent escapes, decoded. RFC 2231 §4
fn decode_extended(value: &[u8]) -> String {
    let mut parts = value.splitn(3, |&b| b == b'\'');
    let (charset, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(text)) => (charset, text),
        _ => (&b""[..], value),
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = tail;
            }
            _ => bytes.push(byte),
        }
    }
    to_utf8(charset, &bytes)
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The decoded parameter: the extended form if there is one, else the plain one, in which encoded
/// words are decoded too, since most senders of non-ASCII names put them there.
fn decoded(params: &[Param], name: &str) -> Option<String> {
    let is_extended = |param: &&Param| {
        param.name.strip_suffix(b"*").is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    };
    if let Some(param) = params.iter().find(is_extended) {
        return Some(decode_extended(&param.value));
    }
    let param = params.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(decode_header(&param.value))
}

impl Part {
    /// A parameter of Content-Type, decoded. RFC 2231 §4, RFC 2047
    pub fn param(&self, name: &str) -> Option<String> {
        decoded(&self.params, name)
    }

    /// The file name of an attachment, decoded: `filename` of the disposition, or else `name` of
    /// the type. A name, not a path: never use it on a file system as it is.
    pub fn filename(&self) -> Option<String> {
        let disposition = self.disposition.as_ref();
        disposition.and_then(|d| decoded(&d.params, "filename")).or_else(|| self.param("name"))
    }
}

/// Most parameters of one value, pieces counted singly: 100 pieces of 78 characters carry any file
/// name a file system can.
const PARAMS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let text_of = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        parse_params(text.as_bytes())
            .into_iter()
            .map(|p| (text_of(p.name), text_of(p.value)))
            .collect()
    }

    fn value_of(text: &str, name: &str) -> String {
        decoded(&parse_params(text.as_bytes()), name).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_2045_and_2231_decode() {
        assert_eq!(value_of("charset=us-ascii (Plain text)", "charset"), "us-ascii");
        assert_eq!(value_of("charset=\"us-ascii\"", "CHARSET"), "us-ascii");
        assert_eq!(
            value_of("access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/\"", "url"),
            "ftp://cs.utk.edu/pub/moore/"
        );
        assert_eq!(
            value_of("title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "title"),
            "This is ***fun***"
        );
        assert_eq!(
            value_of(
                "title*0*=us-ascii'en'This%20is%20even%20more%20; \
                 title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
                "title"
            ),
            "This is even more ***fun*** isn't it!"
        );
    }

    #[test]
    fn pieces_join_in_any_order_and_a_repeated_number_counts_once() {
        assert_eq!(
            pairs("x=1; n*1=b; n*0=a; n*10=d; n*2=c; y=2"),
            [("x".into(), "1".into()), ("n".into(), "abcd".into()), ("y".into(), "2".into()),]
        );
        assert_eq!(value_of("filename*0=a.txt; filename*0=b.exe", "filename"), "a.txt");
        // A multi-byte character may be cut between two pieces.
        assert_eq!(value_of("n*1*=%A4.pdf; n*0*=utf-8''%C3", "n"), "ä.pdf");
        assert_eq!(value_of("n*0=plain; n*1*=%C3%A4", "n"), "plainä");
    }

    #[test]
    fn every_order_of_the_pieces_gives_the_same_name() {
        let pieces = ["f*0*=utf-8''%C3", "f*1*=%A4 ", "f*2=\"b%20\"", "f*3*=.ex%65"];
        for order in 0..256_usize {
            let at: Vec<usize> = (0..4).map(|n| order >> (2 * n) & 3).collect();
            if (0..4).all(|n| at.contains(&n)) {
                let text: Vec<&str> = at.iter().map(|n| pieces[*n]).collect();
                assert_eq!(value_of(&text.join(";"), "f"), "äb%20.exe", "{at:?}");
            }
        }
    }

    #[test]
    fn the_extended_form_wins_over_the_plain_one() {
        assert_eq!(
            value_of("filename=euro.txt; filename*=utf-8''%E2%82%AC.txt", "filename"),
            "€.txt"
        );
        assert_eq!(value_of("filename=\"=?utf-8?Q?=E2=82=AC.txt?=\"", "filename"), "€.txt");
    }

    #[test]
    fn sloppy_values_mean_what_their_senders_meant() {
        assert_eq!(value_of(" name = two words.txt ; x=y", "name"), "two words.txt");
        assert_eq!(value_of("name=a (1).txt", "name"), "a (1).txt");
        assert_eq!(value_of("boundary=----=_Part_1", "boundary"), "----=_Part_1");
        assert_eq!(value_of("boundary=\"a;b\\\"c\\\\\"; x=1", "boundary"), "a;b\"c\\");
        assert_eq!(value_of("name=\"never closed; x=1", "name"), "never closed; x=1");
        assert_eq!(value_of("name=\"ends in a backslash\\", "name"), "ends in a backslash");
        assert_eq!(pairs("; ;junk; =x; a=1;").len(), 1);
        assert_eq!(pairs("a*b=1; a*=2; *0=3; a*0*1=4").len(), 4);
    }

    #[test]
    fn a_hundred_thousand_pieces_are_bounded() {
        let text: String = (0..100_000).map(|n| format!("n*{n}=x;")).collect();
        assert_eq!(value_of(&text, "n").len(), PARAMS_MAX);
    }

    #[test]
    fn broken_percent_escapes_stay_as_they_are() {
        assert_eq!(value_of("n*=utf-8''100%; m=1", "n"), "100%");
        assert_eq!(value_of("n*=utf-8''%4", "n"), "%4");
        assert_eq!(value_of("n*=%zz'x", "n"), "%zz'x");
    }
}
