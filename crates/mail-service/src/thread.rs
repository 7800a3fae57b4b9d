//! Conversations: which one a message belongs to when it arrives. RFC 8474 §5.2
//!
//! A message belongs to the conversation of the nearest message that it refers to and that the
//! account has seen named, or else to the one in which its own Message-ID was named before it came.
//! Each id is stored as a hash; ids that are referred to are stored as well, so that replies find
//! each other though the message that they answer was never here. THREADID never changes, so two
//! conversations never become one later.

use std::collections::HashMap;

use mail_types::ThreadId;
use mime::HeaderSummary;
use store::{View, Write};

use crate::codec::{CorruptRecord, Writer, decode};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys, THREAD_HASH_BYTES};

/// The hash that stands for a Message-ID, or another text, in a key.
pub(crate) type IdHash = [u8; THREAD_HASH_BYTES];

/// What a message tells of its conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadIds {
    /// Hashes of the ids that it names, the most telling first: the nearest ancestor, further ones,
    /// its own.
    hashes: Vec<IdHash>,
}

/// Conversations that were found or begun lately and may not be in the store yet.
#[derive(Default)]
pub(crate) struct RecentThreads {
    young: HashMap<IdHash, ThreadId>,
    old: HashMap<IdHash, ThreadId>,
}

impl ThreadIds {
    pub(crate) fn new(header: &HeaderSummary) -> Self {
        let ancestors = header.references.iter().rev().take(REFERENCES_MAX);
        let mut hashes: Vec<IdHash> = Vec::new();
        for id in ancestors.chain(&header.message_id) {
            let hash = hash(id);
            if !id.is_empty() && !hashes.contains(&hash) {
                hashes.push(hash);
            }
        }
        Self { hashes }
    }

    /// The conversation as the store knows it.
    pub(crate) fn look_up(
        &self,
        view: &dyn View,
        keys: &AccountKeys,
    ) -> Result<Option<ThreadId>, ServiceError> {
        for hash in &self.hashes {
            let key = keys.key(&AccountKey::Thread(*hash));
            if let Some(value) = view.get(&key)? {
                return Ok(Some(decode_thread(&key, &value)?));
            }
        }
        Ok(None)
    }

    /// The rows that let later messages find this one's conversation.
    pub(crate) fn writes(
        &self,
        keys: &AccountKeys,
        thread: ThreadId,
    ) -> impl Iterator<Item = Write> + '_ {
        let key_of = keys.clone();
        self.hashes.iter().map(move |hash| {
            Write::put(key_of.key(&AccountKey::Thread(*hash)), encode_thread(thread))
        })
    }
}

impl RecentThreads {
    /// The conversation of a message: as noted lately, or else as found in the store before.
    pub(crate) fn choose(&self, ids: &ThreadIds, found: Option<ThreadId>) -> Option<ThreadId> {
        let noted = |hash| self.young.get(hash).or_else(|| self.old.get(hash)).copied();
        ids.hashes.iter().find_map(noted).or(found)
    }

    pub(crate) fn note(&mut self, ids: &ThreadIds, thread: ThreadId) {
        if self.young.len() + ids.hashes.len() > RECENT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.extend(ids.hashes.iter().map(|hash| (*hash, thread)));
    }

    /// To be called when commits failed: what was noted may never have happened.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The conversation in a thread row.
pub(crate) fn decode_thread(key: &[u8], value: &[u8]) -> Result<ThreadId, CorruptRecord> {
    decode(key, value, VERSION, |r| r.number()).map(ThreadId)
}

fn encode_thread(thread: ThreadId) -> Vec<u8> {
    let mut writer = Writer::new(VERSION);
    writer.number(thread.get());
    writer.finish()
}

/// The hash that stands for a Message-ID, or another text, in a key.
pub(crate) fn hash(id: &[u8]) -> IdHash {
    let digest = *store::BlobId::of(id).as_bytes();
    let mut hash = IdHash::default();
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = from;
    }
    hash
}

const VERSION: u8 = 1;
/// Ancestors that are looked at. Long conversations name hundreds; the nearest tell the most.
const REFERENCES_MAX: usize = 10;
/// Ids in one generation of recent ones, of two: 100 KiB for a busy account.
const RECENT_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str, references: &[&str]) -> ThreadIds {
        ThreadIds::new(&HeaderSummary {
            message_id: Some(id.as_bytes().to_vec()),
            references: references.iter().map(|id| id.as_bytes().to_vec()).collect(),
            ..HeaderSummary::default()
        })
    }

    #[test]
    fn a_reply_joins_its_nearest_ancestor() {
        let mut recent = RecentThreads::default();
        recent.note(&header("a", &[]), ThreadId(1));
        recent.note(&header("b", &[]), ThreadId(2));
        assert_eq!(recent.choose(&header("c", &["a", "b"]), None), Some(ThreadId(2)));
        assert_eq!(recent.choose(&header("c", &["a", "x"]), None), Some(ThreadId(1)));
        assert_eq!(recent.choose(&header("c", &["x"]), Some(ThreadId(9))), Some(ThreadId(9)));
    }

    #[test]
    fn replies_find_each_other_without_the_message_that_they_answer() {
        let mut recent = RecentThreads::default();
        recent.note(&header("reply 1", &["missing"]), ThreadId(1));
        assert_eq!(recent.choose(&header("reply 2", &["missing"]), None), Some(ThreadId(1)));
        // And it joins them when it comes late.
        assert_eq!(recent.choose(&header("missing", &[]), None), Some(ThreadId(1)));
    }

    #[test]
    fn a_message_without_ids_stands_alone() {
        let ids = header("", &[]);
        let mut recent = RecentThreads::default();
        recent.note(&ids, ThreadId(1));
        assert_eq!(recent.choose(&ids, None), None);
    }

    #[test]
    fn recent_conversations_are_bounded() {
        let mut recent = RecentThreads::default();
        for n in 0..10 * RECENT_MAX as u64 {
            recent.note(&header(&n.to_string(), &[]), ThreadId(n));
        }
        assert!(recent.young.len() + recent.old.len() <= 2 * RECENT_MAX);
    }
}
