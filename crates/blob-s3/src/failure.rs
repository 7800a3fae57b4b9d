//! Why a request failed, and whether it is worth another attempt.

use std::fmt;

use store::{HeapKey, StoreError};

use crate::wire::Refusal;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no such object, or no such upload.
    Missing,
    /// The range begins at or after the end of the object.
    PastEnd,
    /// The store is full.
    Full,
    /// The store will not do this, however often it is asked: our rights, our key, our clock.
    Refused(String),
    /// No answer, or one that says nothing about the next attempt.
    Passing(String),
    /// The heap is closed.
    Closed,
}

impl Failure {
    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Passing(_))
    }

    /// As the answer to a read of `key`.
    pub fn of_read(self, key: &HeapKey) -> StoreError {
        match self {
            Self::Missing => StoreError::NotInHeap { key: key.as_str().into() },
            Self::Closed => StoreError::Closed,
            other => StoreError::read_failed(format_args!("object {}: {other}", key.as_str())),
        }
    }

    /// As the answer to a write of `key`.
    pub fn of_write(self, key: &HeapKey) -> StoreError {
        match self {
            Self::Full => StoreError::StorageFull,
            Self::Closed => StoreError::Closed,
            // It may exist, but nobody names it: for the caller nothing was written.
            Self::Passing(reason) => {
                StoreError::unavailable(format_args!("object {}: {reason}", key.as_str()))
            }
            other => StoreError::write_refused(format_args!("object {}: {other}", key.as_str())),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not found"),
            Self::PastEnd => f.write_str("range not satisfiable"),
            Self::Full => f.write_str("the object store is full"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Passing(reason) => f.write_str(reason),
            Self::Closed => f.write_str("closed"),
        }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let mut innermost = String::new();
        while let Some(link) = cause {
            if let Some(refusal) = link.downcast_ref::<Refusal>() {
                return of_refusal(refusal);
            }
            innermost = link.to_string();
            cause = link.source();
        }
        // The innermost cause says what happened ("connection refused"), the outer ones repeat
        // the request.
        innermost.truncate(innermost.floor_char_boundary(REASON_BYTES_MAX));
        Self::Passing(innermost)
    }
}

fn of_refusal(refusal: &Refusal) -> Failure {
    match refusal.status {
        404 if refusal.code == "NoSuchBucket" => Failure::Refused(refusal.to_string()),
        404 => Failure::Missing,
        416 => Failure::PastEnd,
        507 => Failure::Full,
        // 400 is also how a store says that it waited too long for the body.
        400 | 408 | 409 | 425 | 429 => Failure::Passing(refusal.to_string()),
        300..=499 => Failure::Refused(refusal.to_string()),
        _ => Failure::Passing(refusal.to_string()),
    }
}

/// A reason stands in a log line.
const REASON_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> Failure {
        of_refusal(&Refusal { status, code: code.to_owned() })
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        for status in [400, 408, 409, 429, 500, 502, 503, 504] {
            assert!(refusal(status, "").is_passing(), "{status}");
        }
        for status in [301, 401, 403, 404, 405, 416, 507] {
            assert!(!refusal(status, "").is_passing(), "{status}");
        }
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        assert_eq!(refusal(404, "NoSuchKey"), Failure::Missing);
        assert!(matches!(refusal(404, "NoSuchBucket"), Failure::Refused(_)));
    }
}
