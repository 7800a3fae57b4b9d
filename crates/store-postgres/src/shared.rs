//! What the parts of an engine share, and the way from a calling thread to the runtime.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use store::{CommitNo, Done, Heap, StoreError, Watchers};
use tokio::runtime::Handle;

use crate::Settings;
use crate::connect::Connector;
use crate::error::{Verdict, no_connection, read_failed, verdict, write_failed};
use crate::hints::Outbox;
use crate::pending::Pending;
use crate::queue::Queue;

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) connector: Connector,
    pub(crate) db: Db,
    pub(crate) views: Pool,
    pub(crate) queue: Queue,
    pub(crate) pending: Pending,
    pub(crate) watchers: Watchers,
    pub(crate) hints: Outbox,
    pub(crate) heap: Arc<dyn Heap>,
    pub(crate) is_closed: AtomicBool,
}

/// Connections for statements that stand alone, and the runtime that drives them.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) runtime: Handle,
    pub(crate) helpers: Pool,
}

impl Shared {
    /// # Errors
    /// `Closed`.
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }
}

impl Db {
    /// A connection for a statement or two.
    pub(crate) async fn helper(&self) -> Result<Object, StoreError> {
        self.helpers.get().await.map_err(|error| no_connection(&error))
    }

    /// Runs something on the runtime while the calling thread waits. Works on any thread, also on
    /// one that drives a runtime of its own, which it holds up then.
    ///
    /// # Errors
    /// `Closed` when the engine has gone, and those of the future.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        self.runtime.spawn(async move {
            let _ = answer.send(future.await);
        });
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Runs a statement that only reads.
    ///
    /// # Errors
    /// `Unavailable`, `ReadFailed`, `Busy`, `Closed`.
    pub(crate) fn read<T, F, Fut>(&self, statement: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Object) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        self.run(statement, read_failed)
    }

    /// Runs a statement that writes, stands alone, and does no harm when it is repeated.
    ///
    /// # Errors
    /// `Unavailable`, `StorageFull`, `Busy`, `Closed`.
    pub(crate) fn write<T, F, Fut>(&self, statement: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Object) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        self.run(statement, write_failed)
    }

    /// Runs a statement again when others got in its way, and once on another connection if the
    /// first one turns out to be lost, as after a restart of the server.
    fn run<T, F, Fut>(
        &self,
        statement: F,
        failed: fn(&tokio_postgres::Error) -> StoreError,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Object) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        let db = self.clone();
        self.wait(async move {
            let (mut attempts, mut losses) = (0, 0);
            loop {
                let error = match statement(db.helper().await?).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                match verdict(&error) {
                    Verdict::Lost(_) if losses < LOSSES_MAX => losses += 1,
                    Verdict::Again(_) if attempts < ATTEMPTS_MAX => {
                        attempts += 1;
                        tokio::time::sleep(PAUSE * attempts).await;
                    }
                    _ => return Err(failed(&error)),
                }
            }
        })
    }
}

/// Calls back; a caller that panics there must not take a writer with it.
pub(crate) fn call(done: Done, answer: Result<CommitNo, StoreError>) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(answer)));
}

/// Connections that may turn out to be lost before a call fails.
const LOSSES_MAX: u32 = 1;

/// How often others may get in the way of a statement that stands alone.
const ATTEMPTS_MAX: u32 = 10;
const PAUSE: Duration = Duration::from_millis(2);
