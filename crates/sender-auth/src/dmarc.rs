//! DMARC: what the domain of an author wants done with mail that it does not stand for.
//! RFC 9989, which replaces RFC 7489; where records follow the older one, it is named.

use crate::dkim::{Dkim, DkimResult};
use crate::domain;
use crate::names::{Failure, Source, or_none};
use crate::spf::{Spf, SpfResult};

/// What DMARC says about one domain of the From field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dmarc {
    /// The author's domain, in normal form.
    pub domain: String,
    /// Whether a signature or the envelope speaks for it.
    pub result: DmarcResult,
    /// What is asked for when nothing does.
    pub policy: Policy,
}

/// RFC 8601 §2.7.1, RFC 9989 §5.3.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmarcResult {
    /// The domain has no policy.
    None,
    /// An identity that belongs to the domain was proved.
    Pass,
    /// None was.
    Fail,
    /// A question that decides was not answered.
    TempError,
}

/// What the domain asks for. RFC 9989 §4.7
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing, or there is no policy.
    None,
    /// To be treated as suspicious.
    Quarantine,
    /// To be refused.
    Reject,
    /// The policy could not be asked for.
    Unknown,
}

/// The identities that were looked at.
pub(crate) struct Proofs<'a> {
    pub(crate) dkim: &'a [Dkim],
    /// Of the envelope's sender, or of EHLO if that is empty.
    pub(crate) spf: &'a Spf,
}

/// Evaluates one author. RFC 9989 §5.3
pub(crate) async fn check(source: &dyn Source, author: &str, proofs: &Proofs<'_>) -> Dmarc {
    match Author::find(source, author).await {
        Ok(Some(author)) => author.judge(source, proofs).await,
        Ok(None) => told(author, DmarcResult::None, Policy::None),
        Err(Unanswered) => told(author, DmarcResult::TempError, Policy::Unknown),
    }
}

fn told(domain: &str, result: DmarcResult, policy: Policy) -> Dmarc {
    Dmarc { domain: domain.to_owned(), result, policy }
}

#[derive(Debug)]
struct Unanswered;

/// A domain with a policy.
struct Author<'a> {
    domain: &'a str,
    organization: String,
    record: Record,
    policy: Policy,
}

impl<'a> Author<'a> {
    /// Finds the policy of a domain. RFC 9989 §4.10.1
    async fn find(source: &dyn Source, domain: &'a str) -> Result<Option<Self>, Unanswered> {
        let walk = walk(source, domain).await?;
        let organization = organization(&walk, domain).to_owned();
        let own = walk.iter().find(|(name, _)| *name == domain);
        let parent = walk.iter().find(|(name, _)| *name == organization).or(walk.last());
        let (record, is_own) = match (own, parent) {
            (Some((_, record)), _) => (record.clone(), true),
            (None, Some((_, record))) => (record.clone(), false),
            (None, None) => return Ok(None),
        };
        let policy = if is_own {
            record.policy
        } else if record.absent != record.subdomains && !exists(source, domain).await? {
            record.absent
        } else {
            record.subdomains
        };
        let policy = if record.is_test { one_below(policy) } else { policy };
        Ok(Some(Self { domain, organization, record, policy }))
    }

    /// Whether one of the proofs belongs to the domain. RFC 9989 §4.4, §5.3.5
    async fn judge(&self, source: &dyn Source, proofs: &Proofs<'_>) -> Dmarc {
        let signed = proofs.dkim.iter().filter_map(|dkim| {
            let domain = dkim.domain.as_deref()?;
            match dkim.result {
                DkimResult::Pass => Some((domain, Proof::Given, self.record.is_dkim_strict)),
                DkimResult::TempError => Some((domain, Proof::Open, self.record.is_dkim_strict)),
                DkimResult::Fail | DkimResult::PermError => None,
            }
        });
        let sent = proofs.spf.domain.as_deref().and_then(|domain| match proofs.spf.result {
            SpfResult::Pass => Some((domain, Proof::Given, self.record.is_spf_strict)),
            SpfResult::TempError => Some((domain, Proof::Open, self.record.is_spf_strict)),
            _ => None,
        });
        let mut result = DmarcResult::Fail;
        for (domain, proof, is_strict) in sent.into_iter().chain(signed) {
            match (self.is_aligned(source, domain, is_strict).await, proof) {
                (Ok(true), Proof::Given) => {
                    result = DmarcResult::Pass;
                    break;
                }
                // What is open could have decided. RFC 9989 §5.3.6
                (Ok(true), Proof::Open) | (Err(Unanswered), _) => result = DmarcResult::TempError,
                (Ok(false), _) => {}
            }
        }
        told(self.domain, result, self.policy)
    }

