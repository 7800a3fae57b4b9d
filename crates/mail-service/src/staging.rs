//! A message on its way in: parsed and stored while it arrives, named by nobody yet.
//!
//! Bytes are kept exactly as they come. The parser keeps header blocks only and the blob writer a
//! bounded buffer, so a message of any size costs a bounded amount of memory. One message for
//! several accounts is parsed once and stored in the scope of each.

use std::sync::Arc;

use mail_types::{AccountId, ThreadId};
use mime::Parser;
use store::{BlobId, BlobLease, BlobWriter, Store, StoreError};

use crate::codec::message::{Parsed, StoredMessage, encode_parsed};
use crate::error::ServiceError;
use crate::keys::AccountKeys;
use crate::limits::{MESSAGE_ROW_BYTES_MAX, STAGING_BUFFER_BYTES};
use crate::service::{Shared, blocking};
use crate::thread::ThreadIds;

/// Takes the bytes of one message. Dropping it forgets them.
pub struct Staging {
    shared: Arc<Shared>,
    accounts: Vec<AccountId>,
    buffer: Vec<u8>,
    size: u64,
    /// `None` after an error: then nothing more is taken.
    work: Option<Work>,
}

/// A message that is stored and may be named: by [`crate::AccountHandle::append`] or
/// [`crate::Service::deliver`]. Its bytes are kept for as long as this is.
#[derive(Clone)]
pub struct Staged {
    rows: Vec<(AccountId, Arc<StagedRow>)>,
    message: Arc<mime::Message>,
}

/// What is known of a staged message in one account.
pub(crate) struct StagedRow {
    blob: BlobId,
    parsed: Parsed,
    pub(crate) leases: Vec<BlobLease>,
    pub(crate) threads: ThreadIds,
    /// The conversation that the store knew when the message had arrived.
    pub(crate) found_thread: Option<ThreadId>,
}

struct Work {
    parser: Parser,
    /// One for each account, started with the first bytes.
    writers: Vec<Box<dyn BlobWriter>>,
}

impl Staging {
    pub(crate) fn new(shared: &Arc<Shared>, accounts: Vec<AccountId>) -> Self {
        let work = Work { parser: Parser::new(mime::Limits::default()), writers: Vec::new() };
        Self { shared: Arc::clone(shared), accounts, buffer: Vec::new(), size: 0, work: Some(work) }
    }

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
        let bytes_max = self.shared.config.message_bytes_max.min(u64::from(u32::MAX));
        self.size += bytes.len() as u64;
        if self.size > bytes_max {
            self.work = None;
            return Err(ServiceError::MessageTooLarge { bytes_max });
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < STAGING_BUFFER_BYTES {
            return Ok(());
        }
        let (mut work, mut buffer) = self.take()?;
        let (work, buffer) = blocking(move || {
            work.feed(&buffer)?;
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
    /// As [`Staging::push`].
    pub async fn finish(mut self) -> Result<Staged, ServiceError> {
        let (mut work, buffer) = self.take()?;
        blocking(move || {
            work.feed(&buffer)?;
            drop(buffer);
            work.finish(&*self.shared.store, self.accounts)
        })
        .await
    }

    fn take(&mut self) -> Result<(Work, Vec<u8>), ServiceError> {
        let bytes_max = self.shared.config.message_bytes_max;
        let mut work = self.work.take().ok_or(ServiceError::MessageTooLarge { bytes_max })?;
        work.start(&*self.shared.store, &self.accounts)?;
        Ok((work, std::mem::take(&mut self.buffer)))
    }
}

impl Staged {
    /// The parsed message.
    #[must_use]
    pub fn message(&self) -> &Arc<mime::Message> {
        &self.message
    }

    /// RFC822.SIZE.
    #[must_use]
    pub fn size(&self) -> u32 {
        // Bounded when it was staged.
        u32::try_from(self.message.size).unwrap_or(u32::MAX)
    }

    /// What is known of it in this account; `None` if it was not staged for it.
    pub(crate) fn row(&self, account: AccountId) -> Option<&Arc<StagedRow>> {
        self.rows.iter().find(|(id, _)| *id == account).map(|(_, row)| row)
    }
}

impl StagedRow {
    /// Its octets.
    pub(crate) fn blob(&self) -> BlobId {
        self.blob
    }

    /// Bytes that it will take of a commit, more or less.
    pub(crate) fn row_bytes(&self) -> usize {
        match &self.parsed {
            Parsed::Inline(encoded) => encoded.len(),
            Parsed::Blob(_) => 0,
        }
    }

    /// The row of the message, now that its conversation is known.
    pub(crate) fn row(&self, thread: ThreadId) -> StoredMessage {
        StoredMessage { blob: self.blob, thread, parsed: self.parsed.clone() }
    }
}

impl Work {
    fn start(&mut self, store: &dyn Store, accounts: &[AccountId]) -> Result<(), StoreError> {
        for account in accounts.iter().skip(self.writers.len()) {
            self.writers.push(store.blob_writer(AccountKeys::new(*account).prefix())?);
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.parser.push(bytes);
        self.writers.iter_mut().try_for_each(|writer| writer.write(bytes))
    }

    fn finish(self, store: &dyn Store, accounts: Vec<AccountId>) -> Result<Staged, ServiceError> {
        let message = Arc::new(self.parser.finish());
        let threads = ThreadIds::new(&message.header);
        let encoded = encode_parsed(&message);
        let mut rows = Vec::with_capacity(accounts.len());
        for (account, writer) in accounts.into_iter().zip(self.writers) {
            let keys = AccountKeys::new(account);
            let lease = writer.finish()?;
            let blob = lease.id();
            let mut leases = vec![lease];
            let parsed = if encoded.len() <= MESSAGE_ROW_BYTES_MAX {
                Parsed::Inline(encoded.clone())
            } else {
                let lease = store.put_blob(keys.prefix(), &encoded)?;
                let id = lease.id();
                leases.push(lease);
                Parsed::Blob(id)
            };
            let found_thread = threads.look_up(&*store.view()?, &keys)?;
            let threads = threads.clone();
            let row = StagedRow { blob, parsed, leases, threads, found_thread };
            rows.push((account, Arc::new(row)));
        }
        Ok(Staged { rows, message })
    }
}
