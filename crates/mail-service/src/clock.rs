//! Time and randomness, as traits: tests decide both.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn now_secs(&self) -> i64;

    /// Time that has passed since some moment of this process. It is never set, and it may stand
    /// still while the machine sleeps.
    fn uptime(&self) -> Duration;
}

/// Gives bytes that nobody can foretell.
pub trait Random: Send + Sync {
    /// Fills `bytes`. `false` when the system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> bool;
}

/// The clock and the dice that a service is opened with.
#[derive(Clone)]
pub struct World {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Salts, nonces and keys.
    pub random: Arc<dyn Random>,
}

impl World {
    /// The operating system's.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_secs(&self) -> i64 {
        // A clock before 1970 is a broken clock; the epoch is as good as any guess.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn uptime(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// The operating system's random numbers.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        aws_lc_rs::rand::fill(bytes).is_ok()
    }
}
