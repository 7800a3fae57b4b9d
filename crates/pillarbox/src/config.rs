//! The configuration file: what it may say, and every mistake in it at once, each with its line
//! and what to do about it.

mod acme;
mod dkim;
mod dns;
mod inbound;
mod mta_sts;
mod oauth;
mod outbound;
mod reader;
mod relay;
mod storage;
mod story;
mod submission;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_server::Policy;
use imap_server::{Language, ServerAnnotations, SharedFilter, UsersSetQuota};
use mail_service::{AccountName, PasswordCost};
use net::{Address, CertificateFiles};
use smtp::Role;

pub use self::acme::Acme;
pub use self::dkim::DkimPlace;
pub use self::dns::DnsPlace;
pub use self::inbound::{FilterPlace, InboundPlace};
pub use self::oauth::OAuth;
#[cfg(feature = "oauth")]
pub use self::oauth::TokenCheck;
pub use self::outbound::OutboundPlace;
use self::reader::{Document, Table};
pub use self::relay::RelayPlace;
#[cfg(feature = "postgres")]
pub use self::storage::{Bucket, Database};
pub use self::storage::{HOME, PostgresStorage, Storage};
pub use self::story::STORY_DAYS;
pub use self::submission::Submission;
use crate::hiding;
use crate::scrub::ScrubPace;

/// What the operator decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Everything the server keeps on this machine.
    pub data: PathBuf,
    /// Where mail is kept.
    pub storage: Storage,
    /// The server's name in greetings and trace fields.
    pub hostname: String,
    /// Domains whose mail is kept here, in small letters.
    pub domains: Vec<String>,
    /// The certificate; without it a self-signed one is made and kept in `data`.
    pub certificate: Option<CertificateFiles>,
    /// Where certificates come from, if not from files.
    pub acme: Option<Acme>,
    /// Our domains' policy for transport security.
    pub policy: Policy,
    /// Where to listen.
    pub listeners: Vec<Listen>,
    /// What a password hash costs.
    pub passwords: PasswordCost,
    /// Accounts that message submission servers log in as. RFC 4467 §3
    pub submission_accounts: Vec<String>,
    /// How stored mail is read again in search of damage.
    pub scrub: ScrubPace,
    /// What IMAP offers besides what it always does.
    pub imap: Imap,
    /// A provider whose tokens are taken for logins.
    pub oauth: Option<OAuth>,
    /// Servers that carry mail for other systems on.
    pub relays: Vec<RelayPlace>,
    /// How mail leaves for which no relay is named.
    pub outbound: OutboundPlace,
    /// Who is asked for names.
    pub dns: DnsPlace,
    /// What mail of strangers must pass.
    pub inbound: InboundPlace,
    /// Days for which the stories of messages are kept.
    pub story_days: u32,
    /// Keys that sign what the people here send.
    pub dkim: Vec<DkimPlace>,
    /// What holds for mail that the people here hand in.
    pub submission: Submission,
}

/// What IMAP offers if the operator wants it, and what clients are told and allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imap {
    /// Capabilities that no client is told of.
    pub hidden_capabilities: Vec<String>,
    /// UIDONLY. RFC 9586
    pub uidonly: bool,
    /// How many messages one command works on. RFC 9738
    pub message_limit: Option<u32>,
    /// How many messages one COPY or APPEND adds. RFC 9738
    pub save_limit: Option<u32>,
    /// A note to everybody, and how the administrator can be reached. RFC 5464 §3.2.1.1
    pub annotations: ServerAnnotations,
    /// The language that the operator prefers. RFC 5255 §3.2
    pub language: Language,
    /// Whether users may set the limits of their own accounts.
    pub users_set_quota: UsersSetQuota,
    /// Accounts that belong to nobody: what they share stands below `Shared Folders`.
    pub shared_accounts: Vec<String>,
}

/// One address and what is spoken there.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Spoken there.
    pub protocol: Protocol,
    /// Where.
    pub address: Address,
    /// How it is protected.
    pub tls: TlsMode,
}

/// A protocol that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Settings for mail programs, policies and challenges, over HTTP.
    Http,
    /// IMAP4rev1 and IMAP4rev2.
    Imap,
    /// LMTP for mail that another server hands over, SMTP for mail from anywhere, submission for
    /// mail of the people here.
    Smtp(Role),
}

