//! The bytes of a pack file.
//!
//! ```text
//! pack    = pack-header *record
//! record  = header scope *frame table
//! header  = magic(4) scope-length(1) zero(3) id(32) size(8) frames-length(8) frame-count(4)
//!           zero(4) table-sum(16) header-sum(16)
//! table   = *( stored-length-and-kind(4) frame-sum(8) )
//! ```
//!
//! Numbers are little endian. Every frame but the last holds [`FRAME_BYTES`] of the blob,
//! compressed by zstd or, where that does not shrink it, as it is. The table stands at the end
//! because a blob that is being streamed in has no length yet; the header is written last.
//!
//! Checksums are BLAKE3, truncated. It is linked anyway, runs at memory speed, and unlike a CRC
//! gives no pattern of damage a better chance. Eight bytes a frame, of the stored bytes and the
//! frame's index, so that damage is found before the decompressor sees it and frames cannot change
//! places; the table's sum includes the blob's id and stands in the header, so that every frame is
//! bound to its blob; the header's sum includes the scope.

use std::cell::RefCell;

use store::{BlobId, BlobKey, StoreError};
use zstd::bulk::{Compressor, Decompressor};

/// Most bytes of a blob in one frame: what reading a small range has to decompress at most.
pub(crate) const FRAME_BYTES: usize = 128 * 1024;

/// Length of the header of a pack.
pub(crate) const PACK_HEADER_BYTES: u64 = 16;

/// Length of a record's header without the scope.
pub(crate) const HEADER_BYTES: usize = 96;

/// Where a header says how long the scope is that follows it.
pub(crate) const SCOPE_LENGTH_AT: usize = 4;

/// Length of one entry of the table.
pub(crate) const ENTRY_BYTES: usize = 12;

/// The header of pack number `pack`.
pub(crate) fn pack_header(pack: u64) -> [u8; PACK_HEADER_BYTES as usize] {
    let mut header = [0; PACK_HEADER_BYTES as usize];
    let (magic, number) = header.split_at_mut(8);
    magic.copy_from_slice(b"pbxpack1");
    number.copy_from_slice(&pack.to_le_bytes());
    header
}

/// What a record says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: BlobKey,
    pub(crate) size: u64,
    pub(crate) frames_bytes: u64,
    pub(crate) frame_count: u32,
    pub(crate) table_sum: [u8; 16],
}

impl Header {
    /// Length of the header with its scope.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.key.scope.len()
    }

    /// Length of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.bytes() as u64 + self.frames_bytes + self.table_bytes()
    }

    pub(crate) fn table_bytes(&self) -> u64 {
        u64::from(self.frame_count) * ENTRY_BYTES as u64
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(MAGIC);
        // Scopes are at most 64 bytes; a longer one would not survive the checksum.
        bytes.push(self.key.scope.len().to_le_bytes()[0]);
        bytes.extend_from_slice(&[0; 3]);
        bytes.extend_from_slice(self.key.id.as_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.frames_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.frame_count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.table_sum);
        let sum: [u8; 16] = sum(&[&bytes, &self.key.scope]);
        bytes.extend_from_slice(&sum);
        bytes.extend_from_slice(&self.key.scope);
        bytes
    }

    /// Reads a header from the beginning of `bytes`; `None` when there is no valid one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let magic: [u8; 4] = fields.take()?;
        let [scope_length, ..]: [u8; 4] = fields.take()?;
        let id: [u8; 32] = fields.take()?;
        let size = u64::from_le_bytes(fields.take()?);
        let frames_bytes = u64::from_le_bytes(fields.take()?);
        let frame_count = u32::from_le_bytes(fields.take()?);
        let _: [u8; 4] = fields.take()?;
        let table_sum = fields.take()?;
        let header_sum: [u8; 16] = fields.take()?;
        let scope = fields.0.get(..usize::from(scope_length))?;
        let summed = bytes.get(..HEADER_BYTES - header_sum.len())?;
        let valid = magic == *MAGIC
            && header_sum == sum::<16>(&[summed, scope])
            && u64::from(frame_count) == size.div_ceil(FRAME_BYTES as u64);
        let key = BlobKey::new(scope, BlobId::from(id));
        valid.then_some(Self { key, size, frames_bytes, frame_count, table_sum })
    }
}

/// How a frame is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Zstd,
}

/// An entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Offset from the beginning of the first frame.
    pub(crate) at: u64,
    pub(crate) stored: u32,
    pub(crate) kind: Kind,
    sum: [u8; 8],
}

impl Frame {
    /// Whether these are the stored bytes of the frame.
    pub(crate) fn holds(&self, index: u32, stored: &[u8]) -> bool {
        frame_sum(index, stored) == self.sum
    }
}

/// Makes the frames of one blob, one after the other.
#[derive(Default)]
pub(crate) struct Frames {
    table: Vec<u8>,
    count: u32,
    bytes: u64,
}

impl Frames {
    /// Appends the frame of up to [`FRAME_BYTES`] bytes to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
        debug_assert!(!bytes.is_empty() && bytes.len() <= FRAME_BYTES);
        let shrunk = compress(bytes)?;
        let (stored, flag) = match &shrunk {
            Some(shrunk) => (shrunk.as_slice(), 0),
            None => (bytes, PLAIN),
        };
        let length = stored.len() as u64;
        // At most FRAME_BYTES, so it fits beside the flag.
        let entry = (length as u32) | flag;
        self.table.extend_from_slice(&entry.to_le_bytes());
        self.table.extend_from_slice(&frame_sum(self.count, stored));
        self.count += 1;
        self.bytes += length;
        out.extend_from_slice(stored);
        Ok(())
    }

    /// The header and the table of the blob, whose frames have all been pushed.
    pub(crate) fn finish(self, key: BlobKey, size: u64) -> (Header, Vec<u8>) {
        let table_sum = table_sum(&key.id, &self.table);
        let (frames_bytes, frame_count) = (self.bytes, self.count);
        (Header { key, size, frames_bytes, frame_count, table_sum }, self.table)
    }
}

