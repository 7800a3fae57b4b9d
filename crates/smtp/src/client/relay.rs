//! Which relay takes mail for a domain.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mail_types::Secret;
use rustls::ClientConfig;
use smtp_session::ClientTls;

use super::tls;

/// A server that carries mail on.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Domains of recipients; `*` stands for all that are named nowhere.
    pub domains: Vec<String>,
    /// Its name or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: RelayTls,
    /// Who this server is there.
    pub login: Option<RelayLogin>,
    /// Certificates of the authorities that may have signed the relay's, in PEM; without them the
    /// system's.
    pub authorities: Option<Vec<u8>>,
}

/// Who this server is at a relay.
#[derive(Clone, Debug)]
pub struct RelayLogin {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// How the connection to a relay is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayTls {
    /// By STARTTLS, and the certificate is verified; or nothing is sent.
    Required,
    /// By TLS from the first octet, and the certificate is verified.
    Implicit,
    /// By STARTTLS if it is offered; nobody knows with whom.
    Opportunistic,
    /// Not: on this machine only.
    None,
}

impl RelayTls {
    /// Whether a host may be spoken to so: without TLS only this machine, whatever a resolver says.
    #[must_use]
    pub fn may_reach(self, host: &str) -> bool {
        // RFC 6761 §6.3
        self != Self::None
            || host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Why a relay cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayError(pub(super) String);

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RelayError {}

/// All relays. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Relays {
    by_domain: Arc<HashMap<String, Arc<Way>>>,
}

/// A relay that can be used.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) relay: Relay,
    /// `None` without TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Tells it apart from the others.
    pub(super) number: usize,
}

impl Relays {
    /// Relays by the domains that they name.
    ///
    /// # Errors
    /// The first that cannot be used: two name the same domain, authorities are not certificates,
    /// something secret would travel in the clear, or the system has no trust store.
    pub fn new(relays: Vec<Relay>) -> Result<Self, RelayError> {
        let mut by_domain = HashMap::new();
        for (number, relay) in relays.into_iter().enumerate() {
            let way = Arc::new(Way::new(relay, number)?);
            for domain in &way.relay.domains {
                let domain = domain.to_ascii_lowercase();
                if by_domain.insert(domain.clone(), Arc::clone(&way)).is_some() {
                    return Err(RelayError(format!("two relays for {domain}")));
                }
            }
        }
        Ok(Self { by_domain: Arc::new(by_domain) })
    }

    /// Whether mail for an address is taken by one of them.
    #[must_use]
    pub fn carry(&self, address: &str) -> bool {
        address.rsplit_once('@').is_some_and(|(_, domain)| self.way(domain).is_some())
    }

    /// The relay that names the domain, or else the one for all.
    pub(super) fn way(&self, domain: &str) -> Option<&Arc<Way>> {
        let named = self.by_domain.get(&domain.to_ascii_lowercase());
        named.or_else(|| self.by_domain.get("*"))
    }
}

impl Way {
    fn new(relay: Relay, number: usize) -> Result<Self, RelayError> {
        let host = &relay.host;
        if !relay.tls.may_reach(host) {
            return Err(RelayError(format!("relay {host}: no TLS is for this machine only")));
        }
        if relay.tls == RelayTls::Opportunistic && relay.login.is_some() {
            let why = "a password needs TLS that is required or implicit";
            return Err(RelayError(format!("relay {host}: {why}")));
        }
        let tls = match relay.tls {
            RelayTls::None => None,
            RelayTls::Opportunistic => Some(tls::unverified()),
            RelayTls::Required | RelayTls::Implicit => {
                Some(tls::verified(relay.authorities.as_deref()))
            }
        };
        let wrong = |why| RelayError(format!("relay {host}: {why}"));
        let tls = tls.transpose().map_err(wrong)?.map(Arc::new);
        Ok(Self { tls, relay, number })
    }
}

impl From<RelayTls> for ClientTls {
    fn from(tls: RelayTls) -> Self {
        match tls {
            RelayTls::Required => Self::Required,
            RelayTls::Implicit => Self::Active,
            RelayTls::Opportunistic => Self::Opportunistic,
            RelayTls::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(domains: &[&str], host: &str, tls: RelayTls) -> Relay {
        Relay {
            domains: domains.iter().map(|it| (*it).to_owned()).collect(),
            host: host.to_owned(),
            port: 587,
            tls,
            login: None,
            authorities: None,
        }
    }

    #[test]
    fn the_relay_that_names_a_domain_goes_before_the_one_for_all() {
        let all = relay(&["*"], "all.example", RelayTls::Opportunistic);
        let one = relay(&["Example.NET"], "one.example", RelayTls::Opportunistic);
        let relays = Relays::new(vec![all, one.clone()]).unwrap();
        let host = |relays: &Relays, domain| relays.way(domain).map(|it| it.relay.host.clone());
        assert_eq!(host(&relays, "EXAMPLE.net").unwrap(), "one.example");
        assert_eq!(host(&relays, "sub.example.net").unwrap(), "all.example");
        let relays = Relays::new(vec![one]).unwrap();
        assert_eq!(host(&relays, "example.org"), None);
        assert!(relays.carry("a@example.net"));
        assert!(!relays.carry("a@example.org") && !relays.carry("example.net"));
    }

    #[test]
    fn what_would_give_something_away_is_refused() {
        let fault = |relay| Relays::new(vec![relay]).unwrap_err().to_string();
        let cleartext = relay(&["*"], "relay.example", RelayTls::None);
        assert!(fault(cleartext).contains("this machine only"));
        assert!(Relays::new(vec![relay(&["*"], "127.0.0.1", RelayTls::None)]).is_ok());
        let login = RelayLogin { user: "dock".into(), password: Secret::new("tide") };
        let opportunistic = relay(&["*"], "relay.example", RelayTls::Opportunistic);
        assert!(!format!("{login:?}").contains("tide"));
        assert!(fault(Relay { login: Some(login), ..opportunistic }).contains("needs TLS"));
        let twice = relay(&["a.example", "A.example"], "localhost", RelayTls::None);
        assert!(fault(twice).contains("two relays for a.example"));
        let required = relay(&["*"], "relay.example", RelayTls::Required);
        let authorities = Some(b"none".to_vec());
        assert!(fault(Relay { authorities, ..required }).contains("no certificate"));
    }
}
