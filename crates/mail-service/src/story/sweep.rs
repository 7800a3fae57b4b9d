//! Forgetting stories, and comparing their rows with each other.

use std::sync::Arc;

use store::{Commit, KeyRange, Store, StoreError, Write};

use super::read::read_event;
use crate::check::{Report, check_rows};
use crate::error::ServiceError;
use crate::keys;
use crate::limits::SWEEP_STEP_ROWS;
use crate::loader::strange_key;
use crate::service::{Service, blocking};

impl Service {
    /// Forgets whole days that are older than stories are kept. What points at an event goes before
    /// the event does. Nothing in a row has to be read for that, so damage stops nothing.
    pub(crate) async fn sweep_stories(&self) -> Result<(), ServiceError> {
        let days = i64::from(self.shared.config.story_days);
        let now = self.shared.world.clock.now_secs();
        let kept_since = keys::story_day(now.saturating_sub(days.saturating_mul(DAY_SECS)));
        // Without any days today goes, too.
        let first = if days == 0 { u32::MAX } else { kept_since };
        let store = Arc::clone(&self.shared.store);
        blocking(move || {
            delete(&*store, &keys::story_index_before(first))?;
            delete(&*store, &keys::story_events_before(first))
        })
        .await
    }
}

fn delete(store: &dyn Store, range: &KeyRange) -> Result<(), ServiceError> {
    loop {
        let page = store::scan_page(&*store.view()?, range, SWEEP_STEP_ROWS)?;
        if page.rows.is_empty() {
            return Ok(());
        }
        let deletions = page.rows.into_iter().map(|(key, _)| Write::delete(key));
        store.commit_wait(deletions.fold(Commit::new(), Commit::write))?;
    }
}

/// Every event can be read, and every row that says where one is leads to one.
pub(crate) fn check_stories(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let view = store.view()?;
    check_rows(&*view, &keys::story_events_all(), report, read_event)?;
    let mut range = Some(keys::story_index_all());
    while let Some(part) = range.take() {
        let page = store::scan_page(&*view, &part, SWEEP_STEP_ROWS)?;
        for (key, _) in &page.rows {
            let Some((_, moment)) = keys::parse_story_index(key) else {
                report.note(None, strange_key(key));
                continue;
            };
            if view.get(&keys::story_event(moment))?.is_none() {
                report.note(None, format_args!("{} leads to no event", key.escape_ascii()));
            }
        }
        range = page.rest;
    }
    Ok(())
}

const DAY_SECS: i64 = 86_400;