/// Reads the table; `None` when it is damaged or does not fit the header.
pub(crate) fn decode_table(header: &Header, table: &[u8]) -> Option<Vec<Frame>> {
    if table.len() as u64 != header.table_bytes()
        || table_sum(&header.key.id, table) != header.table_sum
    {
        return None;
    }
    let mut frames = Vec::with_capacity(table.len() / ENTRY_BYTES);
    let (mut at, mut fields) = (0, Fields(table));
    while !fields.0.is_empty() {
        let entry = u32::from_le_bytes(fields.take()?);
        let kind = if entry & PLAIN == 0 { Kind::Zstd } else { Kind::Plain };
        let stored = entry & !PLAIN;
        frames.push(Frame { at, stored, kind, sum: fields.take()? });
        at += u64::from(stored);
    }
    let fits = frames.iter().all(|frame| frame.stored as usize <= FRAME_BYTES);
    (at == header.frames_bytes && fits).then_some(frames)
}

/// The blob's bytes of a frame; `None` when it is damaged.
pub(crate) fn decode_frame(
    frame: &Frame,
    index: u32,
    stored: &[u8],
    plain_bytes: usize,
) -> Option<Vec<u8>> {
    if !frame.holds(index, stored) {
        return None;
    }
    let bytes = match frame.kind {
        Kind::Plain => stored.to_vec(),
        Kind::Zstd => decompress(stored, plain_bytes)?,
    };
    (bytes.len() == plain_bytes).then_some(bytes)
}

/// `None` when compression does not shrink the bytes.
fn compress(bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error| StoreError::write_refused(format_args!("compression: {error}"));
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(LEVEL).map_err(failed)?),
        };
        // With no room for more than the input has, zstd gives up as soon as it does not shrink.
        let mut out = Vec::with_capacity(bytes.len() - 1);
        match compressor.compress_to_buffer(bytes, &mut out) {
            Ok(_) => Ok(Some(out)),
            Err(_) => Ok(None),
        }
    })
}

fn decompress(stored: &[u8], plain_bytes: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(stored, plain_bytes).ok()
    })
}

fn frame_sum(index: u32, stored: &[u8]) -> [u8; 8] {
    sum(&[&index.to_le_bytes(), stored])
}

fn table_sum(id: &BlobId, table: &[u8]) -> [u8; 16] {
    sum(&[id.as_bytes(), table])
}

fn sum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| _ = hasher.update(part));
    let mut sum = [0; N];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// What is left to read of some bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

thread_local! {
    // Contexts are some hundred kilobytes and slow to make: one a thread.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

const MAGIC: &[u8; 4] = b"blob";

/// Mail is mostly text and base64: the fastest level gets most of the gain.
const LEVEL: i32 = 1;

/// Set in a table entry whose frame is not compressed.
const PLAIN: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> (Header, Vec<u8>, Vec<u8>) {
        let mut frames = Frames::default();
        let mut body = Vec::new();
        for frame in bytes.chunks(FRAME_BYTES) {
            frames.push(frame, &mut body).unwrap();
        }
        let (header, table) =
            frames.finish(BlobKey::new(b"scope", BlobId::of(bytes)), bytes.len() as u64);
        (header, body, table)
    }

    #[test]
    fn header_and_frames_read_back() {
        let bytes = [b"text ".repeat(40_000), vec![7; 10]].concat();
        let (header, body, table) = record(&bytes);
        assert_eq!(Header::decode(&header.encode()), Some(header.clone()));
        let frames = decode_table(&header, &table).unwrap();
        assert_eq!(frames.len(), 2);
        let mut found = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            let stored = &body[frame.at as usize..][..frame.stored as usize];
            let plain = (bytes.len() - found.len()).min(FRAME_BYTES);
            found.extend(decode_frame(frame, index as u32, stored, plain).unwrap());
        }
        assert_eq!(found, bytes);
        assert!(body.len() < bytes.len() / 10);
    }

    #[test]
    fn every_flipped_bit_of_header_table_and_frame_is_noticed() {
        let (header, body, table) = record(b"Subject: spring tide\r\n\r\nhigh water at four\r\n");
        let encoded = header.encode();
        for bit in 0..encoded.len() * 8 {
            let mut damaged = encoded.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
        for bit in 0..table.len() * 8 {
            let mut damaged = table.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_table(&header, &damaged), None, "bit {bit}");
        }
        let frame = decode_table(&header, &table).unwrap()[0];
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_frame(&frame, 0, &damaged, header.size as usize), None, "bit {bit}");
        }
    }

    #[test]
    fn cut_header_is_not_a_header() {
        let encoded = record(b"x").0.encode();
        for length in 0..encoded.len() {
            assert_eq!(Header::decode(&encoded[..length]), None);
        }
    }

    #[test]
    fn bytes_that_do_not_shrink_are_stored_as_they_are() {
        let noise: Vec<u8> = blake3::Hasher::new().finalize_xof().by_ref_fill(5_000);
        let (header, body, _) = record(&noise);
        assert_eq!(body, noise);
        assert_eq!(header.frames_bytes, 5_000);
    }

    trait Noise {
        fn by_ref_fill(self, count: usize) -> Vec<u8>;
    }

    impl Noise for blake3::OutputReader {
        fn by_ref_fill(mut self, count: usize) -> Vec<u8> {
            let mut bytes = vec![0; count];
            self.fill(&mut bytes);
            bytes
        }
    }
}