    /// RFC 9989 §4.4.1, §4.10.2
    async fn is_aligned(
        &self,
        source: &dyn Source,
        domain: &str,
        is_strict: bool,
    ) -> Result<bool, Unanswered> {
        if domain == self.domain {
            return Ok(true);
        }
        if is_strict || !domain::is_within(domain, &self.organization) {
            return Ok(false);
        }
        let walk = walk(source, domain).await?;
        Ok(organization(&walk, domain) == self.organization)
    }
}

#[derive(Clone, Copy)]
enum Proof {
    Given,
    Open,
}

/// A policy record. RFC 9989 §4.7
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// `p=`
    policy: Policy,
    /// `sp=`
    subdomains: Policy,
    /// `np=`
    absent: Policy,
    is_dkim_strict: bool,
    is_spf_strict: bool,
    /// `t=y`, and `pct=0`, which said the same before. RFC 9989 §A.6
    is_test: bool,
    psd: Psd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Psd {
    Yes,
    No,
    Unsaid,
}

impl Record {
    /// Reads a record; `None` if it is none. What is wrong in a tag counts as if the tag were not
    /// there, and does not undo the rest. RFC 9989 §4.7, §4.8
    fn parse(text: &str) -> Option<Self> {
        // Not the lists of DKIM: there a part that cannot be read spoils all of it.
        let mut tags = text.split(';').take(TAGS_MAX).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim(), value.trim())
        });
        if tags.next() != Some(("v", "DMARC1")) {
            return None;
        }
        let tags: Vec<(&str, &str)> = tags.collect();
        let get = |name: &str| tags.iter().find(|tag| tag.0.eq_ignore_ascii_case(name));
        let is = |tag: &str, value: &str| {
            get(tag).is_some_and(|(_, found)| found.eq_ignore_ascii_case(value))
        };
        let read = |tag| get(tag).and_then(|(_, value)| policy(value));
        let policy = read("p").unwrap_or(Policy::None);
        let subdomains = read("sp").unwrap_or(policy);
        let psd = if is("psd", "y") {
            Psd::Yes
        } else if is("psd", "n") {
            Psd::No
        } else {
            Psd::Unsaid
        };
        Some(Self {
            policy,
            subdomains,
            absent: read("np").unwrap_or(subdomains),
            is_dkim_strict: is("adkim", "s"),
            is_spf_strict: is("aspf", "s"),
            is_test: is("t", "y") || is("pct", "0"),
            psd,
        })
    }
}

/// What is applied while a policy is tested. RFC 9989 §4.7 (`t`), RFC 7489 §6.6.4
fn one_below(policy: Policy) -> Policy {
    match policy {
        Policy::Reject => Policy::Quarantine,
        Policy::Quarantine | Policy::None => Policy::None,
        Policy::Unknown => Policy::Unknown,
    }
}

fn policy(value: &str) -> Option<Policy> {
    match value.to_ascii_lowercase().as_str() {
        "none" => Some(Policy::None),
        "quarantine" => Some(Policy::Quarantine),
        "reject" => Some(Policy::Reject),
        _ => None,
    }
}

/// The records of a domain and of those above it, longest name first. RFC 9989 §4.10
async fn walk<'d>(
    source: &dyn Source,
    domain: &'d str,
) -> Result<Vec<(&'d str, Record)>, Unanswered> {
    let mut found = Vec::new();
    let mut name = domain;
    loop {
        if let Some(record) = record(source, name).await? {
            let is_end = record.psd != Psd::Unsaid;
            found.push((name, record));
            if is_end {
                return Ok(found);
            }
        }
        let labels = name.split('.').count();
        // Eight questions at most, however deep a name is.
        let dropped = if labels > WALK_LABELS_MAX { labels - WALK_LABELS_MAX } else { 1 };
        match name.splitn(dropped + 1, '.').nth(dropped) {
            Some(parent) => name = parent,
            None => return Ok(found),
        }
    }
}

