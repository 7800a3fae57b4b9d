//! Greylisting: a stranger who writes for the first time is asked to come again. RFC 6647
//!
//! A mail server comes again; a program that sends junk to thousands mostly does not. What is kept
//! is when a network of clients first named a sender and a recipient together, and which networks
//! have come again: those are not asked any more. The state is in the store, so that all nodes know
//! it and a restart forgets nothing. It is bounded: when there is no room for another stranger he
//! is let in at once, so that filling it gains nobody what he would not have without it.

use std::net::IpAddr;
use std::sync::Arc;

use store::{Commit, KeyRange, Store, StoreError, View, Write};

use crate::check::{Report, check_rows};
use crate::codec::{CorruptRecord, Writer, decode};
use crate::error::ServiceError;
use crate::keys::{self, GREYLIST, GREYLIST_HASH_BYTES};
use crate::room::sweep_rows;
use crate::service::{Service, blocking};
use crate::thread;

/// How strangers are greylisted. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreylistTerms {
    /// How long it takes until coming again counts.
    pub delay_secs: i64,
    /// How long after the first time coming again counts.
    pub window_secs: i64,
    /// How long a network that came again is known after its last visit.
    pub lifetime_secs: i64,
}

/// Who comes, from whom and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Where the client is.
    pub client: IpAddr,
    /// MAIL FROM, empty for `<>`.
    pub sender: &'a str,
    /// RCPT TO.
    pub recipient: &'a str,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greylisting {
    /// He may go on.
    Passes,
    /// He is to come again later.
    ComeAgain,
}

/// What is to be done about a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pass,
    /// He passes, and his network is known from now on, or goes on to be.
    Learn,
    /// He is to come again, and that he was here is noted.
    Note,
    /// He has come again too early.
    Wait,
}

impl Service {
    /// Whether this client may go on, and notes that he was here.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn greylist(
        &self,
        terms: GreylistTerms,
        visit: Visit<'_>,
    ) -> Result<Greylisting, ServiceError> {
        let client = keys::greylist_client(&network(visit.client));
        let visit = keys::greylist_visit(&hash(visit));
        let now = self.shared.world.clock.now_secs();
        let (known, seen) = {
            let (client, visit) = (client.clone(), visit.clone());
            let read =
                move |view: &dyn View| Ok((moment_at(view, &client)?, moment_at(view, &visit)?));
            self.shared.read(read).await?
        };
        let commit = match decide(terms, now, known, seen) {
            Step::Pass => return Ok(Greylisting::Passes),
            Step::Wait => return Ok(Greylisting::ComeAgain),
            Step::Learn => {
                Commit::new().write(Write::put(client, encode(now))).write(Write::delete(visit))
            }
            Step::Note
                if seen.is_none() && !self.shared.greylist_room.take(&self.shared).await? =>
            {
                tracing::warn!("no room for another greylisted stranger, who is let in at once");
                return Ok(Greylisting::Passes);
            }
            Step::Note => {
                let noted = Commit::new().write(Write::put(visit, encode(now)));
                self.shared.commit(noted).await?;
                return Ok(Greylisting::ComeAgain);
            }
        };
        self.shared.commit(commit).await?;
        Ok(Greylisting::Passes)
    }

    /// Deletes what has expired, by the longest terms that can be set.
    pub(crate) async fn sweep_greylist(&self) -> Result<(), ServiceError> {
        let store = Arc::clone(&self.shared.store);
        let now = self.shared.world.clock.now_secs();
        let rows = KeyRange::prefix(GREYLIST);
        let sweep = move || sweep_rows(&*store, rows, |key, value| is_over(key, value, now));
        self.shared.greylist_room.recount(blocking(sweep).await?);
        Ok(())
    }
}

/// Time is told in seconds since 1970: when the network was last here, and when this sender first
/// wrote to this recipient from it.
fn decide(terms: GreylistTerms, now: i64, known: Option<i64>, seen: Option<i64>) -> Step {
    if let Some(last) = known
        && now.saturating_sub(last) <= terms.lifetime_secs
    {
        // A row for each day and not for each message.
        return if now.saturating_sub(last) >= RENEW_SECS { Step::Learn } else { Step::Pass };
    }
    let Some(first) = seen else { return Step::Note };
    let age = now.saturating_sub(first);
    match age {
        // The clock was set back.
        ..0 => Step::Note,
        _ if age < terms.delay_secs => Step::Wait,
        _ if age <= terms.window_secs => Step::Learn,
        // That he came so late says nothing.
        _ => Step::Note,
    }
}

