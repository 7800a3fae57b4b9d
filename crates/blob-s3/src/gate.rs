//! Bounds what is under way: so many requests and so many bytes, and a named time to wait for a
//! turn.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::StoreError;

/// Counts requests and bytes under way.
#[derive(Debug)]
pub struct Gate {
    requests_max: usize,
    bytes_max: usize,
    queue_wait: Duration,
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    requests: usize,
    bytes: usize,
}

/// A place inside; it is given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    requests: usize,
    bytes: usize,
}

impl Gate {
    pub fn new(requests_max: usize, bytes_max: usize, queue_wait: Duration) -> Arc<Self> {
        let inside = Mutex::default();
        Arc::new(Self { requests_max, bytes_max, queue_wait, inside, left: Condvar::new() })
    }

    /// Waits until `requests` and `bytes` fit beside what is inside.
    ///
    /// # Errors
    /// `Busy` when they do not within the time to wait.
    pub fn enter(self: &Arc<Self>, requests: usize, bytes: usize) -> Result<Pass, StoreError> {
        self.enter_within(requests, bytes, self.queue_wait).ok_or(StoreError::Busy)
    }

    /// As [`Gate::enter`], but only if it is possible at once.
    pub fn try_enter(self: &Arc<Self>, requests: usize, bytes: usize) -> Option<Pass> {
        self.enter_within(requests, bytes, Duration::ZERO)
    }

    fn enter_within(
        self: &Arc<Self>,
        requests: usize,
        bytes: usize,
        wait: Duration,
    ) -> Option<Pass> {
        let until = Instant::now() + wait;
        // One that is larger than all there is must be able to go alone.
        let requests = requests.min(self.requests_max);
        let bytes = bytes.min(self.bytes_max);
        let mut inside = self.lock();
        while inside.requests + requests > self.requests_max
            || inside.bytes + bytes > self.bytes_max
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.left.wait_timeout(inside, left);
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inside.requests += requests;
        inside.bytes += bytes;
        Some(Pass { gate: Arc::clone(self), requests, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Two counters cannot be left half-changed by a panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Takes another pass of the same gate into this one.
    pub fn join(&mut self, mut other: Self) {
        self.requests += std::mem::take(&mut other.requests);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.requests -= self.requests;
        inside.bytes -= self.bytes;
        drop(inside);
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_is_told_busy() {
        let gate = Gate::new(2, 100, Duration::from_millis(20));
        let first = gate.enter(1, 60).unwrap();
        assert_eq!(gate.enter(1, 60).unwrap_err(), StoreError::Busy);
        let second = gate.enter(1, 40).unwrap();
        assert_eq!(gate.enter(1, 0).unwrap_err(), StoreError::Busy);
        drop(first);
        drop(gate.enter(1, 60).unwrap());
        drop(second);
    }

    #[test]
    fn whoever_waits_goes_on_when_another_leaves() {
        let gate = Gate::new(1, 100, Duration::from_secs(60));
        let pass = gate.enter(1, 100).unwrap();
        let waiting = {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || gate.enter(1, 100).is_ok())
        };
        drop(pass);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn the_largest_goes_alone() {
        let gate = Gate::new(4, 100, Duration::ZERO);
        let pass = gate.enter(1, 1_000).unwrap();
        assert!(gate.try_enter(1, 1).is_none());
        drop(pass);
        assert!(gate.try_enter(1, 1).is_some());
    }

    #[test]
    fn a_joined_pass_leaves_with_all_that_it_took() {
        let gate = Gate::new(4, 100, Duration::ZERO);
        let mut pass = gate.enter(1, 50).unwrap();
        pass.join(gate.enter(0, 50).unwrap());
        assert!(gate.try_enter(0, 1).is_none());
        drop(pass);
        assert!(gate.try_enter(4, 100).is_some());
    }
}
