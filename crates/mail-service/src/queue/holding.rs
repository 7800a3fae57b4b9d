//! A claim while its node works: kept, given up, and asked before what cannot be undone.
//!
//! An attempt may be dropped until the end of the message is sent. From then on the other server
//! decides, and dropping it would only lose what it says; so it is asked for once, right before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mail_queue::Tenure;
use tokio::sync::watch;

use super::change::is_lost;
use super::{Claimed, QueueError};
use crate::service::Service;

/// An entry that is worked on.
pub(super) struct Holding {
    pub(super) service: Service,
    pub(super) claimed: Claimed,
    tenure: Mutex<Tenure>,
    /// Attempts that can still be dropped are to be.
    given_up: watch::Sender<bool>,
}

impl Holding {
    pub(super) fn new(service: Service, claimed: Claimed) -> Self {
        let tenure = Mutex::new(claimed.tenure);
        Self { service, claimed, tenure, given_up: watch::Sender::new(false) }
    }

    /// Says that this node is still at it. If it has lost the claim, it gives up.
    ///
    /// # Errors
    /// As [`Service::renew_claim`].
    pub(super) async fn renew(&self) -> Result<(), QueueError> {
        match self.service.renew_claim(&self.claimed).await {
            Ok(tenure) => *self.tenure.lock().unwrap_or_else(PoisonError::into_inner) = tenure,
            Err(error) => {
                if is_lost(&error) {
                    self.give_up();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    pub(super) fn is_given_up(&self) -> bool {
        *self.given_up.borrow()
    }

    fn is_sure(&self) -> bool {
        let clock = &self.service.shared.world.clock;
        let tenure = *self.tenure.lock().unwrap_or_else(PoisonError::into_inner);
        tenure.is_sure(clock.uptime(), clock.now_secs())
    }
}

/// Leave to do what cannot be undone, for one attempt.
#[derive(Clone)]
pub struct Leave {
    pub(super) holding: Arc<Holding>,
    is_taken: Arc<AtomicBool>,
}

impl Leave {
    pub(super) fn new(holding: Arc<Holding>) -> Self {
        Self { holding, is_taken: Arc::default() }
    }

    /// To be asked right before the end of a message is sent: whether that may be done, because no
    /// other node can have the entry. If not, the connection is to be closed. Takes no time, but
    /// for an attempt whose claim could not be renewed when it was time.
    pub async fn take(&self) -> bool {
        if !self.holding.is_sure()
            && let Err(error) = self.holding.renew().await
        {
            tracing::warn!(id = %self.holding.claimed.id, %error, "not sent: not sure of the claim");
        }
        // A claim that took long to renew may be over again.
        let may = self.holding.is_sure() && !self.holding.is_given_up();
        self.is_taken.fetch_or(may, Ordering::Relaxed);
        may
    }

    /// Ready when the attempt is to be dropped.
    pub(super) async fn refused(&self) {
        let mut given_up = self.holding.given_up.subscribe();
        // It cannot fail: the sender is in our own hands.
        let _ = given_up.wait_for(|given_up| *given_up).await;
        if !self.is_refused() {
            std::future::pending().await
        }
    }

    /// Whether the attempt is to be dropped: nobody has the message by it, nor will have it.
    pub(super) fn is_refused(&self) -> bool {
        self.holding.is_given_up() && !self.is_taken.load(Ordering::Relaxed)
    }
}
