//! Literals as they are announced, and why a command is rejected.

use crate::types::Tag;

/// A literal whose octets have not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which literal of the command, from 0.
    pub index: u32,
    /// Octets.
    pub size: u64,
    /// Whether the peer waits to be asked for it.
    pub sync: LiteralSync,
    /// Its form.
    pub kind: LiteralKind,
}

/// Whether the peer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralSync {
    /// `{n}` from a client: it waits for a continuation.
    Waits,
    /// `{n+}` from a client, or any literal from a server: the octets come at once.
    Follows,
}

/// Form of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// `{n}`
    Plain,
    /// `~{n}`: it may hold NUL. RFC 3516 §4.4
    Binary,
}

/// What is to be done with an offered literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep it with the command, if the limits allow.
    Keep,
    /// Hand out its octets as they arrive.
    Stream,
    /// Refuse it, and with it the command.
    Refuse,
}

/// A command that will not be delivered. It is over: what follows is the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its tag, if it could be read.
    pub tag: Option<Tag>,
    /// Why.
    pub reason: Reason,
}

/// Why a command was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A line is longer than the limit.
    LineTooLong,
    /// Lines and kept literals together are longer than the limit.
    CommandTooLong,
    /// A literal that should have been kept is larger than the limit.
    LiteralTooBig,
    /// A literal came without asking and is larger than such a one may be. RFC 7888 §5
    UnaskedLiteralTooBig,
    /// More literals than the limit.
    TooManyLiterals,
    /// A literal's size is no number below 2^63.
    LiteralSize,
    /// The caller refused a literal.
    Refused,
}

/// A literal's header at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Octets; `None` if the digits are no number below 2^63.
    pub size: Option<u64>,
    /// Whether a `+` stands before the brace.
    pub plus: bool,
    /// Its form.
    pub kind: LiteralKind,
}

/// The header that ends `line`, which has no line break.
///
/// ```text
/// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
/// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
/// ```
pub fn header(line: &[u8]) -> Option<Header> {
    let inside = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inside)?;
    let (before, digits) = inside.split_at_checked(open)?;
    let digits = digits.get(1..)?;
    let (digits, plus) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, true),
        None => (digits, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, b: &u8| sum.checked_mul(10)?.checked_add(u64::from(b - b'0'));
    let size = digits.iter().try_fold(0_u64, add).filter(|n| *n <= i64::MAX as u64);
    let kind = if before.ends_with(b"~") { LiteralKind::Binary } else { LiteralKind::Plain };
    Some(Header { size, plus, kind })
}

/// Octets at the end of a line that are enough to see a literal's header with a sane size. A
/// longer run of digits is no size that could be read over anyway.
pub const HEADER_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_at_the_end_of_a_line_only() {
        let found = header(b"a LOGIN {11+}").unwrap();
        assert_eq!((found.size, found.plus, found.kind), (Some(11), true, LiteralKind::Plain));
        let found = header(b"a APPEND x ~{5}").unwrap();
        assert_eq!((found.size, found.plus, found.kind), (Some(5), false, LiteralKind::Binary));
        for line in ["a {5} ", "a {}", "a {+}", "a {5", "a 5}", "a {-5}", "a {5++}", "a {5x}", ""] {
            assert_eq!(header(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn sizes_beyond_63_bits_are_headers_without_a_size() {
        assert_eq!(header(b"{9223372036854775807}").unwrap().size, Some(i64::MAX as u64));
        for line in ["{9223372036854775808}", "{18446744073709551616}", "{99999999999999999999999}"]
        {
            assert_eq!(header(line.as_bytes()).unwrap().size, None, "{line}");
        }
    }
}
