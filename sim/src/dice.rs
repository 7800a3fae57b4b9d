//! Dice that fall alike for every run of one seed.

use std::sync::atomic::{AtomicU64, Ordering};

use mail_service::Random;

/// Splitmix64: cheap, and as good as a test needs.
pub struct Dice(AtomicU64);

impl Dice {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Dice of several numbers: every combination falls differently.
    pub fn of(numbers: &[u64]) -> Self {
        let mixed = numbers.iter().fold(0x5eed, |mixed, number| {
            let dice = Self::new(mixed ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd));
            dice.next()
        });
        Self::new(mixed)
    }

    /// 64 random bits.
    pub fn next(&self) -> u64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or zero when there is none.
    pub fn below(&self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True once in `count` throws.
    pub fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of these; `None` of none.
    pub fn pick<'a, T>(&self, among: &'a [T]) -> Option<&'a T> {
        among.get(usize::try_from(self.below(among.len() as u64)).ok()?)
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        for byte in bytes {
            [*byte, ..] = self.next().to_le_bytes();
        }
        true
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_numbers_throw_the_same_and_others_do_not() {
        let throws = |numbers: &[u64]| {
            let dice = Dice::of(numbers);
            [dice.next(), dice.next()]
        };
        assert_eq!(throws(&[1, 2]), throws(&[1, 2]));
        assert_ne!(throws(&[1, 2]), throws(&[2, 1]));
        assert_ne!(throws(&[1, 2]), throws(&[1, 3]));
    }
}
