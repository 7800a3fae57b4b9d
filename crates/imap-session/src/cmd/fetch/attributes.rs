//! One message and the items asked for, as the attributes of a FETCH response.

use std::collections::HashMap;
use std::ops::Range;

use imap_proto::types::{
    AnnotationData, AnnotationItem, BodyData, FetchAttribute, FetchItem, FlagList, HeaderFields,
    Partial, Section, SectionText,
};
use imap_proto::{BlobSlice, Transform};
use mail_types::InternalDate;
use mailbox::EntryRef;
use mime::header::{FieldFilter, subset};
use mime::{Encoding, Message, SectionKind};

use super::needs;
use crate::place::Home;
use crate::{Trouble, annotation};

/// What was loaded of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// Header blocks by where they begin.
    pub(crate) headers: HashMap<u64, Vec<u8>>,
    /// Decoded sizes by part.
    pub(crate) sizes: HashMap<Vec<u32>, u64>,
}

/// One message that is being told.
pub(crate) struct Subject<'a> {
    pub(crate) entry: EntryRef<'a>,
    /// Its flags, where they are not written directly.
    pub(crate) flags: Option<FlagList>,
    /// What was parsed of it; asked for whenever an item needs it.
    pub(crate) row: Option<&'a Message>,
    pub(crate) loaded: &'a Loaded,
    /// Whose mailbox it is in.
    pub(crate) home: &'a Home,
}

/// An item that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// The message itself is gone.
    Gone,
    /// There is nothing to tell: wildcards found no annotation.
    Nothing,
    /// The body part that its name speaks of does not exist. RFC 5257 §3.2.1
    NoSuchPart,
    /// Its encoding cannot be removed. RFC 3516 §4.3
    UnknownEncoding,
    /// It is there, but cannot be read.
    Unreadable(Trouble),
}

