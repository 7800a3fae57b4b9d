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
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::corrupt(format_args!("database: {error}"))
        }
        _ => StoreError::read_failed(error),
    }
}

/// A failed statement that writes.
pub(crate) fn statement_failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::StorageFull,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::corrupt(format_args!("database: {error}"))
        }
        _ => StoreError::write_refused(error),
    }
}
