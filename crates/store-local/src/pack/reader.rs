//! Reads a record: only bytes whose checksums hold are returned.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use store::limits::BLOB_READ_BYTES_MAX;
use store::{BlobId, BlobKey, BlobReader, StoreError};

use super::Location;
use super::format::{FRAME_BYTES, Frame, HEADER_BYTES, Header, decode_frame, decode_table};
use crate::disk::DiskFile;
use crate::log::format::looks_torn;

pub(crate) struct PackReader {
    id: BlobId,
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Offset of the first frame in the file.
    frames_at: u64,
    frames: Vec<Frame>,
    /// The stored frames of a small blob, which came with its header.
    body: Option<Vec<u8>>,
    /// The last frame that was decoded: reads in order in small steps decode each frame once.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl PackReader {
    /// Reads what stands around the frames, and a small record at once.
    ///
    /// # Errors
    /// `Corrupt` naming the blob, `ReadFailed`.
    pub(crate) fn open(
        file: Arc<dyn DiskFile>,
        key: &BlobKey,
        location: Location,
    ) -> Result<Self, StoreError> {
        let damaged = |what: &str| corrupt(&key.id, location, what);
        let header_bytes = (HEADER_BYTES + key.scope.len()) as u64;
        let whole = location.length <= WHOLE_BYTES;
        let first = if whole { location.length } else { header_bytes.min(location.length) };
        let mut bytes = read(file.as_ref(), &key.id, location, 0, first)?;
        let header = Header::decode(&bytes).ok_or_else(|| damaged("header"))?;
        if header.key != *key
            || header.size != location.size
            || header.record_bytes() != location.length
        {
            return Err(damaged("header of another blob"));
        }
        let table_at = location.length - header.table_bytes();
        let table = if whole {
            // In range: the header's lengths add up to the record's.
            bytes.split_off(usize::try_from(table_at).unwrap_or(usize::MAX).min(bytes.len()))
        } else {
            read(file.as_ref(), &key.id, location, table_at, header.table_bytes())?
        };
        let frames = decode_table(&header, &table).ok_or_else(|| damaged("table"))?;
        let body = whole.then(|| bytes.split_off(header.bytes().min(bytes.len())));
        Ok(Self {
            id: key.id,
            file,
            size: header.size,
            frames_at: location.offset + header_bytes,
            frames,
            body,
            last: Mutex::new(None),
        })
    }

    fn frame(&self, index: usize) -> Result<Arc<Vec<u8>>, StoreError> {
        if let Some((last, bytes)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && *last == index
        {
            return Ok(Arc::clone(bytes));
        }
        let bytes = Arc::new(self.decode(index)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((index, Arc::clone(&bytes)));
        Ok(bytes)
    }

    fn decode(&self, index: usize) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::corrupt(format_args!("blob {}: frame {index}", self.id));
        let frame = self.frames.get(index).ok_or_else(damaged)?;
        let length = frame.stored as usize;
        let before = index as u64 * FRAME_BYTES as u64;
        let plain = usize::try_from(self.size.saturating_sub(before)).unwrap_or(FRAME_BYTES);
        let plain = plain.min(FRAME_BYTES);
        let number = u32::try_from(index).map_err(|_| damaged())?;
        let bytes = match &self.body {
            Some(body) => {
                let start = usize::try_from(frame.at).map_err(|_| damaged())?;
                let stored = body.get(start..start + length).ok_or_else(damaged)?;
                decode_frame(frame, number, stored, plain)
            }
            None => {
                let mut stored = vec![0; length];
                let at = self.frames_at + frame.at;
                self.file.read_at(at, &mut stored).map_err(|error| failed(&self.id, &error))?;
                decode_frame(frame, number, &stored, plain)
            }
        };
        bytes.ok_or_else(damaged)
    }
}

impl BlobReader for PackReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        let wanted = bytes_max.min(BLOB_READ_BYTES_MAX) as u64;
        let end = offset.saturating_add(wanted).min(self.size);
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            // Quotient and remainder of a position in a blob of at most 1 GiB.
            let index = (at / FRAME_BYTES as u64) as usize;
            let within = (at % FRAME_BYTES as u64) as usize;
            let frame = self.frame(index)?;
            let take = ((end - at) as usize).min(frame.len().saturating_sub(within));
            let piece = frame.get(within..within + take).unwrap_or_default();
            if piece.is_empty() {
                return Err(StoreError::corrupt(format_args!("blob {}: too short", self.id)));
            }
            bytes.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        Ok(bytes)
    }
}

/// What is on disk of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Whole,
    /// A part was never written.
    Torn,
    /// All of it was written, and has changed since.
    Damaged,
}

/// Compares a record with its sums, all of it.
pub(crate) fn inspect(file: &dyn DiskFile, key: &BlobKey, location: Location) -> Condition {
    match compare(file, key, location) {
        Ok(()) => Condition::Whole,
        Err(condition) => condition,
    }
}

fn compare(file: &dyn DiskFile, key: &BlobKey, location: Location) -> Result<(), Condition> {
    let header_bytes = (HEADER_BYTES + key.scope.len()) as u64;
    let header = part(file, location, 0, header_bytes, |bytes| {
        let header = Header::decode(bytes)?;
        (header.key == *key && header.record_bytes() == location.length).then_some(header)
    })?;
    let table_at = location.length - header.table_bytes();
    let frames =
        part(file, location, table_at, header.table_bytes(), |bytes| decode_table(&header, bytes))?;
    for (index, frame) in (0..).zip(&frames) {
        part(file, location, header_bytes + frame.at, u64::from(frame.stored), |bytes| {
            frame.holds(index, bytes).then_some(())
        })?;
    }
    Ok(())
}

/// Reads a part of a record that `accept` accepts.
fn part<T>(
    file: &dyn DiskFile,
    location: Location,
    offset: u64,
    length: u64,
    accept: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Condition> {
    let at = location.offset.saturating_add(offset);
    // A header whose sum holds says so, or it is that of a header.
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_at(at, &mut bytes) {
        Ok(()) => accept(&bytes).ok_or_else(|| match looks_torn(at, &bytes) {
            true => Condition::Torn,
            false => Condition::Damaged,
        }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Condition::Torn),
        Err(_) => Err(Condition::Damaged),
    }
}

/// Reads a part of a record.
fn read(
    file: &dyn DiskFile,
    id: &BlobId,
    location: Location,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, StoreError> {
    let length = usize::try_from(length).map_err(|_| corrupt(id, location, "length"))?;
    let mut bytes = vec![0; length];
    file.read_at(location.offset + offset, &mut bytes).map_err(|error| failed(id, &error))?;
    Ok(bytes)
}

/// A file that ends too early has lost what was written; any other failure may pass.
fn failed(id: &BlobId, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            StoreError::corrupt(format_args!("blob {id}: pack cut off"))
        }
        _ => StoreError::read_failed(format_args!("blob {id}: {error}")),
    }
}

fn corrupt(id: &BlobId, location: Location, what: &str) -> StoreError {
    let Location { pack, offset, .. } = location;
    StoreError::corrupt(format_args!("blob {id}: {what} (pack {pack:016x} at {offset})"))
}

/// A record up to this length is read by one call: most messages.
const WHOLE_BYTES: u64 = 256 * 1024;
