//! Ranges of keys.

/// Direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Smallest key first.
    #[default]
    Ascending,
    /// Largest key first.
    Descending,
}

/// The keys of a scan: `start <= key < end`, compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range, included.
    pub start: Vec<u8>,
    /// End of the range, excluded; `None` is the end of all keys.
    pub end: Option<Vec<u8>>,
    /// Which end comes first.
    pub order: Order,
}

impl KeyRange {
    /// Keys from `start` up to, not including, `end`.
    #[must_use]
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: Some(end.into()), order: Order::Ascending }
    }

    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: after_prefix(prefix), order: Order::Ascending }
    }

    /// The same keys, largest first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }

    /// What remains of the range once `key` has been visited: how a scan is resumed.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut rest = self.clone();
        match self.order {
            Order::Ascending => {
                rest.start = key.to_vec();
                rest.start.push(0);
            }
            Order::Descending => rest.end = Some(key.to_vec()),
        }
        rest
    }

    /// Whether no key can be inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The smallest key above all keys with this prefix; `None` when there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_range_ends_after_the_last_key_of_the_prefix() {
        assert_eq!(KeyRange::prefix(b"ab").end, Some(b"ac".to_vec()));
        assert_eq!(KeyRange::prefix(&[1, 0xff, 0xff]).end, Some(vec![2]));
        assert_eq!(KeyRange::prefix(&[0xff]).end, None);
        assert_eq!(KeyRange::prefix(b"").end, None);
    }

    #[test]
    fn rest_of_a_range_excludes_the_visited_key_in_both_directions() {
        let range = KeyRange::new(b"a", b"z");
        assert_eq!(range.after(b"m").start, b"m\0");
        let range = range.descending();
        assert_eq!(range.after(b"m").end, Some(b"m".to_vec()));
        assert_eq!(range.after(b"m").start, b"a");
    }
}