impl Protocol {
    /// What it is called in a configuration.
    pub fn word(self) -> &'static str {
        let is_it = |(_, protocol): &&(&str, Self)| *protocol == self;
        PROTOCOLS.iter().find(is_it).map(|(word, _)| *word).unwrap_or_default()
    }
}

/// How a listener is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// Cleartext until STARTTLS; before it a password is taken from this machine only.
    StartTls,
    /// Cleartext, which only this machine can hear.
    None,
}

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1; `None` when something is missing that belongs to no line.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl Config {
    /// Reads and checks a configuration. Relative paths are relative to `folder`, the one that
    /// holds the file.
    ///
    /// # Errors
    /// Every mistake that was found, in the order of their lines.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        let document = Document::new(text);
        let root = document.root();
        root.only(SECTIONS);
        let data = root.text("data").map(|(_, path)| folder.join(path));
        let hostname = hostname(&root);
        let domains = domains(&root);
        let certificate = certificate(&root, folder);
        let listeners = listeners(&root);
        let name = hostname.as_deref().unwrap_or_default();
        let acme = acme::acme(&root, folder, name, &domains, &listeners);
        let policy = mta_sts::policy(&root, name);
        let auth = root.table("auth");
        let passwords = passwords(auth.as_ref());
        let submission_accounts = submission_accounts(auth.as_ref());
        let storage = storage::storage(&root, folder);
        let scrub = scrub(&root);
        let imap = imap(&root);
        let oauth = oauth::oauth(&root, folder);
        let relays = relay::relays(&root, folder);
        let outbound = outbound::outbound(&root, &relays, folder);
        let dns = dns::dns(&root, folder);
        let inbound = inbound::inbound(&root);
        let story_days = story::story_days(&root);
        let dkim = dkim::dkim(&root, folder, &domains);
        let submission = submission::submission(&root);
        check_domains_are_named(&root, &listeners, &domains);
        if certificate.is_none() {
            check_certificate_is_needless(&root, &listeners);
        }
        document.finish()?;
        Ok(Self {
            data: data.unwrap_or_default(),
            storage,
            hostname: hostname.unwrap_or_default(),
            domains,
            certificate,
            acme,
            policy,
            listeners: listeners.into_iter().map(|(_, listen)| listen).collect(),
            passwords,
            submission_accounts,
            scrub,
            imap,
            oauth,
            relays,
            outbound,
            dns,
            inbound,
            story_days,
            dkim,
            submission,
        })
    }
}

fn hostname(root: &Table<'_>) -> Option<String> {
    let (line, name) = root.text("hostname")?;
    if !is_domain(&name) {
        let problem = format!("hostname {name:?} is not a domain name");
        root.mistake(line, problem, "write a name such as mail.example.org");
    }
    Some(name)
}

fn domains(root: &Table<'_>) -> Vec<String> {
    let mut domains = Vec::new();
    for (line, name) in root.texts("domains") {
        if is_domain(&name) {
            domains.push(name.to_ascii_lowercase());
        } else {
            let problem = format!("domains has {name:?}, which is not a domain name");
            root.mistake(line, problem, "write a name such as example.org");
        }
    }
    domains
}

/// Who takes mail from strangers must know which is for him.
fn check_domains_are_named(root: &Table<'_>, listeners: &[(usize, Listen)], domains: &[String]) {
    let takes_mail =
        |listen: &Listen| matches!(listen.protocol, Protocol::Smtp(Role::Mx | Role::Submission));
    let first = listeners.iter().find(|(_, listen)| takes_mail(listen));
    if let Some((line, _)) = first.filter(|_| domains.is_empty() && !root.has("domains")) {
        let problem = "nobody says whose mail is kept here".to_owned();
        root.mistake(*line, problem, "add domains = [\"example.org\"] above the first section");
    }
}

/// Whether a text is the name of a host or a domain, in ASCII.
pub fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // RFC 1123 §2.1
    name.len() <= 253 && name.split('.').all(label)
}

