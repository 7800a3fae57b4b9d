//! The scrub of a running server: reads everything once a week, so slowly that nobody notices.

use std::time::Duration;

use mail_service::Service;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

/// How the scrub goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPace {
    /// What it reads at most; with zero it reads nothing at all.
    pub bytes_per_second: u64,
    /// From the beginning of a pass to that of the next.
    pub interval: Duration,
}

impl Default for ScrubPace {
    fn default() -> Self {
        Self { bytes_per_second: 4 << 20, interval: Duration::from_secs(7 * 24 * 3600) }
    }
}

impl ScrubPace {
    /// How long to wait after so many bytes.
    fn rest(self, bytes: u64) -> Duration {
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_second.max(1);
        Duration::from_micros(micros).max(STEP_REST)
    }
}

/// Scrubs for ever.
pub async fn run(service: Service, pace: ScrubPace) {
    if pace.bytes_per_second == 0 {
        return;
    }
    loop {
        // Not at once: after a start there is better to do.
        sleep(START_REST).await;
        let begun = Instant::now();
        let mut scrub = service.scrub();
        loop {
            match scrub.step().await {
                Ok(step) if step.is_last => break,
                Ok(step) => sleep(pace.rest(step.bytes)).await,
                Err(error) => {
                    warn!(%error, "the scrub waits");
                    sleep(TROUBLE_REST).await;
                }
            }
        }
        info!(report = ?service.scrubbed(), "scrubbed");
        sleep_until(begun + pace.interval).await;
    }
}

/// After each step, however little it read.
const STEP_REST: Duration = Duration::from_millis(20);

/// After the start of the server.
const START_REST: Duration = Duration::from_secs(60);

/// After a step that could not be taken.
const TROUBLE_REST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_followed_by_the_time_that_its_bytes_may_take() {
        let pace = ScrubPace { bytes_per_second: 1000, ..ScrubPace::default() };
        assert_eq!(pace.rest(2500), Duration::from_millis(2500));
        assert_eq!(pace.rest(0), STEP_REST);
        assert!(pace.rest(u64::MAX) > Duration::from_secs(3600));
    }
}
