//! DANE for SMTP: a server's certificate is what its signed zone says. RFC 7672

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use dns::Tlsa;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, OtherError};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, spki_for_anchor};

/// What the certificate of a server is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Associations {
    /// Usable records, in an order of their own.
    records: Vec<Record>,
    /// Names that a certificate below an authority may have. RFC 7672 §3.2.2
    names: Vec<String>,
}

/// One of several ways to say what a certificate is. RFC 6698 §2.1
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Record {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Usage {
    /// DANE-TA(2): an authority that has signed it.
    Authority,
    /// DANE-EE(3): itself.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Selector {
    Certificate,
    PublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Matching {
    Exact,
    Sha256,
    Sha512,
}

impl Record {
    /// `None` for what this client cannot use: the usages that need the authorities of the web
    /// (RFC 7672 §3.1.3), unknown numbers, and digests of another length.
    fn usable(record: &Tlsa) -> Option<Self> {
        let usage = match record.usage {
            2 => Usage::Authority,
            3 => Usage::Server,
            _ => return None,
        };
        let selector = match record.selector {
            0 => Selector::Certificate,
            1 => Selector::PublicKey,
            _ => return None,
        };
        let (matching, has_length) = match record.matching {
            0 => (Matching::Exact, (1..=EXACT_BYTES_MAX).contains(&record.data.len())),
            1 => (Matching::Sha256, record.data.len() == 32),
            2 => (Matching::Sha512, record.data.len() == 64),
            _ => return None,
        };
        let data = record.data.clone();
        has_length.then_some(Self { usage, selector, matching, data })
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let key;
        let selected: &[u8] = match self.selector {
            Selector::Certificate => certificate.as_ref(),
            Selector::PublicKey => {
                let Ok(anchor) = anchor_from_trusted_cert(certificate) else { return false };
                key = spki_for_anchor(&anchor);
                key.as_ref()
            }
        };
        let algorithm = match self.matching {
            Matching::Exact => return selected == self.data,
            Matching::Sha256 => &digest::SHA256,
            Matching::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, selected).as_ref() == self.data
    }
}

impl Associations {
    /// What the records of a server say; `None` if this client can use none of them.
    pub(super) fn new(records: &[Tlsa], mut names: Vec<String>) -> Option<Self> {
        let usable = records.iter().take(RECORDS_MAX).filter_map(Record::usable);
        let mut usable: Vec<Record> = usable.collect();
        usable.sort();
        usable.dedup();
        names.dedup();
        (!usable.is_empty()).then_some(Self { records: usable, names })
    }

    /// Whether a certificate and what came with it is what they say.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), CertificateError> {
        // RFC 7672 §3.1.1: neither its name nor its dates are looked at.
        let of = |usage| self.records.iter().filter(move |record| record.usage == usage);
        if of(Usage::Server).any(|record| record.matches(end_entity)) {
            return Ok(());
        }
        let mut fault = CertificateError::Other(OtherError(Arc::new(Mismatch)));
        for record in of(Usage::Authority) {
            // An authority that the zone itself holds need not be sent. RFC 7671 §5.2.2
            let held = CertificateDer::from(record.data.as_slice());
            let is_whole =
                (record.selector, record.matching) == (Selector::Certificate, Matching::Exact);
            let held = is_whole.then_some(&held);
            let sent = others.iter().take(CHAIN_MAX).filter(|sent| record.matches(sent));
            for authority in held.into_iter().chain(sent) {
                let Ok(anchor) = anchor_from_trusted_cert(authority) else { continue };
                match self.verify_below(&anchor, end_entity, others, now, provider) {
                    Ok(()) => return Ok(()),
                    Err(error) => fault = error,
                }
            }
        }
        Err(fault)
    }

    /// RFC 7672 §3.1.2, §3.2.2
    fn verify_below(
        &self,
        anchor: &TrustAnchor<'_>,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), CertificateError> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(told)?;
        let algorithms = provider.signature_verification_algorithms.all;
        let anchors = std::slice::from_ref(anchor);
        let others = others.get(..CHAIN_MAX).unwrap_or(others);
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(algorithms, anchors, others, now, usage, None, None)
            .map_err(told)?;
        let has_name = |name: &String| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if self.names.iter().any(has_name) {
            Ok(())
        } else {
            Err(CertificateError::NotValidForName)
        }
    }
}

/// A certificate is none of those that the zone names.
#[derive(Debug)]
pub(super) struct Mismatch;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it matches none of the TLSA records of the server")
    }
}

