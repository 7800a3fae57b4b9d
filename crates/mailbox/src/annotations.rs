//! Annotations of messages: named values beside the flags. RFC 5257
//!
//! They are part of a mailbox's contents, as flags are, but stand in a table of their own: hardly
//! any message has one, so a message without costs nothing and an entry stays as small as it was.
//! That they are in memory with the contents lets FETCH, SEARCH and SORT read them without a load,
//! COPY carry them along, and a session see what has changed by comparing two snapshots. What it
//! may cost is bounded for each mailbox ([`Annotations::MAILBOX_BYTES_MAX`]).
//!
//! Every value has an audience. Private values of the account's owner are kept apart from those
//! that other readers of a shared mailbox may have; no operation carries one reader's private
//! values to another place on behalf of someone else. RFC 5257 §3.3, §4.6

use std::collections::BTreeMap;
use std::sync::Arc;

use mail_types::{AccountId, AnnotationName, Uid, UidSet};

/// Whose value it is.
///
/// The owner has a name of its own and not the account's id, because an account that moves to
/// another store may get another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// `.priv` of the one whose account it is.
    Owner,
    /// `.priv` of the user of another account.
    Reader(AccountId),
    /// `.shared`
    Everyone,
}

/// The octets of an annotation.
pub type AnnotationValue = Arc<[u8]>;

/// A value to be set; `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationEdit {
    /// Its name.
    pub name: AnnotationName,
    /// Whose.
    pub audience: Audience,
    /// What.
    pub value: Option<AnnotationValue>,
}

/// All annotations of one message. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Annotations {
    /// `None` instead of an empty map, so that there is one form of nothing.
    values: Option<Arc<BTreeMap<(AnnotationName, Audience), AnnotationValue>>>,
}

impl Annotations {
    /// Longest value in octets; 1,024 is the least that a server may allow. It is told in
    /// ANNOTATIONS. RFC 5257 §4.1
    pub const VALUE_BYTES_MAX: usize = 16 * 1024;
    /// Most annotations of one message that one audience has; 10 is the least. RFC 5257 §4.1
    pub const ENTRIES_MAX: usize = 64;
    /// Most octets of them, counted as [`Self::bytes`] does: they are one row of the store.
    pub const BYTES_MAX: usize = 24 * 1024;
    /// Most octets of all annotations in one mailbox: they are in memory while it is loaded, and a
    /// mailbox of as many messages as are allowed takes 240 MB without.
    pub const MAILBOX_BYTES_MAX: u64 = 32 * 1024 * 1024;
    /// What an annotation is counted as besides its name and value.
    pub const ENTRY_BYTES: usize = 64;

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_none()
    }

    /// The value under a name for an audience.
    pub fn get(&self, name: &AnnotationName, audience: Audience) -> Option<&AnnotationValue> {
        self.values.as_ref()?.get(&(name.clone(), audience))
    }

    /// All in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&AnnotationName, Audience, &AnnotationValue)> {
        let values = self.values.iter().flat_map(|values| values.iter());
        values.map(|((name, audience), value)| (name, *audience, value))
    }

    /// Those of one audience in the order of their names.
    pub fn of(
        &self,
        audience: Audience,
    ) -> impl Iterator<Item = (&AnnotationName, &AnnotationValue)> {
        let values = self.iter().filter(move |(_, whose, _)| *whose == audience);
        values.map(|(name, _, value)| (name, value))
    }

    /// Who has any here.
    pub fn audiences(&self) -> Vec<Audience> {
        let mut all: Vec<Audience> = self.iter().map(|(_, audience, _)| audience).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Octets of all, as the limits and the quota count them.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(name, _, value)| entry_bytes(name, value) as u64).sum()
    }

    /// The same with these values set and removed, in this order.
    #[must_use]
    pub fn with(&self, edits: &[AnnotationEdit]) -> Self {
        let mut values = self.values.as_deref().cloned().unwrap_or_default();
        for edit in edits {
            let key = (edit.name.clone(), edit.audience);
            match &edit.value {
                Some(value) => _ = values.insert(key, Arc::clone(value)),
                None => _ = values.remove(&key),
            }
        }
        Self { values: (!values.is_empty()).then(|| Arc::new(values)) }
    }

    /// What a copy that the account's owner makes takes along: the shared values and the owner's,
    /// and no other reader's. RFC 5257 §4.6
    #[must_use]
    pub fn copied(&self) -> Self {
        let others = self.iter().filter(|(_, audience, _)| matches!(audience, Audience::Reader(_)));
        let edits: Vec<AnnotationEdit> = others
            .map(|(name, audience, _)| AnnotationEdit { name: name.clone(), audience, value: None })
            .collect();
        if edits.is_empty() { self.clone() } else { self.with(&edits) }
    }

    /// The shared ones.
    #[must_use]
    pub fn shared(&self) -> Self {
        let shared = self.iter().filter(|(_, audience, _)| *audience == Audience::Everyone);
        shared.map(|(name, audience, value)| (name.clone(), audience, Arc::clone(value))).collect()
    }

    /// What `self` has otherwise than `before`: values that are new, changed or gone.
    pub fn changed_since(&self, before: &Self) -> Vec<(AnnotationName, Audience)> {
        if self == before {
            return Vec::new();
        }
        let differs = |name: &AnnotationName, audience, value: &AnnotationValue| {
            before.get(name, audience) != Some(value)
        };
        let new = self.iter().filter(|(name, audience, value)| differs(name, *audience, value));
        let gone = before.iter().filter(|(name, audience, _)| self.get(name, *audience).is_none());
        let all = new.chain(gone).map(|(name, audience, _)| (name.clone(), audience));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    }

    /// How many one audience has, and their octets.
    pub(crate) fn size_of(&self, audience: Audience) -> (usize, usize) {
        self.of(audience).fold((0, 0), |(count, bytes), (name, value)| {
            (count + 1, bytes + entry_bytes(name, value))
        })
    }
}

