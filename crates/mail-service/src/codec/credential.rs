//! What is stored of a password.

use super::{CorruptRecord, Fault, Reader, Writer, decode};
use crate::auth::scram::{Hash, ScramKeys};

/// An account's credential, with its name so that the directory can be checked against it.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The account's name in its one spelling.
    pub name: String,
    /// Hash of the password as a PHC string.
    pub hash: String,
    /// Keys for SCRAM-SHA-256.
    pub scram: ScramKeys,
    /// Keys for SCRAM-SHA-1; passwords that were set before there were any have none.
    pub scram_sha1: Option<ScramKeys>,
    /// Capabilities that are not announced to this account, in capitals.
    pub hidden: Vec<String>,
}

impl Credential {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.bytes(self.name.as_bytes());
        w.bytes(self.hash.as_bytes());
        write_keys(&mut w, &self.scram);
        w.option(self.scram_sha1.as_ref(), write_keys);
        w.list(&self.hidden, |w, name| w.bytes(name.as_bytes()));
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        let is_old = value.first() == Some(&VERSION_WITHOUT_SHA1);
        let version = if is_old { VERSION_WITHOUT_SHA1 } else { VERSION };
        decode(key, value, version, |r| {
            Ok(Self {
                name: r.text()?.to_owned(),
                hash: r.text()?.to_owned(),
                scram: read_keys::<32>(r, Hash::Sha256)?,
                scram_sha1: match is_old {
                    true => None,
                    false => r.option(|r| read_keys::<20>(r, Hash::Sha1))?,
                },
                hidden: match is_old {
                    true => Vec::new(),
                    false => r.list(|r| Ok(r.text()?.to_owned()))?,
                },
            })
        })
    }
}

fn write_keys(w: &mut Writer, keys: &ScramKeys) {
    w.bytes(&keys.salt);
    w.number(u64::from(keys.iterations));
    w.fixed(&keys.stored_key);
    w.fixed(&keys.server_key);
}

/// `N` is the length of the hash.
fn read_keys<const N: usize>(r: &mut Reader<'_>, hash: Hash) -> Result<ScramKeys, Fault> {
    Ok(ScramKeys {
        hash,
        salt: r.vec()?,
        iterations: r.number_u32()?,
        stored_key: r.fixed::<N>()?.to_vec(),
        server_key: r.fixed::<N>()?.to_vec(),
    })
}

const VERSION: u8 = 2;

/// Of a program that knew SCRAM-SHA-256 only. What it wrote is read, and written no more.
const VERSION_WITHOUT_SHA1: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(hash: Hash) -> ScramKeys {
        let (stored_key, server_key) = (vec![2; hash.bytes()], vec![3; hash.bytes()]);
        ScramKeys { hash, salt: vec![1; 16], iterations: 15_000, stored_key, server_key }
    }

    #[test]
    fn a_credential_of_the_first_version_is_read() {
        let mut w = Writer::new(1);
        w.bytes(b"dock");
        w.bytes(b"$argon2id$");
        write_keys(&mut w, &keys(Hash::Sha256));
        let read = Credential::decode(b"k", &w.finish()).unwrap();
        assert_eq!((read.name.as_str(), read.hash.as_str()), ("dock", "$argon2id$"));
        assert_eq!(read.scram, keys(Hash::Sha256));
        assert_eq!((read.scram_sha1, read.hidden), (None, Vec::new()));
    }

    #[test]
    fn credentials_read_back_and_damage_is_noticed() {
        let credential = Credential {
            name: "dock@mail.example".to_owned(),
            hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(),
            scram: keys(Hash::Sha256),
            scram_sha1: Some(keys(Hash::Sha1)),
            hidden: vec!["QRESYNC".to_owned()],
        };
        let bytes = credential.encode();
        crate::codec::tests::assert_damage_is_noticed(&bytes, |bytes| {
            Credential::decode(b"k", bytes).map(|c| c.encode())
        });
    }

    #[test]
    fn a_credential_prints_no_keys() {
        let scram = keys(Hash::Sha256);
        let (name, hash) = ("n".to_owned(), "h".to_owned());
        let hidden = Vec::new();
        let credential = Credential { name, hash, scram, scram_sha1: None, hidden };
        assert!(format!("{credential:?}").contains("ScramKeys(\u{2026})"));
    }
}
