//! Reads a segment record by record, and searches it for groups behind damage.

use std::io;

use super::format::{
    ALIGN, GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC,
    aligned, first_group, looks_torn,
};
use super::{LogKey, Position};
use crate::disk::DiskFile;
use crate::pack::PackId;
use crate::pack::format::{HEADER_BYTES, Header, SCOPE_LENGTH_AT};

/// A segment that is being read.
pub(crate) struct Segment<'a> {
    pub(crate) id: PackId,
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) length: u64,
    pub(crate) key: &'a LogKey,
}

/// What begins at an offset.
pub(crate) enum Found {
    /// The record of a body.
    Body { after: u64 },
    /// The record of a group.
    Group { header: GroupHeader, payload: Vec<u8>, after: u64 },
    /// Nothing but zeros, up to the end of the file.
    Nothing,
    /// No valid record.
    Invalid(Look),
}

/// What an invalid record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A write that did not happen, or not to its end.
    Torn,
    /// Something that was written and has changed.
    Damaged,
}

/// What the first bytes of a pack say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A segment of this log, with the number of its first group.
    Segment(u64),
    /// A pack that holds no groups.
    Pack,
    /// Neither; perhaps a segment that has lost its header.
    Unknown,
}

impl Segment<'_> {
    /// Looks at the first bytes.
    pub(crate) fn kind(&self) -> io::Result<Kind> {
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        let length = self.length.min(SEGMENT_HEADER_BYTES);
        let there = header.get_mut(..usize::try_from(length).unwrap_or(0));
        self.file.read_at(0, there.unwrap_or_default())?;
        Ok(match first_group(self.key, self.id, &header) {
            Some(first) => Kind::Segment(first),
            None if header.starts_with(&crate::pack::format::pack_header(self.id)) => Kind::Pack,
            None => Kind::Unknown,
        })
    }

    /// The record at an offset.
    pub(crate) fn record(&self, offset: u64) -> io::Result<Found> {
        let start = self.read(offset, START_BYTES)?;
        if start.starts_with(GROUP_MAGIC) {
            return self.group(offset, &start);
        }
        if let Some(header) = Header::decode(&start) {
            let end = offset.checked_add(header.record_bytes());
            return Ok(match end {
                Some(end) => Found::Body { after: aligned(end) },
                None => Found::Invalid(Look::Damaged),
            });
        }
        if start.iter().any(|&byte| byte != 0) {
            // If it was the header of a body, then of this length; what it says of its scope is at
            // most a little wrong.
            let scope = start.get(SCOPE_LENGTH_AT).map_or(0, |&length| usize::from(length));
            return Ok(Found::Invalid(look(offset, &start, HEADER_BYTES + scope)));
        }
        Ok(if self.is_zero_from(offset)? { Found::Nothing } else { Found::Invalid(Look::Torn) })
    }

    fn group(&self, offset: u64, start: &[u8]) -> io::Result<Found> {
        let at = Position { segment: self.id, offset };
        let Some(header) = GroupHeader::decode(self.key, at, start) else {
            return Ok(Found::Invalid(look(offset, start, GROUP_HEADER_BYTES)));
        };
        let length = header.record_bytes();
        // In range: the header's sum holds, and lengths that are written are below a maximum.
        let after = offset + length;
        if after > self.length {
            return Ok(Found::Invalid(Look::Torn));
        }
        let mut payload = self.read(offset, usize::try_from(length).unwrap_or(usize::MAX))?;
        let rest = payload.get(GROUP_HEADER_BYTES..).unwrap_or_default();
        if !header.holds(self.key, rest) {
            return Ok(Found::Invalid(look(offset, &payload, payload.len())));
        }
        payload.drain(..GROUP_HEADER_BYTES);
        payload.truncate(usize::try_from(header.payload_bytes).unwrap_or(usize::MAX));
        Ok(Found::Group { header, payload, after })
    }

    /// The highest number of a valid group that begins at or behind an offset.
    pub(crate) fn last_group_from(&self, offset: u64) -> io::Result<Option<u64>> {
        let mut last = None;
        let mut at = aligned(offset);
        while at < self.length {
            let piece = self.read(at, PIECE_BYTES)?;
            let mut places = (at..).step_by(ALIGN as usize).zip(piece.chunks(ALIGN as usize));
            for (place, bytes) in places.by_ref() {
                if bytes != GROUP_MAGIC {
                    continue;
                }
                let start = self.read(place, START_BYTES)?;
                if let Found::Group { header, .. } = self.group(place, &start)? {
                    last = last.max(Some(header.number));
                }
            }
            at += PIECE_BYTES as u64;
        }
        Ok(last)
    }

    /// Whether the file holds only zeros from an offset on.
    pub(crate) fn is_zero_from(&self, offset: u64) -> io::Result<bool> {
        let mut at = offset;
        while at < self.length {
            let piece = self.read(at, PIECE_BYTES)?;
            if piece.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += PIECE_BYTES as u64;
        }
        Ok(true)
    }

    /// Up to `bytes_max` bytes, fewer at the end of the file.
    fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(bytes_max)];
        self.file.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// Whether a file that has lost its header was a segment once, of whatever store.
pub(crate) fn claims_to_be_segment(file: &dyn DiskFile) -> bool {
    let mut magic = [0; SEGMENT_MAGIC.len()];
    file.read_at(0, &mut magic).is_ok() && magic == *SEGMENT_MAGIC
}

/// What the first `length` bytes at an offset look like; fewer are there when the file ends.
fn look(offset: u64, bytes: &[u8], length: usize) -> Look {
    match bytes.get(..length) {
        Some(bytes) if !looks_torn(offset, bytes) => Look::Damaged,
        _ => Look::Torn,
    }
}

/// Enough for the header of a body with the longest scope, and for that of a group.
const START_BYTES: usize = HEADER_BYTES + u8::MAX as usize;

/// Read at one time when much is searched; a multiple of the alignment.
const PIECE_BYTES: usize = 1024 * 1024;
