//! The name of an entry.

use std::fmt;

/// Names one entry of the queue, for ever: 40 bits of the time at which it was made, so that names
/// sort as entries came, and 56 bits that were drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId([u8; QueueId::BYTES]);

impl QueueId {
    /// Bytes of an id.
    pub const BYTES: usize = 12;

    /// The id of an entry made at `now`, in seconds since 1970.
    #[must_use]
    pub fn new(now: i64, drawn: [u8; 7]) -> Self {
        let [_, _, _, a, b, c, d, e] = now.max(0).to_be_bytes();
        let [f, g, h, i, j, k, l] = drawn;
        Self([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// As stored.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// From storage.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn made_at(&self) -> i64 {
        let [a, b, c, d, e, ..] = self.0;
        i64::from_be_bytes([0, 0, 0, a, b, c, d, e])
    }

    /// Reads the form written by `Display`. `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * Self::BYTES || !text.bytes().all(is_hex) {
            return None;
        }
        let number = u128::from_str_radix(text, 16).ok()?;
        let (_, bytes) = number
            .to_be_bytes()
            .split_last_chunk::<{ Self::BYTES }>()
            .map(|(head, tail)| (head.len(), *tail))?;
        Some(Self(bytes))
    }
}

impl fmt::Display for QueueId {
    /// 24 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print_and_sort_by_time() {
        let early = QueueId::new(1_800_000_000, [0xff; 7]);
        let late = QueueId::new(1_800_000_001, [0; 7]);
        assert!(early < late);
        for id in [early, late, QueueId::new(-5, [1; 7])] {
            assert_eq!(QueueId::parse(&id.to_string()), Some(id));
            assert_eq!(QueueId::from_bytes(*id.bytes()), id);
            assert!([1_800_000_000, 1_800_000_001, 0].contains(&id.made_at()));
        }
        assert_eq!(early.to_string(), "006b49d200ffffffffffffff");
        for bad in
            ["", "6b49d200ffffffffffffff", "006B49D200ffffffffffffff", "+06b49d200fffffffffffff"]
        {
            assert_eq!(QueueId::parse(bad), None, "{bad}");
        }
    }
}
