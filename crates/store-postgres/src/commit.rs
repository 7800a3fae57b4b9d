//! What a commit sends to the database, and what comes back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use store::{BlobKey, Commit, CommitNo, Expected, StoreError, Write};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::pending::{Body, Claim, Fresh, Pending};

/// A commit as arrays: later writes to a key have won, and keys are in order, so that two commits
/// lock rows in the same order.
pub(crate) struct Plan<'a> {
    keys: Vec<&'a [u8]>,
    kinds: Vec<i32>,
    values: Vec<Option<&'a [u8]>>,
    /// Blobs of the leases that must be recorded already.
    known_scopes: Vec<&'a [u8]>,
    known_ids: Vec<&'a [u8]>,
    pub(crate) parts: Vec<Part<'a>>,
}

/// Blobs to record and writes that go into one statement.
#[derive(Default)]
pub(crate) struct Part<'a> {
    fresh: FreshColumns<'a>,
    put_keys: Vec<&'a [u8]>,
    put_values: Vec<&'a [u8]>,
    deleted: Vec<&'a [u8]>,
    bytes: usize,
}

#[derive(Default)]
struct FreshColumns<'a> {
    scopes: Vec<&'a [u8]>,
    ids: Vec<&'a [u8]>,
    sizes: Vec<i64>,
    stored: Vec<i64>,
    bodies: Vec<Option<&'a [u8]>>,
    objects: Vec<Option<&'a str>>,
}

/// The bodies that a commit brings along, by blob.
pub(crate) struct Bodies {
    fresh: Vec<(BlobKey, Arc<Fresh>)>,
    known: Vec<BlobKey>,
}

impl Bodies {
    /// What this process still has of the leased blobs, and which it must find recorded. `None`
    /// while another commit is recording one of them.
    pub(crate) fn of(commit: &Commit, pending: &Pending) -> Option<Self> {
        let mut seen = HashSet::new();
        let mut bodies = Self { fresh: Vec::new(), known: Vec::new() };
        for lease in &commit.leases {
            if !seen.insert(lease.key()) {
                continue;
            }
            match pending.claim(lease.key()) {
                Claim::Fresh(body) => bodies.fresh.push((lease.key().clone(), body)),
                Claim::Known => bodies.known.push(lease.key().clone()),
                // Lets go of the others: two commits never wait for each other.
                Claim::Taken => return None,
            }
        }
        // In order, as everybody locks them.
        bodies.fresh.sort_by(|one, other| one.0.cmp(&other.0));
        bodies.known.sort();
        Some(bodies)
    }

    /// Notes which objects are in rows now. `objects` are those that the rows of this commit name.
    pub(crate) fn recorded(&self, objects: &[String]) {
        for (_, body) in &self.fresh {
            body.recorded(objects);
        }
    }

    /// Notes that no row names the objects after all.
    pub(crate) fn not_recorded(&self) {
        self.fresh.iter().for_each(|(_, body)| body.not_recorded());
    }

    /// Notes that it is not known whether objects are in rows.
    pub(crate) fn unknown(&self) {
        self.fresh.iter().for_each(|(_, body)| body.unknown());
    }
}

impl Drop for Bodies {
    fn drop(&mut self) {
        self.fresh.iter().for_each(|(_, body)| body.let_go());
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(commit: &'a Commit, bodies: &'a Bodies) -> Self {
        let mut plan = Self {
            keys: Vec::with_capacity(commit.conditions.len()),
            kinds: Vec::with_capacity(commit.conditions.len()),
            values: Vec::with_capacity(commit.conditions.len()),
            known_scopes: bodies.known.iter().map(|key| key.scope.as_slice()).collect(),
            known_ids: bodies.known.iter().map(|key| &key.id.as_bytes()[..]).collect(),
            parts: parts(&bodies.fresh, &commit.writes),
        };
        for condition in &commit.conditions {
            plan.keys.push(&condition.key);
            let (kind, value) = match &condition.expected {
                Expected::Absent => (0, None),
                Expected::Present => (1, None),
                Expected::Value(value) => (2, Some(value.as_slice())),
            };
            plan.kinds.push(kind);
            plan.values.push(value);
        }
        plan
    }

    /// The parameters of `sql::COMMIT`, which takes the first part of the writes along.
    pub(crate) fn parameters<'p>(
        &'p self,
        slot: &'p [i64; 3],
        first: &'p Part<'a>,
    ) -> [&'p (dyn ToSql + Sync); 17] {
        let [id, epoch, op] = slot;
        let fresh = &first.fresh;
        [
            id,
            epoch,
            op,
            &self.keys,
            &self.kinds,
            &self.values,
            &self.known_scopes,
            &self.known_ids,
            &fresh.scopes,
            &fresh.ids,
            &fresh.sizes,
            &fresh.stored,
            &fresh.bodies,
            &fresh.objects,
            &first.put_keys,
            &first.put_values,
            &first.deleted,
        ]
    }
}

