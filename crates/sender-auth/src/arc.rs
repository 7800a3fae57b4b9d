//! ARC: what earlier servers say that they found, sealed by each of them. RFC 8617
//!
//! A chain that holds proves only who said what. Whether that is believed is a setting: see
//! [`crate::Settings::trusted_sealers`].

use mail_auth::dkim::Canonicalization;

use crate::apart::apart;
use crate::message::{Message, Signed};
use crate::names::Source;
use crate::signature::{Content, Fault, Signer, unsigned};
use crate::tags::{Tags, number};

/// What became of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arc {
    /// The result.
    pub result: ArcResult,
    /// Why it is no pass; a plain text of ours.
    pub reason: &'static str,
    /// The sets of a chain that holds, oldest first.
    pub sets: Vec<ArcSet>,
}

/// What one server sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcSet {
    /// Whose seal it is.
    pub sealer: String,
    /// The value of its ARC-Authentication-Results, folded as it came.
    pub results: Vec<u8>,
}

/// RFC 8617 §4.4
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArcResult {
    /// There is no chain.
    #[default]
    None,
    /// All seals hold, and the newest signature of the message does.
    Pass,
    /// One does not.
    Fail,
    /// A key could not be asked for.
    TempError,
}

/// The three fields of one instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance<'m> {
    pub(crate) results: Signed<'m>,
    pub(crate) signature: Signed<'m>,
    pub(crate) seal: Signed<'m>,
}

/// Verifies the chain of a message. RFC 8617 §5.2
pub(crate) async fn verify(source: &dyn Source, message: &Message<'_>) -> Arc {
    let (result, reason, sets) = match chain(source, message).await {
        Ok(sets) if sets.is_empty() => (ArcResult::None, "", sets),
        Ok(sets) => (ArcResult::Pass, "", sets),
        Err(Fault::Temporary(reason)) => (ArcResult::TempError, reason, Vec::new()),
        Err(Fault::Fail(reason) | Fault::Permanent(reason)) => {
            (ArcResult::Fail, reason, Vec::new())
        }
    };
    Arc { result, reason, sets }
}

async fn chain(source: &dyn Source, message: &Message<'_>) -> Result<Vec<ArcSet>, Fault> {
    let instances = apart(message.octets, || instances(message))?;
    let Some(newest) = instances.last() else { return Ok(Vec::new()) };
    if message.has_too_many_fields() {
        return Err(Fault::Permanent("the header has too many fields"));
    }
    let seals = instances.iter().enumerate().map(|(at, set)| seal(set, at));
    let seals = seals.collect::<Result<Vec<_>, Fault>>()?;
    check_signature(source, message, newest.signature).await?;
    // From the newest to the oldest: what was sealed last is what most likely broke.
    for (at, (set, (tags, signer))) in instances.iter().zip(&seals).enumerate().rev() {
        let own = unsigned(tags);
        let own = Instance { seal: (set.seal.0, &own), ..*set };
        let fields = sealed(instances.get(..at).unwrap_or_default(), own);
        let key = signer.key(source).await?;
        let verify = || signer.verify(&key, &fields, Canonicalization::Relaxed);
        apart(message.octets, verify)?;
    }
    let set = |(set, (_, signer)): (&Instance<'_>, (_, Signer))| ArcSet {
        sealer: signer.domain,
        results: set.results.1.to_vec(),
    };
    Ok(instances.iter().zip(seals).map(set).collect())
}

/// What a seal is made over: all earlier sets and its own, in which its `b=` is empty.
/// RFC 8617 §5.1.1
pub(crate) fn sealed<'m>(earlier: &[Instance<'m>], own: Instance<'m>) -> Vec<Signed<'m>> {
    let sets = earlier.iter().copied().chain([own]);
    sets.flat_map(|set| [set.results, set.signature, set.seal]).collect()
}

/// The sets of a message, in order: one of each field for each instance from 1 on. RFC 8617 §4.2
pub(crate) fn instances<'m>(message: &Message<'m>) -> Result<Vec<Instance<'m>>, Fault> {
    const BROKEN: Fault = Fault::Permanent("the chain is not whole");
    let results = numbered(message, RESULTS)?;
    let signatures = numbered(message, SIGNATURE)?;
    let seals = numbered(message, SEAL)?;
    if results.len() != seals.len() || signatures.len() != seals.len() {
        return Err(BROKEN);
    }
    let mut all = Vec::with_capacity(seals.len());
    for (at, ((results, signature), seal)) in results.iter().zip(signatures).zip(seals).enumerate()
    {
        if [results.0, signature.0, seal.0].iter().any(|number| *number != at + 1) {
            return Err(BROKEN);
        }
        all.push(Instance { results: results.1, signature: signature.1, seal: seal.1 });
    }
    Ok(all)
}

