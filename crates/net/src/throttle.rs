//! Slows down who guesses passwords, without locking out who knows one.
//!
//! Failures are counted by network and by account, so neither one machine that tries many names
//! nor many machines that try one name get far. A network from which an account has been used
//! before is not held up by what others do to that account: guessing must not lock its owner out.
//! A client that names no account (its certificate or token does) has an empty name, and counts
//! where it comes from alone.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Peer;

/// Counts failed logins. One for the whole program, so that a guesser cannot change the protocol.
#[derive(Debug, Default)]
pub struct LoginThrottle {
    hasher: RandomState,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Failures by the hash of a network or of an account.
    failures: HashMap<u64, Failures>,
    /// Hashes of (network, account) that have logged in, with the time of the last login.
    known: HashMap<u64, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Whether a password shall be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Try,
    /// No: too many failures. The client is told to come back later.
    Refuse,
}

impl LoginThrottle {
    /// Decides before the password is verified.
    pub fn check(&self, peer: Peer, account: &[u8], now: Instant) -> Verdict {
        let keys = self.keys(peer, account);
        let counts = self.lock();
        let over = |key, max| counts.recent(key, now) >= max;
        let from_network = keys.network.is_some_and(|key| over(key, NETWORK_FAILURES_MAX));
        let of_account = keys.account.is_some_and(|key| over(key, ACCOUNT_FAILURES_MAX))
            && !peer.is_local()
            && !counts.known.contains_key(&keys.pair);
        if from_network || of_account { Verdict::Refuse } else { Verdict::Try }
    }

    /// Notes a failure. Returns how long the answer shall wait: it doubles with each failure.
    pub fn failed(&self, peer: Peer, account: &[u8], now: Instant) -> Duration {
        let keys = self.keys(peer, account);
        let mut counts = self.lock();
        counts.make_room(now);
        let network = keys.network.map_or(1, |key| counts.add(key, now));
        let account = keys.account.map_or(1, |key| counts.add(key, now));
        let doublings = network.max(account).saturating_sub(1).min(DOUBLINGS_MAX);
        FIRST_DELAY * 2_u32.pow(doublings)
    }

    /// Notes a success: the network knows the password.
    pub fn succeeded(&self, peer: Peer, account: &[u8], now: Instant) {
        let keys = self.keys(peer, account);
        let mut counts = self.lock();
        counts.make_room(now);
        let Some(account) = keys.account else { return };
        counts.failures.remove(&account);
        counts.known.insert(keys.pair, now);
    }

    fn keys(&self, peer: Peer, account: &[u8]) -> Keys {
        let network = guesser(peer);
        let account = account.to_ascii_lowercase();
        Keys {
            // Everyone behind a proxy on this machine has its address: it counts nothing.
            network: network.filter(|_| !peer.is_local()).map(|it| self.hash(&("network", it))),
            pair: self.hash(&("pair", network, &account)),
            account: (!account.is_empty()).then(|| self.hash(&("account", account))),
        }
    }

    fn hash(&self, value: &impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keys {
    network: Option<u64>,
    account: Option<u64>,
    pair: u64,
}

/// Who guesses: an IPv4 /24 or an IPv6 /64, because addresses within them are cheap.
fn guesser(peer: Peer) -> Option<IpAddr> {
    match peer.network()? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Some(IpAddr::from([a, b, c, 0]))
        }
        network => Some(network),
    }
}

impl Counts {
    fn recent(&self, key: u64, now: Instant) -> u32 {
        let found = self.failures.get(&key).filter(|found| !found.is_over(now));
        found.map_or(0, |found| found.count)
    }

    fn add(&mut self, key: u64, now: Instant) -> u32 {
        let found = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
        if found.is_over(now) {
            found.count = 0;
        }
        found.count = found.count.saturating_add(1);
        found.last = now;
        found.count
    }

