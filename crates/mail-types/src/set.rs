//! Sets of UIDs or sequence numbers as sorted, disjoint, non-adjacent ranges.
//!
//! A mailbox's `1:*` is one range whatever its size, so work on a set is counted in ranges and not
//! in messages. The bounds `*` of the wire are resolved before a set of this kind is made.

use std::fmt;
use std::ops::RangeInclusive;

use crate::{SeqNum, Uid};

/// A number that can be a member of a [`RangeSet`].
pub trait SetValue: Copy + Ord + fmt::Display {
    /// The number that follows, if there is one.
    fn successor(self) -> Option<Self>;
    /// The number that stands before, if there is one.
    fn predecessor(self) -> Option<Self>;
    /// The plain number, for counting.
    fn number(self) -> u32;
}

macro_rules! set_value {
    ($name:ident) => {
        impl SetValue for $name {
            fn successor(self) -> Option<Self> {
                self.next()
            }
            fn predecessor(self) -> Option<Self> {
                self.prev()
            }
            fn number(self) -> u32 {
                self.get()
            }
        }
    };
}

set_value!(Uid);
set_value!(SeqNum);

/// Sorted, disjoint, non-adjacent inclusive ranges.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RangeSet<T> {
    ranges: Vec<(T, T)>,
}

/// A set of UIDs.
pub type UidSet = RangeSet<Uid>;
/// A set of sequence numbers.
pub type SeqSet = RangeSet<SeqNum>;

impl<T: SetValue> RangeSet<T> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The set of one number.
    pub fn single(value: T) -> Self {
        Self { ranges: vec![(value, value)] }
    }

    /// The set of all numbers from `first` to `last`; empty if they stand the wrong way round.
    pub fn range(first: T, last: T) -> Self {
        if first > last { Self::new() } else { Self { ranges: vec![(first, last)] } }
    }

    /// A set from ranges in any order, overlapping or not; a pair the wrong way round is turned,
    /// as in a sequence set. RFC 9051 §9 (`seq-range`)
    pub fn from_ranges(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut sorted: Vec<(T, T)> =
            ranges.into_iter().map(|(a, b)| if a <= b { (a, b) } else { (b, a) }).collect();
        sorted.sort_unstable();
        let mut set = Self { ranges: Vec::with_capacity(sorted.len()) };
        for (first, last) in sorted {
            set.push_range(first, last);
        }
        set
    }

    /// Whether there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(a, b)| u64::from(b.number() - a.number()) + 1).sum()
    }

    /// How many ranges it takes to write it.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// The lowest member.
    pub fn first(&self) -> Option<T> {
        self.ranges.first().map(|range| range.0)
    }

    /// The highest member.
    pub fn last(&self) -> Option<T> {
        self.ranges.last().map(|range| range.1)
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<T>> + '_ {
        self.ranges.iter().map(|&(a, b)| a..=b)
    }

    /// Every member in ascending order. For sets made from a mailbox's own UIDs: a client's
    /// `1:4294967295` has four thousand million members, so intersect that first.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.ranges.iter().flat_map(|&(a, b)| {
            std::iter::successors(Some(a), move |&at| if at < b { at.successor() } else { None })
        })
    }

    /// Whether `value` is a member; O(log ranges).
    pub fn contains(&self, value: T) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= value);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|r| value <= r.1)
    }

    /// Adds one number. Fast when numbers come in ascending order.
    pub fn insert(&mut self, value: T) {
        self.insert_range(value, value);
    }

    /// Adds all numbers from `first` to `last`. Fast when ranges come in ascending order.
    pub fn insert_range(&mut self, first: T, last: T) {
        if first > last {
            return;
        }
        if self.ranges.last().is_none_or(|&(from, _)| from <= first) {
            self.push_range(first, last);
            return;
        }
        // The ranges that overlap the new one or touch it become one with it.
        let low = first.predecessor().unwrap_or(first);
        let high = last.successor().unwrap_or(last);
        let from = self.ranges.partition_point(|&(_, b)| b < low);
        let to = self.ranges.partition_point(|&(a, _)| a <= high);
        let mut merged = (first, last);
        for &(a, b) in self.ranges.get(from..to).unwrap_or_default() {
            merged = (merged.0.min(a), merged.1.max(b));
        }
        self.ranges.splice(from..to, [merged]);
    }

    /// The numbers in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// The numbers in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self::new();
        let (mut left, mut right) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(&&(a, b)), Some(&&(c, d))) = (left.peek(), right.peek()) {
            result.insert_range(a.max(c), b.min(d));
            if b < d {
                left.next();
            } else {
                right.next();
            }
        }
        result
    }

    /// The numbers in this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut result = Self::new();
        let mut cuts = other.ranges.iter().peekable();
        for &(first, last) in &self.ranges {
            let mut at = Some(first);
            while let Some(&&(cut_first, cut_last)) = cuts.peek() {
                let Some(from) = at else { break };
                if cut_last < from {
                    cuts.next();
                    continue;
                }
                if cut_first > last {
                    break;
                }
                if let Some(before) = cut_first.predecessor() {
                    result.insert_range(from, before.min(last));
                }
                if cut_last >= last {
                    at = None;
                    break;
                }
                at = cut_last.successor();
                cuts.next();
            }
            if let Some(from) = at {
                result.insert_range(from, last);
            }
        }
        result
    }

    /// Adds a range that begins at or after the last one's beginning.
    fn push_range(&mut self, first: T, last: T) {
        if let Some(end) = self.ranges.last_mut()
            && end.1.successor().is_none_or(|next| first <= next)
        {
            end.1 = end.1.max(last);
            return;
        }
        self.ranges.push((first, last));
    }
}

