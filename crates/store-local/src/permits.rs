//! How many may do something at one time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A number of permits that are lent and come back.
pub(crate) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// One permit; dropping it gives it back.
pub(crate) struct Permit(Arc<Permits>);

impl Permits {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(count), returned: Condvar::new() })
    }

    /// Takes a permit, or waits for one at most this long.
    pub(crate) fn take(self: &Arc<Self>, patience: Duration) -> Option<Permit> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |free: &mut usize| *free == 0;
        let (mut free, _) = self
            .returned
            .wait_timeout_while(free, patience, none)
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permit_that_comes_back_goes_to_whoever_waits() {
        let permits = Permits::new(1);
        let permit = permits.take(Duration::ZERO);
        assert!(permit.is_some() && permits.take(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| permits.take(Duration::from_secs(30)).is_some());
            drop(permit);
            assert!(waiting.join().unwrap());
        });
        assert!(permits.take(Duration::ZERO).is_some());
    }
}
