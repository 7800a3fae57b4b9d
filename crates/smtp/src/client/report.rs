//! What became of TLS on the way to other domains: counted by day here, kept in the store, and
//! written as the reports that their owners may want. RFC 8460

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dns::Tlsa;
use mail_service::tls::{Counted, Counts, Failure, FailureKind, ProcessId, Ruler, Subject};
use mail_service::{Service, ServiceError};
use mail_types::InternalDate;
use rustls::CertificateError;
use serde_json::{Value, json};

use super::dane::Mismatch;
use super::tls::certificate_fault;

/// What this process has counted.
pub(super) struct TlsCounts {
    process: ProcessId,
    days: Mutex<Days>,
}

/// By days since 1970.
#[derive(Default)]
struct Days {
    days: BTreeMap<u32, BTreeMap<Subject, Entry>>,
    /// Of the next subject.
    number: u32,
}

struct Entry {
    number: u32,
    counts: Counts,
    is_written: bool,
}

impl Default for TlsCounts {
    fn default() -> Self {
        // Any number will do that no other process has.
        let process = RandomState::new().build_hasher().finish().to_be_bytes();
        Self { process, days: Mutex::default() }
    }
}

impl TlsCounts {
    /// Counts one session of a day.
    pub(super) fn count(&self, day: u32, subject: &Subject, result: Result<(), Failure>) {
        let mut all = self.lock();
        // What is older was written long ago.
        all.days.retain(|known, _| (day.saturating_sub(1)..=day).contains(known));
        let number = all.number;
        let subjects = all.days.entry(day).or_default();
        if !subjects.contains_key(subject) {
            let domain = &subject.domain;
            let first = Subject::new(domain, Ruler::Nobody, Vec::new());
            let of_domain = subjects.range(first..).take_while(|(it, _)| it.domain == *domain);
            if subjects.len() >= SUBJECTS_MAX || of_domain.count() >= POLICIES_MAX {
                return;
            }
            let entry = Entry { number, counts: Counts::default(), is_written: false };
            subjects.insert(subject.clone(), entry);
            all.number = number.wrapping_add(1);
        }
        let entry = all.days.get_mut(&day).and_then(|subjects| subjects.get_mut(subject));
        let Some(entry) = entry else { return };
        entry.is_written = false;
        match result {
            Ok(()) => entry.counts.successes += 1,
            Err(failure) => entry.counts.fail(failure, 1),
        }
    }

    /// Writes what was counted since it was written last.
    pub(super) async fn write(&self, service: &Service) -> Result<(), ServiceError> {
        let changed = self.take_changed();
        if changed.is_empty() {
            return Ok(());
        }
        let written = service.keep_tls_counts(self.process, &changed).await;
        if written.is_err() {
            self.put_back(&changed);
        }
        written
    }

    fn take_changed(&self) -> Vec<Counted> {
        let mut all = self.lock();
        let days = all.days.iter_mut();
        let entries = days.flat_map(|(day, it)| it.iter_mut().map(move |entry| (*day, entry)));
        let changed = entries.filter(|(_, (_, entry))| !entry.is_written);
        let changed = changed.map(|(day, (subject, entry))| {
            entry.is_written = true;
            let (number, counts) = (entry.number, entry.counts.clone());
            Counted { day, number, subject: subject.clone(), counts }
        });
        changed.collect()
    }

    fn put_back(&self, changed: &[Counted]) {
        let mut all = self.lock();
        for Counted { day, subject, .. } in changed {
            if let Some(entry) = all.days.get_mut(day).and_then(|it| it.get_mut(subject)) {
                entry.is_written = false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Days> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLSA records as lines of a policy. RFC 8460 §4.4
pub(super) fn tlsa_lines(records: &[Tlsa]) -> Vec<String> {
    let mut lines: Vec<String> = records
        .iter()
        .map(|Tlsa { usage, selector, matching, data }| {
            let data: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("{usage} {selector} {matching} {data}")
        })
        .collect();
    // They come in any order, and mean the same.
    lines.sort();
    lines
}

/// What a handshake failed for.
pub(super) fn failure_kind(error: &std::io::Error) -> FailureKind {
    let Some(fault) = certificate_fault(error) else { return FailureKind::ValidationFailure };
    match fault {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => FailureKind::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            FailureKind::CertificateHostMismatch
        }
        // None of the records was found to be valid for it.
        CertificateError::Other(other) if other.0.is::<Mismatch>() => FailureKind::TlsaInvalid,
        _ => FailureKind::CertificateNotTrusted,
    }
}

/// RFC 8460 §4.3
fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::StarttlsNotSupported => "starttls-not-supported",
        FailureKind::CertificateHostMismatch => "certificate-host-mismatch",
        FailureKind::CertificateExpired => "certificate-expired",
        FailureKind::CertificateNotTrusted => "certificate-not-trusted",
        FailureKind::ValidationFailure => "validation-failure",
        FailureKind::TlsaInvalid => "tlsa-invalid",
        FailureKind::DnssecInvalid => "dnssec-invalid",
        FailureKind::StsPolicyFetchError => "sts-policy-fetch-error",
        FailureKind::StsPolicyInvalid => "sts-policy-invalid",
        FailureKind::StsWebpkiInvalid => "sts-webpki-invalid",
    }
}

/// One whole day, and who tells of it.
pub(super) struct Sheet<'a> {
    /// Days since 1970.
    pub(super) day: u32,
    /// The domain that it is about.
    pub(super) domain: &'a str,
    /// Who sends it.
    pub(super) organization: &'a str,
    /// Where he can be reached.
    pub(super) contact: &'a str,
}

