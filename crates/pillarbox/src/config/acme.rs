//! `[acme]`: a certificate from an authority that issues them by itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use acme::{Challenge, DEFAULT_DIRECTORY, Hook};

use super::reader::Table;
use super::{Listen, Protocol, TlsMode, is_domain};

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Acme {
    /// The authority's directory.
    pub directory: String,
    /// Where the authority may write to, as URIs.
    pub contact: Vec<String>,
    /// For whom the certificate shall be, in small letters; the first is needed.
    pub names: Vec<String>,
    /// How their control is proved.
    pub challenge: Challenge,
    /// Who vouches for the authority's own server.
    pub ca: Option<PathBuf>,
    /// Who vouches for clients' certificates, of the `[tls]` section.
    pub client_ca: Option<PathBuf>,
}

/// Reads the section.
pub fn acme(
    root: &Table<'_>,
    folder: &Path,
    hostname: &str,
    domains: &[String],
    listeners: &[(usize, Listen)],
) -> Option<Acme> {
    let table = root.table("acme")?;
    table.only(&["directory", "contact", "names", "challenge", "hook", "ca"]);
    let client_ca = root.table("tls").and_then(|tls| {
        tls.only(&["client_ca"]);
        tls.optional_text("client_ca").map(|(_, file)| folder.join(file))
    });
    let directory = directory(&table);
    let contact = contact(&table);
    let names = names(&table, hostname, domains);
    let challenge = challenge(&table, folder, listeners);
    let ca = table.optional_text("ca").map(|(_, file)| folder.join(file));
    Some(Acme { directory, contact, names, challenge: challenge?, ca, client_ca })
}

fn directory(table: &Table<'_>) -> String {
    let Some((line, directory)) = table.optional_text("directory") else {
        return DEFAULT_DIRECTORY.to_owned();
    };
    let host = directory.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.starts_with(['/', ':']) {
        // RFC 8555 §6.1
        let problem = format!("directory = {directory:?} is not https");
        table.mistake(line, problem, "write https:// and where the authority has its directory");
    }
    directory
}

fn contact(table: &Table<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (line, contact) in table.texts("contact") {
        let address = contact.strip_prefix("mailto:").unwrap_or(&contact);
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || ",?<>".contains(c);
        let parts = address.rsplit_once('@').filter(|(local, _)| !local.is_empty());
        // One address and no fields. RFC 8555 §7.3
        if parts.is_some_and(|(_, domain)| is_domain(domain)) && !address.contains(is_odd) {
            all.push(format!("mailto:{address}"));
        } else {
            let problem = format!("contact has {contact:?}, which is not an address");
            table.mistake(line, problem, "write an address such as postmaster@example.org");
        }
    }
    all
}

/// The server itself first; then what is asked for at our domains over HTTPS.
fn names(table: &Table<'_>, hostname: &str, domains: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for (line, name) in table.texts("names") {
        if is_domain(&name) && name.contains('.') {
            names.push(name.to_ascii_lowercase());
        } else {
            let problem = format!("names has {name:?}, which is not the name of a host");
            table.mistake(line, problem, "write a name such as mail.example.org");
        }
    }
    if !table.has("names") {
        names.push(hostname.to_ascii_lowercase());
        let hosts = |domain: &String| HOSTS.map(|host| format!("{host}.{domain}"));
        names.extend(domains.iter().flat_map(hosts));
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if let Some(line) = table.line_of("names").filter(|_| names.is_empty()) {
        table.mistake(line, "names is empty".to_owned(), "remove it, or write a name");
    }
    if names.len() > NAMES_MAX {
        let problem = format!("a certificate for {} names is not issued", names.len());
        let remedy = "write names = [ … ] with those that matter, at most 100";
        match table.line_of("names") {
            Some(line) => table.mistake(line, problem, remedy),
            None => table.missing(&problem, remedy),
        }
    }
    names
}

