//! When to try again, when to warn, when to give up. RFC 5321 §4.5.4.1

/// The times of the queue, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After the first attempt: short, for servers that greet a stranger with "come again"
    /// (RFC 6647 §2).
    pub first_secs: i64,
    /// After the second; doubled after each further attempt. RFC 5321 §4.5.4.1 wants 30 minutes.
    pub base_secs: i64,
    /// The longest time between two attempts.
    pub longest_secs: i64,
    /// After so long a wait the sender is told that his mail is late.
    pub warn_secs: i64,
    /// After so long a wait it goes back. RFC 5321 §4.5.4.1 wants 4 to 5 days at least.
    pub give_up_secs: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first_secs: 5 * 60,
            base_secs: 30 * 60,
            longest_secs: 4 * 3600,
            warn_secs: 4 * 3600,
            give_up_secs: 5 * 86_400,
        }
    }
}

impl Schedule {
    /// Seconds to wait after the `attempts`-th attempt. `jitter` makes them up to a quarter longer,
    /// so that what failed together does not come back together.
    #[must_use]
    pub fn delay(&self, attempts: u32, jitter: u16) -> i64 {
        let planned = match attempts {
            0 | 1 => self.first_secs,
            more => {
                let doublings = (more - 2).min(DOUBLINGS_MAX);
                self.base_secs.saturating_mul(1 << doublings)
            }
        };
        let planned = planned.clamp(1, self.longest_secs.max(1));
        planned.saturating_add(planned / 4 * i64::from(jitter) / i64::from(u16::MAX))
    }

    /// No attempt is ever planned further ahead than this. What is further ahead was planned by a
    /// clock that has since been set back.
    #[must_use]
    pub fn delay_max(&self) -> i64 {
        let longest = self.longest_secs.max(self.first_secs).max(1);
        longest.saturating_add(longest / 4)
    }
}

/// Doublings of any sensible base are above any sensible maximum by then.
const DOUBLINGS_MAX: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_longest() {
        let schedule = Schedule::default();
        let minutes: Vec<i64> = (1..8).map(|n| schedule.delay(n, 0) / 60).collect();
        assert_eq!(minutes, [5, 30, 60, 120, 240, 240, 240]);
        assert_eq!(schedule.delay(u32::MAX, 0), 4 * 3600);
    }

    #[test]
    fn jitter_adds_up_to_a_quarter_and_nothing_is_planned_beyond_the_maximum() {
        let schedule = Schedule::default();
        for attempts in 0..40 {
            let (least, most) = (schedule.delay(attempts, 0), schedule.delay(attempts, u16::MAX));
            assert!(least < most && most <= least + least / 4, "{attempts}");
            assert!(most <= schedule.delay_max());
        }
    }
}
