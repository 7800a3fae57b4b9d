//! Writes stories behind the mail, in groups.
//!
//! To tell something costs a lock and a few hundred bytes; nobody ever waits for the store. A task
//! gathers what was told for a moment and commits it: with the local engine that commit shares its
//! sync with those of the mail, with PostgreSQL it is three statements a second. When the store
//! cannot take it, it waits here, up to a limit; what is beyond that is counted and lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use store::{Commit, StoreError, Write};
use tokio::sync::Notify;

use super::event::{What, key_of_id};
use crate::clock::Random;
use crate::codec::story::encode_event;
use crate::error::ServiceError;
use crate::keys::{self, Moment, QUEUE_SCOPE, STORY_HASH_BYTES};
use crate::service::{Shared, blocking};

/// What was told and is not written yet.
pub(crate) struct Journal {
    /// Whether anything is written at all.
    is_kept: bool,
    key: hmac::Key,
    /// Tells what two processes told in the same second apart.
    process: [u8; 4],
    waiting: Mutex<Waiting>,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    rows: Vec<Row>,
    bytes: usize,
    /// Of the next event.
    number: u32,
    /// What did not fit since that was last said.
    lost: u64,
    /// The second in which refusals are counted, and how many there were.
    refusals: (i64, u32),
}

struct Row {
    moment: Moment,
    hashes: Vec<[u8; STORY_HASH_BYTES]>,
    value: Vec<u8>,
}

impl Row {
    fn bytes(&self) -> usize {
        self.value.len() + (self.hashes.len() + 1) * INDEX_ROW_BYTES
    }
}

impl Journal {
    /// A journal of a store with this secret.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub(crate) fn new(days: u32, secret: &[u8], random: &dyn Random) -> Result<Self, ServiceError> {
        let mut process = [0; 4];
        if !random.fill(&mut process) {
            return Err(ServiceError::NoRandomness);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let (waiting, wake) = (Mutex::default(), Arc::default());
        Ok(Self { is_kept: days > 0, key, process, waiting, wake })
    }

    /// What stories of this Message-ID are found by. An id that a stranger chose reveals nothing of
    /// where it stands, and he cannot make it stand beside another.
    pub(crate) fn hash_of_message(&self, message_id: &str) -> [u8; STORY_HASH_BYTES] {
        self.hash(b"story of message ", key_of_id(message_id).as_bytes())
    }

    /// What stories of this entry of the queue are found by.
    pub(crate) fn hash_of_entry(&self, id: mail_queue::QueueId) -> [u8; STORY_HASH_BYTES] {
        self.hash(b"story of entry ", id.bytes())
    }

    fn hash(&self, label: &[u8], text: &[u8]) -> [u8; STORY_HASH_BYTES] {
        let tag = hmac::sign(&self.key, &[label, text].concat());
        let mut short = [0; STORY_HASH_BYTES];
        short.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        short
    }

    /// Tells something. It is written soon.
    pub(crate) fn tell(&self, at: i64, what: &What) {
        if !self.is_kept {
            return;
        }
        let mut hashes: Vec<_> =
            what.message_id().map(|id| self.hash_of_message(id.as_str())).into_iter().collect();
        hashes.extend(what.queue_ids().into_iter().map(|id| self.hash_of_entry(id)));
        let value = encode_event(what);
        let mut waiting = self.lock();
        if is_refusal(what) && !waiting.takes_refusal(at) {
            waiting.lost += 1;
            return;
        }
        let number = waiting.number;
        waiting.number = number.wrapping_add(1);
        let moment = Moment::new(at, self.process, number);
        waiting.push(Row { moment, hashes, value });
        drop(waiting);
        self.wake.notify_one();
    }

    /// Writes the oldest group of what waits. Whether there was any.
    ///
    /// A full disk has room in reserve for commits without bodies, so that people can delete. That
    /// is not for stories: they are written only while mail could be.
    ///
    /// # Errors
    /// Those of the store; then it waits for the next time.
    pub(crate) async fn write_group(&self, shared: &Shared) -> Result<bool, StoreError> {
        let (group, lost) = self.lock().take_group();
        if lost > 0 {
            tracing::warn!(lost, "events of stories are lost: there were too many at one time");
        }
        if group.is_empty() {
            return Ok(false);
        }
        let store = Arc::clone(&shared.store);
        let has_room = blocking(move || Ok(store.blob_writer(QUEUE_SCOPE).map(drop)));
        if let Err(error) = has_room.await.unwrap_or(Err(StoreError::Closed)) {
            self.lock().put_back(group);
            return Err(error);
        }
        let mut commit = Commit::new();
        for row in &group {
            for hash in &row.hashes {
                let key = keys::story_index(*hash, row.moment);
                commit = commit.write(Write::put(key, b""));
            }
            commit = commit.write(Write::put(keys::story_event(row.moment), row.value.clone()));
        }
        match shared.commit(commit).await {
            Ok(()) => Ok(true),
            // To write it once more does no harm, whether it was written or not.
            Err(error) => {
                self.lock().put_back(group);
                Err(error)
            }
        }
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// Those of the store; what is left waits.
    pub(crate) async fn write_all(&self, shared: &Shared) -> Result<(), StoreError> {
        while self.write_group(shared).await? {}
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The task looks whether anybody is left, and ends.
        self.wake.notify_one();
    }
}

impl Waiting {
    fn push(&mut self, row: Row) {
        if self.bytes + row.bytes() > WAITING_BYTES_MAX {
            self.lost += 1;
            return;
        }
        self.bytes += row.bytes();
        self.rows.push(row);
    }

