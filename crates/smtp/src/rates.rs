//! How much one account may submit: messages and recipients in an hour.
//!
//! Each account has two buckets of tokens that fill steadily, up to what it may do in an hour. So
//! nobody does more than that at once, nor more than that in each hour for long; over one hour it
//! is at most twice as much. What is counted is kept in memory: a restart forgets it, and each node
//! counts what is handed in there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail_types::AccountId;

/// What an account may do in an hour; `None` is as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Messages.
    pub messages_per_hour: Option<u32>,
    /// Recipients, as they are named by the client: a list counts as one.
    pub recipients_per_hour: Option<u32>,
}

/// Counts what accounts submit. One for all listeners.
#[derive(Debug)]
pub struct Rates {
    limits: RateLimits,
    start: Instant,
    accounts: Mutex<HashMap<AccountId, Usage>>,
}

/// What of an hour's worth is left to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    messages: Bucket,
    recipients: Bucket,
}

/// Tokens, each of [`TOKEN`] units: as many milliseconds as an hour has. So a bucket gets as many
/// units in a millisecond as it gets tokens in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    units: u64,
    at: Duration,
}

/// What somebody wants to hand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) messages: u32,
    pub(crate) recipients: u32,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    Messages,
    Recipients,
}

impl Rates {
    /// Nobody has handed in anything yet.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self { limits, start: Instant::now(), accounts: Mutex::default() }
    }

    /// Whether an account could hand in so much now.
    pub(crate) fn check(&self, account: AccountId, wanted: Wanted) -> Result<(), TooMuch> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.start.elapsed();
        usage(&accounts, account, &self.limits, now).take(wanted, &self.limits, now).map(drop)
    }

    /// Counts what an account hands in, all of it or nothing.
    pub(crate) fn take(&self, account: AccountId, wanted: Wanted) -> Result<(), TooMuch> {
        self.take_at(account, wanted, self.start.elapsed())
    }

    fn take_at(&self, account: AccountId, wanted: Wanted, now: Duration) -> Result<(), TooMuch> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = usage(&accounts, account, &self.limits, now).take(wanted, &self.limits, now)?;
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(&account) {
            // Who has done nothing for an hour is as who was never seen.
            accounts.retain(|_, usage| !usage.is_full(&self.limits, now));
            if accounts.len() >= ACCOUNTS_MAX {
                accounts.clear();
            }
        }
        accounts.insert(account, left);
        Ok(())
    }
}

fn usage(
    accounts: &HashMap<AccountId, Usage>,
    account: AccountId,
    limits: &RateLimits,
    now: Duration,
) -> Usage {
    accounts.get(&account).copied().unwrap_or(Usage {
        messages: Bucket::full(limits.messages_per_hour, now),
        recipients: Bucket::full(limits.recipients_per_hour, now),
    })
}

impl Usage {
    /// What is left after so much.
    fn take(self, wanted: Wanted, limits: &RateLimits, now: Duration) -> Result<Self, TooMuch> {
        let messages = self.messages.take(wanted.messages, limits.messages_per_hour, now);
        let recipients = self.recipients.take(wanted.recipients, limits.recipients_per_hour, now);
        Ok(Self {
            messages: messages.ok_or(TooMuch::Messages)?,
            recipients: recipients.ok_or(TooMuch::Recipients)?,
        })
    }

    fn is_full(&self, limits: &RateLimits, now: Duration) -> bool {
        let is_full =
            |bucket: Bucket, per_hour| bucket.filled(per_hour, now).units == room(per_hour);
        is_full(self.messages, limits.messages_per_hour)
            && is_full(self.recipients, limits.recipients_per_hour)
    }
}

impl Bucket {
    fn full(per_hour: Option<u32>, now: Duration) -> Self {
        Self { units: room(per_hour), at: now }
    }

    /// With what has come in since it was last looked at.
    fn filled(self, per_hour: Option<u32>, now: Duration) -> Self {
        let passed = now.saturating_sub(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(u64::from(per_hour.unwrap_or(0)));
        Self { units: self.units.saturating_add(more).min(room(per_hour)), at: now }
    }

    fn take(self, count: u32, per_hour: Option<u32>, now: Duration) -> Option<Self> {
        if per_hour.is_none() {
            return Some(self);
        }
        let filled = self.filled(per_hour, now);
        let units = filled.units.checked_sub(u64::from(count).saturating_mul(TOKEN))?;
        Some(Self { units, ..filled })
    }
}

/// The units of a full bucket.
fn room(per_hour: Option<u32>) -> u64 {
    u64::from(per_hour.unwrap_or(0)).saturating_mul(TOKEN)
}

const TOKEN: u64 = 3_600_000;

/// The most accounts that are counted at a time, some 5 MiB. If more than that submit within an
/// hour, all of them begin anew.
const ACCOUNTS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const ME: AccountId = AccountId(1);

    fn rates(messages: Option<u32>, recipients: Option<u32>) -> Rates {
        let limits = RateLimits { messages_per_hour: messages, recipients_per_hour: recipients };
        Rates::new(limits)
    }

    fn at(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn one(recipients: u32) -> Wanted {
        Wanted { messages: 1, recipients }
    }

    #[test]
    fn an_hours_worth_may_come_at_once_and_then_it_comes_back_steadily() {
        let rates = rates(Some(60), None);
        for _ in 0..60 {
            assert_eq!(rates.take_at(ME, one(100), at(0)), Ok(()));
        }
        assert_eq!(rates.take_at(ME, one(1), at(0)), Err(TooMuch::Messages));
        assert_eq!(rates.take_at(AccountId(2), one(1), at(0)), Ok(()));
        assert_eq!(rates.take_at(ME, one(1), at(1)), Ok(()));
        assert_eq!(rates.take_at(ME, one(1), at(1)), Err(TooMuch::Messages));
        let wanted = Wanted { messages: 59, recipients: 0 };
        assert_eq!(rates.take_at(ME, wanted, at(60)), Ok(()));
        assert_eq!(rates.take_at(ME, wanted, at(60)), Err(TooMuch::Messages));
        // A bucket holds no more than an hour's worth.
        let wanted = Wanted { messages: 61, recipients: 0 };
        assert_eq!(rates.take_at(ME, wanted, at(10_000)), Err(TooMuch::Messages));
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let rates = rates(Some(10), Some(5));
        assert_eq!(rates.take_at(ME, one(6), at(0)), Err(TooMuch::Recipients));
        assert_eq!(rates.take_at(ME, one(5), at(0)), Ok(()));
        for _ in 0..20 {
            assert_eq!(rates.take_at(ME, one(1), at(0)), Err(TooMuch::Recipients));
        }
        let wanted = Wanted { messages: 9, recipients: 0 };
        assert_eq!(rates.take_at(ME, wanted, at(0)), Ok(()));
        assert_eq!(rates.check(ME, one(0)), Err(TooMuch::Messages));
    }

    #[test]
    fn accounts_are_counted_in_bounded_memory() {
        let rates = rates(Some(2), None);
        for id in 0..ACCOUNTS_MAX as u64 + 10 {
            assert_eq!(rates.take_at(AccountId(id), one(1), at(0)), Ok(()));
        }
        assert!(rates.accounts.lock().unwrap().len() <= ACCOUNTS_MAX);
        for id in 0..ACCOUNTS_MAX as u64 + 10 {
            assert_eq!(rates.take_at(AccountId(id + (1 << 40)), one(1), at(60)), Ok(()));
        }
        assert!(rates.accounts.lock().unwrap().len() <= ACCOUNTS_MAX);
    }
}
