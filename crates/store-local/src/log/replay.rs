//! Brings an index up to the end of the log when a store is opened.
//!
//! Groups are applied in order from where the index has come to. What ends them is one of:
//! - nothing but zeros: the log was written up to here;
//! - a torn record: the power failed while the last group, or bodies behind it, were being written.
//!   Nobody was told that they are durable. They are cut off;
//! - damage, which is told apart by what cannot be after a power cut: a group behind it that was
//!   written only after the damaged one was synced, or bytes that no torn write leaves. Then the
//!   store does not open, because it would forget what it acknowledged.
//!
//! All of this can be interrupted and done again: applying is one transaction of the index with its
//! position, and cutting off removes only what would be cut off again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use store::StoreError;

use super::format::SEGMENT_HEADER_BYTES;
use super::group::{Change, Changes};
use super::walk::{Found, Kind, Look, Segment, claims_to_be_segment};
use super::{Applied, LogKey, Position};
use crate::disk::{Disk, DiskFile};
use crate::error::write_failed;
use crate::pack::reader::{Condition, inspect};
use crate::pack::{Location, PackId, file_name, parse_name};

/// A log and how to read it.
pub(crate) struct Replay<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) folder: &'a Path,
    pub(crate) key: &'a LogKey,
}

/// Takes a group into an index: how far it brings the index, and what it changes.
pub(crate) type Apply<'a> = dyn FnMut(Applied, Changes<'_>) -> Result<(), StoreError> + 'a;

/// How a replay ended.
pub(crate) struct Tail {
    pub(crate) applied: Applied,
    /// Whether the segment of the last group can take more.
    pub(crate) segment: Last,
    /// How far segments that were read are filled.
    pub(crate) ends: BTreeMap<PackId, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Whole,
    /// It is gone, or has lost its end.
    Lost,
}

/// A group that was found and not yet applied.
struct Pending {
    payload: Vec<u8>,
    applied: Applied,
}

impl Pending {
    fn changes(&self) -> Changes<'_> {
        Changes(&self.payload)
    }
}

struct Open {
    id: PackId,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// Number of its first group.
    first_group: u64,
}

/// The files that may matter, by number.
struct Files {
    /// The segment that the index has come to, and those behind it.
    segments: Vec<Open>,
    /// Files behind it that the index does not know and that have no header: long bodies that
    /// were being written, or segments that have lost it.
    unknown: Vec<Open>,
}

/// A spot where no record is and something is.
struct Spot {
    /// Index of the segment among those that were opened.
    index: usize,
    at: Position,
    look: Look,
}

