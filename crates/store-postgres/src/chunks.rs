//! Long bodies in the database itself, in pieces, where there is no heap beside it.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::{Heap, HeapKey, HeapObject, HeapWriter, StoreError};

use crate::shared::Db;

/// A heap that is a table.
pub(crate) struct Chunks {
    db: Db,
}

impl Chunks {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Heap for Chunks {
    fn writer(&self, key: &HeapKey) -> Result<Box<dyn HeapWriter>, StoreError> {
        let (db, object) = (self.db.clone(), key.as_str().to_owned());
        Ok(Box::new(Writer { db, object, number: 0, waiting: Vec::new(), is_finished: false }))
    }

    fn read(&self, key: &HeapKey, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let object = key.as_str().to_owned();
        let (first, last) = (number_of(range.start), number_of(range.end - 1));
        let parts = self.db.read(move |client| {
            let object = object.clone();
            async move {
                let sql = "SELECT number, bytes FROM pillarbox_chunks
                    WHERE object = $1 AND number BETWEEN $2 AND $3 ORDER BY number";
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, &[&object, &first, &last]).await
            }
        })?;
        if parts.is_empty() {
            return Err(StoreError::NotInHeap { key: key.as_str().into() });
        }
        let mut bytes = Vec::new();
        for (expected, part) in (first..).zip(&parts) {
            // With a piece missing, what follows is not where it seems to be.
            if part.get::<_, i32>(0) != expected {
                return Err(StoreError::corrupt(format_args!("object {}", key.as_str())));
            }
            bytes.extend_from_slice(part.get::<_, &[u8]>(1));
        }
        let start = usize::try_from(range.start % CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn delete(&self, key: &HeapKey) -> Result<(), StoreError> {
        let object = key.as_str().to_owned();
        self.db.write(move |client| {
            let object = object.clone();
            async move { client.execute(DELETE, &[&object]).await.map(drop) }
        })
    }

    fn list(
        &self,
        after: Option<&HeapKey>,
        visit: &mut dyn FnMut(HeapObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = after.map_or(String::new(), |key| key.as_str().to_owned());
        loop {
            let from = after.clone();
            let rows = self.db.read(move |client| {
                let from = from.clone();
                async move {
                    let sql = "SELECT object, sum(length(bytes))::bigint,
                        extract(epoch FROM min(stored_at))::float8
                        FROM pillarbox_chunks WHERE object > $1
                        GROUP BY object ORDER BY object LIMIT $2";
                    client.query(sql, &[&from, &LIST_PAGE]).await
                }
            })?;
            for row in &rows {
                let Some(key) = HeapKey::new(row.get::<_, &str>(0)) else { continue };
                let size = u64::try_from(row.get::<_, i64>(1)).unwrap_or_default();
                let since = Duration::try_from_secs_f64(row.get(2)).unwrap_or_default();
                let stored_at = SystemTime::UNIX_EPOCH + since;
                if visit(HeapObject { key, size, stored_at }).is_break() {
                    return Ok(());
                }
            }
            match rows.last() {
                Some(last) if rows.len() as i64 == LIST_PAGE => after = last.get(0),
                _ => return Ok(()),
            }
        }
    }
}

const DELETE: &str = "DELETE FROM pillarbox_chunks WHERE object = $1";

struct Writer {
    db: Db,
    object: String,
    number: i32,
    waiting: Vec<u8>,
    is_finished: bool,
}

impl Writer {
    fn store(&mut self, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (object, number) = (self.object.clone(), self.number);
        self.number += 1;
        // The same piece again is the same piece.
        let bytes = Arc::new(bytes);
        self.db.write(move |client| {
            let (object, bytes) = (object.clone(), Arc::clone(&bytes));
            async move {
                let sql = "INSERT INTO pillarbox_chunks (object, number, bytes) VALUES ($1, $2, $3)
                    ON CONFLICT (object, number) DO UPDATE SET bytes = excluded.bytes";
                let statement = client.prepare_cached(sql).await?;
                client.execute(&statement, &[&object, &number, &*bytes]).await.map(drop)
            }
        })
    }
}

impl HeapWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.waiting.extend_from_slice(bytes);
        while self.waiting.len() >= CHUNK_BYTES {
            let rest = self.waiting.split_off(CHUNK_BYTES);
            let full = std::mem::replace(&mut self.waiting, rest);
            self.store(full)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() || self.number == 0 {
            self.store(rest)?;
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_finished || self.number == 0 {
            return;
        }
        let (db, object) = (self.db.clone(), std::mem::take(&mut self.object));
        let runtime = self.db.runtime.clone();
        runtime.spawn(async move {
            // What cannot be deleted now is found by the clean-up, as what no row names.
            if let Ok(client) = db.helper().await
                && let Err(error) = client.execute(DELETE, &[&object]).await
            {
                let error = crate::error::reason(&error);
                tracing::debug!(error, "pieces of a body that was given up stay for now");
            }
        });
    }
}

fn number_of(at: u64) -> i32 {
    i32::try_from(at / CHUNK_BYTES as u64).unwrap_or(i32::MAX)
}

/// Bytes of a piece: two frames at most are in it, so a read of one frame reads little more.
const CHUNK_BYTES: usize = 256 * 1024;

/// Objects that are listed with one statement.
const LIST_PAGE: i64 = 1000;
