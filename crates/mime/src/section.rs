//! Part specifiers of FETCH as byte ranges. RFC 9051 §6.4.5.1

use std::ops::Range;

use crate::{Content, Message, Part};

/// The word after the part numbers. HEADER.FIELDS is `Header` and then [`crate::header::subset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// No word: the whole message, or the body of a part.
    Whole,
    /// `HEADER`: of the message, or of the message inside a part.
    Header,
    /// `TEXT`: the body of the message, or of the message inside a part.
    Text,
    /// `MIME`: the header of a part.
    Mime,
}

/// `<origin.count>`: which octets of a section are asked for. RFC 9051 §6.4.5
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partial {
    /// First octet, from the section's beginning.
    pub origin: u64,
    /// Most octets to send.
    pub count: u64,
}

impl Message {
    /// The part that the numbers lead to; `None` if there is none. An empty path is the root.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        let mut at = &self.root;
        let mut is_message_root = true;
        for &number in path {
            if !is_message_root && let Content::Message(inner) = &at.content {
                at = &inner.root;
                is_message_root = true;
            }
            match &at.content {
                Content::Multipart(parts) => {
                    at = parts.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
                }
                // Every message has part 1: the body if it is no multipart. RFC 9051 §6.4.5.1
                Content::Leaf | Content::Message(_) if is_message_root && number == 1 => {}
                Content::Leaf | Content::Message(_) => return None,
            }
            is_message_root = false;
        }
        Some(at)
    }

    /// The bytes of a section; `None` if the message has no such section.
    pub fn section(&self, path: &[u32], kind: SectionKind) -> Option<Range<u64>> {
        let part = self.part(path)?;
        if path.is_empty() {
            return match kind {
                SectionKind::Whole => Some(0..self.size),
                SectionKind::Header => Some(part.header()),
                SectionKind::Text => Some(part.body()),
                // MIME must be prefixed by part numbers. RFC 9051 §6.4.5.1
                SectionKind::Mime => None,
            };
        }
        match (kind, &part.content) {
            (SectionKind::Whole, _) => Some(part.body()),
            (SectionKind::Mime, _) => Some(part.header()),
            (SectionKind::Header, Content::Message(inner)) => Some(inner.root.header()),
            (SectionKind::Text, Content::Message(inner)) => Some(inner.root.body()),
            (SectionKind::Header | SectionKind::Text, _) => None,
        }
    }
}

impl Partial {
    /// The part of `section` that is asked for; empty if the origin lies past its end.
    pub fn clip(self, section: Range<u64>) -> Range<u64> {
        let start = section.start.saturating_add(self.origin).min(section.end);
        start..start.saturating_add(self.count).min(section.end)
    }
}
