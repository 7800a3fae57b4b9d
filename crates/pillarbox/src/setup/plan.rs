//! What a set-up will make, decided before anything is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mail_service::PasswordCost;

use crate::config::is_domain;

/// Everything that is known about the server to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first account, which is an address.
    pub account: String,
    /// Its domain.
    pub domain: String,
    /// The server's name.
    pub hostname: String,
    /// Where things are put.
    pub paths: Paths,
    /// The program that the unit starts.
    pub program: PathBuf,
    /// The address that means all of the machine.
    pub any_address: IpAddr,
    /// Name servers to ask instead of the system's.
    pub name_servers: Vec<SocketAddr>,
    /// Keys to trust instead of the root's.
    pub trust_anchor: Option<PathBuf>,
    /// Where the certificate comes from.
    pub certificate: Source,
    /// What the hash of the first password costs.
    pub password_cost: PasswordCost,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An authority that issues them by itself.
    Authority,
    /// Nobody else.
    SelfSigned,
    /// It is there already: chain and key.
    Files(PathBuf, PathBuf),
}

/// Where things are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The configuration file.
    pub config: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// The systemd unit.
    pub unit: PathBuf,
    prefix: PathBuf,
}

impl Paths {
    /// The usual places, below a folder.
    pub fn below(prefix: &Path) -> Self {
        Self {
            config: prefix.join("etc/pillarbox/pillarbox.toml"),
            data: prefix.join("var/lib/pillarbox"),
            unit: prefix.join("etc/systemd/system/pillarbox.service"),
            prefix: prefix.to_owned(),
        }
    }

    /// Whether these are the places of the machine itself.
    pub fn is_of_system(&self) -> bool {
        self.prefix == Path::new("/")
    }
}

/// The account and the domain that an address names, both in small letters where case means
/// nothing.
///
/// # Errors
/// With what is wrong with it.
pub fn read_address(address: &str) -> Result<(String, String), String> {
    let (local, domain) = address.rsplit_once('@').unwrap_or_default();
    let domain = domain.to_ascii_lowercase();
    if local.is_empty() || !domain.contains('.') || !is_domain(&domain) {
        return Err(format!(
            "{address:?} is not an address such as you@example.org; write the domain in ASCII, \
             as xn--…"
        ));
    }
    Ok((format!("{local}@{domain}"), domain))
}

/// Addresses that every domain has, and that lead to the first account. RFC 5321 §4.5.1, RFC 2142
/// §4 and §5
pub fn aliases(account: &str, domain: &str) -> Vec<String> {
    let names = ["postmaster", "abuse"].map(|name| format!("{name}@{domain}"));
    names.into_iter().filter(|name| !name.eq_ignore_ascii_case(account)).collect()
}

/// The address that means all of the machine, with IPv6 if it has that.
pub fn any_address() -> IpAddr {
    match std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A plan for the machine itself.
    pub fn plan() -> Plan {
        Plan {
            account: "you@example.org".into(),
            domain: "example.org".into(),
            hostname: "mail.example.org".into(),
            paths: Paths::below("/".as_ref()),
            program: "/usr/bin/pillarbox".into(),
            any_address: Ipv6Addr::UNSPECIFIED.into(),
            name_servers: Vec::new(),
            trust_anchor: None,
            certificate: Source::Authority,
            password_cost: PasswordCost {
                memory_kib: 8,
                iterations: 1,
                parallelism: 1,
                ..PasswordCost::default()
            },
        }
    }

    #[test]
    fn an_address_names_account_and_domain() {
        let read = read_address("You@Example.ORG").unwrap();
        assert_eq!(read, ("You@example.org".to_owned(), "example.org".to_owned()));
        for wrong in ["you", "@example.org", "you@", "you@localhost", "you@a b.example", "a@ü.de"]
        {
            assert!(read_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_domain_has_a_postmaster() {
        let both = ["postmaster@example.org", "abuse@example.org"];
        assert_eq!(aliases("you@example.org", "example.org"), both);
        assert_eq!(aliases("Postmaster@example.org", "example.org"), both[1..]);
    }
}
