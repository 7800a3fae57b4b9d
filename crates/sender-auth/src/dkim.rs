//! DKIM: whose signatures a message bears, and which of them hold. RFC 6376, RFC 8301, RFC 8463

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::domain;
use crate::message::Message;
use crate::names::Source;
use crate::signature::{Content, Fault, Signer, unsigned};
use crate::tags::{Tags, number};

/// What became of one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// The result.
    pub result: DkimResult,
    /// Why it is no pass; a plain text of ours.
    pub reason: &'static str,
    /// Who signed, if that could be read. Only with [`DkimResult::Pass`] is it true.
    pub domain: Option<String>,
    /// The selector of the key.
    pub selector: Option<String>,
    /// The beginning of the signature, which tells two of one signer apart. RFC 6008
    pub prefix: Option<String>,
}

/// RFC 8601 §2.7.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DkimResult {
    /// It holds.
    Pass,
    /// It does not, or must not count any more.
    Fail,
    /// Its key could not be asked for; later it may hold.
    TempError,
    /// It will never hold.
    PermError,
}

/// Verifies the signatures of a message, the first [`SIGNATURES_MAX`] of them.
///
/// `now` is in seconds since 1970, for signatures that have ended.
pub(crate) async fn verify(source: &dyn Source, message: &mut Message<'_>, now: i64) -> Vec<Dkim> {
    let values: Vec<(&[u8], &[u8])> = message
        .named("DKIM-Signature")
        .take(SIGNATURES_MAX)
        .map(|field| (field.name, field.value))
        .collect();
    let mut results = Vec::with_capacity(values.len());
    for (name, value) in values {
        let mut signer = None;
        let outcome = one(source, message, (name, value), now, &mut signer).await;
        results.push(told(outcome, signer));
    }
    results
}

async fn one(
    source: &dyn Source,
    message: &mut Message<'_>,
    (name, value): (&[u8], &[u8]),
    now: i64,
    told: &mut Option<Signer>,
) -> Result<(), Fault> {
    let tags = Tags::parse(value).ok_or(Fault::Permanent("the signature cannot be read"))?;
    if tags.get("v") != Some(b"1") {
        return Err(Fault::Permanent("the version is unknown"));
    }
    let signer = told.insert(Signer::read(&tags)?);
    let content = Content::read(&tags)?;
    check_time(&tags, now)?;
    if message.has_too_many_fields() {
        return Err(Fault::Permanent("the header has too many fields"));
    }
    if message.body_hash(content.body) != content.body_hash {
        return Err(Fault::Fail("the body hash did not verify"));
    }
    let key = signer.key(source).await?;
    check_identity(&tags, &signer.domain, key.is_strict)?;
    let own = unsigned(&tags);
    let mut fields = message.select(&content.names);
    fields.push((name, &own));
    signer.verify(&key, &fields, content.header)
}

/// A signature that has ended, or ends before it began, is none. RFC 6376 §3.5 (`t=`, `x=`)
fn check_time(tags: &Tags<'_>, now: i64) -> Result<(), Fault> {
    const UNREADABLE: Fault = Fault::Permanent("t= or x= is no time");
    let read = |name| tags.get(name).map(|value| number(value).ok_or(UNREADABLE)).transpose();
    let (begin, end) = (read("t")?, read("x")?);
    match end {
        Some(end) if end <= now => Err(Fault::Fail("the signature has expired")),
        Some(end) if begin.is_some_and(|begin| end <= begin) => {
            Err(Fault::Permanent("the signature ends before it begins"))
        }
        _ => Ok(()),
    }
}

/// `i=` is the domain or lies below it, and with `t=s` it is the domain. RFC 6376 §3.5, §3.6.1
fn check_identity(tags: &Tags<'_>, signer: &str, is_strict: bool) -> Result<(), Fault> {
    let Some(identity) = tags.get("i") else { return Ok(()) };
    let at = identity.iter().rposition(|byte| *byte == b'@');
    let host = at.and_then(|at| identity.get(at + 1..)).and_then(domain::normal_bytes);
    let is_allowed =
        |host: &str| if is_strict { host == signer } else { domain::is_within(host, signer) };
    match host {
        Some(host) if is_allowed(&host) => Ok(()),
        _ => Err(Fault::Permanent("i= is not within d=")),
    }
}

fn told(outcome: Result<(), Fault>, signer: Option<Signer>) -> Dkim {
    let (result, reason) = match outcome {
        Ok(()) => (DkimResult::Pass, ""),
        Err(Fault::Fail(reason)) => (DkimResult::Fail, reason),
        Err(Fault::Permanent(reason)) => (DkimResult::PermError, reason),
        Err(Fault::Temporary(reason)) => (DkimResult::TempError, reason),
    };
    // Eight characters, of whole groups of base64. RFC 6008 §4
    let start = |signer: &Signer| signer.signature.get(..6).map(|it| BASE64_STANDARD.encode(it));
    Dkim {
        result,
        reason,
        prefix: signer.as_ref().and_then(start),
        domain: signer.as_ref().map(|signer| signer.domain.clone()),
        selector: signer.map(|signer| signer.selector),
    }
}

/// Most signatures that are looked at: each costs a question and an operation with a public key.
pub(crate) const SIGNATURES_MAX: usize = 10;
