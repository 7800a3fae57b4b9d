//! Message rows: what a session needs to know of a message besides its entry in the mailbox.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail_types::{AccountId, MessageId, ThreadId};
use store::{BlobId, Store, StoreError};

use crate::codec::message::{Parsed, StoredMessage, decode_parsed};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::service::Shared;

/// A message's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Envelope, part tree, preview.
    pub message: Arc<mime::Message>,
    /// Its conversation: THREADID. RFC 8474 §5.2
    pub thread: ThreadId,
    /// Its bytes in the account's scope.
    pub blob: BlobId,
}

type Generation = HashMap<(AccountId, MessageId), Arc<MessageRow>>;

/// Rows that were read lately: who fetches a body has mostly just fetched the row.
#[derive(Default)]
pub(crate) struct RowCache {
    generations: Mutex<[Generation; 2]>,
}

impl RowCache {
    fn get(&self, account: AccountId, message: MessageId) -> Option<Arc<MessageRow>> {
        let generations = self.lock();
        generations.iter().find_map(|rows| rows.get(&(account, message))).cloned()
    }

    fn insert(&self, account: AccountId, message: MessageId, row: &Arc<MessageRow>) {
        let mut generations = self.lock();
        let [young, old] = &mut *generations;
        if young.len() >= GENERATION_MAX {
            *old = std::mem::take(young);
        }
        young.insert((account, message), Arc::clone(row));
    }

    /// Forgets an account.
    pub(crate) fn forget(&self, account: AccountId) {
        for rows in self.lock().iter_mut() {
            rows.retain(|key, _| key.0 != account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Generation; 2]> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of one generation of the cache, of two: at some 4 KiB a row, 8 MiB.
const GENERATION_MAX: usize = 1024;
/// Longer rows, as stored, are not cached: in memory they are a few times as long.
const CACHED_ROW_BYTES_MAX: usize = 8 * 1024;

impl Shared {
    /// The rows of these messages in the order asked; `None` for one that does not exist. Waits for
    /// the disk.
    pub(crate) fn rows_of(
        &self,
        account: AccountId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<Arc<MessageRow>>>, ServiceError> {
        let keys = AccountKeys::new(account);
        let mut rows: Vec<_> = messages.iter().map(|id| self.rows.get(account, *id)).collect();
        let missing: Vec<(usize, MessageId, Vec<u8>)> = (0..)
            .zip(messages)
            .zip(&rows)
            .filter(|(_, row)| row.is_none())
            .map(|((at, id), _)| (at, *id, keys.key(&AccountKey::Message(*id))))
            .collect();
        if missing.is_empty() {
            return Ok(rows);
        }
        let view = self.store.view()?;
        let wanted: Vec<&[u8]> = missing.iter().map(|(_, _, key)| key.as_slice()).collect();
        for ((at, id, key), value) in missing.iter().zip(view.get_many(&wanted)?) {
            let Some(value) = value else { continue };
            let stored = StoredMessage::decode(key, &value)?;
            let is_small = value.len() <= CACHED_ROW_BYTES_MAX;
            let row = Arc::new(read_row(&*self.store, &keys, key, stored)?);
            if is_small {
                self.rows.insert(account, *id, &row);
            }
            if let Some(slot) = rows.get_mut(*at) {
                *slot = Some(row);
            }
        }
        Ok(rows)
    }

    /// Part of a message's bytes; `None` if there is no such message. What lies beyond its end is
    /// left out. Waits for the disk.
    pub(crate) fn bytes_of(
        &self,
        account: AccountId,
        message: MessageId,
        range: Range<u64>,
    ) -> Result<Option<Vec<u8>>, ServiceError> {
        let row = self.rows_of(account, &[message])?.pop().flatten();
        let Some(row) = row else { return Ok(None) };
        let keys = AccountKeys::new(account);
        match self.store.read_blob(keys.prefix(), &row.blob, range) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::BlobMissing { .. }) if !self.still_exists(account, message)? => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A row in the cache may belong to a message that was swept since.
    fn still_exists(&self, account: AccountId, message: MessageId) -> Result<bool, ServiceError> {
        let key = AccountKeys::new(account).key(&AccountKey::Message(message));
        Ok(self.store.view()?.get(&key)?.is_some())
    }
}

/// A row with its parsed message, wherever that is.
pub(crate) fn read_row(
    store: &dyn Store,
    keys: &AccountKeys,
    key: &[u8],
    stored: StoredMessage,
) -> Result<MessageRow, ServiceError> {
    let (blob, thread) = (stored.blob, stored.thread);
    let encoded = match stored.parsed {
        Parsed::Inline(bytes) => bytes,
        Parsed::Blob(id) => store.read_blob(keys.prefix(), &id, 0..u64::MAX)?,
    };
    Ok(MessageRow { message: Arc::new(decode_parsed(key, &encoded)?), thread, blob })
}
