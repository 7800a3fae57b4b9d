//! Which servers take mail for a domain, and which of their addresses are dialled.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::Mx;

/// Why MX records name nobody who could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHost {
    /// The domain takes no mail. RFC 7505
    NullMx,
    /// This server is the best that the domain has, and does not take it.
    Loop,
}

/// The servers to be asked, the best first; `own` is the name of this one. Equal ones come in an
/// order that depends on `shuffle`. RFC 5321 §5.1
pub(super) fn rank(records: &[Mx], own: &str, shuffle: u64) -> Result<Vec<String>, NoHost> {
    // RFC 7505 §3: a root label is the name of no host, alone or beside others.
    let named = records.iter().filter(|mx| !matches!(mx.exchange.as_str(), "" | "."));
    // Who is in the list must only hand on to those who are better. RFC 5321 §5.1
    let is_own = |mx: &&Mx| mx.exchange.eq_ignore_ascii_case(own);
    let own_preference = named.clone().filter(is_own).map(|mx| mx.preference).min();
    let order = |mx: &&Mx| {
        let mut hasher = DefaultHasher::new();
        (shuffle, &mx.exchange).hash(&mut hasher);
        (mx.preference, hasher.finish())
    };
    let has_any = named.clone().next().is_some();
    let is_better = |mx: &&Mx| own_preference.is_none_or(|own| mx.preference < own);
    let mut ranked: Vec<&Mx> = named.filter(is_better).collect();
    ranked.sort_by_key(order);
    let mut hosts: Vec<String> = Vec::new();
    for mx in ranked {
        if !hosts.contains(&mx.exchange) && hosts.len() < HOSTS_MAX {
            hosts.push(mx.exchange.clone());
        }
    }
    match (hosts.is_empty(), has_any) {
        (false, _) => Ok(hosts),
        (true, true) => Err(NoHost::Loop),
        (true, false) => Err(NoHost::NullMx),
    }
}

/// The addresses of one server in the order in which they are dialled: both families in turn, so
/// that one which leads nowhere does not use up all attempts. RFC 6555 §3.1 prefers IPv6.
pub(super) fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv6());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut order = Vec::new();
    while order.len() < ADDRESSES_MAX {
        let both = [six.next(), four.next()];
        if both == [None, None] {
            break;
        }
        order.extend(both.into_iter().flatten());
    }
    order.truncate(ADDRESSES_MAX);
    order
}

/// Which addresses may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of the public network: what a stranger writes into his zone must not lead to this
    /// machine or to its neighbours.
    Public,
    /// Those of private networks and of this machine, too.
    Private,
}

impl Reach {
    /// Whether an address may be dialled.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.allows_v4(address),
            IpAddr::V6(address) => self.allows_v6(address),
        }
    }

    fn allows_v4(self, address: Ipv4Addr) -> bool {
        let [first, second, third, _] = address.octets();
        // Nobody's address. RFC 1122 §3.2.1.3, RFC 1112 §4
        if first == 0 || first >= 224 {
            return false;
        }
        let is_shared = first == 100 && (64..128).contains(&second);
        let is_benchmark = first == 198 && matches!(second, 18 | 19);
        let is_protocol = [first, second, third] == [192, 0, 0];
        let is_private = address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || address.is_documentation()
            // RFC 6598, RFC 2544, RFC 6890 §2.2.2
            || is_shared
            || is_benchmark
            || is_protocol;
        self == Self::Private || !is_private
    }

    fn allows_v6(self, address: Ipv6Addr) -> bool {
        if let Some(inner) = embedded(address) {
            return self.allows_v4(inner);
        }
        if address.is_unspecified() || address.is_multicast() {
            return false;
        }
        let [first, second, ..] = address.segments();
        let is_private = address.is_loopback()
            // RFC 4193, RFC 4291 §2.5.6, RFC 3879
            || first & 0xfe00 == 0xfc00
            || first & 0xffc0 == 0xfe80
            || first & 0xffc0 == 0xfec0
            // RFC 3849, RFC 8215, RFC 6666
            || (first, second) == (0x2001, 0x0db8)
            || (first == 0x64 && second == 0xff9b)
            || first == 0x100;
        self == Self::Private || !is_private
    }
}