impl Subject<'_> {
    /// RFC 8474 §5.1: the same id is the same message, in all accounts that a session can see.
    fn object_id(&self, id: impl ToString) -> String {
        let id = id.to_string();
        self.home.guest().map_or_else(|| id.clone(), |guest| guest.object_id(&id))
    }

    /// The attribute that answers `item`.
    pub(crate) fn attribute(&self, item: &FetchItem) -> Result<FetchAttribute, Untold> {
        let entry = &self.entry;
        Ok(match item {
            FetchItem::Uid => FetchAttribute::Uid(entry.uid()),
            FetchItem::Flags => FetchAttribute::Flags(self.flags.clone().unwrap_or_default()),
            FetchItem::InternalDate => FetchAttribute::InternalDate(entry.internal_date()),
            FetchItem::Rfc822Size => FetchAttribute::Rfc822Size(u64::from(entry.size())),
            FetchItem::ModSeq => FetchAttribute::ModSeq(entry.modseq()),
            FetchItem::EmailId => FetchAttribute::EmailId(self.object_id(entry.message())),
            FetchItem::ThreadId => FetchAttribute::ThreadId(Some(self.object_id(entry.thread()))),
            FetchItem::SaveDate => {
                FetchAttribute::SaveDate(Some(InternalDate::utc(entry.save_date())))
            }
            FetchItem::Annotation(item) => FetchAttribute::Annotation(self.annotations(item)?),
            FetchItem::Envelope => {
                FetchAttribute::Envelope(Box::new(self.row()?.header.envelope.clone()))
            }
            FetchItem::Body => FetchAttribute::Body(Box::new(self.row()?.root.structure())),
            FetchItem::BodyStructure => {
                FetchAttribute::BodyStructure(Box::new(self.row()?.root.structure()))
            }
            // Previews are made when a message arrives, so LAZY need not wait. RFC 8970 §3.1
            FetchItem::Preview(_) => FetchAttribute::Preview(Some(self.row()?.preview.clone())),
            FetchItem::Rfc822(_) => FetchAttribute::Rfc822(self.plain(SectionKind::Whole)?),
            FetchItem::Rfc822Header => {
                FetchAttribute::Rfc822Header(self.plain(SectionKind::Header)?)
            }
            FetchItem::Rfc822Text(_) => FetchAttribute::Rfc822Text(self.plain(SectionKind::Text)?),
            FetchItem::Section { section, partial, .. } => FetchAttribute::Section {
                section: section.clone(),
                origin: partial.map(|partial| partial.offset),
                data: self.section(section, *partial)?,
            },
            FetchItem::Binary { part, partial, .. } => FetchAttribute::Binary {
                part: part.clone(),
                origin: partial.map(|partial| partial.offset),
                data: self.binary(part, *partial)?,
            },
            FetchItem::BinarySize { part } => {
                FetchAttribute::BinarySize { part: part.clone(), size: self.binary_size(part)? }
            }
        })
    }

    fn annotations(&self, item: &AnnotationItem) -> Result<AnnotationData, Untold> {
        let parts = annotation::parts_of(item);
        if !parts.is_empty() && !annotation::has_parts(self.row()?, &parts) {
            return Err(Untold::NoSuchPart);
        }
        annotation::data(item, &self.entry, self.home.audience()).ok_or(Untold::Nothing)
    }

    fn row(&self) -> Result<&Message, Untold> {
        self.row.ok_or(Untold::Gone)
    }

    fn plain(&self, kind: SectionKind) -> Result<BodyData, Untold> {
        let range = self.row()?.section(&[], kind);
        Ok(range.map_or(BodyData::Nil, |range| self.blob(range, None)))
    }

    fn section(&self, section: &Section, partial: Option<Partial>) -> Result<BodyData, Untold> {
        let kind = match &section.text {
            None => SectionKind::Whole,
            Some(SectionText::Header) => SectionKind::Header,
            Some(SectionText::Text) => SectionKind::Text,
            Some(SectionText::Mime) => SectionKind::Mime,
            Some(SectionText::HeaderFields(names)) => {
                return self.fields(section, names, FieldFilter::Only, partial);
            }
            Some(SectionText::HeaderFieldsNot(names)) => {
                return self.fields(section, names, FieldFilter::Except, partial);
            }
        };
        // A part that does not exist is NIL. RFC 9051 §7.5.2
        let range = self.row()?.section(&section.part, kind);
        Ok(range.map_or(BodyData::Nil, |range| self.blob(range, partial)))
    }

    fn fields(
        &self,
        section: &Section,
        names: &HeaderFields,
        filter: FieldFilter,
        partial: Option<Partial>,
    ) -> Result<BodyData, Untold> {
        let Some(range) = self.row()?.section(&section.part, SectionKind::Header) else {
            return Ok(BodyData::Nil);
        };
        let header = self.loaded.headers.get(&range.start).ok_or(Untold::Gone)?;
        let mut chosen = subset(header, &names.0, filter);
        if let Some(partial) = partial {
            let window = partial.within(chosen.len() as u64);
            chosen = slice(&chosen, window).to_vec();
        }
        Ok(BodyData::Bytes(chosen))
    }

    /// Octets of the message as they are stored; a window past their end is empty. RFC 9051 §6.4.5
    fn blob(&self, range: Range<u64>, partial: Option<Partial>) -> BodyData {
        let range = window(range, partial);
        if range.is_empty() {
            return BodyData::Bytes(Vec::new());
        }
        BodyData::Blob(BlobSlice::identity(self.entry.message(), range))
    }

    fn binary(&self, part: &[u32], partial: Option<Partial>) -> Result<BodyData, Untold> {
        let Some((range, encoding)) = needs::binary_section(self.row()?, part) else {
            return Ok(BodyData::Nil);
        };
        let encoding = encoding.map_err(|_| Untold::UnknownEncoding)?;
        if encoding == Encoding::Identity {
            return Ok(self.blob(range, partial));
        }
        let decoded = *self.loaded.sizes.get(part).ok_or(Untold::Gone)?;
        let wanted = window(0..decoded, partial);
        if wanted.is_empty() {
            return Ok(BodyData::Bytes(Vec::new()));
        }
        let skip = wanted.start;
        let transform = match encoding {
            Encoding::Identity => Transform::Identity,
            Encoding::Base64 => Transform::Base64 { skip },
            Encoding::QuotedPrintable => Transform::QuotedPrintable { skip },
        };
        let length = wanted.end - wanted.start;
        let message = self.entry.message();
        Ok(BodyData::Blob(BlobSlice { message, range, transform, length }))
    }

    fn binary_size(&self, part: &[u32]) -> Result<u64, Untold> {
        match needs::binary_section(self.row()?, part) {
            // BINARY.SIZE has no NIL: what does not exist has no octets. RFC 3516 §4.2
            None => Ok(0),
            Some((_, Err(_))) => Err(Untold::UnknownEncoding),
            Some((range, Ok(Encoding::Identity))) => Ok(range.end - range.start),
            Some(_) => self.loaded.sizes.get(part).copied().ok_or(Untold::Gone),
        }
    }
}

fn window(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let within = partial.within(range.end - range.start);
    range.start + within.start..range.start + within.end
}

fn slice(bytes: &[u8], range: Range<u64>) -> &[u8] {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    bytes.get(start..end).unwrap_or_default()
}
