//! When to order: pure rules over what is held, what the authority advises, and what went before.
//!
//! An order is never made in a loop: whatever the reason, and whatever the clock does, between two
//! attempts there is a pause that grows with failures and outlives a restart.

use net::Facts;

use crate::Advice;

/// What decides about the next order.
#[derive(Clone, Debug)]
pub struct Situation<'s> {
    /// The names that the certificate shall have.
    pub names: &'s [String],
    /// The certificate that is held; `None` when nobody but ourselves vouches for it.
    pub certificate: Option<&'s Facts>,
    /// What the authority advises.
    pub advice: Option<Advice>,
    /// What went before.
    pub attempts: Attempts,
}

/// What went before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many have failed since the last that did not.
    pub failed: u32,
    /// When the last one ended, in seconds since 1970.
    pub last: Option<i64>,
}

/// When the next order is to be made, in seconds since 1970; it may have passed.
pub fn next(situation: &Situation<'_>) -> i64 {
    let due = due(situation);
    let Some(last) = situation.attempts.last else { return due };
    let pause = pause_secs(situation.attempts.failed);
    // What ends soon cannot wait for a day.
    let longest = situation.certificate.map_or(PAUSE_SECS_MAX, |facts| {
        (facts.not_after.saturating_sub(last) / 4).max(URGENT_PAUSE_SECS)
    });
    due.max(last.saturating_add(pause.min(longest)))
}

/// The attempts as this clock can use them: one that was ahead at the last attempt shall not hold
/// up the next, so the pause counts from now. The result is to be kept.
pub fn settled(attempts: Attempts, now: i64) -> Attempts {
    Attempts { last: attempts.last.map(|last| last.min(now)), ..attempts }
}

/// When there is a reason to order.
pub fn due(situation: &Situation<'_>) -> i64 {
    match situation.certificate {
        Some(facts) if covers(facts, situation.names) => ripe(facts, situation.advice),
        _ => i64::MIN,
    }
}

/// When a certificate is to be renewed: as its authority advises, or after two thirds of its life;
/// in any case while a tenth of its life is left.
pub fn ripe(facts: &Facts, advice: Option<Advice>) -> i64 {
    let life = facts.lifetime();
    // A window that ends before it begins is none. RFC 9773 §4.2
    let at = match advice.filter(|advice| advice.start < advice.end) {
        Some(advice) => within(advice, facts),
        None => facts.not_before + life / 3 * 2,
    };
    at.min(facts.not_after - life / 10)
}

/// A moment of the window, anywhere in it so that not everybody comes at once, and the same each
/// time so that a restart does not choose anew: serial numbers are random. RFC 9773 §4.2
fn within(advice: Advice, facts: &Facts) -> i64 {
    let draw =
        facts.serial.iter().rev().take(2).fold(0, |sum, octet| (sum << 8) | i64::from(*octet));
    let length = advice.end.saturating_sub(advice.start).clamp(0, WINDOW_SECS_MAX);
    advice.start.saturating_add(length * draw / (1 << 16))
}

