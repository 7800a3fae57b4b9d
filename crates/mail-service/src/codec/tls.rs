//! Rows about TLS on the way to other domains.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{CorruptRecord, Fault, Reader, Writer, decode};
use crate::tls::{Counted, Counts, Failure, FailureKind, KeptPolicy, Ruler};

/// A policy as stored.
#[must_use]
pub fn encode_policy(policy: &KeptPolicy) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.bytes(policy.id.as_bytes());
    w.signed(policy.fetched_at);
    w.signed(policy.ends_at);
    w.bytes(policy.text.as_bytes());
    w.finish()
}

/// From storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_policy(key: &[u8], value: &[u8]) -> Result<KeptPolicy, CorruptRecord> {
    decode(key, value, VERSION, |r| {
        let id = r.string()?;
        let (fetched_at, ends_at) = (r.signed()?, r.signed()?);
        Ok(KeptPolicy { id, fetched_at, ends_at, text: r.string()? })
    })
}

/// Counts as stored; day and domain stand in their key.
#[must_use]
pub fn encode_counted(counted: &Counted) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.byte(match counted.subject.ruler {
        Ruler::Nobody => 0,
        Ruler::Sts => 1,
        Ruler::Tlsa => 2,
    });
    w.list(&counted.subject.policy, |w, line| w.bytes(line.as_bytes()));
    w.number(counted.counts.successes);
    let failures: Vec<(&Failure, &u64)> = counted.counts.failures.iter().collect();
    w.list(&failures, |w, (failure, count)| {
        write_failure(w, failure);
        w.number(**count);
    });
    w.finish()
}

/// From storage: what ruled, its policy, and the counts.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_counted(
    key: &[u8],
    value: &[u8],
) -> Result<(Ruler, Vec<String>, Counts), CorruptRecord> {
    decode(key, value, VERSION, |r| {
        let ruler = match r.byte()? {
            0 => Ruler::Nobody,
            1 => Ruler::Sts,
            2 => Ruler::Tlsa,
            _ => return Err("what ruled is not known"),
        };
        let (policy, successes) = (r.list(Reader::string)?, r.number()?);
        let listed = r.list(|r| Ok((read_failure(r)?, r.number()?)))?;
        let length = listed.len();
        let failures: BTreeMap<Failure, u64> = listed.into_iter().collect();
        if failures.len() < length {
            return Err("a failure is counted twice");
        }
        Ok((ruler, policy, Counts { successes, failures }))
    })
}

/// That a report was made at a moment, in seconds since 1970, as stored.
#[must_use]
pub fn encode_report(at: i64) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.signed(at);
    w.finish()
}

/// From storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_report(key: &[u8], value: &[u8]) -> Result<i64, CorruptRecord> {
    decode(key, value, VERSION, |r| r.signed())
}

fn write_failure(w: &mut Writer, failure: &Failure) {
    w.byte(match failure.kind {
        FailureKind::StarttlsNotSupported => 0,
        FailureKind::CertificateHostMismatch => 1,
        FailureKind::CertificateExpired => 2,
        FailureKind::CertificateNotTrusted => 3,
        FailureKind::ValidationFailure => 4,
        FailureKind::TlsaInvalid => 5,
        FailureKind::DnssecInvalid => 6,
        FailureKind::StsPolicyFetchError => 7,
        FailureKind::StsPolicyInvalid => 8,
        FailureKind::StsWebpkiInvalid => 9,
    });
    w.option(failure.host.as_ref(), |w, host| w.bytes(host.as_bytes()));
    w.option(failure.address, |w, address| match address {
        IpAddr::V4(address) => w.bytes(&address.octets()),
        IpAddr::V6(address) => w.bytes(&address.octets()),
    });
    w.bytes(failure.reason.as_bytes());
}

fn read_failure(r: &mut Reader<'_>) -> Result<Failure, Fault> {
    let kind = match r.byte()? {
        0 => FailureKind::StarttlsNotSupported,
        1 => FailureKind::CertificateHostMismatch,
        2 => FailureKind::CertificateExpired,
        3 => FailureKind::CertificateNotTrusted,
        4 => FailureKind::ValidationFailure,
        5 => FailureKind::TlsaInvalid,
        6 => FailureKind::DnssecInvalid,
        7 => FailureKind::StsPolicyFetchError,
        8 => FailureKind::StsPolicyInvalid,
        9 => FailureKind::StsWebpkiInvalid,
        _ => return Err("what went wrong is not known"),
    };
    let host = r.option(Reader::string)?;
    let address = r.option(read_address)?;
    Ok(Failure { kind, host, address, reason: r.string()? })
}

/// Its octets tell of which kind it is.
fn read_address(r: &mut Reader<'_>) -> Result<IpAddr, Fault> {
    let octets = r.bytes()?;
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).map_err(|_| "no address")
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::assert_damage_is_noticed;
    use super::*;
    use crate::tls::{FAILURE_CHARS_MAX, FAILURES_MAX, SUBJECT_POLICY_BYTES_MAX, Subject};

    fn counted(policy: Vec<String>) -> Counted {
        let subject = Subject::new("far.example", Ruler::Sts, policy);
        Counted { day: 20_000, number: 3, subject, counts: Counts::default() }
    }

    #[test]
    fn policies_counts_and_reports_read_back_and_damage_is_noticed() {
        let policy = KeptPolicy {
            id: "20160831085700Z".to_owned(),
            fetched_at: 1_800_000_000,
            ends_at: 1_800_086_400,
            text: "version: STSv1\nmode: enforce\n".to_owned(),
        };
        let bytes = encode_policy(&policy);
        assert_eq!(decode_policy(b"k", &bytes), Ok(policy));
        assert_damage_is_noticed(&bytes, |bytes| decode_policy(b"k", bytes));
        let mut counted =
            counted(vec!["version: STSv1".to_owned(), "mx: *.far.example".to_owned()]);
        counted.counts.successes = 1 << 40;
        let address = Some("2001:db8::1".parse().unwrap());
        let expired = FailureKind::CertificateExpired;
        counted.counts.fail(Failure::new(expired, Some("mx.far.example"), address, "old"), 7);
        counted.counts.fail(Failure::new(FailureKind::StsWebpkiInvalid, None, None, ""), 1);
        let bytes = encode_counted(&counted);
        let expected = (Ruler::Sts, counted.subject.policy, counted.counts);
        assert_eq!(decode_counted(b"k", &bytes), Ok(expected));
        assert_damage_is_noticed(&bytes, |bytes| decode_counted(b"k", bytes));
        let bytes = encode_report(-1);
        assert_eq!(decode_report(b"k", &bytes), Ok(-1));
        assert_damage_is_noticed(&bytes, |bytes| decode_report(b"k", bytes));
    }

    #[test]
    fn the_longest_counts_fit_in_a_row() {
        let mut counted = counted(vec!["x".repeat(100); SUBJECT_POLICY_BYTES_MAX]);
        let long = "\u{10ffff}".repeat(FAILURE_CHARS_MAX * 2);
        let address = Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap());
        for n in 0..FAILURES_MAX * 2 {
            let reason = format!("{n}{long}");
            let kind = FailureKind::ValidationFailure;
            counted.counts.fail(Failure::new(kind, Some(&long), address, &reason), u64::MAX);
        }
        counted.counts.successes = u64::MAX;
        assert_eq!(counted.counts.failures.len(), FAILURES_MAX);
        let bytes = encode_counted(&counted).len();
        assert!(bytes <= store::limits::VALUE_BYTES_MAX, "{bytes} bytes");
    }
}
