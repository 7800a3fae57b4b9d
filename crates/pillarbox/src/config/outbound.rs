//! `[outbound]`: mail that leaves straight to the servers of its domain.

use std::path::{Path, PathBuf};

use super::reader::Table;
use super::relay::RelayPlace;

/// How mail leaves for which no relay is named.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundPlace {
    /// Whether it goes straight to the servers of its domain.
    pub direct: bool,
    /// Whether addresses of private networks and of this machine may be dialled.
    pub allow_private: bool,
    /// The port of other servers.
    pub port: u16,
    /// The port at which policies of MTA-STS are told.
    pub policy_port: u16,
    /// The authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Default for OutboundPlace {
    fn default() -> Self {
        let (direct, allow_private, ca) = (false, false, None);
        // RFC 5321 §4.5.4.2, RFC 8461 §3.3
        Self { direct, allow_private, port: 25, policy_port: 443, ca }
    }
}

/// Reads the section.
pub fn outbound(root: &Table<'_>, relays: &[RelayPlace], folder: &Path) -> OutboundPlace {
    let usual = OutboundPlace::default();
    let Some(table) = root.table("outbound") else { return usual };
    table.only(&["direct", "allow_private", "port", "policy_port", "ca"]);
    let direct = table.truth("direct").unwrap_or_default();
    let has_relay_for_all =
        relays.iter().any(|relay| relay.domains.iter().any(|domain| domain == "*"));
    if let Some(line) = table.line_of("direct").filter(|_| direct && has_relay_for_all) {
        let problem = "the relay for \"*\" takes all mail, so direct says nothing".to_owned();
        table.mistake(line, problem, "remove direct, or name the domains of that relay");
    }
    if !direct {
        for key in ["allow_private", "port", "policy_port", "ca"] {
            if let Some(line) = table.line_of(key) {
                let problem = format!("no mail leaves directly, so {key} says nothing");
                table.mistake(line, problem, "add direct = true, or remove it");
            }
        }
    }
    let port = |key, usual| {
        let port = table.number(key, 1..=u32::from(u16::MAX));
        port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual)
    };
    OutboundPlace {
        direct,
        allow_private: table.truth("allow_private").unwrap_or_default(),
        port: port("port", usual.port),
        policy_port: port("policy_port", usual.policy_port),
        ca: table.optional_text("ca").map(|(_, file)| folder.join(file)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    const BASE: &str = "data='d'\nhostname='h'\ndomains=['example.org']\n[[listen]]\n\
                        protocol='submission'\naddress='127.0.0.1:587'\ntls='starttls'\n";

    fn read(lines: &str) -> Result<OutboundPlace, Vec<String>> {
        let config = Config::parse(&format!("{BASE}{lines}"), Path::new("/etc/p"));
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        config.map(|config| config.outbound).map_err(told)
    }

    #[test]
    fn mail_leaves_directly_only_if_that_is_wanted() {
        assert!(!read("").unwrap().direct);
        assert!(!read("[outbound]\n").unwrap().direct);
        let direct = read("[outbound]\ndirect=true\n").unwrap();
        assert_eq!(direct, OutboundPlace { direct: true, ..OutboundPlace::default() });
        let own = "direct=true\nallow_private=true\nport=2525\npolicy_port=8443\nca='ca.pem'";
        let expected = OutboundPlace {
            direct: true,
            allow_private: true,
            port: 2525,
            policy_port: 8443,
            ca: Some("/etc/p/ca.pem".into()),
        };
        assert_eq!(read(&format!("[outbound]\n{own}\n")).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_with_the_section_is_told() {
        let relay = "[[relay]]\ndomains=['*']\nhost='smtp.example.org'\ntls='required'\n";
        for (lines, told) in [
            ("[outbound]\nport=2525\n".to_owned(), "line 9: no mail leaves directly, so port"),
            ("[outbound]\nallow_private=true\n".to_owned(), "so allow_private says nothing"),
            ("[outbound]\ndirect=true\nport=0\n".to_owned(), "out of range"),
            ("[outbound]\ndirect=true\nrelay='x'\n".to_owned(), "unknown key"),
            (format!("{relay}[outbound]\ndirect=true\n"), "line 13: the relay for \"*\""),
        ] {
            let mistakes = read(&lines).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(told), "{told}: {mistakes:?}");
        }
    }
}
