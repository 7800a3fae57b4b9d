//! The streaming parser.

use crate::{Content, HeaderSummary, Limits, Message, Part};

/// Parses a message that comes in pieces of any size. Keeps header blocks only.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    bytes: Vec<u8>,
}

/// Parses a whole message with the default limits.
pub fn parse(bytes: &[u8]) -> Message {
    let mut parser = Parser::new(Limits::default());
    parser.push(bytes);
    parser.finish()
}

impl Parser {
    /// A parser at the beginning of a message.
    pub fn new(limits: Limits) -> Self {
        Self { limits, bytes: Vec::new() }
    }

    /// Takes the next bytes of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = self.limits;
        self.bytes.extend_from_slice(bytes);
    }

    /// Ends the message.
    pub fn finish(self) -> Message {
        let size = self.bytes.len() as u64;
        let body_start =
            memchr::memmem::find(&self.bytes, b"\n\r\n").map_or(size, |at| at as u64 + 3);
        let header = self.bytes.get(..usize::try_from(body_start).unwrap_or(0)).unwrap_or_default();
        let body = self.bytes.get(header.len()..).unwrap_or_default();
        Message {
            size,
            header: HeaderSummary { envelope: crate::envelope(header), ..HeaderSummary::default() },
            preview: String::new(),
            root: Part {
                header_start: 0,
                body_start,
                end: size,
                lines: memchr::memchr_iter(b'\n', body).count() as u64,
                kind: b"text".to_vec(),
                subtype: b"plain".to_vec(),
                params: Vec::new(),
                id: None,
                description: None,
                encoding: None,
                md5: None,
                disposition: None,
                language: Vec::new(),
                location: None,
                content: Content::Leaf,
            },
        }
    }
}