fn certificate(root: &Table<'_>, folder: &Path) -> Option<CertificateFiles> {
    // What else that section may say then is read with [acme].
    let tls = root.table("tls").filter(|_| !root.has("acme"))?;
    tls.only(&["certificate", "key", "client_ca"]);
    let path = |key| tls.text(key).map(|(_, path)| folder.join(path));
    let (certificate, key) = (path("certificate"), path("key"));
    let client_ca = if tls.has("client_ca") { Some(path("client_ca")?) } else { None };
    Some(CertificateFiles { certificate: certificate?, key: key?, client_ca })
}

fn listeners(root: &Table<'_>) -> Vec<(usize, Listen)> {
    let tables = root.tables("listen");
    if tables.is_empty() && !root.has("listen") {
        root.missing("no [[listen]] section", "add one with protocol, address and tls");
    }
    let (mut all, mut addresses) = (Vec::new(), HashSet::new());
    for table in &tables {
        table.only(&["protocol", "address", "tls"]);
        let protocol = table.choice("protocol", PROTOCOLS);
        let address = table.text("address").and_then(|(line, text)| {
            let address = text.parse::<Address>().map_err(|error| {
                let problem = format!("address {text:?}: {error}");
                table.mistake(line, problem, "write 127.0.0.1:1143 or unix:/run/lmtp.sock");
            });
            address.ok().map(|address| (line, address))
        });
        let tls = table.choice("tls", TLS_MODES);
        let (Some((line, address)), Some((tls_line, tls))) = (address, tls) else { continue };
        check_http_is_not_upgraded(table, protocol, (tls_line, tls));
        // What HTTP says in clear is an answer for an authority, or that TLS is to be used.
        let is_http = protocol.is_some_and(|(_, protocol)| protocol == Protocol::Http);
        if tls == TlsMode::None && !address.is_local() && !is_http {
            let problem = format!("without TLS everyone on the way can read what {address} says");
            table.mistake(tls_line, problem, "use tls = \"implicit\", or listen on 127.0.0.1");
        }
        if address.port() != Some(0) && !addresses.insert(address.clone()) {
            table.mistake(line, format!("{address} is used twice"), "choose another port");
        }
        if let Some((_, protocol)) = protocol {
            all.push((line, Listen { protocol, address, tls }));
        }
    }
    all
}

/// TLS within HTTP (RFC 2817) is spoken by nobody.
fn check_http_is_not_upgraded(
    table: &Table<'_>,
    protocol: Option<(usize, Protocol)>,
    (line, tls): (usize, TlsMode),
) {
    if tls == TlsMode::StartTls && protocol.is_some_and(|(_, it)| it == Protocol::Http) {
        let problem = "http has no STARTTLS".to_owned();
        table.mistake(line, problem, "use tls = \"implicit\", or \"none\" on port 80");
    }
}

/// A certificate that nobody else vouches for is good enough for this machine only.
fn check_certificate_is_needless(root: &Table<'_>, listeners: &[(usize, Listen)]) {
    if root.has("tls") || root.has("acme") {
        return;
    }
    for (line, listen) in listeners {
        if listen.tls != TlsMode::None && !listen.address.is_local() {
            let problem = format!("{} needs a certificate", listen.address);
            root.mistake(*line, problem, "add [tls] with certificate and key, or [acme]");
        }
    }
}

