//! The engine: opening, closing, and the contract in terms of the other files.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::limits::{check_commit, check_scope};
use store::{
    BlobId, BlobInfo, BlobKey, BlobReader, BlobWriter, Commit, CommitNo, Deletion, Done, Heap,
    HeapKey, Store, StoreError, View, Watch, Watchers,
};
use tokio::runtime::Runtime;

use crate::chunks::Chunks;
use crate::connect::{Connector, unsupported};
use crate::hints::{self, Ears, Outbox};
use crate::pending::Pending;
use crate::queue::Queue;
use crate::shared::{Db, Shared, call};
use crate::{Settings, blobs, schema, sweep, view, writer};

/// A store in PostgreSQL, or in a database that speaks its dialect and protocol.
pub struct Postgres {
    shared: Arc<Shared>,
    /// Taken when the engine is dropped.
    runtime: Mutex<Option<Runtime>>,
}

impl Postgres {
    /// Opens the store of a database, with its tables made or migrated.
    ///
    /// # Errors
    /// `Unsupported`: the settings are wrong, or the database was used by a newer version;
    /// `Unavailable`: it cannot be reached.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(|error| StoreError::unavailable(&error))?;
        let opened = start(&runtime, settings);
        match opened {
            Ok(shared) => Ok(Self { shared, runtime: Mutex::new(Some(runtime)) }),
            Err(error) => {
                // It must not be dropped on a thread of another runtime.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Views that may be open at one time.
    #[must_use]
    pub fn views_max(&self) -> usize {
        self.shared.settings.views_max()
    }

    /// Ends all work at once, as a kill of the process would.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        if let Some(runtime) = self.lock_runtime() {
            runtime.shutdown_background();
        }
    }

    fn lock_runtime(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn start(runtime: &Runtime, settings: Settings) -> Result<Arc<Shared>, StoreError> {
    let connector = Connector::new(&settings)?;
    let helpers = connector.pool(settings.helpers(), settings.patience)?;
    let views = connector.pool(settings.views_max(), settings.patience)?;
    let db = Db { runtime: runtime.handle().clone(), helpers };
    let own = db.clone();
    db.wait(async move { schema::migrate(&own.helper().await?).await })?;
    let heap: Arc<dyn Heap> = match &settings.heap {
        Some(heap) => Arc::clone(heap),
        None => Arc::new(Chunks::new(db.clone())),
    };
    let mut node = [0; 8];
    getrandom::fill(&mut node).map_err(unsupported)?;
    let shared = Arc::new(Shared {
        pending: Pending::new(discard(&db, &heap)),
        connector,
        db,
        views,
        queue: Queue::default(),
        watchers: Watchers::default(),
        hints: Outbox::new(node),
        heap,
        is_closed: AtomicBool::new(false),
        settings,
    });
    for _ in 0..shared.settings.writers() {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(unsupported)?;
        runtime.spawn(writer::run(Arc::clone(&shared), u64::from_le_bytes(seed)));
    }
    runtime.spawn(hints::send(Arc::clone(&shared)));
    let (ready, is_ready) = sync_channel(1);
    let node = shared.hints.node().to_owned();
    let (connector, ears) =
        (shared.connector.clone(), Ears { watchers: shared.watchers.clone(), node });
    runtime.spawn(hints::hear(connector, ears, shared.settings.hinting, ready));
    // Hints may be lost, so a database that cannot send them is no reason not to start.
    let _ = is_ready.recv_timeout(shared.settings.patience);
    Ok(shared)
}

/// Deletes objects that no row names and none will.
fn discard(db: &Db, heap: &Arc<dyn Heap>) -> Arc<dyn Fn(HeapKey) + Send + Sync> {
    let (runtime, heap) = (db.runtime.clone(), Arc::clone(heap));
    Arc::new(move |key| {
        let heap = Arc::clone(&heap);
        runtime.spawn_blocking(move || {
            // What stays is found by the clean-up.
            if let Err(error) = heap.delete(&key) {
                tracing::debug!(%error, key = key.as_str(), "an object was not deleted");
            }
        });
    })
}

impl Store for Postgres {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        self.shared.check_open()?;
        Ok(Box::new(view::open(&self.shared)?))
    }

    fn commit(&self, commit: Commit, done: Done) {
        if let Err(error) = check_commit(&commit) {
            return call(done, Err(error));
        }
        if let Err((done, error)) = self.shared.queue.push(commit, done) {
            call(done, Err(error));
        }
    }

    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        self.shared.watchers.add(prefix, wake)
    }

    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError> {
        check_scope(scope)?;
        self.shared.check_open()?;
        Ok(Box::new(blobs::Writer::new(Arc::clone(&self.shared), scope)))
    }

    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError> {
        self.shared.check_open()?;
        blobs::open(&self.shared, &BlobKey::new(scope, *id))
    }

    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError> {
        self.shared.check_open()?;
        sweep::delete(&self.shared, scope, blobs)
    }

    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.check_open()?;
        sweep::list(&self.shared, after, visit)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.shared.check_open()?;
        sweep::reclaim(&self.shared)
    }

    fn close(&self) -> Result<(), StoreError> {
        let drained = self.shared.queue.close(CLOSE_PATIENCE);
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.hints.close();
        self.shared.views.close();
        drained
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(runtime) = self.lock_runtime() else { return };
        // Nobody is left to tell; whatever was acknowledged is durable.
        let _ = self.close();
        for done in self.shared.queue.abandon() {
            call(done, Err(StoreError::Closed));
        }
        self.shared.db.helpers.close();
        // It must not be dropped on a thread of another runtime.
        runtime.shutdown_background();
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("settings", &self.shared.settings).finish()
    }
}

/// Threads that drive connections; they never wait for a disk of this machine.
const RUNTIME_THREADS: usize = 2;

/// How long a closing store waits for commits that wait for the database: longer than they are
/// looked for after a lost connection.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);