impl<'a> Part<'a> {
    /// The parameters of `sql::MORE`.
    pub(crate) fn parameters<'p>(&'p self, number: &'p i64) -> [&'p (dyn ToSql + Sync); 10] {
        let fresh = &self.fresh;
        [
            number,
            &fresh.scopes,
            &fresh.ids,
            &fresh.sizes,
            &fresh.stored,
            &fresh.bodies,
            &fresh.objects,
            &self.put_keys,
            &self.put_values,
            &self.deleted,
        ]
    }

    fn is_full(&self) -> bool {
        let rows = self.put_keys.len() + self.deleted.len() + self.fresh.ids.len();
        self.bytes >= PART_BYTES || rows >= PART_ROWS
    }
}

impl<'a> FreshColumns<'a> {
    fn push(&mut self, key: &'a BlobKey, fresh: &'a Fresh) {
        self.scopes.push(&key.scope);
        self.ids.push(key.id.as_bytes());
        self.sizes.push(i64::try_from(fresh.size).unwrap_or(i64::MAX));
        self.stored.push(i64::try_from(fresh.stored_bytes()).unwrap_or(i64::MAX));
        let (body, object) = match &fresh.body {
            Body::Inline(bytes) => (Some(bytes.as_slice()), None),
            Body::Object { key, .. } => (None, Some(key.as_str())),
        };
        self.bodies.push(body);
        self.objects.push(object);
    }
}

/// Folds writes and cuts everything into parts; there is one at least.
fn parts<'a>(fresh: &'a [(BlobKey, Arc<Fresh>)], writes: &'a [Write]) -> Vec<Part<'a>> {
    let mut folded = BTreeMap::new();
    for write in writes {
        match write {
            Write::Put { key, value } => folded.insert(key.as_slice(), Some(value.as_slice())),
            Write::Delete { key } => folded.insert(key.as_slice(), None),
        };
    }
    let mut parts = Vec::new();
    let mut part = Part::default();
    for (key, body) in fresh {
        if part.is_full() {
            parts.push(std::mem::take(&mut part));
        }
        if let Body::Inline(bytes) = &body.body {
            part.bytes += bytes.len();
        }
        part.fresh.push(key, body);
    }
    for (key, value) in folded {
        if part.is_full() {
            parts.push(std::mem::take(&mut part));
        }
        part.bytes += key.len() + value.map_or(0, <[u8]>::len);
        match value {
            Some(value) => {
                part.put_keys.push(key);
                part.put_values.push(value);
            }
            None => part.deleted.push(key),
        }
    }
    parts.push(part);
    parts
}

/// What the statement of a commit answered.
pub(crate) enum Reply {
    /// All conditions held. Which objects the rows of its blobs name.
    Done { number: CommitNo, objects: Vec<String> },
    /// Nothing was written.
    Refused(StoreError),
    /// The slot belongs to another connection: nothing was written.
    ShutOut,
}

impl Reply {
    pub(crate) fn read(row: &Row, bodies: &Bodies) -> Result<Self, tokio_postgres::Error> {
        let (slots, failed, missing) =
            (row.try_get::<_, i64>(0)?, row.try_get::<_, Option<i64>>(1)?, row.try_get(2)?);
        let objects = row.try_get::<_, Option<Vec<String>>>(4)?.unwrap_or_default();
        let position = |number: i64| usize::try_from(number - 1).unwrap_or_default();
        Ok(match (slots, failed, missing, row.try_get::<_, Option<i64>>(3)?) {
            (0, ..) => Self::ShutOut,
            (_, Some(condition), ..) => {
                Self::Refused(StoreError::Conflict { condition: position(condition) })
            }
            (_, None, Some(lease), _) => match bodies.known.get(position(lease)) {
                Some(key) => Self::Refused(StoreError::BlobMissing { id: key.id }),
                None => Self::ShutOut,
            },
            (_, None, None, Some(number)) => {
                Self::Done { number: CommitNo(number.unsigned_abs()), objects }
            }
            (_, None, None, None) => Self::ShutOut,
        })
    }
}

/// Keys, values and bodies that one statement carries; more go into further ones in the same
/// transaction.
const PART_BYTES: usize = 4 << 20;

/// As above, for many small ones.
const PART_ROWS: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_write_to_a_key_wins_and_keys_are_in_order() {
        let writes = [
            Write::put(b"b", b"1"),
            Write::put(b"a", b"1"),
            Write::delete(b"b"),
            Write::delete(b"c"),
            Write::put(b"c", b"2"),
        ];
        let parts = parts(&[], &writes);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].put_keys, [b"a", b"c"]);
        assert_eq!(parts[0].put_values, [b"1", b"2"]);
        assert_eq!(parts[0].deleted, [b"b"]);
    }

    #[test]
    fn many_writes_are_cut_into_parts_and_none_is_lost() {
        let writes: Vec<_> =
            (0..50_001_u32).map(|number| Write::delete(number.to_be_bytes())).collect();
        let lengths: Vec<_> = parts(&[], &writes).iter().map(|part| part.deleted.len()).collect();
        assert_eq!(lengths, [20_000, 20_000, 10_001]);
    }
}
