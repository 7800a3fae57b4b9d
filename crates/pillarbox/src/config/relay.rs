//! `[[relay]]`: servers that carry mail for other systems on.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use smtp::RelayTls;

use super::is_domain;
use super::reader::Table;

/// A server that carries mail on.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayPlace {
    /// Domains of recipients, in small letters; `*` stands for all that are named nowhere.
    pub domains: Vec<String>,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: RelayTls,
    /// The name that this server has there, and the file that holds its password.
    pub login: Option<(String, PathBuf)>,
    /// The authorities that may sign its certificate.
    pub ca: Option<PathBuf>,
}

/// Reads the sections.
pub fn relays(root: &Table<'_>, folder: &Path) -> Vec<RelayPlace> {
    let (mut all, mut named) = (Vec::new(), HashSet::new());
    for table in &root.tables("relay") {
        table.only(&["domains", "host", "port", "tls", "user", "password_file", "ca"]);
        let domains = domains(table, &mut named);
        let host = host(table);
        let tls = table.choice("tls", TLS_MODES);
        let login = login(table, tls, folder);
        let port = table.number("port", 1..=u32::from(u16::MAX));
        let ca = table.optional_text("ca").map(|(_, file)| folder.join(file));
        let (Some(host), Some((line, tls))) = (host, tls) else { continue };
        if !tls.may_reach(&host) {
            let problem = format!("without TLS everyone on the way to {host} can read the mail");
            table.mistake(line, problem, "use tls = \"required\" or \"implicit\"");
        }
        if ca.is_some() && matches!(tls, RelayTls::None | RelayTls::Opportunistic) {
            let problem = "no certificate is verified, so ca says nothing".to_owned();
            table.mistake(line, problem, "use tls = \"required\" or \"implicit\", or remove ca");
        }
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual_port(tls));
        all.push(RelayPlace { domains, host, port, tls, login, ca });
    }
    all
}

fn domains(table: &Table<'_>, named: &mut HashSet<String>) -> Vec<String> {
    if !table.has("domains") {
        table.missing("relay.domains is missing", "add domains = [\"*\"], or names of domains");
    }
    let mut domains = Vec::new();
    for (line, name) in table.texts("domains") {
        let name = name.to_ascii_lowercase();
        if name != "*" && !is_domain(&name) {
            let problem = format!("domains has {name:?}, which is not a domain name");
            table.mistake(line, problem, "write a name such as example.org, or \"*\" for all");
        } else if !named.insert(name.clone()) {
            let problem = format!("there are two relays for {name:?}");
            table.mistake(line, problem, "name each domain once");
        } else {
            domains.push(name);
        }
    }
    domains
}

fn host(table: &Table<'_>) -> Option<String> {
    let (line, host) = table.text("host")?;
    if host.parse::<IpAddr>().is_err() && !is_domain(&host) {
        let problem = format!("host {host:?} is neither a name nor an address");
        table.mistake(line, problem, "write a name such as smtp.example.org");
        return None;
    }
    Some(host)
}

fn login(
    table: &Table<'_>,
    tls: Option<(usize, RelayTls)>,
    folder: &Path,
) -> Option<(String, PathBuf)> {
    if !table.has("user") && !table.has("password_file") {
        return None;
    }
    let user = table.text("user");
    let file = table.text("password_file").map(|(_, file)| folder.join(file));
    if let Some((line, RelayTls::Opportunistic)) = tls {
        let problem = "anybody could ask for the password".to_owned();
        table.mistake(line, problem, "use tls = \"required\" or \"implicit\"");
    }
    Some((user?.1, file?))
}

/// RFC 6409 §3.1, RFC 8314 §3.3, RFC 5321 §4.5.4.2
fn usual_port(tls: RelayTls) -> u16 {
    match tls {
        RelayTls::Required => 587,
        RelayTls::Implicit => 465,
        RelayTls::Opportunistic | RelayTls::None => 25,
    }
}

const TLS_MODES: &[(&str, RelayTls)] = &[
    ("required", RelayTls::Required),
    ("implicit", RelayTls::Implicit),
    ("opportunistic", RelayTls::Opportunistic),
    ("none", RelayTls::None),
];

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    const BASE: &str = "data='d'\nhostname='h'\ndomains=['example.org']\n[[listen]]\n\
                        protocol='submission'\naddress='127.0.0.1:587'\ntls='starttls'\n";

    fn read(relays: &str) -> Result<Vec<RelayPlace>, Vec<String>> {
        let config = Config::parse(&format!("{BASE}{relays}"), Path::new("/etc/p"));
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        config.map(|config| config.relays).map_err(told)
    }

    #[test]
    fn relays_are_read_with_their_usual_ports() {
        let relays = read(
            "[[relay]]\ndomains=['*']\nhost='smtp.example.org'\ntls='required'\nuser='dock'\n\
             password_file='relay.pw'\nca='/etc/ca.pem'\n\
             [[relay]]\ndomains=['Example.NET','b.example']\nhost='::1'\ntls='none'\nport=2525\n\
             [[relay]]\ndomains=['c.example']\nhost='relay'\ntls='implicit'\n",
        )
        .unwrap();
        assert_eq!(relays[0].login, Some(("dock".into(), "/etc/p/relay.pw".into())));
        assert_eq!(relays[0].ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(relays.iter().map(|it| it.port).collect::<Vec<_>>(), [587, 2525, 465]);
        assert_eq!(relays[1].domains, ["example.net", "b.example"]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_relay_is_told() {
        let relay = |lines: &str| read(&format!("[[relay]]\n{lines}\n")).unwrap_err();
        let good = "domains=['*']\nhost='smtp.example.org'\n";
        for (lines, told) in [
            (format!("{good}tls='none'"), "without TLS everyone"),
            (format!("{good}tls='opportunistic'\nuser='a'\npassword_file='b'"), "the password"),
            (format!("{good}tls='opportunistic'\nca='b'"), "ca says nothing"),
            (format!("{good}tls='required'\nuser='a'"), "password_file is missing"),
            (format!("{good}tls='starttls'"), "is not known"),
            (format!("{good}tls='required'\nport=0"), "out of range"),
            (format!("{good}tls='required'\npassword='x'"), "unknown key \"password\""),
            ("host='h'\ntls='required'".to_owned(), "relay.domains is missing"),
            ("domains=['a b']\nhost='h'\ntls='required'".to_owned(), "not a domain name"),
            ("domains=['*']\nhost='a b'\ntls='required'".to_owned(), "neither a name"),
            (
                "domains=['a.example','A.example']\nhost='h'\ntls='required'".to_owned(),
                "two relays",
            ),
        ] {
            let mistakes = relay(&lines);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(told), "{told}: {mistakes:?}");
        }
    }
}
