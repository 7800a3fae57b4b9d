//! Connections that rest for a moment between two messages, so that the next one for the same
//! server need not connect, protect and greet again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp_session::Standing;
use tokio::time::{Instant, sleep};

use super::demand::Demand;
use super::link::Link;

/// What a message must share with the one before to go over the same connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// The same relay, by its number.
    Relay(usize),
    /// The same server, protected in the same way.
    Server {
        /// Its name.
        host: String,
        /// What was made sure of.
        demand: Demand,
    },
}

/// A connection that rests.
pub(super) struct Kept {
    pub(super) link: Link,
    pub(super) standing: Standing,
    /// Messages that went over it.
    pub(super) messages: usize,
}

/// All that rest.
#[derive(Default)]
pub(super) struct Pool {
    resting: Arc<Mutex<Resting>>,
}

#[derive(Default)]
struct Resting {
    lines: HashMap<Line, Vec<(Instant, Kept)>>,
    count: usize,
    /// Whether somebody is there who closes what has rested for too long.
    is_watched: bool,
}

impl Pool {
    /// The connection that has rested for the shortest time.
    pub(super) fn take(&self, line: &Line) -> Option<Kept> {
        let mut resting = lock(&self.resting);
        loop {
            let (since, kept) = resting.lines.get_mut(line)?.pop()?;
            resting.count = resting.count.saturating_sub(1);
            // Who speaks without being asked says that he leaves.
            if since.elapsed() < REST && kept.link.is_quiet() {
                return Some(kept);
            }
        }
    }

    /// Keeps a connection for a moment.
    pub(super) fn put(&self, line: Line, kept: Kept) {
        let mut resting = lock(&self.resting);
        if resting.count >= RESTING_MAX || kept.messages >= MESSAGES_MAX {
            drop(resting);
            tokio::spawn(kept.link.close(QUIT));
            return;
        }
        resting.lines.entry(line).or_default().push((Instant::now(), kept));
        resting.count += 1;
        if !std::mem::replace(&mut resting.is_watched, true) {
            tokio::spawn(close_in_time(Arc::clone(&self.resting)));
        }
    }
}

/// Closes what has rested for too long, until nothing rests any more.
async fn close_in_time(all: Arc<Mutex<Resting>>) {
    loop {
        sleep(WATCH_INTERVAL).await;
        let (old, is_empty) = {
            let mut resting = lock(&all);
            let old = resting.take_old();
            resting.is_watched = resting.count > 0;
            (old, !resting.is_watched)
        };
        for kept in old {
            tokio::spawn(kept.link.close(QUIT));
        }
        if is_empty {
            return;
        }
    }
}

impl Resting {
    fn take_old(&mut self) -> Vec<Kept> {
        let mut old = Vec::new();
        for kept in self.lines.values_mut() {
            let (gone, still) =
                std::mem::take(kept).into_iter().partition(|(since, _)| since.elapsed() >= REST);
            *kept = still;
            let gone: Vec<(Instant, Kept)> = gone;
            old.extend(gone.into_iter().map(|(_, kept)| kept));
        }
        self.lines.retain(|_, kept| !kept.is_empty());
        self.count = self.lines.values().map(Vec::len).sum();
        old
    }
}

fn lock(resting: &Mutex<Resting>) -> MutexGuard<'_, Resting> {
    // No code can panic while it is held and leave it half changed.
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a connection rests. Servers wait for minutes (RFC 5321 §4.5.3.2.7), but each of theirs
/// is one that somebody else does not have.
const REST: Duration = Duration::from_secs(5);

const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that rest at one time.
const RESTING_MAX: usize = 64;

/// Messages over one connection: servers grow suspicious of more.
const MESSAGES_MAX: usize = 100;

const QUIT: &[u8] = b"QUIT\r\n";
