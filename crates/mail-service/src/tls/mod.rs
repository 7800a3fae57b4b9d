//! TLS on the way to other domains: what outlives a process, and is shared by all nodes.
//!
//! - [`policies`]: the policies that domains have published (MTA-STS). They hold until they end,
//!   whatever happens to whoever has fetched them. RFC 8461 §5.1
//! - [`counts`]: what became of TLS, by day, domain and policy, and which days were reported to
//!   the owners of the domains. RFC 8460
//!
//! All of it is in the home store. What a row says is decided by those who speak SMTP; here it is
//! kept, bounded and forgotten.

mod counts;
mod policies;

use std::collections::BTreeMap;
use std::net::IpAddr;

use store::{Store, StoreError};

use crate::check::Report;
use crate::error::ServiceError;
use crate::service::Service;

pub use crate::keys::ProcessId;
pub use counts::{Counted, DAYS_KEPT};
pub use policies::KeptPolicy;

/// What rules over a connection. RFC 8460 §4.4
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruler {
    /// Nothing does.
    Nobody,
    /// MTA-STS.
    Sts,
    /// DANE.
    Tlsa,
}

/// What a session is counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The domain of the recipients, in ASCII.
    pub domain: String,
    /// What ruled.
    pub ruler: Ruler,
    /// The lines of its policy, or its TLSA records.
    pub policy: Vec<String>,
}

impl Subject {
    /// With as many lines of the policy as a row holds.
    #[must_use]
    pub fn new(domain: &str, ruler: Ruler, mut policy: Vec<String>) -> Self {
        let mut room = SUBJECT_POLICY_BYTES_MAX;
        policy.retain(|line| {
            let fits = line.len() < room;
            room -= if fits { line.len() + 1 } else { 0 };
            fits
        });
        Self { domain: domain.to_owned(), ruler, policy }
    }
}

/// What became of the sessions of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that were as they were to be.
    pub successes: u64,
    /// What went wrong, and how often.
    pub failures: BTreeMap<Failure, u64>,
}

impl Counts {
    /// Counts sessions that failed so. Of too many different failures the newest are left out.
    pub fn fail(&mut self, failure: Failure, count: u64) {
        if self.failures.len() < FAILURES_MAX || self.failures.contains_key(&failure) {
            let sum = self.failures.entry(failure).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Counts what another process has counted, too.
    pub fn add(&mut self, other: Self) {
        self.successes = self.successes.saturating_add(other.successes);
        other.failures.into_iter().for_each(|(failure, count)| self.fail(failure, count));
    }
}

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// In the word of the report.
    pub kind: FailureKind,
    /// The server, unless the trouble was with the policy.
    pub host: Option<String>,
    /// Where it is, once it was dialled.
    pub address: Option<IpAddr>,
    /// In words.
    pub reason: String,
}

impl Failure {
    /// With as much of the reason as a row holds: it may repeat what a server said.
    #[must_use]
    pub fn new(
        kind: FailureKind,
        host: Option<&str>,
        address: Option<IpAddr>,
        reason: &str,
    ) -> Self {
        let cut = |text: &str| text.chars().take(FAILURE_CHARS_MAX).collect();
        Self { kind, host: host.map(cut), address, reason: cut(reason) }
    }
}

/// RFC 8460 §4.3
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The server does not offer TLS.
    StarttlsNotSupported,
    /// Its certificate has another name.
    CertificateHostMismatch,
    /// Its certificate is over, or not valid yet.
    CertificateExpired,
    /// Nobody who is trusted has signed it.
    CertificateNotTrusted,
    /// Anything else.
    ValidationFailure,
    /// None of the TLSA records fits.
    TlsaInvalid,
    /// No TLSA records could be had that are signed as they should be.
    DnssecInvalid,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The server of the policy is not who it should be.
    StsWebpkiInvalid,
}

impl Service {
    /// Deletes policies that are over, and days that nobody reports any more.
    pub(crate) async fn sweep_tls(&self) -> Result<(), ServiceError> {
        self.sweep_tls_policies().await?;
        self.sweep_tls_counts().await
    }
}

/// Every row can be read.
pub(crate) fn check_tls(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    policies::check(store, report)?;
    counts::check(store, report)
}

/// Octets of the policy of a subject: all of any sensible one.
pub const SUBJECT_POLICY_BYTES_MAX: usize = 16 * 1024;

/// Different failures of a subject.
pub const FAILURES_MAX: usize = 50;

/// Characters of a reason, and of the name of a server.
pub const FAILURE_CHARS_MAX: usize = 300;
