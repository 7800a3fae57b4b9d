//! Bytes of a message on their way to the disk, named by nobody yet.
//!
//! They are kept exactly as they come. They gather until a visit to another thread pays, and there
//! they are written into each scope that is to have them, and parsed if somebody wants that.

use std::sync::Arc;

use mime::Parser;
use store::{BlobLease, BlobWriter, Store, StoreError};

use crate::error::ServiceError;
use crate::limits::STAGING_BUFFER_BYTES;
use crate::service::{Shared, blocking};

/// Takes the bytes of one message. Dropping it forgets them.
pub(crate) struct Spool {
    shared: Arc<Shared>,
    bytes_max: u64,
    buffer: Vec<u8>,
    size: u64,
    /// `None` after an error: then nothing more is taken. Boxed: a parser is large.
    work: Option<Box<Work>>,
}

/// A message that has come to its end.
pub(crate) struct Spooled {
    /// It in each scope, in their order.
    pub(crate) leases: Vec<BlobLease>,
    /// Has seen all of it.
    pub(crate) parser: Option<Parser>,
}

struct Work {
    scopes: Vec<Vec<u8>>,
    /// One for each scope, started with the first bytes.
    writers: Vec<Box<dyn BlobWriter>>,
    parser: Option<Parser>,
}

impl Spool {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        bytes_max: u64,
        scopes: Vec<Vec<u8>>,
        parser: Option<Parser>,
    ) -> Self {
        let work = Some(Box::new(Work { scopes, writers: Vec::new(), parser }));
        Self { shared: Arc::clone(shared), bytes_max, buffer: Vec::new(), size: 0, work }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits for the disk when enough have come together.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> Result<(), ServiceError> {
        self.size += bytes.len() as u64;
        if self.size > self.bytes_max {
            self.work = None;
            return Err(self.too_large());
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < STAGING_BUFFER_BYTES {
            return Ok(());
        }
        let (mut work, mut buffer) = self.take()?;
        let shared = Arc::clone(&self.shared);
        let (work, buffer) = blocking(move || {
            work.feed(&*shared.store, &buffer)?;
            buffer.clear();
            Ok((work, buffer))
        })
        .await?;
        (self.work, self.buffer) = (Some(work), buffer);
        Ok(())
    }

    /// Ends the message, and goes on with it on the same visit to another thread.
    pub(crate) async fn finish<T: Send + 'static>(
        mut self,
        go_on: impl FnOnce(&dyn Store, Spooled) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (mut work, buffer) = self.take()?;
        blocking(move || {
            let store = &*self.shared.store;
            work.feed(store, &buffer)?;
            drop(buffer);
            let Work { writers, parser, .. } = *work;
            let leases: Result<_, _> = writers.into_iter().map(BlobWriter::finish).collect();
            go_on(store, Spooled { leases: leases?, parser })
        })
        .await
    }

    fn take(&mut self) -> Result<(Box<Work>, Vec<u8>), ServiceError> {
        let work = self.work.take().ok_or_else(|| self.too_large())?;
        Ok((work, std::mem::take(&mut self.buffer)))
    }

    fn too_large(&self) -> ServiceError {
        ServiceError::MessageTooLarge { bytes_max: self.bytes_max }
    }
}

impl Work {
    fn feed(&mut self, store: &dyn Store, bytes: &[u8]) -> Result<(), StoreError> {
        for scope in self.scopes.iter().skip(self.writers.len()) {
            self.writers.push(store.blob_writer(scope)?);
        }
        if let Some(parser) = &mut self.parser {
            parser.push(bytes);
        }
        self.writers.iter_mut().try_for_each(|writer| writer.write(bytes))
    }
}
