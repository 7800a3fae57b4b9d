//! What is stored of a password.

use super::{CorruptRecord, Writer, decode};
use crate::auth::scram::ScramKeys;

/// An account's credential, with its name so that the directory can be checked against it.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The account's name in its one spelling.
    pub name: String,
    /// Hash of the password as a PHC string.
    pub hash: String,
    /// Keys for SCRAM-SHA-256.
    pub scram: ScramKeys,
}

impl Credential {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.bytes(self.name.as_bytes());
        w.bytes(self.hash.as_bytes());
        w.bytes(&self.scram.salt);
        w.number(u64::from(self.scram.iterations));
        w.fixed(&self.scram.stored_key);
        w.fixed(&self.scram.server_key);
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r| {
            Ok(Self {
                name: r.text()?.to_owned(),
                hash: r.text()?.to_owned(),
                scram: ScramKeys {
                    salt: r.vec()?,
                    iterations: r.number_u32()?,
                    stored_key: r.fixed()?,
                    server_key: r.fixed()?,
                },
            })
        })
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_read_back_and_damage_is_noticed() {
        let credential = Credential {
            name: "dock@mail.example".to_owned(),
            hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(),
            scram: ScramKeys {
                salt: vec![1; 16],
                iterations: 15_000,
                stored_key: [2; 32],
                server_key: [3; 32],
            },
        };
        let bytes = credential.encode();
        crate::codec::tests::assert_damage_is_noticed(&bytes, |bytes| {
            Credential::decode(b"k", bytes).map(|c| c.encode())
        });
    }

    #[test]
    fn a_credential_prints_no_keys() {
        let scram = ScramKeys::invented(b"s", "n", 1);
        let credential = Credential { name: "n".into(), hash: "h".into(), scram };
        assert!(format!("{credential:?}").contains("ScramKeys(\u{2026})"));
    }
}
