//! What became of TLS on the way to other domains, counted by day, and written as the reports that
//! their owners may want. RFC 8460

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mail_types::InternalDate;
use rustls::CertificateError;
use serde_json::{Value, json};

use super::dane::Mismatch;
use super::demand::Ruler;
use super::tls::certificate_fault;

/// What is counted. Clones share it.
#[derive(Clone, Default)]
pub struct TlsReports {
    days: Arc<Mutex<BTreeMap<i64, Day>>>,
}

type Day = HashMap<Subject, Counts>;

/// What a session is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The domain of the recipients.
    pub(super) domain: String,
    /// What ruled.
    pub(super) ruler: Ruler,
    /// The lines of its policy, or its TLSA records.
    pub(super) policy: Vec<String>,
    /// The names of servers that the policy has.
    pub(super) hosts: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    successes: u64,
    failures: BTreeMap<Failure, u64>,
}

/// What went wrong, and with whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// The server, unless the trouble was with the policy.
    pub(super) host: Option<String>,
    pub(super) address: Option<IpAddr>,
    /// In words.
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(
        kind: FailureKind,
        host: Option<&str>,
        address: Option<IpAddr>,
        reason: String,
    ) -> Self {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        Self { kind, host: host.map(str::to_owned), address, reason }
    }
}

/// RFC 8460 §4.3
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FailureKind {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    TlsaInvalid,
    DnssecInvalid,
    StsPolicyFetchError,
}

impl FailureKind {
    fn word(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
        }
    }

    /// What a handshake failed for.
    pub(super) fn of(error: &std::io::Error) -> Self {
        let Some(fault) = certificate_fault(error) else { return Self::ValidationFailure };
        match fault {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::CertificateHostMismatch
            }
            // None of the records was found to be valid for it.
            CertificateError::Other(other) if other.0.is::<Mismatch>() => Self::TlsaInvalid,
            _ => Self::CertificateNotTrusted,
        }
    }
}

impl TlsReports {
    /// Counts one session of a day.
    pub(super) fn count(&self, day: i64, subject: &Subject, result: Result<(), Failure>) {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        // A report is of one whole day, and is sent on the next.
        days.retain(|known, _| (day - DAYS_KEPT..=day).contains(known));
        let subjects = days.entry(day).or_default();
        if !subjects.contains_key(subject) && subjects.len() >= SUBJECTS_MAX {
            return;
        }
        let counts = subjects.entry(subject.clone()).or_default();
        match result {
            Ok(()) => counts.successes += 1,
            Err(failure) => {
                let has_room = counts.failures.len() < FAILURES_MAX;
                if has_room || counts.failures.contains_key(&failure) {
                    *counts.failures.entry(failure).or_default() += 1;
                }
            }
        }
    }

    /// The domains of which something was counted on a day, given in days since 1970.
    #[must_use]
    pub fn domains(&self, day: i64) -> Vec<String> {
        let days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = days.get(&day).into_iter().flat_map(HashMap::keys);
        let mut domains: Vec<String> = subjects.map(|subject| subject.domain.clone()).collect();
        domains.sort();
        domains.dedup();
        domains
    }

    /// The report for a domain of a day, in JSON. `organization` is who sends it, and can be
    /// reached at `contact`. RFC 8460 §4.4
    #[must_use]
    pub fn report(
        &self,
        day: i64,
        domain: &str,
        organization: &str,
        contact: &str,
    ) -> Option<Value> {
        let days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = days.get(&day)?.iter().filter(|(subject, _)| subject.domain == domain);
        let mut subjects: Vec<(&Subject, &Counts)> = subjects.collect();
        subjects.sort_by_key(|(subject, _)| *subject);
        let policies: Vec<Value> =
            subjects.iter().map(|(subject, counts)| policy(subject, counts)).collect();
        let start = InternalDate::rfc3339(day * DAY_SECS);
        (!policies.is_empty()).then(|| {
            json!({
                "organization-name": organization,
                "date-range": {
                    "start-datetime": start,
                    "end-datetime": InternalDate::rfc3339(day * DAY_SECS + DAY_SECS - 1),
                },
                "contact-info": contact,
                "report-id": format!("{start}_{domain}"),
                "policies": policies,
            })
        })
    }
}

