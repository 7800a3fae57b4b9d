//! From what the database says to what the contract says.

use deadpool_postgres::PoolError;
use store::StoreError;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What a failed statement means for the transaction that it was in.
pub(crate) enum Verdict {
    /// Rolled back because of others; the same again may succeed.
    Again(StoreError),
    /// Rolled back.
    Refused(StoreError),
    /// The connection is gone: what was under way may have happened.
    Lost(StoreError),
}

pub(crate) fn verdict(error: &tokio_postgres::Error) -> Verdict {
    let unavailable = StoreError::unavailable(reason(error));
    let Some(db) = error.as_db_error() else {
        return Verdict::Lost(unavailable);
    };
    // A server that ends a session may have committed first, as when it waits for a standby.
    if ends_session(db) {
        return Verdict::Lost(unavailable);
    }
    match db.code() {
        // The third can take the place of a serialization failure when two insert the same key; the
        // last two come when two make the same table, IF NOT EXISTS or not: which one depends on
        // how far the other is.
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::UNIQUE_VIOLATION
        | &SqlState::DUPLICATE_OBJECT
        | &SqlState::DUPLICATE_TABLE => Verdict::Again(unavailable),
        &SqlState::DISK_FULL => Verdict::Refused(StoreError::StorageFull),
        _ => Verdict::Refused(unavailable),
    }
}

fn ends_session(db: &DbError) -> bool {
    matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || matches!(
            db.code(),
            &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW
        )
}

/// Whether the connection is of no use any more.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    matches!(verdict(error), Verdict::Lost(_))
}

/// The error of a read.
pub(crate) fn read_failed(error: &tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(db) if !ends_session(db) => StoreError::read_failed(reason(error)),
        _ => StoreError::unavailable(reason(error)),
    }
}

/// The error of a write that stands alone and may be repeated.
pub(crate) fn write_failed(error: &tokio_postgres::Error) -> StoreError {
    match verdict(error) {
        Verdict::Again(error) | Verdict::Refused(error) | Verdict::Lost(error) => error,
    }
}

/// The error of asking the pool for a connection.
pub(crate) fn no_connection(error: &PoolError) -> StoreError {
    match error {
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => StoreError::Busy,
        PoolError::Backend(error) => StoreError::unavailable(reason(error)),
        PoolError::Closed => StoreError::Closed,
        other => StoreError::unavailable(other),
    }
}

/// With the causes, which the driver keeps apart.
pub(crate) fn reason(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
