//! What all entries of the queue have to know of a domain together: how many connections it has
//! now, and whether it could be reached lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail_service::queue::Reply;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// What is known of the domains that mail went to.
#[derive(Default)]
pub(super) struct Destinations {
    known: Mutex<HashMap<String, Destination>>,
}

struct Destination {
    /// One permit for each message that may be under way at one time.
    seats: Arc<Semaphore>,
    trouble: Option<Trouble>,
}

/// A domain of which no server could be reached.
#[derive(Clone, Debug)]
struct Trouble {
    /// How often in a row.
    failures: u32,
    /// Nobody tries before.
    until: Instant,
    /// What was wrong.
    reply: Reply,
}

impl Destinations {
    /// Waits for a place among those that speak with the servers of a domain.
    ///
    /// # Errors
    /// With why it is not tried now.
    pub(super) async fn enter(&self, domain: &str) -> Result<OwnedSemaphorePermit, Reply> {
        let seats = self.seats(domain, Instant::now())?;
        let seat = timeout(SEAT_PATIENCE, seats.acquire_owned()).await;
        // It is never closed, so only time can be up.
        let seat = seat.ok().and_then(Result::ok);
        seat.ok_or_else(|| Reply::own([4, 4, 5], "too many messages are on the way there"))
    }

    fn seats(&self, domain: &str, now: Instant) -> Result<Arc<Semaphore>, Reply> {
        let mut known = self.lock();
        if let Some(destination) = known.get(domain) {
            return match &destination.trouble {
                Some(trouble) if trouble.until > now => Err(trouble.reply.clone()),
                _ => Ok(Arc::clone(&destination.seats)),
            };
        }
        let seats = Arc::new(Semaphore::new(SEATS_MAX));
        if known.len() >= DESTINATIONS_MAX {
            known.retain(|_, destination| destination.is_needed(now));
        }
        if known.len() < DESTINATIONS_MAX {
            let destination = Destination { seats: Arc::clone(&seats), trouble: None };
            known.insert(domain.to_owned(), destination);
        }
        Ok(seats)
    }

    /// None of its servers could be reached: other entries need not find that out as well.
    pub(super) fn failed(&self, domain: &str, reply: &Reply) {
        let now = Instant::now();
        if let Some(destination) = self.lock().get_mut(domain) {
            let before = destination.trouble.as_ref();
            // Those that failed together are one failure.
            if before.is_some_and(|trouble| trouble.until > now) {
                return;
            }
            let failures = before.map_or(0, |trouble| trouble.failures);
            let until = now + pause(failures);
            let reply = reply.clone();
            destination.trouble = Some(Trouble { failures: failures + 1, until, reply });
        }
    }

    /// One of its servers has answered.
    pub(super) fn reached(&self, domain: &str) {
        if let Some(destination) = self.lock().get_mut(domain) {
            destination.trouble = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Destination>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination {
    fn is_needed(&self, now: Instant) -> bool {
        let is_used = self.seats.available_permits() < SEATS_MAX;
        is_used || self.trouble.as_ref().is_some_and(|trouble| trouble.until > now)
    }
}

/// How long a domain is left alone after so many failures before this one.
fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.min(DOUBLINGS_MAX)).min(PAUSE_LONGEST)
}

/// Messages that are handed to the servers of one domain at one time. Large receivers refuse more
/// connections of one sender.
const SEATS_MAX: usize = 20;

/// How long a message waits for a place before it makes room for those of other domains.
const SEAT_PATIENCE: Duration = Duration::from_secs(60);

/// Shorter than the first pause of an entry (`mail_queue::Schedule`), which it must not double.
const PAUSE_FIRST: Duration = Duration::from_secs(15);

const PAUSE_LONGEST: Duration = Duration::from_secs(10 * 60);

const DOUBLINGS_MAX: u32 = 10;

/// Domains that are remembered.
const DESTINATIONS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> Reply {
        Reply::own([4, 4, 1], "nobody answers")
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
        let all = Destinations::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            drop(all.enter("example.net").await.unwrap());
            all.failed("example.net", &why());
            // Others that were under way fail with it, and that is not one more failure.
            all.failed("example.net", &why());
            let begun = Instant::now();
            while let Err(reply) = all.enter("example.net").await {
                assert_eq!(reply, why());
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 600, 600]);
        all.reached("example.net");
        all.failed("example.net", &why());
        assert!(all.enter("example.net").await.is_err());
        assert!(all.enter("example.org").await.is_ok(), "another domain is not concerned");
        tokio::time::advance(PAUSE_FIRST).await;
        assert!(all.enter("example.net").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn messages_for_one_domain_wait_for_each_other_but_not_for_ever() {
        let all = Destinations::default();
        let mut seats = Vec::new();
        for _ in 0..SEATS_MAX {
            seats.push(all.enter("example.net").await.unwrap());
        }
        assert_eq!(all.enter("example.net").await.unwrap_err().status, [4, 4, 5]);
        seats.pop();
        assert!(all.enter("example.net").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_domains_has_a_limit() {
        let all = Destinations::default();
        let _seat = all.enter("used.example").await.unwrap();
        drop(all.enter("failed.example").await.unwrap());
        all.failed("failed.example", &why());
        for n in 0..DESTINATIONS_MAX + 100 {
            drop(all.enter(&format!("d{n}.example")).await.unwrap());
        }
        let known = all.lock();
        assert!(known.len() <= DESTINATIONS_MAX);
        assert!(known.contains_key("used.example") && known.contains_key("failed.example"));
    }
}
