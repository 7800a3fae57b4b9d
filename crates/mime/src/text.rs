//! Readable text of a message, for searching. RFC 9051 §6.4.4
//!
//! Cost: each body is decoded once and converted once; memory is the decoded text and its source,
//! both bounded by the caller.

use crate::charset::{to_utf8, whole_characters};
use crate::decode::{Decoder, Encoding, LineEnds};
use crate::header::fields;
use crate::{Content, Message, Part, decode_header, html_to_text};

/// Which text SEARCH looks at. RFC 9051 §6.4.4
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `BODY`: the text parts, and the headers of messages inside.
    Body,
    /// `TEXT`: that, the header of the message and the headers of all parts.
    Text,
}

/// A piece of a message that text is made of: where it lies and how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The header of this part or message, for [`of_header`].
    Header(&'a Part),
    /// The body of this text part, for [`of_part`] or [`Extractor`].
    Body(&'a Part),
}

impl Message {
    /// The parts whose bodies are text, in order: those that [`of_part`] reads.
    pub fn text_parts(&self) -> Vec<&Part> {
        let bodies = self.searched(Scope::Body).into_iter();
        let body = |piece| match piece {
            Piece::Body(part) => Some(part),
            Piece::Header(_) => None,
        };
        bodies.filter_map(body).collect()
    }

    /// What a search looks at, in the order of the message. The caller reads the ranges
    /// ([`Part::header`], [`Part::body`]) and converts them one by one.
    pub fn searched(&self, scope: Scope) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        // Depth is bounded by the tree's limit; this list holds siblings too, so it is on the heap.
        let mut open = vec![(&self.root, scope == Scope::Text)];
        while let Some((part, with_header)) = open.pop() {
            if with_header {
                pieces.push(Piece::Header(part));
            }
            match &part.content {
                Content::Leaf if is_readable(part) => pieces.push(Piece::Body(part)),
                Content::Leaf => {}
                Content::Multipart(parts) => {
                    open.extend(parts.iter().rev().map(|part| (part, scope == Scope::Text)));
                }
                // The header of a message inside is part of the outer one's body.
                Content::Message(inner) => open.push((&inner.root, true)),
            }
        }
        pieces
    }
}

/// Text of all that a search looks at, of a message whose bytes are at hand; at most `bytes_max`
/// bytes of UTF-8. Pieces are parted by line ends.
pub fn of_message(message: &Message, bytes: &[u8], scope: Scope, bytes_max: usize) -> String {
    let mut out = String::new();
    for piece in message.searched(scope) {
        let room = bytes_max.saturating_sub(out.len() + 1);
        if room == 0 {
            break;
        }
        let text = match piece {
            Piece::Header(part) => of_header(slice(bytes, part.header())),
            Piece::Body(part) => of_part(part, slice(bytes, part.body()), room),
        };
        out.push_str(cut(&text, room));
        out.push('\n');
    }
    out
}

/// Text of one part from the bytes of its body: transfer encoding and charset removed, HTML made
/// plain. At most `bytes_max` bytes of UTF-8.
pub fn of_part(part: &Part, body: &[u8], bytes_max: usize) -> String {
    let mut extractor = Extractor::new(part, bytes_max);
    extractor.push(body);
    extractor.finish()
}

/// All header values of a block, decoded, one to a line with their names.
pub fn of_header(header: &[u8]) -> String {
    let mut out = String::with_capacity(header.len());
    for field in fields(header) {
        if !field.name.is_empty() {
            out.push_str(&String::from_utf8_lossy(field.name));
            out.push_str(": ");
        }
        out.push_str(&decode_header(field.value));
        out.push('\n');
    }
    out
}

/// Makes text of a part whose body comes in pieces.
#[derive(Debug)]
pub struct Extractor {
    decoder: Decoder,
    charset: Vec<u8>,
    is_html: bool,
    bytes_max: usize,
    /// The decoded body, up to the limit for its kind.
    source: Vec<u8>,
    is_cut: bool,
}

impl Extractor {
    /// An extractor at the beginning of a body; makes at most `bytes_max` bytes of UTF-8.
    pub fn new(part: &Part, bytes_max: usize) -> Self {
        // An encoding that is not known is searched as it stands.
        let encoding =
            Encoding::from_header(part.encoding.as_deref()).unwrap_or(Encoding::Identity);
        Self {
            decoder: Decoder::new(encoding, LineEnds::Keep),
            charset: part.param("charset").unwrap_or_default().into_bytes(),
            is_html: part.is_type("text", "html"),
            bytes_max,
            source: Vec::new(),
            is_cut: false,
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        let source_max = self.source_max();
        for chunk in bytes.chunks(CHUNK_BYTES) {
            if self.source.len() >= source_max {
                self.is_cut = true;
                return;
            }
            self.decoder.push(chunk, &mut self.source);
        }
    }

    /// Whether more bytes would change nothing.
    pub fn is_full(&self) -> bool {
        self.source.len() >= self.source_max()
    }

    /// The text.
    pub fn finish(mut self) -> String {
        self.decoder.finish(&mut self.source);
        to_text(&self.source, &self.charset, self.is_html, self.is_cut, self.bytes_max)
    }

    /// HTML is several times its text.
    fn source_max(&self) -> usize {
        if self.is_html { self.bytes_max.saturating_mul(HTML_FACTOR) } else { self.bytes_max }
    }
}

/// A body, or its beginning, with what is needed to read it.
pub(crate) struct Source<'a> {
    pub bytes: &'a [u8],
    pub encoding: Encoding,
    pub charset: &'a [u8],
    pub is_html: bool,
    /// The bytes end in the middle of the body.
    pub is_cut: bool,
    pub bytes_max: usize,
}

