//! `[mta_sts]`: our domains' policy for transport security. RFC 8461

use http_server::{MAX_AGE_SECS_MAX, Mode, Policy};

use super::is_domain;
use super::reader::Table;

/// Reads the section. Without it, senders are asked to report and not yet to refuse.
pub fn policy(root: &Table<'_>, hostname: &str) -> Policy {
    let own = vec![hostname.to_ascii_lowercase()];
    let mut policy = Policy { mode: Mode::default(), mx: own, max_age_secs: MAX_AGE_SECS };
    let Some(table) = root.table("mta_sts") else { return policy };
    table.only(&["mode", "mx", "max_age"]);
    if table.has("mode")
        && let Some((_, mode)) = table.choice("mode", MODES)
    {
        policy.mode = mode;
    }
    if let Some(secs) = table.number("max_age", MAX_AGE_SECS_MIN..=MAX_AGE_SECS_MAX) {
        policy.max_age_secs = secs;
    }
    if let Some(line) = table.line_of("mx") {
        policy.mx = mx(&table);
        if policy.mx.is_empty() {
            let problem = "mx names no host that takes mail".to_owned();
            table.mistake(line, problem, "remove it, or write mx = [\"mail.example.org\"]");
        }
    }
    policy
}

fn mx(table: &Table<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (line, host) in table.texts("mx") {
        if is_domain(host.strip_prefix("*.").unwrap_or(&host)) {
            hosts.push(host.to_ascii_lowercase());
        } else {
            let problem = format!("mx has {host:?}, which is not the name of a host");
            table.mistake(line, problem, "write a name such as mail.example.org");
        }
    }
    hosts
}

const MODES: &[(&str, Mode)] =
    &[("testing", Mode::Testing), ("enforce", Mode::Enforce), ("none", Mode::None)];

/// A week: RFC 8461 §3.2 wants weeks or more, and a mistake shall not last longer.
const MAX_AGE_SECS: u32 = 604_800;

/// Below a day the policy would be fetched with each message, and protect nothing.
const MAX_AGE_SECS_MIN: u32 = 86_400;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Mistake};
    use super::*;

    fn parse(section: &str) -> Result<Policy, Vec<Mistake>> {
        let text = format!(
            "data = 'd'\nhostname = 'Mail.example'\n[[listen]]\nprotocol = 'imap'\n\
             address = '127.0.0.1:1143'\ntls = 'starttls'\n{section}"
        );
        Config::parse(&text, Path::new("/etc")).map(|config| config.policy)
    }

    #[test]
    fn the_policy_begins_carefully_and_names_this_server() {
        let expected = Policy {
            mode: Mode::Testing,
            mx: vec!["mail.example".to_owned()],
            max_age_secs: 604_800,
        };
        assert_eq!(parse("").unwrap(), expected);
        assert_eq!(parse("[mta_sts]\n").unwrap(), expected);
        let read = parse(
            "[mta_sts]\nmode = 'enforce'\nmx = ['A.example', '*.b.example']\nmax_age = 31557600\n",
        );
        let read = read.unwrap();
        assert_eq!((read.mode, read.max_age_secs), (Mode::Enforce, 31_557_600));
        assert_eq!(read.mx, ["a.example", "*.b.example"]);
    }

    #[test]
    fn a_policy_that_means_nothing_is_a_mistake() {
        for bad in [
            "mode = 'on'",
            "mx = []",
            "mx = ['*.*']",
            "max_age = 60",
            "max_age = 31557601",
            "x = 1",
        ] {
            assert!(parse(&format!("[mta_sts]\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