/// The one record of a name: several are as good as none. RFC 9989 §4.10
async fn record(source: &dyn Source, name: &str) -> Result<Option<Record>, Unanswered> {
    let Some(asked) = domain::normal(&format!("_dmarc.{name}")) else { return Ok(None) };
    let texts = or_none(source.txt(&asked).await).map_err(|_| Unanswered)?;
    let mut records = texts.iter().filter_map(|text| Record::parse(text));
    let first = records.next();
    Ok(first.filter(|_| records.next().is_none()))
}

/// The organizational domain that a walk leads to. RFC 9989 §4.10.2
fn organization<'d>(walk: &[(&'d str, Record)], start: &'d str) -> &'d str {
    for (name, record) in walk {
        match record.psd {
            Psd::No => return name,
            Psd::Yes if *name != start => {
                let below = start.strip_suffix(name).and_then(|rest| rest.strip_suffix('.'));
                let label = below.and_then(|rest| rest.rsplit('.').next()).unwrap_or_default();
                let length = label.len() + 1 + name.len();
                return start.get(start.len() - length.min(start.len())..).unwrap_or(start);
            }
            Psd::Yes | Psd::Unsaid => {}
        }
    }
    walk.last().map_or(start, |(name, _)| name)
}

/// Whether a name exists. RFC 9989 §4.7 (`np`), RFC 8020
async fn exists(source: &dyn Source, domain: &str) -> Result<bool, Unanswered> {
    match source.addresses(domain, crate::names::Family::Ipv4).await {
        Ok(_) => Ok(true),
        Err(Failure::NoSuchName) => Ok(false),
        Err(Failure::Temporary) => Err(Unanswered),
    }
}

/// Most tags of a record; RFC 9989 knows eleven.
const TAGS_MAX: usize = 40;

/// Where the walk goes on from a longer name. RFC 9989 §4.10
const WALK_LABELS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_mistakes_in_a_tag_do_not_undo_the_rest() {
        let record =
            Record::parse("v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@b!x; fo=9").unwrap();
        assert_eq!(record.policy, Policy::Reject);
        assert_eq!((record.subdomains, record.absent), (Policy::Quarantine, Policy::Quarantine));
        let record = Record::parse("v = DMARC1 ;p=Reject; np=none; adkim=s; aspf=x; t=y;").unwrap();
        assert_eq!((record.subdomains, record.absent), (Policy::Reject, Policy::None));
        assert!(record.is_dkim_strict && !record.is_spf_strict && record.is_test);
        assert_eq!(Record::parse("v=DMARC1; p=bounce").unwrap().policy, Policy::None);
        let record =
            Record::parse("v=DMARC1;; p=reject; rua; =; \u{e4}; p=none; P=none;;").unwrap();
        assert_eq!(record.policy, Policy::Reject);
        assert!(Record::parse("v=DMARC1; pct=0; p=reject").unwrap().is_test);
        for text in ["v=dmarc1; p=reject", "p=reject; v=DMARC1", "v=DMARC12; p=none", "v=spf1"] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_organization_is_the_shortest_name_or_one_below_a_public_suffix() {
        let record = |psd: &str| Record::parse(&format!("v=DMARC1; p=none; psd={psd}")).unwrap();
        let start = "a.mail.example.com";
        let walk = [(start, record("u")), ("example.com", record("u"))];
        assert_eq!(organization(&walk, start), "example.com");
        let walk = [("example.com", record("u")), ("com", record("y"))];
        assert_eq!(organization(&walk, start), "example.com");
        let walk = [("mail.example.com", record("n")), ("example.com", record("u"))];
        assert_eq!(organization(&walk, start), "mail.example.com");
        let walk = [("com", record("y"))];
        assert_eq!(organization(&walk, "com"), "com");
        assert_eq!(organization(&[], start), start);
    }
}