impl FromIterator<(AnnotationName, Audience, AnnotationValue)> for Annotations {
    fn from_iter<T: IntoIterator<Item = (AnnotationName, Audience, AnnotationValue)>>(
        all: T,
    ) -> Self {
        let all = all.into_iter().map(|(name, audience, value)| ((name, audience), value));
        let values: BTreeMap<_, _> = all.collect();
        Self { values: (!values.is_empty()).then(|| Arc::new(values)) }
    }
}

fn entry_bytes(name: &AnnotationName, value: &[u8]) -> usize {
    name.as_str().len() + value.len() + Annotations::ENTRY_BYTES
}

/// The annotations of a mailbox's messages, in blocks of neighbouring UIDs that versions share: a
/// change copies one block and a pointer for each other one.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnnotationTable {
    blocks: Arc<BTreeMap<u32, Arc<BTreeMap<Uid, Annotations>>>>,
}

impl AnnotationTable {
    pub(crate) fn get(&self, uid: Uid) -> Option<&Annotations> {
        self.blocks.get(&block_of(uid))?.get(&uid)
    }

    /// Gives a message other annotations, or none.
    pub(crate) fn set(&mut self, uid: Uid, annotations: Annotations) {
        if annotations.is_empty() && self.get(uid).is_none() {
            return;
        }
        let blocks = Arc::make_mut(&mut self.blocks);
        let block = Arc::make_mut(blocks.entry(block_of(uid)).or_default());
        if annotations.is_empty() {
            block.remove(&uid);
        } else {
            block.insert(uid, annotations);
        }
        if block.is_empty() {
            blocks.remove(&block_of(uid));
        }
    }

    /// Takes messages out, and tells how many octets they had.
    pub(crate) fn remove(&mut self, uids: &UidSet) -> u64 {
        let mut gone = Vec::new();
        for range in uids.ranges() {
            let blocks = self.blocks.range(block_of(*range.start())..=block_of(*range.end()));
            gone.extend(
                blocks.flat_map(|(_, block)| block.range(range.clone())).map(|(uid, _)| *uid),
            );
        }
        let mut bytes = 0;
        for uid in gone {
            bytes += self.get(uid).map_or(0, Annotations::bytes);
            self.set(uid, Annotations::default());
        }
        bytes
    }
}

fn block_of(uid: Uid) -> u32 {
    uid.get() / BLOCK_UIDS
}

