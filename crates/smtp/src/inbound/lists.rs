//! Block lists of the domain name system: zones that have a name for each address that misbehaves.
//! RFC 5782

use std::net::IpAddr;
use std::time::Duration;

use dns::Resolver;
use tokio::time::timeout;
use tracing::{info, warn};

/// A block list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockList {
    /// Its zone.
    pub zone: String,
    /// What becomes of mail from clients that it has.
    pub action: ListAction,
}

/// What a listing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAction {
    /// Nothing is taken.
    Reject,
    /// What is taken is junk.
    Junk,
}

/// Block lists, and who looks them up.
#[derive(Clone)]
pub struct BlockLists {
    resolver: Resolver,
    lists: Vec<BlockList>,
}

/// What all lists say of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listings {
    pub(crate) is_rejected: bool,
    /// Lists that make its mail junk.
    pub(crate) junk: Vec<String>,
}

impl BlockLists {
    /// These lists.
    pub fn new(resolver: Resolver, lists: Vec<BlockList>) -> Self {
        Self { resolver, lists }
    }

    /// Asks all lists at one time. One that fails has nobody: mail does not stop for it.
    pub(crate) async fn look_up(&self, client: IpAddr) -> Listings {
        let asked = self.lists.iter().map(|list| {
            let (resolver, name) = (self.resolver.clone(), question(client, &list.zone));
            tokio::spawn(async move { timeout(LIST_PATIENCE, resolver.a_exists(&name)).await })
        });
        let asked: Vec<_> = asked.collect();
        let mut listings = Listings::default();
        for (list, asked) in self.lists.iter().zip(asked) {
            match asked.await {
                Ok(Ok(Ok(true))) => {
                    info!(%client, list = list.zone, "the client is listed");
                    match list.action {
                        ListAction::Reject => listings.is_rejected = true,
                        ListAction::Junk => listings.junk.push(list.zone.clone()),
                    }
                }
                Ok(Ok(Ok(false))) => {}
                Ok(Err(_)) => warn!(list = list.zone, "a block list does not answer in time"),
                Ok(Ok(Err(error))) => {
                    warn!(?error, list = list.zone, "a block list does not answer")
                }
                Err(error) => warn!(?error, list = list.zone, "a block list was not asked"),
            }
        }
        listings
    }
}

/// The name that a list has for an address: its octets, or its half octets, from behind. RFC 5782
/// §2.1, §2.4
fn question(client: IpAddr, zone: &str) -> String {
    let mut name = String::new();
    match client {
        IpAddr::V4(ip) => {
            ip.octets().iter().rev().for_each(|octet| name.push_str(&format!("{octet}.")));
        }
        IpAddr::V6(ip) => {
            for octet in ip.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
        }
    }
    name.push_str(zone);
    name
}

/// How long a client waits for the lists; one that takes longer has nobody.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_from_behind() {
        let of = |client: &str| question(client.parse().unwrap(), "list.example");
        assert_eq!(of("192.0.2.99"), "99.2.0.192.list.example");
        let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.list.example";
        assert_eq!(of("4321:0:1:2:3:4:567:89ab"), six);
    }
}
