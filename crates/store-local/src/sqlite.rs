//! The database: its schema, its settings and its statements.
//!
//! One table of rows for the keys and values of the contract, one for the locations of blobs, one
//! for the packs, one row that says how far the log has been applied. In WAL mode readers see whole
//! transactions and never wait for the writer.
//!
//! Nothing is synced at a commit: after a power cut the database is as it was at some commit, not
//! before the last checkpoint, and the log has the rest.
//!
//! Rows and locations carry a sum of what they hold, because pages do not: see `sum`.

use std::io;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Row, params};
use store::{BlobId, BlobInfo, BlobKey, CommitNo, KeyRange, Order, StoreError, Visitor};

use crate::disk::private;
use crate::ends;
use crate::error::{query_failed, statement_failed, write_failed};
use crate::folder;
use crate::log::{Applied, LogKey, Position};
use crate::pack::{Location, PackRow, PackState};
use crate::sum::{sum, sum_numbers};

/// Bytes of a page; database limits are counted in pages.
pub(crate) const PAGE_BYTES: u64 = 8192;

/// Whether there is no database yet. An empty file is none: earlier versions made it first.
///
/// # Errors
/// `ReadFailed`.
pub(crate) fn is_missing(path: &Path) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::read_failed(error)),
    }
}

/// Makes an empty database. It is made under another name and gets its own when it is whole and
/// durable, so that no crash and no failing call leaves one that cannot be opened.
///
/// # Errors
/// `StorageFull`, `WriteRefused`, `Busy`.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    let unfinished = path.with_extension("new");
    for leftover in ["", "-journal", "-wal", "-shm"] {
        let mut name = unfinished.clone().into_os_string();
        name.push(leftover);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(write_failed(&error));
            }
            _ => {}
        }
    }
    // Else SQLite would make the file, readable for everybody.
    let file = private().create_new(true).open(&unfinished).map_err(|e| write_failed(&e))?;
    let failed = |error: rusqlite::Error| statement_failed(&error);
    let connection = open(&unfinished, READER_CACHE_BYTES)?;
    connection.pragma_update(None, "page_size", signed(PAGE_BYTES)).map_err(failed)?;
    let wal = connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
    wal.map_err(failed)?;
    connection.execute_batch(SCHEMA).map_err(failed)?;
    ends::make(&connection).map_err(failed)?;
    let insert = "INSERT INTO log_key (id, key) VALUES (0, ?1)";
    connection.execute(insert, [LogKey::random().0]).map_err(failed)?;
    if !matches!(checkpoint(&connection).map_err(failed)?, Copied::Everything(_)) {
        return Err(StoreError::write_refused("a new database was not copied from its log"));
    }
    connection.close().map_err(|(_, error)| statement_failed(&error))?;
    file.sync_all().map_err(|error| write_failed(&error))?;
    std::fs::rename(&unfinished, path).map_err(|error| write_failed(&error))?;
    path.parent().map_or(Ok(()), folder::sync)
}

/// Opens the database for the one thread that writes.
///
/// # Errors
/// `Unsupported` when it is not ours or of another version, `Corrupt`, `WriteRefused`.
pub(crate) fn open_writer(path: &Path, cache_bytes: usize) -> Result<Connection, StoreError> {
    let connection = open(path, cache_bytes)?;
    let failed = |error: rusqlite::Error| statement_failed(&error);
    // Before anything is changed: it may be the database of another program.
    let age = age(&connection)?;
    connection.pragma_update(None, "page_size", signed(PAGE_BYTES)).map_err(failed)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Unsupported { found: format!("journal mode {mode}").into() });
    }
    // The first transaction in the new mode makes the file of the log.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    // SQLite makes these names durable too, but goes on when that fails. A journal that comes back
    // would take back what the database has become, and a log that is gone leaves it half copied.
    path.parent().map_or(Ok(()), folder::sync)?;
    // The log is synced before: a power cut takes back what the log gives again.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    // The committer says when: never inside a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT).map_err(failed)?;
    match age {
        Age::New => return Err(StoreError::corrupt("database: it has no tables")),
        Age::First => upgrade(&connection).map_err(failed)?,
        Age::Ours => {}
    }
    Ok(connection)
}

