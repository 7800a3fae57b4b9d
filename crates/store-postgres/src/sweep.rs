//! Deleting blobs, listing them, and cleaning up what nobody needs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use store::{BlobId, BlobInfo, BlobKey, CommitNo, Deletion, HeapKey, StoreError};

use crate::shared::Shared;

/// Deletes blobs that are as they were listed. Their objects become garbage in the same
/// transaction, which [`reclaim`] deletes when nobody can be reading them any more.
pub(crate) fn delete(
    shared: &Arc<Shared>,
    scope: &[u8],
    blobs: &[(BlobId, CommitNo)],
) -> Result<Vec<Deletion>, StoreError> {
    let mut answers = Vec::with_capacity(blobs.len());
    for blobs in blobs.chunks(BLOBS_PER_STATEMENT) {
        answers.extend(delete_some(shared, scope, blobs)?);
    }
    Ok(answers)
}

fn delete_some(
    shared: &Arc<Shared>,
    scope: &[u8],
    blobs: &[(BlobId, CommitNo)],
) -> Result<Vec<Deletion>, StoreError> {
    let is_leased = |id: &BlobId| shared.pending.contains(&BlobKey::new(scope, *id));
    let mut answers = vec![Deletion::InUse; blobs.len()];
    let (mut places, mut ids, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (id, at)) in blobs.iter().enumerate() {
        if !is_leased(id) {
            places.push(place);
            ids.push(id.as_bytes().to_vec());
            listed.push(i64::try_from(at.0).unwrap_or(i64::MAX));
        }
    }
    let scope = scope.to_vec();
    // Repeated on another connection it finds missing what it has deleted before.
    let rows = shared.db.write(move |client| {
        let (scope, ids, listed) = (scope.clone(), ids.clone(), listed.clone());
        async move {
            let statement = client.prepare_cached(DELETE).await?;
            client.query(&statement, &[&scope, &ids, &listed]).await
        }
    })?;
    for row in rows {
        let number = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
        let answer = match (row.get(1), row.get(2)) {
            (true, _) => Deletion::Deleted,
            (false, true) => Deletion::InUse,
            (false, false) => Deletion::Missing,
        };
        if let Some(slot) = places.get(number).and_then(|&place| answers.get_mut(place)) {
            *slot = answer;
        }
    }
    Ok(answers)
}

