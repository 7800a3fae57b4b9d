//! Certificates from an authority that issues them by itself (RFC 8555), renewed in time.
//!
//! When to order is decided by pure functions ([`schedule`]); the [`Runner`] waits and does it; the
//! [`Client`] speaks with the authority. What is kept on disk is in one folder: the account's key,
//! one file with the chain and its key, and when the authority was last asked. Each node of a
//! server orders for itself: a certificate's key never leaves the machine that made it, and a node
//! that is down holds up no other.

mod client;
mod hook;
mod runner;
pub mod schedule;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};

pub use client::{Client, check};
pub use hook::{Hook, HookError};
pub use runner::{Clock, Handle, Runner, Status};
pub use tokens::Tokens;

/// What the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The authority's directory.
    pub directory: String,
    /// Where the authority may write to: `mailto:` and an address.
    pub contact: Vec<String>,
    /// For whom the certificate shall be. The first is needed; the others are left out while they
    /// cannot be proved.
    pub names: Vec<String>,
    /// How their control is proved.
    pub challenge: Challenge,
    /// Who vouches for the authority's own server, as PEM; without it, whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Where everything is kept.
    pub folder: PathBuf,
}

/// How the control of a name is proved. RFC 8555 §8
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A text at a well-known place, on port 80. RFC 8555 §8.3
    Http01,
    /// A certificate made for it, on port 443. RFC 8737
    TlsAlpn01,
    /// A TXT record, which a program of the operator's makes. RFC 8555 §8.4
    Dns01(Hook),
}

/// The file within a folder that holds the chain and its key.
pub fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// A chain and its key, both as PEM.
pub struct Issued {
    /// The certificate and the intermediates after it.
    pub chain: String,
    /// The key.
    pub key: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued …")
    }
}

/// Why there is no new certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderError {
    /// What happened, on one line.
    pub reason: String,
    /// The names whose control was not proved, if it failed for that.
    pub refused: Vec<String>,
}

impl OrderError {
    /// Something that has nothing to do with a single name. What an authority says is cut short
    /// and comes without control characters: it ends in a log.
    pub fn new(reason: impl fmt::Display) -> Self {
        let plain = reason.to_string();
        let plain = plain.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { reason: plain.take(REASON_CHARS_MAX).collect(), refused: Vec::new() }
    }
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for OrderError {}

/// When the authority wants a certificate to be renewed. RFC 9773 §4.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Begin of the window, in seconds since 1970.
    pub start: i64,
    /// Its end.
    pub end: i64,
    /// In how many seconds to ask again.
    pub ask_again_secs: i64,
}

/// Who issues certificates. Not the network: what a test says.
pub trait Authority: Send + Sync + 'static {
    /// Orders a certificate for names, in place of one that it has issued before.
    fn order(
        &self,
        names: &[String],
        replaced: Option<&net::Facts>,
    ) -> impl Future<Output = Result<Issued, OrderError>> + Send;

    /// When to renew a certificate; `None` when the authority has no opinion.
    fn advice(
        &self,
        certificate: &net::Facts,
    ) -> impl Future<Output = Result<Option<Advice>, OrderError>> + Send;
}

/// The directory of Let's Encrypt.
pub const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Longest reason that is kept.
const REASON_CHARS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s017_a_reason_is_one_short_line() {
        let error = OrderError::new(format!("no\r\nyes\u{1b}[1m{}", "x".repeat(5000)));
        assert!(error.reason.starts_with("no  yes [1mxx"), "{}", error.reason);
        assert_eq!(error.reason.len(), REASON_CHARS_MAX);
    }

    #[test]
    fn what_was_issued_is_not_printed() {
        let issued = Issued { chain: "chain".into(), key: "swordfish".into() };
        assert!(!format!("{issued:?}").contains("fish"));
    }
}