/// What proves the names, and that somebody here answers.
fn challenge(table: &Table<'_>, folder: &Path, listeners: &[(usize, Listen)]) -> Option<Challenge> {
    let (line, kind) = table.choice("challenge", KINDS)?;
    let has = |tls| {
        let fits = |listen: &Listen| listen.protocol == Protocol::Http && listen.tls == tls;
        listeners.iter().any(|(_, listen)| fits(listen))
    };
    if let Some(line) = table.line_of("hook").filter(|_| kind != Kind::Dns01) {
        let problem = "hook is for records in the DNS".to_owned();
        table.mistake(line, problem, "use challenge = \"dns-01\", or remove hook");
    }
    match kind {
        Kind::Http01 => {
            if !has(TlsMode::None) {
                let problem = "nobody answers http-01, which comes to port 80".to_owned();
                let remedy = "add [[listen]] with protocol = \"http\" and tls = \"none\"";
                table.mistake(line, problem, remedy);
            }
            Some(Challenge::Http01)
        }
        Kind::TlsAlpn01 => {
            if !has(TlsMode::Implicit) {
                let problem = "nobody answers tls-alpn-01, which comes to port 443".to_owned();
                let remedy = "add [[listen]] with protocol = \"http\" and tls = \"implicit\"";
                table.mistake(line, problem, remedy);
            }
            Some(Challenge::TlsAlpn01)
        }
        Kind::Dns01 => {
            let mut words = table.texts("hook").into_iter().map(|(_, word)| word);
            let Some(program) = words.next().filter(|program| !program.is_empty()) else {
                let problem = "dns-01 needs a program that makes the records".to_owned();
                table.mistake(line, problem, "add hook = [\"/path/of/program\"]");
                return None;
            };
            let program = folder.join(program);
            Some(Challenge::Dns01(Hook { program, arguments: words.collect() }))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http01,
    TlsAlpn01,
    Dns01,
}

const KINDS: &[(&str, Kind)] =
    &[("http-01", Kind::Http01), ("tls-alpn-01", Kind::TlsAlpn01), ("dns-01", Kind::Dns01)];

/// Hosts below each domain that are asked for over HTTPS.
const HOSTS: [&str; 3] = ["mta-sts", "autoconfig", "autodiscover"];

/// What Let's Encrypt puts into one certificate.
const NAMES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::{Config, Mistake};
    use super::*;

    const HTTP: &str = "[[listen]]\nprotocol = 'http'\naddress = '0.0.0.0:80'\ntls = 'none'\n[[listen]]\n\
         protocol = 'http'\naddress = '0.0.0.0:443'\ntls = 'implicit'\n";

    fn parse(listen: &str, rest: &str) -> Result<Config, Vec<Mistake>> {
        let text = format!(
            "data = 'd'\nhostname = 'Mail.example.org'\ndomains = ['example.org']\n\
             [[listen]]\nprotocol = 'imap'\naddress = '0.0.0.0:993'\ntls = 'implicit'\n\
             {listen}{rest}"
        );
        Config::parse(&text, Path::new("/etc/pillarbox"))
    }

    fn told(listen: &str, rest: &str) -> Vec<String> {
        parse(listen, rest).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_challenge_is_enough_and_the_names_are_those_that_are_asked_for() {
        let read = parse(HTTP, "[acme]\nchallenge = 'http-01'\n").unwrap();
        assert_eq!(read.certificate, None);
        let acme = read.acme.unwrap();
        assert_eq!(acme.directory, DEFAULT_DIRECTORY);
        assert_eq!(
            acme.names,
            [
                "mail.example.org",
                "mta-sts.example.org",
                "autoconfig.example.org",
                "autodiscover.example.org"
            ]
        );
        assert_eq!(acme.challenge, Challenge::Http01);
    }

    #[test]
    fn everything_can_be_said() {
        let read = parse(
            "",
            "[tls]\nclient_ca = 'clients.pem'\n[acme]\ndirectory = 'https://ca.example/dir'\n\
             contact = ['me@example.org', 'mailto:you@example.org']\nca = 'ca.pem'\n\
             names = ['A.example.org', 'a.example.org']\nchallenge = 'dns-01'\n\
             hook = ['dns.sh', '--zone', 'x']\n",
        );
        let acme = read.unwrap().acme.unwrap();
        assert_eq!(acme.contact, ["mailto:me@example.org", "mailto:you@example.org"]);
        assert_eq!(acme.names, ["a.example.org"]);
        let program = PathBuf::from("/etc/pillarbox/dns.sh");
        let arguments = vec!["--zone".to_owned(), "x".to_owned()];
        assert_eq!(acme.challenge, Challenge::Dns01(Hook { program, arguments }));
        assert_eq!(acme.ca.as_deref(), Some(Path::new("/etc/pillarbox/ca.pem")));
        let client_ca = Path::new("/etc/pillarbox/clients.pem");
        assert_eq!(acme.client_ca.as_deref(), Some(client_ca));
    }

    #[test]
    fn a_challenge_that_nobody_answers_is_a_mistake() {
        for (kind, tls) in [("http-01", "none"), ("tls-alpn-01", "implicit")] {
            let section = format!("[acme]\nchallenge = '{kind}'\n");
            let told = told("", &section);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(&format!("tls = \"{tls}\"")), "{told:?}");
            assert!(parse(HTTP, &section).is_ok());
        }
        let hookless = told("", "[acme]\nchallenge = 'dns-01'\n");
        assert!(hookless[0].contains("add hook = ["), "{hookless:?}");
        let hook = told(HTTP, "[acme]\nchallenge = 'http-01'\nhook = ['x']\n");
        assert!(hook[0].contains("remove hook"), "{hook:?}");
    }

    #[test]
    fn wrong_values_are_told_each_with_its_line() {
        let told = told(
            HTTP,
            "[tls]\ncertificate = 'a'\n[acme]\nchallenge = 'http-01'\ndirectory = 'http://a'\n\
             contact = ['a?b@c.example', 'x']\nnames = ['a b', 'localhost']\nemail = 'x'\n",
        );
        let lines: Vec<_> = told.iter().map(|it| it.split(':').next().unwrap()).collect();
        let expected = ["17", "20", "21", "21", "22", "22", "22", "23"];
        assert_eq!(lines, expected.map(|line| format!("line {line}")), "{told:#?}");
        let many = (0..101).map(|n| format!("'a{n}.example'")).collect::<Vec<_>>().join(",");
        let many =
            super::tests::told(HTTP, &format!("[acme]\nchallenge = 'http-01'\nnames = [{many}]\n"));
        assert!(many[0].contains("101 names"), "{many:?}");
    }
}
