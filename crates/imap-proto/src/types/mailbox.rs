//! Mailbox names as they stand on the wire, and what they mean.

use std::fmt;

use mail_types::{MailboxName, NameError};

use crate::utf7;

/// How names outside ASCII are written on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameEncoding {
    /// IMAP4rev1: modified UTF-7. RFC 3501 §5.1.3
    ModifiedUtf7,
    /// After ENABLE of IMAP4rev2 or UTF8=ACCEPT: UTF-8. RFC 9051 §5.1, RFC 6855 §3
    Utf8,
}

/// A mailbox name as it was received or will be sent.
///
/// It is decoded only when it is used: how names are encoded depends on an ENABLE that may stand
/// earlier in the same pipeline, and a name that cannot be decoded is a NO, not a BAD.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct MailboxArg(Vec<u8>);

/// Why a name on the wire names no mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Not UTF-8, or not the one right spelling in modified UTF-7.
    Encoding,
    /// Well encoded, but no name that a mailbox can have.
    Name(NameError),
}

impl MailboxArg {
    /// A name from the bytes of its astring.
    pub fn from_wire(raw: impl Into<Vec<u8>>) -> Self {
        Self(raw.into())
    }

    /// A name for the wire.
    pub fn encode(name: &str, encoding: NameEncoding) -> Self {
        match encoding {
            NameEncoding::ModifiedUtf7 => Self(utf7::encode(name).into_bytes()),
            NameEncoding::Utf8 => Self(name.as_bytes().to_vec()),
        }
    }

    /// The bytes between the quotes, or of the literal.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// The text, with no check of whether it could be a mailbox: empty, or ending in a separator
    /// as the argument of CREATE may.
    ///
    /// # Errors
    /// If the bytes are not the one right encoding of any text.
    pub fn decode(&self, encoding: NameEncoding) -> Result<String, InvalidName> {
        decode(&self.0, encoding)
    }

    /// The mailbox's name.
    ///
    /// # Errors
    /// If the bytes cannot be decoded, or no mailbox may have this name.
    pub fn name(&self, encoding: NameEncoding) -> Result<MailboxName, InvalidName> {
        MailboxName::new(&self.decode(encoding)?).map_err(InvalidName::Name)
    }
}

impl fmt::Debug for MailboxArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A pattern of LIST or LSUB as received, with `*` and `%`. RFC 9051 §6.3.9
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ListPattern(Vec<u8>);

impl ListPattern {
    /// A pattern from its bytes.
    pub fn from_wire(raw: impl Into<Vec<u8>>) -> Self {
        Self(raw.into())
    }

    /// A pattern for the wire.
    pub fn encode(pattern: &str, encoding: NameEncoding) -> Self {
        Self(MailboxArg::encode(pattern, encoding).0)
    }

    /// The bytes as received.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// The text; the wildcards are ASCII and stand for themselves in both encodings.
    ///
    /// # Errors
    /// If the bytes cannot be decoded: such a pattern matches nothing, and LIST answers OK.
    pub fn decode(&self, encoding: NameEncoding) -> Result<String, InvalidName> {
        decode(&self.0, encoding)
    }
}

impl fmt::Debug for ListPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

fn decode(raw: &[u8], encoding: NameEncoding) -> Result<String, InvalidName> {
    match encoding {
        NameEncoding::ModifiedUtf7 => utf7::decode(raw).ok_or(InvalidName::Encoding),
        NameEncoding::Utf8 => String::from_utf8(raw.to_vec()).map_err(|_| InvalidName::Encoding),
    }
}
