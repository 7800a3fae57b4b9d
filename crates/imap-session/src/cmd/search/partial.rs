//! Parts of a result, counted from one of its ends. RFC 9394 §3.1

use imap_proto::types::{PartialRange, ResultEnd};
use mail_types::{Uid, UidSet};

/// The messages at these positions of a result; fewer, or none, if it is shorter.
pub(crate) fn part(found: &UidSet, range: PartialRange) -> UidSet {
    let (low, high) = (range.first.min(range.last), range.first.max(range.last));
    let (low, high) = (u64::from(low), u64::from(high));
    let count = found.len();
    if low > count {
        return UidSet::new();
    }
    let high = high.min(count);
    let (first, last) = match range.from {
        ResultEnd::Oldest => (low, high),
        ResultEnd::Newest => (count + 1 - high, count + 1 - low),
    };
    let mut before = 0;
    let mut ranges = Vec::new();
    for range in found.ranges() {
        let start = u64::from(range.start().get());
        let length = u64::from(range.end().get()) - start + 1;
        // Positions `before + 1` to `before + length` are in this range.
        let (from, to) = (first.max(before + 1), last.min(before + length));
        if from <= to {
            let uid = |position: u64| Uid::new(u32::try_from(start + position - before - 1).ok()?);
            ranges.extend(uid(from).zip(uid(to)));
        }
        before += length;
        if before >= last {
            break;
        }
    }
    UidSet::from_ranges(ranges)
}

/// The same of a result in the order of a sort.
pub(crate) fn part_in_order(found: &[Uid], range: PartialRange) -> &[Uid] {
    let (low, high) = (range.first.min(range.last), range.first.max(range.last));
    let index = |position: u32| usize::try_from(position).unwrap_or(usize::MAX).min(found.len());
    let (low, high) = (index(low - 1), index(high));
    let (first, end) = match range.from {
        ResultEnd::Oldest => (low, high),
        ResultEnd::Newest => (found.len() - high, found.len() - low),
    };
    found.get(first..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_agree_with_counting_one_by_one() {
        let mut state = 11_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            u32::try_from((state >> 33) % limit).unwrap()
        };
        for _ in 0..3000 {
            let mut uids: Vec<u32> = (0..below(12)).map(|_| below(20) + 1).collect();
            uids.sort_unstable();
            uids.dedup();
            let found: UidSet = uids.iter().filter_map(|uid| Uid::new(*uid)).collect();
            let from = if below(2) == 0 { ResultEnd::Oldest } else { ResultEnd::Newest };
            let range = PartialRange { from, first: below(14) + 1, last: below(14) + 1 };
            if from == ResultEnd::Newest {
                uids.reverse();
            }
            let low = range.first.min(range.last) as usize;
            let high = range.first.max(range.last) as usize;
            let mut expected: Vec<u32> =
                uids.iter().skip(low - 1).take(high + 1 - low).copied().collect();
            expected.sort_unstable();
            let told: Vec<u32> = part(&found, range).iter().map(Uid::get).collect();
            assert_eq!(told, expected, "{range:?} of {found:?} (seed 11)");
            let found: Vec<Uid> = found.iter().collect();
            let told: Vec<u32> = part_in_order(&found, range).iter().map(|uid| uid.get()).collect();
            assert_eq!(told, expected, "{range:?} of {found:?} in order (seed 11)");
        }
    }

    #[test]
    fn a_part_of_all_uids_there_can_be_is_counted_and_not_listed() {
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        let range = PartialRange { from: ResultEnd::Newest, first: 1, last: u32::MAX };
        assert_eq!(part(&all, range), all);
    }
}
