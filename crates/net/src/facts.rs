//! What a certificate says of itself, as far as its owner must know it: for whom it is, until when,
//! and how its authority calls it.
//!
//! The certificate is our own; nothing here verifies anything.

use crate::certified::{
    DNS_NAME, ISSUER_INDEX, SERIAL_INDEX, SUBJECT_INDEX, VALIDITY_INDEX, alternative_names,
    extension, fields, values,
};

/// What a certificate says of itself. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The first second in which it is valid.
    pub not_before: i64,
    /// The last second in which it is valid.
    pub not_after: i64,
    /// The names of hosts that it is for. RFC 5280 §4.2.1.6
    pub names: Vec<String>,
    /// The octets of its serial number. RFC 5280 §4.1.2.2
    pub serial: Vec<u8>,
    /// Which key of its authority has signed it. RFC 5280 §4.2.1.1
    pub authority_key: Option<Vec<u8>>,
    /// Whether nobody else vouches for it.
    pub is_self_issued: bool,
}

impl Facts {
    /// Reads a certificate, as DER; `None` when it is not as RFC 5280 says.
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let fields = fields(certificate)?;
        let field = |index| fields.get(index).map(|(_, content)| *content);
        let validity = values(field(VALIDITY_INDEX)?);
        let [not_before, not_after] = validity.as_slice() else { return None };
        let authority = extension(&fields, AUTHORITY_KEY_IDENTIFIER).map(values);
        let authority_key = authority.and_then(|parts| {
            let found = parts.into_iter().find(|(tag, _)| *tag == KEY_IDENTIFIER);
            found.map(|(_, id)| id.to_vec())
        });
        Some(Self {
            not_before: time(*not_before)?,
            not_after: time(*not_after)?,
            names: alternative_names(&fields, DNS_NAME),
            serial: field(SERIAL_INDEX)?.to_vec(),
            authority_key,
            is_self_issued: field(ISSUER_INDEX)? == field(SUBJECT_INDEX)?,
        })
    }

    /// For how many seconds it is valid in all; at least one.
    pub fn lifetime(&self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(1)
    }
}

/// ```text
/// Time ::= CHOICE { utcTime UTCTime, generalTime GeneralizedTime }
/// ```
/// `YYMMDDHHMMSSZ` with years from 1950 on, or `YYYYMMDDHHMMSSZ`. RFC 5280 §4.1.2.5
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, count: usize| {
        let digits = digits.get(from..from + count)?;
        Some(digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (number(0, 2).map(|year| year + if year < 50 { 2000 } else { 1900 })?, 2),
        (GENERALIZED_TIME, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let day = day_number(year, number(rest, 2)?, number(rest + 2, 2)?);
    let (hour, minute, second) = (number(rest + 4, 2)?, number(rest + 6, 2)?, number(rest + 8, 2)?);
    Some(day * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar. The year is counted from March on, so that the
/// leap day is its last; months then have 30.6 days, rounded.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_BEFORE_1970
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.29.35
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// `[0]` of AuthorityKeyIdentifier.
const KEY_IDENTIFIER: u8 = 0x80;

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
        SerialNumber, date_time_ymd,
    };

    use super::*;

    #[test]
    fn a_certificate_tells_names_times_and_what_its_authority_calls_it() {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_identifier_method = KeyIdMethod::PreSpecified(vec![0xc0, 0xff, 0xee]);
        authority.distinguished_name.push(DnType::CommonName, "Harbour");
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let names = vec!["mail.example".to_owned(), "mta-sts.example".to_owned()];
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.not_before = date_time_ymd(2026, 11, 26);
        params.not_after = date_time_ymd(2055, 2, 28);
        params.serial_number = Some(SerialNumber::from(vec![0x87, 0x65, 0x43]));
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let facts = Facts::read(made.der()).unwrap();
        assert_eq!(facts.names, names);
        // `date -u -d 2026-11-26 +%s`; the second is a GeneralizedTime, behind 2049.
        assert_eq!((facts.not_before, facts.not_after), (1_795_651_200, 2_687_385_600));
        assert_eq!(facts.lifetime(), 2_687_385_600 - 1_795_651_200);
        // The octets as encoded: a leading zero says that the number is positive. RFC 9773 §4.1
        assert_eq!(facts.serial, [0x00, 0x87, 0x65, 0x43]);
        assert_eq!(facts.authority_key, Some(vec![0xc0, 0xff, 0xee]));
        assert!(!facts.is_self_issued);
    }

    #[test]
    fn who_vouches_for_itself_is_known() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let facts = Facts::read(made.cert.der()).unwrap();
        assert!(facts.is_self_issued);
    }

    #[test]
    fn times_are_seconds_since_1970() {
        let utc = |text: &str| time((UTC_TIME, text.as_bytes()));
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000229235959Z"), Some(951_868_799));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        assert_eq!(time((GENERALIZED_TIME, b"20500101000000Z")), Some(2_524_608_000));
        assert_eq!(utc("7001010000Z"), None);
        assert_eq!(utc("70010100000 Z"), None);
        assert_eq!(utc("700101000000"), None);
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let der = made.cert.der();
        for end in 0..der.len() {
            assert_eq!(Facts::read(&der[..end]), None, "{end}");
        }
    }
}
