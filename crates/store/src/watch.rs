//! Hints: who wants to know that something under a prefix may have changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Store;

/// A registered interest; dropping it ends the hints.
pub struct Watch {
    end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Watch {
    /// For engines: a watch that calls `end` when it is dropped.
    #[must_use]
    pub fn new(end: Box<dyn FnOnce() + Send + Sync>) -> Self {
        Self { end: Some(end) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

/// A watch for a thread that can wait.
pub struct Hints {
    bell: Arc<Bell>,
    _watch: Watch,
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

/// How a wait for a hint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Something may have changed.
    Changed,
    /// Nothing was heard; look all the same.
    Silence,
}

impl Hints {
    /// Follows a prefix of a store.
    #[must_use]
    pub fn follow(store: &dyn Store, prefix: &[u8]) -> Self {
        let bell = Arc::new(Bell::default());
        let ringer = Arc::clone(&bell);
        let watch = store.watch(
            prefix,
            Box::new(move || {
                *ringer.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
                ringer.changed.notify_all();
            }),
        );
        Self { bell, _watch: watch }
    }

    /// Waits for a hint that came since the last wait, at most `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Hint {
        let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .bell
            .changed
            .wait_timeout_while(rung, timeout, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *rung) { Hint::Changed } else { Hint::Silence }
    }
}

/// For engines: all watches of a store, found by the keys that a commit wrote.
#[derive(Clone, Default)]
pub struct Watchers {
    inner: Arc<Mutex<Registry>>,
    next: Arc<AtomicU64>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Registry {
    by_prefix: HashMap<Vec<u8>, BTreeMap<u64, Wake>>,
    /// How many prefixes of each length are watched: a key is looked up once per length.
    lengths: BTreeMap<usize, usize>,
}

impl Watchers {
    /// Registers an interest in a prefix.
    #[must_use]
    pub fn add(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut registry = self.lock();
        let registry = &mut *registry;
        let watches = registry.by_prefix.entry(prefix.to_vec()).or_insert_with(|| {
            *registry.lengths.entry(prefix.len()).or_insert(0) += 1;
            BTreeMap::new()
        });
        watches.insert(number, Arc::from(wake));
        let (watchers, prefix) = (self.clone(), prefix.to_vec());
        Watch::new(Box::new(move || watchers.remove(&prefix, number)))
    }

    /// Wakes whoever watches a prefix of one of these keys, each once.
    pub fn wake<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        for wake in self.interested(keys).into_values() {
            wake();
        }
    }

    /// Wakes everybody: when hints may have been lost.
    pub fn wake_all(&self) {
        let all: Vec<Wake> =
            self.lock().by_prefix.values().flat_map(|watches| watches.values().cloned()).collect();
        for wake in all {
            wake();
        }
    }

    /// The lock is not held while they are called, so that a wake may drop or add a watch.
    fn interested<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> BTreeMap<u64, Wake> {
        let registry = self.lock();
        let mut found = BTreeMap::new();
        if registry.by_prefix.is_empty() {
            return found;
        }
        let mut last: Option<&[u8]> = None;
        for key in keys {
            for &length in registry.lengths.keys() {
                let Some(prefix) = key.get(..length) else { break };
                // Rows of one commit mostly share the watched prefix.
                if registry.lengths.len() == 1 && last == Some(prefix) {
                    continue;
                }
                last = Some(prefix);
                if let Some(watches) = registry.by_prefix.get(prefix) {
                    found.extend(watches.iter().map(|(&number, wake)| (number, Arc::clone(wake))));
                }
            }
        }
        found
    }

    fn remove(&self, prefix: &[u8], number: u64) {
        let mut registry = self.lock();
        let Some(watches) = registry.by_prefix.get_mut(prefix) else { return };
        watches.remove(&number);
        if !watches.is_empty() {
            return;
        }
        registry.by_prefix.remove(prefix);
        if let Some(count) = registry.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                registry.lengths.remove(&prefix.len());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, Box<dyn Fn() + Send + Sync>) {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        (count, Box::new(move || _ = seen.fetch_add(1, Ordering::Relaxed)))
    }

    #[test]
    fn watch_hears_its_prefix_once_a_commit_and_nothing_after_it_is_dropped() {
        let watchers = Watchers::default();
        let (short, wake_short) = counter();
        let (long, wake_long) = counter();
        let watch_short = watchers.add(b"a", wake_short);
        let _watch_long = watchers.add(b"a/1", wake_long);
        watchers.wake([&b"a/1/x"[..], b"a/1/y", b"b"].into_iter());
        watchers.wake([&b"a/2"[..], b"b"].into_iter());
        drop(watch_short);
        watchers.wake([&b"a/1"[..]].into_iter());
        assert_eq!(short.load(Ordering::Relaxed), 2);
        assert_eq!(long.load(Ordering::Relaxed), 2);
    }
}
