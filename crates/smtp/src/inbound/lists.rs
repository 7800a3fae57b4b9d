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
            // RFC 5782 §2.1, §2.4
            let name = format!("{}.{}", dns::reversed(client), list.zone);
            let resolver = self.resolver.clone();
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

/// How long a client waits for the lists; one that takes longer has nobody.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
