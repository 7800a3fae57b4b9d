//! Credentials that were verified lately: a second login need not pay for argon2 again.
//!
//! What is kept is one keyed hash for each account, over the account's id, its stored credential
//! and the password. The key is drawn when the process starts and never leaves it. Because the
//! stored credential is hashed too, a changed password makes the entry wrong by itself, also when
//! another process changed it; nothing has to be told to forget.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{constant_time, hmac};
use mail_types::{AccountId, Secret};

use crate::clock::Random;
use crate::error::ServiceError;
use crate::limits::CREDENTIAL_CACHE_MAX;

/// One keyed hash per account, as many as [`CREDENTIAL_CACHE_MAX`].
pub struct CredentialCache {
    key: hmac::Key,
    entries: Mutex<HashMap<AccountId, [u8; 32]>>,
    entries_max: usize,
}

impl CredentialCache {
    /// An empty cache under a fresh key.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn new(random: &dyn Random) -> Result<Self, ServiceError> {
        let mut key = [0; 32];
        if !random.fill(&mut key) {
            return Err(ServiceError::NoRandomness);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Self { key, entries: Mutex::default(), entries_max: CREDENTIAL_CACHE_MAX })
    }

    /// Whether this very password was verified for this account against this stored credential.
    pub fn contains(&self, account: AccountId, stored: &[u8], password: &Secret) -> bool {
        let Some(known) = self.lock().get(&account).copied() else { return false };
        let digest = self.digest(account, stored, password);
        constant_time::verify_slices_are_equal(&known, &digest).is_ok()
    }

    /// Remembers that the password was verified.
    pub fn insert(&self, account: AccountId, stored: &[u8], password: &Secret) {
        let digest = self.digest(account, stored, password);
        let mut entries = self.lock();
        if entries.len() >= self.entries_max && !entries.contains_key(&account) {
            // Any entry will do: who is dropped pays once for argon2.
            let victim = entries.keys().next().copied();
            victim.map(|id| entries.remove(&id));
        }
        entries.insert(account, digest);
    }

    /// Forgets an account.
    pub fn remove(&self, account: AccountId) {
        self.lock().remove(&account);
    }

    /// The lengths stand before the fields, so that no two triples make the same bytes.
    fn digest(&self, account: AccountId, stored: &[u8], password: &Secret) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&account.get().to_be_bytes());
        for field in [stored, password.expose()] {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, [u8; 32]>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_credential_counts_for_its_account_its_hash_and_its_password() {
        let cache = CredentialCache::new(&SystemRandom).unwrap();
        cache.insert(AccountId(1), b"hash", &secret("one"));
        assert!(cache.contains(AccountId(1), b"hash", &secret("one")));
        assert!(!cache.contains(AccountId(2), b"hash", &secret("one")));
        assert!(!cache.contains(AccountId(1), b"hash", &secret("two")));
        assert!(!cache.contains(AccountId(1), b"new hash", &secret("one")));
        // The border between the fields counts.
        assert!(!cache.contains(AccountId(1), b"hasho", &secret("ne")));
        cache.remove(AccountId(1));
        assert!(!cache.contains(AccountId(1), b"hash", &secret("one")));
    }

    #[test]
    fn the_cache_never_grows_above_its_maximum() {
        let mut cache = CredentialCache::new(&SystemRandom).unwrap();
        cache.entries_max = 3;
        for id in 0..10 {
            cache.insert(AccountId(id), b"hash", &secret("p"));
            assert!(cache.contains(AccountId(id), b"hash", &secret("p")));
        }
        assert_eq!(cache.lock().len(), 3);
    }
}
