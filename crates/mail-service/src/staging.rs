//! A message on its way in: parsed and stored while it arrives, named by nobody yet.
//!
//! The parser keeps header blocks only and the blob writer a bounded buffer, so a message of any
//! size costs a bounded amount of memory. One message for several accounts is parsed once and
//! stored in the scope of each.

use std::sync::Arc;

use mail_types::{AccountId, ThreadId};
use mime::Parser;
use store::{BlobId, BlobLease, Store};

use crate::codec::message::{Parsed, StoredMessage, encode_parsed};
use crate::error::ServiceError;
use crate::keys::AccountKeys;
use crate::limits::MESSAGE_ROW_BYTES_MAX;
use crate::service::Shared;
use crate::spool::{Spool, Spooled};
use crate::thread::ThreadIds;

/// Takes the bytes of one message. Dropping it forgets them.
pub struct Staging {
    spool: Spool,
    accounts: Vec<AccountId>,
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

impl Staging {
    pub(crate) fn new(shared: &Arc<Shared>, accounts: Vec<AccountId>) -> Self {
        let scopes = accounts.iter().map(|id| AccountKeys::new(*id).prefix().to_vec()).collect();
        // RFC822.SIZE is a number of 32 bits.
        let bytes_max = shared.config.message_bytes_max.min(u64::from(u32::MAX));
        let parser = Parser::new(mime::Limits::default());
        Self { spool: Spool::new(shared, bytes_max, scopes, Some(parser)), accounts }
    }

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
    /// As [`Staging::push`].
    pub async fn finish(self) -> Result<Staged, ServiceError> {
        let Self { spool, accounts } = self;
        spool.finish(|store, spooled| Staged::new(store, accounts, spooled)).await
    }
}

impl Staged {
    fn new(
        store: &dyn Store,
        accounts: Vec<AccountId>,
        Spooled { leases, parser }: Spooled,
    ) -> Result<Self, ServiceError> {
        // It was given one.
        let message = Arc::new(parser.ok_or(ServiceError::Closed)?.finish());
        let threads = ThreadIds::new(&message.header);
        let encoded = encode_parsed(&message);
        let mut rows = Vec::with_capacity(accounts.len());
        for (account, lease) in accounts.into_iter().zip(leases) {
            let keys = AccountKeys::new(account);
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
        Ok(Self { rows, message })
    }

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
