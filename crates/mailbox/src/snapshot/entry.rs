//! One message of a mailbox in 48 bytes.

use mail_types::{Flags, InternalDate, Keyword, MessageId, ModSeq, SystemFlags, ThreadId, Uid};

use super::Keywords;
use crate::Annotations;
use crate::keywords::{SET_ID_MAX, SetId};

/// A message as it is stored: the row of a mailbox and UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipRow {
    /// UID.
    pub uid: Uid,
    /// EMAILID.
    pub message: MessageId,
    /// THREADID.
    pub thread: ThreadId,
    /// Modseq of its last change in this mailbox.
    pub modseq: ModSeq,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// SAVEDATE, seconds since 1970, not before and not after 2106-02-07.
    pub save_date: i64,
    /// RFC822.SIZE.
    pub size: u32,
    /// System flags.
    pub system: SystemFlags,
    /// Keywords by their numbers in the mailbox's list, ascending.
    pub keywords: Vec<u16>,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry {
    message: MessageId,
    thread: ThreadId,
    modseq: ModSeq,
    /// Seconds since the year 0 in the upper bits, minutes of offset plus one day in the lower 12.
    date: u64,
    uid: Uid,
    size: u32,
    save_date: u32,
    flags: PackedFlags,
}

const _: () = assert!(size_of::<Entry>() == 48);

/// System flags in the upper 8 bits, the id of the keyword set in the lower 24.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PackedFlags(u32);

impl PackedFlags {
    pub(crate) fn new(system: SystemFlags, set: SetId) -> Self {
        Self(u32::from(system.bits()) << 24 | set.0 & SET_ID_MAX)
    }

    pub(crate) fn system(self) -> SystemFlags {
        let [bits, ..] = self.0.to_be_bytes();
        SystemFlags::from_bits(bits).unwrap_or_default()
    }

    pub(crate) fn set(self) -> SetId {
        SetId(self.0 & SET_ID_MAX)
    }
}

impl Entry {
    pub(crate) fn new(row: &MembershipRow, set: SetId) -> Self {
        Self {
            message: row.message,
            thread: row.thread,
            modseq: row.modseq,
            date: pack_date(row.internal_date),
            uid: row.uid,
            size: row.size,
            save_date: stored_save_date(row.save_date),
            flags: PackedFlags::new(row.system, set),
        }
    }

    pub(crate) fn uid(&self) -> Uid {
        self.uid
    }

    pub(crate) fn modseq(&self) -> ModSeq {
        self.modseq
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    pub(crate) fn flags(&self) -> PackedFlags {
        self.flags
    }

    pub(crate) fn set_flags(&mut self, flags: PackedFlags, modseq: ModSeq) {
        self.flags = flags;
        self.modseq = modseq;
    }

    pub(crate) fn renumber_set(&mut self, set: SetId) {
        self.flags = PackedFlags::new(self.flags.system(), set);
    }

    pub(crate) fn is_unseen(&self) -> bool {
        !self.flags.system().contains(SystemFlags::SEEN)
    }
}

/// A message in a snapshot.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    entry: &'a Entry,
    keywords: &'a Keywords,
}

impl<'a> EntryRef<'a> {
    pub(crate) fn new(entry: &'a Entry, keywords: &'a Keywords) -> Self {
        Self { entry, keywords }
    }

    /// UID.
    pub fn uid(&self) -> Uid {
        self.entry.uid
    }

    /// EMAILID.
    pub fn message(&self) -> MessageId {
        self.entry.message
    }

    /// THREADID.
    pub fn thread(&self) -> ThreadId {
        self.entry.thread
    }

    /// MODSEQ.
    pub fn modseq(&self) -> ModSeq {
        self.entry.modseq
    }

    /// INTERNALDATE.
    pub fn internal_date(&self) -> InternalDate {
        unpack_date(self.entry.date)
    }

    /// SAVEDATE, seconds since 1970. RFC 8514
    pub fn save_date(&self) -> i64 {
        i64::from(self.entry.save_date)
    }

    /// RFC822.SIZE.
    pub fn size(&self) -> u32 {
        self.entry.size
    }

