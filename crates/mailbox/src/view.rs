//! What one session has been told of its selected mailbox.
//!
//! A view has two positions. `seen` is the snapshot that the session computes with; `settled` is
//! the modseq up to which the client was told everything. An expunge may not be told during FETCH,
//! STORE and SEARCH (RFC 9051 §7.5.1), so expunged messages may be withheld: they keep their
//! sequence numbers and stay readable, and `settled` stays behind until they are told.
//!
//! The numbering is that of the shared snapshot, shifted by the withheld messages, so a view with
//! nothing withheld is a few pointers whatever the size of the mailbox.

use mail_types::{AnnotationName, Flags, ModSeq, SeqNum, Uid, UidSet, UidValidity};

use crate::snapshot::{Entry, Keywords};
use crate::{Audience, EntryRef, FlagMode, KeywordNames, MailboxSnapshot};

/// A session's picture of its selected mailbox.
#[derive(Clone, Debug)]
pub struct View {
    seen: MailboxSnapshot,
    withheld: Option<Box<Withheld>>,
    recent: Option<Box<UidSet>>,
}

#[derive(Clone, Debug)]
struct Withheld {
    /// In UID order, at least one.
    gone: Vec<Gone>,
    /// The modseq of `seen` before the first of them was withheld.
    settled: ModSeq,
}

/// A message that the client still counts although it is expunged.
#[derive(Clone)]
struct Gone {
    entry: Entry,
    /// Its keyword set has its number in the snapshot that it was last part of.
    keywords: Keywords,
    /// Its position in the view, from zero.
    index: u32,
}

/// Whether expunges may be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expunges {
    /// Tell all, also those withheld before.
    Tell,
    /// Keep them for later: the command in progress is FETCH, STORE or SEARCH. RFC 9051 §7.5.1
    Withhold,
}

/// The session's own STORE, so that its effect is not taken for news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnStore {
    /// Modseq of the change.
    pub modseq: ModSeq,
    /// How the flags were changed.
    pub mode: FlagMode,
    /// The flags named.
    pub flags: Flags,
}

/// What the client has to be told, in this order: expunges, EXISTS, FLAGS, FETCH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// EXPUNGE responses in the order of sending: descending, so that each number is the one the
    /// client has at that moment. RFC 9051 §7.5.1
    pub expunged: Vec<SeqNum>,
    /// The same messages for VANISHED. RFC 7162 §3.2.10
    pub vanished: UidSet,
    /// EXISTS, if messages arrived.
    pub exists: Option<u32>,
    /// The whole list for FLAGS, if it has grown. RFC 9051 §7.3.5
    pub keywords: Option<KeywordNames>,
    /// Messages that the client knew and that changed since it was told, in ascending order;
    /// numbers are those after the expunges.
    pub changed: Vec<Changed>,
    /// Those of the changed messages of which annotations have other values, with the names and
    /// audiences of these, in ascending order. RFC 5257 §4.4
    pub annotated: Vec<(Uid, Vec<(AnnotationName, Audience)>)>,
}

/// A message whose flags or modseq changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its number in the view.
    pub seq: SeqNum,
    /// Its UID.
    pub uid: Uid,
    /// Its modseq now.
    pub modseq: ModSeq,
    /// What is new about it.
    pub news: News,
}

/// What is new about a changed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It has other flags than the client knows.
    Flags,
    /// It has the flags that the client knows, but changed on the way: only MODSEQ is new.
    ModSeq,
    /// It has the flags that the client expects after its own STORE, and no one else changed it:
    /// with .SILENT only MODSEQ is new. RFC 9051 §6.4.6
    Own,
}

/// A bound of a sequence set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<T> {
    /// A number.
    Number(T),
    /// `*`
    Last,
}

/// A sequence number that no message of the view has, or `*` in an empty mailbox. RFC 9051 §9
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchSeqNum;

impl View {
    /// The view of a session that is told of everything in the snapshot.
    pub fn open(snapshot: MailboxSnapshot) -> Self {
        Self { seen: snapshot, withheld: None, recent: None }
    }

    /// The snapshot that the session computes with. It does not hold withheld messages.
    pub fn snapshot(&self) -> &MailboxSnapshot {
        &self.seen
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.seen.uid_validity()
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.seen.uid_next()
    }

