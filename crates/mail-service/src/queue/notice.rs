//! What the sender is told, as an entry of its own.

use mail_queue::dsn::{self, Report};
use mail_queue::{Entry, Notice, QueueId, Ret};
use store::{BlobLease, Store, StoreError};

use super::Found;
use crate::error::ServiceError;
use crate::keys::QUEUE_SCOPE;
use crate::limits::{QueueConfig, RETURNED_BYTES_MAX, RETURNED_HEADER_BYTES_MAX};

/// A notice that is stored and has to be named.
pub(super) struct Written {
    pub(super) lease: BlobLease,
    pub(super) entry: Entry,
}

/// Writes a notice about an entry as the message `own`; `None` if nobody may be told. `after` is
/// the entry as it will be.
pub(super) fn write_notice(
    store: &dyn Store,
    config: &QueueConfig,
    (about, own): (QueueId, QueueId),
    found: &Found,
    after: &Entry,
    notice: &Notice,
    now: i64,
) -> Result<Option<Written>, ServiceError> {
    let mut returned = dsn::returned(after, notice);
    if after.size > RETURNED_BYTES_MAX {
        returned = Ret::Headers;
    }
    let original = read_original(store, found, returned)?;
    let (hostname, original) = (config.hostname.as_str(), original.as_deref());
    let log_id = &about.to_string();
    let report = Report { hostname, log_id, own, now, entry: after, notice, original };
    store_notice(store, &report, returned)
}

/// Stores a notice as a message; `None` if nobody may be told.
pub(super) fn store_notice(
    store: &dyn Store,
    report: &Report<'_>,
    returned: Ret,
) -> Result<Option<Written>, ServiceError> {
    let Some(notification) = dsn::compose(report, returned) else { return Ok(None) };
    let lease = store.put_blob(QUEUE_SCOPE, &notification.bytes)?;
    let recipients = vec![notification.recipient];
    let entry = Entry::new(notification.terms, recipients, lease.size(), report.now, None);
    Ok(Some(Written { lease, entry }))
}

/// What goes back of the message; nothing if it cannot be read: the sender is told all the same.
fn read_original(
    store: &dyn Store,
    found: &Found,
    returned: Ret,
) -> Result<Option<Vec<u8>>, ServiceError> {
    let bytes_max = match returned {
        Ret::Full => RETURNED_BYTES_MAX,
        Ret::Headers => RETURNED_HEADER_BYTES_MAX,
    };
    match store.read_blob(QUEUE_SCOPE, &found.blob, 0..bytes_max) {
        Ok(bytes) if returned == Ret::Full => Ok(Some(bytes)),
        Ok(bytes) => Ok(Some(header_of(bytes))),
        Err(error @ (StoreError::Corrupt { .. } | StoreError::BlobMissing { .. })) => {
            tracing::error!(%error, "the body of an entry of the queue is damaged");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The lines before the first empty one; of a header that was cut, the whole lines.
pub(super) fn header_of(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 2);
    let last = || bytes.windows(2).rposition(|two| two == b"\r\n").map(|at| at + 2);
    let end = if bytes.starts_with(b"\r\n") { Some(0) } else { end.or_else(last) };
    bytes.truncate(end.unwrap_or(0));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_before_the_first_empty_line() {
        for (message, header) in [
            ("A: b\r\nC: d\r\n\r\nbody\r\n\r\n", "A: b\r\nC: d\r\n"),
            ("A: b\r\nC: d", "A: b\r\n"),
            ("\r\nbody\r\n\r\n", ""),
            ("A: b", ""),
            ("", ""),
        ] {
            assert_eq!(header_of(message.into()), header.as_bytes(), "{message:?}");
        }
    }
}
