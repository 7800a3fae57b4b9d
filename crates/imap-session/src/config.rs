//! What the operator and the connection decide for a session.

use std::sync::Arc;

use crate::Language;
use crate::filter::SharedFilter;

/// How a session is set up. Plain data; made once per connection.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Name of the server in the greeting; never one that makes clients switch on work-arounds for
    /// another product.
    pub server_name: String,
    /// Whether TLS is in use, or could be.
    pub tls: TlsState,
    /// Whether passwords may be sent without TLS: on loopback only.
    pub cleartext_login: CleartextLogin,
    /// SASL mechanisms that [`crate::Need::Sasl`] can do, in capitals, the strongest first.
    pub mechanisms: Vec<String>,
    /// Octets of the largest message that APPEND takes. RFC 7889
    pub append_limit: u64,
    /// Whether the connection is compressed.
    pub compression: Compressed,
    /// Capabilities that are not to be announced, for a client that fails with one of them.
    pub hidden_capabilities: Vec<String>,
    /// Whether UIDONLY is offered. RFC 9586. A widespread client (the cloud that Outlook syncs
    /// through) enables it and then goes on with sequence numbers, so the operator decides.
    pub uidonly: bool,
    /// How many messages one command works on; `None` for all. RFC 9738
    pub message_limit: Option<u32>,
    /// How many messages one COPY or APPEND adds, if only these are limited. RFC 9738 §3
    pub save_limit: Option<u32>,
    /// Capabilities that are not to be announced to the account that has logged in.
    pub account_hidden: Vec<String>,
    /// What the annotations `/shared/comment` and `/shared/admin` of the server say. RFC 5464
    /// §3.2.1.1
    pub server_annotations: Arc<ServerAnnotations>,
    /// What LANGUAGE means by `default`. RFC 5255 §3.2
    pub language: Language,
    /// Whether a user may set the limits of the own account: SETQUOTA.
    pub users_set_quota: UsersSetQuota,
    /// Login names of the accounts whose mailboxes stand below `Shared Folders` and not below
    /// `Other Users`: they belong to nobody.
    pub shared_accounts: Arc<[String]>,
    /// Failed logins after which the connection is closed.
    pub login_attempts_max: u32,
}

/// TLS on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// It protects the connection.
    Active,
    /// STARTTLS can be used.
    Available,
    /// There is none.
    Unavailable,
}

/// Compression of a connection. RFC 4978
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressed {
    /// It is not compressed.
    No,
    /// It is.
    Yes,
}

/// Whether a password may travel in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleartextLogin {
    /// It may.
    Allowed,
    /// Not without TLS.
    Refused,
}

/// Whether SETQUOTA can succeed. RFC 9208 §4.1.3
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsersSetQuota {
    /// For everybody: the limits are the users' own business.
    Allowed,
    /// For nobody: only who runs the server sets limits.
    #[default]
    Refused,
}

/// Annotations of the server that the operator sets and no client can change. RFC 5464 §3.2.1.1
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAnnotations {
    /// `/shared/comment`: a note for everybody.
    pub comment: Option<String>,
    /// `/shared/admin`: a URI by which the administrator can be reached.
    pub admin: Option<String>,
    /// `/shared/filters/…`: searches that everybody can use by name. RFC 5466
    pub filters: Vec<SharedFilter>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            server_name: "Pillarbox".to_owned(),
            tls: TlsState::Unavailable,
            cleartext_login: CleartextLogin::Refused,
            mechanisms: vec!["PLAIN".to_owned()],
            append_limit: APPEND_LIMIT,
            compression: Compressed::No,
            hidden_capabilities: Vec::new(),
            uidonly: false,
            message_limit: None,
            save_limit: None,
            account_hidden: Vec::new(),
            server_annotations: Arc::default(),
            language: Language::Default,
            users_set_quota: UsersSetQuota::Refused,
            shared_accounts: Arc::default(),
            login_attempts_max: LOGIN_ATTEMPTS_MAX,
        }
    }
}

/// 64 MiB: what the large providers take, base64 included, with some room.
const APPEND_LIMIT: u64 = 64 << 20;
/// Enough for a person, too few for a dictionary.
const LOGIN_ATTEMPTS_MAX: u32 = 5;
