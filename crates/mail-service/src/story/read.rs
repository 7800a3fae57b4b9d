//! Finding stories.

use std::collections::{BTreeMap, HashSet, VecDeque};

use mail_queue::QueueId;
use store::{KeyRange, Order, View};

use super::event::Event;
use crate::codec::story::decode_event;
use crate::error::ServiceError;
use crate::keys::{self, Moment, STORY_HASH_BYTES};
use crate::loader::strange_key;
use crate::service::{Service, Shared};

/// Whose story is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of the message with this Message-ID, with brackets or without.
    Message(String),
    /// Of an entry of the queue.
    Entry(QueueId),
}

/// A part of what was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// In the order in which it happened.
    pub events: Vec<Event>,
    /// Where to go on, if that was not all.
    pub rest: Option<Vec<u8>>,
    /// Whether more is known than is told at one time.
    pub is_cut: bool,
}

impl Service {
    /// The whole story: what was told of the message, of the entries of the queue that it became,
    /// and of the notices about them. Of what happened on other nodes the last moment may be
    /// missing; of a node that died, what it had not written.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn story_of(&self, subject: &Subject) -> Result<Found, ServiceError> {
        self.write_stories_now().await;
        let journal = &self.shared.journal;
        let first = match subject {
            Subject::Message(id) => journal.hash_of_message(id),
            Subject::Entry(id) => journal.hash_of_entry(*id),
        };
        let mut search = Search::default();
        search.ask(first);
        while let Some(hash) = search.asked.pop_front() {
            let room = TOLD_BYTES_MAX.saturating_sub(search.bytes);
            let read = self.shared.read(move |view| events_of(view, hash, room));
            let (found, is_whole) = read.await?;
            search.is_cut |= !is_whole;
            for (moment, event, bytes) in found {
                search.note(&self.shared, moment, event, bytes);
            }
        }
        let (is_cut, rest) = (search.is_cut, None);
        Ok(Found { events: search.found.into_values().collect(), rest, is_cut })
    }

    /// What happened to mail for an address since a moment, in parts: each looks at so many events
    /// at most, whether they are about the address or not.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn stories_to(
        &self,
        address: &str,
        since: i64,
        rest: Option<Vec<u8>>,
    ) -> Result<Found, ServiceError> {
        if rest.is_none() {
            self.write_stories_now().await;
        }
        let address = address.to_owned();
        let found = self.shared.read(move |view| {
            let mut range = keys::story_events_since(since);
            if let Some(after) = rest {
                range = range.after(&after);
            }
            let page = store::scan_page(view, &range, EVENTS_LOOKED_AT_MAX)?;
            let (mut found, mut bytes) = (Found::default(), 0);
            for (key, value) in &page.rows {
                let event = read_event(key, value)?;
                if event.what.concerns(&address) {
                    bytes += value.len();
                    found.events.push(event);
                }
                if bytes > TOLD_BYTES_MAX {
                    found.rest = Some(key.clone());
                    return Ok(found);
                }
            }
            let last = page.rows.last().map(|(key, _)| key.clone());
            found.rest = last.filter(|_| page.rest.is_some());
            Ok(found)
        });
        found.await
    }

    /// So that whoever asks is told what has happened by now, as far as this node knows it.
    async fn write_stories_now(&self) {
        if let Err(error) = self.shared.journal.write_all(&self.shared).await {
            tracing::warn!(%error, "the newest events are missing from a story");
        }
    }
}

/// Events that were found, and what is to be looked for yet.
#[derive(Default)]
struct Search {
    asked: VecDeque<[u8; STORY_HASH_BYTES]>,
    known: HashSet<[u8; STORY_HASH_BYTES]>,
    found: BTreeMap<(i64, u8, Moment), Event>,
    bytes: usize,
    is_cut: bool,
}

impl Search {
    fn ask(&mut self, hash: [u8; STORY_HASH_BYTES]) {
        if self.known.contains(&hash) {
            return;
        }
        if self.known.len() == SUBJECTS_MAX {
            self.is_cut = true;
            return;
        }
        self.known.insert(hash);
        self.asked.push_back(hash);
    }

    fn note(&mut self, shared: &Shared, moment: Moment, event: Event, bytes: usize) {
        self.bytes += bytes;
        if self.bytes > TOLD_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        for id in event.what.queue_ids() {
            self.ask(shared.journal.hash_of_entry(id));
        }
        if let Some(id) = event.what.message_id() {
            self.ask(shared.journal.hash_of_message(id.as_str()));
        }
        self.found.insert((event.at, event.what.rank(), moment), event);
    }
}

/// An event as it was found, and how long it is.
type Stored = (Moment, Event, usize);

/// The events that stand under a hash, of all days for which there are any, as far as there is room
/// for them, and whether these are all.
fn events_of(
    view: &dyn View,
    hash: [u8; STORY_HASH_BYTES],
    mut room: usize,
) -> Result<(Vec<Stored>, bool), ServiceError> {
    let (mut events, mut is_whole) = (Vec::new(), true);
    let Some((first, last)) = days(view)? else { return Ok((events, is_whole)) };
    for day in first..=last {
        let range = keys::story_index_of(day, hash);
        let page = store::scan_page(view, &range, EVENTS_PER_SUBJECT_MAX)?;
        is_whole &= page.rest.is_none();
        for (key, _) in &page.rows {
            let (_, moment) = keys::parse_story_index(key).ok_or_else(|| strange_key(key))?;
            let key = keys::story_event(moment);
            // The sweep may have come between.
            let Some(value) = view.get(&key)? else { continue };
            let Some(left) = room.checked_sub(value.len()) else { return Ok((events, false)) };
            room = left;
            events.push((moment, read_event(&key, &value)?, value.len()));
        }
    }
    Ok((events, is_whole))
}

/// The first and the last day that anything is known of.
fn days(view: &dyn View) -> Result<Option<(u32, u32)>, ServiceError> {
    let all = keys::story_index_all();
    let end = |range: &KeyRange| -> Result<Option<u32>, ServiceError> {
        let page = store::scan_page(view, range, 1)?;
        let Some((key, _)) = page.rows.first() else { return Ok(None) };
        let (day, _) = keys::parse_story_index(key).ok_or_else(|| strange_key(key))?;
        Ok(Some(day))
    };
    let Some(first) = end(&all)? else { return Ok(None) };
    let last = end(&KeyRange { order: Order::Descending, ..all })?.unwrap_or(first);
    // A clock that was wrong for a moment must not make this take for ever.
    Ok(Some((first.max(last.saturating_sub(DAYS_MAX)), last)))
}

/// The event of a row.
pub(super) fn read_event(key: &[u8], value: &[u8]) -> Result<Event, ServiceError> {
    let moment = keys::parse_story_event(key).ok_or_else(|| strange_key(key))?;
    Ok(Event { at: moment.at(), what: decode_event(key, value)? })
}

/// Events of one subject on one day. A sender may give all his mail the same Message-ID.
const EVENTS_PER_SUBJECT_MAX: usize = 1000;

/// Messages, entries and notices that one story goes through.
const SUBJECTS_MAX: usize = 200;

/// Events that are looked at before whoever asks hears of it.
const EVENTS_LOOKED_AT_MAX: usize = 10_000;

/// Bytes of events that are told at one time: an answer is held in memory.
const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// Days that are looked through: more than can be kept.
const DAYS_MAX: u32 = 400;
