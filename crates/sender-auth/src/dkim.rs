//! DKIM: whose signatures a message bears, and which of them hold. RFC 6376, RFC 8301, RFC 8463

use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::future::join_all;
use mime::header::Field;
use tokio::time::{Instant, timeout_at};

use crate::apart::apart;
use crate::domain;
use crate::domain_key::DomainKey;
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
/// All keys are asked for at once, until `end`: a name server that does not answer for one signer
/// takes nothing from another. `now` is in seconds since 1970, for signatures that have ended.
pub(crate) async fn verify(
    source: &dyn Source,
    message: &Message<'_>,
    now: i64,
    end: Instant,
) -> Vec<Dkim> {
    let read: Vec<Read<'_>> = apart(message.octets, || {
        let found = message.named("DKIM-Signature").take(SIGNATURES_MAX);
        found.map(|field| Read::new(field, message, now)).collect()
    });
    let keys = read.iter().map(async |read| {
        let (Some(signer), Ok(_)) = (&read.signer, &read.claim) else { return Err(UNREADABLE) };
        let late = Err(Fault::Temporary("the key could not be asked for in time"));
        timeout_at(end, signer.key(source)).await.unwrap_or(late)
    });
    let keys = join_all(keys).await;
    let judged = read.into_iter().zip(keys).map(|(read, key)| {
        let outcome = read.judge(key, message);
        told(outcome, read.signer)
    });
    apart(message.octets, || judged.collect())
}

/// A signature as it was read.
struct Read<'a> {
    /// Who signed, if that could be read.
    signer: Option<Signer>,
    claim: Result<Claim<'a>, Fault>,
}

/// A signature that holds if its key says so.
struct Claim<'a> {
    name: &'a [u8],
    tags: Tags<'a>,
    content: Content,
}

impl<'a> Read<'a> {
    /// Reads a signature and checks all that needs no key.
    fn new(field: &Field<'a>, message: &Message<'_>, now: i64) -> Self {
        let refused = |fault| Self { signer: None, claim: Err(fault) };
        let Some(tags) = Tags::parse(field.value) else { return refused(UNREADABLE) };
        if tags.get("v") != Some(b"1") {
            return refused(Fault::Permanent("the version is unknown"));
        }
        match Signer::read(&tags) {
            Ok(signer) => {
                let content = content(&tags, message, now);
                let claim = content.map(|content| Claim { name: field.name, tags, content });
                Self { signer: Some(signer), claim }
            }
            Err(fault) => refused(fault),
        }
    }

    fn judge(&self, key: Result<DomainKey, Fault>, message: &Message<'_>) -> Result<(), Fault> {
        let claim = self.claim.as_ref().map_err(|fault| *fault)?;
        let signer = self.signer.as_ref().ok_or(UNREADABLE)?;
        let key = key?;
        check_identity(&claim.tags, &signer.domain, key.is_strict)?;
        let own = unsigned(&claim.tags);
        let mut fields = message.select(&claim.content.names);
        fields.push((claim.name, &own));
        signer.verify(&key, &fields, claim.content.header)
    }
}

/// What is signed, if it is what came.
fn content(tags: &Tags<'_>, message: &Message<'_>, now: i64) -> Result<Content, Fault> {
    let content = Content::read(tags)?;
    check_time(tags, now)?;
    if message.has_too_many_fields() {
        return Err(Fault::Permanent("the header has too many fields"));
    }
    if message.body_hash(content.body) != content.body_hash {
        return Err(Fault::Fail("the body hash did not verify"));
    }
    Ok(content)
}

/// A signature that has ended, or ends before it began, is none. RFC 6376 §3.5 (`t=`, `x=`)
fn check_time(tags: &Tags<'_>, now: i64) -> Result<(), Fault> {
    let fault = Fault::Permanent("t= or x= is no time");
    let read = |name| tags.get(name).map(|value| number(value).ok_or(fault)).transpose();
    let (begin, end) = (read("t")?, read("x")?);
    match end {
        Some(end) if end < now => Err(Fault::Fail("the signature has expired")),
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

const UNREADABLE: Fault = Fault::Permanent("the signature cannot be read");

/// Most signatures that are looked at: each costs a question and an operation with a public key.
pub(crate) const SIGNATURES_MAX: usize = 10;
