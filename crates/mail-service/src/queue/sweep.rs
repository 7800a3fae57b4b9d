//! Taking out bodies of the queue that no entry names, and comparing its rows with each other.
//!
//! Why nothing in use is deleted: bodies are listed before entries are read. One that a commit
//! names after that is not as it was listed any more, so the store keeps it; a name that came
//! earlier is among the entries. Entries are read whole or nothing is deleted.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use mail_queue::{Due, QueueId};
use store::{BlobId, Commit, Expected, KeyRange, Store, StoreError, Write};

use crate::check::Report;
use crate::codec::queue::{NEVER, StoredEntry};
use crate::error::ServiceError;
use crate::keys::{self, QUEUE_DUE, QUEUE_RELEASE, QUEUE_SCOPE};
use crate::limits::SWEEP_STEP_ROWS;
use crate::loader::strange_key;
use crate::service::{Service, blocking};
use crate::sweep::{delete_listed, list_scope};

impl Service {
    /// Deletes bodies of the queue that no entry names; how many.
    pub(crate) async fn sweep_queue(&self) -> Result<u64, ServiceError> {
        let store = Arc::clone(&self.shared.store);
        let now = self.shared.world.clock.now_secs();
        blocking(move || {
            let mut blobs = list_scope(&*store, QUEUE_SCOPE)?;
            let named = named_blobs(&*store, now)?;
            blobs.retain(|(id, _)| !named.contains(id));
            delete_listed(&*store, QUEUE_SCOPE, &blobs)
        })
        .await
    }
}

/// The bodies that entries name. On the way it deletes the rows that only keep an entry from coming
/// to be, when nothing can be on its way any more.
fn named_blobs(store: &dyn Store, now: i64) -> Result<HashSet<BlobId>, ServiceError> {
    let mut named = HashSet::new();
    let mut range = Some(keys::queue_entries());
    while let Some(part) = range.take() {
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS)?;
        for (key, value) in &page.rows {
            let id = keys::queue_entry_id(key).ok_or_else(|| strange_key(key))?;
            if value != NEVER {
                named.insert(StoredEntry::decode(key, value)?.blob);
            } else if now.saturating_sub(id.made_at()) > NEVER_SECS {
                let commit = Commit::new()
                    .when(key.clone(), Expected::Value(NEVER.to_vec()))
                    .write(Write::delete(key.clone()));
                store.commit_wait(commit)?;
            }
        }
        range = page.rest;
    }
    Ok(named)
}

/// Every entry has its body and is found when it is due; every row that says when leads to one.
pub(crate) fn check_queue(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let view = store.view()?;
    let mut dues: HashMap<QueueId, Due> = HashMap::new();
    let mut bodies: BTreeSet<(BlobId, u64)> = BTreeSet::new();
    view.scan(&keys::queue_entries(), &mut |key, value| {
        match (keys::queue_entry_id(key), StoredEntry::decode(key, value)) {
            (Some(_), _) if value == NEVER => {}
            (Some(id), Ok(stored)) => {
                dues.extend(stored.entry.due().map(|due| (id, due)));
                bodies.insert((stored.blob, stored.entry.size));
                if !stored.entry.is_open() {
                    report.note(None, format_args!("queue {id}: nobody is left to be reached"));
                }
            }
            (None, _) => report.note(None, strange_key(key)),
            (_, Err(error)) => report.note(None, error),
        }
        ControlFlow::Continue(())
    })?;
    for kind in [QUEUE_DUE, QUEUE_RELEASE] {
        view.scan(&KeyRange::prefix(kind), &mut |key, _| {
            let id = keys::queue_due_id(key);
            let is_right = id.is_some_and(|id| {
                let due = dues.get(&id).copied();
                due.is_some_and(|due| keys::queue_due(due, id) == key) && dues.remove(&id).is_some()
            });
            if !is_right {
                report.note(None, format_args!("{} leads to no entry", key.escape_ascii()));
            }
            ControlFlow::Continue(())
        })?;
    }
    for id in dues.keys() {
        report.note(None, format_args!("queue {id}: it will not be found when it is due"));
    }
    for (blob, size) in bodies {
        match store.verify_blob(QUEUE_SCOPE, &blob) {
            Ok(()) if store.blob_size(QUEUE_SCOPE, &blob)? == Some(size) => report.blobs += 1,
            Ok(()) => report.note(None, format_args!("blob {blob} is not as long as its entry")),
            Err(error @ (StoreError::Corrupt { .. } | StoreError::BlobMissing { .. })) => {
                report.note(None, error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How long a commit may be on its way whose outcome was not known: far longer than any engine
/// keeps a transaction.
const NEVER_SECS: i64 = 86_400;