/// Version 1 had no log: every pack holds bodies only, and the database was synced at each commit.
/// Its rows have no sums until they are written again.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(UPGRADE)?;
    ends::make(connection)?;
    let key = LogKey::random();
    connection.execute("INSERT INTO log_key (id, key) VALUES (0, ?1)", [key.0])?;
    let number = connection.query_row(
        "SELECT coalesce(max(value), 0) FROM meta WHERE name = 'commit'",
        [],
        |row| unsigned(row, 0),
    )?;
    let applied = Applied { commit: number, ..Applied::default() };
    connection.execute(SET_APPLIED, applied_values(&applied))?;
    connection.execute_batch("DROP TABLE meta; PRAGMA user_version = 2; COMMIT;")?;
    checkpoint(connection).map(drop)
}

/// Copies the write-ahead log into the database, as far as no reader prevents it; says whether the
/// database on disk is now as new as this connection saw it when it began.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<Copied> {
    let numbers = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (busy, there, copied): (i64, i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], numbers)?;
    let pages = u64::try_from(copied).unwrap_or(0);
    Ok(if busy == 0 && there == copied { Copied::Everything(pages) } else { Copied::Part(pages) })
}

/// How far a checkpoint came, with the pages of the log that are in the database now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    Everything(u64),
    Part(u64),
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
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    Ok(connection)
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// No tables.
    New,
    /// Version 1, from before the log.
    First,
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
        (APPLICATION, 1, _) => Ok(Age::First),
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

/// How far the log has been applied, as this connection's transaction sees it.
///
/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn applied(connection: &Connection) -> Result<Applied, StoreError> {
    let read = || -> rusqlite::Result<Option<(Applied, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT commit_no, group_no, segment, offset, sum FROM applied WHERE id = 0",
        )?;
        let row = |row: &Row<'_>| {
            let at = Position { segment: unsigned(row, 2)?, offset: unsigned(row, 3)? };
            let applied = Applied { commit: unsigned(row, 0)?, group: unsigned(row, 1)?, at };
            Ok((applied, row.get(4)?))
        };
        statement.query_row([], row).optional()
    };
    let damaged = || StoreError::corrupt("database: the position in the log");
    match read().map_err(|error| query_failed(&error))? {
        Some((applied, sum)) if sum == applied_sum(&applied) => Ok(applied),
        Some(_) => Err(damaged()),
        None => Ok(Applied::default()),
    }
}

/// The secret of the log.
///
/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn log_key(connection: &Connection) -> Result<LogKey, StoreError> {
    let read = connection.query_row("SELECT key FROM log_key", [], |row| row.get::<_, [u8; 32]>(0));
    read.map(LogKey).map_err(|error| query_failed(&error))
}

fn applied_sum(applied: &Applied) -> i64 {
    let Applied { group, commit, at: Position { segment, offset } } = *applied;
    sum_numbers(&[b"applied"], &[commit, group, segment, offset])
}

fn applied_values(applied: &Applied) -> [i64; 5] {
    let Applied { group, commit, at: Position { segment, offset } } = *applied;
    let sum = applied_sum(applied);
    [signed(commit), signed(group), signed(segment), signed(offset), sum]
}

