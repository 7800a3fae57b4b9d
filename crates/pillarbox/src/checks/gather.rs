//! Looks at everything that is judged. Questions to name servers are asked together, because a
//! server that does not answer would else cost its time-out for each.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt};

use super::Finding;
use super::facts::{DomainFacts, Facts, Listed, Moment, Outbound, Port, Reverse};
use super::{Look, machine, probe};
use crate::config::{Config, Listen, RelayPlace};
use crate::records::{Data, Lookup, Record, Senders, Site, compare, wanted};

/// What is to be looked at.
pub struct Questions {
    /// When.
    pub moment: Moment,
    /// The server and its domains.
    pub site: Site,
    /// Where it is to listen.
    pub listeners: Vec<Listen>,
    /// Whether our own server runs.
    pub is_running: bool,
    /// Where mail is kept.
    pub data: PathBuf,
    /// The server to try whether mail can leave: `HOST` or `HOST:PORT`.
    pub probe: Option<String>,
    /// How mail is to leave.
    pub way_out: WayOut,
    /// Block lists to ask.
    pub lists: Vec<String>,
}

/// How mail for other systems is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// Straight to their servers.
    Direct,
    /// All of it through relays.
    Relay,
    /// Not at all.
    Closed,
}

impl WayOut {
    /// What a configuration says.
    pub fn of(config: &Config) -> Self {
        let is_for_all = |relay: &RelayPlace| relay.domains.iter().any(|domain| domain == "*");
        match config.outbound.direct {
            _ if config.relays.iter().any(is_for_all) => Self::Relay,
            true => Self::Direct,
            // What relays are named for leaves through them.
            false if !config.relays.is_empty() => Self::Relay,
            false => Self::Closed,
        }
    }
}

/// Looks at everything.
pub async fn gather(look: &Look, questions: &Questions) -> Facts {
    let site = &questions.site;
    let (host, reverse, lists, domains, outbound, clock, validates) = tokio::join!(
        look.addresses(&site.hostname),
        reverse(look, &site.addresses),
        listed(look, &site.addresses, &questions.lists),
        domains(look, site, questions.moment),
        outbound(look, questions),
        machine::clock(),
        look.validates(),
    );
    let port = |listen: &Listen| Port {
        address: listen.address.to_string(),
        protocol: listen.protocol.word(),
        state: machine::port(&listen.address, questions.is_running),
    };
    Facts {
        moment: questions.moment,
        hostname: site.hostname.clone(),
        addresses: site.addresses.clone(),
        host,
        reverse,
        ports: questions.listeners.iter().map(port).collect(),
        outbound,
        clock,
        memory_bytes: machine::memory_bytes(),
        disk_bytes: machine::disk_bytes(&questions.data),
        lists,
        domains,
        validates,
    }
}

/// Compares every record that a site wants with what the world is told.
pub async fn records(look: &Look, site: &Site) -> Vec<Finding> {
    let records = wanted(site);
    let compared = records.iter().map(async |record: &Record| {
        let found = look.at(record).await;
        let senders = match record.is_senders_policy() {
            true => look.senders(&record.name, site).await,
            false => Senders::default(),
        };
        compare(record, &found, &senders, site)
    });
    together(compared).await
}

/// Asks several at a time; the answers are in the order of the questions.
async fn together<T>(questions: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(questions).buffered(QUESTIONS_MAX).collect().await
}

async fn reverse(look: &Look, addresses: &[IpAddr]) -> Vec<Reverse> {
    let asked = addresses.iter().map(async |address: &IpAddr| {
        let names = look.names(*address).await;
        let mut confirmed = Vec::new();
        for name in names.records().iter().take(NAMES_MAX) {
            if look.addresses(name).await.records().contains(address) {
                confirmed.push(name.clone());
            }
        }
        Reverse { address: *address, names, confirmed }
    });
    together(asked).await
}

async fn listed(look: &Look, addresses: &[IpAddr], zones: &[String]) -> Vec<Listed> {
    let pairs = addresses.iter().flat_map(|address| zones.iter().map(|zone| (*address, zone)));
    let asked = pairs.map(async |(address, zone): (IpAddr, &String)| {
        let answer = look.listing(&format!("{}.{zone}", dns::reversed(address))).await;
        Listed { zone: zone.clone(), address, answer }
    });
    together(asked).await
}

async fn domains(look: &Look, site: &Site, moment: Moment) -> Vec<DomainFacts> {
    let asked = site.domains.iter().map(async |name: &String| {
        let senders = async {
            match moment {
                Moment::Before => look.senders(name, site).await,
                // The comparison of the records says it.
                Moment::After => Senders::default(),
            }
        };
        let (mx, txt, senders) = tokio::join!(look.mx(name), look.txt(name), senders);
        DomainFacts { name: name.clone(), mx, txt, senders }
    });
    together(asked).await
}

async fn outbound(look: &Look, questions: &Questions) -> Outbound {
    match questions.way_out {
        WayOut::Direct => {}
        WayOut::Relay => return Outbound::Relayed,
        WayOut::Closed => return Outbound::Closed,
    }
    let (server, port) = match &questions.probe {
        Some(target) => target_of(target),
        None => match look.mx(PROBE_DOMAIN).await {
            Lookup::Failed(reason) => return Outbound::NoTarget(reason),
            found => match found.records().first() {
                Some(Data::Mx { exchange, .. }) => (exchange.clone(), SMTP_PORT),
                _ => return Outbound::NoTarget(format!("{PROBE_DOMAIN} has no MX record")),
            },
        },
    };
    let addresses = match server.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => look.addresses(&server).await.records().to_vec(),
    };
    let all: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    probe::probe(&server, &all).await
}

fn target_of(target: &str) -> (String, u16) {
    if let Ok(address) = target.parse::<SocketAddr>() {
        return (address.ip().to_string(), address.port());
    }
    match target.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) if !host.contains(':') => (host.to_owned(), port),
        _ => (target.to_owned(), SMTP_PORT),
    }
}

/// Its mail servers are always there, and it minds no connection without mail.
const PROBE_DOMAIN: &str = "gmail.com";

/// RFC 5321 §4.5.4.2
const SMTP_PORT: u16 = 25;

/// Questions that are under way at one time: a name server on the same machine takes many more.
const QUESTIONS_MAX: usize = 16;

/// Names of one address that are looked at: there is one, if all is well.
const NAMES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_to_try_may_be_named_with_its_port() {
        for (text, host, port) in [
            ("mx.example.net", "mx.example.net", 25),
            ("mx.example.net:2525", "mx.example.net", 2525),
            ("127.0.0.1:2525", "127.0.0.1", 2525),
            ("[::1]:2525", "::1", 2525),
            ("::1", "::1", 25),
        ] {
            assert_eq!(target_of(text), (host.to_owned(), port), "{text}");
        }
    }
}
