//! A message on its way into the queue: stored while it arrives, named by nobody yet.

use std::sync::Arc;

use store::BlobLease;

use crate::error::ServiceError;
use crate::handle::MessageReader;
use crate::keys::QUEUE_SCOPE;
use crate::service::{Service, blocking};
use crate::spool::Spool;

/// Takes the bytes of one message exactly as they come. Dropping it forgets them.
pub struct OutgoingStaging {
    spool: Spool,
}

/// A message that is stored and may be queued by [`Service::enqueue`]. Its bytes are kept for as
/// long as this is.
#[derive(Clone)]
pub struct StagedOutgoing {
    pub(super) lease: BlobLease,
}

impl StagedOutgoing {
    /// Bytes of the message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.lease.size()
    }
}

impl Service {
    /// Opens a message that was staged and is not queued yet, to be read again.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn open_staged(
        &self,
        staged: &StagedOutgoing,
    ) -> Result<MessageReader, ServiceError> {
        let (store, blob) = (Arc::clone(&self.shared.store), staged.lease.id());
        blocking(move || Ok(MessageReader::of_blob(store.open_blob(QUEUE_SCOPE, &blob)?))).await
    }

    /// Begins to take a message for the queue.
    #[must_use]
    pub fn stage_outgoing(&self) -> OutgoingStaging {
        let bytes_max = self.shared.config.message_bytes_max;
        let scopes = vec![QUEUE_SCOPE.to_vec()];
        OutgoingStaging { spool: Spool::new(&self.shared, bytes_max, scopes, None) }
    }
}

impl OutgoingStaging {
    /// Bytes taken so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.spool.size()
    }

    /// Takes the next bytes; waits for the disk when enough have come together.
    ///
    /// # Errors
    /// `MessageTooLarge`, `StorageFull`, `WriteRefused`; after an error nothing more is taken.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), ServiceError> {
        self.spool.push(bytes).await
    }

    /// Ends the message. It is durable with the commit that names it.
    ///
    /// # Errors
    /// As [`OutgoingStaging::push`].
    pub async fn finish(self) -> Result<StagedOutgoing, ServiceError> {
        let finished = self.spool.finish(|_, spooled| {
            // It was given one scope.
            let lease = spooled.leases.into_iter().next().ok_or(ServiceError::Closed)?;
            Ok(StagedOutgoing { lease })
        });
        finished.await
    }
}
