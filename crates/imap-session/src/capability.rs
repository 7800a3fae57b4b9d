//! What the server can do: one row for each capability, and when it is announced.

use std::borrow::Cow;

use imap_proto::types::Capability;

use crate::{CleartextLogin, Compressed, SessionConfig, TlsState, UsersSetQuota};

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
    /// After login, while the connection is not compressed. RFC 4978 §3
    Compressible,
    /// Before login, one for each mechanism that can be used now.
    Mechanisms,
    /// After login, with the largest message. RFC 7889 §2
    AppendLimit,
    /// After login, if the operator wants it.
    UidOnly,
    /// After login, with the limit, if there is one. RFC 9738 §3
    MessageLimit,
    /// The same of a limit on COPY and APPEND only.
    SaveLimit,
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
    ("COMPRESS=DEFLATE", When::Compressible),
    ("UNAUTHENTICATE", When::LoggedIn),
    ("NAMESPACE", When::LoggedIn),
    ("CHILDREN", When::LoggedIn),
    ("UIDPLUS", When::LoggedIn),
    ("UNSELECT", When::LoggedIn),
    ("MOVE", When::LoggedIn),
    ("REPLACE", When::LoggedIn),
    ("CONDSTORE", When::LoggedIn),
    ("QRESYNC", When::LoggedIn),
    ("ESEARCH", When::LoggedIn),
    ("SEARCHRES", When::LoggedIn),
    ("SORT", When::LoggedIn),
    ("SORT=DISPLAY", When::LoggedIn),
    ("ESORT", When::LoggedIn),
    ("THREAD=ORDEREDSUBJECT", When::LoggedIn),
    ("THREAD=REFERENCES", When::LoggedIn),
    ("THREAD=REFS", When::LoggedIn),
    ("I18NLEVEL=1", When::LoggedIn),
    ("I18NLEVEL=2", When::LoggedIn),
    ("PARTIAL", When::LoggedIn),
    ("MULTISEARCH", When::LoggedIn),
    ("SEARCH=FUZZY", When::LoggedIn),
    ("CONTEXT=SEARCH", When::LoggedIn),
    ("WITHIN", When::LoggedIn),
    ("BINARY", When::LoggedIn),
    ("MULTIAPPEND", When::LoggedIn),
    ("CATENATE", When::LoggedIn),
    // PARTIAL in the URLs of CATENATE. RFC 5550 §5
    ("URL-PARTIAL", When::LoggedIn),
    ("URLAUTH", When::LoggedIn),
    ("URLAUTH=BINARY", When::LoggedIn),
    ("LIST-EXTENDED", When::LoggedIn),
    ("LIST-STATUS", When::LoggedIn),
    ("SPECIAL-USE", When::LoggedIn),
    ("CREATE-SPECIAL-USE", When::LoggedIn),
    // Annotations of mailboxes and of the server; METADATA-SERVER would be the latter alone.
    // RFC 5464 §1
    ("METADATA", When::LoggedIn),
    ("LIST-METADATA", When::LoggedIn),
    // Annotations of messages. RFC 5257
    ("ANNOTATE-EXPERIMENT-1", When::LoggedIn),
    ("QUOTA", When::LoggedIn),
    ("QUOTASET", When::UsersSetQuota),
    ("QUOTA=RES-STORAGE", When::LoggedIn),
    ("QUOTA=RES-MESSAGE", When::LoggedIn),
    ("QUOTA=RES-MAILBOX", When::LoggedIn),
    ("QUOTA=RES-ANNOTATION-STORAGE", When::LoggedIn),
    ("STATUS=SIZE", When::LoggedIn),
    ("NOTIFY", When::LoggedIn),
    ("INPROGRESS", When::LoggedIn),
    ("OBJECTID", When::LoggedIn),
    ("SAVEDATE", When::LoggedIn),
    ("PREVIEW", When::LoggedIn),
    ("UTF8=ACCEPT", When::LoggedIn),
    ("UIDONLY", When::UidOnly),
    ("MESSAGELIMIT=", When::MessageLimit),
    ("SAVELIMIT=", When::SaveLimit),
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
            When::Compressible => login == Login::After && config.compression == Compressed::No,
            When::Mechanisms => {
                if login == Login::Before && login_is_allowed(config) {
                    all.extend(config.mechanisms.iter().map(|m| Cow::Owned(format!("{name}{m}"))));
                }
                false
            }
            When::UidOnly => login == Login::After && config.uidonly,
            When::UsersSetQuota => {
                login == Login::After && config.users_set_quota == UsersSetQuota::Allowed
            }
            When::AppendLimit | When::MessageLimit | When::SaveLimit => {
                let limit = limit(when, config).filter(|_| login == Login::After);
                all.extend(limit.map(|limit| Cow::Owned(format!("{name}{limit}"))));
                false
            }
        };
        if is_announced {
            all.push(Cow::Borrowed(name));
        }
    }
    all.retain(|c| !is_hidden(config, login, c));
    all
}

/// The number behind the name of a capability that tells a limit.
fn limit(when: When, config: &SessionConfig) -> Option<u64> {
    match when {
        When::AppendLimit => Some(config.append_limit),
        When::MessageLimit => config.message_limit.map(u64::from),
        // MESSAGELIMIT says it all. RFC 9738 §3
        When::SaveLimit if config.message_limit.is_none() => config.save_limit.map(u64::from),
        _ => None,
    }
}

/// Whether this capability is not to be announced now. `COMPRESS` hides `COMPRESS=DEFLATE`, too.
pub(crate) fn is_hidden(config: &SessionConfig, login: Login, name: &str) -> bool {
    let family = name.split_once('=').map_or(name, |(family, _)| family);
    let names = |h: &String| h.eq_ignore_ascii_case(name) || h.eq_ignore_ascii_case(family);
    let for_account = login == Login::After && config.account_hidden.iter().any(names);
    for_account || config.hidden_capabilities.iter().any(names)
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
    fn limits_are_announced_with_their_numbers_and_the_wider_one_alone() {
        let config = SessionConfig { save_limit: Some(1000), ..SessionConfig::default() };
        assert!(has(&config, Login::After, "SAVELIMIT=1000"));
        assert!(!has(&config, Login::Before, "SAVELIMIT=1000"));
        let config = SessionConfig { message_limit: Some(2000), ..config };
        assert!(has(&config, Login::After, "MESSAGELIMIT=2000"));
        assert!(!has(&config, Login::After, "SAVELIMIT=1000"));
    }

    #[test]
    fn a_hidden_capability_is_not_announced() {
        let hidden_capabilities = vec!["qresync".to_owned()];
        let config = SessionConfig { hidden_capabilities, ..SessionConfig::default() };
        assert!(!has(&config, Login::After, "QRESYNC"));
        assert!(has(&config, Login::After, "CONDSTORE"));
    }

    #[test]
    fn what_is_hidden_from_an_account_is_hidden_once_it_has_logged_in() {
        let account_hidden = ["IDLE", "APPENDLIMIT", "COMPRESS=DEFLATE"].map(str::to_owned).into();
        let config = SessionConfig { account_hidden, ..SessionConfig::default() };
        assert!(has(&config, Login::Before, "IDLE") && !has(&config, Login::After, "IDLE"));
        assert!(!has(&config, Login::After, "COMPRESS=DEFLATE"));
        let all = capabilities(&config, Login::After);
        assert!(!all.iter().any(|c| c.starts_with("APPENDLIMIT")), "{all:?}");
        assert!(all.iter().any(|c| c == "UIDPLUS"), "{all:?}");
    }
}
