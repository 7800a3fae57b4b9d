//! Keys that sign mail and that the server keeps by itself, for `pillarbox setup` and
//! `pillarbox dkim`.
//!
//! What may become of a key is decided here. `file` keeps them; `watch` looks whether the world can
//! see their records.

mod file;
mod watch;

use mail_types::{InternalDate, Secret};
use sender_auth::SigningKey;
use sender_auth::keys::{self, KeyError};
use serde::{Deserialize, Serialize};

pub use self::file::{FILE, FOLDER, read, text, update};
pub use self::watch::{Looking, watch};
use crate::records::{KeyUse, PublicKey};

/// All keys that the server keeps.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    keys: Vec<KeptKey>,
}

/// A key, and how it is used.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeptKey {
    /// The domain that it signs for, in small letters.
    pub domain: String,
    /// Its name: the record stands at `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// Its algorithm.
    pub kind: Kind,
    /// How it is used.
    pub state: State,
    /// Since when it is used so, in seconds since 1970.
    pub since: i64,
    /// The private half, a PEM text.
    #[serde(with = "file::pem")]
    pub pem: Secret,
}

/// The algorithm of a key. RFC 8463 §5: not everybody verifies Ed25519 yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// RSA of 2,048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not yet: others could not verify what it signs, as they do not see its record.
    Waiting,
    /// It signs.
    Signing,
    /// No longer. Mail that is under way is still verified by its record.
    Retired,
}

impl KeptKey {
    /// A new key. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When none can be made.
    pub fn make(
        domain: &str,
        selector: String,
        kind: Kind,
        state: State,
        now: i64,
    ) -> Result<Self, KeyError> {
        let pem = match kind {
            Kind::Rsa => keys::generate_rsa(),
            Kind::Ed25519 => keys::generate_ed25519(),
        }?;
        Ok(Self { domain: domain.to_owned(), selector, kind, state, since: now, pem })
    }

    /// What others see of it.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let key = PublicKey::of(&self.domain, &self.selector, self.pem.expose())?;
        let used = match self.state {
            State::Waiting | State::Signing => KeyUse::Signs,
            State::Retired => KeyUse::Retired,
        };
        Ok(PublicKey { used, ..key })
    }

    fn is(&self, domain: &str, selector: &str) -> bool {
        self.domain == domain && self.selector == selector
    }
}

impl Keyring {
    /// All keys, in the order in which they were made.
    pub fn all(&self) -> &[KeptKey] {
        &self.keys
    }

    /// The keys of a domain.
    pub fn of<'k>(&'k self, domain: &'k str) -> impl Iterator<Item = &'k KeptKey> {
        self.keys.iter().filter(move |key| key.domain == domain)
    }

    /// The keys that sign, as a signer takes them.
    pub fn signing(&self) -> impl Iterator<Item = SigningKey> {
        let signing = self.keys.iter().filter(|key| key.state == State::Signing);
        signing.map(|key| SigningKey {
            domain: key.domain.clone(),
            selector: key.selector.clone(),
            key: key.pem.clone(),
        })
    }

    /// A name that no key of the domain has, as `rsa26nov2026`: keys are changed now and then, and
    /// the old record stays for mail that is under way. RFC 6376 §3.1
    ///
    /// # Errors
    /// When every such name of today is taken.
    pub fn free_selector(&self, domain: &str, kind: Kind, now: i64) -> Result<String, String> {
        let date = InternalDate::format_date(now.div_euclid(24 * 3600));
        let kind = match kind {
            Kind::Rsa => "rsa",
            Kind::Ed25519 => "ed",
        };
        let today = format!("{kind}{}", date.replace('-', "").to_ascii_lowercase());
        let is_free = |name: &String| !self.keys.iter().any(|key| key.is(domain, name));
        let mut names = std::iter::once(today.clone())
            .chain(('b'..='z').map(|letter| format!("{today}{letter}")));
        names.find(is_free).ok_or_else(|| format!("{domain} has had enough new keys today"))
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When the domain has such a one, or too many.
    pub fn add(&mut self, key: KeptKey) -> Result<(), String> {
        let (domain, selector) = (&key.domain, &key.selector);
        if self.keys.iter().any(|other| other.is(domain, selector)) {
            return Err(format!("there is a key {selector} of {domain} already"));
        }
        if self.of(domain).count() >= KEYS_MAX {
            return Err(format!("{domain} has {KEYS_MAX} keys; remove those that are retired"));
        }
        self.keys.push(key);
        Ok(())
    }

    /// The algorithms of which a domain gets a new key when its keys are rotated.
    ///
    /// # Errors
    /// When it has no key that signs, or the last rotation has not come to its end.
    pub fn kinds_to_rotate(&self, domain: &str) -> Result<Vec<Kind>, String> {
        if let Some(waiting) = self.of(domain).find(|key| key.state == State::Waiting) {
            return Err(format!(
                "{} of {domain} still waits for its record; set it, or remove the key",
                waiting.selector
            ));
        }
        let signs = |kind: &Kind| {
            self.of(domain).any(|key| key.kind == *kind && key.state == State::Signing)
        };
        let kinds: Vec<_> = [Kind::Rsa, Kind::Ed25519].into_iter().filter(signs).collect();
        match kinds.is_empty() {
            true => Err(format!("the server keeps no key of {domain} that signs; add one")),
            false => Ok(kinds),
        }
    }

    /// The record of a key that waited has been seen: from now on it signs, and those of its kind
    /// that did so rest. Whether it still waited.
    pub fn seen(&mut self, domain: &str, selector: &str, now: i64) -> bool {
        let is_it = |key: &&KeptKey| key.is(domain, selector) && key.state == State::Waiting;
        let Some(kind) = self.keys.iter().find(is_it).map(|key| key.kind) else { return false };
        for key in &mut self.keys {
            let is_older = key.domain == domain && key.kind == kind && key.state == State::Signing;
            if key.is(domain, selector) {
                (key.state, key.since) = (State::Signing, now);
            } else if is_older {
                (key.state, key.since) = (State::Retired, now);
            }
        }
        true
    }

    /// Removes a key.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove(&mut self, domain: &str, selector: &str) -> Result<(), String> {
        let count = self.keys.len();
        self.keys.retain(|key| !key.is(domain, selector));
        match self.keys.len() == count {
            true => Err(format!("the server keeps no key {selector} of {domain}")),
            false => Ok(()),
        }
    }
}

