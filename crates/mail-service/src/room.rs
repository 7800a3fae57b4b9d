//! Rows of which strangers decide how many there come to be: how many there may be, and which are
//! over.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Commit, Expected, KeyRange, Store, StoreError, View, Write};

use crate::error::ServiceError;
use crate::limits::{SWEEP_STEP_BYTES, SWEEP_STEP_ROWS};
use crate::service::Shared;

/// How many rows of a kind there are, as far as this process knows. Others write such rows, too,
/// so the limit holds about; after every sweep they are counted anew.
#[derive(Debug)]
pub(crate) struct Room {
    prefix: &'static [u8],
    rows_max: u64,
    count: AtomicU64,
}

impl Room {
    /// For rows whose keys begin with `prefix`.
    pub(crate) fn new(prefix: &'static [u8], rows_max: u64) -> Self {
        Self { prefix, rows_max, count: AtomicU64::new(UNCOUNTED) }
    }

    /// Whether another row may be written; counts it if so.
    pub(crate) async fn take(&self, shared: &Shared) -> Result<bool, ServiceError> {
        loop {
            let one_more = |count| (count < self.rows_max).then(|| count + 1);
            match self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
                Ok(_) => return Ok(true),
                Err(UNCOUNTED) => self.recount(self.rows(shared).await?),
                Err(_) => return Ok(false),
            }
        }
    }

    async fn rows(&self, shared: &Shared) -> Result<u64, ServiceError> {
        let range = KeyRange::prefix(self.prefix);
        let counted = shared.read(move |view| {
            let mut count = 0;
            view.scan(&range, &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })?;
            Ok(count)
        });
        counted.await
    }

    /// So many there are.
    pub(crate) fn recount(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
    }

    /// Nobody knows how many there are now: the next row counts them.
    pub(crate) fn forget(&self) {
        self.recount(UNCOUNTED);
    }
}

/// Deletes the rows of a range that are over, step by step; how many are left. One that is written
/// meanwhile stays. A row that cannot be read must not be called over: the check finds it.
pub(crate) fn sweep_rows(
    store: &dyn Store,
    range: KeyRange,
    is_over: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<u64, ServiceError> {
    let mut left = 0;
    let mut range = Some(range);
    while let Some(part) = range.take() {
        let step = look(&*store.view()?, &part, &is_over)?;
        left += step.left;
        for group in step.over.chunks(store::limits::CONDITIONS_PER_COMMIT_MAX) {
            let commit = group.iter().fold(Commit::new(), |commit, (key, value)| {
                let condition = Expected::Value(value.clone());
                commit.when(key.clone(), condition).write(Write::delete(key.clone()))
            });
            match store.commit_wait(commit) {
                // The next sweep looks again.
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        range = step.rest;
    }
    Ok(left)
}

/// What one step of a sweep found.
#[derive(Default)]
struct Step {
    over: Vec<(Vec<u8>, Vec<u8>)>,
    left: u64,
    /// Where the next one goes on.
    rest: Option<KeyRange>,
}

fn look(
    view: &dyn View,
    range: &KeyRange,
    is_over: &impl Fn(&[u8], &[u8]) -> bool,
) -> Result<Step, StoreError> {
    let mut step = Step::default();
    let (mut rows, mut bytes) = (0, 0);
    view.scan(range, &mut |key, value| {
        rows += 1;
        if is_over(key, value) {
            bytes += key.len() + value.len();
            step.over.push((key.to_vec(), value.to_vec()));
        } else {
            step.left += 1;
        }
        if rows < SWEEP_STEP_ROWS && bytes < SWEEP_STEP_BYTES {
            return ControlFlow::Continue(());
        }
        step.rest = Some(range.after(key));
        ControlFlow::Break(())
    })?;
    Ok(step)
}

const UNCOUNTED: u64 = u64::MAX;