    /// The system flags.
    pub fn system_flags(&self) -> SystemFlags {
        self.entry.flags.system()
    }

    /// The numbers of its keywords in the mailbox's list, ascending.
    pub fn keyword_numbers(&self) -> &'a [u16] {
        self.keywords.sets.get(self.entry.flags.set())
    }

    /// Its keywords, in the order of their numbers.
    pub fn keywords(&self) -> impl Iterator<Item = &'a Keyword> + use<'a> {
        let names = &self.keywords.names;
        self.keyword_numbers().iter().filter_map(|number| names.get(*number))
    }

    /// Whether it has this keyword, in any spelling.
    pub fn has_keyword(&self, keyword: &Keyword) -> bool {
        self.keywords().any(|k| k == keyword)
    }

    /// All flags. System flags alone cost no allocation.
    pub fn flags(&self) -> Flags {
        Flags::new(self.system_flags(), self.keywords().cloned())
    }

    /// Its annotations. A message without any costs one look at a table that is mostly empty.
    pub fn annotations(&self) -> Annotations {
        self.keywords.annotations.get(self.uid()).cloned().unwrap_or_default()
    }

    /// As it is stored.
    pub fn row(&self) -> MembershipRow {
        MembershipRow {
            uid: self.uid(),
            message: self.message(),
            thread: self.thread(),
            modseq: self.modseq(),
            internal_date: self.internal_date(),
            save_date: self.save_date(),
            size: self.size(),
            system: self.system_flags(),
            keywords: self.keyword_numbers().to_vec(),
        }
    }

    pub(crate) fn entry(&self) -> &'a Entry {
        self.entry
    }

    pub(crate) fn packed(&self) -> PackedFlags {
        self.entry.flags
    }
}

/// What a save date is after it was stored in 32 bits.
pub(crate) fn stored_save_date(seconds: i64) -> u32 {
    u32::try_from(seconds.clamp(0, i64::from(u32::MAX))).unwrap_or(0)
}

fn pack_date(date: InternalDate) -> u64 {
    let seconds = date.seconds().saturating_sub(InternalDate::SECONDS_MIN).unsigned_abs();
    let offset = i64::from(date.offset_minutes()) + OFFSET_BIAS;
    seconds << OFFSET_BITS | offset.unsigned_abs() & ((1 << OFFSET_BITS) - 1)
}

fn unpack_date(packed: u64) -> InternalDate {
    let seconds = i64::try_from(packed >> OFFSET_BITS).unwrap_or(0) + InternalDate::SECONDS_MIN;
    let offset = i64::try_from(packed & ((1 << OFFSET_BITS) - 1)).unwrap_or(0) - OFFSET_BIAS;
    InternalDate::new(seconds, i16::try_from(offset).unwrap_or(0))
}

const OFFSET_BITS: u32 = 12;
/// One day in minutes: no offset is as large, so that the stored number is never negative.
const OFFSET_BIAS: i64 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_packing() {
        let extremes = [InternalDate::SECONDS_MIN, -1, 0, 837_596_665, InternalDate::SECONDS_MAX];
        for seconds in extremes {
            for offset in [-1439, -420, 0, 1, 1439] {
                let date = InternalDate::new(seconds, offset);
                assert_eq!(unpack_date(pack_date(date)), date);
            }
        }
    }

    #[test]
    fn flags_and_keyword_set_share_a_word() {
        let packed = PackedFlags::new(SystemFlags::ALL, SetId(SET_ID_MAX));
        assert_eq!(packed.system(), SystemFlags::ALL);
        assert_eq!(packed.set(), SetId(SET_ID_MAX));
        assert_eq!(PackedFlags::new(SystemFlags::NONE, SetId(7)).set(), SetId(7));
    }

    #[test]
    fn save_dates_outside_of_32_bits_go_to_the_nearest_end() {
        assert_eq!(stored_save_date(-5), 0);
        assert_eq!(stored_save_date(1 << 40), u32::MAX);
        assert_eq!(stored_save_date(1_700_000_000), 1_700_000_000);
    }
}
