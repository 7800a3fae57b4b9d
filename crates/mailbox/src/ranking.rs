//! Messages in the order of a sort, kept while messages come and go. RFC 5267 §4.3
//!
//! Only the order itself is kept: four octets a message, and no key of any. Where a new message
//! belongs is found by comparing it with a few of those that are there ([`Gap`]), whose keys are
//! made when they are needed. Taking messages out and putting them in is one pass over the order
//! however many there are, 400 KB for a mailbox of 100,000 messages.

use std::cmp::Ordering;

use mail_types::{Uid, UidSet};

/// The messages of a result in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    order: Vec<Uid>,
}

/// Messages that stand, or have stood, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of the first of them, counted from one.
    pub position: u32,
    /// They, in order; at least one.
    pub uids: Vec<Uid>,
}

/// Where a message may belong: before the message at an index from `low` to `high`, or behind all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    low: usize,
    high: usize,
}

/// A message and where it belongs: before the one at this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// Index in the order as it was before anything was put in.
    pub index: usize,
    /// The message.
    pub uid: Uid,
}

impl Ranking {
    /// A ranking of messages that are in order, each once.
    pub fn new(order: Vec<Uid>) -> Self {
        Self { order }
    }

    /// The messages in order.
    pub fn order(&self) -> &[Uid] {
        &self.order
    }

    /// Takes messages out and says where they stood, the last ones first: so each position is right
    /// at the moment at which it is used. RFC 5267 §4.3.4
    pub fn remove(&mut self, gone: &UidSet) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        let (Some(first), Some(last)) = (gone.first(), gone.last()) else { return places };
        // Mostly one message is gone: then the bounds say all.
        let is_gone = |uid: Uid| first <= uid && uid <= last && gone.contains(uid);
        let mut before = None;
        for (index, uid) in self.order.iter().enumerate() {
            if is_gone(*uid) {
                add(&mut places, before.replace(index), index, *uid);
            }
        }
        match places.as_slice() {
            [] => {}
            [Place { uids, .. }] => {
                let end = before.map_or(0, |last| last + 1);
                self.order.drain(end.saturating_sub(uids.len())..end);
            }
            _ => self.order.retain(|uid| !is_gone(*uid)),
        }
        places.reverse();
        places
    }

    /// Puts messages in, in order, and says where they stand, the first ones first: so each
    /// position is right at the moment at which it is used. RFC 5267 §4.3.3
    pub fn insert(&mut self, new: &[Insertion]) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        if let [Insertion { index, uid }] = new {
            let index = (*index).min(self.order.len());
            self.order.insert(index, *uid);
            add(&mut places, None, index, *uid);
            return places;
        }
        let mut order = Vec::with_capacity(self.order.len() + new.len());
        let (mut last, mut taken) = (None, 0);
        for Insertion { index, uid } in new {
            order.extend_from_slice(self.order.get(taken..*index).unwrap_or_default());
            taken = taken.max(*index);
            add(&mut places, last.replace(order.len()), order.len(), *uid);
            order.push(*uid);
        }
        order.extend_from_slice(self.order.get(taken..).unwrap_or_default());
        self.order = order;
        places
    }
}

/// Adds a message at an index to the places, to the last one if it stands just behind it.
fn add(places: &mut Vec<Place>, last: Option<usize>, index: usize, uid: Uid) {
    match places.last_mut() {
        Some(place) if last.is_some_and(|last| last + 1 == index) => place.uids.push(uid),
        _ => {
            let position = u32::try_from(index + 1).unwrap_or(u32::MAX);
            places.push(Place { position, uids: vec![uid] });
        }
    }
}

impl Gap {
    /// Anywhere among so many messages from an index on.
    pub fn from(low: usize, length: usize) -> Self {
        Self { low: low.min(length), high: length }
    }

    /// The index, if only one is left.
    pub fn found(self) -> Option<usize> {
        (self.low == self.high).then_some(self.low)
    }

    /// Indexes of messages to compare with, at most so many, in ascending order. With each round
    /// the gap becomes as many times smaller.
    pub fn pivots(self, count_max: usize) -> Vec<usize> {
        let length = self.high - self.low;
        let count = length.min(count_max);
        // In the middle of parts of about the same length.
        (0..count).map(|part| self.low + (2 * part + 1) * length / (2 * count)).collect()
    }