    /// How many messages the client counts: EXISTS.
    pub fn exists(&self) -> u32 {
        self.seen.len() + u32::try_from(self.gone().len()).unwrap_or(0)
    }

    /// Whether expunges wait to be told.
    pub fn has_withheld(&self) -> bool {
        self.withheld.is_some()
    }

    /// Messages that are expunged, which the client was not told yet.
    pub fn withheld(&self) -> UidSet {
        self.gone().iter().map(|gone| gone.entry.uid()).collect()
    }

    /// The modseq up to which the client was told everything: the only one that may be announced
    /// as HIGHESTMODSEQ.
    ///
    /// Stays behind while expunges are withheld, so that a client that comes back cannot miss one.
    /// RFC 7162 §3.2
    pub fn settled(&self) -> ModSeq {
        self.withheld.as_ref().map_or(self.seen.highest_modseq(), |withheld| withheld.settled)
    }

    /// The highest UID that the client can know.
    pub fn last_uid(&self) -> Option<Uid> {
        self.seen.last_uid().max(self.gone().last().map(|gone| gone.entry.uid()))
    }

    /// The UID of a sequence number.
    pub fn uid(&self, seq: SeqNum) -> Option<Uid> {
        self.entry_at(seq).map(|entry| entry.uid())
    }

    /// The sequence number of a UID, also of a withheld one.
    pub fn seq(&self, uid: Uid) -> Option<SeqNum> {
        let index = match self.gone_at(uid) {
            Ok(gone) => gone.index,
            Err(before) => self.seen.position(uid)? + before,
        };
        SeqNum::new(index + 1)
    }

