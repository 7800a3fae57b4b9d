//! The keys of the configuration as a signer.

use std::fs;

use mail_types::Secret;
use sender_auth::{Signer, SigningKey};

use crate::config::DkimPlace;
use crate::failure::Failure;

/// Reads the files that the keys name.
///
/// # Errors
/// With what cannot be read or used.
pub fn signer(places: &[DkimPlace]) -> Result<Signer, Failure> {
    let key = |place: &DkimPlace| -> Result<SigningKey, Failure> {
        let told = |error| Failure::usage(format!("{}: {error}", place.key.display()));
        let text = fs::read(&place.key).map_err(told)?;
        Ok(SigningKey {
            domain: place.domain.clone(),
            selector: place.selector.clone(),
            key: Secret::new(text),
        })
    };
    let keys = places.iter().map(key).collect::<Result<_, Failure>>()?;
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
        let told = signer(&[place()]).unwrap_err().to_string();
        assert!(told.contains("e1.pem"), "{told}");
        fs::write(&file, sender_auth::keys::generate_ed25519().unwrap().expose()).unwrap();
        assert!(signer(&[place()]).unwrap().signs_for("example.org"));
        fs::write(&file, "no key").unwrap();
        let told = signer(&[place()]).unwrap_err().to_string();
        assert!(told.contains("[[dkim]]") && told.contains("e1._domainkey.example.org"), "{told}");
        assert!(!signer(&[]).unwrap().signs_for("example.org"));
    }
}
