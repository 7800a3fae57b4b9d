//! Asks the name servers, and makes of their answers what the checks compare.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dns::{Answer, DnsError, Resolver, Validation};
use futures_util::future::join_all;
use sender_auth::SpfResult;
use tokio::time::timeout;

use crate::config::DnsPlace;
use crate::failure::Failure;
use crate::names;
use crate::records::{Data, Lookup, Record, Senders, Site};

/// Who asks.
#[derive(Clone)]
pub struct Look {
    names: Resolver,
    /// Verifies no signatures, as the checks of mail that arrives do not for block lists.
    plain: Resolver,
}

impl Look {
    /// Asks those whom the server asks.
    ///
    /// # Errors
    /// When the trust anchor cannot be read.
    pub fn through(place: &DnsPlace) -> Result<Self, Failure> {
        let servers = place.servers.clone();
        let plain = DnsPlace { servers, trust_anchor: None, validation: Validation::Never };
        Ok(Self { names: names::resolver(place)?, plain: names::resolver(&plain)? })
    }

    /// What stands under the name of a record.
    pub async fn at(&self, record: &Record) -> Lookup<Data> {
        match &record.data {
            // An alias is followed, and what counts is where it leads.
            Data::Address(_) | Data::Cname(_) => {
                self.addresses(&record.name).await.map(Data::Address)
            }
            Data::Mx { .. } => self.mx(&record.name).await,
            Data::Txt(_) => self.txt(&record.name).await,
            Data::Srv { .. } => lookup(self.names.srv(&record.name).await).map(|srv| Data::Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target,
            }),
            Data::Tlsa { .. } => {
                let host = record.name.strip_prefix("_25._tcp.").unwrap_or(&record.name);
                lookup(self.names.tlsa(25, host).await).map(|tlsa| Data::Tlsa {
                    usage: tlsa.usage,
                    selector: tlsa.selector,
                    matching: tlsa.matching,
                    data: tlsa.data,
                })
            }
            Data::Caa { .. } => {
                lookup(self.names.issuers(&record.name).await).map(|issuer| Data::Caa { issuer })
            }
        }
    }

    /// The addresses of a name.
    pub async fn addresses(&self, name: &str) -> Lookup<IpAddr> {
        lookup(self.names.addresses(name).await)
    }

    /// What a block list says of a name below it.
    pub async fn listing(&self, name: &str) -> Lookup<IpAddr> {
        lookup(self.plain.addresses(name).await)
    }

    /// The mail exchangers of a domain.
    pub async fn mx(&self, domain: &str) -> Lookup<Data> {
        let found = lookup(self.names.mx(domain).await);
        found.map(|mx| Data::Mx { preference: mx.preference, exchange: mx.exchange })
    }

    /// The texts of a name.
    pub async fn txt(&self, name: &str) -> Lookup<Data> {
        lookup(self.names.txt(name).await).map(Data::Txt)
    }

    /// What the policy of a name says of this server, and of an address that nobody has.
    pub async fn senders(&self, name: &str, site: &Site) -> Senders {
        let ask = async |address| {
            let asked = sender_auth::may_send(&self.names, address, &site.hostname, name);
            timeout(SENDERS_PATIENCE, asked).await.unwrap_or(SpfResult::TempError)
        };
        let ours = site.addresses.iter().map(async |address| (*address, ask(*address).await));
        let (nobody, ours) = tokio::join!(ask(NOBODY), join_all(ours));
        Senders { ours, nobody: Some(nobody) }
    }

    /// The names of an address.
    pub async fn names(&self, address: IpAddr) -> Lookup<String> {
        lookup(self.names.ptr(address).await)
    }

    /// Whether signatures get through to here.
    pub async fn validates(&self) -> bool {
        self.names.validates().await
    }
}

fn lookup<T>(answer: Result<Answer<Vec<T>>, DnsError>) -> Lookup<T> {
    match answer {
        Ok(answer) => {
            let secure = answer.is_secure();
            Lookup::Found { records: answer.records, secure }
        }
        Err(DnsError::NoSuchName { secure } | DnsError::NoRecords { secure }) => {
            Lookup::Absent { secure }
        }
        Err(error) => Lookup::Failed(error.to_string()),
    }
}

/// Within the block that was kept for later and will never be given out. RFC 1112 §4
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1));

/// A policy may ask for some twenty names, one after the other.
const SENDERS_PATIENCE: Duration = Duration::from_secs(20);
