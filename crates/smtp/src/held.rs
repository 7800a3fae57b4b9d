//! A message that is held until it has come to its end, because what stands in front of it depends
//! on all of it: the results of checks, signatures.
//!
//! Small messages are held in memory, within a budget that all connections share. What does not
//! fit goes to the store, as a body that nobody names and the next sweep takes out: a client that
//! sends slowly occupies no more memory than one whose message is stored as it comes. At its end a
//! message comes back into memory, in its turn: no more octets are looked at at one time than the
//! budget has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mail_service::queue::OutgoingStaging;
use mail_service::{DeliverError, Service, ServiceError};
use smtp_session::Reply;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::failed;

/// Memory for the messages that are held, for all connections together: so much for those that
/// arrive, and as much for those that are whole. Clients decide how long a message arrives, so what
/// they fill must not be what others wait for.
#[derive(Debug)]
pub struct Budget {
    arriving: Arc<Semaphore>,
    units: Arc<Semaphore>,
    units_max: u32,
}

impl Budget {
    /// A budget of so many octets of each kind. A message that is larger takes all of it.
    pub fn new(octets: u64) -> Self {
        let units_max = units(octets).max(1);
        let semaphore = || Arc::new(Semaphore::new(units_max as usize));
        Self { arriving: semaphore(), units: semaphore(), units_max }
    }

