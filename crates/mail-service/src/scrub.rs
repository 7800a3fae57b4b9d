//! A slow reader of everything, so that damage is found while a backup still has what it took.
//!
//! Works in steps of [`STEP_ROWS`] rows with the bodies that they name; between them the caller
//! waits as long as it likes. Other work goes on: rows that come and go meanwhile are met or not.
//! What a step finds is logged once for each object in the life of the program, and counted.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail_types::AccountId;
use store::{KeyRange, StoreError};
use tracing::error;

use crate::codec::message::StoredMessage;
use crate::codec::queue::decode_delivered;
use crate::codec::rows::{
    HeadRow, decode_access_key, decode_acl, decode_annotations, decode_mailbox, decode_membership,
    decode_subscription,
};
use crate::codec::sent::SentMark;
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::rows::read_row;
use crate::service::{Service, Shared, blocking};
use crate::thread::decode_thread;

/// One pass over everything.
pub struct Scrub {
    shared: Arc<Shared>,
    rest: Option<KeyRange>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubStep {
    /// Bytes of rows and bodies that were read.
    pub bytes: u64,
    /// Whether there is nothing left to read in this pass.
    pub is_last: bool,
}

/// What all scrubs since the start have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Passes that came to their end.
    pub passes: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects that are damaged, each counted once.
    pub damaged: u64,
}

/// The same while it is being counted.
#[derive(Default)]
pub(crate) struct ScrubTally {
    passes: AtomicU64,
    bytes: AtomicU64,
    damaged: std::sync::Mutex<HashSet<String>>,
}

impl Service {
    /// Begins a pass.
    #[must_use]
    pub fn scrub(&self) -> Scrub {
        Scrub { shared: Arc::clone(&self.shared), rest: Some(KeyRange::prefix(b"")) }
    }

    /// What scrubs have seen since the service was opened.
    #[must_use]
    pub fn scrubbed(&self) -> ScrubReport {
        self.shared.scrubs.read()
    }
}

impl Scrub {
    /// Reads the next rows and what they name.
    ///
    /// # Errors
    /// Of the store, except for damage: nothing was skipped, and the step can be tried again.
    pub async fn step(&mut self) -> Result<ScrubStep, ServiceError> {
        let Some(range) = self.rest.clone() else {
            return Ok(ScrubStep { bytes: 0, is_last: true });
        };
        let shared = Arc::clone(&self.shared);
        let (bytes, rest) = blocking(move || shared.scrub_rows(range)).await?;
        let is_last = rest.is_none();
        self.rest = rest;
        let tally = &self.shared.scrubs;
        tally.bytes.fetch_add(bytes, Ordering::Relaxed);
        tally.passes.fetch_add(u64::from(is_last), Ordering::Relaxed);
        Ok(ScrubStep { bytes, is_last })
    }
}

