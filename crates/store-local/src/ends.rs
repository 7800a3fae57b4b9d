//! Whether a row that was not found is really not there.
//!
//! SQLite believes a page for whatever place it stands at. Pages that have changed places on the
//! disk, or one that an old pointer leads to, hold rows whose sums are right; what was hidden by
//! them would just not be found. But a search that ends in a wrong page ends beside a row of that
//! page, and this row, searched by its own key, is not found there where it belongs. So a row is
//! taken to be absent when its neighbours stand where they can be found.
//!
//! So that every place has two neighbours, the first and the last row of the table are the
//! engine's own: one below all keys and one above. The first has the key of no bytes, which is also
//! a caller's: the value of that row says whether it is.

use rusqlite::{Connection, OptionalExtension, params};
use store::StoreError;

use crate::error::query_failed;
use crate::sqlite::{bytes, check_row, damaged_row};
use crate::sum::sum;

/// Above every key that the contract allows.
pub(crate) const LAST: &[u8] = &[u8::MAX; store::limits::KEY_BYTES_MAX + 1];

/// Makes the two rows of a new table.
pub(crate) fn make(connection: &Connection) -> rusqlite::Result<()> {
    for key in [&[][..], LAST] {
        let sum = sum(&[key, b""]);
        let insert = "INSERT OR IGNORE INTO row (key, value, sum) VALUES (?1, x'', ?2)";
        connection.execute(insert, params![key, sum])?;
    }
    Ok(())
}

/// What is stored for a caller's value.
pub(crate) fn stored(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    key.is_empty().then(|| [&[IS_THERE], value].concat())
}

/// The caller's value of a row; `None` when the row is only there to be an end.
pub(crate) fn shown<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    if !key.is_empty() {
        return (key != LAST).then_some(value);
    }
    value.split_first().map(|(_, value)| value)
}

/// A key without a row: its neighbours must stand where they are found.
///
/// # Errors
/// `Corrupt`, `ReadFailed`.
pub(crate) fn confirm_absent(connection: &Connection, key: &[u8]) -> Result<(), StoreError> {
    confirm_below(connection, key)?;
    confirm_from(connection, key)
}

/// The last row below `bound`.
///
/// # Errors
/// As [`confirm_absent`].
pub(crate) fn confirm_below(connection: &Connection, bound: &[u8]) -> Result<(), StoreError> {
    if bound.is_empty() {
        return Ok(());
    }
    let sql = "SELECT key, value, sum FROM row WHERE key < ?1 ORDER BY key DESC LIMIT 1";
    confirm_neighbour(connection, sql, bound)
}

/// The first row at `bound` or above it.
///
/// # Errors
/// As [`confirm_absent`].
pub(crate) fn confirm_from(connection: &Connection, bound: &[u8]) -> Result<(), StoreError> {
    let sql = "SELECT key, value, sum FROM row WHERE key >= ?1 ORDER BY key LIMIT 1";
    confirm_neighbour(connection, sql, bound)
}

fn confirm_neighbour(connection: &Connection, sql: &str, bound: &[u8]) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| query_failed(&error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([bound]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Err(no_end()) };
    let (key, value) = (bytes(row, 0).map_err(failed)?, bytes(row, 1).map_err(failed)?);
    check_row(key, value, row, 2)?;
    confirm_found(connection, key)
}

/// A row that was met on the way can be found by its key.
///
/// # Errors
/// As [`confirm_absent`].
pub(crate) fn confirm_found(connection: &Connection, key: &[u8]) -> Result<(), StoreError> {
    let find = || {
        let mut statement = connection.prepare_cached("SELECT 1 FROM row WHERE key = ?1")?;
        statement.query_row([key], |_| Ok(())).optional()
    };
    let found = find().map_err(|error| query_failed(&error))?;
    found.ok_or_else(|| damaged_row(key))
}

/// The table has lost its first or its last row.
pub(crate) fn no_end() -> StoreError {
    StoreError::corrupt("database: the table of rows has no end")
}

/// Before a caller's value of the key without bytes.
const IS_THERE: u8 = 1;
