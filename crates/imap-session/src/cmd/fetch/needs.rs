//! What has to be loaded before a message can be told.

use std::ops::Range;

use imap_proto::types::{FetchItem, Peek, SectionText};
use mime::{Encoding, Message, SectionKind};

use crate::annotation;

/// What a list of items needs of each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// What was parsed of it.
    pub(crate) row: bool,
    /// Header bytes, for a choice of fields.
    pub(crate) headers: bool,
    /// Decoded sizes.
    pub(crate) binary: bool,
    /// `\Seen`.
    pub(crate) seen: bool,
}

impl Needs {
    pub(crate) fn of(items: &[FetchItem]) -> Self {
        let mut needs = Self::default();
        for item in items {
            needs.add(item);
        }
        needs
    }

    fn add(&mut self, item: &FetchItem) {
        match item {
            FetchItem::Uid
            | FetchItem::Flags
            | FetchItem::InternalDate
            | FetchItem::Rfc822Size
            | FetchItem::ModSeq
            | FetchItem::EmailId
            | FetchItem::ThreadId
            | FetchItem::SaveDate => {}
            // Parts that are named have to exist.
            FetchItem::Annotation(item) => self.row |= !annotation::parts_of(item).is_empty(),
            FetchItem::Envelope
            | FetchItem::Body
            | FetchItem::BodyStructure
            | FetchItem::Rfc822Header
            | FetchItem::Preview(_) => self.row = true,
            FetchItem::Section { section, peek, .. } => {
                self.row = true;
                self.seen |= *peek == Peek::SetSeen;
                self.headers |= matches!(
                    section.text,
                    Some(SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))
                );
            }
            FetchItem::Rfc822(peek) | FetchItem::Rfc822Text(peek) => {
                self.row = true;
                self.seen |= *peek == Peek::SetSeen;
            }
            FetchItem::Binary { peek, .. } => {
                self.row = true;
                self.binary = true;
                self.seen |= *peek == Peek::SetSeen;
            }
            FetchItem::BinarySize { .. } => {
                self.row = true;
                self.binary = true;
            }
        }
    }
}

/// The header blocks of a message that the items choose fields from, each once.
pub(crate) fn headers(items: &[FetchItem], message: &Message) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for item in items {
        let FetchItem::Section { section, .. } = item else { continue };
        let is_choice = matches!(
            section.text,
            Some(SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))
        );
        let range = message.section(&section.part, SectionKind::Header).map(bounded);
        if let Some(range) = range.filter(|range| is_choice && !ranges.contains(range)) {
            ranges.push(range);
        }
    }
    ranges
}

/// A header block as far as fields are looked for in it: a message without a blank line is all
/// header, and need not be in memory for that.
pub(crate) fn bounded(header: Range<u64>) -> Range<u64> {
    header.start..header.end.min(header.start.saturating_add(HEADER_BYTES_MAX))
}

/// A part whose decoded size has to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) part: Vec<u32>,
    pub(crate) range: Range<u64>,
    pub(crate) encoding: Encoding,
}

/// The transfer-encoded parts that the items ask for in binary, each once.
pub(crate) fn encoded_parts(items: &[FetchItem], message: &Message) -> Vec<Encoded> {
    let mut all: Vec<Encoded> = Vec::new();
    for item in items {
        let (FetchItem::Binary { part, .. } | FetchItem::BinarySize { part }) = item else {
            continue;
        };
        if all.iter().any(|encoded| encoded.part == *part) {
            continue;
        }
        if let Some((range, Ok(encoding))) = binary_section(message, part)
            && encoding != Encoding::Identity
        {
            all.push(Encoded { part: part.clone(), range, encoding });
        }
    }
    all
}

/// Where the octets of `BINARY[part]` are, and how they are encoded. RFC 3516 §4.2
pub(crate) fn binary_section(
    message: &Message,
    part: &[u32],
) -> Option<(Range<u64>, Result<Encoding, mime::UnknownEncoding>)> {
    let range = message.section(part, SectionKind::Whole)?;
    if part.is_empty() {
        // The whole message, header included: that is not encoded as one.
        return Some((range, Ok(Encoding::Identity)));
    }
    let encoding = message.part(part)?.encoding.as_deref();
    Some((range, Encoding::from_header(encoding)))
}

/// As much of a header as the parser looks at for fields.
const HEADER_BYTES_MAX: u64 = 1 << 20;
