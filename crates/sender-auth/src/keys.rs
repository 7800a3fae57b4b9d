//! Keys that sign: made, read, and shown as the record that publishes them.
//! RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463 §4

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::prelude::{BASE64_STANDARD, Engine};
use mail_types::Secret;

/// A key that signs.
pub struct Key {
    kind: Kind,
}

enum Kind {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text is no PEM with one `PRIVATE KEY`.
    NoPem,
    /// It is no key of a kind that signs mail.
    Unusable,
    /// An RSA key of fewer than 2,048 bits. RFC 8301 §3.2
    TooShort,
    /// The library could not make one, for want of randomness or memory.
    NotMade,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPem => "it is no PEM text with one BEGIN PRIVATE KEY",
            Self::Unusable => "it is neither an RSA nor an Ed25519 key in PKCS #8",
            Self::TooShort => "the RSA key is shorter than 2048 bits",
            Self::NotMade => "no key could be made",
        })
    }
}

impl std::error::Error for KeyError {}

/// A new RSA key of 2,048 bits, as a PEM text (PKCS #8).
///
/// # Errors
/// [`KeyError::NotMade`].
pub fn generate_rsa() -> Result<Secret, KeyError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::NotMade)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::NotMade)?;
    Ok(pem(der.as_ref()))
}

/// A new Ed25519 key, as a PEM text (PKCS #8).
///
/// # Errors
/// [`KeyError::NotMade`].
pub fn generate_ed25519() -> Result<Secret, KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::NotMade)?;
    // The first version of PKCS #8: OpenSSL does not read the second.
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::NotMade)?;
    Ok(pem(der.as_ref()))
}

/// The text of the record that publishes a key, at `SELECTOR._domainkey.DOMAIN`.
pub fn dns_record(key: &Key) -> String {
    let public = BASE64_STANDARD.encode(key.public());
    match key.kind {
        Kind::Rsa(_) => format!("v=DKIM1; k=rsa; p={public}"),
        Kind::Ed25519(_) => format!("v=DKIM1; k=ed25519; p={public}"),
    }
}

/// A record's text in the strings that it is stored as, of at most 255 octets each. RFC 1035 §3.3
pub fn split(record: &str) -> Vec<String> {
    let mut strings = vec![String::new()];
    for character in record.chars() {
        match strings.last_mut() {
            Some(last) if last.len() + character.len_utf8() <= STRING_BYTES_MAX => {
                last.push(character);
            }
            _ => strings.push(character.to_string()),
        }
    }
    strings
}

impl Key {
    /// Reads a PEM text with a key in PKCS #8, as `openssl genpkey` and [`generate_rsa`] write it.
    ///
    /// # Errors
    /// What is wrong with the text or the key.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = der(text)?;
        if let Ok(pair) = RsaKeyPair::from_pkcs8(&der) {
            if pair.public_modulus_len() * 8 < RSA_BITS_MIN {
                return Err(KeyError::TooShort);
            }
            return Ok(Self { kind: Kind::Rsa(pair) });
        }
        // The public part may be missing from the file, and is made from the private one.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        pair.map(|pair| Self { kind: Kind::Ed25519(pair) }).map_err(|_| KeyError::Unusable)
    }

    /// The name of its algorithm, as `a=` has it.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa(_) => "rsa-sha256",
            Kind::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// Whether it is an RSA key, by which everybody can verify.
    pub(crate) fn is_rsa(&self) -> bool {
        matches!(self.kind, Kind::Rsa(_))
    }

    /// Signs canonical text; `None` if the library fails, which needs a lack of memory.
    pub(crate) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
            // What is signed is the hash. RFC 8463 §3
            Kind::Ed25519(pair) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
                pair.try_sign(hash.as_ref()).ok().map(|signature| signature.as_ref().to_vec())
            }
        }
    }

    /// RSA as SubjectPublicKeyInfo, Ed25519 as its 32 octets. RFC 6376 §3.6.1, RFC 8463 §4
    fn public(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Rsa(pair) => {
                let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
                der.map(|der| der.as_ref().to_vec()).unwrap_or_default()
            }
            Kind::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, \u{2026})", self.algorithm())
    }
}

fn pem(der: &[u8]) -> Secret {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(END);
    pem.push('\n');
    Secret::new(pem)
}

/// The key of a PEM text. What stands around it is left out. RFC 7468 §5
fn der(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let text = std::str::from_utf8(text).map_err(|_| KeyError::NoPem)?;
    let (_, rest) = text.split_once(BEGIN).ok_or(KeyError::NoPem)?;
    let (body, after) = rest.split_once(END).ok_or(KeyError::NoPem)?;
    if after.contains(BEGIN) {
        return Err(KeyError::NoPem);
    }
    let body: String = body.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(body).map_err(|_| KeyError::NoPem)
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// RFC 7468 §2
const PEM_LINE_CHARS: usize = 64;

/// RFC 8301 §3.2: "SHOULD use RSA keys of at least 2048 bits".
const RSA_BITS_MIN: usize = 2048;

/// RFC 1035 §3.3
const STRING_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_written_and_read_again() {
        for (pem, start) in [
            (generate_rsa().unwrap(), "v=DKIM1; k=rsa; p=MII"),
            (generate_ed25519().unwrap(), "v=DKIM1; k=ed25519; p="),
        ] {
            let key = Key::from_pem(pem.expose()).unwrap();
            let record = dns_record(&key);
            assert!(record.starts_with(start), "{record}");
            let strings = split(&record);
            assert!(strings.iter().all(|string| (1..=255).contains(&string.len())));
            assert_eq!(strings.concat(), record);
            let shown = format!("{key:?}");
            assert!(shown.ends_with(", \u{2026})"), "{shown}");
        }
    }

    #[test]
    fn a_record_is_split_at_255_octets() {
        assert_eq!(split("").len(), 1);
        assert_eq!(split(&"x".repeat(255)).len(), 1);
        assert_eq!(split(&"x".repeat(256)).iter().map(String::len).collect::<Vec<_>>(), [255, 1]);
    }

    #[test]
    fn what_is_no_key_says_why() {
        let read = |text: &str| Key::from_pem(text.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(read(""), KeyError::NoPem);
        assert_eq!(read(&format!("{BEGIN}\n%%\n{END}\n")), KeyError::NoPem);
        assert_eq!(read(&format!("{BEGIN}\nAAAA\n{END}\n")), KeyError::Unusable);
        let key = generate_ed25519().unwrap();
        let text = std::str::from_utf8(key.expose()).unwrap();
        assert_eq!(read(&format!("{text}{text}")), KeyError::NoPem);
        assert!(
            Key::from_pem(format!("comment\r\n{}", text.replace('\n', "\r\n")).as_bytes()).is_ok()
        );
    }
}