/// Lists recorded blobs in pages.
pub(crate) fn list(
    shared: &Arc<Shared>,
    after: Option<&BlobKey>,
    visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    // Below all names: the first key of all, when nothing comes before.
    let (mut scope, mut id) = match after {
        Some(key) => (key.scope.clone(), key.id.as_bytes().to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    let mut limit = FIRST_PAGE;
    loop {
        let (from, below) = (scope.clone(), id.clone());
        let rows = shared.db.read(move |client| {
            let (from, below) = (from.clone(), below.clone());
            async move {
                let statement = client.prepare_cached(LIST).await?;
                client.query(&statement, &[&from, &below, &limit]).await
            }
        })?;
        for row in &rows {
            (scope, id) = (row.get(0), row.get(1));
            let Ok(bytes) = <[u8; 32]>::try_from(id.as_slice()) else { continue };
            let number = |index: usize| row.get::<_, i64>(index).unsigned_abs();
            let info = BlobInfo {
                key: BlobKey::new(&scope, bytes.into()),
                size: number(2),
                stored_bytes: number(3),
                named_at: CommitNo(number(4)),
            };
            if visit(info).is_break() {
                return Ok(());
            }
        }
        if (rows.len() as i64) < limit {
            return Ok(());
        }
        limit = LIST_PAGE;
    }
}

/// Deletes the objects of deleted blobs after their grace, and finds those that no row names.
pub(crate) fn reclaim(shared: &Arc<Shared>) -> Result<(), StoreError> {
    find_orphans(shared)?;
    delete_garbage(shared)?;
    let forget = "DELETE FROM pillarbox_slots WHERE used_at < now() - interval '1 day'";
    shared.db.write(move |client| async move { client.execute(forget, &[]).await })?;
    Ok(())
}

fn delete_garbage(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let grace = shared.settings.garbage_grace.as_secs_f64();
    let mut after = String::new();
    loop {
        let from = after.clone();
        let rows = shared.db.read(move |client| {
            let from = from.clone();
            async move { client.query(GARBAGE, &[&grace, &from, &GARBAGE_PAGE]).await }
        })?;
        for row in &rows {
            after = row.get(0);
            // A commit that was slow may have named it after all.
            if !row.get::<_, bool>(1)
                && let Some(key) = HeapKey::new(after.as_str())
            {
                shared.heap.delete(&key)?;
            }
            let object = after.clone();
            let done = "DELETE FROM pillarbox_garbage WHERE object = $1";
            shared.db.write(move |client| {
                let object = object.clone();
                async move { client.execute(done, &[&object]).await }
            })?;
        }
        if (rows.len() as i64) < GARBAGE_PAGE {
            return Ok(());
        }
    }
}

/// Objects whose commit never came, as when a node was killed in between.
fn find_orphans(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let Some(before) = SystemTime::now().checked_sub(shared.settings.orphan_grace) else {
        return Ok(());
    };
    let mut old = Vec::new();
    let mut result = Ok(());
    shared.heap.list(None, &mut |object| {
        if object.stored_at <= before && !shared.pending.has_object(object.key.as_str()) {
            old.push(object.key.as_str().to_owned());
        }
        if old.len() >= BLOBS_PER_STATEMENT {
            result = note_orphans(shared, std::mem::take(&mut old));
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    note_orphans(shared, old)
}

fn note_orphans(shared: &Arc<Shared>, objects: Vec<String>) -> Result<(), StoreError> {
    if objects.is_empty() {
        return Ok(());
    }
    // By the database's clock as well: a node whose clock has jumped must not take for old what
    // another has put just now. The other grace is added when garbage is deleted.
    let wait =
        shared.settings.orphan_grace.as_secs_f64() - shared.settings.garbage_grace.as_secs_f64();
    shared.db.write(move |client| {
        let objects = objects.clone();
        async move { client.execute(ORPHANS, &[&objects, &wait]).await.map(drop) }
    })
}

const DELETE: &str = "
WITH listed AS MATERIALIZED (
    SELECT l.id, l.at, l.n
    FROM unnest($2::bytea[], $3::bigint[]) WITH ORDINALITY AS l(id, at, n)
), gone AS (
    DELETE FROM pillarbox_blobs b USING listed l
    WHERE b.scope = $1 AND b.id = l.id AND b.named_at = l.at RETURNING b.id, b.object
), garbage AS (
    INSERT INTO pillarbox_garbage (object) SELECT object FROM gone WHERE object IS NOT NULL
    ON CONFLICT (object) DO NOTHING
)
SELECT l.n, EXISTS (SELECT 1 FROM gone g WHERE g.id = l.id),
    EXISTS (SELECT 1 FROM pillarbox_blobs b WHERE b.scope = $1 AND b.id = l.id)
FROM listed l";

const LIST: &str = "SELECT scope, id, size, stored_bytes, named_at FROM pillarbox_blobs
    WHERE (scope, id) > ($1, $2) ORDER BY scope, id LIMIT $3";

const GARBAGE: &str = "SELECT g.object,
        EXISTS (SELECT 1 FROM pillarbox_blobs b WHERE b.object = g.object AND b.object IS NOT NULL)
    FROM pillarbox_garbage g
    WHERE g.since <= now() - make_interval(secs => $1) AND g.object > $2
    ORDER BY g.object LIMIT $3";

const ORPHANS: &str = "INSERT INTO pillarbox_garbage (object, since)
    SELECT o.object, now() + make_interval(secs => $2) FROM unnest($1::text[]) AS o(object)
    WHERE NOT EXISTS (SELECT 1 FROM pillarbox_blobs b
        WHERE b.object = o.object AND b.object IS NOT NULL)
    ON CONFLICT (object) DO NOTHING";

const BLOBS_PER_STATEMENT: usize = 1000;
const GARBAGE_PAGE: i64 = 200;

/// Many listings want the first blob only.
const FIRST_PAGE: i64 = 16;
const LIST_PAGE: i64 = 2000;
