//! The database: its schema, its settings and its statements.
//!
//! One table of rows for the keys and values of the contract, one for the locations of blobs, one
//! for the packs, one for a few numbers. In WAL mode readers see whole transactions and never wait
//! for the writer.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Row, params};
use store::{BlobId, BlobInfo, BlobKey, CommitNo, KeyRange, Order, StoreError, Visitor};

use crate::error::{query_failed, statement_failed};
use crate::pack::{Location, PackRow, PackState};

/// Bytes of a page; database limits are counted in pages.
pub(crate) const PAGE_BYTES: u64 = 8192;

/// Opens the database for the one thread that writes, and makes the schema when it is new.
///
/// # Errors
/// `Unsupported` when it is not ours or of another version, `Corrupt`, `WriteRefused`.
pub(crate) fn open_writer(path: &Path, cache_bytes: usize) -> Result<Connection, StoreError> {
    let connection = open(path, cache_bytes)?;
    let failed = |error: rusqlite::Error| statement_failed(&error);
    let age = age(&connection)?;
    connection.pragma_update(None, "page_size", signed(PAGE_BYTES)).map_err(failed)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Unsupported { found: format!("journal mode {mode}").into() });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // The committer says when: never inside a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT).map_err(failed)?;
    if age == Age::New {
        connection.execute_batch(SCHEMA).map_err(failed)?;
    }
    sync_recovered(&connection).map_err(failed)?;
    Ok(connection)
}

/// Makes durable what a process that was killed had written to the log and not yet synced. It can
/// be read from now on, so a power cut must not take it back: its numbers would be given twice.
fn sync_recovered(connection: &Connection) -> rusqlite::Result<()> {
    // Syncs the log before it copies it. Nobody else reads or writes yet, so it copies all.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Opens the database for reading.
///
/// # Errors
/// `ReadFailed`, `Corrupt`.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, READER_CACHE_BYTES)?;
    connection.pragma_update(None, "query_only", "ON").map_err(|error| query_failed(&error))?;
    Ok(connection)
}

/// Opens the database for the thread that checkpoints beside the writer.
///
/// # Errors
/// `ReadFailed`, `Corrupt`.
pub(crate) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, READER_CACHE_BYTES)?;
    let failed = |error: rusqlite::Error| query_failed(&error);
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

#[derive(PartialEq, Eq)]
enum Age {
    New,
    Ours,
}

/// Whether the database is ours, before anything in it is changed.
fn age(connection: &Connection) -> Result<Age, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let look = || -> rusqlite::Result<_> {
        let application = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        Ok((application, version, number("SELECT count(*) FROM sqlite_schema")?))
    };
    match look().map_err(|error| query_failed(&error))? {
        (0, 0, 0) => Ok(Age::New),
        (APPLICATION, VERSION, _) => Ok(Age::Ours),
        (application, version, tables) => {
            let found = format!(
                "database of application {application:#x}, version {version}, {tables} tables"
            );
            Err(StoreError::Unsupported { found: found.into() })
        }
    }
}

fn open(path: &Path, cache_bytes: usize) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: rusqlite::Error| query_failed(&error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Negative: in kibibytes.
    let cache = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -cache).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}

/// The number of the last commit, as this connection's transaction sees it.
pub(crate) fn commit_no(connection: &Connection) -> rusqlite::Result<CommitNo> {
    let mut statement =
        connection.prepare_cached("SELECT value FROM meta WHERE name = 'commit'")?;
    let number = statement.query_row([], |row| unsigned(row, 0)).optional()?;
    Ok(CommitNo(number.unwrap_or(0)))
}