    /// More of it for `share`, if there is more now.
    fn grow(&self, share: &mut OwnedSemaphorePermit, octets: usize) -> bool {
        let held = u32::try_from(share.num_permits()).unwrap_or(u32::MAX);
        let missing = units(octets as u64).saturating_sub(held);
        match Arc::clone(&self.arriving).try_acquire_many_owned(missing) {
            Ok(more) => {
                share.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// A share for a whole message, when it is its turn.
    async fn wait(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let share = Arc::clone(&self.units).acquire_many_owned(units(octets).min(self.units_max));
        tokio::time::timeout(TURN_PATIENCE, share).await.ok()?.ok()
    }
}

/// A message on its way in.
pub(crate) struct Held {
    service: Service,
    budget: Arc<Budget>,
    text: Text,
}

enum Text {
    Memory(Vec<u8>, OwnedSemaphorePermit),
    Store(OutgoingStaging),
    /// It cannot be kept, and why.
    Lost(DeliverError),
}

/// A message in memory, and its share of the budget.
pub(crate) struct Whole {
    pub(crate) text: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Held {
    pub(crate) fn new(service: Service, budget: Arc<Budget>) -> Self {
        let text = match Arc::clone(&budget.arriving).try_acquire_many_owned(0) {
            Ok(nothing) => Text::Memory(Vec::new(), nothing),
            Err(_) => Text::Store(service.stage_outgoing()),
        };
        Self { service, budget, text }
    }

    /// Takes the next octets.
    pub(crate) async fn push(&mut self, piece: &[u8]) {
        let stored = match &mut self.text {
            Text::Lost(_) => return,
            Text::Store(staging) => staging.push(piece).await,
            Text::Memory(bytes, share) => {
                let octets = bytes.len() + piece.len();
                if octets <= HELD_BYTES_MAX && self.budget.grow(share, octets) {
                    bytes.extend_from_slice(piece);
                    return;
                }
                let mut staging = self.service.stage_outgoing();
                let moved = match staging.push(bytes).await {
                    Ok(()) => staging.push(piece).await,
                    failed => failed,
                };
                self.text = Text::Store(staging);
                moved
            }
        };
        if let Err(error) = stored {
            self.text = Text::Lost(error.into());
        }
    }

    /// The message, whole.
    pub(crate) async fn finish(self) -> Result<Whole, Reply> {
        let staging = match self.text {
            Text::Memory(bytes, share) => return Ok(Whole { text: bytes.into(), _share: share }),
            Text::Lost(error) => return Err(failed(&error)),
            Text::Store(staging) => staging,
        };
        let share = self.budget.wait(staging.size()).await.ok_or(TOO_BUSY)?;
        let read = read_again(&self.service, staging).await;
        let text = read.map_err(|error| failed(&error.into()))?;
        Ok(Whole { text: text.into(), _share: share })
    }
}

async fn read_again(service: &Service, staging: OutgoingStaging) -> Result<Vec<u8>, ServiceError> {
    let staged = staging.finish().await?;
    let reader = service.open_staged(&staged).await?;
    let size = reader.size();
    let mut text = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    while (text.len() as u64) < size {
        let piece = reader.read(text.len() as u64..size).await?;
        if piece.is_empty() {
            return Err(ServiceError::Busy);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// Octets in units of a KiB: counts of a semaphore are 32 bits wide.
fn units(octets: u64) -> u32 {
    u32::try_from(octets.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// RFC 3463 §3.4
const TOO_BUSY: Reply = Reply::new(452, "4.3.1", "Too much mail at one time, try again later");

/// The longest message that is held in memory while it arrives: most of all mail.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// How long a message waits for its turn: less than clients wait for the answer to a message
/// (RFC 5321 §4.5.3.2.6), and longer than any look at one takes.
const TURN_PATIENCE: Duration = Duration::from_secs(120);

/// The usual budget of each kind: a message of the largest usual size, or thousands of usual ones.
pub const HELD_BUDGET_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use mail_service::{ServiceConfig, World};
    use store::mem::Mem;

    async fn service() -> Service {
        Service::open(Arc::new(Mem::new()), ServiceConfig::default(), World::system())
            .await
            .unwrap()
    }

    async fn hold(service: &Service, budget: &Arc<Budget>, text: &[u8]) -> Held {
        let mut held = Held::new(service.clone(), Arc::clone(budget));
        for piece in text.chunks(10_000) {
            held.push(piece).await;
        }
        held
    }

    #[tokio::test]
    async fn a_message_is_the_same_wherever_it_was_held() {
        let service = service().await;
        let budget = Arc::new(Budget::new(1 << 20));
        for size in [0, 1, HELD_BYTES_MAX, HELD_BYTES_MAX + 1, 700_000] {
            let text: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let held = hold(&service, &budget, &text).await;
            assert_eq!(matches!(held.text, Text::Memory(..)), size <= HELD_BYTES_MAX);
            assert_eq!(held.finish().await.unwrap().text, text, "{size}");
        }
        assert_eq!(budget.units.available_permits(), 1024);
    }

    #[tokio::test]
    async fn what_does_not_fit_goes_to_the_store_and_nobody_is_refused_while_it_comes() {
        let service = service().await;
        let budget = Arc::new(Budget::new(300_000));
        let text = vec![b'x'; 200_000];
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(hold(&service, &budget, &text).await);
        }
        let in_memory = all.iter().filter(|held| matches!(held.text, Text::Memory(..))).count();
        assert_eq!(in_memory, 1);
        for held in all {
            assert_eq!(held.finish().await.unwrap().text.len(), text.len());
        }
    }

    #[tokio::test]
    async fn messages_that_never_come_to_their_end_hold_up_nobody() {
        let service = service().await;
        let budget = Arc::new(Budget::new(300_000));
        let slow = hold(&service, &budget, &vec![b'x'; 250_000]).await;
        assert!(matches!(slow.text, Text::Memory(..)));
        let other = hold(&service, &budget, &vec![b'y'; 290_000]).await;
        assert!(matches!(other.text, Text::Store(_)));
        assert_eq!(other.finish().await.unwrap().text.len(), 290_000);
        drop(slow);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_for_his_turn_is_told_to_come_again() {
        let service = service().await;
        let budget = Arc::new(Budget::new(400_000));
        let text = vec![b'x'; 500_000];
        let first = hold(&service, &budget, &text).await.finish().await.unwrap();
        let second = hold(&service, &budget, &text).await;
        let third = hold(&service, &budget, &text).await;
        assert_eq!(second.finish().await.err().unwrap().status, "4.3.1");
        drop(first);
        assert_eq!(third.finish().await.unwrap().text.len(), text.len());
    }
}
