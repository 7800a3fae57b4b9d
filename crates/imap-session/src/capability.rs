//! What the server can do: one row for each capability, and when it is announced.

use std::borrow::Cow;

use imap_proto::types::Capability;

use crate::{CleartextLogin, SessionConfig, TlsState, UsersSetQuota};

/// When a capability is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Before and after login: a client needs it to log in, or decides by it how to begin.
    Always,
    /// After login: shorter greetings, and nothing told to strangers that they cannot use.
    LoggedIn,
    /// While STARTTLS could be used. RFC 9051 §6.2.1
    StartTls,
    /// While passwords would travel in the clear. RFC 9051 §6.2.3
    LoginDisabled,
    /// Before login, one for each mechanism that can be used now.
    Mechanisms,
    /// After login, with the largest message. RFC 7889 §2
    AppendLimit,
    /// After login, if users may set limits. RFC 9208 §4.1.3
    UsersSetQuota,
}

/// A client tests for `IMAP4rev1` by name, so both revisions are announced. RFC 9051 §A
const ROWS: &[(&str, When)] = &[
    ("IMAP4rev1", When::Always),
    ("IMAP4rev2", When::Always),
    // RFC 7888: LITERAL+ includes what LITERAL- promises.
    ("LITERAL+", When::Always),
    ("SASL-IR", When::Always),
    ("ENABLE", When::Always),
    ("ID", When::Always),
    ("STARTTLS", When::StartTls),
    ("LOGINDISABLED", When::LoginDisabled),
    ("AUTH=", When::Mechanisms),
    ("IDLE", When::Always),
    ("NAMESPACE", When::LoggedIn),
    ("CHILDREN", When::LoggedIn),
    ("UIDPLUS", When::LoggedIn),
    ("UNSELECT", When::LoggedIn),
    ("MOVE", When::LoggedIn),
    ("CONDSTORE", When::LoggedIn),
    ("QRESYNC", When::LoggedIn),
    ("ESEARCH", When::LoggedIn),
    ("SEARCHRES", When::LoggedIn),
    ("WITHIN", When::LoggedIn),
    ("BINARY", When::LoggedIn),
    ("MULTIAPPEND", When::LoggedIn),
    ("LIST-EXTENDED", When::LoggedIn),
    ("LIST-STATUS", When::LoggedIn),
    ("SPECIAL-USE", When::LoggedIn),
    ("CREATE-SPECIAL-USE", When::LoggedIn),
    // Annotations of mailboxes and of the server; METADATA-SERVER would be the latter alone.
    // RFC 5464 §1
    ("METADATA", When::LoggedIn),
    ("LIST-METADATA", When::LoggedIn),
    ("QUOTA", When::LoggedIn),
    ("QUOTASET", When::UsersSetQuota),
    ("QUOTA=RES-STORAGE", When::LoggedIn),
    ("QUOTA=RES-MESSAGE", When::LoggedIn),
    ("QUOTA=RES-MAILBOX", When::LoggedIn),
    ("STATUS=SIZE", When::LoggedIn),
    ("OBJECTID", When::LoggedIn),
    ("SAVEDATE", When::LoggedIn),
    ("PREVIEW", When::LoggedIn),
    ("UTF8=ACCEPT", When::LoggedIn),
    ("APPENDLIMIT=", When::AppendLimit),
];

/// Whether the client has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Before,
    After,
}

/// The capabilities to announce now.
pub(crate) fn capabilities(config: &SessionConfig, login: Login) -> Vec<Capability> {
    let mut all: Vec<Capability> = Vec::with_capacity(ROWS.len());
    for &(name, when) in ROWS {
        let is_announced = match when {
            When::Always => true,
            When::LoggedIn => login == Login::After,
            When::StartTls => login == Login::Before && config.tls == TlsState::Available,
            When::LoginDisabled => login == Login::Before && !login_is_allowed(config),
            When::Mechanisms => {
                if login == Login::Before && login_is_allowed(config) {
                    all.extend(config.mechanisms.iter().map(|m| Cow::Owned(format!("{name}{m}"))));
                }
                false
            }
            When::UsersSetQuota => {
                login == Login::After && config.users_set_quota == UsersSetQuota::Allowed
            }
            When::AppendLimit => {
                if login == Login::After {
                    all.push(Cow::Owned(format!("{name}{}", config.append_limit)));
                }
                false
            }
        };
        if is_announced {
            all.push(Cow::Borrowed(name));
        }
    }
    all.retain(|c| !config.hidden_capabilities.iter().any(|h| h.eq_ignore_ascii_case(c)));
    all
}

/// Whether a password may be sent over this connection as it is now.
pub(crate) fn login_is_allowed(config: &SessionConfig) -> bool {
    config.tls == TlsState::Active || config.cleartext_login == CleartextLogin::Allowed
}

/// Whether this mechanism is one of those that are announced.
pub(crate) fn has_mechanism(config: &SessionConfig, name: &str) -> bool {
    config.mechanisms.iter().any(|m| m.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(config: &SessionConfig, login: Login, name: &str) -> bool {
        capabilities(config, login).iter().any(|c| c == name)
    }

    #[test]
    fn without_tls_there_is_no_word_of_starttls_and_no_password() {
        let config = SessionConfig::default();
        assert!(!has(&config, Login::Before, "STARTTLS"));
        assert!(has(&config, Login::Before, "LOGINDISABLED"));
        assert!(!has(&config, Login::Before, "AUTH=PLAIN"));
        assert!(!has(&config, Login::After, "LOGINDISABLED"));
    }

    #[test]
    fn tls_opens_the_login_and_closes_starttls() {
        let config = SessionConfig { tls: TlsState::Available, ..SessionConfig::default() };
        assert!(has(&config, Login::Before, "STARTTLS"));
        let config = SessionConfig { tls: TlsState::Active, ..config };
        assert!(!has(&config, Login::Before, "STARTTLS"));
        assert!(has(&config, Login::Before, "AUTH=PLAIN"));
        assert!(!has(&config, Login::After, "AUTH=PLAIN"));
    }

    #[test]
    fn a_hidden_capability_is_not_announced() {
        let hidden_capabilities = vec!["qresync".to_owned()];
        let config = SessionConfig { hidden_capabilities, ..SessionConfig::default() };
        assert!(!has(&config, Login::After, "QRESYNC"));
        assert!(has(&config, Login::After, "CONDSTORE"));
    }
}
