//! The record of a key. RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463 §4

use mail_auth::common::crypto::{Algorithm, VerifyingKey};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify;

use crate::signature::Fault;
use crate::tags::{Tags, parts};

/// A key that may be used for mail.
pub(crate) struct DomainKey {
    key: verify::DomainKey,
    /// `t=s`: the identity must be the domain itself.
    pub(crate) is_strict: bool,
}

impl DomainKey {
    /// The key for this algorithm among the records of a selector. A selector should have one; of
    /// several, the first that is a key counts, since answers have no order to rely on.
    pub(crate) fn choose(records: &[String], algorithm: Algorithm) -> Result<Self, Fault> {
        let mut fault = Fault::Permanent("there is no key");
        for record in records.iter().take(RECORDS_MAX) {
            match Self::read(record.as_bytes(), algorithm) {
                Ok(key) => return Ok(key),
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    pub(crate) fn public(&self) -> &dyn VerifyingKey {
        self.key.p.as_ref()
    }

    fn read(record: &[u8], algorithm: Algorithm) -> Result<Self, Fault> {
        const UNREADABLE: Fault = Fault::Permanent("the record of the key cannot be read");
        if record.len() > RECORD_BYTES_MAX {
            return Err(UNREADABLE);
        }
        let tags = Tags::parse(record).ok_or(UNREADABLE)?;
        if let Some(version) = tags.get("v")
            && (version != b"DKIM1" || tags.first() != Some(b"v"))
        {
            return Err(UNREADABLE);
        }
        if tags.get("p").ok_or(UNREADABLE)?.is_empty() {
            return Err(Fault::Permanent("the key was revoked"));
        }
        let kind = tags.get("k").unwrap_or(b"rsa");
        let wanted: &[u8] = match algorithm {
            Algorithm::Ed25519Sha256 => b"ed25519",
            Algorithm::RsaSha256 | Algorithm::RsaSha1 => b"rsa",
        };
        if !kind.eq_ignore_ascii_case(wanted) {
            return Err(Fault::Permanent("the key is for another algorithm"));
        }
        let allows = |tag: &str, values: &[&[u8]]| {
            tags.get(tag).is_none_or(|list| {
                parts(list).any(|part| values.iter().any(|it| part.eq_ignore_ascii_case(it)))
            })
        };
        if !allows("h", &[b"sha256"]) || !allows("s", &[b"*", b"email"]) {
            return Err(Fault::Permanent("the key is not for this"));
        }
        let key = verify::DomainKey::parse(record).map_err(|_| UNREADABLE)?;
        // RFC 8301 §3.2: "MUST NOT consider signatures using RSA keys of less than 1024 bits".
        if key.p.public_key_bits() < RSA_BITS_MIN {
            return Err(Fault::Fail("the key is too short"));
        }
        let is_strict = tags
            .get("t")
            .is_some_and(|flags| parts(flags).any(|flag| flag.eq_ignore_ascii_case(b"s")));
        Ok(Self { key, is_strict })
    }
}

/// Most records of one selector that are looked at.
const RECORDS_MAX: usize = 4;

/// The longest record: a key of 8,192 bits takes 1,400 octets.
const RECORD_BYTES_MAX: usize = 4 * 1024;

/// RFC 8301 §3.2
const RSA_BITS_MIN: usize = 1024;
