//! From the errors of the system and of SQLite to those of the contract.

use std::io;

use rusqlite::ErrorCode;
use store::StoreError;

/// A failed write of a file.
pub(crate) fn write_failed(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::StorageFull,
        _ if too_many_files(error) => StoreError::Busy,
        _ => StoreError::write_refused(error),
    }
}

/// The process or the system has no room for one more open file: nothing was done.
fn too_many_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// The same numbers on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// A failed statement that reads.
pub(crate) fn query_failed(error: &rusqlite::Error) -> StoreError {
    if is_damage(error) {
        return StoreError::corrupt(format_args!("database: {error}"));
    }
    StoreError::read_failed(error)
}

/// A failed statement that writes.
pub(crate) fn statement_failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::StorageFull,
        _ if is_damage(error) => StoreError::corrupt(format_args!("database: {error}")),
        _ => StoreError::write_refused(error),
    }
}

/// Whether only damage to the database explains an error: pages that are none, a file that ends too
/// early, tables that are not there, columns that hold what was never put there.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::QueryReturnedNoRows
        | Error::Utf8Error(..) => true,
        Error::SqliteFailure(failure, message) => {
            let code = failure.code;
            let missing = |message: &String| is_missing(message);
            matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
                || message.as_ref().is_some_and(missing)
        }
        Error::SqlInputError { msg, .. } => is_missing(msg),
        _ => false,
    }
}

/// Whether a message of SQLite says that a table or a column is not there. A flipped bit in the
/// text of the schema gives one of them another name.
fn is_missing(message: &str) -> bool {
    message.starts_with("no such ") || message.contains(" has no column named ")
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_schema_that_is_not_ours_is_damage() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE blob (id, lamed_at)").unwrap();
        for statement in [
            "INSERT INTO blob (id, named_at) VALUES (1, 2)",
            "SELECT named_at FROM blob",
            "SELECT id FROM blobs",
        ] {
            let error = connection.execute_batch(statement).unwrap_err();
            assert!(matches!(statement_failed(&error), StoreError::Corrupt { .. }), "{error}");
        }
        let error = connection.execute_batch("SELECT 1 FROM").unwrap_err();
        assert!(matches!(statement_failed(&error), StoreError::WriteRefused { .. }), "{error}");
    }
}