impl std::error::Error for Mismatch {}

fn told(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    }
}

/// Records of one server: more than a few are of no use.
const RECORDS_MAX: usize = 32;

/// A certificate in a record: larger ones are in no use for servers.
const EXACT_BYTES_MAX: usize = 8192;

/// Certificates that come with the server's.
const CHAIN_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Chain {
        authority: CertificateDer<'static>,
        server: CertificateDer<'static>,
    }

    fn chain(name: &str, is_expired: bool) -> Chain {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let server = params.signed_by(&key, &issuer).unwrap().der().clone();
        Chain { authority, server }
    }

    fn record(usage: u8, selector: u8, matching: u8, of: &CertificateDer<'_>) -> Tlsa {
        let selected = match selector {
            0 => of.to_vec(),
            _ => spki_for_anchor(&anchor_from_trusted_cert(of).unwrap()).to_vec(),
        };
        let data = match matching {
            0 => selected,
            1 => digest::digest(&digest::SHA256, &selected).as_ref().to_vec(),
            _ => digest::digest(&digest::SHA512, &selected).as_ref().to_vec(),
        };
        Tlsa { usage, selector, matching, data }
    }

    fn verify(records: &[Tlsa], chain: &Chain) -> Result<(), CertificateError> {
        let names = vec!["mx.example.net".to_owned()];
        let associations = Associations::new(records, names).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));
        let others = [chain.authority.clone()];
        associations.verify(&chain.server, &others, now, &provider)
    }

    #[test]
    fn a_server_is_what_its_zone_says_in_each_way_of_saying_it() {
        let (right, other) = (chain("mx.example.net", false), chain("mx.example.net", false));
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let case = format!("{selector} {matching}");
                for (usage, of, wrong) in
                    [(3, &right.server, &other.server), (2, &right.authority, &other.authority)]
                {
                    let right_record = record(usage, selector, matching, of);
                    let wrong_record = record(usage, selector, matching, wrong);
                    let one = |record: &Tlsa| verify(std::slice::from_ref(record), &right);
                    assert_eq!(one(&right_record), Ok(()), "{usage} {case}");
                    assert!(one(&wrong_record).is_err(), "{usage} {case}");
                    // One of several is enough, as when a certificate is changed.
                    assert_eq!(verify(&[wrong_record, right_record], &right), Ok(()), "{case}");
                }
            }
        }
    }

    #[test]
    fn name_and_dates_count_below_an_authority_only() {
        let renamed = chain("other.example.net", false);
        let expired = chain("mx.example.net", true);
        for chain in [&renamed, &expired] {
            assert_eq!(verify(&[record(3, 1, 1, &chain.server)], chain), Ok(()));
        }
        let fault = |chain: &Chain| verify(&[record(2, 0, 1, &chain.authority)], chain);
        assert_eq!(fault(&renamed), Err(CertificateError::NotValidForName));
        assert_eq!(fault(&expired), Err(CertificateError::Expired));
        // The server's own certificate is no authority above itself.
        let right = chain("mx.example.net", false);
        assert!(verify(&[record(2, 0, 1, &right.server)], &right).is_err());
    }

    #[test]
    fn an_authority_that_the_zone_holds_need_not_be_sent() {
        let right = chain("mx.example.net", false);
        let held = record(2, 0, 0, &right.authority);
        let bare = Chain { authority: right.server.clone(), ..chain("x", false) };
        let bare = Chain { server: right.server.clone(), ..bare };
        assert_eq!(verify(&[held], &bare), Ok(()));
        assert!(verify(&[record(2, 0, 1, &right.authority)], &bare).is_err());
    }

    #[test]
    fn records_that_cannot_be_used_are_none() {
        let right = chain("mx.example.net", false);
        let good = record(3, 1, 1, &right.server);
        for wrong in [
            Tlsa { usage: 0, ..good.clone() },
            Tlsa { usage: 1, ..good.clone() },
            Tlsa { usage: 4, ..good.clone() },
            Tlsa { selector: 2, ..good.clone() },
            Tlsa { matching: 3, ..good.clone() },
            Tlsa { matching: 2, ..good.clone() },
            Tlsa { data: vec![0; 31], ..good.clone() },
            Tlsa { matching: 0, data: Vec::new(), ..good.clone() },
        ] {
            assert!(Associations::new(&[wrong], Vec::new()).is_none());
        }
    }
}
