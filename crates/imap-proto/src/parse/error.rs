//! What is wrong with a command or a response.

use std::fmt;

use crate::types::Tag;

/// Why bytes are not what they should be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The command's tag, if it could be read: the BAD that answers it is tagged then.
    pub tag: Option<Tag>,
    /// Octets before the trouble, literals counted.
    pub offset: usize,
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// What was expected there.
    pub expected: &'static str,
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The syntax is wrong.
    Syntax,
    /// There is no such command, or it belongs to an extension that is not supported.
    UnknownCommand,
    /// A number, a date or a word that has the right form and no meaning.
    Value,
    /// Something that was allowed once, or elsewhere, and is not here.
    NotAllowed,
    /// Parentheses, NOT or OR nest deeper than the limit.
    TooDeep,
    /// More items than the limit.
    TooMany,
}

impl fmt::Display for ParseError {
    /// A text for the BAD response: ASCII, one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Syntax | ErrorKind::Value => {
                write!(f, "expected {} at offset {}", self.expected, self.offset)
            }
            ErrorKind::UnknownCommand => f.write_str("unknown command"),
            ErrorKind::NotAllowed => {
                write!(f, "{} are not allowed at offset {}", self.expected, self.offset)
            }
            ErrorKind::TooDeep => write!(f, "nested too deeply at offset {}", self.offset),
            ErrorKind::TooMany => {
                write!(f, "too many: {} at offset {}", self.expected, self.offset)
            }
        }
    }
}

impl std::error::Error for ParseError {}

pub type Result<T> = std::result::Result<T, ParseError>;