fn policy(subject: &Subject, counts: &Counts) -> Value {
    let kind = match subject.ruler {
        Ruler::Nobody => "no-policy-found",
        Ruler::Sts => "sts",
        Ruler::Tlsa => "tlsa",
    };
    let failed: u64 = counts.failures.values().sum();
    let details = counts.failures.iter().map(|(failure, count)| {
        let mut detail = json!({
            "result-type": failure.kind.word(),
            "failed-session-count": count,
            "failure-reason-code": failure.reason,
        });
        if let Some(host) = &failure.host {
            detail["receiving-mx-hostname"] = json!(host);
        }
        if let Some(address) = failure.address {
            detail["receiving-ip"] = json!(address.to_string());
        }
        detail
    });
    let details: Vec<Value> = details.collect();
    let mut told = json!({ "policy-type": kind, "policy-domain": subject.domain });
    if !subject.policy.is_empty() {
        told["policy-string"] = json!(subject.policy);
    }
    if !subject.hosts.is_empty() {
        told["mx-host"] = json!(subject.hosts);
    }
    let mut report = json!({
        "policy": told,
        "summary": {
            "total-successful-session-count": counts.successes,
            "total-failure-session-count": failed,
        },
    });
    if !details.is_empty() {
        report["failure-details"] = json!(details);
    }
    report
}

const DAY_SECS: i64 = 24 * 60 * 60;

/// A reason may repeat what a server said.
const REASON_CHARS_MAX: usize = 300;

/// Days that are kept before the current one.
const DAYS_KEPT: i64 = 2;

/// Domains, with each policy that they had, that are counted on one day.
const SUBJECTS_MAX: usize = 10_000;

/// Different failures of one of them.
const FAILURES_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(domain: &str, ruler: Ruler) -> Subject {
        Subject { domain: domain.to_owned(), ruler, policy: Vec::new(), hosts: Vec::new() }
    }

    fn failure(reason: &str) -> Failure {
        Failure {
            kind: FailureKind::CertificateExpired,
            host: Some("mx.example.net".to_owned()),
            address: Some("192.0.2.1".parse().unwrap()),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn sessions_of_a_day_are_told_by_domain_and_policy() {
        let reports = TlsReports::default();
        let sts = Subject {
            policy: vec!["version: STSv1".to_owned(), "mode: testing".to_owned()],
            hosts: vec!["*.example.net".to_owned()],
            ..subject("example.net", Ruler::Sts)
        };
        reports.count(20_000, &sts, Ok(()));
        reports.count(20_000, &sts, Ok(()));
        reports.count(20_000, &sts, Err(failure("expired")));
        reports.count(20_000, &subject("example.net", Ruler::Nobody), Ok(()));
        reports.count(20_000, &subject("example.org", Ruler::Tlsa), Ok(()));
        assert_eq!(reports.domains(20_000), ["example.net", "example.org"]);
        let told = reports.report(20_000, "example.net", "Example", "postmaster@example.com");
        let expected = json!({
            "organization-name": "Example",
            "date-range": {
                "start-datetime": "2024-10-04T00:00:00Z",
                "end-datetime": "2024-10-04T23:59:59Z",
            },
            "contact-info": "postmaster@example.com",
            "report-id": "2024-10-04T00:00:00Z_example.net",
            "policies": [
                {
                    "policy": {
                        "policy-type": "no-policy-found",
                        "policy-domain": "example.net",
                    },
                    "summary": {
                        "total-successful-session-count": 1,
                        "total-failure-session-count": 0,
                    },
                },
                {
                    "policy": {
                        "policy-type": "sts",
                        "policy-domain": "example.net",
                        "policy-string": ["version: STSv1", "mode: testing"],
                        "mx-host": ["*.example.net"],
                    },
                    "summary": {
                        "total-successful-session-count": 2,
                        "total-failure-session-count": 1,
                    },
                    "failure-details": [{
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": "mx.example.net",
                        "receiving-ip": "192.0.2.1",
                        "failed-session-count": 1,
                        "failure-reason-code": "expired",
                    }],
                },
            ],
        });
        assert_eq!(told, Some(expected));
        assert_eq!(reports.report(20_000, "example.com", "", ""), None);
        assert_eq!(reports.report(19_999, "example.net", "", ""), None);
    }

    #[test]
    fn what_is_counted_has_a_limit_in_days_domains_and_failures() {
        let reports = TlsReports::default();
        let busy = subject("busy.example", Ruler::Nobody);
        for n in 0..FAILURES_MAX + 10 {
            reports.count(1, &busy, Err(failure(&n.to_string())));
        }
        let told = reports.report(1, "busy.example", "", "").unwrap();
        let details = told["policies"][0]["failure-details"].as_array().unwrap().len();
        assert_eq!(details, FAILURES_MAX);
        for n in 0..SUBJECTS_MAX + 10 {
            reports.count(1, &subject(&format!("d{n}.example"), Ruler::Nobody), Ok(()));
        }
        assert_eq!(reports.domains(1).len(), SUBJECTS_MAX);
        reports.count(1 + DAYS_KEPT, &busy, Ok(()));
        assert!(!reports.domains(1).is_empty());
        reports.count(2 + DAYS_KEPT, &busy, Ok(()));
        assert!(reports.domains(1).is_empty());
    }
}
