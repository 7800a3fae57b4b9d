//! How bodies are stored: short ones whole, long ones in frames that can be read apart.
//!
//! A short body is one byte that says how, then its bytes, compressed if that makes them shorter.
//! The blob's name is their checksum.
//!
//! A long body is an object: frames of [`FRAME_BYTES`] of the blob each, compressed one by one;
//! then a table with the stored length and a checksum of each; then the checksum of the table,
//! which covers the blob's name and length too, so that the object of another blob is never taken
//! for it.

use std::ops::Range;

use store::{BlobId, StoreError};

/// A body of a row.
pub(crate) fn encode_inline(bytes: &[u8]) -> Vec<u8> {
    match compress(bytes) {
        Some(compressed) => [&[ZSTD][..], &compressed].concat(),
        None => [&[PLAIN][..], bytes].concat(),
    }
}

/// The bytes of a body of a row.
pub(crate) fn decode_inline(id: &BlobId, size: u64, body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::corrupt(format_args!("blob {id}: its row"));
    let size = usize::try_from(size).map_err(|_| damaged())?;
    let bytes = match body.split_first() {
        Some((&PLAIN, bytes)) => bytes.to_vec(),
        // A body of this kind is a short one, whatever its row says.
        Some((&ZSTD, bytes)) if size <= INLINE_BYTES_MAX => {
            zstd::bulk::decompress(bytes, size).map_err(|_| damaged())?
        }
        _ => return Err(damaged()),
    };
    if bytes.len() != size || BlobId::of(&bytes) != *id {
        return Err(damaged());
    }
    Ok(bytes)
}

/// The table of an object that is being written.
#[derive(Default)]
pub(crate) struct Table {
    entries: Vec<u8>,
    stored_bytes: u64,
}

impl Table {
    /// Encodes the next frame.
    pub(crate) fn frame(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (how, stored) = match compress(bytes) {
            Some(compressed) => (0, compressed),
            None => (IS_PLAIN, bytes.to_vec()),
        };
        let length = u32::try_from(stored.len()).unwrap_or(0) | how;
        self.entries.extend_from_slice(&length.to_le_bytes());
        self.entries.extend_from_slice(&checksum(&stored));
        self.stored_bytes += stored.len() as u64;
        stored
    }

    /// What follows the last frame, and the length of the whole object.
    pub(crate) fn finish(mut self, id: &BlobId, size: u64) -> (Vec<u8>, u64) {
        let sum = table_checksum(id, size, &self.entries);
        self.entries.extend_from_slice(&sum);
        let whole = self.stored_bytes + self.entries.len() as u64;
        (self.entries, whole)
    }
}

/// Where the frames of an object are.
pub(crate) struct Frames {
    id: BlobId,
    size: u64,
    frames: Vec<Frame>,
}

struct Frame {
    at: Range<u64>,
    is_plain: bool,
    sum: [u8; SUM_BYTES],
}

impl Frames {
    /// Which part of an object is its table.
    pub(crate) fn table_range(size: u64, stored_bytes: u64) -> Range<u64> {
        let length = size.div_ceil(FRAME_BYTES as u64) * ENTRY_BYTES as u64 + 32;
        stored_bytes.saturating_sub(length)..stored_bytes
    }