/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn get(connection: &Connection, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error: rusqlite::Error| query_failed(&error);
    let mut statement =
        connection.prepare_cached("SELECT value, sum FROM row WHERE key = ?1").map_err(failed)?;
    let mut rows = statement.query([key]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else {
        return ends::confirm_absent(connection, key).map(|()| None);
    };
    let value = bytes(row, 0).map_err(failed)?;
    check_row(key, value, row, 1)?;
    Ok(ends::shown(key, value).map(<[u8]>::to_vec))
}

/// Compares a row with its sum; a row of version 1 has none.
pub(crate) fn check_row(
    key: &[u8],
    value: &[u8],
    row: &Row<'_>,
    index: usize,
) -> Result<(), StoreError> {
    let found: Option<i64> = row.get(index).map_err(|error| query_failed(&error))?;
    if found.is_none_or(|found| found == sum(&[key, value])) {
        Ok(())
    } else {
        Err(damaged_row(key))
    }
}

pub(crate) fn damaged_row(key: &[u8]) -> StoreError {
    StoreError::corrupt(format_args!("database: row {}", hex(key)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Calls `visit` for the rows of a range until it breaks.
///
/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn scan(
    connection: &Connection,
    range: &KeyRange,
    visit: &mut Visitor<'_>,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    let failed = |error: rusqlite::Error| query_failed(&error);
    let end = range.end.as_deref().unwrap_or(ends::LAST);
    // Without the other bound: the row that ends the scan shows whether it ended where it should.
    let (sql, from) = match range.order {
        Order::Ascending => {
            ends::confirm_below(connection, &range.start)?;
            ("SELECT key, value, sum FROM row WHERE key >= ?1 ORDER BY key", range.start.as_slice())
        }
        Order::Descending => {
            ends::confirm_from(connection, end)?;
            ("SELECT key, value, sum FROM row WHERE key < ?1 ORDER BY key DESC", end)
        }
    };
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([from]).map_err(failed)?;
    // Pages that have changed places on the disk hold rows whose sums are right.
    let mut last: Option<Vec<u8>> = None;
    while let Some(row) = rows.next().map_err(failed)? {
        let (key, value) = (bytes(row, 0).map_err(failed)?, bytes(row, 1).map_err(failed)?);
        check_row(key, value, row, 2)?;
        let in_order = match (&last, range.order) {
            (None, Order::Ascending) => key >= from,
            (None, Order::Descending) => key < from,
            (Some(last), Order::Ascending) => key > last.as_slice(),
            (Some(last), Order::Descending) => key < last.as_slice(),
        };
        if !in_order {
            return Err(damaged_row(key));
        }
        let is_over = match range.order {
            Order::Ascending => key >= end,
            Order::Descending => key < range.start.as_slice(),
        };
        let shown = ends::shown(key, value).filter(|_| !is_over);
        let stopped = shown.is_some_and(|value| visit(key, value).is_break());
        if is_over || stopped {
            return ends::confirm_found(connection, key);
        }
        let last = last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
    }
    match (range.order, last) {
        // Nothing is below the first row.
        (Order::Descending, Some(last)) if last.is_empty() => Ok(()),
        _ => Err(ends::no_end()),
    }
}

/// Some rows that were compared with their sums.
pub(crate) struct Checked {
    pub(crate) damaged: Vec<StoreError>,
    /// Where to go on; `None` at the end of the table.
    pub(crate) last: Option<Vec<u8>>,
}

/// Compares the rows after a key with their sums, up to [`CHECKED_ROWS`].
///
/// # Errors
/// `Corrupt` when a page cannot be read, `ReadFailed`.
pub(crate) fn check_rows(
    connection: &Connection,
    after: Option<&[u8]>,
) -> Result<Checked, StoreError> {
    let failed = |error: rusqlite::Error| query_failed(&error);
    let sql = match after {
        Some(_) => "SELECT key, value, sum FROM row WHERE key > ?1 ORDER BY key LIMIT ?2",
        None => "SELECT key, value, sum FROM row WHERE key >= ?1 ORDER BY key LIMIT ?2",
    };
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement
        .query(params![after.unwrap_or_default(), signed(CHECKED_ROWS)])
        .map_err(failed)?;
    let (mut checked, mut count) = (Checked { damaged: Vec::new(), last: None }, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let (key, value) = (bytes(row, 0).map_err(failed)?, bytes(row, 1).map_err(failed)?);
        checked.damaged.extend(check_row(key, value, row, 2).err());
        count += 1;
        if count == CHECKED_ROWS {
            checked.last = Some(key.to_vec());
        }
    }
    Ok(checked)
}

/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn locate(
    connection: &Connection,
    key: &BlobKey,
) -> Result<Option<Location>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let mut statement = connection.prepare_cached(
            "SELECT pack, offset, length, size, sum FROM blob WHERE scope = ?1 AND id = ?2",
        )?;
        let row = |row: &Row<'_>| Ok((location(row, 0)?, row.get(4)?));
        statement.query_row(params![key.scope, key.id.as_bytes()], row).optional()
    };
    let found = read().map_err(|error| query_failed(&error))?;
    found.map(|(location, sum)| check_location(key, location, sum)).transpose()
}

/// Compares a location with its sum; one of version 1 has none.
fn check_location(
    key: &BlobKey,
    location: Location,
    sum: Option<i64>,
) -> Result<Location, StoreError> {
    if sum.is_none_or(|sum| sum == location_sum(key, &location)) {
        return Ok(location);
    }
    Err(StoreError::corrupt(format_args!("database: location of blob {}", key.id)))
}

fn location_sum(key: &BlobKey, location: &Location) -> i64 {
    let Location { pack, offset, length, size } = *location;
    sum_numbers(&[&key.scope, key.id.as_bytes()], &[pack, offset, length, size])
}

/// Calls `visit` for the blobs after `after` until it breaks.
pub(crate) fn list_blobs(
    connection: &Connection,
    after: Option<&BlobKey>,
    visit: &mut dyn FnMut(BlobInfo) -> std::ops::ControlFlow<()>,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| query_failed(&error);
    let (scope, id) = match after {
        Some(key) => (key.scope.as_slice(), key.id.as_bytes().as_slice()),
        // No id is empty, so the first blob of the empty scope is after this.
        None => (&[][..], &[][..]),
    };
    let mut statement = connection
        .prepare_cached(
            "SELECT scope, id, pack, offset, length, size, named_at, sum FROM blob
             WHERE (scope, id) > (?1, ?2) ORDER BY scope, id",
        )
        .map_err(failed)?;
    let mut rows = statement.query(params![scope, id]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (info, sum, location) = blob_info(row).map_err(failed)?;
        check_location(&info.key, location, sum)?;
        if visit(info).is_break() {
            break;
        }
    }
    Ok(())
}

fn blob_info(row: &Row<'_>) -> rusqlite::Result<(BlobInfo, Option<i64>, Location)> {
    let location = location(row, 2)?;
    let info = BlobInfo {
        key: blob_key(row)?,
        size: location.size,
        stored_bytes: location.length,
        named_at: CommitNo(unsigned(row, 6)?),
    };
    Ok((info, row.get(7)?, location))
}

/// The blobs whose records are in a pack, in the order of the pack.
///
/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn blobs_of_pack(
    connection: &Connection,
    pack: u64,
) -> Result<Vec<(BlobKey, Location)>, StoreError> {
    let read = || -> rusqlite::Result<Vec<(BlobKey, Location, Option<i64>)>> {
        let mut statement = connection.prepare_cached(
            "SELECT scope, id, pack, offset, length, size, sum FROM blob
             WHERE pack = ?1 ORDER BY offset",
        )?;
        let row = |row: &Row<'_>| Ok((blob_key(row)?, location(row, 2)?, row.get(6)?));
        statement.query_map([signed(pack)], row)?.collect()
    };
    let found = read().map_err(|error| query_failed(&error))?;
    let checked = found.into_iter().map(|(key, location, sum)| {
        check_location(&key, location, sum).map(|location| (key, location))
    });
    checked.collect()
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
    set_applied: CachedStatement<'c>,
    insert_blob: CachedStatement<'c>,
    name_blob: CachedStatement<'c>,
    move_blob: CachedStatement<'c>,
    blob_named_at: CachedStatement<'c>,
    delete_blob: CachedStatement<'c>,
    set_pack: CachedStatement<'c>,
    delete_pack: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self, StoreError> {
        let prepare = |sql| connection.prepare_cached(sql).map_err(failed);
        Ok(Self {
            connection,
            get: prepare("SELECT value, sum FROM row WHERE key = ?1")?,
            // Not an upsert: on a table without rowid and other indexes, REPLACE overwrites in one
            // descent of the tree, while an upsert looks first.
            put: prepare("REPLACE INTO row (key, value, sum) VALUES (?1, ?2, ?3)")?,
            delete: prepare("DELETE FROM row WHERE key = ?1")?,
            set_applied: prepare(SET_APPLIED)?,
            insert_blob: prepare(
                "INSERT INTO blob (scope, id, pack, offset, length, size, named_at, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?,
            name_blob: prepare("UPDATE blob SET named_at = ?3 WHERE scope = ?1 AND id = ?2")?,
            move_blob: prepare(
                "UPDATE blob SET pack = ?5, offset = ?6, sum = ?7
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

    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        let begin = || self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]);
        begin().map(drop).map_err(failed)
    }

    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        let commit = || self.connection.prepare_cached("COMMIT")?.execute([]);
        commit().map(drop).map_err(failed)
    }

    /// Writes what the transaction has changed to the write-ahead log, where it is seen by nobody
    /// until it commits: whether there is room for it shows now.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.connection.cache_flush().map_err(failed)
    }

    pub(crate) fn rollback(&self) -> Result<(), StoreError> {
        // Some errors have rolled back already.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").map_err(failed)
    }

    /// Shows the value of a key to `look`.
    pub(crate) fn with_value<T>(
        &mut self,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError> {
        let mut rows = self.get.query([key]).map_err(failed)?;
        match rows.next().map_err(failed)? {
            Some(row) => {
                let value = bytes(row, 0).map_err(failed)?;
                check_row(key, value, row, 1)?;
                Ok(look(ends::shown(key, value)))
            }
            None => Ok(look(None)),
        }
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let stored = ends::stored(key, value);
        let value = stored.as_deref().unwrap_or(value);
        let sum = sum(&[key, value]);
        self.put.execute(params![key, value, sum]).map(drop).map_err(failed)
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if key.is_empty() {
            // The row stays, as an end.
            let none = sum(&[key, b""]);
            return self.put.execute(params![key, b"", none]).map(drop).map_err(failed);
        }
        self.delete.execute([key]).map(drop).map_err(failed)
    }

    /// Remembers how far the log has been applied.
    pub(crate) fn set_applied(&mut self, applied: &Applied) -> Result<(), StoreError> {
        self.set_applied.execute(applied_values(applied)).map(drop).map_err(failed)
    }

    /// Records where a blob is; says whether it was not recorded before.
    pub(crate) fn insert_blob(
        &mut self,
        key: &BlobKey,
        location: Location,
        named_at: CommitNo,
    ) -> Result<Changed, StoreError> {
        let sum = location_sum(key, &location);
        let Location { pack, offset, length, size } = location;
        let count = self.insert_blob.execute(params![
            key.scope,
            key.id.as_bytes(),
            signed(pack),
            signed(offset),
            signed(length),
            signed(size),
            signed(named_at.0),
            sum
        ]);
        count.map(Changed::from_count).map_err(failed)
    }

    /// Remembers that a commit has named a blob.
    pub(crate) fn name_blob(&mut self, key: &BlobKey, at: CommitNo) -> Result<Changed, StoreError> {
        let count = self.name_blob.execute(params![key.scope, key.id.as_bytes(), signed(at.0)]);
        count.map(Changed::from_count).map_err(failed)
    }

    /// Records that a blob has been copied to another pack, unless it has changed meanwhile.
    pub(crate) fn move_blob(
        &mut self,
        key: &BlobKey,
        from: Location,
        to: Location,
    ) -> Result<Changed, StoreError> {
        let count = self.move_blob.execute(params![
            key.scope,
            key.id.as_bytes(),
            signed(from.pack),
            signed(from.offset),
            signed(to.pack),
            signed(to.offset),
            location_sum(key, &to)
        ]);
        count.map(Changed::from_count).map_err(failed)
    }

    /// When a blob was last named, in which pack it is, and the length of its record.
    pub(crate) fn blob_named_at(
        &mut self,
        key: &BlobKey,
    ) -> Result<Option<(CommitNo, u64, u64)>, StoreError> {
        self.blob_named_at
            .query_row(params![key.scope, key.id.as_bytes()], |row| {
                Ok((CommitNo(unsigned(row, 0)?), unsigned(row, 1)?, unsigned(row, 2)?))
            })
            .optional()
            .map_err(failed)
    }

    pub(crate) fn delete_blob(&mut self, key: &BlobKey) -> Result<(), StoreError> {
        let deleted = self.delete_blob.execute(params![key.scope, key.id.as_bytes()]);
        deleted.map(drop).map_err(failed)
    }

    pub(crate) fn set_pack(&mut self, row: &PackRow) -> Result<(), StoreError> {
        let sealed = row.state == PackState::Sealed;
        let values = params![signed(row.id), signed(row.end), signed(row.live), sealed];
        self.set_pack.execute(values).map(drop).map_err(failed)
    }

    pub(crate) fn delete_pack(&mut self, id: u64) -> Result<(), StoreError> {
        self.delete_pack.execute([signed(id)]).map(drop).map_err(failed)
    }
}

/// Of a statement that writes.
fn failed(error: rusqlite::Error) -> StoreError {
    statement_failed(&error)
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

pub(crate) fn bytes<'r>(row: &'r Row<'_>, index: usize) -> rusqlite::Result<&'r [u8]> {
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
    CREATE TABLE row (
        key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blob (
        scope BLOB NOT NULL, id BLOB NOT NULL,
        pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
        size INTEGER NOT NULL, named_at INTEGER NOT NULL, sum INTEGER,
        PRIMARY KEY (scope, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pack (
        id INTEGER PRIMARY KEY, end INTEGER NOT NULL, live INTEGER NOT NULL, sealed INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE applied (
        id INTEGER PRIMARY KEY, commit_no INTEGER NOT NULL, group_no INTEGER NOT NULL,
        segment INTEGER NOT NULL, offset INTEGER NOT NULL, sum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log_key (id INTEGER PRIMARY KEY, key BLOB NOT NULL) STRICT;
    PRAGMA application_id = 1885501522;
    PRAGMA user_version = 2;
";

/// From version 1, whose rows of the table `meta` are taken over by hand.
const UPGRADE: &str = "
    ALTER TABLE row ADD COLUMN sum INTEGER;
    ALTER TABLE blob ADD COLUMN sum INTEGER;
    CREATE TABLE applied (
        id INTEGER PRIMARY KEY, commit_no INTEGER NOT NULL, group_no INTEGER NOT NULL,
        segment INTEGER NOT NULL, offset INTEGER NOT NULL, sum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log_key (id INTEGER PRIMARY KEY, key BLOB NOT NULL) STRICT;
";

const SET_APPLIED: &str = "REPLACE INTO applied (id, commit_no, group_no, segment, offset, sum)
     VALUES (0, ?1, ?2, ?3, ?4, ?5)";

/// "pbxR", so that tools can tell the file from other databases.
const APPLICATION: i64 = 1_885_501_522;

/// Version of the schema.
const VERSION: i64 = 2;

/// A reader's own cache is emptied by each commit, so it only has to hold what one request needs;
/// the system's page cache is behind it.
const READER_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// What a log file is cut back to after a burst has made it longer.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// Rows that are checked by one read.
const CHECKED_ROWS: u64 = 4096;

/// More than there are statements.
const STATEMENTS_KEPT: usize = 32;

/// Only recovery after a crash makes a connection wait for another.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
