//! Taking mail into the queue.

use std::sync::Arc;

use mail_queue::{ENTRY_RECIPIENTS_MAX, Entry, Envelope, QueueId};
use store::{BlobId, BlobLease, Commit, Expected, Store, StoreError, Write};

use super::{QueueError, StagedOutgoing};
use crate::clock::World;
use crate::codec::queue::{NEVER, StoredEntry};
use crate::error::ServiceError;
use crate::keys;
use crate::limits::ATTEMPTS_MAX;
use crate::service::{Service, blocking};

impl Service {
    /// Queues a message for all recipients or for none; durable when it returns. One with more than
    /// [`ENTRY_RECIPIENTS_MAX`] recipients becomes several entries, of which the first stands for
    /// all towards the client.
    ///
    /// # Errors
    /// `Envelope`; `Service`: nothing was queued, except that after `WriteRefused` it is not known.
    pub async fn enqueue(
        &self,
        staged: &StagedOutgoing,
        envelope: Envelope,
    ) -> Result<Vec<QueueId>, QueueError> {
        envelope.check().map_err(QueueError::Envelope)?;
        let now = self.shared.world.clock.now_secs();
        let Envelope { terms, recipients, hold_until } = envelope;
        let mut entries = Vec::new();
        let mut rest = recipients.into_iter().peekable();
        while rest.peek().is_some() {
            let part = rest.by_ref().take(ENTRY_RECIPIENTS_MAX).collect();
            entries.push(Entry::new(terms.clone(), part, staged.size(), now, hold_until));
        }
        let (store, world) = (Arc::clone(&self.shared.store), self.shared.world.clone());
        let lease = staged.lease.clone();
        Ok(blocking(move || put_entries(&*store, &world, &lease, &entries, now)).await?)
    }
}

/// Stores entries that share a body, by one commit.
fn put_entries(
    store: &dyn Store,
    world: &World,
    lease: &BlobLease,
    entries: &[Entry],
    now: i64,
) -> Result<Vec<QueueId>, ServiceError> {
    for _ in 0..ATTEMPTS_MAX {
        let mut ids = Vec::with_capacity(entries.len());
        let mut commit = Commit::new();
        for entry in entries {
            let id = draw_id(world, now)?;
            commit = add_entry(commit, id, lease.id(), entry);
            ids.push(id);
        }
        match store.commit_wait(commit.naming(lease.clone())) {
            Ok(_) => return Ok(ids),
            // Another entry has the id.
            Err(StoreError::Conflict { .. }) => {}
            Err(StoreError::OutcomeUnknown { .. }) => {
                let Some(first) = ids.first() else { return Err(ServiceError::Busy) };
                let happened = settle(store, *first)?;
                return if happened { Ok(ids) } else { Err(ServiceError::Busy) };
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

/// A new id.
pub(super) fn draw_id(world: &World, now: i64) -> Result<QueueId, ServiceError> {
    let mut drawn = [0; 7];
    if !world.random.fill(&mut drawn) {
        return Err(ServiceError::NoRandomness);
    }
    Ok(QueueId::new(now, drawn))
}

/// Adds a new entry to a commit, which fails if there is one of this id.
pub(super) fn add_entry(commit: Commit, id: QueueId, blob: BlobId, entry: &Entry) -> Commit {
    let key = keys::queue_entry(id);
    let value = StoredEntry { blob, entry: entry.clone() }.encode();
    let commit = commit.when(key.clone(), Expected::Absent).write(Write::put(key, value));
    match entry.due() {
        Some(due) => commit.write(Write::put(keys::queue_due(due, id), b"")),
        None => commit,
    }
}

/// Finds out whether a commit happened that would have made this entry, and if not, sees to it that
/// it will not happen later: the client is about to be told that its mail was not taken, and sends
/// it again.
fn settle(store: &dyn Store, id: QueueId) -> Result<bool, ServiceError> {
    let key = keys::queue_entry(id);
    for _ in 0..ATTEMPTS_MAX {
        match store.view()?.get(&key)? {
            Some(value) => return Ok(value != NEVER),
            None => {
                let never = Commit::new()
                    .when(key.clone(), Expected::Absent)
                    .write(Write::put(key.clone(), NEVER));
                match store.commit_wait(never) {
                    Ok(_) => return Ok(false),
                    Err(StoreError::Conflict { .. } | StoreError::OutcomeUnknown { .. }) => {}
                    Err(error) => return Err(unknown(error)),
                }
            }
        }
    }
    Err(ServiceError::WriteRefused)
}

/// What is said when it cannot even be found out.
fn unknown(error: StoreError) -> ServiceError {
    tracing::warn!(%error, "not known whether mail was queued");
    ServiceError::WriteRefused
}
