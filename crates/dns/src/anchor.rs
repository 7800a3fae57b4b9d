//! The keys that are trusted beforehand.

use std::str::FromStr;

use hickory_resolver::proto::dnssec::TrustAnchors;

use crate::DnsError;

/// Reads DNSKEY records; without any, the keys of the root, RFC 7958.
pub fn read(text: Option<&[u8]>) -> Result<TrustAnchors, DnsError> {
    let Some(text) = text else { return Ok(TrustAnchors::default()) };
    let text = str::from_utf8(text)
        .map_err(|_| DnsError::Temporary("the trust anchor is not text".to_owned()))?;
    let anchors = TrustAnchors::from_str(text).map_err(|error| {
        DnsError::Temporary(format!("the trust anchor has no DNSKEY records: {error}"))
    })?;
    if anchors.is_empty() {
        // The chain of every name is followed up to the root.
        return Err(DnsError::Temporary("the trust anchor has no key of the root".to_owned()));
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_anchor_needs_a_key_of_the_root() {
        assert!(read(None).is_ok());
        for text in ["", "hello", "example. IN DS 1 8 2 00", "\u{0}"] {
            assert!(read(Some(text.as_bytes())).is_err(), "{text:?}");
        }
        assert!(read(Some(b"\xff")).is_err());
    }
}
