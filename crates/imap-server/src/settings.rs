//! What the operator decides for IMAP connections, and how long they may take.

use imap_session::{Language, ServerAnnotations, UsersSetQuota};
use std::sync::Arc;
use std::time::Duration;

use net::TlsServer;

/// How IMAP is served at one listener.
#[derive(Clone, Debug, Default)]
pub struct ImapSettings {
    /// TLS for STARTTLS; without it the command is not offered.
    pub starttls: Option<TlsServer>,
    /// How long connections may take.
    pub patience: Patience,
    /// Capabilities that no client is told of.
    pub hidden_capabilities: Vec<String>,
    /// Whether UIDONLY is offered. RFC 9586
    pub uidonly: bool,
    /// How many messages one command works on; `None` for all. RFC 9738
    pub message_limit: Option<u32>,
    /// How many messages one COPY or APPEND adds; `None` for all. RFC 9738
    pub save_limit: Option<u32>,
    /// What the operator tells all clients.
    pub server_annotations: Arc<ServerAnnotations>,
    /// Accounts whose mailboxes stand below `Shared Folders`.
    pub shared_accounts: Arc<[String]>,
    /// What LANGUAGE means by `default`. RFC 5255 §3.2
    pub language: Language,
    /// Whether users may set the limits of their own accounts.
    pub users_set_quota: UsersSetQuota,
}

/// How long the server waits for a client.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte to a login: whoever needs longer is not about to log in.
    pub login: Duration,
    /// Between two commands. RFC 9051 §5.4 asks for 30 minutes at least.
    pub idle: Duration,
    /// Between two pieces of a command or a message that is being sent.
    pub command: Duration,
    /// Until a client takes some of what it is sent.
    pub write: Duration,
    /// Within IDLE, between two signs that the connection is alive: shorter than the memory of
    /// most address translators, long enough to let a phone sleep.
    pub sign_of_life: Duration,
    /// What is added to the answer of a failed login, besides what the throttle says.
    pub failed_login: FailedLogin,
}

/// Whether failed logins are answered slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedLogin {
    /// As the throttle says.
    Slow,
    /// At once: for tests, which fail many times on purpose.
    AtOnce,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(60),
            // A client that says something every 30 minutes, as it is told, and is a little late.
            idle: Duration::from_secs(31 * 60),
            command: Duration::from_secs(5 * 60),
            write: Duration::from_secs(2 * 60),
            sign_of_life: Duration::from_secs(10 * 60),
            failed_login: FailedLogin::Slow,
        }
    }
}
