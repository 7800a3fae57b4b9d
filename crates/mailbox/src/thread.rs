//! Puts messages into threads. RFC 5256 §3 (`THREAD`)
//!
//! Messages come one after the other in the order of their sequence numbers. Of each its sent
//! date, its base subject (a key of at most [`Comparator::KEY_BYTES_MAX`] octets) and its place
//! among the others are kept; of each id a sum of 16 octets. Nothing here is recursive: a thread
//! may be as deep as the mailbox is long.

mod forest;
mod gather;
mod links;

use std::collections::VecDeque;

use mail_types::Uid;

use crate::EntryRef;
use crate::collate::Comparator;
use crate::subject::{SubjectKind, base_subject};
use gather::Tree;
use links::Links;

/// How messages are put into threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By base subject alone: the first message, and all others below it.
    OrderedSubject,
    /// By References, then by base subject.
    References,
    /// By References only; the thread of the message that arrived last is the last.
    /// draft-ietf-morg-inthread
    Refs,
}

/// What a message's row tells of its place in a thread.
#[derive(Clone, Debug, Default)]
pub struct ThreadTexts<'a> {
    /// The Date header in seconds since 1970; `None` if it tells none.
    pub sent: Option<i64>,
    /// Subject, decoded and not yet reduced.
    pub subject: &'a str,
    /// The id, without its brackets.
    pub message_id: Option<&'a [u8]>,
    /// The ids of References, oldest first.
    pub references: &'a [Vec<u8>],
    /// The ids of In-Reply-To: the first counts if References has none.
    pub in_reply_to: &'a [Vec<u8>],
}

/// One place in the threads, which come as a list: each member before its children, threads and
/// siblings in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadMember {
    /// The message; `None` for the parent of siblings that is not there.
    pub uid: Option<Uid>,
    /// How many members are above it.
    pub depth: u32,
}

/// Takes messages one after the other and puts them into threads.
#[derive(Debug)]
pub struct Threader {
    algorithm: Algorithm,
    comparator: Comparator,
    messages: Vec<Threaded>,
    links: Links,
}

/// What is kept of a message.
#[derive(Clone, Debug)]
struct Threaded {
    uid: Uid,
    /// Sent date. RFC 5256 §2.2
    sent: i64,
    arrival: i64,
    subject: Box<[u8]>,
    kind: SubjectKind,
}

impl Threader {
    /// Most references of a message that count: the first, which began the thread, and the last.
    /// Mailers cut the field to some twenty themselves. RFC 5256 §3 (1.A) expects it cut.
    pub const REFERENCES_MAX: usize = 32;
    /// Most messages that are only referred to. Behind this many, references to others that are
    /// not there are passed over; each costs less than 100 octets.
    pub const DUMMIES_MAX: usize = 1 << 20;

    /// No messages yet.
    pub fn new(algorithm: Algorithm, comparator: Comparator) -> Self {
        Self { algorithm, comparator, messages: Vec::new(), links: Links::default() }
    }

    /// Adds a message; its sequence number is above those of all before it.
    pub fn add(&mut self, entry: &EntryRef<'_>, texts: &ThreadTexts<'_>) {
        let base = base_subject(texts.subject);
        let arrival = entry.internal_date().seconds();
        let message = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.push(Threaded {
            uid: entry.uid(),
            sent: texts.sent.unwrap_or(arrival),
            arrival,
            subject: self.comparator.key(&base.text),
            kind: base.kind,
        });
        if self.algorithm != Algorithm::OrderedSubject {
            let id = texts.message_id.and_then(normalized);
            self.links.add(message, id.as_deref(), &references(texts));
        }
    }

    /// The threads.
    pub fn finish(self) -> Vec<ThreadMember> {
        let Self { algorithm, messages, links, .. } = self;
        let tree = match algorithm {
            Algorithm::OrderedSubject => Tree::by_subject(&messages),
            Algorithm::References => {
                let mut tree = Tree::by_links(&messages, &links);
                tree.gather_subjects(&messages);
                tree.sort(&messages);
                tree
            }
            Algorithm::Refs => {
                let mut tree = Tree::by_links(&messages, &links);
                tree.sort(&messages);
                tree.sort_threads_by_arrival(&messages);
                tree
            }
        };
        tree.members(&messages)
    }
}

/// The references that count, normalized.
fn references(texts: &ThreadTexts<'_>) -> VecDeque<Vec<u8>> {
    let mut kept = VecDeque::new();
    for id in texts.references.iter().filter_map(|id| normalized(id)) {
        if kept.len() == Threader::REFERENCES_MAX {
            kept.remove(1);
        }
        kept.push_back(id);
    }
    if kept.is_empty() {
        kept.extend(texts.in_reply_to.iter().find_map(|id| normalized(id)));
    }
    kept
}

/// A message id without its quoting, so that it is the same however it is written; `None` if it is
/// not one, as an id has two sides of an `@`. RFC 5256 §3
fn normalized(id: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(id.len());
    let mut is_quoted = false;
    let mut bytes = id.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => plain.extend(bytes.next()),
            byte => plain.push(byte),
        }
    }
    let at = plain.iter().rposition(|byte| *byte == b'@')?;
    (at > 0 && at + 1 < plain.len()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(id: &str) -> Option<String> {
        normalized(id.as_bytes()).map(|id| String::from_utf8(id).unwrap())
    }

    #[test]
    fn an_id_is_the_same_in_quotes_and_without() {
        assert_eq!(
            plain("\"01KF8JCEOCBS0045PS\"@xxx.yyy.com"),
            plain("01KF8JCEOCBS0045PS@xxx.yyy.com")
        );
        assert_eq!(plain("\"a\\\"b\"@c").unwrap(), "a\"b@c");
        assert_eq!(plain("\"a@b\"@c").unwrap(), "a@b@c");
        assert_eq!(plain("A@b"), Some("A@b".to_owned()));
    }

    #[test]
    fn an_id_without_two_sides_is_none() {
        for id in ["", "a", "@", "a@", "@b", "\"\"@b"] {
            assert_eq!(plain(id), None, "{id}");
        }
    }

    #[test]
    fn of_too_many_references_the_first_and_the_last_count() {
        let ids: Vec<Vec<u8>> = (0..100).map(|n| format!("{n}@x").into_bytes()).collect();
        let texts = ThreadTexts { references: &ids, ..ThreadTexts::default() };
        let kept = references(&texts);
        assert_eq!(kept.len(), Threader::REFERENCES_MAX);
        assert_eq!((&kept[0], &kept[1], &kept[31]), (&ids[0], &ids[69], &ids[99]));
    }

    #[test]
    fn in_reply_to_counts_only_without_a_valid_reference() {
        let (junk, one) = (vec![b"junk".to_vec()], vec![b"one@x".to_vec()]);
        let replies = vec![b"no".to_vec(), b"two@x".to_vec(), b"three@x".to_vec()];
        let with = |references| ThreadTexts {
            references,
            in_reply_to: &replies,
            ..ThreadTexts::default()
        };
        assert_eq!(references(&with(&one)), one);
        assert_eq!(references(&with(&junk)), [b"two@x".to_vec()]);
    }
}
