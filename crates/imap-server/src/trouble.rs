//! From what went wrong in the service to what a session tells of it.

use imap_session::{Answer, AuthenticationRefused, Trouble};
use mail_service::{AuthError, ServiceError};
use mail_types::{AccountId, MessageId};
use tracing::{error, warn};

/// The answer for a need that failed.
pub fn answer(failure: ServiceError) -> Answer {
    match failure {
        ServiceError::Refused(refusal) => Answer::Submitted(Err(refusal)),
        other => Answer::Failed(trouble(&other)),
    }
}

/// What a session tells of an error. The log gets the rest, here, where its journey ends.
pub fn trouble(failure: &ServiceError) -> Trouble {
    match failure {
        ServiceError::NoSuchAccount => Trouble::AccountGone,
        _ if failure.is_damage() => {
            error!(error = %failure, "stored mail is damaged");
            Trouble::Corrupt
        }
        ServiceError::ChangeTooLarge
        | ServiceError::MessageTooLarge { .. }
        | ServiceError::Busy => Trouble::Limit,
        ServiceError::StorageFull => {
            warn!("a change could not be stored: no space is left");
            Trouble::StorageFull
        }
        ServiceError::WriteRefused => {
            error!(error = %failure, "a change could not be stored");
            Trouble::Unavailable
        }
        ServiceError::Store(_)
        | ServiceError::Corrupt(_)
        | ServiceError::Inconsistent(_)
        | ServiceError::NoRandomness => {
            error!(error = %failure, "the store failed");
            Trouble::Unavailable
        }
        // What it is told is that the account cannot be had now; the operator knows why.
        ServiceError::Closed | ServiceError::Moving => Trouble::Unavailable,
        ServiceError::NoSuchMailbox | ServiceError::NoSuchMessage => {
            // The session looks for these itself; it raced with another one that removed them.
            warn!(error = %failure, "gone meanwhile");
            Trouble::Unavailable
        }
        ServiceError::Refused(_)
        | ServiceError::AccountExists
        | ServiceError::NoSuchShard
        | ServiceError::InvalidName(_)
        | ServiceError::InvalidPassword(_)
        | ServiceError::AppPassword(_)
        | ServiceError::InvalidCapability
        | ServiceError::InvalidIdentifier(_) => {
            error!(error = %failure, "not an error of what was asked for");
            Trouble::Unavailable
        }
    }
}

/// What a session tells of a message that cannot be read; the log names it.
pub fn unread(account: AccountId, message: MessageId, failure: &ServiceError) -> Trouble {
    if failure.is_damage() {
        error!(%account, %message, error = %failure, "a stored message is damaged");
        return Trouble::Corrupt;
    }
    trouble(failure)
}

/// What a session tells of a message that has fewer octets than its row says.
pub fn shorter(message: MessageId) -> Trouble {
    error!(%message, "a stored message is shorter than its row says");
    Trouble::Corrupt
}

/// What a session tells of a login that failed.
pub fn refused(failure: AuthError) -> Answer {
    match failure {
        AuthError::Denied => Answer::AuthenticationRefused(AuthenticationRefused::Credentials),
        AuthError::NotAuthorized => {
            Answer::AuthenticationRefused(AuthenticationRefused::Authorization)
        }
        AuthError::Malformed => Answer::AuthenticationRefused(AuthenticationRefused::Malformed),
        AuthError::Unavailable => Answer::AuthenticationRefused(AuthenticationRefused::Unavailable),
        AuthError::Busy => Answer::Failed(Trouble::Limit),
        AuthError::Failed(error) => Answer::Failed(trouble(&error)),
    }
}
