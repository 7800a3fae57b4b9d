//! What DKIM-Signature, ARC-Message-Signature and ARC-Seal have in common: a signature over fields,
//! by a key that a domain publishes.
//!
//! The list of tags is read once, here; what is verified, reported and compared with the author all
//! comes from this reading, so that no two parts can take it differently.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_auth::common::crypto::{Algorithm, VerifyingKey};
use mail_auth::dkim::Canonicalization;

use crate::domain;
use crate::domain_key::DomainKey;
use crate::message::Signed;
use crate::names::{Failure, Source, or_none};
use crate::tags::{Tags, parts};

/// Why a signature is worth nothing, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not hold, or must not count.
    Fail(&'static str),
    /// It cannot be read, or its key cannot.
    Permanent(&'static str),
    /// Its key could not be asked for.
    Temporary(&'static str),
}

/// Who signed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signer {
    /// `d=`, in normal form.
    pub(crate) domain: String,
    /// `s=`, in normal form.
    pub(crate) selector: String,
    pub(crate) algorithm: Algorithm,
    /// `b=`
    pub(crate) signature: Vec<u8>,
}

/// What is signed besides the signature itself. ARC-Seal has no such part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// `h=`
    pub(crate) names: Vec<String>,
    /// `bh=`
    pub(crate) body_hash: Vec<u8>,
    pub(crate) header: Canonicalization,
    pub(crate) body: Canonicalization,
}

impl Signer {
    /// Reads `a=`, `b=`, `d=` and `s=`.
    pub(crate) fn read(tags: &Tags<'_>) -> Result<Self, Fault> {
        let get = |name| tags.get(name).ok_or(Fault::Permanent("a tag is missing"));
        let algorithm = algorithm(get("a")?)?;
        let domain = domain::normal_bytes(get("d")?).ok_or(Fault::Permanent("d= is no domain"))?;
        let selector =
            domain::normal_bytes(get("s")?).ok_or(Fault::Permanent("s= is no selector"))?;
        let signature = base64(get("b")?).filter(|bytes| !bytes.is_empty());
        let signature = signature.ok_or(Fault::Permanent("b= cannot be read"))?;
        Ok(Self { domain, selector, algorithm, signature })
    }

    /// Asks for the key. RFC 6376 §3.6.2
    pub(crate) async fn key(&self, source: &dyn Source) -> Result<DomainKey, Fault> {
        let name = domain::normal(&format!("{}._domainkey.{}", self.selector, self.domain))
            .ok_or(Fault::Permanent("the name of the key is too long"))?;
        match or_none(source.txt(&name).await) {
            Ok(records) => DomainKey::choose(&records, self.algorithm),
            Err(Failure::Temporary | Failure::NoSuchName) => {
                Err(Fault::Temporary("the key could not be asked for"))
            }
        }
    }

    /// Whether the key made the signature over these fields, of which the last one, the signature's
    /// own, comes without its `b=` and without its line end. RFC 6376 §3.7
    pub(crate) fn verify(
        &self,
        key: &DomainKey,
        fields: &[Signed<'_>],
        canonicalization: Canonicalization,
    ) -> Result<(), Fault> {
        let mut fields = fields.iter().copied();
        let key: &dyn VerifyingKey = key.public();
        key.verify(&mut fields, &self.signature, canonicalization, self.algorithm)
            .map_err(|_| Fault::Fail("the signature did not verify"))
    }
}

impl Content {
    /// Reads `h=`, `bh=` and `c=`.
    pub(crate) fn read(tags: &Tags<'_>) -> Result<Self, Fault> {
        let get = |name| tags.get(name).ok_or(Fault::Permanent("a tag is missing"));
        let names = names(get("h")?)?;
        // Anybody could put another author over a signature that does not cover it. RFC 6376 §5.4
        if !names.iter().any(|name| name.eq_ignore_ascii_case("from")) {
            return Err(Fault::Permanent("From is not signed"));
        }
        let body_hash = base64(get("bh")?).ok_or(Fault::Permanent("bh= cannot be read"))?;
        let (header, body) = canonicalizations(tags.get("c"))?;
        Ok(Self { names, body_hash, header, body })
    }
}

/// The value of a signature field with its `b=` emptied, as it is signed.
pub(crate) fn unsigned(tags: &Tags<'_>) -> Vec<u8> {
    let mut value = tags.without_value_of("b");
    // RFC 6376 §3.7: "without a trailing CRLF".
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    value
}

/// RFC 6376 §3.3, RFC 8301 §3.1, RFC 8463 §3
fn algorithm(value: &[u8]) -> Result<Algorithm, Fault> {
    match value.to_ascii_lowercase().as_slice() {
        b"rsa-sha256" => Ok(Algorithm::RsaSha256),
        b"ed25519-sha256" => Ok(Algorithm::Ed25519Sha256),
        // RFC 8301 §3.1: "MUST NOT be used for signing or verifying".
        b"rsa-sha1" => Err(Fault::Fail("SHA-1 is too weak")),
        _ => Err(Fault::Permanent("the algorithm is unknown")),
    }
}

/// RFC 6376 §3.5 (`c=`)
fn canonicalizations(value: Option<&[u8]>) -> Result<(Canonicalization, Canonicalization), Fault> {
    let one = |name: &[u8]| match name.trim_ascii().to_ascii_lowercase().as_slice() {
        b"simple" => Ok(Canonicalization::Simple),
        b"relaxed" => Ok(Canonicalization::Relaxed),
        _ => Err(Fault::Permanent("the canonicalization is unknown")),
    };
    let Some(value) = value else {
        return Ok((Canonicalization::Simple, Canonicalization::Simple));
    };
    let mut names = value.splitn(2, |byte| *byte == b'/');
    let header = names.next().map_or(Ok(Canonicalization::Simple), one)?;
    let body = names.next().map_or(Ok(Canonicalization::Simple), one)?;
    Ok((header, body))
}

/// RFC 6376 §3.5 (`h=`)
fn names(value: &[u8]) -> Result<Vec<String>, Fault> {
    let is_name = |name: &&[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let all: Option<Vec<String>> = parts(value)
        .take(NAMES_MAX + 1)
        .map(|name| Some(name).filter(is_name).and_then(|name| String::from_utf8(name.into()).ok()))
        .collect();
    match all {
        Some(all) if all.len() <= NAMES_MAX => Ok(all),
        Some(_) => Err(Fault::Permanent("h= is too long")),
        None => Err(Fault::Permanent("h= cannot be read")),
    }
}

/// Octets in base64, folded anywhere. RFC 6376 §2.10
pub(crate) fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = value.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(text).ok()
}

/// Some signers leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Most names of `h=`; the longest lists that are seen have about sixty.
const NAMES_MAX: usize = 200;
