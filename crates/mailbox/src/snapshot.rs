//! The messages of one mailbox at one moment, in UID order.
//!
//! Entries lie in chunks of up to 512 that versions share; beside each chunk stands a summary
//! (last UID, position, greatest modseq, counts), so that a position, a UID or what changed since a
//! modseq is found without reading the chunks. One flag change on 100,000 messages copies one
//! chunk (24 KiB) and 196 summaries; a million messages take 48 MB.

mod builder;
mod edit;
mod entry;

use std::fmt;
use std::sync::Arc;

use mail_types::{MailboxId, ModSeq, Uid, UidSet, UidValidity};

pub use builder::MailboxSnapshotBuilder;
pub(crate) use edit::FlagEdit;
pub use entry::{EntryRef, MembershipRow};

use crate::annotations::AnnotationTable;
use crate::apply::Corruption;
use crate::history::{History, Vanished};
use crate::keywords::KeywordSets;
use crate::{Counts, KeywordNames, MailboxRecord};
pub(crate) use entry::{Entry, PackedFlags};

/// An immutable version of a mailbox's contents. Cheap to clone.
#[derive(Clone)]
pub struct MailboxSnapshot {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    mailbox: MailboxId,
    uid_validity: UidValidity,
    uid_next: Uid,
    highest_modseq: ModSeq,
    counts: Counts,
    keywords: Keywords,
    slots: Vec<Slot>,
    history: Arc<History>,
}

/// What stands beside the entries: what is needed to turn their flags into names, and the
/// annotations of those that have any.
#[derive(Clone, Debug)]
pub(crate) struct Keywords {
    pub(crate) names: KeywordNames,
    pub(crate) sets: Arc<KeywordSets>,
    pub(crate) annotations: AnnotationTable,
}

/// A chunk and its summary.
#[derive(Clone)]
struct Slot {
    entries: Arc<[Entry]>,
    /// Number of entries up to and with this chunk.
    end: u32,
    last_uid: Uid,
    max_modseq: ModSeq,
    unseen: u32,
}

impl MailboxSnapshot {
    /// What one message takes in memory, for budgets.
    pub const ENTRY_BYTES: usize = size_of::<Entry>();

    /// The mailbox whose contents these are.
    pub fn mailbox(&self) -> MailboxId {
        self.inner.mailbox
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.inner.uid_validity
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.inner.uid_next
    }

    /// HIGHESTMODSEQ.
    pub fn highest_modseq(&self) -> ModSeq {
        self.inner.highest_modseq
    }

    /// Number of messages and their sums.
    pub fn counts(&self) -> Counts {
        self.inner.counts
    }

    /// The keywords announced so far.
    pub fn keywords(&self) -> &KeywordNames {
        &self.inner.keywords.names
    }

    /// How many messages there are.
    pub fn len(&self) -> u32 {
        self.inner.counts.messages
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the two are the same version in memory.
    pub fn is_same_version(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The message at a position, from zero. O(log n)
    pub fn at(&self, index: u32) -> Option<EntryRef<'_>> {
        let slot_index = self.slot_of_index(index);
        let slot = self.inner.slots.get(slot_index)?;
        let offset = index.checked_sub(slot.start())?;
        self.entry_ref(slot.entries.get(usize::try_from(offset).ok()?)?)
    }

    /// The message of this UID. O(log n)
    pub fn find(&self, uid: Uid) -> Option<EntryRef<'_>> {
        let slot = self.inner.slots.get(self.slot_of_uid(uid))?;
        let at = slot.entries.binary_search_by_key(&uid, Entry::uid).ok()?;
        self.entry_ref(slot.entries.get(at)?)
    }

    /// The position of this UID, from zero. O(log n)
    pub fn position(&self, uid: Uid) -> Option<u32> {
        let slot = self.inner.slots.get(self.slot_of_uid(uid))?;
        let at = slot.entries.binary_search_by_key(&uid, Entry::uid).ok()?;
        Some(slot.start() + u32::try_from(at).ok()?)
    }

