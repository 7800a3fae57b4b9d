//! What was expunged from a mailbox and when, as far back as it is kept.

use std::sync::Arc;

use mail_types::{ModSeq, Uid, UidSet};

/// The UIDs that left a mailbox after a modification sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// They are not in the mailbox any more.
    pub uids: UidSet,
    /// Everything that left after this one is in `uids`. If it is above the modseq that was asked
    /// for, more may have vanished, and the caller has to compare UIDs. RFC 7162 §3.2.6
    pub complete_from: ModSeq,
}

/// Expunges in the order of their modseq. Cheap to clone: segments are shared between versions.
#[derive(Clone, Debug)]
pub(crate) struct History {
    floor: ModSeq,
    segments: Vec<Arc<Vec<Event>>>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    modseq: ModSeq,
    first: Uid,
    last: Uid,
}

impl History {
    /// Nothing known before `floor`.
    pub(crate) fn new(floor: ModSeq) -> Self {
        Self { floor, segments: Vec::new() }
    }

    /// Every expunge after this modseq is known.
    pub(crate) fn floor(&self) -> ModSeq {
        self.floor
    }

    /// Adds one expunge. `modseq` is not below that of an earlier call.
    pub(crate) fn push(&mut self, modseq: ModSeq, uids: &UidSet) {
        for range in uids.ranges() {
            let event = Event { modseq, first: *range.start(), last: *range.end() };
            match self.segments.last_mut() {
                Some(last) if last.len() < SEGMENT_EVENTS => Arc::make_mut(last).push(event),
                _ => self.segments.push(Arc::new(vec![event])),
            }
        }
        while self.segments.len() > SEGMENTS_MAX {
            let forgotten = self.segments.remove(0);
            if let Some(last) = forgotten.last() {
                self.floor = self.floor.max(last.modseq);
            }
        }
    }

    /// Forgets expunges up to and with `floor`.
    pub(crate) fn forget(&mut self, floor: ModSeq) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        self.segments.retain(|segment| segment.last().is_some_and(|e| e.modseq > floor));
    }

    /// What vanished after `since`.
    pub(crate) fn since(&self, since: ModSeq) -> Vanished {
        let from = self
            .segments
            .partition_point(|segment| segment.last().is_none_or(|e| e.modseq <= since));
        let events = self.segments.get(from..).unwrap_or_default().iter().flat_map(|s| s.iter());
        let ranges = events.filter(|e| e.modseq > since).map(|e| (e.first, e.last));
        Vanished { uids: UidSet::from_ranges(ranges), complete_from: self.floor }
    }
}

/// One segment is copied whenever an expunge is added: 4 KiB. Tests take small ones, so that short
/// histories cross their borders.
const SEGMENT_EVENTS: usize = if cfg!(test) { 3 } else { 256 };
/// Most history kept in memory for a mailbox, 4 MiB. Who expunges 262,144 ranges within the
/// retention window gets a longer VANISHED and nothing worse.
const SEGMENTS_MAX: usize = if cfg!(test) { 8 } else { 1024 };

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(first: u32, last: u32) -> UidSet {
        UidSet::range(Uid::new(first).unwrap(), Uid::new(last).unwrap())
    }

    fn modseq(value: u64) -> ModSeq {
        ModSeq::new(value).unwrap()
    }

    #[test]
    fn history_tells_what_left_after_a_modseq() {
        let mut history = History::new(modseq(3));
        history.push(modseq(5), &uids(1, 2));
        history.push(modseq(9), &uids(7, 7));
        assert_eq!(history.since(modseq(4)).uids.to_string(), "1:2,7");
        assert_eq!(history.since(modseq(5)).uids.to_string(), "7");
        assert!(history.since(modseq(9)).uids.is_empty());
        assert_eq!(history.since(modseq(1)).complete_from, modseq(3));
    }

    #[test]
    fn forgotten_history_says_so() {
        let mut history = History::new(ModSeq::ZERO);
        history.push(modseq(5), &uids(1, 2));
        history.push(modseq(9), &uids(7, 7));
        history.forget(modseq(6));
        assert_eq!(history.since(modseq(1)).complete_from, modseq(6));
        assert!(history.since(modseq(6)).uids.contains(Uid::new(7).unwrap()));
        history.forget(modseq(2));
        assert_eq!(history.floor(), modseq(6));
    }

    #[test]
    fn the_oldest_history_is_dropped_when_there_is_too_much() {
        let mut history = History::new(ModSeq::ZERO);
        let total = u32::try_from(SEGMENT_EVENTS * SEGMENTS_MAX + 1).unwrap();
        for n in 1..=total {
            history.push(modseq(u64::from(n)), &uids(2 * n, 2 * n));
        }
        assert_eq!(history.floor(), modseq(u64::try_from(SEGMENT_EVENTS).unwrap()));
        let kept = history.since(ModSeq::ZERO).uids.len();
        assert_eq!(kept, u64::from(total) - u64::try_from(SEGMENT_EVENTS).unwrap());
    }
}
