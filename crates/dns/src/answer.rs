//! Records as plain values.

use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::{DnsError, name};

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: T,
    /// Whether they are signed.
    pub security: Security,
}

/// Whether an answer is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// A chain of signatures leads to every record, and to every alias on the way.
    Secure,
    /// The owner does not sign, or signatures do not get through to here.
    Insecure,
}

/// A server that takes the mail of a domain, RFC 5321 §5.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower ones are tried first.
    pub preference: u16,
    /// Its name; empty: the domain takes no mail, RFC 7505 §3.
    pub exchange: String,
}

/// Where a service is, RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower ones are tried first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host; empty: there is no such service.
    pub target: String,
}

/// Which certificate a server has, RFC 6698 §2.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// What of the certificate is meant.
    pub selector: u8,
    /// How it is told.
    pub matching: u8,
    /// The association data.
    pub data: Vec<u8>,
}

impl<T> Answer<T> {
    /// Whether it is signed.
    pub fn is_secure(&self) -> bool {
        self.security == Security::Secure
    }
}

/// Takes the records of `kind` that belong to `asked`: its own, or those at the end of its chain
/// of aliases. Whatever else came along says nothing.
///
/// # Errors
/// If there are none.
pub fn read<T>(
    asked: &Name,
    kind: RecordType,
    lookup: &Lookup,
    value: impl Fn(&RData) -> Option<T>,
) -> Result<Answer<Vec<T>>, DnsError> {
    let told = lookup.answers();
    let (mut owner, mut secure) = (asked, true);
    for _ in 0..=ALIASES_MAX {
        let mut records = Vec::new();
        for record in told.iter().filter(|it| it.record_type() == kind && it.name == *owner) {
            records.extend(value(&record.data));
            secure &= record.proof.is_secure();
        }
        if !records.is_empty() {
            let security = if secure { Security::Secure } else { Security::Insecure };
            return Ok(Answer { records, security });
        }
        let alias = told.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some((record, &target.0)),
            _ => None,
        });
        let Some((record, target)) = alias else {
            return Err(DnsError::NoRecords { secure: false });
        };
        secure &= record.proof.is_secure();
        owner = target;
    }
    Err(DnsError::Temporary(format!("{asked}: too many aliases")))
}

pub fn mx(data: &RData) -> Option<Mx> {
    let RData::MX(mx) = data else { return None };
    Some(Mx { preference: mx.preference, exchange: name::write(&mx.exchange) })
}

pub fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    let target = name::write(&srv.target);
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target })
}

/// The strings of one record are one text, RFC 7208 §3.3, RFC 6376 §3.6.2.2.
pub fn txt(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
}

pub fn tlsa(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = data else { return None };
    Some(Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.clone(),
    })
}

/// What follows the name of the issuer are parameters of his. RFC 8659 §4.2
pub fn issuer(data: &RData) -> Option<String> {
    let RData::CAA(caa) = data else { return None };
    let value = String::from_utf8_lossy(&caa.value);
    let issuer = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    caa.tag.eq_ignore_ascii_case("issue").then_some(issuer)
}

pub fn ptr(data: &RData) -> Option<String> {
    let RData::PTR(ptr) = data else { return None };
    Some(name::write(&ptr.0))
}

/// Longer chains of aliases are not followed; none that serves mail is near.
pub const ALIASES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::CAA;
    use hickory_resolver::proto::rr::rdata::caa::KeyValue;

    use super::*;

    #[test]
    fn an_issuer_is_told_without_its_parameters_and_other_properties_are_none() {
        let name = Name::from_ascii("LetsEncrypt.org").unwrap();
        let parameters = vec![KeyValue::new("accounturi", "https://acme.example/1")];
        let named = CAA::new_issue(false, Some(name.clone()), parameters);
        assert_eq!(issuer(&RData::CAA(named)).as_deref(), Some("letsencrypt.org"));
        let nobody = CAA::new_issue(false, None, Vec::new());
        assert_eq!(issuer(&RData::CAA(nobody)).as_deref(), Some(""));
        let wild = CAA::new_issuewild(false, Some(name), Vec::new());
        assert_eq!(issuer(&RData::CAA(wild)), None);
    }
}
