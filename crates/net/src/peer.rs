//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The other end of a connection, as far as the socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer. An IPv4 address that arrived on an IPv6 socket is given as IPv4.
    Ip(IpAddr),
    /// A process of this machine, through a Unix socket or a pipe in memory.
    Local,
}

impl Peer {
    /// Whether the traffic stays on this machine, so that cleartext cannot be overheard.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Local => true,
        }
    }

    /// The address that limits are counted by: an IPv6 customer has a /64 at least, so counting
    /// single addresses would count nothing.
    pub fn network(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(IpAddr::V6(ip)) => {
                let bits = ip.to_bits() & !u128::from(u64::MAX);
                Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
            }
            Self::Ip(IpAddr::V4(ip)) => Some(IpAddr::V4(*ip)),
            Self::Local => None,
        }
    }

    /// The peer's address, or the loopback address of a local one.
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::Ip(ip) => *ip,
            Self::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_peers_are_counted_by_their_64() {
        let network = |text: &str| Peer::Ip(text.parse().unwrap()).network().unwrap();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
