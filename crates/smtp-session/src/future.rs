//! Mail that shall leave later: FUTURERELEASE. RFC 4865
//!
//! ```text
//! ehlo-keyword = "FUTURERELEASE" SP max-interval SP max-date-time
//! hold-param   = "HOLDFOR=" interval / "HOLDUNTIL=" date-time
//! interval     = %x31-39 *8DIGIT               ; seconds
//! date-time    = as RFC 3339 §5.6 has it       ; erratum 2040
//! ```

use mail_types::InternalDate;

use crate::Reply;

/// How far ahead mail can be handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureRelease {
    /// In seconds, at most 999,999,999.
    pub secs_max: u32,
}

/// When a message shall leave, and how that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Seconds since 1970.
    pub at: i64,
    /// As the client put it.
    pub request: ReleaseRequest,
}

/// How the client said when its message shall leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseRequest {
    /// HOLDFOR: after so many seconds.
    For(u32),
    /// HOLDUNTIL: at this moment, in seconds since 1970.
    Until(i64),
}

impl FutureRelease {
    /// The line of the reply to EHLO.
    pub(crate) fn announcement(self, now: i64) -> String {
        let until = InternalDate::rfc3339(now.saturating_add(i64::from(self.secs_max)));
        format!("FUTURERELEASE {} {until}", self.secs_max)
    }

    /// What the parameters of MAIL ask for; `hold_until` is the moment in them, if there is one. A
    /// moment that is past is refused: mail that went out at once because somebody mistook the year
    /// could not be called back.
    pub(crate) fn release(
        self,
        hold_until: u64,
        parameters: &str,
        now: i64,
    ) -> Result<Option<Release>, Reply> {
        let words = || parameters.split_ascii_whitespace();
        let mut intervals = words().filter_map(|word| value(word, "HOLDFOR="));
        let mut moments = words().filter_map(|word| value(word, "HOLDUNTIL="));
        let (interval, moment) = (intervals.next(), moments.next());
        if intervals.next().is_some() || moments.next().is_some() {
            return Err(TWICE);
        }
        let request = match (interval, moment) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(TWICE),
            (Some(secs), None) => ReleaseRequest::For(interval_secs(secs).ok_or(NO_INTERVAL)?),
            (None, Some(moment)) if is_day(moment) => {
                ReleaseRequest::Until(i64::try_from(hold_until).map_err(|_| TOO_FAR)?)
            }
            (None, Some(_)) => return Err(NO_DAY),
        };
        let at = match request {
            ReleaseRequest::For(secs) => now.saturating_add(i64::from(secs)),
            ReleaseRequest::Until(at) => at,
        };
        if at < now {
            return Err(PAST);
        }
        if at > now.saturating_add(i64::from(self.secs_max)) {
            return Err(TOO_FAR);
        }
        Ok(Some(Release { at, request }))
    }
}

fn value<'a>(word: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, value) = word.split_at_checked(keyword.len())?;
    start.eq_ignore_ascii_case(keyword).then_some(value)
}

/// `smtp-proto` begins to count again when a number is too long for it; here it is refused.
fn interval_secs(text: &str) -> Option<u32> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_form = is_digits && (1..=9).contains(&text.len()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_form)
}

/// `full-date` of RFC 3339 §5.6. `smtp-proto` takes the 31st of February for a day in March.
fn is_day(moment: &str) -> bool {
    let mut parts = moment.get(..10).unwrap_or_default().split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.parse::<u32>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (Some(year), Some(month), Some(day)) = (number(4), number(2), number(2)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= last
}

const TWICE: Reply = Reply::new(501, "5.5.4", "Ask for one moment");
const NO_INTERVAL: Reply = Reply::new(501, "5.5.4", "HOLDFOR takes seconds, at most 9 digits");
const TOO_FAR: Reply = Reply::new(501, "5.5.4", "That is later than mail is held here");
const NO_DAY: Reply = Reply::new(501, "5.5.4", "There is no such day");
const PAST: Reply = Reply::new(501, "5.5.4", "That moment has passed");

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: FutureRelease = FutureRelease { secs_max: 86_400 };
    const NOW: i64 = 1_795_888_800;

    /// What stands there is read by `smtp-proto`; here its day is looked at.
    const UNTIL: &str = " HOLDUNTIL=2026-11-28T18:00:00Z";

    fn read(parameters: &str, hold_until: i64) -> Result<Option<Release>, Reply> {
        OFFER.release(u64::try_from(hold_until).unwrap(), parameters, NOW)
    }

    #[test]
    fn a_moment_within_the_limit_is_taken_and_remembered_as_it_was_said() {
        assert_eq!(OFFER.announcement(NOW), "FUTURERELEASE 86400 2026-11-29T18:00:00Z");
        assert_eq!(read(" SIZE=1 BODY=7BIT", 0), Ok(None));
        let held = read(" SIZE=1 HoldFor=600", 0).unwrap().unwrap();
        assert_eq!(held, Release { at: NOW + 600, request: ReleaseRequest::For(600) });
        let held = read(" HOLDUNTIL=2026-11-28T18:10:00Z", NOW + 600).unwrap().unwrap();
        assert_eq!(held, Release { at: NOW + 600, request: ReleaseRequest::Until(NOW + 600) });
        assert!(read(" HOLDFOR=86400", 0).is_ok() && read(UNTIL, NOW).is_ok());
    }

    #[test]
    fn what_is_past_too_far_or_said_twice_is_refused() {
        for (parameters, hold_until, refusal) in [
            (" HOLDFOR=86401", 0, TOO_FAR),
            (" HOLDFOR=0", 0, NO_INTERVAL),
            (" HOLDFOR=007", 0, NO_INTERVAL),
            (" HOLDFOR=1000000000", 0, NO_INTERVAL),
            (" HOLDFOR=99999999999999999999999999995", 0, NO_INTERVAL),
            (" HOLDFOR=", 0, NO_INTERVAL),
            (" HOLDFOR=1 HOLDFOR=2", 0, TWICE),
            (" HOLDFOR=1 HOLDUNTIL=x", NOW + 1, TWICE),
            (" HOLDUNTIL=x HOLDUNTIL=y", NOW + 1, TWICE),
            (UNTIL, NOW - 1, PAST),
            (" HOLDUNTIL=1970-01-01T00:00:00Z", 0, PAST),
            (UNTIL, NOW + 86_401, TOO_FAR),
            (UNTIL, i64::MAX, TOO_FAR),
            (" HOLDUNTIL=2026-11-31T18:00:00Z", NOW + 1, NO_DAY),
            (" HOLDUNTIL=2027-02-29T18:00:00Z", NOW + 1, NO_DAY),
            (" HOLDUNTIL=2026-1-28T18:00:00Z", NOW + 1, NO_DAY),
            (" HOLDUNTIL=+026-11-28T18:00:00Z", NOW + 1, NO_DAY),
        ] {
            assert_eq!(read(parameters, hold_until), Err(refusal), "{parameters}");
        }
    }
}
