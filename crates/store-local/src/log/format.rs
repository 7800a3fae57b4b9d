//! The bytes of the log, apart from the records of bodies.
//!
//! ```text
//! segment = segment-header *( record zero-to-8 )
//! record  = body / group               ; a body is as `pack/format` describes it
//! segment-header = magic(8) number(8) first-group(8) zero(24) sum(16)
//! group   = magic(8) number(8) first-commit(8) last-commit(8) payload-length(8) payload-sum(16)
//!           header-sum(16) payload zero-to-8 mark(8)
//! ```
//!
//! Numbers are little endian. Records begin at multiples of [`ALIGN`], so that a search behind
//! damage finds the groups that follow. Sums are BLAKE3 with the store's key, truncated; those of
//! headers include the place, so that a record is valid where it was written and nowhere else. The
//! mark at the end is there because a torn write leaves zeros: a record without it is not whole.

use super::{LogKey, Position};
use crate::pack::PackId;

/// Length of the header of a segment.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;

/// Length of the header of a group.
pub(crate) const GROUP_HEADER_BYTES: usize = 72;

/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;

/// Longest payload of a group: some times the longest commit. A header whose sum holds never says
/// more, as none is written.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Begins the record of a group.
pub(crate) const GROUP_MAGIC: &[u8; 8] = b"pbxgroup";

/// Begins a segment of the log.
pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"pbxlog01";

/// Ends the record of a group.
const MARK: &[u8; 8] = b"groupend";

/// Where a record may begin that comes after `offset`.
pub(crate) fn aligned(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGN)
}

/// The header of a segment whose first group will be `first_group`.
pub(crate) fn segment_header(key: &LogKey, segment: PackId, first_group: u64) -> [u8; 64] {
    let mut header = [0; 64];
    let sum = segment_sum(key, segment, first_group);
    let fields = [&SEGMENT_MAGIC[..], &segment.to_le_bytes(), &first_group.to_le_bytes()];
    let bytes = fields.concat().into_iter().chain([0; 24]).chain(sum);
    header.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    header
}

/// The number of the first group of a segment; `None` when this is not the segment's header.
pub(crate) fn first_group(key: &LogKey, segment: PackId, header: &[u8; 64]) -> Option<u64> {
    let (_, field) = header.split_at_checked(16)?;
    let first = u64::from_le_bytes(*field.first_chunk()?);
    (segment_header(key, segment, first) == *header).then_some(first)
}

/// What stands before the payload of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) number: u64,
    pub(crate) first_commit: u64,
    pub(crate) last_commit: u64,
    pub(crate) payload_bytes: u64,
    payload_sum: [u8; 16],
}

impl GroupHeader {
    /// Length of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        group_record_bytes(self.payload_bytes)
    }

    /// Reads a header; `None` unless it was written at this place.
    pub(crate) fn decode(key: &LogKey, at: Position, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; GROUP_HEADER_BYTES] = bytes.first_chunk()?;
        if !bytes.starts_with(GROUP_MAGIC) {
            return None;
        }
        let number = |index: usize| -> Option<u64> {
            let (_, field) = bytes.split_at_checked(index)?;
            Some(u64::from_le_bytes(*field.first_chunk()?))
        };
        let (summed, header_sum) = bytes.split_last_chunk::<16>()?;
        let (_, payload_sum) = summed.split_last_chunk::<16>()?;
        let header = Self {
            number: number(8)?,
            first_commit: number(16)?,
            last_commit: number(24)?,
            payload_bytes: number(32)?,
            payload_sum: *payload_sum,
        };
        let valid =
            *header_sum == placed_sum(key, at, summed) && header.payload_bytes <= PAYLOAD_BYTES_MAX;
        valid.then_some(header)
    }

    /// Whether what follows the header is its payload, whole.
    pub(crate) fn holds(&self, key: &LogKey, rest: &[u8]) -> bool {
        let payload = usize::try_from(self.payload_bytes).ok();
        payload
            .and_then(|length| rest.get(..length))
            .is_some_and(|payload| rest.ends_with(MARK) && sum(key, &[payload]) == self.payload_sum)
    }
}