    /// Reads a table.
    pub(crate) fn read(
        id: &BlobId,
        size: u64,
        stored_bytes: u64,
        table: &[u8],
    ) -> Result<Self, StoreError> {
        let damaged = || StoreError::corrupt(format_args!("blob {id}: the table of its object"));
        let range = Self::table_range(size, stored_bytes);
        let (entries, sum) = table.split_last_chunk::<32>().ok_or_else(damaged)?;
        let is_whole = table.len() as u64 == range.end - range.start;
        if !is_whole || table_checksum(id, size, entries) != *sum {
            return Err(damaged());
        }
        let (mut frames, mut at) = (Vec::new(), 0);
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let (length, sum) = entry.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = u32::from_le_bytes(*length);
            let end = at + u64::from(length & !IS_PLAIN);
            let sum = sum.try_into().map_err(|_| damaged())?;
            frames.push(Frame { at: at..end, is_plain: length & IS_PLAIN != 0, sum });
            at = end;
        }
        Ok(Self { id: *id, size, frames })
    }

    /// Which part of the object holds these bytes of the blob, in whole frames.
    pub(crate) fn locate(&self, wanted: &Range<u64>) -> (Range<usize>, Range<u64>) {
        let index = |at: u64| usize::try_from(at / FRAME_BYTES as u64).unwrap_or(usize::MAX);
        let frames = index(wanted.start)..(index(wanted.end.saturating_sub(1)) + 1);
        let frames = frames.start.min(self.frames.len())..frames.end.min(self.frames.len());
        let part = self.frames.get(frames.clone()).unwrap_or_default();
        let start = part.first().map_or(0, |frame| frame.at.start);
        (frames, start..part.last().map_or(start, |frame| frame.at.end))
    }

    /// Verifies and decodes frames; `stored` is what [`Frames::locate`] said.
    pub(crate) fn decode(
        &self,
        frames: &Range<usize>,
        stored: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(frames.len() * FRAME_BYTES);
        let mut rest = stored;
        for number in frames.clone() {
            let damaged = || StoreError::corrupt(format_args!("blob {}: frame {number}", self.id));
            let frame = self.frames.get(number).ok_or_else(damaged)?;
            let length = usize::try_from(frame.at.end - frame.at.start).map_err(|_| damaged())?;
            let (own, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
            if checksum(own) != frame.sum {
                return Err(damaged());
            }
            let expected = self.frame_bytes(number);
            if frame.is_plain {
                bytes.extend_from_slice(own);
            } else {
                bytes.extend(zstd::bulk::decompress(own, expected).map_err(|_| damaged())?);
            }
            rest = after;
        }
        Ok(bytes)
    }

    fn frame_bytes(&self, number: usize) -> usize {
        let start = number as u64 * FRAME_BYTES as u64;
        let length = self.size.saturating_sub(start).min(FRAME_BYTES as u64);
        usize::try_from(length).unwrap_or(FRAME_BYTES)
    }
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let compressed = zstd::bulk::compress(bytes, ZSTD_LEVEL).ok()?;
    (compressed.len() < bytes.len()).then_some(compressed)
}

fn checksum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let hash = blake3::hash(bytes);
    let mut sum = [0; SUM_BYTES];
    for (to, from) in sum.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    sum
}

fn table_checksum(id: &BlobId, size: u64, entries: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes()).update(&size.to_le_bytes()).update(entries);
    *hasher.finalize().as_bytes()
}

/// Bytes of a blob in one frame: what one read of a part decompresses at least.
pub(crate) const FRAME_BYTES: usize = 128 * 1024;

/// More than any setting for short bodies allows.
pub(crate) const INLINE_BYTES_MAX: usize = 1024 * 1024;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Set in a stored length: the frame is not compressed.
const IS_PLAIN: u32 = 1 << 31;

const SUM_BYTES: usize = 16;
const ENTRY_BYTES: usize = 4 + SUM_BYTES;
const ZSTD_LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(count: usize) -> Vec<u8> {
        (0..).flat_map(|n: u32| format!("line {n}\r\n").into_bytes()).take(count).collect()
    }

    #[test]
    fn short_body_reads_back_and_no_changed_byte_goes_unnoticed() {
        let bytes = text(500);
        let (id, body) = (BlobId::of(&bytes), encode_inline(&bytes));
        assert!(body.len() < bytes.len());
        assert_eq!(decode_inline(&id, 500, &body), Ok(bytes));
        for at in 0..body.len() {
            let mut body = body.clone();
            body[at] ^= 1;
            let answer = decode_inline(&id, 500, &body);
            // A flag in the compressed form may not matter; what comes out is right or refused.
            assert!(answer.is_err() || answer == Ok(text(500)), "byte {at}");
        }
        assert!(decode_inline(&id, 499, &body).is_err());
    }

    #[test]
    fn parts_of_an_object_read_back_and_another_blobs_object_is_refused() {
        let bytes = text(FRAME_BYTES * 3 + 17);
        let (id, size) = (BlobId::of(&bytes), bytes.len() as u64);
        let mut table = Table::default();
        let mut object: Vec<u8> =
            bytes.chunks(FRAME_BYTES).flat_map(|frame| table.frame(frame)).collect();
        let (end, stored_bytes) = table.finish(&id, size);
        object.extend(end);
        assert_eq!(object.len() as u64, stored_bytes);
        let part = |range: &Range<u64>| object[range.start as usize..range.end as usize].to_vec();
        let stored_table = part(&Frames::table_range(size, stored_bytes));
        let frames = Frames::read(&id, size, stored_bytes, &stored_table).unwrap();
        let (numbers, range) = frames.locate(&(FRAME_BYTES as u64 - 1..FRAME_BYTES as u64 + 1));
        assert_eq!(numbers, 0..2);
        assert_eq!(frames.decode(&numbers, &part(&range)), Ok(bytes[..FRAME_BYTES * 2].to_vec()));
        let mut wrong = part(&range);
        wrong[9] ^= 1;
        assert!(frames.decode(&numbers, &wrong).is_err());
        assert!(frames.decode(&numbers, &part(&range)[1..]).is_err());
        let other = BlobId::of(b"another");
        assert!(Frames::read(&other, size, stored_bytes, &stored_table).is_err());
    }
}
