//! The resolver as a [`Source`].

use std::net::IpAddr;

use dns::{Answer, DnsError};

use crate::domain;
use crate::names::{Failure, Family, Lookup, Source};

impl Source for dns::Resolver {
    fn txt<'a>(&'a self, name: &'a str) -> Lookup<'a, String> {
        Box::pin(async move { read(dns::Resolver::txt(self, name).await) })
    }

    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Lookup<'a, IpAddr> {
        Box::pin(async move {
            read(match family {
                Family::Ipv4 => self.ipv4(name).await,
                Family::Ipv6 => self.ipv6(name).await,
            })
        })
    }

    fn exchanges<'a>(&'a self, name: &'a str) -> Lookup<'a, String> {
        Box::pin(async move {
            let mut found = read(self.mx(name).await)?;
            found.sort();
            // A null MX names no exchange. RFC 7505 §3
            Ok(found.iter().filter_map(|mx| domain::normal(&mx.exchange)).collect())
        })
    }

    fn names(&self, address: IpAddr) -> Lookup<'_, String> {
        Box::pin(async move { read(self.ptr(address).await) })
    }
}

fn read<T>(answer: Result<Answer<Vec<T>>, DnsError>) -> Result<Vec<T>, Failure> {
    match answer {
        Ok(answer) => Ok(answer.records),
        Err(DnsError::NoSuchName { .. }) => Err(Failure::NoSuchName),
        Err(DnsError::NoRecords { .. }) => Ok(Vec::new()),
        // What cannot be a name does not exist.
        Err(DnsError::BadName) => Err(Failure::NoSuchName),
        Err(DnsError::Bogus(_) | DnsError::Temporary(_)) => Err(Failure::Temporary),
    }
}