/// Text of a body.
pub(crate) fn convert(source: &Source<'_>) -> String {
    let mut decoded = Vec::new();
    let mut decoder = Decoder::new(source.encoding, LineEnds::Keep);
    decoder.push(source.bytes, &mut decoded);
    decoder.finish(&mut decoded);
    to_text(&decoded, source.charset, source.is_html, source.is_cut, source.bytes_max)
}

fn to_text(bytes: &[u8], charset: &[u8], is_html: bool, is_cut: bool, bytes_max: usize) -> String {
    let bytes = if is_cut { whole_characters(charset, bytes) } else { bytes };
    let text = to_utf8(charset, bytes);
    if is_html {
        return html_to_text(&text, bytes_max);
    }
    match cut(&text, bytes_max).len() {
        len if len == text.len() => text,
        len => text.get(..len).unwrap_or_default().to_owned(),
    }
}

/// Whether the body of a leaf is text: text parts, and multiparts in which no parts were found.
fn is_readable(part: &Part) -> bool {
    part.is_kind("text") || part.is_kind("multipart") || part.is_type("message", "delivery-status")
}

/// The beginning of a text, at most `bytes_max` bytes of whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// The bytes of a range that was made for the same message.
fn slice(bytes: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    bytes.get(start..end).unwrap_or_default()
}

/// Bytes that are decoded between two looks at the limit.
const CHUNK_BYTES: usize = 64 << 10;
/// How much more HTML than text is read.
const HTML_FACTOR: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    const SAMPLE: &[u8] = b"Subject: =?utf-8?q?=C3=84pfel?=\n\
        Content-Type: multipart/mixed; boundary=b\n\n\
        preamble\n\
        --b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
        Stra=DFe und=\n Weg\n\
        --b\nContent-Type: text/html\n\n<p>fett&amp;lang<script>nicht</script>\n\
        --b\nContent-Type: image/png; name=bild.png\n\nunlesbar\n\
        --b\nContent-Type: message/rfc822\n\nSubject: innen\n\ninnerer text\n\
        --b--\n";

    #[test]
    fn body_scope_has_decoded_text_and_headers_of_messages_inside() {
        let text = of_message(&parse(SAMPLE), SAMPLE, Scope::Body, 1 << 20);
        assert_eq!(text, "Straße und Weg\nfett&lang\nSubject: innen\n\ninnerer text\n");
    }

    #[test]
    fn text_scope_has_all_headers_too() {
        let text = of_message(&parse(SAMPLE), SAMPLE, Scope::Text, 1 << 20);
        assert!(
            text.starts_with("Subject: Äpfel\nContent-Type: multipart/mixed; boundary=b\n\n"),
            "{text}"
        );
        assert!(
            text.contains("name=bild.png")
                && !text.contains("unlesbar")
                && !text.contains("preamble")
        );
    }

    #[test]
    fn the_text_parts_are_those_that_are_shown_as_text() {
        let message = parse(SAMPLE);
        let kinds: Vec<_> = message.text_parts().iter().map(|part| part.subtype.clone()).collect();
        assert_eq!(kinds, [b"plain".to_vec(), b"html".to_vec(), b"plain".to_vec()]);
        // Nothing is found in it, so that clients see it as text.
        let bytes = b"Content-Type: multipart/mixed; boundary=x\n\nhello";
        let message = parse(bytes);
        assert_eq!(message.text_parts().len(), 1);
        assert_eq!(of_message(&message, bytes, Scope::Body, 100), "hello\n");
    }

    #[test]
    fn text_is_bounded_and_cut_between_characters() {
        let message = parse(SAMPLE);
        for bytes_max in 0..80 {
            let text = of_message(&message, SAMPLE, Scope::Body, bytes_max);
            assert!(text.len() <= bytes_max, "{bytes_max}: {text:?}");
        }
        let text = "ä".repeat(100_000);
        assert_eq!(of_part(&parse(b"").root, text.as_bytes(), 1001).len(), 1000);
    }

    #[test]
    fn a_body_in_pieces_gives_the_same_text() {
        let message = parse(SAMPLE);
        for piece in message.searched(Scope::Body) {
            let Piece::Body(part) = piece else { continue };
            let body = slice(SAMPLE, part.body());
            let mut extractor = Extractor::new(part, 1000);
            body.chunks(3).for_each(|chunk| extractor.push(chunk));
            assert_eq!(extractor.finish(), of_part(part, body, 1000));
        }
    }
}