fn imap(root: &Table<'_>) -> Imap {
    let mut imap = Imap::default();
    let Some(table) = root.table("imap") else { return imap };
    table.only(&[
        "comment",
        "admin",
        "filters",
        "language",
        "users_set_quota",
        "shared_accounts",
        "uidonly",
        "message_limit",
        "save_limit",
        "hidden_capabilities",
    ]);
    imap.shared_accounts = account_names(&table, "shared_accounts", "write the account's name");
    imap.hidden_capabilities = hidden_capabilities(&table);
    // RFC 9738 §3: not below 1000.
    imap.message_limit = table.number("message_limit", 1000..=u32::MAX);
    imap.save_limit = table.number("save_limit", 1000..=u32::MAX);
    if let Some(uidonly) = table.truth("uidonly") {
        imap.uidonly = uidonly;
    }
    let text = |key| {
        let (line, text) = table.optional_text(key)?;
        if text.len() > ANNOTATION_BYTES_MAX {
            table.mistake(line, format!("{key} is too long"), "write a line or two");
        }
        Some((line, text))
    };
    imap.annotations.comment = text("comment").map(|(_, text)| text);
    imap.annotations.admin = text("admin").map(|(line, uri)| {
        if !is_uri(&uri) {
            let problem = format!("admin = {uri:?} is not a URI");
            table.mistake(line, problem, "write mailto:postmaster@example.org or tel:+15550100");
        }
        uri
    });
    imap.annotations.filters = filters(&table);
    if table.has("language") {
        let languages = Language::ALL.map(|(language, tag)| (tag, language));
        imap.language = table.choice("language", &languages).map(|(_, l)| l).unwrap_or_default();
    }
    if table.truth("users_set_quota") == Some(true) {
        imap.users_set_quota = UsersSetQuota::Allowed;
    }
    imap
}

/// Searches that all users can use by name. RFC 5466 §3.2
fn filters(imap: &Table<'_>) -> Vec<SharedFilter> {
    let mut all: Vec<SharedFilter> = Vec::new();
    for table in &imap.tables("filters") {
        table.only(&["name", "search", "description"]);
        let (name, search) = (table.text("name"), table.text("search"));
        let description = table.optional_text("description").map(|(_, text)| text);
        let (Some((line, name)), Some((_, search))) = (name, search) else { continue };
        let fits = |text: &str| text.len() <= ANNOTATION_BYTES_MAX;
        let is_short = fits(&name) && fits(&search) && description.as_deref().is_none_or(fits);
        match SharedFilter::new(&name, &search, description).filter(|_| is_short) {
            None => {
                let problem = format!("the filter {name:?} has a wrong name, or is no IMAP search");
                table.mistake(line, problem, "write name = \"unread\" and search = \"UNSEEN\"");
            }
            Some(filter) if all.iter().any(|other| other.name() == filter.name()) => {
                let problem = format!("there are two filters {name:?}");
                table.mistake(line, problem, "choose another name");
            }
            Some(filter) => all.push(filter),
        }
    }
    all
}

fn hidden_capabilities(imap: &Table<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (line, name) in imap.texts("hidden_capabilities") {
        match hiding::check(&name) {
            Ok(()) => names.push(name.to_ascii_uppercase()),
            Err(problem) => {
                let remedy = "name what the server announces, as CONDSTORE or COMPRESS=DEFLATE";
                imap.mistake(line, format!("hidden_capabilities: {problem}"), remedy);
            }
        }
    }
    names
}

/// A scheme, a colon and something. RFC 3986 §3.1; RFC 5464 §3.2.1.1
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(is_scheme_char)
        && !rest.is_empty()
        && rest.chars().all(|c| c.is_ascii_graphic())
}

fn passwords(auth: Option<&Table<'_>>) -> PasswordCost {
    let mut cost = PasswordCost::default();
    let Some(auth) = auth else { return cost };
    auth.only(&["argon2", "submission_accounts"]);
    let Some(argon2) = auth.table("argon2") else { return cost };
    argon2.only(&["memory_kib", "iterations", "parallelism"]);
    let number = |key, range, into: &mut u32| {
        if let Some(value) = argon2.number(key, range) {
            *into = value;
        }
    };
    number("parallelism", 1..=64, &mut cost.parallelism);
    // RFC 9106 §3.1: at least 8 KiB a lane.
    number("memory_kib", 8 * cost.parallelism..=4 * 1024 * 1024, &mut cost.memory_kib);
    number("iterations", 1..=1000, &mut cost.iterations);
    cost
}

/// Whether an account of this name exists is not asked: it may be made later.
fn submission_accounts(auth: Option<&Table<'_>>) -> Vec<String> {
    let Some(auth) = auth else { return Vec::new() };
    let hint = "write the name that the submission server logs in with";
    account_names(auth, "submission_accounts", hint)
}

fn account_names(table: &Table<'_>, key: &str, hint: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (line, name) in table.texts(key) {
        if AccountName::new(&name).is_ok() {
            names.push(name);
        } else {
            let problem = format!("{key} has {name:?}, which no account can be called");
            table.mistake(line, problem, hint);
        }
    }
    names
}

