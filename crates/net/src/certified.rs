//! For whom a client's certificate was made out, as far as mail can use it.
//!
//! The certificate has been verified when it comes here; this only finds two of its fields. What
//! is not as RFC 5280 says is passed over, so that nothing is found in it.

/// The addresses in a certificate (rfc822Name, RFC 5280 §4.2.1.6); if there are none, the common
/// names of its subject.
pub(crate) fn names(certificate: &[u8]) -> Vec<String> {
    let Some(fields) = fields(certificate) else { return Vec::new() };
    let addresses = addresses(&fields);
    if addresses.is_empty() { common_names(&fields) } else { addresses }
}

/// One value: its tag and its content.
pub(crate) type Value<'a> = (u8, &'a [u8]);

/// ```text
/// Certificate    ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
/// TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, validity, subject,
///                               subjectPublicKeyInfo, [1], [2], [3] extensions }
/// ```
/// RFC 5280 §4.1
pub(crate) fn fields(certificate: &[u8]) -> Option<Vec<Value<'_>>> {
    let (outer, _) = value(certificate)?;
    let (body, _) = value(content(outer, SEQUENCE)?)?;
    let mut fields = values(content(body, SEQUENCE)?);
    if fields.first().is_some_and(|(tag, _)| *tag == VERSION) {
        fields.remove(0);
    }
    Some(fields)
}

fn addresses(fields: &[Value<'_>]) -> Vec<String> {
    alternative_names(fields, RFC822_NAME)
}

/// The alternative names of one kind. RFC 5280 §4.2.1.6
pub(crate) fn alternative_names(fields: &[Value<'_>], kind: u8) -> Vec<String> {
    let names = extension(fields, SUBJECT_ALTERNATIVE_NAME).unwrap_or_default();
    let of_kind = values(names).into_iter().filter(|(tag, _)| *tag == kind);
    of_kind.filter_map(|(_, text)| String::from_utf8(text.to_vec()).ok()).collect()
}

/// What the value of an extension holds, if there is such a one.
///
/// ```text
/// Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }
/// ```
/// RFC 5280 §4.1
pub(crate) fn extension<'a>(fields: &[Value<'a>], id: &[u8]) -> Option<&'a [u8]> {
    let (_, wrapped) = fields.iter().find(|(tag, _)| *tag == EXTENSIONS)?;
    let (list, _) = value(wrapped)?;
    let mut all = values(list.1).into_iter().map(|(_, extension)| values(extension));
    let parts = all.find(|parts| parts.first() == Some(&(OBJECT_ID, id)))?;
    let (OCTETS, wrapped) = parts.last().copied()? else { return None };
    value(wrapped).map(|((_, inner), _)| inner)
}

fn common_names(fields: &[Value<'_>]) -> Vec<String> {
    let subject = fields.get(SUBJECT_INDEX).map(|(_, subject)| *subject).unwrap_or_default();
    let mut found = Vec::new();
    for (_, set) in values(subject) {
        for (_, attribute) in values(set) {
            if let [(OBJECT_ID, COMMON_NAME), (UTF8 | PRINTABLE | IA5, text)] =
                values(attribute).as_slice()
            {
                found.extend(String::from_utf8(text.to_vec()).ok());
            }
        }
    }
    found
}

fn content<'a>(value: Value<'a>, tag: u8) -> Option<&'a [u8]> {
    (value.0 == tag).then_some(value.1)
}

/// The values that stand one behind the other, up to the first that is none.
pub(crate) fn values(mut bytes: &[u8]) -> Vec<Value<'_>> {
    let mut all = Vec::new();
    while let Some((value, rest)) = value(bytes).filter(|_| all.len() < VALUES_MAX) {
        all.push(value);
        bytes = rest;
    }
    all
}

/// One value and what follows it. DER: lengths are definite. X.690 §8.1.3
fn value(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (octets, behind) = rest.split_at_checked(count)?;
        length = octets.iter().fold(0, |sum, octet| (sum << 8) | usize::from(*octet));
        rest = behind;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((tag, content), rest))
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
/// `[0]` of TBSCertificate.
const VERSION: u8 = 0xa0;
/// `[3]` of TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// `[1]` of GeneralName.
const RFC822_NAME: u8 = 0x81;
/// `[2]` of GeneralName.
pub(crate) const DNS_NAME: u8 = 0x82;
/// The serial number comes first.
pub(crate) const SERIAL_INDEX: usize = 0;
/// Behind serial number and signature.
pub(crate) const ISSUER_INDEX: usize = 2;
/// Behind the issuer.
pub(crate) const VALIDITY_INDEX: usize = 3;
/// Behind the validity.
pub(crate) const SUBJECT_INDEX: usize = 4;
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Values of one list that are looked at: more than honest certificates have.
const VALUES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: &str, addresses: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "Harbour");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let address = |text: &&str| SanType::Rfc822Name((*text).try_into().unwrap());
        params.subject_alt_names = addresses.iter().map(address).collect();
        params.subject_alt_names.push(SanType::DnsName("dns.example".try_into().unwrap()));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn addresses_are_found_and_else_the_common_name() {
        let two = certificate("dock", &["dock@mail.example", "quay@mail.example"]);
        assert_eq!(names(&two), ["dock@mail.example", "quay@mail.example"]);
        assert_eq!(names(&certificate("dock@mail.example", &[])), ["dock@mail.example"]);
    }

    #[test]
    fn what_is_cut_short_or_damaged_never_panics() {
        let whole = certificate("dock", &["dock@mail.example"]);
        for end in 0..whole.len() {
            assert!(names(&whole[..end]).is_empty());
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[end] ^= 1 << bit;
                assert!(names(&damaged).len() <= 2);
            }
        }
    }
}
