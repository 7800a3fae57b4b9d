//! Sets of a command as the UIDs that they name in the session's view.

use imap_proto::types::{Numbering, SeqBound, SequenceSet};
use mail_types::{SeqNum, Uid, UidSet};
use mailbox::{Bound, NoSuchSeqNum};

use crate::reply::Reply;
use crate::state::Selected;

/// The UIDs that a set names.
///
/// UIDs that no message has are passed over; a sequence number that no message has is an error.
/// RFC 9051 §6.4.9, §9 (`seq-number`)
pub(crate) fn resolve(
    set: &SequenceSet,
    numbering: Numbering,
    selected: &Selected,
) -> Result<UidSet, Reply> {
    let named = match numbering {
        Numbering::Uid => uids(set, selected),
        Numbering::Sequence => seqs(set, selected)
            .map_err(|NoSuchSeqNum| Reply::bad("There is no message with this sequence number"))?,
    };
    Ok(named)
}

/// Like [`resolve`], with numbers that no message has passed over: for SEARCH, where they match
/// nothing.
pub(crate) fn resolve_leniently(
    set: &SequenceSet,
    numbering: Numbering,
    selected: &Selected,
) -> UidSet {
    match numbering {
        Numbering::Uid => uids(set, selected),
        Numbering::Sequence => {
            let last = SeqNum::new(selected.view.exists());
            let all = last.map(|last| mail_types::SeqSet::range(SeqNum::MIN, last));
            let seqs = set.resolve_seqs(last).intersection(&all.unwrap_or_default());
            let bounds =
                seqs.ranges().map(|r| (Bound::Number(*r.start()), Bound::Number(*r.end())));
            let named = selected.view.resolve_seqs(bounds).unwrap_or_default();
            with_saved(named, set, selected)
        }
    }
}

/// The UIDs that a search names, also those of messages that are yet to come: a search whose
/// changes are told goes on, and no message above the last one is found before. RFC 5267 §4.3
pub(crate) fn uids_to_come(set: &SequenceSet, selected: &Selected) -> UidSet {
    let last = selected.view.last_uid();
    let range = |first: SeqBound, end: SeqBound| match (first.number(), end.number()) {
        (Some(first), Some(end)) => Some((Uid::new(first)?, Uid::new(end)?)),
        (Some(number), None) | (None, Some(number)) => {
            let number = Uid::new(number)?;
            Some((last.map_or(number, |last| number.min(last)), Uid::MAX))
        }
        (None, None) => last.map(|last| (last, last)),
    };
    let ranges = set.ranges().iter().filter_map(|r| range(r.first, r.last));
    with_saved(UidSet::from_ranges(ranges), set, selected)
}

fn uids(set: &SequenceSet, selected: &Selected) -> UidSet {
    let bound = |bound: SeqBound| match bound {
        SeqBound::Number(n) => Uid::new(n).map(Bound::Number),
        SeqBound::Last => Some(Bound::Last),
    };
    let ranges = set.ranges().iter().filter_map(|r| Some((bound(r.first)?, bound(r.last)?)));
    with_saved(selected.view.resolve_uids(ranges), set, selected)
}

fn seqs(set: &SequenceSet, selected: &Selected) -> Result<UidSet, NoSuchSeqNum> {
    let exists = SeqNum::new(selected.view.exists());
    let mut ranges = Vec::with_capacity(set.ranges().len());
    for range in set.ranges() {
        let (first, last) = (range.first.number(), range.last.number());
        let ends = match (first, last) {
            (Some(first), Some(last)) => (seq(first)?, seq(last)?),
            // `*` is the last message; a number above it names no other one, so that `5:*` in a
            // mailbox of three is the third, as it would be with UIDs. In an empty mailbox it is
            // nothing: clients ask for `1:*` before they look at EXISTS.
            (Some(number), None) | (None, Some(number)) => match exists {
                Some(exists) => (seq(number)?.min(exists), exists),
                None => continue,
            },
            (None, None) => match exists {
                Some(exists) => (exists, exists),
                None => continue,
            },
        };
        ranges.push((Bound::Number(ends.0), Bound::Number(ends.1)));
    }
    let named = selected.view.resolve_seqs(ranges)?;
    Ok(with_saved(named, set, selected))
}

fn seq(number: u32) -> Result<SeqNum, NoSuchSeqNum> {
    SeqNum::new(number).ok_or(NoSuchSeqNum)
}

/// Adds what `$` stands for. RFC 5182 §2.1
fn with_saved(named: UidSet, set: &SequenceSet, selected: &Selected) -> UidSet {
    if set.has_saved() { named.union(&selected.saved) } else { named }
}