    /// What is known now that a message was compared: how it stands to the one at this index.
    #[must_use]
    pub fn narrowed(self, pivot: usize, order: Ordering) -> Self {
        match order {
            Ordering::Greater => Self { low: self.low.max(pivot + 1).min(self.high), ..self },
            Ordering::Less | Ordering::Equal => {
                Self { high: self.high.min(pivot).max(self.low), ..self }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            usize::try_from((self.0 >> 33) % limit as u64).unwrap()
        }
    }

    fn uid(number: usize) -> Uid {
        Uid::new(u32::try_from(number).unwrap() + 1).unwrap()
    }

    /// The order in which these tests keep messages: not that of their UIDs.
    fn rank(uid: Uid) -> u32 {
        uid.get().wrapping_mul(2_654_435_761) >> 16
    }

    /// Where a message belongs, found as a session finds it.
    fn place(ranking: &Ranking, low: usize, uid: Uid, pivots_max: usize) -> (usize, usize) {
        let mut gap = Gap::from(low, ranking.order().len());
        let mut rounds = 0;
        while gap.found().is_none() {
            rounds += 1;
            for pivot in gap.pivots(pivots_max) {
                gap = gap.narrowed(pivot, rank(uid).cmp(&rank(ranking.order()[pivot])));
            }
        }
        (gap.found().unwrap(), rounds)
    }

    #[test]
    fn a_client_that_follows_the_places_has_the_same_order() {
        for seed in 1..300 {
            let mut random = Random(seed);
            let (mut ranking, mut client) = (Ranking::default(), Vec::new());
            for _ in 0..12 {
                let gone: UidSet = (0..random.below(6)).map(|_| uid(random.below(40))).collect();
                for Place { position, uids } in ranking.remove(&gone) {
                    let at = position as usize - 1;
                    assert_eq!(&client[at..at + uids.len()], uids, "seed {seed}");
                    client.drain(at..at + uids.len());
                }
                let mut new: Vec<Uid> =
                    (0..random.below(9)).map(|_| uid(random.below(40))).collect();
                new.retain(|uid| !ranking.order().contains(uid));
                new.sort_unstable_by_key(|uid| rank(*uid));
                new.dedup();
                let mut low = 0;
                let insertion = |uid| {
                    low = place(&ranking, low, uid, 1 + random.below(4)).0;
                    Insertion { index: low, uid }
                };
                let new: Vec<Insertion> = new.into_iter().map(insertion).collect();
                for Place { position, uids } in ranking.insert(&new) {
                    let at = position as usize - 1;
                    client.splice(at..at, uids);
                }
                assert_eq!(client, ranking.order(), "seed {seed}");
                assert!(client.is_sorted_by_key(|uid| rank(*uid)), "seed {seed}");
            }
        }
    }

    #[test]
    fn neighbours_are_told_together() {
        let mut ranking = Ranking::new([5, 4, 9, 1].map(uid).to_vec());
        let gone = [5, 4, 1].map(uid).into_iter().collect();
        let places = ranking.remove(&gone);
        assert_eq!(
            places,
            [
                Place { position: 4, uids: vec![uid(1)] },
                Place { position: 1, uids: vec![uid(5), uid(4)] },
            ]
        );
        let new = [(0, 7), (0, 6), (1, 8)].map(|(index, n)| Insertion { index, uid: uid(n) });
        let places = ranking.insert(&new);
        assert_eq!(
            places,
            [
                Place { position: 1, uids: vec![uid(7), uid(6)] },
                Place { position: 4, uids: vec![uid(8)] },
            ]
        );
    }

    #[test]
    fn a_place_among_a_hundred_thousand_is_found_in_three_rounds() {
        let mut order: Vec<Uid> = (0..100_000).map(uid).collect();
        order.sort_unstable_by_key(|uid| rank(*uid));
        let ranking = Ranking::new(order);
        for number in 0..500 {
            let (_, rounds) = place(&ranking, 0, uid(100_000 + number), 64);
            assert!(rounds <= 3, "{rounds} rounds");
        }
    }
}