    /// The message of a sequence number; a withheld one as it was last.
    pub fn entry_at(&self, seq: SeqNum) -> Option<EntryRef<'_>> {
        let index = seq.get() - 1;
        let before = self.gone().partition_point(|gone| gone.index < index);
        match self.gone().get(before) {
            Some(gone) if gone.index == index => Some(gone.entry_ref()),
            _ => self.seen.at(index.checked_sub(u32::try_from(before).ok()?)?),
        }
    }

    /// The message of a UID; a withheld one as it was last. RFC 2180 §4.1
    pub fn entry(&self, uid: Uid) -> Option<EntryRef<'_>> {
        match self.gone_at(uid) {
            Ok(gone) => Some(gone.entry_ref()),
            Err(_) => self.seen.find(uid),
        }
    }

    /// The messages of this set with their numbers, withheld ones included, in ascending order.
    pub fn entries<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (SeqNum, EntryRef<'a>)> {
        let gone = self.gone();
        let mut waiting = gone.iter().filter(|gone| uids.contains(gone.entry.uid())).peekable();
        let mut present = self.seen.select(uids).peekable();
        let mut shift = 0;
        std::iter::from_fn(move || {
            let next_present = present.peek().map(|(_, entry)| entry.uid());
            let next_gone = waiting.peek().map(|gone| gone.entry.uid());
            if let Some(uid) = next_gone
                && next_present.is_none_or(|present| uid < present)
            {
                let gone = waiting.next()?;
                return Some((SeqNum::new(gone.index + 1)?, gone.entry_ref()));
            }
            let (index, entry) = present.next()?;
            while gone.get(shift).is_some_and(|gone| gone.entry.uid() < entry.uid()) {
                shift += 1;
            }
            Some((SeqNum::new(index + u32::try_from(shift).ok()? + 1)?, entry))
        })
    }

    /// All messages with their numbers, withheld ones included.
    pub fn uids(&self) -> UidSet {
        let mut uids = self.seen.uids();
        for gone in self.gone() {
            uids.insert(gone.entry.uid());
        }
        uids
    }

    /// The UIDs of a set of sequence numbers.
    ///
    /// # Errors
    /// If a number is above EXISTS, or `*` stands for nothing because the mailbox is empty.
    /// RFC 9051 §9 (`seq-number`)
    pub fn resolve_seqs(
        &self,
        ranges: impl IntoIterator<Item = (Bound<SeqNum>, Bound<SeqNum>)>,
    ) -> Result<UidSet, NoSuchSeqNum> {
        let mut uids = Vec::new();
        for (first, last) in ranges {
            let first = self.resolve_seq(first)?;
            let last = self.resolve_seq(last)?;
            // Neighbours in a view have no other message of the view between them.
            uids.push((first, last));
        }
        Ok(UidSet::from_ranges(uids))
    }

    /// A set of UIDs, cut off after the last one that the client can know: messages that it was not
    /// told of are not meant. `*` is the last message, or UIDNEXT in an empty mailbox, and
    /// `n:*` always names the last message. RFC 9051 §9 (`seq-number`), §6.4.9
    pub fn resolve_uids(
        &self,
        ranges: impl IntoIterator<Item = (Bound<Uid>, Bound<Uid>)>,
    ) -> UidSet {
        let last_uid = self.last_uid();
        let resolve = |bound| match bound {
            Bound::Number(uid) => uid,
            Bound::Last => last_uid.unwrap_or(self.uid_next()),
        };
        let ranges = ranges.into_iter().map(|(first, last)| (resolve(first), resolve(last)));
        let named = UidSet::from_ranges(ranges);
        let Some(last_uid) = last_uid else { return UidSet::new() };
        named.intersection(&UidSet::range(Uid::MIN, last_uid))
    }

    /// Whether this session shows the message as `\Recent`.
    pub fn is_recent(&self, uid: Uid) -> bool {
        self.recent.as_ref().is_some_and(|recent| recent.contains(uid))
    }

    /// How many messages of the view are `\Recent`: RECENT.
    pub fn recent_count(&self) -> u32 {
        let Some(recent) = &self.recent else { return 0 };
        let present = recent.ranges().map(|range| {
            let end = range.end().next().map_or(self.seen.len(), |after| self.seen.rank(after));
            end - self.seen.rank(*range.start())
        });
        let gone = self.gone().iter().filter(|gone| recent.contains(gone.entry.uid())).count();
        present.sum::<u32>() + u32::try_from(gone).unwrap_or(0)
    }

    /// Shows these messages as `\Recent`, besides those it shows already.
    pub fn add_recent(&mut self, uids: &UidSet) {
        if uids.is_empty() {
            return;
        }
        let recent = self.recent.take().map_or_else(UidSet::new, |recent| *recent);
        self.recent = Some(Box::new(recent.union(uids)));
    }

    /// Moves the view to a later snapshot of the same mailbox and says what the client has to be
    /// told. Everything in the delta counts as told. A snapshot that is not later tells nothing
    /// new.
    pub fn advance(
        &mut self,
        new: &MailboxSnapshot,
        expunges: Expunges,
        own: Option<&OwnStore>,
    ) -> Delta {
        let mut delta = Delta::default();
        let is_later = new.mailbox() == self.seen.mailbox()
            && new.uid_validity() == self.seen.uid_validity()
            && new.highest_modseq() > self.seen.highest_modseq();
        let can_tell = self.has_withheld() && expunges == Expunges::Tell;
        if !is_later && !can_tell {
            return delta;
        }
        let new = if is_later { new.clone() } else { self.seen.clone() };
        let vanished = if is_later { self.vanished_until(&new) } else { UidSet::new() };
        let old_exists = self.exists();
        let settled = self.settled();
        let mut gone = self.gone_with(&vanished);
        if expunges == Expunges::Tell {
            for gone in gone.drain(..) {
                delta.expunged.extend(SeqNum::new(gone.index + 1));
                delta.vanished.insert(gone.entry.uid());
            }
            delta.expunged.reverse();
        }
        let old = std::mem::replace(&mut self.seen, new);
        renumber(&mut gone, &self.seen);
        self.withheld = (!gone.is_empty()).then(|| Box::new(Withheld { gone, settled }));
        let told = u32::try_from(delta.expunged.len()).unwrap_or(0);
        if self.exists() > old_exists - told {
            delta.exists = Some(self.exists());
        }
        if is_later {
            if self.seen.keywords().len() > old.keywords().len() {
                delta.keywords = Some(self.seen.keywords().clone());
            }
            delta.changed = self.changed_since(&old, own);
            delta.annotated = self.annotated_since(&old, &delta.changed);
        }
        delta
    }

    fn gone(&self) -> &[Gone] {
        self.withheld.as_ref().map_or(&[], |withheld| &withheld.gone)
    }

    /// The withheld message of this UID, or how many withheld ones have a lower one.
    fn gone_at(&self, uid: Uid) -> Result<&Gone, u32> {
        let gone = self.gone();
        match gone.binary_search_by_key(&uid, |gone| gone.entry.uid()) {
            Ok(at) => gone.get(at).ok_or(0),
            Err(at) => Err(u32::try_from(at).unwrap_or(0)),
        }
    }

    fn resolve_seq(&self, bound: Bound<SeqNum>) -> Result<Uid, NoSuchSeqNum> {
        let seq = match bound {
            Bound::Number(seq) => seq,
            Bound::Last => SeqNum::new(self.exists()).ok_or(NoSuchSeqNum)?,
        };
        self.uid(seq).ok_or(NoSuchSeqNum)
    }

    /// What `seen` has and `new` has not; perhaps also what came and went between the two.
    fn vanished_until(&self, new: &MailboxSnapshot) -> UidSet {
        let vanished = new.vanished_since(self.seen.highest_modseq());
        if vanished.complete_from > self.seen.highest_modseq() {
            // The history was pruned while this session slept; the snapshots themselves still know.
            return self.seen.uids().difference(&new.uids());
        }
        vanished.uids
    }

    /// Withheld messages and those that vanish now, in UID order, with their present numbers.
    fn gone_with(&self, vanished: &UidSet) -> Vec<Gone> {
        let mut gone = self.gone().to_vec();
        for (position, entry) in self.seen.select(vanished) {
            let before = self.gone_at(entry.uid()).err().unwrap_or(0);
            let keywords = self.seen.keyword_table().clone();
            gone.push(Gone { entry: *entry.entry(), keywords, index: position + before });
        }
        gone.sort_by_key(|gone| gone.entry.uid());
        gone
    }

    /// The messages of `old` that changed on the way to `seen`.
    fn changed_since(&self, old: &MailboxSnapshot, own: Option<&OwnStore>) -> Vec<Changed> {
        let mut changed = Vec::new();
        for (position, entry) in self.seen.changed_since(old.highest_modseq()) {
            let Some(before) = old.find(entry.uid()) else { continue };
            let shift = self.gone_at(entry.uid()).err().unwrap_or(0);
            let Some(seq) = SeqNum::new(position + shift + 1) else { continue };
            let news = news(&before, &entry, own);
            changed.push(Changed { seq, uid: entry.uid(), modseq: entry.modseq(), news });
        }
        changed
    }
}