/// UIDs of a block. Tests take small ones, so that short histories cross their borders.
const BLOCK_UIDS: u32 = if cfg!(test) { 4 } else { 512 };

/// Which entries a client means: names in which `*` stands for anything and `%` for anything
/// within one component. RFC 5257 §4.3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPattern(Box<str>);

impl EntryPattern {
    /// Longest pattern that is matched, as long as a name.
    pub const BYTES_MAX: usize = AnnotationName::BYTES_MAX;

    /// A pattern; what is longer than any name matches nothing.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// The one name that it stands for, if it has no wildcard.
    pub fn name(&self) -> Option<AnnotationName> {
        AnnotationName::new(&self.0).ok()
    }

    /// Whether it means this entry. Work is bounded by the product of two lengths.
    pub fn matches(&self, name: &AnnotationName) -> bool {
        let pattern = self.0.as_bytes();
        if pattern.len() > Self::BYTES_MAX {
            return false;
        }
        // Which beginnings of the pattern match the name so far.
        let mut reached = vec![false; pattern.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        skip_wildcards(pattern, &mut reached);
        for byte in name.as_str().bytes() {
            let mut next = vec![false; pattern.len() + 1];
            for (at, expected) in pattern.iter().enumerate().filter(|(at, _)| is_set(&reached, *at))
            {
                let stays = *expected == b'*' || (*expected == b'%' && byte != b'/');
                let moves = !stays && *expected == byte && *expected != b'%';
                if let Some(place) = next.get_mut(at + usize::from(moves))
                    && (stays || moves)
                {
                    *place = true;
                }
            }
            skip_wildcards(pattern, &mut next);
            reached = next;
        }
        is_set(&reached, pattern.len())
    }
}

fn is_set(places: &[bool], at: usize) -> bool {
    places.get(at).copied().unwrap_or_default()
}

/// A wildcard may stand for nothing.
fn skip_wildcards(pattern: &[u8], reached: &mut [bool]) {
    for (at, byte) in pattern.iter().enumerate() {
        if matches!(byte, b'*' | b'%')
            && is_set(reached, at)
            && let Some(after) = reached.get_mut(at + 1)
        {
            *after = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AnnotationName {
        AnnotationName::new(text).unwrap()
    }

    fn edit(text: &str, audience: Audience, value: Option<&[u8]>) -> AnnotationEdit {
        AnnotationEdit { name: name(text), audience, value: value.map(AnnotationValue::from) }
    }

    #[test]
    fn wildcards_match_as_in_list() {
        for (pattern, text, is_match) in [
            ("/comment", "/comment", true),
            ("/comment", "/Comment", false),
            ("/%", "/comment", true),
            ("/%", "/1/comment", false),
            ("/*", "/1/comment", true),
            ("*", "/vendor/a/b", true),
            ("/*/comment", "/1.2/comment", true),
            ("/%/comment", "/1.2/comment", true),
            ("/%/%", "/vendor/a/b", false),
            ("/com*t%", "/comment", true),
            ("", "/comment", false),
            ("/commen", "/comment", false),
            ("/comment/%", "/comment", false),
        ] {
            assert_eq!(EntryPattern::new(pattern).matches(&name(text)), is_match, "{pattern}");
        }
    }

    #[test]
    fn nothing_has_one_form() {
        let one = Annotations::default().with(&[edit("/comment", Audience::Owner, Some(b"x"))]);
        assert!(!one.is_empty());
        assert_eq!(one.with(&[edit("/comment", Audience::Owner, None)]), Annotations::default());
        assert_eq!(one.bytes(), 8 + 1 + 64);
    }

    #[test]
    fn a_copy_leaves_the_private_values_of_others_behind() {
        let other = Audience::Reader(AccountId(7));
        let all = Annotations::default().with(&[
            edit("/comment", Audience::Owner, Some(b"mine")),
            edit("/comment", other, Some(b"theirs")),
            edit("/comment", Audience::Everyone, Some(b"ours")),
        ]);
        let copied = all.copied();
        assert_eq!(copied.audiences(), [Audience::Owner, Audience::Everyone]);
        assert_eq!(copied.changed_since(&all), [(name("/comment"), other)]);
    }
}