pub(crate) fn get(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM row WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

/// Calls `visit` for the rows of a range until it breaks.
pub(crate) fn scan(
    connection: &Connection,
    range: &KeyRange,
    visit: &mut Visitor<'_>,
) -> rusqlite::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let sql = match (range.order, &range.end) {
        (Order::Ascending, Some(_)) => {
            "SELECT key, value FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key"
        }
        (Order::Ascending, None) => "SELECT key, value FROM row WHERE key >= ?1 ORDER BY key",
        (Order::Descending, Some(_)) => {
            "SELECT key, value FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key DESC"
        }
        (Order::Descending, None) => "SELECT key, value FROM row WHERE key >= ?1 ORDER BY key DESC",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = match &range.end {
        Some(end) => statement.query(params![range.start, end])?,
        None => statement.query(params![range.start])?,
    };
    while let Some(row) = rows.next()? {
        if visit(bytes(row, 0)?, bytes(row, 1)?).is_break() {
            break;
        }
    }
    Ok(())
}

pub(crate) fn locate(connection: &Connection, key: &BlobKey) -> rusqlite::Result<Option<Location>> {
    let mut statement = connection.prepare_cached(
        "SELECT pack, offset, length, size FROM blob WHERE scope = ?1 AND id = ?2",
    )?;
    statement.query_row(params![key.scope, key.id.as_bytes()], |row| location(row, 0)).optional()
}

/// Calls `visit` for the blobs after `after` until it breaks.
pub(crate) fn list_blobs(
    connection: &Connection,
    after: Option<&BlobKey>,
    visit: &mut dyn FnMut(BlobInfo) -> std::ops::ControlFlow<()>,
) -> rusqlite::Result<()> {
    let (scope, id) = match after {
        Some(key) => (key.scope.as_slice(), key.id.as_bytes().as_slice()),
        // No id is empty, so the first blob of the empty scope is after this.
        None => (&[][..], &[][..]),
    };
    let mut statement = connection.prepare_cached(
        "SELECT scope, id, pack, offset, length, size, named_at FROM blob
         WHERE (scope, id) > (?1, ?2) ORDER BY scope, id",
    )?;
    let mut rows = statement.query(params![scope, id])?;
    while let Some(row) = rows.next()? {
        let Location { size, length, .. } = location(row, 2)?;
        let info = BlobInfo {
            key: blob_key(row)?,
            size,
            stored_bytes: length,
            named_at: CommitNo(unsigned(row, 6)?),
        };
        if visit(info).is_break() {
            break;
        }
    }
    Ok(())
}

/// The blobs whose records are in a pack, in the order of the pack.
pub(crate) fn blobs_of_pack(
    connection: &Connection,
    pack: u64,
) -> rusqlite::Result<Vec<(BlobKey, Location)>> {
    let mut statement = connection.prepare_cached(
        "SELECT scope, id, pack, offset, length, size FROM blob WHERE pack = ?1 ORDER BY offset",
    )?;
    let rows =
        statement.query_map([signed(pack)], |row| Ok((blob_key(row)?, location(row, 2)?)))?;
    rows.collect()
}

pub(crate) fn packs(connection: &Connection) -> rusqlite::Result<Vec<PackRow>> {
    let mut statement = connection.prepare("SELECT id, end, live, sealed FROM pack")?;
    let rows = statement.query_map([], |row| {
        let state = if row.get(3)? { PackState::Sealed } else { PackState::Active };
        Ok(PackRow {
            id: unsigned(row, 0)?,
            end: unsigned(row, 1)?,
            live: unsigned(row, 2)?,
            state,
        })
    })?;
    rows.collect()
}

/// The statements of a group of commits, prepared once.
pub(crate) struct Statements<'c> {
    connection: &'c Connection,
    get: CachedStatement<'c>,
    put: CachedStatement<'c>,
    delete: CachedStatement<'c>,
    set_commit_no: CachedStatement<'c>,
    insert_blob: CachedStatement<'c>,
    name_blob: CachedStatement<'c>,
    move_blob: CachedStatement<'c>,
    blob_named_at: CachedStatement<'c>,
    delete_blob: CachedStatement<'c>,
    set_pack: CachedStatement<'c>,
    delete_pack: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    pub(crate) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| connection.prepare_cached(sql);
        Ok(Self {
            connection,
            get: prepare("SELECT value FROM row WHERE key = ?1")?,
            // Not an upsert: on a table without rowid and other indexes, REPLACE overwrites in one
            // descent of the tree, while an upsert looks first.
            put: prepare("REPLACE INTO row (key, value) VALUES (?1, ?2)")?,
            delete: prepare("DELETE FROM row WHERE key = ?1")?,
            set_commit_no: prepare("REPLACE INTO meta (name, value) VALUES ('commit', ?1)")?,
            insert_blob: prepare(
                "INSERT INTO blob (scope, id, pack, offset, length, size, named_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?,
            name_blob: prepare("UPDATE blob SET named_at = ?3 WHERE scope = ?1 AND id = ?2")?,
            move_blob: prepare(
                "UPDATE blob SET pack = ?5, offset = ?6
                 WHERE scope = ?1 AND id = ?2 AND pack = ?3 AND offset = ?4",
            )?,
            blob_named_at: prepare(
                "SELECT named_at, pack, length FROM blob WHERE scope = ?1 AND id = ?2",
            )?,
            delete_blob: prepare("DELETE FROM blob WHERE scope = ?1 AND id = ?2")?,
            set_pack: prepare(
                "INSERT INTO pack (id, end, live, sealed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE
                 SET end = excluded.end, live = excluded.live, sealed = excluded.sealed",
            )?,
            delete_pack: prepare("DELETE FROM pack WHERE id = ?1")?,
        })
    }

    pub(crate) fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(crate) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    pub(crate) fn rollback(&self) -> rusqlite::Result<()> {
        // Some errors have rolled back already.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK")
    }

    /// Shows the value of a key to `look`.
    pub(crate) fn with_value<T>(
        &mut self,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> T,
    ) -> rusqlite::Result<T> {
        let mut rows = self.get.query([key])?;
        match rows.next()? {
            Some(row) => Ok(look(Some(bytes(row, 0)?))),
            None => Ok(look(None)),
        }
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> rusqlite::Result<()> {
        self.put.execute([key, value]).map(drop)
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> rusqlite::Result<()> {
        self.delete.execute([key]).map(drop)
    }

    pub(crate) fn set_commit_no(&mut self, number: CommitNo) -> rusqlite::Result<()> {
        self.set_commit_no.execute([signed(number.0)]).map(drop)
    }

    /// Records where a blob is; says whether it was not recorded before.
    pub(crate) fn insert_blob(
        &mut self,
        key: &BlobKey,
        location: Location,
        named_at: CommitNo,
    ) -> rusqlite::Result<Changed> {
        let Location { pack, offset, length, size } = location;
        let count = self.insert_blob.execute(params![
            key.scope,
            key.id.as_bytes(),
            signed(pack),
            signed(offset),
            signed(length),
            signed(size),
            signed(named_at.0)
        ])?;
        Ok(Changed::from_count(count))
    }

    /// Remembers that a commit has named a blob.
    pub(crate) fn name_blob(&mut self, key: &BlobKey, at: CommitNo) -> rusqlite::Result<Changed> {
        let count = self.name_blob.execute(params![key.scope, key.id.as_bytes(), signed(at.0)])?;
        Ok(Changed::from_count(count))
    }

    /// Records that a blob has been copied to another pack, unless it has changed meanwhile.
    pub(crate) fn move_blob(
        &mut self,
        key: &BlobKey,
        from: Location,
        to: Location,
    ) -> rusqlite::Result<Changed> {
        let count = self.move_blob.execute(params![
            key.scope,
            key.id.as_bytes(),
            signed(from.pack),
            signed(from.offset),
            signed(to.pack),
            signed(to.offset)
        ])?;
        Ok(Changed::from_count(count))
    }

    /// When a blob was last named, in which pack it is, and the length of its record.
    pub(crate) fn blob_named_at(
        &mut self,
        key: &BlobKey,
    ) -> rusqlite::Result<Option<(CommitNo, u64, u64)>> {
        self.blob_named_at
            .query_row(params![key.scope, key.id.as_bytes()], |row| {
                Ok((CommitNo(unsigned(row, 0)?), unsigned(row, 1)?, unsigned(row, 2)?))
            })
            .optional()
    }

    pub(crate) fn delete_blob(&mut self, key: &BlobKey) -> rusqlite::Result<()> {
        self.delete_blob.execute(params![key.scope, key.id.as_bytes()]).map(drop)
    }

    pub(crate) fn set_pack(&mut self, row: &PackRow) -> rusqlite::Result<()> {
        let sealed = row.state == PackState::Sealed;
        let values = params![signed(row.id), signed(row.end), signed(row.live), sealed];
        self.set_pack.execute(values).map(drop)
    }

    pub(crate) fn delete_pack(&mut self, id: u64) -> rusqlite::Result<()> {
        self.delete_pack.execute([signed(id)]).map(drop)
    }
}

/// Whether a statement found what it was to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    One,
    None,
}

impl Changed {
    fn from_count(count: usize) -> Self {
        if count == 0 { Self::None } else { Self::One }
    }
}

fn blob_key(row: &Row<'_>) -> rusqlite::Result<BlobKey> {
    let id: [u8; 32] = row.get(1)?;
    Ok(BlobKey::new(bytes(row, 0)?, BlobId::from(id)))
}

fn location(row: &Row<'_>, first: usize) -> rusqlite::Result<Location> {
    Ok(Location {
        pack: unsigned(row, first)?,
        offset: unsigned(row, first + 1)?,
        length: unsigned(row, first + 2)?,
        size: unsigned(row, first + 3)?,
    })
}

fn bytes<'r>(row: &'r Row<'_>, index: usize) -> rusqlite::Result<&'r [u8]> {
    match row.get_ref(index)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        other => {
            let name = "a column of bytes".to_owned();
            Err(rusqlite::Error::InvalidColumnType(index, name, other.data_type()))
        }
    }
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}

/// Numbers here count commits, packs and bytes: none comes near 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE row (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE blob (
        scope BLOB NOT NULL, id BLOB NOT NULL,
        pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
        size INTEGER NOT NULL, named_at INTEGER NOT NULL,
        PRIMARY KEY (scope, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pack (
        id INTEGER PRIMARY KEY, end INTEGER NOT NULL, live INTEGER NOT NULL, sealed INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 1885501522;
    PRAGMA user_version = 1;
    COMMIT;
";

/// "pbxR", so that tools can tell the file from other databases.
const APPLICATION: i64 = 1_885_501_522;

/// Version of the schema.
const VERSION: i64 = 1;

/// A reader's own cache is emptied by each commit, so it only has to hold what one request needs;
/// the system's page cache is behind it.
const READER_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// What a log file is cut back to after a burst has made it longer.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// More than there are statements.
const STATEMENTS_KEPT: usize = 32;

/// Only recovery after a crash makes a connection wait for another.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
