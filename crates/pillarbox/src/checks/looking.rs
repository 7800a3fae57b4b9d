//! Where one looks: at which addresses, and in which block lists.

use std::net::{IpAddr, UdpSocket};

use super::{Look, machine};
use crate::cli::Looking;
use crate::records::Lookup;

/// Where the world reaches this machine: where the operator says, or where the name of the server
/// leads if this machine has that address, or the addresses that it uses itself, or, behind a
/// router that translates them, wherever the name leads.
pub async fn addresses(told: &[IpAddr], look: &Look, hostname: &str) -> Vec<IpAddr> {
    if !told.is_empty() {
        return told.to_vec();
    }
    let named = match look.addresses(hostname).await {
        Lookup::Found { records, .. } => records,
        Lookup::Absent { .. } | Lookup::Failed(_) => Vec::new(),
    };
    let is_here = |address: &IpAddr| UdpSocket::bind((*address, 0)).is_ok();
    let here: Vec<_> = named.iter().copied().filter(is_here).collect();
    if !here.is_empty() {
        return here;
    }
    let own = machine::own_addresses();
    if own.is_empty() { named } else { own }
}

/// The block lists to ask.
pub fn lists(looking: &Looking) -> Vec<String> {
    match looking.block_list.as_slice() {
        _ if looking.no_block_lists => Vec::new(),
        [] => BLOCK_LISTS.iter().map(|&zone| zone.to_owned()).collect(),
        zones => zones.to_vec(),
    }
}

/// Those that most servers ask.
const BLOCK_LISTS: &[&str] = &["zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org"];