    /// Both tables forget what is old, and if that is not enough, everything: an attacker who can
    /// fill them must not be able to fill the memory.
    fn make_room(&mut self, now: Instant) {
        if self.failures.len() >= ENTRIES_MAX {
            self.failures.retain(|_, failures| !failures.is_over(now));
            if self.failures.len() >= ENTRIES_MAX {
                self.failures.clear();
            }
        }
        if self.known.len() >= ENTRIES_MAX {
            self.known.retain(|_, last| now.saturating_duration_since(*last) < KNOWN_FOR);
            if self.known.len() >= ENTRIES_MAX {
                self.known.clear();
            }
        }
    }
}

impl Failures {
    fn is_over(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > FORGOTTEN_AFTER
    }
}

/// What a person notices as a hiccup and a dictionary as the end of its hopes.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Eight seconds at most: below the patience of mail clients.
const DOUBLINGS_MAX: u32 = 4;

/// Failures from one network before its passwords are not looked at. An office behind one address
/// with a changed password on many devices stays below it.
const NETWORK_FAILURES_MAX: u32 = 100;

/// Failures of one account before passwords from networks it was never used from are not looked at.
const ACCOUNT_FAILURES_MAX: u32 = 50;

/// How long after its last failure a network or an account starts afresh.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long a network stays known after a login.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Entries of each table: some 4 MiB.
const ENTRIES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn who_names_no_account_counts_where_he_comes_from() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for index in 0..200 {
            throttle.failed(peer(&format!("10.{index}.0.1")), b"", now);
        }
        assert_eq!(throttle.check(peer("10.7.0.1"), b"", now), Verdict::Try);
        for _ in 0..NETWORK_FAILURES_MAX {
            throttle.failed(peer("192.0.2.1"), b"", now);
        }
        assert_eq!(throttle.check(peer("192.0.2.2"), b"", now), Verdict::Refuse);
    }

    #[test]
    fn s058_answers_take_longer_with_every_failure_up_to_a_limit() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        let delays: Vec<_> =
            (0..7).map(|_| throttle.failed(peer("192.0.2.1"), b"home", now).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        let later = now + FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(throttle.failed(peer("192.0.2.1"), b"home", later), FIRST_DELAY);
    }

    #[test]
    fn s058_a_network_that_tries_many_names_is_refused_whatever_its_address() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for index in 0..NETWORK_FAILURES_MAX {
            let from = peer(&format!("192.0.2.{}", index % 250));
            throttle.failed(from, format!("user{index}").as_bytes(), now);
        }
        assert_eq!(throttle.check(peer("192.0.2.251"), b"home", now), Verdict::Refuse);
        assert_eq!(throttle.check(peer("198.51.100.1"), b"home", now), Verdict::Try);
        let later = now + FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(throttle.check(peer("192.0.2.251"), b"home", later), Verdict::Try);
    }

    #[test]
    fn s058_the_owner_is_not_locked_out_by_those_who_guess() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        throttle.succeeded(peer("203.0.113.9"), b"home", now);
        for index in 0..ACCOUNT_FAILURES_MAX {
            throttle.failed(peer(&format!("10.{index}.0.1")), b"HOME", now);
        }
        assert_eq!(throttle.check(peer("10.200.0.1"), b"home", now), Verdict::Refuse);
        assert_eq!(throttle.check(peer("203.0.113.77"), b"Home", now), Verdict::Try);
        assert_eq!(throttle.check(Peer::Local, b"home", now), Verdict::Try);
        assert_eq!(throttle.check(peer("10.200.0.1"), b"work", now), Verdict::Try);
    }

    #[test]
    fn the_tables_do_not_grow_without_end() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for index in 0..ENTRIES_MAX as u32 + 10 {
            throttle.failed(peer("192.0.2.1"), &index.to_be_bytes(), now);
        }
        assert!(throttle.lock().failures.len() <= ENTRIES_MAX);
    }
}
