//! The next version of a snapshot after a change. Only what changes is copied.

use std::collections::HashMap;
use std::sync::Arc;

use mail_types::{ModSeq, SystemFlags, Uid, UidSet};

use super::entry::{Entry, PackedFlags};
use super::{CHUNK_ENTRIES, Inner, MailboxSnapshot, MembershipRow, Slot};
use crate::apply::Corruption;
use crate::keywords::{KeywordSets, SetId};
use crate::{AnnotationEdit, Annotations, KeywordNames};

/// Messages that get the same flags.
pub(crate) struct FlagEdit<'a> {
    pub(crate) uids: &'a UidSet,
    pub(crate) system: SystemFlags,
    /// Ascending numbers of the mailbox's list.
    pub(crate) keywords: Vec<u16>,
}

impl MailboxSnapshot {
    /// With these rows after the last one, and the annotations of those that have any.
    pub(crate) fn with_added(
        &self,
        modseq: ModSeq,
        rows: &[MembershipRow],
        annotations: Vec<(Uid, Annotations)>,
        names: &KeywordNames,
    ) -> Result<Self, Corruption> {
        let corrupt = |uid| Corruption::Row { mailbox: self.mailbox(), uid };
        let mut inner = (*self.inner).clone();
        inner.keywords.names = names.clone();
        inner.highest_modseq = modseq;
        let mut open: Vec<Entry> = Vec::with_capacity(CHUNK_ENTRIES);
        if let Some(last) = inner.slots.pop_if(|last| last.entries.len() < CHUNK_ENTRIES) {
            open.extend_from_slice(&last.entries);
        }
        for row in rows {
            if row.uid < inner.uid_next {
                return Err(corrupt(row.uid));
            }
            inner.uid_next = row.uid.next().ok_or(corrupt(row.uid))?;
            let set = inner.intern(&row.keywords).ok_or(corrupt(row.uid))?;
            inner.counts.add(row.system, row.size);
            open.push(Entry::new(row, set));
            if open.len() == CHUNK_ENTRIES {
                inner.push_slot(&open);
                open.clear();
            }
        }
        inner.push_slot(&open);
        for (uid, annotations) in annotations {
            inner.counts.annotation_bytes += annotations.bytes();
            inner.keywords.annotations.set(uid, annotations);
        }
        inner.compact_sets_if_due();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// With other flags on some messages.
    pub(crate) fn with_flags(
        &self,
        modseq: ModSeq,
        edits: &[FlagEdit<'_>],
        names: &KeywordNames,
    ) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        inner.keywords.names = names.clone();
        inner.highest_modseq = modseq;
        let mut targets: Vec<(Uid, PackedFlags)> = Vec::new();
        for edit in edits {
            let set =
                inner.intern(&edit.keywords).ok_or(Corruption::ContentsDisagree(self.mailbox()))?;
            let flags = PackedFlags::new(edit.system, set);
            targets.extend(edit.uids.iter().map(|uid| (uid, flags)));
        }
        targets.sort_unstable();
        inner.set_flags(&targets, modseq)?;
        inner.compact_sets_if_due();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// With other annotations of these messages, all of which must be there. Their flags stay.
    pub(crate) fn with_annotations(
        &self,
        modseq: ModSeq,
        uids: &UidSet,
        edits: &[AnnotationEdit],
    ) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        inner.highest_modseq = modseq;
        let fresh = Annotations::default().with(edits);
        let mut targets: Vec<(Uid, PackedFlags)> = Vec::new();
        for (_, entry) in self.select(uids) {
            targets.push((entry.uid(), entry.packed()));
            let before = entry.annotations();
            let after = if before.is_empty() { fresh.clone() } else { before.with(edits) };
            let bytes = inner.counts.annotation_bytes + after.bytes();
            inner.counts.annotation_bytes = bytes.saturating_sub(before.bytes());
            inner.keywords.annotations.set(entry.uid(), after);
        }
        if u64::try_from(targets.len()) != Ok(uids.len()) {
            return Err(Corruption::ContentsDisagree(self.mailbox()));
        }
        inner.set_flags(&targets, modseq)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Without these messages, all of which must be there.
    pub(crate) fn without(&self, modseq: ModSeq, uids: &UidSet) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        inner.highest_modseq = modseq;
        let before = u64::from(inner.counts.messages);
        let first = uids.first().map_or(0, |uid| self.slot_of_uid(uid));
        let tail = inner.slots.split_off(first.min(inner.slots.len()));
        let mut ranges = uids.ranges().peekable();
        for slot in tail {
            let first = slot.entries.first().map_or(slot.last_uid, Entry::uid);
            while ranges.next_if(|range| *range.end() < first).is_some() {}
            if ranges.peek().is_some_and(|range| *range.start() <= slot.last_uid) {
                inner.push_filtered(&slot, uids);
            } else {
                let start = inner.slots.last().map_or(0, |slot| slot.end);
                let end = start + (slot.end - slot.start());
                inner.slots.push(Slot { end, ..slot });
            }
        }
        if before - u64::from(inner.counts.messages) != uids.len() {
            return Err(Corruption::ContentsDisagree(self.mailbox()));
        }
        let bytes = inner.keywords.annotations.remove(uids);
        inner.counts.annotation_bytes = inner.counts.annotation_bytes.saturating_sub(bytes);
        Arc::make_mut(&mut inner.history).push(modseq, uids);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// With its expunge history forgotten up to `floor`.
    pub(crate) fn with_history_floor(&self, floor: ModSeq) -> Self {
        let mut inner = (*self.inner).clone();
        Arc::make_mut(&mut inner.history).forget(floor);
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn intern(&mut self, keywords: &[u16]) -> Option<SetId> {
        match self.keywords.sets.find(keywords) {
            Some(id) => Some(id),
            None => Arc::make_mut(&mut self.keywords.sets).intern(keywords),
        }
    }

    /// Gives messages these flags and this modseq; they are in UID order and must be there.
    fn set_flags(
        &mut self,
        targets: &[(Uid, PackedFlags)],
        modseq: ModSeq,
    ) -> Result<(), Corruption> {
        let corrupt = |uid| Corruption::Row { mailbox: self.mailbox, uid };
        let mut rest = targets;
        while let Some(&(uid, _)) = rest.first() {
            let at = self.slots.partition_point(|slot| slot.last_uid < uid);
            let slot = self.slots.get_mut(at).ok_or(corrupt(uid))?;
            let count = rest.partition_point(|(uid, _)| *uid <= slot.last_uid);
            let (here, later) = rest.split_at(count);
            slot.set_flags(here, modseq, &mut self.counts).map_err(corrupt)?;
            rest = later;
        }
        Ok(())
    }

    fn push_slot(&mut self, entries: &[Entry]) {
        let start = self.slots.last().map_or(0, |slot| slot.end);
        self.slots.extend(Slot::new(entries.into(), start));
    }

    /// Adds what remains of a chunk; a small rest is joined to the chunk before it, so that a
    /// mailbox that shrinks does not keep its many chunks.
    fn push_filtered(&mut self, slot: &Slot, uids: &UidSet) {
        let mut kept: Vec<Entry> = Vec::with_capacity(slot.entries.len());
        for entry in slot.entries.iter() {
            if uids.contains(entry.uid()) {
                self.counts.remove(entry.flags().system(), entry.size());
            } else {
                kept.push(*entry);
            }
        }
        let joins = |last: &mut Slot| last.entries.len() + kept.len() <= CHUNK_ENTRIES / 2;
        if let Some(last) = self.slots.pop_if(joins) {
            let mut joined = last.entries.to_vec();
            joined.append(&mut kept);
            kept = joined;
        }
        self.push_slot(&kept);
    }

    /// Drops the keyword sets that no message has any more. They come from flags that were set and
    /// changed again; every doubling of the table pays for one walk over the entries.
    fn compact_sets_if_due(&mut self) {
        if !self.keywords.sets.is_due_for_compaction() {
            return;
        }
        let old = self.keywords.sets.clone();
        let mut sets = KeywordSets::new();
        let mut renumbered: HashMap<SetId, SetId> = HashMap::new();
        for slot in &mut self.slots {
            for entry in Arc::make_mut(&mut slot.entries) {
                let from = entry.flags().set();
                let to = match renumbered.get(&from) {
                    Some(to) => *to,
                    None => sets.intern(old.get(from)).unwrap_or_default(),
                };
                renumbered.insert(from, to);
                entry.renumber_set(to);
            }
        }
        sets.compacted();
        self.keywords.sets = Arc::new(sets);
    }
}

impl Slot {
    /// Sets the flags of these messages, in UID order; the first one that is not there is the
    /// error.
    fn set_flags(
        &mut self,
        targets: &[(Uid, PackedFlags)],
        modseq: ModSeq,
        counts: &mut crate::Counts,
    ) -> Result<(), Uid> {
        let entries = Arc::make_mut(&mut self.entries);
        let mut unseen = self.unseen;
        for (uid, flags) in targets {
            let at = entries.binary_search_by_key(uid, Entry::uid).map_err(|_| *uid)?;
            let entry = entries.get_mut(at).ok_or(*uid)?;
            counts.remove(entry.flags().system(), entry.size());
            unseen -= u32::from(entry.is_unseen());
            entry.set_flags(*flags, modseq);
            counts.add(entry.flags().system(), entry.size());
            unseen += u32::from(entry.is_unseen());
        }
        self.unseen = unseen;
        self.max_modseq = modseq;
        Ok(())
    }
}