impl View {
    /// Which annotations of messages that changed have other values than in `old`.
    fn annotated_since(
        &self,
        old: &MailboxSnapshot,
        changed: &[Changed],
    ) -> Vec<(Uid, Vec<(AnnotationName, Audience)>)> {
        let names = |changed: &Changed| {
            let (before, now) = (old.find(changed.uid)?, self.seen.find(changed.uid)?);
            let names = now.annotations().changed_since(&before.annotations());
            (!names.is_empty()).then_some((changed.uid, names))
        };
        changed.iter().filter_map(names).collect()
    }
}

impl Gone {
    fn entry_ref(&self) -> EntryRef<'_> {
        EntryRef::new(&self.entry, &self.keywords)
    }
}

impl std::fmt::Debug for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.entry.uid(), self.index)
    }
}

impl Delta {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Gives withheld messages their numbers among those of a new snapshot.
fn renumber(gone: &mut [Gone], seen: &MailboxSnapshot) {
    for (before, gone) in (0..).zip(gone) {
        gone.index = seen.rank(gone.entry.uid()) + before;
    }
}

fn news(before: &EntryRef<'_>, now: &EntryRef<'_>, own: Option<&OwnStore>) -> News {
    let (before, flags) = (before.flags(), now.flags());
    if let Some(own) = own
        && now.modseq() == own.modseq
        && own.mode.result(&before, &own.flags) == flags
    {
        return News::Own;
    }
    if before == flags { News::ModSeq } else { News::Flags }
}
