//! Builds a snapshot from stored rows in UID order.

use std::sync::Arc;

use mail_types::{AnnotationName, ModSeq, SystemFlags, Uid, UidSet};

use super::entry::Entry;
use super::{CHUNK_ENTRIES, Inner, Keywords, MailboxSnapshot, MembershipRow, Slot};
use crate::annotations::AnnotationTable;
use crate::apply::Corruption;
use crate::history::History;
use crate::keywords::{KeywordSets, SetId};
use crate::{AnnotationValue, Annotations, Audience, Counts, MailboxRecord};

/// Takes rows in UID order and expunges in modseq order.
pub struct MailboxSnapshotBuilder {
    record: MailboxRecord,
    sets: KeywordSets,
    /// The keywords of the row before: neighbours often have the same.
    last_set: (Vec<u16>, SetId),
    slots: Vec<Slot>,
    chunk: Vec<Entry>,
    counts: Counts,
    history: History,
    annotations: AnnotationTable,
}

impl MailboxSnapshotBuilder {
    /// Begins the contents of the mailbox of this record. Expunges after `history_floor` will be
    /// given; of those before nothing is known. A mailbox's history is complete from its creation.
    pub fn new(record: &MailboxRecord, history_floor: ModSeq) -> Self {
        let floor = if history_floor <= record.created { ModSeq::ZERO } else { history_floor };
        Self {
            record: record.clone(),
            sets: KeywordSets::new(),
            last_set: (Vec::new(), SetId(0)),
            slots: Vec::new(),
            chunk: Vec::with_capacity(CHUNK_ENTRIES),
            counts: Counts::default(),
            history: History::new(floor),
            annotations: AnnotationTable::default(),
        }
    }

    /// Adds the next message.
    ///
    /// # Errors
    /// If the row does not belong there: a UID out of order or not below UIDNEXT, a modseq above
    /// the mailbox's, a keyword that the mailbox does not have.
    pub fn push(&mut self, row: &MembershipRow) -> Result<(), Corruption> {
        let corrupt = Corruption::Row { mailbox: self.record.id, uid: row.uid };
        let last = self.chunk.last().map(Entry::uid);
        let last = last.or_else(|| self.slots.last().map(|slot| slot.last_uid));
        let is_in_order = last.is_none_or(|last| last < row.uid) && row.uid < self.record.uid_next;
        let has_modseq = row.modseq > ModSeq::ZERO && row.modseq <= self.record.highest_modseq;
        let is_sorted = row.keywords.is_sorted_by(|a, b| a < b);
        let names = self.record.keywords.len();
        let is_known = row.keywords.last().is_none_or(|number| usize::from(*number) < names);
        if !(is_in_order && has_modseq && is_sorted && is_known) {
            return Err(corrupt);
        }
        if self.last_set.0 != row.keywords {
            self.last_set.1 = self.sets.intern(&row.keywords).ok_or(corrupt)?;
            self.last_set.0.clone_from(&row.keywords);
        }
        self.counts.add(row.system, row.size);
        self.chunk.push(Entry::new(row, self.last_set.1));
        if self.chunk.len() == CHUNK_ENTRIES {
            self.seal();
        }
        Ok(())
    }

    /// Adds an expunge. Those at or before the history's floor are passed over.
    pub fn expunged(&mut self, modseq: ModSeq, uids: &UidSet) {
        if modseq > self.history.floor() {
            self.history.push(modseq, uids);
        }
    }

    /// Adds annotations of a message that was pushed before: all that one audience has.
    ///
    /// # Errors
    /// If there is no such message.
    pub fn annotate(
        &mut self,
        uid: Uid,
        audience: Audience,
        values: Vec<(AnnotationName, AnnotationValue)>,
    ) -> Result<(), Corruption> {
        let slot = self.slots.partition_point(|slot| slot.last_uid < uid);
        let sealed = self.slots.get(slot).map_or(&[][..], |slot| &slot.entries);
        let is_in = |entries: &[Entry]| entries.binary_search_by_key(&uid, Entry::uid).is_ok();
        if !is_in(sealed) && !is_in(&self.chunk) {
            return Err(Corruption::Row { mailbox: self.record.id, uid });
        }
        let before = self.annotations.get(uid).cloned().unwrap_or_default();
        let others = before.iter().map(|(name, whose, value)| (name.clone(), whose, value.clone()));
        let all = others.chain(values.into_iter().map(|(name, value)| (name, audience, value)));
        let all: Annotations = all.collect();
        self.counts.annotation_bytes += all.bytes().saturating_sub(before.bytes());
        self.annotations.set(uid, all);
        Ok(())
    }

    /// The contents.
    ///
    /// # Errors
    /// If they are not what the record counts.
    pub fn finish(mut self) -> Result<MailboxSnapshot, Corruption> {
        self.seal();
        self.sets.compacted();
        let inner = Inner {
            mailbox: self.record.id,
            uid_validity: self.record.uid_validity,
            uid_next: self.record.uid_next,
            highest_modseq: self.record.highest_modseq,
            counts: self.counts,
            keywords: Keywords {
                names: self.record.keywords.clone(),
                sets: Arc::new(self.sets),
                annotations: self.annotations,
            },
            slots: self.slots,
            history: Arc::new(self.history),
        };
        let snapshot = MailboxSnapshot { inner: Arc::new(inner) };
        snapshot.check_against(&self.record)?;
        Ok(snapshot)
    }

    fn seal(&mut self) {
        let start = self.slots.last().map_or(0, |slot| slot.end);
        self.slots.extend(Slot::new(self.chunk.as_slice().into(), start));
        self.chunk.clear();
    }
}

impl Counts {
    pub(crate) fn add(&mut self, system: SystemFlags, size: u32) {
        self.messages += 1;
        self.size_bytes += u64::from(size);
        self.unseen += u32::from(!system.contains(SystemFlags::SEEN));
        if system.contains(SystemFlags::DELETED) {
            self.deleted += 1;
            self.deleted_bytes += u64::from(size);
        }
    }

    /// The opposite of `add` for a message that was counted before.
    pub(crate) fn remove(&mut self, system: SystemFlags, size: u32) {
        self.messages = self.messages.saturating_sub(1);
        self.size_bytes = self.size_bytes.saturating_sub(u64::from(size));
        let was_unseen = u32::from(!system.contains(SystemFlags::SEEN));
        self.unseen = self.unseen.saturating_sub(was_unseen);
        if system.contains(SystemFlags::DELETED) {
            self.deleted = self.deleted.saturating_sub(1);
            self.deleted_bytes = self.deleted_bytes.saturating_sub(u64::from(size));
        }
    }
}