impl<T> Default for RangeSet<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
    }
}

impl<T: SetValue> FromIterator<T> for RangeSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut set = Self::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

impl<T: SetValue> fmt::Display for RangeSet<T> {
    /// The form of a `sequence-set`: `1:4,7`. RFC 9051 §9
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(first, last)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}

impl<T: SetValue> fmt::Debug for RangeSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(values: impl IntoIterator<Item = u32>) -> UidSet {
        values.into_iter().filter_map(Uid::new).collect()
    }

    fn numbers(set: &UidSet) -> BTreeSet<u32> {
        set.iter().map(Uid::get).collect()
    }

    /// A small fixed generator: the same sets in every run.
    fn random_numbers(seed: u64) -> BTreeSet<u32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut values = BTreeSet::new();
        for _ in 0..20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
            values.insert((state >> 33) as u32 % 40 + 1);
        }
        values
    }

    #[test]
    fn sets_print_as_merged_ranges() {
        assert_eq!(set([7, 1, 2, 4, 3]).to_string(), "1:4,7");
        assert_eq!(set([]).to_string(), "");
        let turned = UidSet::from_ranges([(Uid::MAX, Uid::MIN)]);
        assert_eq!(turned.to_string(), "1:4294967295");
        assert_eq!(turned.len(), 4_294_967_295);
    }

    #[test]
    fn set_algebra_agrees_with_a_plain_set() {
        for seed in 1..300 {
            let (a, b) = (random_numbers(seed), random_numbers(seed + 1000));
            let (x, y) = (set(a.iter().copied()), set(b.iter().rev().copied()));
            assert_eq!(numbers(&x), a, "seed {seed}");
            assert_eq!(numbers(&y), b, "seed {seed}");
            assert_eq!(numbers(&x.union(&y)), &a | &b, "seed {seed}");
            assert_eq!(numbers(&x.intersection(&y)), &a & &b, "seed {seed}");
            assert_eq!(numbers(&x.difference(&y)), &a - &b, "seed {seed}");
            for n in 1..=41 {
                assert_eq!(Uid::new(n).is_some_and(|u| x.contains(u)), a.contains(&n));
            }
        }
    }

    #[test]
    fn ranges_at_the_end_of_the_number_space_do_not_overflow() {
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        let last = UidSet::single(Uid::MAX);
        assert_eq!(all.difference(&last).to_string(), "1:4294967294");
        assert_eq!(all.difference(&all), UidSet::new());
        let mut grown = last.clone();
        grown.insert_range(Uid::MIN, Uid::MAX);
        assert_eq!(grown, all);
    }
}