/// Whether no terms would let a row count any more.
fn is_over(key: &[u8], value: &[u8], now: i64) -> bool {
    let window_max = 3600 * i64::from(WINDOW_HOURS_MAX);
    let lifetime_max = 86_400 * i64::from(LIFETIME_DAYS_MAX);
    let lasts = if keys::is_greylist_client(key) { lifetime_max } else { window_max };
    parse(key, value).is_ok_and(|at| now.saturating_sub(at) > lasts)
}

/// Every row can be read.
pub(crate) fn check_greylist(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    check_rows(&*store.view()?, &KeyRange::prefix(GREYLIST), report, parse)
}

/// Mail servers of one site share a network, and one may try again for another. RFC 6647 §5
fn network(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(ip) => [&[4][..], ip.octets().get(..3).unwrap_or_default()].concat(),
        IpAddr::V6(ip) => [&[6][..], ip.octets().get(..8).unwrap_or_default()].concat(),
    }
}

/// Where nobody who does not know all three can tell what will be.
fn hash(visit: Visit<'_>) -> [u8; GREYLIST_HASH_BYTES] {
    let Visit { client, sender, recipient } = visit;
    // No address has a NUL, so the parts cannot be moved.
    let text = [
        network(client),
        sender.to_lowercase().into_bytes(),
        vec![0],
        recipient.to_lowercase().into_bytes(),
    ];
    thread::hash(&text.concat())
}

fn moment_at(view: &dyn View, key: &[u8]) -> Result<Option<i64>, ServiceError> {
    Ok(view.get(key)?.map(|value| parse(key, &value)).transpose()?)
}

fn encode(moment: i64) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.signed(moment);
    w.finish()
}

fn parse(key: &[u8], value: &[u8]) -> Result<i64, CorruptRecord> {
    decode(key, value, VERSION, |r| r.signed())
}

const VERSION: u8 = 1;

/// How often it is written down that a known network was here.
const RENEW_SECS: i64 = 86_400;

/// The longest [`GreylistTerms::window_secs`], in hours: senders give up after five days.
pub const WINDOW_HOURS_MAX: u32 = 7 * 24;

/// The longest [`GreylistTerms::lifetime_secs`], in days.
pub const LIFETIME_DAYS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: GreylistTerms =
        GreylistTerms { delay_secs: 60, window_secs: 3600, lifetime_secs: 864_000 };

    #[test]
    fn a_stranger_passes_when_he_comes_again_in_time_and_is_known_then() {
        let now = 1_000_000;
        for (known, seen, step) in [
            (None, None, Step::Note),
            (None, Some(now - 59), Step::Wait),
            (None, Some(now - 60), Step::Learn),
            (None, Some(now - 3600), Step::Learn),
            (None, Some(now - 3601), Step::Note),
            (None, Some(now + 1), Step::Note),
            (Some(now - 10), None, Step::Pass),
            (Some(now - RENEW_SECS), None, Step::Learn),
            (Some(now - 864_000), None, Step::Learn),
            (Some(now - 864_001), None, Step::Note),
            (Some(now - 864_001), Some(now - 60), Step::Learn),
        ] {
            assert_eq!(decide(TERMS, now, known, seen), step, "{known:?} {seen:?}");
        }
    }

    #[test]
    fn a_network_is_a_24_or_a_64() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn s099_who_shares_two_of_the_three_shares_no_state() {
        let of = |client: &str, sender, recipient| {
            hash(Visit { client: client.parse().unwrap(), sender, recipient })
        };
        let first = of("192.0.2.1", "a@b.example", "c@d.example");
        assert_eq!(first, of("192.0.2.9", "A@B.example", "C@d.example"));
        assert_ne!(first, of("192.0.3.1", "a@b.example", "c@d.example"));
        assert_ne!(first, of("192.0.2.1", "x@b.example", "c@d.example"));
        assert_ne!(first, of("192.0.2.1", "a@b.example", "x@d.example"));
        assert_ne!(of("192.0.2.1", "ab", "c"), of("192.0.2.1", "a", "bc"));
    }
}
