//! From the errors of the system and of SQLite to those of the contract.

use std::io;

use rusqlite::ErrorCode;
use store::StoreError;

/// A failed write of a file.
pub(crate) fn write_failed(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::StorageFull,
        _ => StoreError::write_refused(error),
    }
}

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