/// The address that a packet to one of the other family ends at. RFC 4291 §2.5.5, RFC 6052 §2.1,
/// RFC 3056 §2
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// The address that stands in place of a domain: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
/// RFC 5321 §4.1.3
pub(super) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("ipv6:") => rest.parse().ok().map(IpAddr::V6),
        _ => inner.parse().ok().map(IpAddr::V4),
    }
}

/// Servers of one domain that are asked for one message: as many as any sensible domain has.
const HOSTS_MAX: usize = 10;

/// Addresses of one server that are dialled.
const ADDRESSES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(records: &[(u16, &str)]) -> Vec<Mx> {
        let record = |(preference, exchange): &(u16, &str)| Mx {
            preference: *preference,
            exchange: (*exchange).to_owned(),
        };
        records.iter().map(record).collect()
    }

    #[test]
    fn the_best_server_comes_first_and_equal_ones_are_shuffled() {
        let records = mx(&[(20, "c"), (10, "a"), (10, "b"), (10, "a")]);
        let orders: std::collections::BTreeSet<Vec<String>> =
            (0..50).map(|shuffle| rank(&records, "own", shuffle).unwrap()).collect();
        let expected = [vec!["a", "b", "c"], vec!["b", "a", "c"]];
        assert_eq!(
            orders,
            expected.map(|order| order.into_iter().map(String::from).collect()).into()
        );
        let many: Vec<Mx> = (0..500).flat_map(|n| mx(&[(n, &format!("h{n}"))])).collect();
        assert_eq!(rank(&many, "own", 0).unwrap().len(), HOSTS_MAX);
    }

    #[test]
    fn a_server_hands_on_only_to_those_that_are_better_than_itself() {
        let records = mx(&[(5, "a"), (10, "Own"), (10, "b"), (20, "c")]);
        assert_eq!(rank(&records, "own", 7).unwrap(), ["a"]);
        assert_eq!(rank(&mx(&[(10, "own"), (20, "c")]), "own", 0), Err(NoHost::Loop));
    }

    #[test]
    fn a_domain_that_takes_no_mail_says_so() {
        assert_eq!(rank(&mx(&[(0, "")]), "own", 0), Err(NoHost::NullMx));
        assert_eq!(rank(&mx(&[(0, ".")]), "own", 0), Err(NoHost::NullMx));
        assert_eq!(rank(&mx(&[(0, "."), (10, "a")]), "own", 0).unwrap(), ["a"]);
    }

    #[test]
    fn both_families_are_dialled_in_turn() {
        let all: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]
            .map(|it| it.parse().unwrap())
            .to_vec();
        let order: Vec<String> = interleave(&all).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let six: Vec<IpAddr> = (1..9).map(|n| Ipv6Addr::from(n).into()).collect();
        assert_eq!(interleave(&six).len(), ADDRESSES_MAX);
    }

    #[test]
    fn s096_a_zone_cannot_lead_to_this_machine_or_its_neighbours() {
        for private in [
            "127.0.0.1",
            "127.255.0.3",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2001:db8::1",
        ] {
            let address: IpAddr = private.parse().unwrap();
            assert!(!Reach::Public.allows(address), "{private}");
            assert!(Reach::Private.allows(address), "{private}");
        }
        for nobody in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
            "2002:e000:1::",
        ] {
            let address: IpAddr = nobody.parse().unwrap();
            assert!(!Reach::Public.allows(address), "{nobody}");
            assert!(!Reach::Private.allows(address), "{nobody}");
        }
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(Reach::Public.allows(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_address_may_stand_in_place_of_a_domain() {
        assert_eq!(literal("[192.0.2.1]"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(literal("[ipv6:2001:db8::1]"), Some("2001:db8::1".parse().unwrap()));
        for none in [
            "192.0.2.1",
            "[2001:db8::1]",
            "[IPv6:192.0.2.1]",
            "[192.0.2]",
            "[]",
            "[x:y]",
            "[ipv6:]",
            "[\u{e4}\u{e4}\u{e4}]",
        ] {
            assert_eq!(literal(none), None, "{none}");
        }
    }
}
