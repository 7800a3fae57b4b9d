//! Password hashes: argon2id as PHC strings.

use std::borrow::Cow;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use mail_types::Secret;

use crate::clock::Random;
use crate::error::{PasswordFault, ServiceError};
use crate::limits::{PASSWORD_BYTES_MAX, PasswordCost};

/// A password in its one form. RFC 4013 (SASLprep), as RFC 4616 §2 and RFC 5802 §5.1 ask.
///
/// # Errors
/// If it is empty, too long, not UTF-8 or holds a prohibited character.
pub fn prepare_password(password: &Secret) -> Result<Secret, PasswordFault> {
    let bytes = password.expose();
    if bytes.is_empty() {
        return Err(PasswordFault::Empty);
    }
    if bytes.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordFault::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PasswordFault::Character)?;
    match stringprep::saslprep(text).map_err(|_| PasswordFault::Character)? {
        Cow::Borrowed("") => Err(PasswordFault::Empty),
        Cow::Borrowed(text) => Ok(Secret::new(text)),
        Cow::Owned(text) if text.is_empty() => Err(PasswordFault::Empty),
        Cow::Owned(text) => Ok(Secret::new(text)),
    }
}

/// Hashes a prepared password under a fresh salt; takes the time and memory of `cost`.
///
/// # Errors
/// `NoRandomness`; `Busy` if argon2 gets no memory or the cost is outside its range.
pub fn hash_password(
    password: &Secret,
    cost: PasswordCost,
    random: &dyn Random,
) -> Result<String, ServiceError> {
    let mut salt = [0; SALT_BYTES];
    if !random.fill(&mut salt) {
        return Err(ServiceError::NoRandomness);
    }
    hash_with_salt(password, cost, &salt)
}

/// A hash that no password fits, so that a login for a name that does not exist costs as much as
/// one with a wrong password.
///
/// # Errors
/// As [`hash_password`].
pub fn dummy_hash(cost: PasswordCost, random: &dyn Random) -> Result<String, ServiceError> {
    let mut password = [0; 32];
    if !random.fill(&mut password) {
        return Err(ServiceError::NoRandomness);
    }
    hash_password(&Secret::new(password), cost, random)
}

/// Whether the password fits a PHC string; takes the time and memory that the string names.
#[must_use]
pub fn verify_password(password: &Secret, phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    // The computed and the stored output are compared in constant time by `Output`.
    Argon2::default().verify_password(password.expose(), &hash).is_ok()
}

/// Whether argon2 can be run at this cost.
#[must_use]
pub fn is_possible(cost: PasswordCost) -> bool {
    Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None).is_ok()
}

fn hash_with_salt(
    password: &Secret,
    cost: PasswordCost,
    salt: &[u8],
) -> Result<String, ServiceError> {
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None)
        .map_err(|_| ServiceError::Busy)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password.expose(), salt).map_err(|_| ServiceError::Busy)?;
    Ok(hash.to_string())
}

const SALT_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    const CHEAP: PasswordCost = PasswordCost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
        scram_iterations: 4096,
        concurrent_max: 0,
    };

    #[test]
    fn a_hash_fits_its_password_only_and_names_its_cost() {
        let password = Secret::new("correct horse");
        let hash = hash_password(&password, CHEAP, &SystemRandom).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(verify_password(&password, &hash));
        assert!(!verify_password(&Secret::new("correct horsf"), &hash));
        assert!(!verify_password(&Secret::new(""), &hash));
        assert_ne!(hash, hash_password(&password, CHEAP, &SystemRandom).unwrap());
    }

    #[test]
    fn a_damaged_hash_fits_nothing() {
        let password = Secret::new("x");
        for bad in ["", "$argon2id$", "x", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ"] {
            assert!(!verify_password(&password, bad), "{bad}");
        }
    }

    #[test]
    fn passwords_are_prepared_and_bounded() {
        let prepared = prepare_password(&Secret::new("I\u{ad}X")).unwrap();
        assert_eq!(prepared.expose(), b"IX");
        let refused = |bytes: &[u8]| prepare_password(&Secret::new(bytes)).unwrap_err();
        assert_eq!(refused(b""), PasswordFault::Empty);
        assert_eq!(refused("\u{ad}".as_bytes()), PasswordFault::Empty);
        assert_eq!(refused(b"a\0b"), PasswordFault::Character);
        assert_eq!(refused(b"\xff"), PasswordFault::Character);
        assert_eq!(refused(&[b'a'; 1025]), PasswordFault::TooLong);
    }
}
