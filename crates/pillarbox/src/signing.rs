//! The keys of the configuration as a signer.

use std::fs;
use std::path::Path;

use mail_types::Secret;
use sender_auth::{Signer, SigningKey};

use crate::config::DkimPlace;
use crate::failure::Failure;
use crate::keyring;

/// Who signs with the keys that the configuration names, and with those that the server keeps
/// itself.
///
/// # Errors
/// With what cannot be read or used.
pub fn signer(data: &Path, places: &[DkimPlace]) -> Result<Signer, Failure> {
    let key = |place: &DkimPlace| -> Result<SigningKey, Failure> {
        let told = |error| Failure::usage(format!("{}: {error}", place.key.display()));
        let text = fs::read(&place.key).map_err(told)?;
        Ok(SigningKey {
            domain: place.domain.clone(),
            selector: place.selector.clone(),
            key: Secret::new(text),
        })
    };
    let mut keys = places.iter().map(key).collect::<Result<Vec<_>, Failure>>()?;
    let kept = keyring::read(data)?;
    // Two signatures by the name of one record would be one too many.
    let is_named = |key: &SigningKey| {
        let is_it = |at: &DkimPlace| at.domain == key.domain && at.selector == key.selector;
        places.iter().any(is_it)
    };
    keys.extend(kept.signing().filter(|key| !is_named(key)));
    Signer::new(keys).map_err(|error| Failure::usage(format!("[[dkim]]: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_their_files_and_what_is_wrong_names_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e1.pem");
        let place = || DkimPlace {
            domain: "example.org".to_owned(),
            selector: "e1".to_owned(),
            key: file.clone(),
        };
        let told = signer(folder.path(), &[place()]).unwrap_err().to_string();
        assert!(told.contains("e1.pem"), "{told}");
        fs::write(&file, sender_auth::keys::generate_ed25519().unwrap().expose()).unwrap();
        assert!(signer(folder.path(), &[place()]).unwrap().signs_for("example.org"));
        fs::write(&file, "no key").unwrap();
        let told = signer(folder.path(), &[place()]).unwrap_err().to_string();
        assert!(told.contains("[[dkim]]") && told.contains("e1._domainkey.example.org"), "{told}");
        assert!(!signer(folder.path(), &[]).unwrap().signs_for("example.org"));
    }

    #[test]
    fn keys_that_the_server_keeps_sign_unless_they_wait() {
        use crate::keyring::{KeptKey, Kind, State};
        let folder = tempfile::tempdir().unwrap();
        for (domain, state) in [("a.example", State::Signing), ("b.example", State::Waiting)] {
            let key = KeptKey::make(domain, "e1".into(), Kind::Ed25519, state, 0).unwrap();
            keyring::update(folder.path(), |ring| ring.add(key)).unwrap();
        }
        let signer = signer(folder.path(), &[]).unwrap();
        assert!(signer.signs_for("a.example") && !signer.signs_for("b.example"));
    }
}