impl Shared {
    /// Verifies the first rows of a range; bytes that were read, and what is left.
    fn scrub_rows(&self, range: KeyRange) -> Result<(u64, Option<KeyRange>), ServiceError> {
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut is_more = false;
        let scanned = self.store.view()?.scan(&range, &mut |key, value| {
            if rows.len() == STEP_ROWS {
                is_more = true;
                return ControlFlow::Break(());
            }
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        let last = rows.last().map_or(range.start.as_slice(), |(key, _)| key);
        let rest = match scanned {
            Ok(()) => is_more.then(|| range.after(last)),
            Err(error @ StoreError::Corrupt { .. }) => {
                self.scrubs.note(account_of(last), &error);
                behind(last)
            }
            Err(error) => return Err(error.into()),
        };
        let mut bytes = 0;
        for (key, value) in &rows {
            bytes += (key.len() + value.len()) as u64;
            match self.scrub_row(key, value) {
                Ok(read) => bytes += read,
                Err(error) if error.is_damage() => {
                    self.scrubs.note(account_of(key), &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((bytes, rest))
    }

    /// Verifies a row; bytes of the bodies that it names.
    fn scrub_row(&self, key: &[u8], value: &[u8]) -> Result<u64, ServiceError> {
        let Some(account) = account_of(key) else { return Ok(0) };
        let keys = AccountKeys::new(account);
        match keys.parse(key) {
            Some(AccountKey::Head) => drop(HeadRow::decode(key, value)?),
            Some(AccountKey::Mailbox(id)) => drop(decode_mailbox(key, value, id)?),
            Some(AccountKey::Membership(_, uid)) => drop(decode_membership(key, value, uid)?),
            Some(AccountKey::Acl(_)) => drop(decode_acl(key, value)?),
            Some(AccountKey::Annotations(..)) => _ = decode_annotations(key, value)?,
            Some(AccountKey::AccessKey(_)) => _ = decode_access_key(key, value)?,
            Some(AccountKey::Subscription(_)) => _ = decode_subscription(key, value)?,
            Some(AccountKey::Delivered(..)) => _ = decode_delivered(key, value)?,
            Some(AccountKey::Sent(_)) => _ = SentMark::decode(key, value)?,
            Some(AccountKey::Thread(_)) => _ = decode_thread(key, value)?,
            Some(AccountKey::Message(id)) => {
                let stored = StoredMessage::decode(key, value)?;
                let mut bytes = 0;
                for blob in stored.blobs() {
                    match self.store.verify_blob(keys.prefix(), &blob) {
                        Ok(()) => {}
                        // Swept since its row was read.
                        Err(StoreError::BlobMissing { .. }) if !self.is_there(key)? => {
                            return Ok(0);
                        }
                        Err(error) => {
                            self.scrubs.note(Some(account), &format_args!("message {id}: {error}"));
                            return if ServiceError::Store(error.clone()).is_damage() {
                                Ok(bytes)
                            } else {
                                Err(error.into())
                            };
                        }
                    }
                    bytes += self.store.blob_size(keys.prefix(), &blob)?.unwrap_or(0);
                }
                read_row(&*self.store, &keys, key, stored)?;
                return Ok(bytes);
            }
            _ => {}
        }
        Ok(0)
    }

    fn is_there(&self, key: &[u8]) -> Result<bool, ServiceError> {
        Ok(self.store.view()?.get(key)?.is_some())
    }
}

impl ScrubTally {
    /// Logs what is damaged, the first time.
    fn note(&self, account: Option<AccountId>, what: &dyn fmt::Display) {
        let what = what.to_string();
        let shown = account.map_or_else(|| what.clone(), |account| format!("{account}: {what}"));
        let mut damaged = self.damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if damaged.len() < DAMAGED_MAX && damaged.insert(shown.clone()) {
            error!(what = shown, "stored mail is damaged");
        }
    }

    fn read(&self) -> ScrubReport {
        let damaged = self.damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ScrubReport {
            passes: self.passes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            damaged: damaged.len() as u64,
        }
    }
}

/// Whose row it is.
fn account_of(key: &[u8]) -> Option<AccountId> {
    let number = key.strip_prefix(b"a")?.first_chunk::<8>()?;
    Some(AccountId(u64::from_be_bytes(*number)))
}

/// What comes after the account of a row: those behind one that cannot be read cannot be reached by
/// a scan.
fn behind(last: &[u8]) -> Option<KeyRange> {
    let next = match account_of(last) {
        Some(account) => account.get().checked_add(1)?,
        None if last < b"a".as_slice() => 0,
        None => return None,
    };
    let start = AccountKeys::new(AccountId(next)).prefix().to_vec();
    Some(KeyRange { start, ..KeyRange::prefix(b"") })
}

/// Rows of a step: with bodies of usual size some megabytes.
const STEP_ROWS: usize = 64;

/// Damaged objects that are remembered; who has more needs no list.
const DAMAGED_MAX: usize = 1000;
