//! Application passwords: drawn by the server, one for each client, told once.
//!
//! Nobody chooses them, so they are as good as keys: 140 random bits cannot be guessed however fast
//! a guess is, and a plain SHA-256 protects them as well as argon2 would. For the same reason there
//! is no salt: no two are alike.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use mail_types::Secret;

use crate::clock::Random;
use crate::error::{AppPasswordFault, ServiceError};
use crate::limits::{APP_PASSWORD_LABEL_BYTES_MAX, APP_PASSWORDS_MAX};

/// What is stored of an application password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPassword {
    /// What the operator calls it, unique within the account.
    pub label: String,
    /// Its hash.
    pub digest: AppPasswordDigest,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// Capabilities that are not announced to whoever logs in with it, in capitals, besides those
    /// that are hidden from the account.
    pub hidden: Vec<String>,
}

/// The hash of an application password. It is not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AppPasswordDigest(pub(crate) [u8; DIGEST_BYTES]);

impl fmt::Debug for AppPasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\u{2026}")
    }
}

/// Draws a password, as it is told: groups of four with a hyphen between them.
///
/// # Errors
/// `NoRandomness`.
pub fn draw(random: &dyn Random) -> Result<Secret, ServiceError> {
    let mut bytes = [0; SYMBOLS];
    if !random.fill(&mut bytes) {
        return Err(ServiceError::NoRandomness);
    }
    let mut text = Vec::with_capacity(SYMBOLS + SYMBOLS / GROUP);
    for (index, byte) in bytes.into_iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push(b'-');
        }
        // The alphabet has 32 letters, so each comes as often as any other.
        text.extend(ALPHABET.get(usize::from(byte & 31)));
    }
    Ok(Secret::new(text))
}

/// The hash of what a client sent, if it looks like an application password. People type them in
/// any letter case, and without hyphens or with spaces in their place.
#[must_use]
pub fn digest(password: &Secret) -> Option<AppPasswordDigest> {
    let is_part = |byte: &&u8| !matches!(byte, b'-' | b' ');
    let symbols = password.expose().iter().filter(is_part).map(u8::to_ascii_lowercase);
    let symbols: Vec<u8> = symbols.take(SYMBOLS + 1).collect();
    if symbols.len() != SYMBOLS || !symbols.iter().all(|symbol| ALPHABET.contains(symbol)) {
        return None;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DOMAIN);
    context.update(&symbols);
    let hash = context.finish();
    hash.as_ref().try_into().ok().map(AppPasswordDigest)
}

/// The one of `known` that has this hash. It takes as long whatever there is and whether it is
/// found, so that nobody learns how many an account has, or that it exists.
#[must_use]
pub fn find(known: &[AppPassword], given: AppPasswordDigest) -> Option<&AppPassword> {
    let mut found = None;
    for index in 0..APP_PASSWORDS_MAX {
        let password = known.get(index);
        let digest = password.map_or([0; DIGEST_BYTES], |password| password.digest.0);
        let is_same = constant_time::verify_slices_are_equal(&digest, &given.0).is_ok();
        found = if is_same { password.or(found) } else { found };
    }
    found
}

/// A label in its one form. RFC 4013 takes out what cannot be seen.
///
/// # Errors
/// If it is empty, too long, begins or ends with a space, or holds what cannot be printed.
pub fn prepare_label(label: &str) -> Result<String, AppPasswordFault> {
    // Preparing costs time for each character: look at the length first.
    if label.len() > APP_PASSWORD_LABEL_BYTES_MAX {
        return Err(AppPasswordFault::Label);
    }
    let label = stringprep::saslprep(label).map_err(|_| AppPasswordFault::Label)?;
    let is_good = !label.is_empty()
        && label.len() <= APP_PASSWORD_LABEL_BYTES_MAX
        && label.trim() == label
        && !label.chars().any(char::is_control);
    if is_good { Ok(label.into_owned()) } else { Err(AppPasswordFault::Label) }
}

