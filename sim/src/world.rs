//! What a recorded process is opened with: small limits, so that a short run meets all of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mail_service::{Clock, PasswordCost, Service, ServiceConfig, World};
use store::{Store, StoreError};
use store_local::{Local, Options};

use crate::Result;
use crate::dice::Dice;

/// A clock that stands until it is told to go on.
pub struct HandClock(AtomicI64);

impl HandClock {
    /// A clock that shows the beginning of every run.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START_SECS)))
    }

    /// Lets time pass.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now_secs(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs((self.now_secs() - START_SECS).unsigned_abs())
    }
}

/// Opens the store of a folder. The seed chooses among sizes that all must do.
///
/// # Errors
/// Those of the store.
pub fn open_store(folder: &Path, seed: u64) -> std::result::Result<Arc<dyn Store>, StoreError> {
    let pack_bytes_max = 1024 * (96 << (seed % 3));
    let options = Options {
        cache_bytes: 1024 * 1024,
        pack_bytes_max,
        ahead_bytes: if seed.is_multiple_of(2) { 0 } else { 48 * 1024 },
        database_log_bytes_max: if seed.is_multiple_of(4) { 4 << 20 } else { 256 * 1024 },
        reserve_bytes: 64 * 1024,
        ..Options::default()
    };
    Ok(Arc::new(Local::open(folder, options)?))
}

/// Opens a service whose history ages fast and whose passwords cost next to nothing.
///
/// # Errors
/// Those of the service.
pub async fn open_service(
    store: &Arc<dyn Store>,
    clock: &Arc<HandClock>,
    seed: u64,
) -> Result<Service> {
    let passwords = PasswordCost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
        scram_iterations: 4096,
        concurrent_max: 0,
    };
    let retention_secs = RETENTION_SECS;
    let config = ServiceConfig { passwords, retention_secs, ..ServiceConfig::default() };
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    let world = World { clock, random: Arc::new(Dice::new(seed)) };
    Ok(Service::open(Arc::clone(store), config, world).await?)
}

/// 2027-01-15.
pub const START_SECS: i64 = 1_800_000_000;

/// How long history is kept: some tens of steps.
pub const RETENTION_SECS: i64 = 1800;
