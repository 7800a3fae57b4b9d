//! Search keys of the wire as keys of the model.

use imap_proto::types::{Numbering, Search, SearchKey, SequenceSet};
use mail_types::{MessageId, ThreadId, Uid, UidSet};
use mailbox::EntryPattern;
use mailbox::search::{DateTest, Field, Key};

use crate::annotation;
use crate::resolve::{resolve_leniently, uids_to_come};
use crate::state::Selected;

/// Whether texts in this charset can be read; none means US-ASCII. RFC 9051 §6.4.4
pub(crate) fn charset_is_known(charset: Option<&str>) -> bool {
    charset.is_none_or(|charset| mime::charset_is_known(charset.as_bytes()))
}

/// Whether MODSEQ is searched for: a CONDSTORE-enabling command. RFC 7162 §3.1.5
pub(crate) fn has_modseq(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::ModSeq { .. }))
}

/// Whether a filter is named. RFC 5466 §3.1
pub(crate) fn has_filter(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::Filter(_)))
}

/// Whether a sequence set stands among the keys; `$` alone is none. RFC 9586 §3
pub(crate) fn has_sequence(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::Sequence(set) if !set.ranges().is_empty()))
}

/// Whether TEXT is searched for, which also looks at the headers of parts.
pub(crate) fn has_text(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::Text(_)))
}

/// Whether something is searched for fuzzily: what RELEVANCY tells the score of. RFC 6203 §4
pub(crate) fn has_fuzzy(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::Fuzzy(_)))
}

fn any(keys: &[SearchKey], is_it: &dyn Fn(&SearchKey) -> bool) -> bool {
    keys.iter().any(|key| match key {
        key if is_it(key) => true,
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => any(std::slice::from_ref(key), is_it),
        SearchKey::Or(a, b) => {
            any(std::slice::from_ref(a), is_it) || any(std::slice::from_ref(b), is_it)
        }
        SearchKey::And(keys) => any(keys, is_it),
        _ => false,
    })
}

/// Whether a UID key names `*`: what it means changes with the last message.
pub(crate) fn has_last(keys: &[SearchKey]) -> bool {
    any(keys, &|key| matches!(key, SearchKey::Uid(set) if set.has_last()))
}

/// The search with all that stands for messages of this moment, numbers and `$`, as UIDs: so it can
/// be translated again when other messages have these numbers. RFC 5267 §4.3
pub(crate) fn pinned(search: &Search, selected: &Selected) -> Search {
    Search { keys: pin_all(&search.keys, selected), ..search.clone() }
}

fn pin_all(keys: &[SearchKey], selected: &Selected) -> Vec<SearchKey> {
    keys.iter().map(|key| pin(key, selected)).collect()
}

fn pin(key: &SearchKey, selected: &Selected) -> SearchKey {
    let boxed = |key| Box::new(pin(key, selected));
    match key {
        SearchKey::Sequence(set) => {
            let uids = resolve_leniently(set, Numbering::Sequence, selected);
            SearchKey::Uid(SequenceSet::from(&uids))
        }
        SearchKey::Uid(set) if set.has_saved() => {
            let saved = SequenceSet::from(&selected.saved);
            SearchKey::Uid(SequenceSet::new([set.ranges(), saved.ranges()].concat()))
        }
        SearchKey::Not(key) => SearchKey::Not(boxed(key)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(boxed(key)),
        SearchKey::Or(a, b) => SearchKey::Or(boxed(a), boxed(b)),
        SearchKey::And(keys) => SearchKey::And(pin_all(keys, selected)),
        other => other.clone(),
    }
}

/// The messages that a key names by their numbers; `None` for other keys.
fn named_uids(key: &SearchKey, selected: &Selected) -> Option<UidSet> {
    Some(match key {
        SearchKey::Sequence(set) => resolve_leniently(set, Numbering::Sequence, selected),
        SearchKey::Uid(set) => resolve_leniently(set, Numbering::Uid, selected),
        // RFC 9738 §3.2
        SearchKey::UidAfter(uid) => {
            uid.next().map_or_else(UidSet::new, |next| UidSet::range(next, Uid::MAX))
        }
        SearchKey::UidBefore(uid) => {
            Uid::new(uid.get() - 1).map_or_else(UidSet::new, |last| UidSet::range(Uid::MIN, last))
        }
        _ => return None,
    })
}

/// The messages that have to be looked at: all, but for what the query itself names.
/// RFC 9738 §3.1
pub(crate) fn searched(search: &Search, selected: &Selected) -> UidSet {
    let named = search.keys.iter().filter_map(|key| named_uids(key, selected));
    named.fold(selected.view.uids(), |all, named| all.intersection(&named))
}

/// The whole query, with its sets resolved in the session's view.
pub(crate) fn translate(search: &Search, selected: &Selected) -> Key {
    let translator = Translator { charset: search.charset.as_deref(), selected };
    Key::And(search.keys.iter().map(|key| translator.key(key)).collect())
}

struct Translator<'a> {
    charset: Option<&'a str>,
    selected: &'a Selected,
}

