//! Rows of which strangers decide how many there come to be: how many there may be, and which are
//! over.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Commit, Expected, KeyRange, Store, StoreError, Write};

use crate::error::ServiceError;
use crate::limits::SWEEP_STEP_ROWS;
use crate::service::Shared;

/// How many rows of a kind there are, as far as this process knows. Others write such rows, too,
/// so the limit holds about; every sweep counts anew.
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
        if self.count.load(Ordering::Relaxed) == UNCOUNTED {
            let range = KeyRange::prefix(self.prefix);
            let counted = shared.read(move |view| {
                let mut count = 0;
                view.scan(&range, &mut |_, _| {
                    count += 1;
                    ControlFlow::Continue(())
                })?;
                Ok(count)
            });
            self.recount(counted.await?);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < self.rows_max {
            return Ok(true);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(false)
    }

    /// So many there are.
    pub(crate) fn recount(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
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
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS)?;
        let over = page.rows.into_iter().filter(|(key, value)| {
            let is_over = is_over(key, value);
            left += u64::from(!is_over);
            is_over
        });
        let over: Vec<_> = over.collect();
        for group in over.chunks(store::limits::CONDITIONS_PER_COMMIT_MAX) {
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
        range = page.rest;
    }
    Ok(left)
}

const UNCOUNTED: u64 = u64::MAX;
