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
    /// After login, unless there is that limit: orders are kept in no index, so "server
    /// implementors will need to decide whether their server advertises SORT or MESSAGELIMIT".
    /// RFC 9738 §3.3
    Sorting,
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
    // Also in the greeting. RFC 5255 §3.1
    ("LANGUAGE", When::Always),
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
    ("SORT", When::Sorting),
    ("SORT=DISPLAY", When::Sorting),
    ("ESORT", When::Sorting),
    ("THREAD=ORDEREDSUBJECT", When::LoggedIn),
    ("THREAD=REFERENCES", When::LoggedIn),
    ("THREAD=REFS", When::LoggedIn),
    ("I18NLEVEL=1", When::LoggedIn),
    ("I18NLEVEL=2", When::LoggedIn),
    ("PARTIAL", When::LoggedIn),
    ("MULTISEARCH", When::LoggedIn),
    ("SEARCH=FUZZY", When::LoggedIn),
    ("CONTEXT=SEARCH", When::LoggedIn),
    ("FILTERS", When::LoggedIn),
    ("CONTEXT=SORT", When::Sorting),
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
    ("ACL", When::LoggedIn),
    // The rights that RFC 2086 did not know. RFC 4314 §5.1.1, RFC 5257 §4.10
    ("RIGHTS=texkn", When::LoggedIn),
    ("LIST-MYRIGHTS", When::LoggedIn),
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
            When::Sorting => login == Login::After && config.message_limit.is_none(),
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

/// Whether the operator may have a capability hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hiding {
    /// It may be hidden.
    Possible,
    /// There is no such capability.
    Unknown,
    /// Every client has to be told of it.
    Forbidden,
}

impl Hiding {
    /// What may become of a name in any letter case, where logins have these mechanisms. A family
    /// such as `COMPRESS` is a name, too.
    #[must_use]
    pub fn of(name: &str, mechanisms: &[&str]) -> Self {
        if NEVER_HIDDEN.iter().any(|row| row.eq_ignore_ascii_case(name)) {
            return Self::Forbidden;
        }
        let is_mechanism = |of: &str| mechanisms.iter().any(|m| m.eq_ignore_ascii_case(of));
        let is_known = ROWS.iter().any(|(row, when)| match row.split_once('=') {
            _ if row.eq_ignore_ascii_case(name) => *when != When::Mechanisms,
            Some((family, _)) if family.eq_ignore_ascii_case(name) => true,
            Some((family, _)) if *when == When::Mechanisms => name
                .split_once('=')
                .is_some_and(|(f, of)| f.eq_ignore_ascii_case(family) && is_mechanism(of)),
            _ => false,
        });
        if is_known { Self::Possible } else { Self::Unknown }
    }
}

/// Without `IMAP4rev1` most clients hang up (RFC 3501 §6.1.1 has every server tell it); without the
/// others a client sends its password in the clear. RFC 9051 §6.2.1, §6.2.3
const NEVER_HIDDEN: &[&str] = &["IMAP4rev1", "STARTTLS", "LOGINDISABLED"];

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
    fn sort_is_announced_unless_a_command_works_on_so_many_messages_only() {
        let config = SessionConfig { save_limit: Some(1000), ..SessionConfig::default() };
        let sorts = ["SORT", "SORT=DISPLAY", "ESORT", "CONTEXT=SORT"];
        assert!(sorts.iter().all(|name| has(&config, Login::After, name)));
        assert!(!sorts.iter().any(|name| has(&config, Login::Before, name)));
        let config = SessionConfig { message_limit: Some(2000), ..config };
        assert!(!sorts.iter().any(|name| has(&config, Login::After, name)));
        assert!(has(&config, Login::After, "THREAD=REFS"));
    }

    #[test]
    fn a_hidden_capability_is_not_announced() {
        let hidden_capabilities = vec!["qresync".to_owned()];
        let config = SessionConfig { hidden_capabilities, ..SessionConfig::default() };
        assert!(!has(&config, Login::After, "QRESYNC"));
        assert!(has(&config, Login::After, "CONDSTORE"));
    }

    #[test]
    fn what_is_hidden_everywhere_is_hidden_before_the_login_too() {
        let hidden_capabilities = ["IDLE", "auth=plain", "COMPRESS"].map(str::to_owned).into();
        let tls = TlsState::Active;
        let config = SessionConfig { hidden_capabilities, tls, ..SessionConfig::default() };
        for login in [Login::Before, Login::After] {
            for name in ["IDLE", "AUTH=PLAIN", "COMPRESS=DEFLATE"] {
                assert!(!has(&config, login, name), "{name} {login:?}");
            }
            assert!(has(&config, login, "LITERAL+"));
        }
    }

    #[test]
    fn names_of_capabilities_can_be_hidden_but_for_those_that_protect() {
        let hiding = |name| Hiding::of(name, &["PLAIN", "SCRAM-SHA-256"]);
        for name in [
            "condstore",
            "COMPRESS=DEFLATE",
            "compress",
            "IMAP4rev2",
            "AUTH=plain",
            "AUTH",
            "APPENDLIMIT",
            "LITERAL+",
            "QUOTASET",
        ] {
            assert_eq!(hiding(name), Hiding::Possible, "{name}");
        }
        for name in ["IMAP4REV1", "StartTLS", "LOGINDISABLED"] {
            assert_eq!(hiding(name), Hiding::Forbidden, "{name}");
        }
        for name in ["", "CONDSTOR", "AUTH=", "AUTH=CRAM-MD5", "COMPRESS=", "APPENDLIMIT=5", "A B"]
        {
            assert_eq!(hiding(name), Hiding::Unknown, "{name}");
        }
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
