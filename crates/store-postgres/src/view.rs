//! Views: transactions that only read.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use deadpool_postgres::Object;
use store::limits::VIEW_LIFETIME;
use store::{CommitNo, KeyRange, Order, StoreError, View, Visitor};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::error::{is_lost, no_connection, read_failed, reason};
use crate::shared::Shared;

/// A snapshot of the database, and the connection that has it.
pub(crate) struct PgView {
    shared: Arc<Shared>,
    /// Taken when the view is dropped.
    client: Option<Arc<Object>>,
    at: CommitNo,
    opened: Instant,
}

/// Opens a view with one round trip; on another connection if the first turns out to be lost.
pub(crate) fn open(shared: &Arc<Shared>) -> Result<PgView, StoreError> {
    let own = Arc::clone(shared);
    let opened = Instant::now();
    let (client, at) = shared.db.wait(async move {
        let mut is_second = false;
        loop {
            let client = own.views.get().await.map_err(|error| no_connection(&error))?;
            match begin(&client).await {
                Ok(at) => return Ok((client, at)),
                Err(error) => {
                    // Whatever its state is, nobody shall use it.
                    drop(Object::take(client));
                    if !is_lost(&error) || is_second {
                        return Err(read_failed(&error));
                    }
                    is_second = true;
                }
            }
        }
    })?;
    Ok(PgView { shared: Arc::clone(shared), client: Some(Arc::new(client)), at, opened })
}

async fn begin(client: &Object) -> Result<CommitNo, tokio_postgres::Error> {
    let mut at = 0;
    for message in client.simple_query(BEGIN).await? {
        if let SimpleQueryMessage::Row(row) = message {
            at = row.get(0).and_then(|text| text.parse().ok()).unwrap_or(0);
        }
    }
    Ok(CommitNo(at))
}

impl PgView {
    fn client(&self) -> Result<Arc<Object>, StoreError> {
        self.shared.check_open()?;
        if self.opened.elapsed() > VIEW_LIFETIME {
            return Err(StoreError::ViewExpired);
        }
        self.client.clone().ok_or(StoreError::ViewExpired)
    }

    fn failed(&self, error: &tokio_postgres::Error) -> StoreError {
        // The server ends the session of a view that is too old.
        if self.opened.elapsed() > VIEW_LIFETIME {
            StoreError::ViewExpired
        } else {
            read_failed(error)
        }
    }

    fn query(
        &self,
        sql: &'static str,
        parameters: Vec<Box<dyn ToSql + Sync + Send>>,
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.client()?;
        let answer = self.shared.db.wait(async move {
            let parameters: Vec<&(dyn ToSql + Sync)> =
                parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
            let queried = async {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, &parameters).await
            };
            Ok(queried.await)
        })?;
        answer.map_err(|error| self.failed(&error))
    }

    fn page(&self, range: &KeyRange, rows: i64) -> Result<Vec<Row>, StoreError> {
        let start: Box<dyn ToSql + Sync + Send> = Box::new(range.start.clone());
        let limit: Box<dyn ToSql + Sync + Send> = Box::new(rows);
        match (&range.end, range.order) {
            (Some(end), order) => {
                let sql = if order == Order::Ascending { UP_TO } else { DOWN_FROM };
                self.query(sql, vec![start, limit, Box::new(end.clone())])
            }
            (None, Order::Ascending) => self.query(UP, vec![start, limit]),
            (None, Order::Descending) => self.query(DOWN, vec![start, limit]),
        }
    }
}

impl View for PgView {
    fn at(&self) -> CommitNo {
        self.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.query(GET, vec![Box::new(key.to_vec())])?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut found = vec![None; keys.len()];
        for (first, keys) in (0..).step_by(KEYS_PER_STATEMENT).zip(keys.chunks(KEYS_PER_STATEMENT))
        {
            let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
            for row in self.query(GET_MANY, vec![Box::new(keys)])? {
                let place = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
                if let Some(slot) = found.get_mut(first + place) {
                    *slot = Some(row.get(1));
                }
            }
        }
        Ok(found)
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.client()?;
        let (mut rest, mut limit) = (range.clone(), FIRST_PAGE);
        while !rest.is_empty() {
            let rows = self.page(&rest, limit)?;
            let mut bytes = 0;
            for row in &rows {
                let (key, value): (&[u8], &[u8]) = (row.get(0), row.get(1));
                bytes += key.len() + value.len();
                if let ControlFlow::Break(()) = visit(key, value) {
                    return Ok(());
                }
            }
            match rows.last() {
                Some(last) if rows.len() as i64 == limit => rest = rest.after(last.get(0)),
                _ => return Ok(()),
            }
            // So many that the next page has about as many bytes as a page may have.
            let average = i64::try_from(bytes / rows.len().max(1)).unwrap_or(i64::MAX).max(1);
            limit = (PAGE_BYTES / average).clamp(FIRST_PAGE, (limit * 8).min(LAST_PAGE));
        }
        Ok(())
    }
}

impl Drop for PgView {
    fn drop(&mut self) {
        let Some(client) = self.client.take().and_then(Arc::into_inner) else { return };
        // The caller need not wait until the connection can be used again.
        self.shared.db.runtime.spawn(async move {
            if let Err(error) = client.batch_execute("ROLLBACK").await {
                tracing::debug!(error = reason(&error), "a view's connection was lost");
                drop(Object::take(client));
            }
        });
    }
}

/// The snapshot is taken with the first statement after BEGIN, in the same round trip. A sequence
/// is no part of it: its value may be above what the snapshot shows, but not below.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pillarbox_commit_no";

const GET: &str = "SELECT value FROM pillarbox_rows WHERE key = $1";
const GET_MANY: &str = "SELECT k.n, r.value
    FROM unnest($1::bytea[]) WITH ORDINALITY AS k(key, n) JOIN pillarbox_rows r ON r.key = k.key";
const UP_TO: &str = "SELECT key, value FROM pillarbox_rows
    WHERE key >= $1 AND key < $3 ORDER BY key LIMIT $2";
const DOWN_FROM: &str = "SELECT key, value FROM pillarbox_rows
    WHERE key >= $1 AND key < $3 ORDER BY key DESC LIMIT $2";
const UP: &str = "SELECT key, value FROM pillarbox_rows WHERE key >= $1 ORDER BY key LIMIT $2";
const DOWN: &str =
    "SELECT key, value FROM pillarbox_rows WHERE key >= $1 ORDER BY key DESC LIMIT $2";

const KEYS_PER_STATEMENT: usize = 10_000;

/// Rows of the first page of a scan: most scans end within it, and rows may be large.
const FIRST_PAGE: i64 = 64;

/// Rows of a page at most.
const LAST_PAGE: i64 = 8192;

/// About so many bytes are in memory at a time.
const PAGE_BYTES: i64 = 1 << 20;
