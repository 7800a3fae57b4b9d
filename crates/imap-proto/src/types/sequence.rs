//! Sets of numbers as they stand on the wire, in the order given.

use std::fmt;

use mail_types::{RangeSet, SeqNum, SeqSet, SetValue, Uid, UidSet};

/// One end of a range. RFC 9051 §9 (`seq-number`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeqBound {
    /// A number, never zero.
    Number(u32),
    /// `*`: the highest number in use.
    Last,
}

/// Two ends in either order; a single number has it at both ends. RFC 9051 §9 (`seq-range`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqRange {
    /// The end written first.
    pub first: SeqBound,
    /// The end written last.
    pub last: SeqBound,
}

/// A `sequence-set`: ranges in the order given, and `$`. RFC 9051 §9, RFC 5182 §2
///
/// Whether its numbers are sequence numbers or UIDs is told by the command around it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SequenceSet {
    ranges: Vec<SeqRange>,
    saved: bool,
}

impl SequenceSet {
    /// Most items in a set that a client sends. A client that names 50,000 UIDs one by one is
    /// within it; its memory is bounded by 16 bytes an item.
    pub const ITEMS_MAX: usize = 65_536;

    /// `$`: the result of the last SEARCH with SAVE.
    pub const fn saved() -> Self {
        Self { ranges: Vec::new(), saved: true }
    }

    /// From ranges, in their order.
    pub fn new(ranges: Vec<SeqRange>) -> Self {
        Self { ranges, saved: false }
    }

    /// `first:*`
    pub fn from_on(first: u32) -> Self {
        Self::new(vec![SeqRange { first: SeqBound::Number(first), last: SeqBound::Last }])
    }

    /// Adds `$` to the set.
    #[must_use]
    pub fn with_saved(self) -> Self {
        Self { saved: true, ..self }
    }

    /// The ranges, in the order given.
    pub fn ranges(&self) -> &[SeqRange] {
        &self.ranges
    }

    /// Whether `$` is part of it.
    pub const fn has_saved(&self) -> bool {
        self.saved
    }

    /// Whether it has neither ranges nor `$`; a set that was parsed never is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && !self.saved
    }

    /// Whether `*` is part of it.
    pub fn has_last(&self) -> bool {
        self.ranges.iter().any(|r| r.first == SeqBound::Last || r.last == SeqBound::Last)
    }

    /// The highest number in it, `*` apart: what must not exceed the number of messages when these
    /// are sequence numbers. RFC 9051 §9 (`seq-number`)
    pub fn highest(&self) -> Option<u32> {
        let ends = self.ranges.iter().flat_map(|r| [r.first, r.last]);
        ends.filter_map(SeqBound::number).max()
    }

    /// The sequence numbers, with `*` as `last`. In an empty mailbox `*` is nothing. `$` is left
    /// to the caller.
    pub fn resolve_seqs(&self, last: Option<SeqNum>) -> SeqSet {
        self.resolve(last, SeqNum::new)
    }

    /// The UIDs, with `*` as `last`. `$` is left to the caller.
    pub fn resolve_uids(&self, last: Option<Uid>) -> UidSet {
        self.resolve(last, Uid::new)
    }

    /// The numbers in the order given, for pairing the two sets of COPYUID. RFC 4315 §3
    ///
    /// A set may name four thousand million numbers in few bytes: take only as many as are needed.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|range| {
            let first = range.first.number().unwrap_or(u32::MAX);
            let last = range.last.number().unwrap_or(u32::MAX);
            let up = first..=if first <= last { last } else { first };
            let down = last..=if first <= last { last } else { first };
            let (up, down) = if first <= last { (Some(up), None) } else { (None, Some(down)) };
            up.into_iter().flatten().chain(down.into_iter().flatten().rev())
        })
    }

    fn resolve<T: SetValue>(&self, last: Option<T>, number: fn(u32) -> Option<T>) -> RangeSet<T> {
        let end = |bound| match bound {
            SeqBound::Number(n) => number(n),
            SeqBound::Last => last,
        };
        RangeSet::from_ranges(
            self.ranges.iter().filter_map(|r| Some((end(r.first)?, end(r.last)?))),
        )
    }
}

impl SeqBound {
    /// The number; `None` for `*`.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Number(n) => Some(n),
            Self::Last => None,
        }
    }
}

impl<T: SetValue> From<&RangeSet<T>> for SequenceSet {
    fn from(set: &RangeSet<T>) -> Self {
        let range = |r: std::ops::RangeInclusive<T>| SeqRange {
            first: SeqBound::Number(r.start().number()),
            last: SeqBound::Number(r.end().number()),
        };
        Self::new(set.ranges().map(range).collect())
    }
}

impl<T: SetValue> From<RangeSet<T>> for SequenceSet {
    fn from(set: RangeSet<T>) -> Self {
        Self::from(&set)
    }
}

impl fmt::Display for SeqBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => fmt::Display::fmt(n, f),
            Self::Last => f.write_str("*"),
        }
    }
}

impl fmt::Display for SequenceSet {
    /// The form on the wire: `1,5:*,$`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if range.first == range.last {
                write!(f, "{comma}{}", range.first)?;
            } else {
                write!(f, "{comma}{}:{}", range.first, range.last)?;
            }
        }
        if self.saved {
            f.write_str(if self.ranges.is_empty() { "$" } else { ",$" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: SeqBound, last: SeqBound) -> SeqRange {
        SeqRange { first, last }
    }

    #[test]
    fn ranges_resolve_in_either_order_and_with_a_star_anywhere() {
        use SeqBound::{Last, Number};
        let set = SequenceSet::new(vec![range(Last, Number(4)), range(Number(5), Number(7))]);
        assert_eq!(set.resolve_seqs(SeqNum::new(10)).to_string(), "4:10");
        // The UID of the last message is in 3291:* even if it is lower. RFC 9051 §9
        let set = SequenceSet::from_on(3291);
        assert_eq!(set.resolve_uids(Uid::new(12)).to_string(), "12:3291");
        assert_eq!(set.resolve_uids(None).to_string(), "");
        assert_eq!(set.highest(), Some(3291));
    }

    #[test]
    fn numbers_come_in_the_order_given() {
        use SeqBound::Number;
        let set = SequenceSet::new(vec![
            range(Number(7), Number(5)),
            range(Number(1), Number(1)),
            range(Number(2), Number(3)),
        ]);
        assert_eq!(set.numbers().collect::<Vec<_>>(), [7, 6, 5, 1, 2, 3]);
    }
}
