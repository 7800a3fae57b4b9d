//! How many connections may be open at once, in all and from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Peer;

/// The most connections a program holds at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all. Each idle session takes up to 32 KiB and one file descriptor.
    pub connections_max: usize,
    /// From one IPv4 address or one IPv6 /64. A household behind one address with a few clients
    /// of five connections each stays below it; a script that opens sockets does not.
    pub per_network_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 50_000, per_network_max: 200 }
    }
}

/// Counts open connections and refuses those over a limit.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// At most one entry for each open connection, so no larger than `connections_max`.
    by_network: HashMap<IpAddr, usize>,
}

/// Which limit a connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The program has as many connections as it may.
    Full,
    /// The peer's network has as many connections as it may.
    TooManyFromNetwork,
}

impl Gate {
    /// A gate with nothing open.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Counts one connection for as long as the permit lives.
    ///
    /// Peers on this machine are counted in all but not by network: a proxy or a webmail in front
    /// brings many users from one address.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn admit(self: &Arc<Self>, peer: Peer) -> Result<Permit, Refused> {
        let network = peer.network().filter(|_| !peer.is_local());
        let mut open = self.open();
        if open.all >= self.limits.connections_max {
            return Err(Refused::Full);
        }
        if let Some(network) = network {
            let count = open.by_network.entry(network).or_insert(0);
            if *count >= self.limits.per_network_max {
                return Err(Refused::TooManyFromNetwork);
            }
            *count += 1;
        }
        open.all += 1;
        drop(open);
        Ok(Permit { gate: Arc::clone(self), network })
    }

    /// How many connections are open.
    pub fn open_count(&self) -> usize {
        self.open().all
    }

    /// A panic elsewhere cannot leave the counts half changed, so a poisoned lock is still good.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection; the count falls when it is dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    network: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.gate.open();
        open.all -= 1;
        let Some(network) = self.network else { return };
        if let Some(count) = open.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn one_network_cannot_take_every_place() {
        let gate = Gate::new(Limits { connections_max: 5, per_network_max: 2 });
        let first = gate.admit(peer("192.0.2.1")).unwrap();
        let _second = gate.admit(peer("192.0.2.1")).unwrap();
        assert_eq!(gate.admit(peer("192.0.2.1")).unwrap_err(), Refused::TooManyFromNetwork);
        let _other = gate.admit(peer("192.0.2.2")).unwrap();
        drop(first);
        let _again = gate.admit(peer("192.0.2.1")).unwrap();
        assert_eq!(gate.open_count(), 3);
    }

    #[test]
    fn the_whole_is_limited_for_local_peers_too() {
        let gate = Gate::new(Limits { connections_max: 3, per_network_max: 1 });
        let permits: Vec<_> = (0..3).map(|_| gate.admit(Peer::Local).unwrap()).collect();
        assert_eq!(gate.admit(Peer::Local).unwrap_err(), Refused::Full);
        drop(permits);
        assert_eq!(gate.open_count(), 0);
    }

    #[test]
    fn closed_connections_leave_no_entry_behind() {
        let gate = Gate::new(Limits::default());
        drop(gate.admit(peer("192.0.2.1")));
        assert!(gate.open().by_network.is_empty());
    }
}
