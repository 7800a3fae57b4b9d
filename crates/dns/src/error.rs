//! Why there is no answer.

use std::fmt;

use hickory_resolver::net::{DnsError as Semantic, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, Record, RecordType};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// The name does not exist.
    NoSuchName {
        /// Whether that is proven by signatures.
        secure: bool,
    },
    /// The name exists, but has no records of this kind.
    NoRecords {
        /// Whether that is proven by signatures.
        secure: bool,
    },
    /// This cannot be a name; nobody was asked.
    BadName,
    /// There is an answer, but its signatures do not hold.
    Bogus(String),
    /// Nobody answered, or with a failure of their own.
    Temporary(String),
}

impl DnsError {
    /// Whether it is known that there is nothing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoRecords { .. })
    }

    /// Whether asking later may help. A broken signature is an attack or a fault that its owner
    /// will mend: mail waits meanwhile. RFC 7672 §2.1.1
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Bogus(_) | Self::Temporary(_))
    }

    /// What `error` says to someone who asked for `name`.
    pub(crate) fn read(name: &Name, error: NetError) -> Self {
        match error {
            NetError::Dns(Semantic::NoRecordsFound(none)) => {
                Self::absent(none.response_code, proves_absence(name, &none))
            }
            NetError::Dns(Semantic::Nsec { response, proof: Proof::Insecure, .. }) => {
                Self::absent(response.response_code, false)
            }
            NetError::Dns(Semantic::Nsec { proof, .. }) => {
                Self::Bogus(format!("{name}: that it has no records is {proof}"))
            }
            NetError::Dns(Semantic::DnssecBogus) => {
                Self::Bogus(format!("{name}: its signatures do not hold"))
            }
            error => Self::Temporary(format!("{name}: {error}")),
        }
    }

    fn absent(code: ResponseCode, secure: bool) -> Self {
        if code == ResponseCode::NXDomain {
            Self::NoSuchName { secure }
        } else {
            Self::NoRecords { secure }
        }
    }
}

/// Whether signed records deny what was asked. Of a name that is an alias only the end of the
/// chain is at hand, so that this is not claimed for it.
fn proves_absence(name: &Name, none: &NoRecords) -> bool {
    let told = none.authorities.as_deref().unwrap_or_default();
    let denies =
        |record: &&Record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3);
    none.query.name() == name
        && told.iter().any(|record| denies(&record))
        && told.iter().filter(denies).all(|record| record.proof.is_secure())
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName { .. } => f.write_str("there is no such name"),
            Self::NoRecords { .. } => f.write_str("the name has no such records"),
            Self::BadName => f.write_str("this is not a domain name"),
            Self::Bogus(why) | Self::Temporary(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for DnsError {}