    fn take_group(&mut self) -> (Vec<Row>, u64) {
        let count = self.rows.len().min(GROUP_EVENTS_MAX);
        let group: Vec<Row> = self.rows.drain(..count).collect();
        self.bytes -= group.iter().map(Row::bytes).sum::<usize>();
        (group, std::mem::take(&mut self.lost))
    }

    /// What is older goes first again; what is newer and does not fit beside it is lost.
    fn put_back(&mut self, group: Vec<Row>) {
        let newer = std::mem::replace(&mut self.rows, group);
        self.bytes = self.rows.iter().map(Row::bytes).sum();
        newer.into_iter().for_each(|row| self.push(row));
    }

    /// Strangers decide how often they are refused, so what is written of that has a limit.
    fn takes_refusal(&mut self, at: i64) -> bool {
        if self.refusals.0 != at {
            self.refusals = (at, 0);
        }
        self.refusals.1 += 1;
        self.refusals.1 <= REFUSALS_PER_SECOND_MAX
    }
}

fn is_refusal(what: &What) -> bool {
    let What::Arrived(arrival) = what else { return false };
    arrival.places.is_empty() && arrival.queued.is_empty()
}

/// Writes what is told until the service is gone.
pub(crate) async fn write_stories(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        tokio::time::sleep(GATHER_PAUSE).await;
        let Some(service) = shared.upgrade() else { return };
        if let Err(error) = service.journal.write_all(&service).await {
            drop(service);
            if error == StoreError::Closed {
                return;
            }
            tracing::warn!(%error, "stories of messages wait to be written");
            tokio::time::sleep(TROUBLE_PAUSE).await;
            wake.notify_one();
        }
    }
}

/// How long what is told is gathered before it is written: what a crash may take from stories.
const GATHER_PAUSE: Duration = Duration::from_millis(300);

/// How long a store that cannot take it is left alone.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

/// Events of one commit: it must not hold up a commit of mail behind it.
const GROUP_EVENTS_MAX: usize = 256;

/// Bytes that wait at one time: some 20,000 events of mail to one recipient.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a row that says where an event is takes, about.
const INDEX_ROW_BYTES: usize = 64;

/// Refused messages whose story is kept, of one second.
const REFUSALS_PER_SECOND_MAX: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;
    use crate::story::{Arrival, Line};

    fn journal() -> Journal {
        Journal::new(1, b"secret", &SystemRandom).unwrap()
    }

    fn refused(number: u32) -> What {
        let message_id = Some(Line::new(&format!("{number}@x.example")));
        What::Arrived(Box::new(Arrival { message_id, ..Arrival::default() }))
    }

    #[test]
    fn s094_refusals_of_one_second_beyond_the_limit_are_counted_and_not_kept() {
        let journal = journal();
        (0..1000).for_each(|number| journal.tell(5, &refused(number)));
        journal.tell(6, &refused(1000));
        let waiting = journal.lock();
        assert_eq!(waiting.rows.len(), REFUSALS_PER_SECOND_MAX as usize + 1);
        assert_eq!(waiting.lost, 1000 - u64::from(REFUSALS_PER_SECOND_MAX));
    }

    #[test]
    fn what_waits_has_a_limit_and_what_was_put_back_goes_first() {
        let journal = journal();
        (0..100_000).for_each(|number| journal.tell(i64::from(number), &refused(number)));
        let mut waiting = journal.lock();
        assert!(waiting.bytes <= WAITING_BYTES_MAX && waiting.lost > 0);
        let first = waiting.rows.first().unwrap().moment;
        let (group, _) = waiting.take_group();
        assert_eq!(group.len(), GROUP_EVENTS_MAX);
        let count = waiting.rows.len();
        waiting.put_back(group);
        assert_eq!(waiting.rows.first().unwrap().moment, first);
        assert_eq!(waiting.rows.len(), count + GROUP_EVENTS_MAX);
        assert_eq!(waiting.bytes, waiting.rows.iter().map(Row::bytes).sum::<usize>());
    }

    #[test]
    fn ids_of_messages_and_of_entries_are_never_found_for_each_other() {
        let journal = journal();
        let id = mail_queue::QueueId::new(0, [0; 7]);
        let text = std::str::from_utf8(id.bytes()).unwrap();
        assert_ne!(journal.hash_of_message(text), journal.hash_of_entry(id));
        let other = Journal::new(1, b"other", &SystemRandom).unwrap();
        assert_ne!(journal.hash_of_entry(id), other.hash_of_entry(id));
    }
}