impl Translator<'_> {
    fn key(&self, key: &SearchKey) -> Key {
        match key {
            SearchKey::All | SearchKey::SaveDateSupported => Key::All,
            SearchKey::Flag(flag) => Key::System(*flag),
            SearchKey::NotFlag(flag) => not(Key::System(*flag)),
            SearchKey::Keyword(keyword) => Key::Keyword(keyword.clone()),
            SearchKey::NotKeyword(keyword) => not(Key::Keyword(keyword.clone())),
            SearchKey::New => {
                Key::And(vec![Key::Recent, not(Key::System(mail_types::SystemFlags::SEEN))])
            }
            SearchKey::Old => not(Key::Recent),
            SearchKey::Recent => Key::Recent,
            SearchKey::Sequence(_) | SearchKey::UidAfter(_) | SearchKey::UidBefore(_) => {
                Key::Uids(named_uids(key, self.selected).unwrap_or_default())
            }
            SearchKey::Uid(set) => Key::Uids(uids_to_come(set, self.selected)),
            SearchKey::Bcc(text) => Key::Field(Field::Bcc, self.text(text)),
            SearchKey::Cc(text) => Key::Field(Field::Cc, self.text(text)),
            SearchKey::From(text) => Key::Field(Field::From, self.text(text)),
            SearchKey::To(text) => Key::Field(Field::To, self.text(text)),
            SearchKey::Subject(text) => Key::Field(Field::Subject, self.text(text)),
            SearchKey::Header(header) => {
                let name = String::from_utf8_lossy(&header.field).into_owned();
                Key::Header(name, self.text(&header.text))
            }
            SearchKey::Body(text) => Key::Body(self.text(text)),
            SearchKey::Text(text) => Key::Text(self.text(text)),
            SearchKey::Before(day) => Key::InternalDate(DateTest::Before(*day)),
            SearchKey::On(day) => Key::InternalDate(DateTest::On(*day)),
            SearchKey::Since(day) => Key::InternalDate(DateTest::Since(*day)),
            SearchKey::SentBefore(day) => Key::SentDate(DateTest::Before(*day)),
            SearchKey::SentOn(day) => Key::SentDate(DateTest::On(*day)),
            SearchKey::SentSince(day) => Key::SentDate(DateTest::Since(*day)),
            SearchKey::SavedBefore(day) => Key::SaveDate(DateTest::Before(*day)),
            SearchKey::SavedOn(day) => Key::SaveDate(DateTest::On(*day)),
            SearchKey::SavedSince(day) => Key::SaveDate(DateTest::Since(*day)),
            SearchKey::Older(seconds) => Key::Older(*seconds),
            SearchKey::Younger(seconds) => Key::Younger(*seconds),
            SearchKey::Larger(size) => Key::Larger(*size),
            SearchKey::Smaller(size) => Key::Smaller(*size),
            // One modseq is kept for all of a message: the entry does not matter. RFC 7162 §3.1.5
            SearchKey::ModSeq { mod_seq, .. } => Key::ModSeq(*mod_seq),
            SearchKey::EmailId(id) => {
                let id = self.selected.home.inner_id(id);
                id.and_then(MessageId::parse).map_or(Key::Nothing, Key::Message)
            }
            SearchKey::ThreadId(id) => {
                let id = self.selected.home.inner_id(id);
                id.and_then(ThreadId::parse).map_or(Key::Nothing, Key::Thread)
            }
            // Its keys have taken its place before a search begins.
            SearchKey::Filter(_) => Key::Nothing,
            SearchKey::Annotation(key) => {
                let text = key.text.as_deref().map(|text| self.text(text));
                Key::Annotation(
                    EntryPattern::new(&key.entry),
                    annotation::audiences(key.scope, self.selected.home.audience()),
                    text,
                )
            }
            SearchKey::Fuzzy(key) => Key::Fuzzy(Box::new(self.key(key))),
            SearchKey::Not(key) => not(self.key(key)),
            SearchKey::Or(a, b) => Key::Or(vec![self.key(a), self.key(b)]),
            SearchKey::And(keys) => Key::And(keys.iter().map(|key| self.key(key)).collect()),
        }
    }

    /// A text in the charset of the command. Without one it is UTF-8 in practice, whatever the
    /// rule: clients that send such octets mean it.
    fn text(&self, bytes: &[u8]) -> String {
        mime::to_utf8(self.charset.unwrap_or("utf-8").as_bytes(), bytes)
    }
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}