impl Replay<'_> {
    /// Applies every group behind `applied`, cuts off what is torn, and makes the rest durable.
    /// `known` are the packs of the index; those behind its position are not segments.
    ///
    /// # Errors
    /// `Corrupt` naming segment and offset, `ReadFailed`, what `apply` says, and what cutting off
    /// and syncing meets.
    pub(crate) fn run(
        &self,
        applied: Applied,
        known: &BTreeSet<PackId>,
        apply: &mut Apply<'_>,
    ) -> Result<Tail, StoreError> {
        let files = self.open_files(applied, known)?;
        let segments = &files.segments;
        let first = segments.iter().find(|open| open.id == applied.at.segment);
        let segment = match first {
            Some(open) if open.length >= applied.at.offset => Last::Whole,
            _ => Last::Lost,
        };
        let mut tail = Tail { applied, segment, ends: BTreeMap::new() };
        let mut pending = None;
        let spot = self.walk(segments, &mut tail, &mut pending, apply)?;
        let expected = tail.applied.group + u64::from(pending.is_some()) + 1;
        if let Some(spot) = spot {
            self.judge(segments, &spot, expected)?;
        }
        self.judge_unknown(&files.unknown, expected)?;
        if pending.as_ref().is_some_and(|last| self.is_torn(last)) {
            pending = None;
        }
        let end = pending.as_ref().map_or(tail.applied, |last| last.applied);
        self.cut(segments, end.at)?;
        self.sync(segments, end.at, pending.as_ref())?;
        if let Some(last) = pending {
            // Only now: an index must not be ahead of the log.
            apply(last.applied, last.changes())?;
            tail.segment = Last::Whole;
        }
        tail.applied = end;
        tail.ends.insert(end.at.segment, end.at.offset);
        Ok(tail)
    }

    fn open_files(&self, applied: Applied, known: &BTreeSet<PackId>) -> Result<Files, StoreError> {
        let names = self.disk.list(self.folder).map_err(|error| StoreError::read_failed(&error))?;
        let ids = names.iter().filter_map(|name| parse_name(name));
        let current = applied.at.segment;
        let ids: BTreeSet<_> =
            ids.filter(|id| *id == current || *id > current && !known.contains(id)).collect();
        let mut files = Files { segments: Vec::new(), unknown: Vec::new() };
        for id in ids {
            let open = || -> io::Result<(Open, Kind)> {
                let file = self.disk.open(&self.folder.join(file_name(id)))?;
                let length = file.length()?;
                let mut open = Open { id, file, length, first_group: 0 };
                // The first was a segment when the index came to it, and is not read needlessly.
                let kind =
                    if id == current { Kind::Segment(0) } else { self.segment(&open).kind()? };
                if let Kind::Segment(first) = kind {
                    open.first_group = first;
                }
                Ok((open, kind))
            };
            match open().map_err(|error| self.unreadable(id, &error))? {
                (open, Kind::Segment(_)) => files.segments.push(open),
                (open, Kind::Unknown) => files.unknown.push(open),
                (_, Kind::Pack) => {}
            }
        }
        Ok(files)
    }

    /// Goes through the records; applies each group once another one is found behind it.
    fn walk(
        &self,
        segments: &[Open],
        tail: &mut Tail,
        pending: &mut Option<Pending>,
        apply: &mut Apply<'_>,
    ) -> Result<Option<Spot>, StoreError> {
        for (index, open) in segments.iter().enumerate() {
            let segment = self.segment(open);
            let mut offset = SEGMENT_HEADER_BYTES;
            let expected = |pending: &Option<Pending>, tail: &Tail| {
                tail.applied.group + u64::from(pending.is_some()) + 1
            };
            if open.id == tail.applied.at.segment && pending.is_none() {
                offset = tail.applied.at.offset;
            } else if open.first_group != expected(pending, tail) {
                let at = Position { segment: open.id, offset: 0 };
                // A segment may be made while the group before its first one is being synced: then
                // that group may be missing, up to the name of its own segment.
                let is_next = open.first_group == expected(pending, tail) + 1;
                let look = if is_next { Look::Torn } else { Look::Damaged };
                return Ok(Some(Spot { index, at, look }));
            }
            loop {
                let at = Position { segment: open.id, offset };
                let found = segment.record(offset);
                match found.map_err(|error| self.unreadable(open.id, &error))? {
                    Found::Body { after } => offset = after,
                    Found::Group { header, payload, after } => {
                        if header.number != expected(pending, tail) {
                            return Ok(Some(Spot { index, at, look: Look::Damaged }));
                        }
                        if let Some(last) = pending.take() {
                            apply(last.applied, last.changes())?;
                            tail.applied = last.applied;
                        }
                        let end = Position { segment: open.id, offset: after };
                        let applied =
                            Applied { group: header.number, commit: header.last_commit, at: end };
                        *pending = Some(Pending { payload, applied });
                        offset = after;
                    }
                    Found::Nothing => break,
                    Found::Invalid(look) => return Ok(Some(Spot { index, at, look })),
                }
            }
            tail.ends.insert(open.id, offset.min(open.length));
        }
        Ok(None)
    }

    /// Whether what stands at a spot may be cut off.
    fn judge(&self, segments: &[Open], spot: &Spot, expected: u64) -> Result<(), StoreError> {
        let Position { segment, offset } = spot.at;
        let name = file_name(segment);
        let damaged = |why: std::fmt::Arguments<'_>| {
            Err(StoreError::corrupt(format_args!("log {name} at {offset}: {why}")))
        };
        for (index, open) in segments.iter().enumerate().skip(spot.index) {
            let from = if index == spot.index { offset } else { 0 };
            let last = self.segment(open).last_group_from(from);
            let last = last.map_err(|error| self.unreadable(open.id, &error))?;
            if let Some(last) = last.filter(|last| *last > expected) {
                return damaged(format_args!("group {expected} is damaged, {last} is there"));
            }
        }
        match spot.look {
            Look::Torn => Ok(()),
            Look::Damaged => damaged(format_args!("group {expected} or a body before it")),
        }
    }

    /// A segment that lost its header in a crash held the group that was being written, or none.
    fn judge_unknown(&self, unknown: &[Open], expected: u64) -> Result<(), StoreError> {
        for open in unknown {
            let last = self.segment(open).last_group_from(0);
            let last = last.map_err(|error| self.unreadable(open.id, &error))?.unwrap_or(0);
            let damaged = claims_to_be_segment(open.file.as_ref()) && last == expected;
            if damaged || last > expected {
                let name = file_name(open.id);
                let what = format_args!("log {name} at 0: header of a segment with group {last}");
                return Err(StoreError::corrupt(what));
            }
        }
        Ok(())
    }

    /// Whether the last group, or a body that it records, was not written to its end.
    fn is_torn(&self, last: &Pending) -> bool {
        last.changes().flatten().any(|change| match change {
            Change::Record { key, location, .. } | Change::Move { key, to: location, .. } => {
                let file = self.disk.open(&self.folder.join(file_name(location.pack)));
                match file {
                    Ok(file) => inspect(file.as_ref(), &key, location) == Condition::Torn,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                }
            }
            _ => false,
        })
    }

    /// Removes what stands behind the last group. The segment goes on there: once the shorter
    /// length is durable, what comes behind it reads as zeros again.
    fn cut(&self, segments: &[Open], end: Position) -> Result<(), StoreError> {
        let failed = |error: io::Error| write_failed(&error);
        for open in segments {
            if open.id > end.segment {
                self.disk.unlink(&self.folder.join(file_name(open.id))).map_err(failed)?;
            } else if open.id == end.segment {
                // Zeros that were written ahead are of use.
                let zeros = self.segment(open).is_zero_from(end.offset);
                if !zeros.map_err(|error| self.unreadable(open.id, &error))? {
                    open.file.truncate(end.offset).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// What was found was perhaps only on its way to the disk when the process was killed. It can
    /// be read from now on, so a power cut must not take it back.
    fn sync(
        &self,
        segments: &[Open],
        end: Position,
        last: Option<&Pending>,
    ) -> Result<(), StoreError> {
        let failed = |error: io::Error| write_failed(&error);
        for open in segments.iter().filter(|open| open.id <= end.segment) {
            open.file.sync().map_err(failed)?;
        }
        let changes = last.map_or(Changes(&[]), Pending::changes);
        let recorded = changes.flatten().filter_map(|change| match change {
            Change::Record { location: Location { pack, .. }, .. } => Some(pack),
            Change::Move { to: Location { pack, .. }, .. } => Some(pack),
            _ => None,
        });
        for pack in recorded.collect::<BTreeSet<_>>() {
            let file = self.disk.open(&self.folder.join(file_name(pack)));
            match file {
                Ok(file) => file.sync().map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.unreadable(pack, &error)),
            }
        }
        self.disk.sync_folder(self.folder).map_err(failed)
    }

    fn segment<'s>(&'s self, open: &'s Open) -> Segment<'s> {
        Segment { id: open.id, file: open.file.as_ref(), length: open.length, key: self.key }
    }

    fn unreadable(&self, id: PackId, error: &io::Error) -> StoreError {
        StoreError::read_failed(format_args!("log {}: {error}", file_name(id)))
    }
}
