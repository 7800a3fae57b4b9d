//! Who may log in: names, passwords, SASL.
//!
//! A wrong name and a wrong password must not be told apart, neither by the answer nor by the time
//! that it takes; so every way through here does the same work for a name that does not exist.

pub mod app_password;
pub mod cache;
pub mod name;
pub mod oauth;
pub mod password;
pub mod sasl;
pub mod scram;
pub mod token;

use crate::error::ServiceError;

/// What a connection has that a login can rest on.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// What an exchange can be bound to: the keying material `EXPORTER-Channel-Binding` of its TLS.
    /// RFC 9266 §2
    pub exporter: Option<[u8; scram::EXPORTER_BYTES]>,
    /// For whom the client's certificate was made out; it has been verified.
    pub certified: Vec<String>,
}

/// Why a login did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthError {
    /// Name and password do not belong together. Never says which of them is wrong.
    Denied,
    /// The client asked to act as somebody else. RFC 4616 §2
    NotAuthorized,
    /// The client's response does not follow its mechanism. RFC 4422 §3
    Malformed,
    /// Who could say whether a token is good does not answer; it may work later.
    Unavailable,
    /// Too many logins are waiting.
    Busy,
    /// The server could not find out.
    Failed(ServiceError),
}

impl From<ServiceError> for AuthError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Busy => Self::Busy,
            other => Self::Failed(other),
        }
    }
}

impl std::fmt::Display for AuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied => f.write_str("authentication failed"),
            Self::NotAuthorized => f.write_str("authorization identity refused"),
            Self::Malformed => f.write_str("malformed response"),
            Self::Unavailable => f.write_str("the provider of tokens does not answer"),
            Self::Busy => f.write_str("too many logins are waiting"),
            Self::Failed(error) => write!(f, "authentication unavailable: {error}"),
        }
    }
}

impl std::error::Error for AuthError {}
