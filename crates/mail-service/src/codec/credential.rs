//! What is stored of a password.

use super::{CorruptRecord, Fault, Reader, Writer, decode};
use crate::auth::app_password::{AppPassword, AppPasswordDigest, DIGEST_BYTES};
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
    /// Its application passwords, in the order in which they were made.
    pub app_passwords: Vec<AppPassword>,
}

impl Credential {
    /// As stored: in the last version but one as long as that can say it, so that nodes with the
    /// program of yesterday read what they could have written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let is_plain = self.app_passwords.is_empty();
        let mut w = Writer::new(if is_plain { VERSION_WITHOUT_APP_PASSWORDS } else { VERSION });
        w.bytes(self.name.as_bytes());
        w.bytes(self.hash.as_bytes());
        write_keys(&mut w, &self.scram);
        w.option(self.scram_sha1.as_ref(), write_keys);
        w.list(&self.hidden, |w, name| w.bytes(name.as_bytes()));
        if !is_plain {
            w.list(&self.app_passwords, write_app_password);
        }
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        let version = value.first().copied().filter(|it| OLD_VERSIONS.contains(it));
        let version = version.unwrap_or(VERSION);
        let is_first = version == VERSION_WITHOUT_SHA1;
        decode(key, value, version, |r| {
            Ok(Self {
                name: r.text()?.to_owned(),
                hash: r.text()?.to_owned(),
                scram: read_keys::<32>(r, Hash::Sha256)?,
                scram_sha1: match is_first {
                    true => None,
                    false => r.option(|r| read_keys::<20>(r, Hash::Sha1))?,
                },
                hidden: match is_first {
                    true => Vec::new(),
                    false => r.list(|r| Ok(r.text()?.to_owned()))?,
                },
                app_passwords: match version == VERSION {
                    true => r.list(read_app_password)?,
                    false => Vec::new(),
                },
            })
        })
    }
}

fn write_app_password(w: &mut Writer, password: &AppPassword) {
    w.bytes(password.label.as_bytes());
    w.fixed(&password.digest.0);
    w.signed(password.made_at);
    w.list(&password.hidden, |w, name| w.bytes(name.as_bytes()));
}

fn read_app_password(r: &mut Reader<'_>) -> Result<AppPassword, Fault> {
    Ok(AppPassword {
        label: r.text()?.to_owned(),
        digest: AppPasswordDigest(r.fixed::<DIGEST_BYTES>()?),
        made_at: r.signed()?,
        hidden: r.list(|r| Ok(r.text()?.to_owned()))?,
    })
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

const VERSION: u8 = 3;

/// Of a program that knew no application passwords, and of accounts that have none.
const VERSION_WITHOUT_APP_PASSWORDS: u8 = 2;

/// Of a program that knew SCRAM-SHA-256 only. What it wrote is read, and written no more.
const VERSION_WITHOUT_SHA1: u8 = 1;

const OLD_VERSIONS: [u8; 2] = [VERSION_WITHOUT_SHA1, VERSION_WITHOUT_APP_PASSWORDS];

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
        assert_eq!(read.app_passwords, []);
    }

    #[test]
    fn credentials_read_back_and_damage_is_noticed() {
        let credential = Credential {
            name: "dock@mail.example".to_owned(),
            hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(),
            scram: keys(Hash::Sha256),
            scram_sha1: Some(keys(Hash::Sha1)),
            hidden: vec!["QRESYNC".to_owned()],
            app_passwords: Vec::new(),
        };
        let bytes = credential.encode();
        assert_eq!(bytes[0], 2, "older programs read it");
        crate::codec::tests::assert_damage_is_noticed(&bytes, |bytes| {
            Credential::decode(b"k", bytes).map(|c| c.encode())
        });
        let app_password = |label: &str, hidden: &[&str]| AppPassword {
            label: label.to_owned(),
            digest: AppPasswordDigest([7; DIGEST_BYTES]),
            made_at: 1_790_000_000,
            hidden: hidden.iter().map(|&name| name.to_owned()).collect(),
        };
        let app_passwords = vec![app_password("phone", &[]), app_password("tv", &["MOVE", "ID"])];
        let credential = Credential { app_passwords: app_passwords.clone(), ..credential };
        let bytes = credential.encode();
        assert_eq!(Credential::decode(b"k", &bytes).unwrap().app_passwords, app_passwords);
        crate::codec::tests::assert_damage_is_noticed(&bytes, |bytes| {
            Credential::decode(b"k", bytes).map(|c| c.encode())
        });
    }

    #[test]
    fn a_credential_of_the_second_version_is_read() {
        let mut w = Writer::new(2);
        w.bytes(b"dock");
        w.bytes(b"$argon2id$");
        write_keys(&mut w, &keys(Hash::Sha256));
        w.option(Some(&keys(Hash::Sha1)), write_keys);
        w.list(&["MOVE"], |w, name| w.bytes(name.as_bytes()));
        let read = Credential::decode(b"k", &w.finish()).unwrap();
        assert_eq!((read.scram_sha1, read.hidden), (Some(keys(Hash::Sha1)), vec!["MOVE".into()]));
        assert_eq!(read.app_passwords, []);
    }

    #[test]
    fn the_row_of_an_account_with_all_it_may_have_stays_small() {
        use crate::limits::{
            APP_PASSWORD_HIDDEN_MAX, APP_PASSWORD_LABEL_BYTES_MAX, APP_PASSWORDS_MAX,
        };
        let password = AppPassword {
            label: "x".repeat(APP_PASSWORD_LABEL_BYTES_MAX),
            digest: AppPasswordDigest([7; DIGEST_BYTES]),
            made_at: i64::MAX,
            hidden: vec!["X".repeat(64); APP_PASSWORD_HIDDEN_MAX],
        };
        let mut w = Writer::new(VERSION);
        w.list(&vec![password; APP_PASSWORDS_MAX], write_app_password);
        assert!(w.finish().len() < 30 * 1024);
    }

    #[test]
    fn a_credential_prints_no_keys() {
        let scram = keys(Hash::Sha256);
        let (name, hash) = ("n".to_owned(), "h".to_owned());
        let (hidden, app_passwords) = (Vec::new(), Vec::new());
        let credential = Credential { name, hash, scram, scram_sha1: None, hidden, app_passwords };
        assert!(format!("{credential:?}").contains("ScramKeys(\u{2026})"));
    }
}
