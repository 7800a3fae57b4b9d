//! What the sender of a message is told that was done with when it was taken, without having waited
//! in the queue.

use std::sync::Arc;

use mail_queue::dsn::Report;
use mail_queue::{Action, Entry, Envelope, Notice, QueueId, Recipient, Ret, Terms};
use store::Commit;

use super::QueueError;
use super::enqueue::{add_entry, draw_id};
use super::notice::{Written, header_of, store_notice};
use crate::error::ServiceError;
use crate::limits::RETURNED_HEADER_BYTES_MAX;
use crate::service::{Service, blocking};

/// A message that was taken, and what became of it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What MAIL said, and who vouches for the sender.
    pub terms: Terms,
    /// Each recipient with what became of him, if anything has.
    pub recipients: Vec<(Recipient, Option<Action>)>,
    /// The beginning of the message, or all of it: its header is returned.
    pub text: Vec<u8>,
    /// What the message is called in the log and in its Received field.
    pub log_id: String,
}

impl Service {
    /// Queues a notice of success, one for all recipients who wanted it: durable when it returns.
    /// `None` if none of them did, or nobody may be told. Never to be called again for the same
    /// delivery, also if it failed: after `WriteRefused` the notice may be there.
    ///
    /// # Errors
    /// `Envelope`, errors of the store.
    pub async fn send_receipt(&self, receipt: Receipt) -> Result<Option<QueueId>, QueueError> {
        let Receipt { terms, recipients, mut text, log_id } = receipt;
        let (recipients, done): (Vec<_>, Vec<_>) = recipients.into_iter().unzip();
        let envelope = Envelope { terms, recipients, hold_until: None };
        envelope.check().map_err(QueueError::Envelope)?;
        let Envelope { terms, recipients, .. } = envelope;
        let now = self.shared.world.clock.now_secs();
        let entry = Entry::new(terms, recipients, text.len() as u64, now, None);
        let Some(notice) = Notice::at_once(&entry, &done) else { return Ok(None) };
        let longest = usize::try_from(RETURNED_HEADER_BYTES_MAX).unwrap_or(usize::MAX);
        text.truncate(longest);
        let shared = Arc::clone(&self.shared);
        let queued = blocking(move || {
            let own = draw_id(&shared.world, now)?;
            let (hostname, header) = (shared.config.queue.hostname.as_str(), header_of(text));
            let (log_id, original) = (log_id.as_str(), Some(header.as_slice()));
            let (entry, notice) = (&entry, &notice);
            let report = Report { hostname, log_id, own, now, entry, notice, original };
            let store = &*shared.store;
            let Some(Written { lease, entry }) = store_notice(store, &report, Ret::Headers)? else {
                return Ok(None);
            };
            let commit = add_entry(Commit::new(), own, lease.id(), &entry).naming(lease);
            store.commit_wait(commit).map_err(ServiceError::from)?;
            Ok(Some(own))
        });
        Ok(queued.await?)
    }
}