/// The record of a group at a place. `payload` is left with room for the header in front, see
/// [`new_payload`].
pub(crate) fn encode_group(
    key: &LogKey,
    at: Position,
    number: u64,
    commits: (u64, u64),
    mut record: Vec<u8>,
) -> Vec<u8> {
    let payload_bytes = (record.len().saturating_sub(GROUP_HEADER_BYTES)) as u64;
    let payload_sum = sum(key, &[record.get(GROUP_HEADER_BYTES..).unwrap_or_default()]);
    let mut header = Vec::with_capacity(GROUP_HEADER_BYTES);
    header.extend_from_slice(GROUP_MAGIC);
    for field in [number, commits.0, commits.1, payload_bytes] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&payload_sum);
    let header_sum = placed_sum(key, at, &header);
    header.extend_from_slice(&header_sum);
    record.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
    record.resize(record.len().next_multiple_of(ALIGN as usize), 0);
    record.extend_from_slice(MARK);
    record
}

/// A payload to be filled, with room for the header in front.
pub(crate) fn new_payload() -> Vec<u8> {
    vec![0; GROUP_HEADER_BYTES]
}

/// Length of the record of a group.
pub(crate) fn group_record_bytes(payload_bytes: u64) -> u64 {
    aligned(GROUP_HEADER_BYTES as u64 + payload_bytes) + MARK.len() as u64
}

/// Whether bytes look as a write that did not happen, or not to its end, would leave them: a sector
/// of zeros within, or zeros at the end. `offset` is where they stand in the file, in which nothing
/// else was ever written at their place. Records end in a sum or a mark, and what holds a whole
/// sector of zeros is compressed; a row may, and then damage passes for a torn write.
pub(crate) fn looks_torn(offset: u64, bytes: &[u8]) -> bool {
    let zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    let to_boundary = usize::try_from(aligned_to(offset, SECTOR_BYTES) - offset).unwrap_or(0);
    let (first, rest) = bytes.split_at(to_boundary.min(bytes.len()));
    let tail = bytes.len().saturating_sub(8);
    (!first.is_empty() && zero(first))
        || rest.chunks(SECTOR_BYTES as usize).any(zero)
        || zero(bytes.get(tail..).unwrap_or_default())
}

fn aligned_to(offset: u64, unit: u64) -> u64 {
    offset.next_multiple_of(unit)
}

fn segment_sum(key: &LogKey, segment: PackId, first_group: u64) -> [u8; 16] {
    sum(key, &[b"segment", &segment.to_le_bytes(), &first_group.to_le_bytes()])
}

fn placed_sum(key: &LogKey, at: Position, header: &[u8]) -> [u8; 16] {
    sum(key, &[b"group", &at.segment.to_le_bytes(), &at.offset.to_le_bytes(), header])
}

fn sum(key: &LogKey, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    parts.iter().for_each(|part| _ = hasher.update(part));
    let mut sum = [0; 16];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// The smallest unit that a disk writes or does not write.
const SECTOR_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { segment: 3, offset: 640 };

    fn record() -> (LogKey, Vec<u8>) {
        let key = LogKey::random();
        let mut payload = new_payload();
        payload.extend_from_slice(b"what the group changes");
        (key, encode_group(&key, AT, 7, (20, 22), payload))
    }

    #[test]
    fn group_reads_back_at_its_place_only() {
        let (key, record) = record();
        let header = GroupHeader::decode(&key, AT, &record).unwrap();
        assert_eq!((header.number, header.first_commit, header.last_commit), (7, 20, 22));
        assert_eq!(header.record_bytes(), record.len() as u64);
        assert!(header.holds(&key, &record[GROUP_HEADER_BYTES..]));
        let beside = Position { offset: AT.offset + 8, ..AT };
        assert_eq!(GroupHeader::decode(&key, beside, &record), None);
        assert_eq!(GroupHeader::decode(&LogKey::random(), AT, &record), None);
    }

    #[test]
    fn every_flipped_bit_of_a_group_is_noticed() {
        let (key, record) = record();
        let padding = GROUP_HEADER_BYTES + 22..record.len() - 8;
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let valid = GroupHeader::decode(&key, AT, &damaged)
                .is_some_and(|header| header.holds(&key, &damaged[GROUP_HEADER_BYTES..]));
            assert_eq!(valid, padding.contains(&(bit / 8)), "bit {bit}");
        }
    }

    #[test]
    fn segment_header_reads_back_in_its_own_segment() {
        let key = LogKey::random();
        let header = segment_header(&key, 9, 41);
        assert_eq!(first_group(&key, 9, &header), Some(41));
        assert_eq!(first_group(&key, 8, &header), None);
    }

    #[test]
    fn cut_record_looks_torn_and_a_flipped_bit_does_not() {
        let (_, record) = record();
        assert!(!looks_torn(AT.offset, &record));
        for kept in 0..record.len() - 8 {
            let mut torn = record.clone();
            torn[kept..].fill(0);
            assert!(looks_torn(AT.offset, &torn), "{kept} bytes kept");
        }
    }
}
