//! The public keys of a provider: a JWK set. RFC 7517, RFC 7518 §6, RFC 8037 §2
//!
//! Keys that cannot be used here are passed over, as RFC 7517 §5 asks: a set may hold keys for
//! encryption, and of kinds that come later.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

/// Algorithms of signatures that are taken. With a shared key (`HS256`) the provider's public key
/// would be the secret, and `none` is no signature; neither has a place here. RFC 8725 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256. RFC 7518 §3.3
    Rs256,
    /// RSASSA-PSS with SHA-256. RFC 7518 §3.5
    Ps256,
    /// ECDSA on P-256 with SHA-256. RFC 7518 §3.4
    Es256,
    /// Ed25519. RFC 8037 §3.1
    EdDsa,
}

/// Keys that can verify signatures.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why no key says that a signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSignature {
    /// There is no key of this name; there may be in a newer set.
    UnknownKey,
    /// The key says no.
    Wrong,
}

impl Algorithm {
    /// The algorithm of this name; names have one spelling. RFC 7515 §4.1.1
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 §2.2 gives it a name that tells the curve.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl KeySet {
    /// Reads a JWK set; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let keys = set.get("keys")?.as_array()?.iter().filter_map(Key::read).take(KEYS_MAX);
        Some(Self { keys: keys.collect() })
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Verifies a signature with the key of this name; without a name, with the only key there is
    /// for the algorithm.
    ///
    /// # Errors
    /// If there is no such key, or it says no.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &Signed<'_>,
    ) -> Result<(), NoSignature> {
        let fits = |key: &&Key| id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut named = self.keys.iter().filter(fits).peekable();
        if named.peek().is_none() {
            return Err(NoSignature::UnknownKey);
        }
        let mut usable = named.filter(|key| key.is_for(algorithm));
        match (usable.next(), usable.next()) {
            (Some(key), None) if key.verify(algorithm, signed) => Ok(()),
            _ => Err(NoSignature::Wrong),
        }
    }
}

/// What was signed, and by what.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The octets under the signature.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl Key {
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        // RFC 7517 §4.2, §4.3: not one for encryption.
        let operations = jwk.get("key_ops").map(|ops| {
            ops.as_array().is_some_and(|ops| ops.iter().any(|operation| operation == "verify"))
        });
        if text("use").is_some_and(|for_what| for_what != "sig") || operations == Some(false) {
            return None;
        }
        let octets = |name: &str| BASE64URL.decode(text(name)?).ok();
        let material = match (text("kty")?, text("crv")) {
            ("RSA", None) => Material::Rsa { modulus: octets("n")?, exponent: octets("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (octets("x")?, octets("y")?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                Material::P256([&[UNCOMPRESSED][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(octets("x")?),
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            // A key for an algorithm that is not taken is of no use.
            Some(name) => Some(Algorithm::from_name(name.as_str()?)?),
        };
        Some(Self { id: text("kid").map(str::to_owned), algorithm, material })
    }

    /// The key decides which algorithm may be used, and not the token. RFC 8725 §3.1
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let is_possible = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        is_possible && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, algorithm: Algorithm, signed: &Signed<'_>) -> bool {
        let Signed { message, signature } = signed;
        let verified = match &self.material {
            Material::Rsa { modulus, exponent } => {
                let rules = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(rules, message, signature)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Material::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// Keys that are kept of a set: providers have a handful, old ones included.
const KEYS_MAX: usize = 64;

/// Stands before both coordinates of a point. SEC 1 §2.3.3
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_be_used_are_passed_over() {
        let set = KeySet::parse(
            br#"{"keys": [
                {"kty": "oct", "kid": "a", "k": "AAAA"},
                {"kty": "RSA", "kid": "b", "use": "enc", "n": "AQAB", "e": "AQAB"},
                {"kty": "RSA", "kid": "c", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
                {"kty": "RSA", "kid": "d", "alg": 1, "n": "AQAB", "e": "AQAB"},
                {"kty": "RSA", "kid": "e", "n": "AQAB"},
                {"kty": "RSA", "kid": "f", "n": "AQ=", "e": "AQAB"},
                {"kty": "EC", "kid": "g", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
                {"kty": "EC", "kid": "h", "crv": "P-521", "x": "AQAB", "y": "AQAB"},
                {"kty": "OKP", "kid": "i", "crv": "X25519", "x": "AQAB"},
                {"kty": "RSA", "kid": "j", "key_ops": ["encrypt"], "n": "AQAB", "e": "AQAB"},
                {"kty": "RSA", "kid": "k", "key_ops": "verify", "n": "AQAB", "e": "AQAB"},
                {}, 1, null,
                {"kty": "RSA", "kid": "z", "key_ops": ["verify"], "n": "AQAB", "e": "AQAB"}
            ]}"#,
        );
        let set = set.unwrap();
        assert_eq!(set.len(), 1);
        assert_eq!(set.keys[0].id.as_deref(), Some("z"));
        for bad in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": null}"#, "\u{ff}"] {
            assert!(KeySet::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn algorithms_have_one_spelling_and_some_are_never_taken() {
        assert_eq!(Algorithm::from_name("PS256"), Some(Algorithm::Ps256));
        for bad in ["", "none", "None", "NONE", "HS256", "rs256", "RS256 ", "RS512", "ES256K"] {
            assert_eq!(Algorithm::from_name(bad), None, "{bad}");
        }
    }
}
