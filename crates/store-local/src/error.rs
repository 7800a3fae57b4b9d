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
            let missing = |message: &String| message.starts_with("no such ");
            matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
                || message.as_ref().is_some_and(missing)
        }
        Error::SqlInputError { msg, .. } => msg.starts_with("no such "),
        _ => false,
    }
}