/// Keys of a domain: two kinds, their successors, and what was retired not long ago.
const KEYS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26
    const NOW: i64 = 1_795_651_200;

    fn key(selector: &str, kind: Kind, state: State) -> KeptKey {
        let (domain, selector) = ("example.org".to_owned(), selector.to_owned());
        KeptKey { domain, selector, kind, state, since: 0, pem: Secret::new("") }
    }

    fn ring(keys: &[KeptKey]) -> Keyring {
        Keyring { keys: keys.to_vec() }
    }

    fn states(ring: &Keyring) -> Vec<(&str, State, i64)> {
        ring.keys.iter().map(|key| (key.selector.as_str(), key.state, key.since)).collect()
    }

    #[test]
    fn a_new_key_signs_once_its_record_is_seen_and_the_old_one_of_its_kind_rests() {
        let mut ring = ring(&[
            key("r1", Kind::Rsa, State::Signing),
            key("e1", Kind::Ed25519, State::Signing),
            key("r2", Kind::Rsa, State::Waiting),
        ]);
        let signing =
            |ring: &Keyring| -> Vec<String> { ring.signing().map(|key| key.selector).collect() };
        assert_eq!(signing(&ring), ["r1", "e1"]);
        assert!(!ring.seen("example.org", "none", NOW));
        assert!(!ring.seen("example.net", "r2", NOW));
        assert!(ring.seen("example.org", "r2", NOW));
        assert_eq!(
            states(&ring),
            [("r1", State::Retired, NOW), ("e1", State::Signing, 0), ("r2", State::Signing, NOW)]
        );
        assert_eq!(signing(&ring), ["e1", "r2"]);
        // It is seen once.
        assert!(!ring.seen("example.org", "r2", NOW + 1));
    }

    #[test]
    fn a_rotation_follows_what_signs_and_is_ended_before_the_next() {
        let kinds = |keys: &[KeptKey]| ring(keys).kinds_to_rotate("example.org");
        let (rsa, ed) = (Kind::Rsa, Kind::Ed25519);
        let both = [key("r1", rsa, State::Signing), key("e1", ed, State::Signing)];
        assert_eq!(kinds(&both), Ok(vec![rsa, ed]));
        let one = [key("r0", rsa, State::Retired), key("e1", ed, State::Signing)];
        assert_eq!(kinds(&one), Ok(vec![ed]));
        let waits = [key("e1", ed, State::Signing), key("e2", ed, State::Waiting)];
        assert!(kinds(&waits).unwrap_err().contains("e2 of example.org still waits"));
        assert!(kinds(&[]).unwrap_err().contains("add one"));
    }

    #[test]
    fn selectors_tell_kind_and_day_and_are_never_given_twice() {
        let mut ring = Keyring::default();
        for expected in ["rsa26nov2026", "rsa26nov2026b", "rsa26nov2026c"] {
            let name = ring.free_selector("example.org", Kind::Rsa, NOW).unwrap();
            assert_eq!(name, expected);
            ring.add(key(&name, Kind::Rsa, State::Retired)).unwrap();
        }
        let other = ring.free_selector("example.net", Kind::Rsa, NOW).unwrap();
        assert_eq!(other, "rsa26nov2026");
        assert_eq!(ring.free_selector("a.example", Kind::Ed25519, NOW).unwrap(), "ed26nov2026");
    }

    #[test]
    fn a_domain_has_each_selector_once_and_not_too_many_keys() {
        let mut ring = Keyring::default();
        for at in 0..KEYS_MAX {
            ring.add(key(&format!("s{at}"), Kind::Rsa, State::Retired)).unwrap();
        }
        let again = key("s0", Kind::Rsa, State::Waiting);
        assert!(ring.add(again).unwrap_err().contains("there is a key s0"));
        let more = key("more", Kind::Rsa, State::Waiting);
        assert!(ring.add(more.clone()).unwrap_err().contains("has 8 keys"));
        assert!(ring.remove("example.org", "none").is_err());
        ring.remove("example.org", "s0").unwrap();
        ring.add(more).unwrap();
    }
}