/// The fields of this name, by their instance.
fn numbered<'m>(message: &Message<'m>, name: &str) -> Result<Vec<(usize, Signed<'m>)>, Fault> {
    let mut found = Vec::new();
    for field in message.named(name) {
        if found.len() >= INSTANCES_MAX {
            return Err(Fault::Permanent("the chain is too long"));
        }
        let instance =
            instance(field.value).ok_or(Fault::Permanent("an instance has no number"))?;
        found.push((instance, (field.name, field.value)));
    }
    found.sort_by_key(|(instance, _)| *instance);
    Ok(found)
}

/// The highest instance of a chain, however broken it is; `None` for one that is too long, or whose
/// newest seal says itself that it is broken. RFC 8617 §5.1 steps 2 and 3
pub(crate) fn highest_of_broken(message: &Message<'_>) -> Option<usize> {
    let mut highest = 0;
    for name in [RESULTS, SIGNATURE, SEAL] {
        if message.named(name).nth(INSTANCES_MAX).is_some() {
            return None;
        }
        let found = message.named(name).filter_map(|field| instance(field.value)).max();
        highest = highest.max(found.unwrap_or(0));
    }
    let says_fail = |value| {
        let tags = Tags::parse(value);
        tags.and_then(|tags| tags.get("cv")).is_some_and(|cv| cv.eq_ignore_ascii_case(b"fail"))
    };
    let mut newest = message.named(SEAL).filter(|seal| instance(seal.value) == Some(highest));
    (!newest.any(|seal| says_fail(seal.value))).then_some(highest)
}

/// The number of an instance, which stands first in ARC-Authentication-Results and anywhere in the
/// others. RFC 8617 §4.2.1
fn instance(value: &[u8]) -> Option<usize> {
    let is_number = |spec: &&[u8]| {
        let name = spec.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii() == b"i"
    };
    let spec = value.split(|byte| *byte == b';').find(is_number)?;
    let at = spec.iter().position(|byte| *byte == b'=')?;
    let number = number(spec.get(at + 1..)?.trim_ascii())?;
    usize::try_from(number).ok().filter(|number| (1..=INSTANCES_MAX).contains(number))
}

/// Reads a seal; `at` counts from 0. RFC 8617 §4.1.3, §5.2
fn seal<'m>(set: &Instance<'m>, at: usize) -> Result<(Tags<'m>, Signer), Fault> {
    let tags = Tags::parse(set.seal.1).ok_or(Fault::Permanent("a seal cannot be read"))?;
    if tags.get("h").is_some() {
        return Err(Fault::Permanent("a seal has h="));
    }
    let wanted: &[u8] = if at == 0 { b"none" } else { b"pass" };
    if !tags.get("cv").is_some_and(|cv| cv.eq_ignore_ascii_case(wanted)) {
        return Err(Fault::Fail("a sealer found the chain broken"));
    }
    let signer = Signer::read(&tags)?;
    Ok((tags, signer))
}

/// Whether the newest signature covers the message as it is. RFC 8617 §5.2 step 4
async fn check_signature(
    source: &dyn Source,
    message: &Message<'_>,
    (name, value): Signed<'_>,
) -> Result<(), Fault> {
    let tags = Tags::parse(value).ok_or(Fault::Permanent("a signature cannot be read"))?;
    let signer = Signer::read(&tags)?;
    let content = Content::read(&tags)?;
    if apart(message.octets, || message.body_hash(content.body)) != content.body_hash {
        return Err(Fault::Fail("the body hash did not verify"));
    }
    let key = signer.key(source).await?;
    let own = unsigned(&tags);
    apart(message.octets, || {
        let mut fields = message.select(&content.names);
        fields.push((name, &own));
        signer.verify(&key, &fields, content.header)
    })
}

/// RFC 8617 §4.1.1
pub(crate) const RESULTS: &str = "ARC-Authentication-Results";

/// RFC 8617 §4.1.2
pub(crate) const SIGNATURE: &str = "ARC-Message-Signature";

/// RFC 8617 §4.1.3
pub(crate) const SEAL: &str = "ARC-Seal";

/// RFC 8617 §4.2.1: "Instance tag values can range from 1-50 (inclusive)."
pub(crate) const INSTANCES_MAX: usize = 50;