    /// How many messages have a lower UID. O(log n)
    pub fn rank(&self, uid: Uid) -> u32 {
        let Some(slot) = self.inner.slots.get(self.slot_of_uid(uid)) else { return self.len() };
        let at = slot.entries.partition_point(|entry| entry.uid() < uid);
        slot.start() + u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The highest UID.
    pub fn last_uid(&self) -> Option<Uid> {
        self.inner.slots.last().map(|slot| slot.last_uid)
    }

    /// All messages in UID order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = EntryRef<'_>> {
        let keywords = &self.inner.keywords;
        let entries = self.inner.slots.iter().flat_map(|slot| slot.entries.iter());
        entries.map(move |entry| EntryRef::new(entry, keywords))
    }

    /// All messages from a position on, each with its position.
    pub fn iter_from(&self, index: u32) -> impl Iterator<Item = (u32, EntryRef<'_>)> {
        let keywords = &self.inner.keywords;
        let slots = self.inner.slots.get(self.slot_of_index(index)..).unwrap_or_default();
        slots.iter().flat_map(move |slot| {
            let from = index.max(slot.start());
            let skip = usize::try_from(from - slot.start()).unwrap_or(usize::MAX);
            let entries = slot.entries.get(skip..).unwrap_or_default();
            (from..).zip(entries).map(move |(at, entry)| (at, EntryRef::new(entry, keywords)))
        })
    }

    /// The messages of this set, each with its position, in UID order.
    pub fn select<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (u32, EntryRef<'a>)> {
        uids.ranges().flat_map(move |range| {
            let last = *range.end();
            self.iter_from(self.rank(*range.start())).take_while(move |(_, e)| e.uid() <= last)
        })
    }

    /// The messages that changed or came after `since`, each with its position. Chunks without
    /// such a message are not read. RFC 7162 §3.1.4.1
    pub fn changed_since(&self, since: ModSeq) -> impl Iterator<Item = (u32, EntryRef<'_>)> {
        let keywords = &self.inner.keywords;
        let slots = self.inner.slots.iter().filter(move |slot| slot.max_modseq > since);
        slots.flat_map(move |slot| {
            let entries = (slot.start()..).zip(slot.entries.iter());
            entries
                .filter(move |(_, entry)| entry.modseq() > since)
                .map(move |(at, entry)| (at, EntryRef::new(entry, keywords)))
        })
    }

    /// All UIDs.
    pub fn uids(&self) -> UidSet {
        self.iter().map(|entry| entry.uid()).collect()
    }

    /// The UIDs that left after `since`, as far as it is remembered.
    pub fn vanished_since(&self, since: ModSeq) -> Vanished {
        self.inner.history.since(since)
    }

    /// Every expunge after this modseq is remembered.
    pub fn history_floor(&self) -> ModSeq {
        self.inner.history.floor()
    }

    /// The position of the first message without `\Seen`, from zero.
    pub fn first_unseen(&self) -> Option<u32> {
        let slot = self.inner.slots.iter().find(|slot| slot.unseen > 0)?;
        let at = slot.entries.iter().position(|entry| entry.is_unseen())?;
        Some(slot.start() + u32::try_from(at).ok()?)
    }

    pub(crate) fn keyword_table(&self) -> &Keywords {
        &self.inner.keywords
    }

    /// Whether these are the contents that the record speaks of.
    pub(crate) fn check_against(&self, record: &MailboxRecord) -> Result<(), Corruption> {
        let inner = &self.inner;
        let agrees = inner.mailbox == record.id
            && inner.uid_validity == record.uid_validity
            && inner.uid_next == record.uid_next
            && inner.highest_modseq == record.highest_modseq
            && inner.counts == record.counts
            && inner.keywords.names == record.keywords;
        if agrees { Ok(()) } else { Err(Corruption::ContentsDisagree(record.id)) }
    }

    fn entry_ref<'a>(&'a self, entry: &'a Entry) -> Option<EntryRef<'a>> {
        Some(EntryRef::new(entry, &self.inner.keywords))
    }

    /// The chunk that holds a position; past the last one if none does.
    fn slot_of_index(&self, index: u32) -> usize {
        self.inner.slots.partition_point(|slot| slot.end <= index)
    }

    /// The chunk that holds this UID if any does.
    fn slot_of_uid(&self, uid: Uid) -> usize {
        self.inner.slots.partition_point(|slot| slot.last_uid < uid)
    }
}

