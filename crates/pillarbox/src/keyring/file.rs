//! Where the keys are kept: one private file in the data folder, which is replaced whole, so that a
//! crash leaves the old keys or the new ones.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::Keyring;
use crate::failure::Failure;

/// The keys that are kept in a data folder.
///
/// # Errors
/// When they cannot be read: they may be the ones that others know, so none are made in their
/// place.
pub fn read(data: &Path) -> Result<Keyring, Failure> {
    let file = data.join(FOLDER).join(FILE);
    let told = |error: String| Failure::failed(format!("{}: {error}", file.display()));
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| told(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Keyring::default()),
        Err(error) => Err(told(error.to_string())),
    }
}

/// The text of the file.
///
/// # Errors
/// When the keys cannot be written as text.
pub fn text(ring: &Keyring) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec_pretty(ring).map_err(|error| Failure::failed(error.to_string()))
}

/// Changes the keys of a data folder, while nobody else does.
///
/// # Errors
/// With the reason for which they were not changed, or when they cannot be read or written.
pub fn update<T>(
    data: &Path,
    change: impl FnOnce(&mut Keyring) -> Result<T, String>,
) -> Result<T, Failure> {
    let folder = data.join(FOLDER);
    let told = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(told)?;
    // The lock goes with its file.
    let lock = File::open(&folder).map_err(told)?;
    lock.lock().map_err(told)?;
    let mut ring = read(data)?;
    let done = change(&mut ring).map_err(Failure::failed)?;
    net::write_private(&folder.join(FILE), &text(&ring)?).map_err(told)?;
    Ok(done)
}

/// How the private half of a key is written.
pub mod pem {
    use mail_types::Secret;
    use serde::{Deserialize, Deserializer, Serializer, ser};

    pub fn serialize<S: Serializer>(pem: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(pem.expose()).map_err(ser::Error::custom)?;
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// The folder of the keys in the data folder.
pub const FOLDER: &str = "dkim";

/// The file in that folder.
pub const FILE: &str = "keys.json";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{KeptKey, Kind, State};
    use super::*;

    #[test]
    fn keys_are_kept_for_the_server_alone_and_read_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().all().is_empty());
        let key =
            KeptKey::make("a.example", "e1".into(), Kind::Ed25519, State::Waiting, 7).unwrap();
        let public = key.public().unwrap();
        update(folder.path(), |ring| ring.add(key)).unwrap();
        let ring = read(folder.path()).unwrap();
        assert_eq!(ring.all()[0].public().unwrap(), public);
        assert_eq!((ring.all()[0].state, ring.all()[0].since), (State::Waiting, 7));
        let file = folder.path().join(FOLDER).join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{ring:?}").contains("PRIVATE"));
        let before = fs::read(&file).unwrap();
        let refused = update(folder.path(), |_| Err::<(), _>("no".to_owned()));
        assert_eq!(refused.unwrap_err().to_string(), "no");
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn keys_that_cannot_be_read_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        let file = folder.path().join(FOLDER).join(FILE);
        fs::write(&file, "spoiled").unwrap();
        let told = update(folder.path(), |_| Ok(())).unwrap_err().to_string();
        assert!(told.contains("keys.json"), "{told}");
        assert_eq!(fs::read(&file).unwrap(), b"spoiled");
    }
}
