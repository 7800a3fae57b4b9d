//! The story of a message that is coming, while it comes.

use std::sync::Arc;

use super::event::{Arrival, CHECKS_MAX, LISTED_MAX, What, bare};
use super::line::Line;
use crate::delivery::Placed;
use crate::service::{Service, Shared};

/// What is to be told of one message on its way in. It is told when this is dropped, however the
/// transaction ended; until then nothing is.
pub struct Story {
    shared: Arc<Shared>,
    arrival: Arrival,
}

impl Service {
    /// Begins the story of a message whose text is about to come.
    #[must_use]
    pub fn begin_story(&self, arrival: Arrival) -> Story {
        let mut arrival = arrival;
        arrival.recipients.truncate(LISTED_MAX);
        Story { shared: Arc::clone(&self.shared), arrival }
    }
}

impl Story {
    /// Looks for the Message-ID.
    pub fn header(&mut self, header: &[u8]) {
        let value = mime::header::value(header, "Message-ID");
        let id = value.map(|value| Line::of_bytes(&value));
        self.arrival.message_id = id.map(|id| Line::new(bare(id.as_str())));
    }

    /// Something was found out: `spf` is `pass`.
    pub fn check(&mut self, name: &str, value: &str) {
        if self.arrival.checks.len() < CHECKS_MAX {
            self.arrival.checks.push((Line::new(name), Line::new(value)));
        }
    }

    /// It has so many octets more.
    pub fn grew(&mut self, octets: usize) {
        self.arrival.size = self.arrival.size.saturating_add(octets as u64);
    }

    /// It was delivered.
    pub fn placed(&mut self, placed: &Placed) {
        if self.arrival.places.len() < LISTED_MAX {
            self.arrival.places.push(placed.placement());
        }
    }

    /// The queue has taken it.
    pub fn queued(&mut self, ids: &[mail_queue::QueueId]) {
        let room = LISTED_MAX.saturating_sub(self.arrival.queued.len());
        self.arrival.queued.extend(ids.iter().take(room));
    }

    /// Its sender is sent this notice.
    pub fn noticed(&mut self, notice: mail_queue::QueueId) {
        self.arrival.notice = Some(notice);
    }

    /// The client was answered: for all recipients, or for the next of them.
    pub fn answered(&mut self, reply: &str) {
        if self.arrival.replies.len() < LISTED_MAX {
            self.arrival.replies.push(Line::new(reply));
        }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let arrival = std::mem::take(&mut self.arrival);
        let is_taken = !arrival.places.is_empty() || !arrival.queued.is_empty();
        // Nobody could find what was refused before its name was known.
        if is_taken || arrival.message_id.is_some() {
            let now = self.shared.world.clock.now_secs();
            self.shared.journal.tell(now, &What::Arrived(Box::new(arrival)));
        }
    }
}