impl fmt::Debug for MailboxSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxSnapshot")
            .field("mailbox", &self.inner.mailbox)
            .field("highest_modseq", &self.inner.highest_modseq)
            .field("uid_next", &self.inner.uid_next)
            .field("counts", &self.inner.counts)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// A chunk after others that hold `start` entries; `None` without an entry.
    fn new(entries: Arc<[Entry]>, start: u32) -> Option<Self> {
        let last_uid = entries.last()?.uid();
        let max_modseq = entries.iter().map(|entry| entry.modseq()).max()?;
        let unseen = entries.iter().filter(|entry| entry.is_unseen()).count();
        let unseen = u32::try_from(unseen).ok()?;
        let end = start.checked_add(u32::try_from(entries.len()).ok()?)?;
        Some(Self { entries, end, last_uid, max_modseq, unseen })
    }

    fn start(&self) -> u32 {
        self.end - u32::try_from(self.entries.len()).unwrap_or(0)
    }
}

/// Entries in a full chunk. Small chunks cost summaries, large ones cost copying: at 512 a flag
/// change in a mailbox of 100,000 copies about as many bytes of either. Tests take small ones, so
/// that short histories cross their borders.
const CHUNK_ENTRIES: usize = if cfg!(test) { 6 } else { 512 };

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{InternalDate, MailboxName, MessageId, SystemFlags, ThreadId};

    fn uid(number: usize) -> Uid {
        Uid::new(u32::try_from(number).unwrap()).unwrap()
    }

    fn modseq(number: u64) -> ModSeq {
        ModSeq::new(number).unwrap()
    }

    /// A mailbox of this many full chunks.
    fn chunks(count: usize) -> MailboxSnapshot {
        let name = MailboxName::inbox();
        let record = MailboxRecord::new(MailboxId(1), name, UidValidity::MIN, modseq(1));
        let empty = MailboxSnapshotBuilder::new(&record, ModSeq::ZERO).finish().unwrap();
        let row = |number| MembershipRow {
            uid: uid(number),
            message: MessageId(1),
            thread: ThreadId(1),
            modseq: modseq(2),
            internal_date: InternalDate::utc(0),
            save_date: 0,
            size: 1,
            system: SystemFlags::NONE,
            keywords: Vec::new(),
        };
        let rows: Vec<_> = (1..=count * CHUNK_ENTRIES).map(row).collect();
        empty.with_added(modseq(2), &rows, Vec::new(), &record.keywords).unwrap()
    }

    fn shared(a: &MailboxSnapshot, b: &MailboxSnapshot) -> usize {
        let is_in_b = |slot: &&Slot| {
            b.inner.slots.iter().any(|other| Arc::ptr_eq(&slot.entries, &other.entries))
        };
        a.inner.slots.iter().filter(is_in_b).count()
    }

    #[test]
    fn a_change_copies_one_chunk_and_shares_the_others() {
        let before = chunks(10);
        let uids = UidSet::single(uid(5 * CHUNK_ENTRIES));
        let seen = FlagEdit { uids: &uids, system: SystemFlags::SEEN, keywords: Vec::new() };
        let flagged = before.with_flags(modseq(3), &[seen], before.keywords()).unwrap();
        assert_eq!(shared(&before, &flagged), 9);
        let expunged = flagged.without(modseq(4), &uids).unwrap();
        assert_eq!(shared(&flagged, &expunged), 9);
        assert_eq!(expunged.changed_since(modseq(2)).count(), 0);
        assert_eq!(flagged.changed_since(modseq(2)).count(), 1);
    }

    #[test]
    fn a_mailbox_that_shrinks_keeps_few_chunks() {
        let before = chunks(30);
        let most = (1..=before.len()).filter(|number| number % 6 != 0);
        let gone: UidSet = most.filter_map(Uid::new).collect();
        let after = before.without(modseq(3), &gone).unwrap();
        assert_eq!(after.len(), before.len() / 6);
        assert!(after.inner.slots.len() <= 10, "{} chunks", after.inner.slots.len());
    }

    #[test]
    fn a_chunk_that_was_not_touched_by_a_wide_expunge_is_shared() {
        let before = chunks(10);
        let gone: UidSet = [uid(1), uid(10 * CHUNK_ENTRIES)].into_iter().collect();
        let after = before.without(modseq(3), &gone).unwrap();
        assert_eq!(shared(&before, &after), 8);
    }
}
