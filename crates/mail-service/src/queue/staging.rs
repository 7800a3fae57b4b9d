//! A message on its way into the queue: stored while it arrives, named by nobody yet.

use std::sync::Arc;

use store::{BlobLease, BlobWriter};

use crate::error::ServiceError;
use crate::handle::MessageReader;
use crate::keys::QUEUE_SCOPE;
use crate::limits::STAGING_BUFFER_BYTES;
use crate::service::{Service, Shared, blocking};

/// Takes the bytes of one message exactly as they come. Dropping it forgets them.
pub struct OutgoingStaging {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    size: u64,
    /// `None` after an error: then nothing more is taken.
    work: Option<Work>,
}

/// Begins with the first bytes that are written.
#[derive(Default)]
struct Work {
    writer: Option<Box<dyn BlobWriter>>,
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
        let (shared, work) = (Arc::clone(&self.shared), Some(Work::default()));
        OutgoingStaging { shared, buffer: Vec::new(), size: 0, work }
    }
}

impl OutgoingStaging {
    /// Bytes taken so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits for the disk when enough have come together.
    ///
    /// # Errors
    /// `MessageTooLarge`, `StorageFull`, `WriteRefused`; after an error nothing more is taken.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), ServiceError> {
        let bytes_max = self.shared.config.message_bytes_max;
        self.size += bytes.len() as u64;
        if self.size > bytes_max {
            self.work = None;
            return Err(ServiceError::MessageTooLarge { bytes_max });
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < STAGING_BUFFER_BYTES {
            return Ok(());
        }
        let (mut work, mut buffer) = (self.take()?, std::mem::take(&mut self.buffer));
        let shared = Arc::clone(&self.shared);
        let (work, buffer) = blocking(move || {
            work.feed(&shared, &buffer)?;
            buffer.clear();
            Ok((work, buffer))
        })
        .await?;
        (self.work, self.buffer) = (Some(work), buffer);
        Ok(())
    }

    /// Ends the message. It is durable with the commit that names it.
    ///
    /// # Errors
    /// As [`OutgoingStaging::push`].
    pub async fn finish(mut self) -> Result<StagedOutgoing, ServiceError> {
        let mut work = self.take()?;
        blocking(move || {
            work.feed(&self.shared, &self.buffer)?;
            // `feed` has begun it.
            let writer = work.writer.ok_or(ServiceError::Closed)?;
            Ok(StagedOutgoing { lease: writer.finish()? })
        })
        .await
    }

    fn take(&mut self) -> Result<Work, ServiceError> {
        let bytes_max = self.shared.config.message_bytes_max;
        self.work.take().ok_or(ServiceError::MessageTooLarge { bytes_max })
    }
}

impl Work {
    fn feed(&mut self, shared: &Shared, bytes: &[u8]) -> Result<(), ServiceError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(shared.store.blob_writer(QUEUE_SCOPE)?),
        };
        Ok(writer.write(bytes)?)
    }
}
