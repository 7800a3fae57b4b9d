//! `[[dkim]]`: keys that sign what the people here send.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::is_domain;
use super::reader::Table;
use crate::records::key_name;

/// A key, and where its public part is published.
#[derive(Clone, Debug, PartialEq)]
pub struct DkimPlace {
    /// The domain that it signs for, in small letters.
    pub domain: String,
    /// Its name: the record stands at `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// The file that holds it, a PEM text.
    pub key: PathBuf,
}

/// Reads the sections. A domain may have several keys: each signs.
pub fn dkim(root: &Table<'_>, folder: &Path, domains: &[String]) -> Vec<DkimPlace> {
    let (mut all, mut named) = (Vec::new(), HashSet::new());
    for table in &root.tables("dkim") {
        table.only(&["domain", "selector", "key"]);
        let domain = domain(table, domains);
        let selector = selector(table);
        let key = table.text("key").map(|(_, file)| folder.join(file));
        let (Some(domain), Some((line, selector)), Some(key)) = (domain, selector, key) else {
            continue;
        };
        if !named.insert((domain.clone(), selector.clone())) {
            let problem = format!("there are two keys for {}", key_name(&selector, &domain));
            table.mistake(line, problem, "give each key of a domain a selector of its own");
            continue;
        }
        if named.iter().filter(|(other, _)| *other == domain).count() > KEYS_MAX {
            let problem = format!("{domain} has more than {KEYS_MAX} keys");
            table.mistake(line, problem, "keep one RSA and one Ed25519 key, and their successors");
        }
        all.push(DkimPlace { domain, selector, key });
    }
    all
}

fn domain(table: &Table<'_>, domains: &[String]) -> Option<String> {
    let (line, name) = table.text("domain")?;
    let name = name.to_ascii_lowercase();
    if !is_domain(&name) {
        let problem = format!("domain {name:?} is not a domain name");
        table.mistake(line, problem, "write a name such as example.org");
        return None;
    }
    if !domains.contains(&name) {
        // Nobody here could send as that domain, so the key would never sign.
        let problem = format!("{name} is not among the domains of this server");
        table.mistake(line, problem, "add it to domains, or correct its name");
        return None;
    }
    Some(name)
}

/// Labels that are parted by dots. RFC 6376 §3.1
fn selector(table: &Table<'_>) -> Option<(usize, String)> {
    let (line, name) = table.text("selector")?;
    let name = name.to_ascii_lowercase();
    if !is_domain(&name) {
        let problem = format!("selector {name:?} cannot be a part of a domain name");
        table.mistake(line, problem, "write letters and digits, such as 2026a");
        return None;
    }
    Some((line, name))
}

/// Most keys of a domain; each makes another field and an operation for every message.
const KEYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    const BASE: &str = "data='d'\nhostname='h'\ndomains=['example.org','b.example']\n[[listen]]\n\
                        protocol='submission'\naddress='127.0.0.1:587'\ntls='starttls'\n";

    fn read(dkim: &str) -> Result<Vec<DkimPlace>, Vec<String>> {
        let config = Config::parse(&format!("{BASE}{dkim}"), Path::new("/etc/p"));
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        config.map(|config| config.dkim).map_err(told)
    }

    #[test]
    fn a_domain_may_have_several_keys() {
        let keys = read(
            "[[dkim]]\ndomain='Example.org'\nselector='r1'\nkey='r1.pem'\n\
             [[dkim]]\ndomain='example.org'\nselector='e1.mail'\nkey='/k/e1.pem'\n\
             [[dkim]]\ndomain='b.example'\nselector='r1'\nkey='b.pem'\n",
        )
        .unwrap();
        assert_eq!(
            keys.iter().map(|it| it.selector.as_str()).collect::<Vec<_>>(),
            ["r1", "e1.mail", "r1"]
        );
        assert_eq!(keys[0].domain, "example.org");
        assert_eq!(keys[0].key, Path::new("/etc/p/r1.pem"));
        assert_eq!(keys[1].key, Path::new("/k/e1.pem"));
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        let line = BASE.lines().count();
        for (dkim, at, problem) in [
            ("[[dkim]]\ndomain='x y'\nselector='s'\nkey='k'\n", 2, "not a domain name"),
            ("[[dkim]]\ndomain='c.example'\nselector='s'\nkey='k'\n", 2, "is not among"),
            ("[[dkim]]\ndomain='example.org'\nselector='s;'\nkey='k'\n", 3, "cannot be a part"),
            ("[[dkim]]\ndomain='example.org'\nselector='s'\nfile='k'\n", 4, "file"),
            (
                "[[dkim]]\ndomain='example.org'\nselector='s'\nkey='k'\n\
                 [[dkim]]\ndomain='example.org'\nselector='S'\nkey='k'\n",
                7,
                "there are two keys for s._domainkey.example.org",
            ),
        ] {
            let told = read(dkim).unwrap_err();
            assert!(told.iter().any(|told| told.contains(problem)), "{told:?}");
            let start = format!("line {}: ", line + at);
            assert!(told.iter().any(|told| told.starts_with(&start)), "{start}{told:?}");
        }
        let keys: String = (0..=KEYS_MAX)
            .map(|it| format!("[[dkim]]\ndomain='b.example'\nselector='s{it}'\nkey='k'\n"))
            .collect();
        assert!(read(&keys).unwrap_err()[0].contains("more than 4 keys"));
    }
}