fn scrub(root: &Table<'_>) -> ScrubPace {
    let mut pace = ScrubPace::default();
    let Some(scrub) = root.table("scrub") else { return pace };
    scrub.only(&["mib_per_second", "days"]);
    if let Some(rate) = scrub.number("mib_per_second", 0..=1000) {
        pace.bytes_per_second = u64::from(rate) << 20;
    }
    if let Some(days) = scrub.number("days", 1..=365) {
        pace.interval = Duration::from_secs(u64::from(days) * 24 * 3600);
    }
    pace
}

/// Longest text that the operator can tell all clients.
const ANNOTATION_BYTES_MAX: usize = 4096;

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("http", Protocol::Http),
    ("imap", Protocol::Imap),
    ("lmtp", Protocol::Smtp(Role::Lmtp)),
    ("smtp", Protocol::Smtp(Role::Mx)),
    ("submission", Protocol::Smtp(Role::Submission)),
];

const TLS_MODES: &[(&str, TlsMode)] =
    &[("implicit", TlsMode::Implicit), ("starttls", TlsMode::StartTls), ("none", TlsMode::None)];

/// What the file may have at its top.
#[rustfmt::skip]
const SECTIONS: &[&str] = &[
    "acme", "auth", "bodies", "data", "dkim", "dns", "domains", "hostname", "imap", "inbound",
    "listen", "mta_sts", "oauth", "outbound", "relay", "scrub", "shard", "store", "story",
    "submission", "tls",
];

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        data = "/var/lib/pillarbox"
        hostname = "mail.example.org"
        [tls]
        certificate = "cert.pem"
        key = "/etc/keys/key.pem"
        client_ca = "clients.pem"
        [[listen]]
        protocol = "imap"
        address = "0.0.0.0:993"
        tls = "implicit"
        [[listen]]
        protocol = "lmtp"
        address = "unix:/run/pillarbox/lmtp.sock"
        tls = "none"
        [auth]
        argon2 = { memory_kib = 65536, iterations = 3, parallelism = 2 }
        [scrub]
        mib_per_second = 2
        days = 30
        [imap]
        uidonly = true
        message_limit = 5000
    "#;

    fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
        Config::parse(text, Path::new("/etc/pillarbox"))
    }

    fn mistakes(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_clients_are_told_and_allowed_is_read_and_checked() {
        // Its last table is [imap].
        let text = |imap: &str| format!("{GOOD}\n{imap}");
        let config = parse(&text(
            "comment = 'Moved on Friday'\nadmin = 'mailto:a@b.example'\nusers_set_quota = true\n\
             language = 'de'",
        ));
        let imap = config.unwrap().imap;
        assert_eq!(imap.annotations.comment.as_deref(), Some("Moved on Friday"));
        assert_eq!(imap.annotations.admin.as_deref(), Some("mailto:a@b.example"));
        assert_eq!(imap.users_set_quota, UsersSetQuota::Allowed);
        assert_eq!(imap.language, Language::German);
        let imap = parse(GOOD).unwrap().imap;
        assert_eq!(imap.annotations, ServerAnnotations::default());
        assert_eq!(imap.users_set_quota, UsersSetQuota::Refused);
        for wrong in ["a@b.example", ":x", "mailto:", "1:x", "mailto:a b"] {
            let told = mistakes(&text(&format!("admin = '{wrong}'")));
            assert!(told[0].contains("is not a URI"), "{told:?}");
        }
        let long = "x".repeat(ANNOTATION_BYTES_MAX + 1);
        assert!(mistakes(&text(&format!("comment = '{long}'")))[0].contains("too long"));
        assert_eq!(mistakes(&text("users_set_quota = 'yes'\ncolor = 1")).len(), 2);
        assert!(mistakes(&text("language = 'xx'"))[0].contains("is not known"));
    }

    #[test]
    fn filters_for_everybody_are_read_and_checked() {
        let text = |filter: &str| format!("{GOOD}\n[[imap.filters]]\n{filter}");
        let config = parse(&text("name = 'new'\nsearch = 'UNSEEN NOT DELETED'"));
        let filters = config.unwrap().imap.annotations.filters;
        assert_eq!(filters, [SharedFilter::new("new", "UNSEEN NOT DELETED", None).unwrap()]);
        for wrong in ["name = 'a b'\nsearch = 'ALL'", "name = 'a'\nsearch = 'OR SEEN'"] {
            assert!(mistakes(&text(wrong))[0].contains("is no IMAP search"), "{wrong}");
        }
        let twice = "name = 'a'\nsearch = 'ALL'\n[[imap.filters]]\nname = 'A'\nsearch = 'SEEN'";
        assert!(mistakes(&text(twice))[0].contains("two filters"));
        assert_eq!(mistakes(&text("name = 'a'\ncolor = 1")).len(), 2);
    }

    #[test]
    fn capabilities_are_hidden_if_there_are_such_and_they_may_be() {
        let text = |names: &str| format!("{GOOD}\nhidden_capabilities = {names}");
        let imap = parse(&text("['condstore', 'AUTH=PLAIN']")).unwrap().imap;
        assert_eq!(imap.hidden_capabilities, ["CONDSTORE", "AUTH=PLAIN"]);
        let told = mistakes(&text("['STARTTLS', 'CONDSTOR']"));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("STARTTLS has to be announced"), "{told:?}");
        assert!(told[1].contains("no capability \"CONDSTOR\""), "{told:?}");
        assert_eq!(mistakes(&text("'IDLE'")).len(), 1);
    }

    #[test]
    fn a_full_configuration_is_read() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.data, Path::new("/var/lib/pillarbox"));
        let files = config.certificate.unwrap();
        assert_eq!(files.certificate, Path::new("/etc/pillarbox/cert.pem"));
        assert_eq!(files.key, Path::new("/etc/keys/key.pem"));
        assert_eq!(files.client_ca.as_deref(), Some(Path::new("/etc/pillarbox/clients.pem")));
        assert_eq!(config.listeners.len(), 2);
        assert_eq!(config.listeners[1].protocol, Protocol::Smtp(Role::Lmtp));
        assert_eq!(config.passwords.memory_kib, 65536);
        assert_eq!(config.passwords.iterations, 3);
        assert_eq!(config.scrub.bytes_per_second, 2 << 20);
        assert_eq!(config.scrub.interval, Duration::from_secs(30 * 24 * 3600));
        let imap = Imap { uidonly: true, message_limit: Some(5000), ..Imap::default() };
        assert_eq!(config.imap, imap);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let text = "data = 'd'\nhostname = 'h'\n[[listen]]\nprotocol = 'imap'\n\
                    address = '127.0.0.1:1143'\ntls = 'starttls'\n";
        let config = parse(text).unwrap();
        assert_eq!(config.certificate, None);
        assert_eq!(config.passwords, PasswordCost::default());
        assert_eq!(config.scrub, ScrubPace::default());
        assert_eq!(config.imap, Imap::default());
        assert_eq!(config.data, Path::new("/etc/pillarbox/d"));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_line_and_remedy() {
        let text = "dta = '/d'\nhostname = 'under_score'\n[[listen]]\nprotocol = 'pop3'\n\
                    address = 'localhost:1'\ntls = 'none'\nport = 3\n[auth]\nargon2 = { memory_kib = 1 }\n";
        let told = mistakes(text);
        let expected = [
            "line 1: unknown key \"dta\"; did you mean data?",
            "line 2: hostname \"under_score\" is not a domain name; write a name such as mail.example.org",
            "line 4: protocol = \"pop3\" is not known; choose one of http, imap, lmtp, smtp, submission",
            "line 5: address \"localhost:1\": expected IP:port or unix:/absolute/path; write 127.0.0.1:1143 or unix:/run/lmtp.sock",
            "line 7: unknown key \"port\"; remove it: known are protocol, address, tls",
            "line 9: memory_kib = 1 is out of range; choose a number from 8 to 4194304",
            "data is missing; add data = \"…\"",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn cleartext_and_unvouched_tls_are_for_this_machine_only() {
        let listen = |address: &str, tls: &str| {
            format!(
                "data='d'\nhostname='h'\n[[listen]]\nprotocol='imap'\naddress='{address}'\ntls='{tls}'\n"
            )
        };
        assert!(parse(&listen("[::1]:143", "none")).is_ok());
        assert!(parse(&listen("127.0.0.1:993", "implicit")).is_ok());
        assert!(mistakes(&listen("192.0.2.1:143", "none"))[0].starts_with("line 6: without TLS"));
        assert_eq!(
            mistakes(&listen("0.0.0.0:993", "implicit")),
            [
                "line 5: 0.0.0.0:993 needs a certificate; add [tls] with certificate and key, or [acme]"
            ]
        );
    }

    #[test]
    fn http_is_served_in_clear_or_in_tls_and_never_upgraded() {
        let listen = |address: &str, tls: &str| {
            parse(&format!(
                "data='d'\nhostname='h'\n[[listen]]\nprotocol='http'\naddress='{address}'\ntls='{tls}'\n"
            ))
        };
        assert_eq!(listen("0.0.0.0:80", "none").unwrap().listeners[0].protocol, Protocol::Http);
        assert!(listen("127.0.0.1:443", "implicit").is_ok());
        let told = listen("127.0.0.1:80", "starttls").unwrap_err();
        assert_eq!(
            told[0].to_string(),
            "line 6: http has no STARTTLS; use tls = \"implicit\", or \"none\" on port 80"
        );
    }

    #[test]
    fn an_unknown_protocol_does_not_hide_what_is_wrong_with_its_address() {
        let told = mistakes(
            "data='d'\nhostname='h'\n[[listen]]\nprotocol='pop3'\naddress='192.0.2.1:110'\ntls='none'\n",
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("line 4: protocol") && told[1].starts_with("line 6: without"));
    }

    #[test]
    fn an_address_used_twice_is_a_mistake() {
        let one = "[[listen]]\nprotocol='imap'\naddress='127.0.0.1:1143'\ntls='none'\n";
        let told = mistakes(&format!("data='d'\nhostname='h'\n{one}{one}"));
        assert_eq!(told, ["line 9: 127.0.0.1:1143 is used twice; choose another port"]);
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let told = mistakes("data = 'd'\nhostname = \n[[listen]\n");
        assert!(told.iter().any(|line| line.starts_with("line 2: ")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("line 3: ")), "{told:?}");
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let told = mistakes("data = 3\nhostname = true\nlisten = 'x'\ntls = []\n");
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].contains("data must be a text"), "{told:?}");
        assert!(told[2].contains("[[listen]]"), "{told:?}");
    }

    #[test]
    fn submission_accounts_are_names_of_accounts() {
        let with = |names: &str| {
            let line = format!("[auth]\nsubmission_accounts = {names}");
            Config::parse(&GOOD.replace("[auth]", &line), Path::new("/etc"))
        };
        let names = with("['submit', 'relay@mail.example']").unwrap().submission_accounts;
        assert_eq!(names, ["submit", "relay@mail.example"]);
        let mistakes = with("['two words']").unwrap_err();
        assert!(mistakes[0].problem.contains("two words"), "{mistakes:?}");
    }

    #[test]
    fn who_takes_mail_from_anywhere_says_for_which_domains() {
        let with = |top: &str, protocol: &str| {
            format!(
                "data='d'\nhostname='h'\n{top}[[listen]]\nprotocol='{protocol}'\n\
                 address='127.0.0.1:25'\ntls='starttls'\n"
            )
        };
        let config = parse(&with("domains = ['Example.ORG', 'b.example']\n", "smtp")).unwrap();
        assert_eq!(config.domains, ["example.org", "b.example"]);
        assert_eq!(config.listeners[0].protocol, Protocol::Smtp(Role::Mx));
        for protocol in ["smtp", "submission"] {
            let told = mistakes(&with("", protocol));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains("domains = ["), "{told:?}");
        }
        assert!(parse(&with("", "lmtp")).unwrap().domains.is_empty());
        let told = mistakes(&with("domains = ['a b']\n", "smtp"));
        assert!(told[0].contains("not a domain name"), "{told:?}");
    }

    #[test]
    fn an_empty_file_lists_what_is_missing() {
        let told = mistakes("");
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