/// Whether a certificate is for all names.
pub fn covers(facts: &Facts, names: &[String]) -> bool {
    names.iter().all(|name| facts.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
}

/// How long nothing is ordered after an attempt: an hour after one that went well, so that nothing
/// can make a loop of it; then 15 minutes, and twice as long after each failure, up to a day.
/// Authorities allow five failed proofs of a name in an hour.
pub fn pause_secs(failed: u32) -> i64 {
    match failed {
        0 => AFTER_SUCCESS_SECS,
        _ => (FIRST_PAUSE_SECS << (failed - 1).min(FAILED_MAX)).min(PAUSE_SECS_MAX),
    }
}

/// Of an attempt that left names out: they are tried again after the longest pause.
pub const FAILED_MAX: u32 = 7;

const AFTER_SUCCESS_SECS: i64 = 3600;
const FIRST_PAUSE_SECS: i64 = 15 * 60;
const PAUSE_SECS_MAX: i64 = 24 * 3600;

/// The longest pause while a certificate is in its last hours, or has ended.
const URGENT_PAUSE_SECS: i64 = 4 * 3600;

/// A longer window is no advice.
const WINDOW_SECS_MAX: i64 = 366 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn facts(names: &[&str], life: i64) -> Facts {
        Facts {
            not_before: 1000,
            not_after: 1000 + life,
            names: names.iter().map(ToString::to_string).collect(),
            serial: vec![0, 1, 0x80, 0],
            authority_key: None,
            is_self_issued: false,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn situation<'s>(names: &'s [String], certificate: Option<&'s Facts>) -> Situation<'s> {
        Situation { names, certificate, advice: None, attempts: Attempts::default() }
    }

    #[test]
    fn without_a_certificate_or_a_name_it_is_due_at_once() {
        let wanted = names(&["mail.example", "mta-sts.example"]);
        assert!(next(&situation(&wanted, None)) <= 5);
        let held = facts(&["mail.example"], 90 * DAY);
        assert!(next(&situation(&wanted, Some(&held))) <= 5);
        let held = facts(&["MTA-STS.example", "Mail.example", "more.example"], 90 * DAY);
        assert_eq!(next(&situation(&wanted, Some(&held))), 1000 + 60 * DAY);
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_whatever_that_is() {
        let wanted = names(&["a.example"]);
        for days in [6, 45, 90, 398] {
            let held = facts(&["a.example"], days * DAY);
            let at = next(&situation(&wanted, Some(&held)));
            assert_eq!(at, 1000 + days * DAY / 3 * 2);
        }
    }

    #[test]
    fn the_authority_chooses_the_window_and_the_serial_number_a_moment_in_it() {
        let wanted = names(&["a.example"]);
        let mut held = facts(&["a.example"], 90 * DAY);
        let advice = |start, end| Some(Advice { start, end, ask_again_secs: 0 });
        let at =
            |held: &Facts, advice| next(&Situation { advice, ..situation(&wanted, Some(held)) });
        // The last octets are drawn as 0x0080 of 0x10000.
        assert_eq!(at(&held, advice(5000, 5000 + (1 << 16))), 5000 + 0x80);
        held.serial = vec![9, 0xff, 0xff];
        assert_eq!(at(&held, advice(5000, 5000 + (1 << 16))), 5000 + 0xffff);
        // One in the past means at once; one that is none, or comes too late, is not believed.
        assert!(at(&held, advice(-9, -3)) < 0);
        assert_eq!(at(&held, advice(5000, 5000)), 1000 + 60 * DAY);
        assert_eq!(at(&held, advice(i64::MAX, i64::MIN)), 1000 + 60 * DAY);
        assert_eq!(at(&held, advice(900 * DAY, 901 * DAY)), 1000 + 81 * DAY);
    }

    #[test]
    fn pauses_grow_to_a_day_and_no_further() {
        let minutes: Vec<_> = (0..10).map(|failed| pause_secs(failed) / 60).collect();
        assert_eq!(minutes, [60, 15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        assert_eq!(pause_secs(u32::MAX), DAY);
        assert_eq!(pause_secs(FAILED_MAX + 1), DAY);
    }

    #[test]
    fn nothing_is_ordered_in_a_loop() {
        let wanted = names(&["a.example"]);
        let mut now = situation(&wanted, None);
        now.attempts = Attempts { failed: 2, last: Some(10_000) };
        assert_eq!(next(&now), 10_000 + 30 * 60);
        now.attempts = Attempts { failed: 0, last: Some(10_000) };
        assert_eq!(next(&now), 10_000 + 3600);
        // A certificate that was born old is not ordered again at once.
        let old = facts(&["a.example"], 1);
        assert_eq!(next(&Situation { certificate: Some(&old), ..now }), 10_000 + 3600);
    }

    #[test]
    fn a_certificate_that_ends_soon_does_not_wait_for_a_day() {
        let wanted = names(&["a.example"]);
        let held = facts(&["a.example"], 6 * DAY);
        let end = held.not_after;
        let pause = |left: i64| {
            let attempts = Attempts { failed: 20, last: Some(end - left) };
            next(&Situation { attempts, ..situation(&wanted, Some(&held)) }) - (end - left)
        };
        assert_eq!(pause(DAY), 6 * 3600);
        assert_eq!(pause(3600), 4 * 3600);
        assert_eq!(pause(-DAY), 4 * 3600);
        let long = facts(&["a.example"], 90 * DAY);
        let attempts = Attempts { failed: 20, last: Some(1000 + 60 * DAY) };
        let at = next(&Situation { attempts, ..situation(&wanted, Some(&long)) });
        assert_eq!(at, 1000 + 61 * DAY);
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_hold_up_the_next_attempt() {
        let ahead = Attempts { failed: 1, last: Some(10_000) };
        assert_eq!(settled(ahead, 400), Attempts { failed: 1, last: Some(400) });
        assert_eq!(settled(ahead, 10_001), ahead);
        assert_eq!(settled(Attempts::default(), 5), Attempts::default());
    }
}
