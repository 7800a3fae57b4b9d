//! What can go wrong in the service.

use std::fmt;

use mailbox::{Corruption, Refusal};
use store::StoreError;

use crate::codec::CorruptRecord;

/// Every error of the service. Cheap to clone: one failed commit answers a whole batch.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceError {
    /// The rules of mail forbid the operation; nothing changed.
    Refused(Refusal),
    /// There is no account of this name, or it has been removed meanwhile.
    NoSuchAccount,
    /// An account of this name exists.
    AccountExists,
    /// The text cannot be an account's name.
    InvalidName(NameFault),
    /// The text cannot name anybody in an access control list.
    InvalidIdentifier(NameFault),
    /// The text cannot be a password.
    InvalidPassword(PasswordFault),
    /// The text cannot be a capability's name, or these are too many.
    InvalidCapability,
    /// An application password cannot be made or removed.
    AppPassword(AppPasswordFault),
    /// The mailbox does not exist.
    NoSuchMailbox,
    /// The message does not exist, or is gone past its retention.
    NoSuchMessage,
    /// The message is larger than the service takes.
    MessageTooLarge {
        /// The configured maximum, in bytes.
        bytes_max: u64,
    },
    /// The change is larger than one commit of the store may be. Nothing changed.
    ChangeTooLarge,
    /// No space is left; nothing changed.
    StorageFull,
    /// The disk refused a write: whether the change survives is unknown until the service is
    /// opened again, and no further change is taken. Reads go on.
    WriteRefused,
    /// Too much is waiting; nothing changed, try again later.
    Busy,
    /// The account is being moved to another store; nothing changed, try again later.
    Moving,
    /// There is no shard of this name.
    NoSuchShard,
    /// A stored record is damaged. What it belongs to cannot be told.
    Corrupt(CorruptRecord),
    /// Stored records contradict each other.
    Inconsistent(Corruption),
    /// Another error of the store.
    Store(StoreError),
    /// The operating system has no randomness to give.
    NoRandomness,
    /// The service is shutting down.
    Closed,
}

impl ServiceError {
    /// Whether something that is stored is not as it was written.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt(_) | Self::Inconsistent(_) => true,
            Self::Store(error) => {
                matches!(error, StoreError::Corrupt { .. } | StoreError::BlobMissing { .. })
            }
            _ => false,
        }
    }
}

/// Why a text cannot be an account's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing, or nothing but characters that do not count.
    Empty,
    /// Longer than [`crate::limits::ACCOUNT_NAME_BYTES_MAX`].
    TooLong,
    /// A control character, a space, or one that RFC 4013 prohibits.
    Character,
}

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordFault {
    /// Nothing at all.
    Empty,
    /// Longer than [`crate::limits::PASSWORD_BYTES_MAX`].
    TooLong,
    /// Not UTF-8, or with a character that RFC 4013 prohibits.
    Character,
}

/// Why an application password cannot be made or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppPasswordFault {
    /// The text cannot be a label.
    Label,
    /// The account has one with this label.
    Exists,
    /// The account has none with this label.
    Unknown,
    /// The account has [`crate::limits::APP_PASSWORDS_MAX`].
    TooMany,
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::StorageFull => Self::StorageFull,
            StoreError::WriteRefused { .. } => Self::WriteRefused,
            StoreError::Busy => Self::Busy,
            StoreError::Closed => Self::Closed,
            StoreError::TooLarge { .. } => Self::ChangeTooLarge,
            other => Self::Store(other),
        }
    }
}

impl From<CorruptRecord> for ServiceError {
    fn from(error: CorruptRecord) -> Self {
        Self::Corrupt(error)
    }
}

impl From<Corruption> for ServiceError {
    fn from(corruption: Corruption) -> Self {
        Self::Inconsistent(corruption)
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal:?}"),
            Self::NoSuchAccount => f.write_str("no such account"),
            Self::AccountExists => f.write_str("the account exists"),
            Self::InvalidName(fault) => write!(f, "not an account name: {fault}"),
            Self::InvalidIdentifier(fault) => write!(f, "not an identifier: {fault}"),
            Self::InvalidCapability => f.write_str("not the name of a capability"),
            Self::InvalidPassword(fault) => write!(f, "not a password: {fault}"),
            Self::AppPassword(fault) => write!(f, "{fault}"),
            Self::NoSuchMailbox => f.write_str("no such mailbox"),
            Self::NoSuchMessage => f.write_str("no such message"),
            Self::MessageTooLarge { bytes_max } => {
                write!(f, "messages may have {bytes_max} bytes at most")
            }
            Self::ChangeTooLarge => f.write_str("the change is too large for one commit"),
            Self::StorageFull => f.write_str("no space left"),
            Self::WriteRefused => f.write_str("the disk refused a write"),
            Self::Busy => f.write_str("busy"),
            Self::NoSuchShard => f.write_str("no such shard"),
            Self::Moving => f.write_str("the account is being moved"),
            Self::Corrupt(record) => write!(f, "{record}"),
            Self::Inconsistent(corruption) => write!(f, "inconsistent: {corruption}"),
            Self::Store(error) => write!(f, "store: {error}"),
            Self::NoRandomness => f.write_str("no randomness"),
            Self::Closed => f.write_str("shutting down"),
        }
    }
}

impl std::error::Error for ServiceError {}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is too long",
            Self::Character => "it holds a character that no name may hold",
        })
    }
}

impl fmt::Display for PasswordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is too long",
            Self::Character => "it holds a character that no password may hold",
        })
    }
}

impl fmt::Display for AppPasswordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "not a label: it is empty, too long, or holds what cannot be printed",
            Self::Exists => "there is an application password with this label",
            Self::Unknown => "there is no application password with this label",
            Self::TooMany => "the account has as many application passwords as it may have",
        })
    }
}
