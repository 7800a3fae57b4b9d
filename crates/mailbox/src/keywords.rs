//! Keywords as small numbers: the names that a mailbox has announced, and the sets of them that its
//! messages carry.
//!
//! A name's number is its place in the list and never changes while the mailbox lives, so rows and
//! entries hold numbers. The list only grows: a FLAGS response never drops a keyword that is still
//! in use. RFC 9051 §7.3.5

use std::collections::HashMap;
use std::sync::Arc;

use mail_types::Keyword;

/// The keywords that a mailbox has announced, in the order of their first use. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeywordNames(Arc<Vec<Keyword>>);

impl KeywordNames {
    /// Most keywords that one mailbox can have seen. Cyrus allows 128 and people who import labels
    /// from elsewhere reach it; the list is sent whole at every SELECT, which bounds it from above.
    pub const KEYWORDS_MAX: usize = 256;

    /// What every mailbox announces from its beginning, because clients look for it in FLAGS
    /// before they use it. RFC 5788, RFC 9051 §2.3.2
    pub const WELL_KNOWN: [&'static str; 9] = [
        "$Forwarded",
        "$MDNSent",
        "$Junk",
        "$NotJunk",
        "$Phishing",
        "Junk",
        "NonJunk",
        "$HasAttachment",
        "$HasNoAttachment",
    ];

    /// The list of a new mailbox.
    pub fn well_known() -> Self {
        Self(Arc::new(Self::WELL_KNOWN.iter().filter_map(|name| Keyword::new(name).ok()).collect()))
    }

    /// A stored list; keywords keep their places.
    pub fn new(keywords: Vec<Keyword>) -> Self {
        Self(Arc::new(keywords))
    }

    /// All of them, each at the place of its number.
    pub fn all(&self) -> &[Keyword] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keyword of this number.
    pub fn get(&self, number: u16) -> Option<&Keyword> {
        self.0.get(usize::from(number))
    }

    /// The number of this keyword, in any spelling.
    pub fn number(&self, keyword: &Keyword) -> Option<u16> {
        self.0.iter().position(|k| k == keyword).and_then(|at| u16::try_from(at).ok())
    }

    /// The numbers of these keywords, sorted, adding the names that are new.
    pub(crate) fn intern(&mut self, keywords: &[Keyword]) -> Vec<u16> {
        let mut numbers: Vec<u16> = Vec::with_capacity(keywords.len());
        for keyword in keywords {
            let number = self.number(keyword).or_else(|| {
                let next = u16::try_from(self.0.len()).ok()?;
                Arc::make_mut(&mut self.0).push(keyword.clone());
                Some(next)
            });
            numbers.extend(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// How many of these keywords are not in the list yet.
    pub(crate) fn missing<'a>(&self, keywords: impl IntoIterator<Item = &'a Keyword>) -> usize {
        let mut new: Vec<&Keyword> = Vec::new();
        for keyword in keywords {
            if self.number(keyword).is_none() && !new.contains(&keyword) {
                new.push(keyword);
            }
        }
        new.len()
    }
}

/// A number for one set of keywords within a loaded mailbox; zero is the empty set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Default)]
pub(crate) struct SetId(pub(crate) u32);

/// The distinct keyword sets of a loaded mailbox. Entries name a set by its [`SetId`].
#[derive(Clone, Debug)]
pub(crate) struct KeywordSets {
    sets: Vec<Arc<[u16]>>,
    ids: HashMap<Arc<[u16]>, SetId>,
    /// At this size the owner drops the sets that no message has any more.
    compact_at: usize,
}

impl KeywordSets {
    pub(crate) fn new() -> Self {
        let empty: Arc<[u16]> = Arc::from([]);
        Self {
            sets: vec![empty.clone()],
            ids: HashMap::from([(empty, SetId(0))]),
            compact_at: COMPACT_MIN,
        }
    }

    pub(crate) fn get(&self, id: SetId) -> &[u16] {
        usize::try_from(id.0).ok().and_then(|at| self.sets.get(at)).map_or(&[], |set| set)
    }

    /// The id of a sorted set, if some message had it.
    pub(crate) fn find(&self, numbers: &[u16]) -> Option<SetId> {
        if numbers.is_empty() { Some(SetId(0)) } else { self.ids.get(numbers).copied() }
    }

    /// The id of a sorted set. `None` only past 2^24 sets, more than a mailbox can have messages.
    pub(crate) fn intern(&mut self, numbers: &[u16]) -> Option<SetId> {
        if let Some(id) = self.find(numbers) {
            return Some(id);
        }
        let id = u32::try_from(self.sets.len()).ok().filter(|id| *id <= SET_ID_MAX).map(SetId)?;
        let set: Arc<[u16]> = numbers.into();
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        Some(id)
    }

    /// Whether so many sets were added that a look for unused ones pays.
    pub(crate) fn is_due_for_compaction(&self) -> bool {
        self.sets.len() >= self.compact_at
    }

    /// To be called after a compaction: the next one comes when the table has doubled.
    pub(crate) fn compacted(&mut self) {
        self.compact_at = COMPACT_MIN.max(self.sets.len() * 2);
    }
}

/// A set id shares 32 bits with the system flags.
pub(crate) const SET_ID_MAX: u32 = (1 << 24) - 1;
/// Below this many sets a table is too small to be worth cleaning.
const COMPACT_MIN: usize = if cfg!(test) { 4 } else { 1024 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_keeps_its_number_and_first_spelling() {
        let mut names = KeywordNames::well_known();
        let before = names.len();
        let forwarded = Keyword::new("$FORWARDED").unwrap();
        let work = Keyword::new("Work").unwrap();
        assert_eq!(names.missing([&forwarded, &work, &work]), 1);
        assert_eq!(names.intern(&[work.clone(), forwarded]), [0, 9]);
        assert_eq!(names.len(), before + 1);
        assert_eq!(names.get(0).unwrap().as_str(), "$Forwarded");
        assert_eq!(names.number(&Keyword::new("WORK").unwrap()), Some(9));
    }

    #[test]
    fn equal_sets_share_an_id_and_the_empty_set_is_zero() {
        let mut sets = KeywordSets::new();
        assert_eq!(sets.intern(&[]), Some(SetId(0)));
        let one = sets.intern(&[1, 3]).unwrap();
        assert_eq!(sets.intern(&[1, 3]), Some(one));
        assert_eq!(sets.get(one), [1, 3]);
        assert_eq!(sets.find(&[3]), None);
        assert!(sets.get(SetId(77)).is_empty());
    }
}
