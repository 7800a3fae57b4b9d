//! Our own seals: what we found out about a message that we send on to somewhere else, so that who
//! trusts us need not find it out again, where neither SPF nor a changed text could tell. RFC 8617
//!
//! A set has three fields: what was found (ARC-Authentication-Results), a signature of the message
//! as it is sent on (ARC-Message-Signature), and a seal over all sets (ARC-Seal). It can be added
//! to any message and harms none (§5.1.5), but a chain that does not hold never will again.

use mime::header::fields;

use crate::arc::{
    ArcResult, INSTANCES_MAX, Instance, RESULTS, SEAL, SIGNATURE, highest_of_broken, instances,
    sealed,
};
use crate::domain;
use crate::message::Message;
use crate::results::Results;
use crate::sign::{Content, Purpose, Ready, Signer};

impl Signer {
    /// A set for a message that is sent on, in the name of this domain: three fields, each ended
    /// by CRLF, to be put before the message as it leaves; trace fields may stand between.
    /// `results` are those of [`crate::Verifier::verify`] for the same message, and `now` is in
    /// seconds since 1970.
    ///
    /// `None` means that the message shall go on as it is:
    /// - The domain has no RSA key. Who cannot verify a seal takes the whole chain for broken, and
    ///   Ed25519 is younger than many verifiers.
    /// - Nothing was found out, or the header has more fields than are looked at.
    /// - The chain is full, or its newest seal says already that it is broken (§5.1 step 2).
    /// - A key of the chain could not be asked for: later it may still hold, and our word that it
    ///   does not would end it.
    ///
    /// Like [`Signer::sign`] it takes as long as a long message does: call it where nobody waits.
    pub fn seal(
        &self,
        domain: &str,
        results: &Results,
        message: &[u8],
        now: i64,
    ) -> Option<Vec<u8>> {
        let domain = domain::normal(domain)?;
        let ready = self.sealing(&domain)?;
        if results.payload.is_empty() {
            return None;
        }
        let message = Message::new(message);
        let place = place(&message, results.chain)?;
        let content = Content::new(&message, domain, now, Purpose::Seal);
        set(&place, &content, ready, results)
    }
}

/// The three fields, the last one first, as they stand in a message. RFC 8617 §5.1 step 4
fn set(
    place: &Place<'_>,
    content: &Content<'_>,
    ready: &Ready,
    results: &Results,
) -> Option<Vec<u8>> {
    let Place { earlier, number, status } = place;
    let found = format!("{RESULTS}: i={number}; {}\r\n", results.payload);
    let signature = content.field(SIGNATURE, &format!("i={number}"), ready)?;
    let seal = format!(
        " i={number}; a={}; cv={status};\r\n\td={};\r\n\ts={}; t={};\r\n\tb=",
        ready.key.algorithm(),
        content.domain,
        ready.selector,
        content.now,
    );
    let value = |text| fields(text).next().map(|field| (field.name, field.value));
    let own = Instance {
        results: value(found.as_bytes())?,
        signature: value(&signature)?,
        seal: (SEAL.as_bytes(), seal.as_bytes()),
    };
    let seal = ready.key.field(&sealed(earlier, own))?;
    Some([&seal, &signature, found.as_bytes()].concat())
}

/// Where a new set belongs.
struct Place<'m> {
    /// The sets that it seals with its own.
    earlier: Vec<Instance<'m>>,
    number: usize,
    /// `cv=`
    status: &'static str,
}

/// The place of the next set, if there is one.
fn place<'m>(message: &Message<'m>, chain: ArcResult) -> Option<Place<'m>> {
    if message.has_too_many_fields() {
        return None;
    }
    let (earlier, highest, status) = match chain {
        ArcResult::None | ArcResult::Pass => {
            let earlier = instances(message).ok()?;
            // The results of another message say nothing about this one.
            if earlier.is_empty() != (chain == ArcResult::None) {
                return None;
            }
            let highest = earlier.len();
            (earlier, highest, chain.name())
        }
        // The seal covers its own set alone: of a broken chain nobody knows what to take.
        // RFC 8617 §5.1.2
        ArcResult::Fail => (Vec::new(), highest_of_broken(message)?, "fail"),
        ArcResult::TempError => return None,
    };
    let number = highest + 1;
    (number <= INSTANCES_MAX).then_some(Place { earlier, number, status })
}
