//! `[dns]`: who is asked for names, and which signatures are trusted.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use dns::Validation;

use super::reader::Table;

/// Who is asked for names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DnsPlace {
    /// The servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// The file with the keys that are trusted; without it those of the root are.
    pub trust_anchor: Option<PathBuf>,
    /// Whether signatures are verified.
    pub validation: Validation,
}

/// Reads the section.
pub fn dns(root: &Table<'_>, folder: &Path) -> DnsPlace {
    let Some(table) = root.table("dns") else { return DnsPlace::default() };
    table.only(&["servers", "trust_anchor", "dnssec"]);
    let servers = table.texts("servers").into_iter();
    let servers = servers.filter_map(|(line, text)| server(&table, line, &text)).collect();
    let validation = if table.has("dnssec") { table.choice("dnssec", DNSSEC) } else { None };
    let trust_anchor = table.optional_text("trust_anchor");
    if let (Some((line, _)), Some((_, Validation::Never))) = (&trust_anchor, validation) {
        let problem = "no signature is verified, so trust_anchor says nothing".to_owned();
        table.mistake(*line, problem, "remove trust_anchor, or dnssec = \"never\"");
    }
    DnsPlace {
        servers,
        trust_anchor: trust_anchor.map(|(_, file)| folder.join(file)),
        validation: validation.map(|(_, validation)| validation).unwrap_or_default(),
    }
}

/// An address, with a port if it is not the usual one, RFC 1035 §4.2.
fn server(table: &Table<'_>, line: usize, text: &str) -> Option<SocketAddr> {
    let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| (ip, 53).into()));
    if address.is_err() {
        let problem = format!("servers has {text:?}, which is not an address");
        table.mistake(line, problem, "write one such as 127.0.0.1, 127.0.0.1:53 or [::1]:53");
    }
    address.ok()
}

const DNSSEC: &[(&str, Validation)] =
    &[("probe", Validation::Probe), ("always", Validation::Always), ("never", Validation::Never)];

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    const BASE: &str = "data='d'\nhostname='h'\ndomains=['example.org']\n[[listen]]\n\
                        protocol='lmtp'\naddress='127.0.0.1:24'\ntls='none'\n";

    fn read(dns: &str) -> Result<DnsPlace, Vec<String>> {
        let config = Config::parse(&format!("{BASE}{dns}"), Path::new("/etc/p"));
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        config.map(|config| config.dns).map_err(told)
    }

    #[test]
    fn servers_are_read_with_their_usual_port() {
        assert_eq!(read("").unwrap(), DnsPlace::default());
        let place = read(
            "[dns]\nservers=['192.0.2.1', '127.0.0.1:5353', '2001:db8::1', '[::1]:53']\n\
             trust_anchor='root.key'\ndnssec='always'\n",
        )
        .unwrap();
        let servers = ["192.0.2.1:53", "127.0.0.1:5353", "[2001:db8::1]:53", "[::1]:53"];
        assert_eq!(place.servers, servers.map(|text| text.parse().unwrap()));
        assert_eq!(place.trust_anchor.as_deref(), Some(Path::new("/etc/p/root.key")));
        assert_eq!(place.validation, Validation::Always);
    }

    #[test]
    fn what_is_wrong_with_the_section_is_told() {
        for (lines, told) in [
            ("servers=['ns.example.org']", "line 9: servers has \"ns.example.org\""),
            ("servers='127.0.0.1'", "list of texts"),
            ("dnssec='yes'", "choose one of probe, always, never"),
            ("dnssec='never'\ntrust_anchor='k'", "line 10: no signature is verified"),
            ("server=['127.0.0.1']", "did you mean servers?"),
        ] {
            let mistakes = read(&format!("[dns]\n{lines}\n")).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(told), "{told}: {mistakes:?}");
        }
    }
}