/// Small letters and digits without those that look alike: `0`, `1`, `l` and `o`.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Symbols of a password, five bits each: 140 bits.
const SYMBOLS: usize = 28;

/// Symbols between two hyphens.
const GROUP: usize = 4;

/// Octets of a hash.
pub(crate) const DIGEST_BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// Keeps these hashes apart from those that anything else may have of the same text.
const DOMAIN: &[u8] = b"pillarbox application password 1\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    /// Every byte is the same.
    struct Constant(u8);

    impl Random for Constant {
        fn fill(&self, bytes: &mut [u8]) -> bool {
            bytes.fill(self.0);
            self.0 != 255
        }
    }

    fn text(password: &Secret) -> String {
        String::from_utf8(password.expose().to_vec()).unwrap()
    }

    fn app_password(label: &str, password: &Secret) -> AppPassword {
        let digest = digest(password).unwrap();
        AppPassword { label: label.to_owned(), digest, made_at: 0, hidden: Vec::new() }
    }

    #[test]
    fn a_password_is_drawn_in_groups_of_letters_that_are_not_mistaken() {
        let drawn = text(&draw(&Constant(64 + 31)).unwrap());
        assert_eq!(drawn, "9999-9999-9999-9999-9999-9999-9999");
        assert_eq!(draw(&Constant(255)).err(), Some(ServiceError::NoRandomness));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let drawn = draw(&SystemRandom).unwrap();
            assert!(digest(&drawn).is_some());
            seen.extend(text(&drawn).bytes());
        }
        // 5,600 letters of 32: that one is missing has less than one chance in 10^70.
        assert_eq!(seen.len(), 33);
        assert!(!seen.iter().any(|byte| b"01lo".contains(byte)));
    }

    #[test]
    fn a_password_may_be_typed_in_any_case_and_with_other_gaps() {
        let drawn = draw(&SystemRandom).unwrap();
        let known = digest(&drawn);
        for other in [
            text(&drawn).to_uppercase(),
            text(&drawn).replace('-', ""),
            text(&drawn).replace('-', " "),
            format!(" {}", text(&drawn)),
        ] {
            assert_eq!(digest(&Secret::new(other)), known);
        }
    }

    #[test]
    fn what_does_not_look_like_one_has_no_hash() {
        let good = "abcd-abcd-abcd-abcd-abcd-abcd-abcd";
        assert!(digest(&Secret::new(good)).is_some());
        let long = format!("{good}a");
        let other = good.replacen('a', "0", 1);
        for bad in ["", "-", &good[1..], &long, &other, "swordfish", &"a".repeat(100_000)] {
            assert!(digest(&Secret::new(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_found_among_others_and_an_empty_place_is_no_password() {
        let drawn: Vec<Secret> =
            (0..APP_PASSWORDS_MAX).map(|_| draw(&SystemRandom).unwrap()).collect();
        let label = |index: usize| format!("phone {index}");
        let known: Vec<AppPassword> =
            drawn.iter().enumerate().map(|(n, it)| app_password(&label(n), it)).collect();
        for (index, password) in drawn.iter().enumerate() {
            let found = find(&known, digest(password).unwrap()).unwrap();
            assert_eq!(found.label, label(index));
            assert!(find(&known[..index], digest(password).unwrap()).is_none());
        }
        assert!(find(&[], AppPasswordDigest([0; DIGEST_BYTES])).is_none());
        assert_eq!(format!("{:?}", known[0].digest), "\u{2026}");
    }

    #[test]
    fn labels_have_one_form_and_can_be_printed() {
        assert_eq!(prepare_label("my phone").unwrap(), "my phone");
        assert_eq!(prepare_label("pho\u{ad}ne").unwrap(), "phone");
        let long = "x".repeat(APP_PASSWORD_LABEL_BYTES_MAX + 1);
        for bad in ["", " ", "\u{ad}", " x", "x ", "a\nb", "a\tb", "a\0", "\u{202e}x", &long] {
            assert_eq!(prepare_label(bad), Err(AppPasswordFault::Label), "{bad:?}");
        }
    }
}
