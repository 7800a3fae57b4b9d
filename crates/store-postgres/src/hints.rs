//! Telling other nodes that something has changed.
//!
//! Hints are no part of a commit: they are gathered for [`HINT_PAUSE`] after commits were
//! acknowledged and sent in one statement, so that they cost a commit nothing (a `NOTIFY` inside a
//! transaction takes a lock of the whole server when it commits). A node that dies in between has
//! told nobody, which a hint may do.
//!
//! A hint names keys: those of the conditions, and the first few that were written. Whoever follows
//! an account watches the key of its head, which is both.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::limits::KEY_BYTES_MAX;
use store::{Commit, Watchers, Write};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::connect::{Connector, Use};
use crate::error::reason;
use crate::settings::{HINT_PAUSE, HINT_POLL, Hinting};
use crate::shared::{Db, Shared};

/// Keys that wait to be told of.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The first word of every hint of this node, which has woken its own followers already.
    node: String,
    keys: Mutex<BTreeSet<Vec<u8>>>,
    is_filled: Notify,
    is_closed: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(node: [u8; 8]) -> Self {
        Self { node: hex(&node), ..Self::default() }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Notes that a commit has happened.
    pub(crate) fn tell(&self, commit: &Commit) {
        let conditions = commit.conditions.iter().map(|condition| condition.key.as_slice());
        let written = commit.writes.iter().map(Write::key).take(KEYS_PER_COMMIT);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = keys.is_empty();
        for key in conditions.chain(written) {
            if keys.len() >= KEYS_WAITING_MAX {
                break;
            }
            keys.insert(key.get(..KEY_BYTES).unwrap_or(key).to_vec());
        }
        let is_filled = was_empty && !keys.is_empty();
        drop(keys);
        if is_filled {
            self.is_filled.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.is_filled.notify_one();
    }
}

/// Sends what waits until the store is closed.
pub(crate) async fn send(shared: Arc<Shared>) {
    let mut sent = 0_u64;
    while !shared.hints.is_closed.load(Ordering::Acquire) {
        shared.hints.is_filled.notified().await;
        sleep(HINT_PAUSE).await;
        let keys = shared.hints.take();
        for text in texts(&shared.hints.node, &keys) {
            if let Err(error) = send_text(&shared.db, shared.settings.hinting, &text, sent).await {
                tracing::debug!(%error, "a hint was not sent");
            }
            sent += 1;
        }
    }
}

async fn send_text(
    db: &Db,
    hinting: Hinting,
    text: &str,
    sent: u64,
) -> Result<(), store::StoreError> {
    let client = db.helper().await?;
    let outcome = match hinting {
        Hinting::Notify => client.execute("SELECT pg_notify('pillarbox', $1)", &[&text]).await,
        Hinting::Poll => {
            if sent.is_multiple_of(CLEAN_EVERY) {
                let old = "DELETE FROM pillarbox_hints WHERE sent_at < now() - interval '1 minute'";
                client
                    .execute(old, &[])
                    .await
                    .map_err(|error| crate::error::write_failed(&error))?;
            }
            client.execute("INSERT INTO pillarbox_hints (keys) VALUES ($1)", &[&text]).await
        }
    };
    outcome.map(|_| ()).map_err(|error| crate::error::write_failed(&error))
}

/// The node and keys in hexadecimal, in texts that a notification can carry.
fn texts(node: &str, keys: &BTreeSet<Vec<u8>>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for key in keys {
        let key = hex(key);
        match texts.last_mut() {
            Some(text) if text.len() + key.len() < TEXT_BYTES => {
                text.push(' ');
                text.push_str(&key);
            }
            _ => texts.push(format!("{node} {key}")),
        }
    }
    texts
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those who wait on this node, and the name by which it knows its own hints.
#[derive(Clone)]
pub(crate) struct Ears {
    pub(crate) watchers: Watchers,
    pub(crate) node: String,
}

impl Ears {
    /// Wakes whoever watches the keys of a hint. What cannot be read is no hint.
    fn hear(&self, text: &str) {
        let mut words = text.split(' ');
        if words.next() == Some(&self.node) {
            return;
        }
        let keys: Vec<Vec<u8>> = words.filter_map(from_hex).collect();
        self.watchers.wake(keys.iter().map(Vec::as_slice));
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * KEY_BYTES_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pair = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits?.chunks(2).map(pair).collect()
}

/// Hears what other nodes tell, from the moment at which it has said so to `ready`. Runs until its
/// task is ended.
pub(crate) async fn hear(
    connector: Connector,
    ears: Ears,
    hinting: Hinting,
    ready: SyncSender<()>,
) {
    let (watchers, mut ready) = (ears.watchers.clone(), Some(ready));
    let mut begin = move || match ready.take() {
        Some(ready) => _ = ready.send(()),
        // What was told while nobody listened is found by looking again.
        None => watchers.wake_all(),
    };
    loop {
        let ended = match hinting {
            Hinting::Notify => listen(&connector, &ears, &mut begin).await,
            Hinting::Poll => poll(&connector, &ears, &mut begin).await,
        };
        if let Err(error) = ended {
            tracing::warn!(error = reason(&error), "hints of other nodes are not heard");
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn listen(
    connector: &Connector,
    ears: &Ears,
    begin: &mut (impl FnMut() + Send),
) -> Result<(), tokio_postgres::Error> {
    let own = ears.clone();
    let (client, task) = connector.listen(move |text| own.hear(text)).await?;
    client.batch_execute("LISTEN pillarbox").await?;
    begin();
    loop {
        sleep(LISTEN_CHECK).await;
        if let Err(error) = client.simple_query("").await {
            task.abort();
            return Err(error);
        }
    }
}

async fn poll(
    connector: &Connector,
    ears: &Ears,
    begin: &mut (impl FnMut() + Send),
) -> Result<(), tokio_postgres::Error> {
    let (client, task) = connector.open(Use::Read).await?;
    let polled = poll_with(&client, ears, begin).await;
    task.abort();
    polled
}

async fn poll_with(
    client: &Client,
    ears: &Ears,
    begin: &mut (impl FnMut() + Send),
) -> Result<(), tokio_postgres::Error> {
    let newest = "SELECT coalesce(max(id), 0) FROM pillarbox_hints";
    let mut last: i64 = client.query_one(newest, &[]).await?.try_get(0)?;
    begin();
    let hints = "SELECT id, keys FROM pillarbox_hints WHERE id > $1 ORDER BY id";
    let hints = client.prepare(hints).await?;
    // Numbers are given out before rows can be seen, so a lower one may come late.
    let (mut seen, mut order) = (HashSet::new(), VecDeque::new());
    loop {
        sleep(HINT_POLL).await;
        for row in client.query(&hints, &[&(last - LATE_HINTS)]).await? {
            let id: i64 = row.try_get(0)?;
            if seen.insert(id) {
                ears.hear(row.try_get(1)?);
                order.push_back(id);
            }
            last = last.max(id);
        }
        while order.len() > SEEN_MAX {
            if let Some(old) = order.pop_front() {
                seen.remove(&old);
            }
        }
    }
}

/// Of a large commit only these are told: they all belong to one account.
const KEYS_PER_COMMIT: usize = 4;

/// Hints that wait for the database at most; more are lost.
const KEYS_WAITING_MAX: usize = 10_000;

/// Longer keys are cut, and wake those who watch what is left.
const KEY_BYTES: usize = 64;

/// A notification may have 8,000 bytes.
const TEXT_BYTES: usize = 7_500;

/// Old hints are deleted with every so many new ones.
const CLEAN_EVERY: u64 = 256;

/// How far back a poll looks for hints that could not be seen before.
const LATE_HINTS: i64 = 64;

/// More than the hints of one poll and of those that may come late.
const SEEN_MAX: usize = 100_000;

const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How often a silent listening connection is asked whether it still lives.
const LISTEN_CHECK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn keys_of_a_hint_are_heard_on_the_other_side() {
        let keys: BTreeSet<Vec<u8>> =
            (0..1000_u16).map(|number| [b"a".as_slice(), &number.to_be_bytes()].concat()).collect();
        let texts = texts("0a", &keys);
        assert!(texts.len() == 1 && texts[0].len() <= TEXT_BYTES + 10, "{}", texts.len());
        let watchers = Watchers::default();
        let heard = Arc::new(AtomicUsize::new(0));
        let ear = Arc::clone(&heard);
        let _watch =
            watchers.add(&[b'a', 0, 7], Box::new(move || _ = ear.fetch_add(1, Ordering::Relaxed)));
        let ears = |node: &str| Ears { watchers: watchers.clone(), node: node.to_owned() };
        ears("0b").hear("zz 6 6100");
        texts.iter().for_each(|text| ears("0a").hear(text));
        assert_eq!(heard.load(Ordering::Relaxed), 0, "a node need not hear itself");
        texts.iter().for_each(|text| ears("0b").hear(text));
        assert_eq!(heard.load(Ordering::Relaxed), 1);
    }
}
