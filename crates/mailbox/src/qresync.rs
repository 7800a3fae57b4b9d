//! Brings a returning client up to date: SELECT with QRESYNC, and UID FETCH with CHANGEDSINCE and
//! VANISHED. RFC 7162 §3.2.5, §3.2.6
//!
//! A client is told of more vanished UIDs rather than fewer: where the expunge history does not
//! reach back far enough, every known UID that is not in the mailbox counts as vanished.

use mail_types::{ModSeq, SeqNum, SeqSet, Uid, UidSet};

use crate::MailboxSnapshot;

/// What a client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its last HIGHESTMODSEQ, or the modseq of CHANGEDSINCE.
    pub modseq: ModSeq,
    /// The UIDs it has; `None` stands for all up to UIDNEXT - 1.
    pub uids: Option<UidSet>,
    /// A sample of its numbering: the sequence numbers and, in the same order, their UIDs.
    /// RFC 7162 §3.2.5.2
    pub sample: Option<(SeqSet, UidSet)>,
}

/// What it has to be told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resync {
    /// VANISHED (EARLIER)
    pub vanished: UidSet,
    /// Messages whose flags it has to be told, in ascending order.
    pub changed: Vec<(SeqNum, Uid)>,
}

/// The difference between what a client knows and a snapshot of the same UIDVALIDITY.
pub fn resync(snapshot: &MailboxSnapshot, known: &Known) -> Resync {
    // UIDs from UIDNEXT on were never given to a message and must not be called vanished.
    let given = match snapshot.uid_next().prev() {
        Some(last) => UidSet::range(Uid::MIN, last),
        None => UidSet::new(),
    };
    let uids = match &known.uids {
        Some(uids) => uids.intersection(&given),
        None => given,
    };
    let vanished = vanished(snapshot, known, &uids);
    let mut changed = Vec::new();
    for (position, entry) in snapshot.changed_since(known.modseq) {
        if uids.contains(entry.uid()) {
            changed.extend(SeqNum::new(position + 1).map(|seq| (seq, entry.uid())));
        }
    }
    Resync { vanished, changed }
}

fn vanished(snapshot: &MailboxSnapshot, known: &Known, uids: &UidSet) -> UidSet {
    let remembered = snapshot.vanished_since(known.modseq);
    if remembered.complete_from <= known.modseq {
        return remembered.uids.intersection(uids);
    }
    // RFC 7162 §3.2.6: without history, all known UIDs that are not there.
    let missing = uids.difference(&snapshot.uids());
    // RFC 7162 §3.2.5.2: up to a pair of number and UID that still matches, the client has missed
    // nothing: as many messages stand before it as before.
    match known.sample.as_ref().and_then(|(seqs, uids)| last_match(snapshot, seqs, uids)) {
        Some(last) => match last.next() {
            Some(after) => missing.intersection(&UidSet::range(after, Uid::MAX)),
            None => UidSet::new(),
        },
        None => missing,
    }
}

/// The highest UID of the sample before the first pair that does not match.
fn last_match(snapshot: &MailboxSnapshot, seqs: &SeqSet, uids: &UidSet) -> Option<Uid> {
    let pairs = seqs.iter().zip(uids.iter()).take(SAMPLE_MAX);
    let is_same = |&(seq, uid): &(SeqNum, Uid)| {
        snapshot.at(seq.get() - 1).is_some_and(|entry| entry.uid() == uid)
    };
    pairs.take_while(is_same).last().map(|(_, uid)| uid)
}

/// Pairs of a sample that are looked at. Clients send a few dozen; `1:4294967295` would be looked
/// at for minutes.
const SAMPLE_MAX: usize = 10_000;
