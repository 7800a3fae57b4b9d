//! What a resolver is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

/// Whom to ask, whom to trust, and how long to wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers that resolve names for us; none: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// DNSKEY records as text of a zone; none: the keys of the root.
    pub trust_anchor: Option<Vec<u8>>,
    /// Whether signatures are verified.
    pub validation: Validation,
    /// The longest that one question may take, with every question that it leads to.
    pub timeout: Duration,
    /// How often a server is asked again that did not answer.
    pub attempts: usize,
}

/// Whether signatures are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// If they get through to here. Many routers and older servers drop them on the way: then
    /// nothing counts as signed, and mail flows as it does without DNSSEC.
    #[default]
    Probe,
    /// Always. Whatever cannot be verified is not used.
    Always,
    /// Never: nothing counts as signed.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            trust_anchor: None,
            validation: Validation::default(),
            timeout: TIMEOUT,
            attempts: 2,
        }
    }
}

/// As long as resolvers themselves try. A dialogue of SMTP waits for it, RFC 5321 §4.5.3.2.
const TIMEOUT: Duration = Duration::from_secs(20);
