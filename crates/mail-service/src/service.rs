//! The service: what all accounts share.

use std::sync::{Arc, Mutex};

use mail_queue::Vigil;
use store::{Commit, Expected, Store, StoreError, View, Write};
use tokio::sync::{Semaphore, oneshot};

use crate::auth::cache::CredentialCache;
use crate::auth::password;
use crate::clock::World;
use crate::contents::Contents;
use crate::error::ServiceError;
use crate::greylist::GreylistRows;
use crate::keys;
use crate::limits::{ServiceConfig, WAITING_LOGINS_MAX};
use crate::registry::Registry;
use crate::rows::RowCache;
use crate::scrub::ScrubTally;
use crate::story::{Journal, write_stories};

/// The core of a server. Cheap to clone; all clones are one service.
#[derive(Clone)]
pub struct Service {
    pub(crate) shared: Arc<Shared>,
}

/// What all accounts share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: ServiceConfig,
    pub(crate) world: World,
    pub(crate) registry: Registry,
    pub(crate) contents: Contents,
    pub(crate) rows: RowCache,
    /// What was told of messages and is not written yet.
    pub(crate) journal: Journal,
    /// What scrubs have seen.
    pub(crate) scrubs: ScrubTally,
    pub(crate) credentials: CredentialCache,
    pub(crate) greylist_rows: GreylistRows,
    /// Claims of the queue whose nodes may be dead.
    pub(crate) vigil: Mutex<Vigil>,
    /// One permit for each argon2 computation that may run.
    pub(crate) hashing: Arc<Semaphore>,
    /// One permit for each login that may wait for such a computation.
    pub(crate) waiting: Arc<Semaphore>,
    /// The hash that a login for an unknown name is verified against.
    pub(crate) dummy_hash: Arc<str>,
    /// Behind the invented SCRAM salts.
    pub(crate) secret: Vec<u8>,
}

impl Service {
    /// Opens the service on a store; needs a running tokio runtime. An empty store is made ready.
    ///
    /// # Errors
    /// `NoRandomness`; `Busy` if the cost of a password hash is not
    /// possible; errors of the store.
    pub async fn open(
        store: Arc<dyn Store>,
        config: ServiceConfig,
        world: World,
    ) -> Result<Self, ServiceError> {
        let random = Arc::clone(&world.random);
        let cost = config.passwords;
        let dummy_hash = blocking(move || password::dummy_hash(cost, &*random)).await?;
        let secret = {
            let (store, world) = (Arc::clone(&store), world.clone());
            blocking(move || server_secret(&*store, &world)).await?
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let hashing = if cost.concurrent_max == 0 { cores } else { cost.concurrent_max };
        let journal = Journal::new(config.story_days, &secret, &*world.random)?;
        let shared = Shared {
            journal,
            credentials: CredentialCache::new(&*world.random)?,
            greylist_rows: GreylistRows::default(),
            vigil: Mutex::default(),
            registry: Registry::default(),
            contents: Contents::new(config.cached_entries_max),
            rows: RowCache::default(),
            scrubs: ScrubTally::default(),
            hashing: Arc::new(Semaphore::new(hashing)),
            waiting: Arc::new(Semaphore::new(WAITING_LOGINS_MAX)),
            dummy_hash: dummy_hash.into(),
            secret,
            store,
            config,
            world,
        };
        let shared = Arc::new(shared);
        let wake = Arc::clone(&shared.journal.wake);
        tokio::spawn(write_stories(Arc::downgrade(&shared), wake));
        Ok(Self { shared })
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &ServiceConfig {
        &self.shared.config
    }

    /// The time by its clock, in seconds since 1970.
    #[must_use]
    pub fn now_secs(&self) -> i64 {
        self.shared.world.clock.now_secs()
    }

    /// Closes the store after all that was submitted is answered; later calls fail with `Closed`.
    ///
    /// # Errors
    /// `WriteRefused`.
    pub async fn close(&self) -> Result<(), ServiceError> {
        self.shared.registry.clear();
        if let Err(error) = self.shared.journal.write_all(&self.shared).await {
            tracing::warn!(%error, "the newest stories of messages are lost");
        }
        let store = Arc::clone(&self.shared.store);
        blocking(move || store.close().map_err(ServiceError::from)).await
    }
}

impl Shared {
    /// Runs `read` with a view of the store, on a thread that may wait for the disk.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn View) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let store = Arc::clone(&self.store);
        blocking(move || read(&*store.view()?)).await
    }

    /// Commits and waits for the answer.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        // The receiver is gone only if the caller was cancelled; the commit stands all the same.
        self.store.commit(commit, Box::new(move |result| drop(answer.send(result))));
        answered.await.unwrap_or(Err(StoreError::Closed)).map(drop)
    }
}

/// Runs what may wait for a disk or takes long, on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    // A panic in `work` is ours; the caller sees a service that is going down.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ServiceError::Closed))
}

/// Reads the secret behind invented salts, or draws it when the store is new.
fn server_secret(store: &dyn Store, world: &World) -> Result<Vec<u8>, ServiceError> {
    loop {
        if let Some(secret) = store.view()?.get(keys::SECRET)? {
            return Ok(secret);
        }
        let mut secret = vec![0; 32];
        if !world.random.fill(&mut secret) {
            return Err(ServiceError::NoRandomness);
        }
        let commit = Commit::new()
            .when(keys::SECRET, Expected::Absent)
            .write(Write::put(keys::SECRET, secret.clone()));
        match store.commit_wait(commit) {
            Ok(_) => return Ok(secret),
            // Another process was first; its secret is as good.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