impl Sheet<'_> {
    /// The first and the last second, since 1970.
    pub(super) fn range(&self) -> (i64, i64) {
        let start = i64::from(self.day) * DAY_SECS;
        (start, start + DAY_SECS - 1)
    }

    /// Its name among all of this sender.
    pub(super) fn id(&self) -> String {
        format!("{}_{}", InternalDate::rfc3339(self.range().0), self.domain)
    }

    /// The report, in JSON. RFC 8460 §4.4
    pub(super) fn report(&self, counts: &BTreeMap<Subject, Counts>) -> Value {
        let (start, end) = self.range();
        let (start, end) = (InternalDate::rfc3339(start), InternalDate::rfc3339(end));
        let policies = counts.iter().map(|(subject, counts)| policy(subject, counts));
        let policies: Vec<Value> = policies.collect();
        json!({
            "organization-name": self.organization,
            "date-range": { "start-datetime": start, "end-datetime": end },
            "contact-info": self.contact,
            "report-id": self.id(),
            "policies": policies,
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
            "result-type": word(failure.kind),
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
    let hosts: Vec<&str> =
        subject.policy.iter().filter_map(|line| line.strip_prefix("mx: ")).collect();
    if !hosts.is_empty() {
        told["mx-host"] = json!(hosts);
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

/// Domains, with each policy that they had, that are counted on one day.
const SUBJECTS_MAX: usize = 10_000;

/// Policies of one domain that are counted on one day: whoever has a new one for each message does
/// not use up the room of the others.
const POLICIES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(domain: &str, ruler: Ruler) -> Subject {
        Subject::new(domain, ruler, Vec::new())
    }

    fn failure(reason: &str) -> Failure {
        let (kind, host) = (FailureKind::CertificateExpired, Some("mx.example.net"));
        Failure::new(kind, host, Some("192.0.2.1".parse().unwrap()), reason)
    }

    fn counts_of(counted: Vec<Counted>) -> BTreeMap<Subject, Counts> {
        counted.into_iter().map(|it| (it.subject, it.counts)).collect()
    }

    #[test]
    fn sessions_of_a_day_are_told_by_domain_and_policy() {
        let all = TlsCounts::default();
        let lines = ["version: STSv1", "mode: testing", "mx: *.example.net"].map(str::to_owned);
        let sts = Subject::new("example.net", Ruler::Sts, lines.to_vec());
        all.count(20_000, &sts, Ok(()));
        all.count(20_000, &sts, Ok(()));
        all.count(20_000, &sts, Err(failure("expired")));
        all.count(20_000, &subject("example.net", Ruler::Nobody), Ok(()));
        let (organization, contact) = ("Example", "postmaster@example.com");
        let sheet = Sheet { day: 20_000, domain: "example.net", organization, contact };
        let told = sheet.report(&counts_of(all.take_changed()));
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
                        "policy-string": ["version: STSv1", "mode: testing", "mx: *.example.net"],
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
        assert_eq!(told, expected);
    }

    #[test]
    fn what_changed_is_taken_as_a_whole_and_once_unless_it_is_put_back() {
        let all = TlsCounts::default();
        let (one, other) = (subject("one.example", Ruler::Tlsa), subject("o.example", Ruler::Tlsa));
        all.count(7, &one, Ok(()));
        all.count(7, &other, Ok(()));
        let first = all.take_changed();
        assert_eq!(first.len(), 2);
        assert!(all.take_changed().is_empty());
        all.count(7, &one, Ok(()));
        let second = all.take_changed();
        assert_eq!((second.len(), second[0].counts.successes), (1, 2));
        assert!(first.iter().any(|it| it.number == second[0].number && it.subject == one));
        all.put_back(&second);
        assert_eq!(all.take_changed(), second);
        // Yesterday may still be unwritten; what is older is not.
        all.put_back(&second);
        all.count(8, &one, Ok(()));
        assert_eq!(all.take_changed().len(), 2);
        all.put_back(&second);
        all.count(9, &one, Ok(()));
        assert_eq!(all.take_changed().len(), 1);
    }

    #[test]
    fn what_is_counted_has_a_limit_in_domains_and_policies() {
        let all = TlsCounts::default();
        for n in 0..POLICIES_MAX + 10 {
            all.count(1, &Subject::new("busy.example", Ruler::Sts, vec![n.to_string()]), Ok(()));
        }
        assert_eq!(all.take_changed().len(), POLICIES_MAX);
        for n in 0..SUBJECTS_MAX + 10 {
            all.count(1, &subject(&format!("d{n}.example"), Ruler::Nobody), Ok(()));
        }
        assert_eq!(all.take_changed().len(), SUBJECTS_MAX - POLICIES_MAX);
    }

    #[test]
    fn tlsa_records_are_lines_whatever_their_order() {
        let record =
            |usage, data: &[u8]| Tlsa { usage, selector: 1, matching: 1, data: data.into() };
        let lines = tlsa_lines(&[record(3, &[0xab, 1]), record(2, &[])]);
        assert_eq!(lines, ["2 1 1 ", "3 1 1 AB01"]);
    }
}
