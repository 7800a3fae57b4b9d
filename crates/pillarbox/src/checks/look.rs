//! Asks the name servers, and makes of their answers what the checks compare.

use std::net::IpAddr;

use dns::{Answer, DnsError, Resolver};

use crate::records::{Data, Lookup, Record};

/// Who asks.
#[derive(Clone)]
pub struct Look(Resolver);

impl Look {
    /// Asks through a resolver.
    pub fn new(resolver: Resolver) -> Self {
        Self(resolver)
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
            Data::Srv { .. } => lookup(self.0.srv(&record.name).await).map(|srv| Data::Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target,
            }),
            Data::Tlsa { .. } => {
                let host = record.name.strip_prefix("_25._tcp.").unwrap_or(&record.name);
                lookup(self.0.tlsa(25, host).await).map(|tlsa| Data::Tlsa {
                    usage: tlsa.usage,
                    selector: tlsa.selector,
                    matching: tlsa.matching,
                    data: tlsa.data,
                })
            }
            Data::Caa { .. } => {
                lookup(self.0.issuers(&record.name).await).map(|issuer| Data::Caa { issuer })
            }
        }
    }

    /// The addresses of a name.
    pub async fn addresses(&self, name: &str) -> Lookup<IpAddr> {
        lookup(self.0.addresses(name).await)
    }

    /// The mail exchangers of a domain.
    pub async fn mx(&self, domain: &str) -> Lookup<Data> {
        let found = lookup(self.0.mx(domain).await);
        found.map(|mx| Data::Mx { preference: mx.preference, exchange: mx.exchange })
    }

    /// The texts of a name.
    pub async fn txt(&self, name: &str) -> Lookup<Data> {
        lookup(self.0.txt(name).await).map(Data::Txt)
    }

    /// The names of an address.
    pub async fn names(&self, address: IpAddr) -> Lookup<String> {
        lookup(self.0.ptr(address).await)
    }

    /// Whether signatures get through to here.
    pub async fn validates(&self) -> bool {
        self.0.validates().await
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
