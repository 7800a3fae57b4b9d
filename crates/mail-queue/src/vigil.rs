//! How long a claim counts, for the node that has it and for one that would take over.
//!
//! Clocks of nodes differ, and are set. So the time that a claim tells ([`Claim::until`]) only says
//! when it is worth a look: whoever finds it over begins to watch ([`Vigil`]), and counts the node
//! as dead when the claim has not changed for [`SILENCE`] by a time of his own that is never set.
//! Whoever has the claim renews it meanwhile, and each renewal changes it; and before he does what
//! cannot be undone he makes sure that he asked for the last one less than [`SURE`] ago
//! ([`Tenure`]). Nobody can have seen what was not written yet, so nobody else has the entry then,
//! however far apart the clocks are. A node that sleeps for longer than the difference between the
//! two, just between that question and its act, is the one case that is left.

use std::collections::HashMap;
use std::time::Duration;

use crate::entry::Claim;
use crate::id::QueueId;

/// What a node knows of a claim of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The node's uptime when it asked the store for what the store then confirmed.
    asked: Duration,
    until: i64,
}

impl Tenure {
    /// The store has confirmed a claim until then; it was asked at this uptime, or later.
    #[must_use]
    pub fn new(asked: Duration, until: i64) -> Self {
        Self { asked, until }
    }

    /// Whether nobody else can have the entry for the moment. Both clocks are asked, since the one
    /// that is never set may stand still while the machine sleeps.
    #[must_use]
    pub fn is_sure(&self, uptime: Duration, now: i64) -> bool {
        uptime.saturating_sub(self.asked) < SURE && now < self.until
    }
}

/// Claims whose time is over, as one node has seen them.
#[derive(Debug, Default)]
pub struct Vigil {
    watched: HashMap<QueueId, Watched>,
}

#[derive(Debug)]
struct Watched {
    claim: Claim,
    since: Duration,
    last: Duration,
}

impl Vigil {
    /// Whether the node that has this claim counts as dead. To be asked each time that the claim is
    /// seen, with the uptime from before it was read.
    pub fn is_silent(&mut self, id: QueueId, claim: Claim, uptime: Duration) -> bool {
        let is_fresh = |watched: &Watched| uptime.saturating_sub(watched.last) <= GAP;
        if let Some(watched) = self.watched.get_mut(&id)
            && watched.claim == claim
            && is_fresh(watched)
        {
            watched.last = uptime;
            return uptime.saturating_sub(watched.since) >= SILENCE;
        }
        if self.watched.len() >= WATCHED_MAX {
            self.watched.retain(|_, watched| is_fresh(watched));
        }
        if self.watched.len() < WATCHED_MAX || self.watched.contains_key(&id) {
            self.watched.insert(id, Watched { claim, since: uptime, last: uptime });
        }
        false
    }

    /// Its claim has ended.
    pub fn forget(&mut self, id: QueueId) {
        self.watched.remove(&id);
    }
}

/// How long a claim must have been watched without a change.
pub const SILENCE: Duration = Duration::from_secs(30);

/// How long after a claim was asked for its node may rely on it: less than [`SILENCE`] by what may
/// lie between a question and its act, and by how much the speed of two clocks may differ.
pub const SURE: Duration = Duration::from_secs(25);

/// Longest time between two looks at a claim that is watched. If it was longer, perhaps the store
/// could not be reached, and then not by the node that has the claim either: it gets the time to
/// say what it has done meanwhile.
pub const GAP: Duration = Duration::from_secs(20);

/// Claims that one node watches: those of many dead nodes. Others wait for their turn.
pub const WATCHED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim { node: 1, token: 2, until: 1000 };

    fn id(number: u64) -> QueueId {
        QueueId::new(i64::try_from(number).unwrap(), [0; 7])
    }

    /// What is said of a claim that is looked at at these seconds.
    fn looks(seconds: &[u64], claim: impl Fn(u64) -> Claim) -> Vec<bool> {
        let mut vigil = Vigil::default();
        let look = |at: &u64| vigil.is_silent(id(1), claim(*at), Duration::from_secs(*at));
        seconds.iter().map(look).collect()
    }

    #[test]
    fn a_claim_that_does_not_change_while_it_is_watched_is_silent() {
        let seen = looks(&[100, 110, 120, 129, 130, 131], |_| CLAIM);
        assert_eq!(seen, [false, false, false, false, true, true]);
    }

    #[test]
    fn a_renewal_begins_the_watch_anew() {
        let renewed = |at| Claim { until: if at < 125 { 1000 } else { 1020 }, ..CLAIM };
        let seen = looks(&[100, 120, 130, 150, 159, 160], renewed);
        assert_eq!(seen, [false, false, false, false, false, true]);
    }

    #[test]
    fn after_a_time_in_which_nobody_could_look_the_watch_begins_anew() {
        let seen = looks(&[100, 120, 141, 160, 170, 171], |_| CLAIM);
        assert_eq!(seen, [false, false, false, false, false, true]);
    }

    #[test]
    fn as_many_claims_are_watched_as_there_is_room_for_and_then_the_others() {
        let mut vigil = Vigil::default();
        let (start, end) = (Duration::from_secs(100), Duration::from_secs(130));
        let all = 0..WATCHED_MAX as u64 + 1;
        for at in [start, Duration::from_secs(115)] {
            assert!(all.clone().all(|number| !vigil.is_silent(id(number), CLAIM, at)));
        }
        let silent = all.clone().filter(|number| vigil.is_silent(id(*number), CLAIM, end));
        assert_eq!(silent.collect::<Vec<_>>(), (0..WATCHED_MAX as u64).collect::<Vec<_>>());
        vigil.forget(id(0));
        let last = [130, 145, 160]
            .map(|at| vigil.is_silent(id(WATCHED_MAX as u64), CLAIM, Duration::from_secs(at)));
        assert_eq!(last, [false, false, true]);
    }

    #[test]
    fn a_tenure_is_sure_for_less_time_than_others_watch() {
        let tenure = Tenure::new(Duration::from_secs(50), 1000);
        assert!(tenure.is_sure(Duration::from_millis(74_999), 999));
        assert!(!tenure.is_sure(Duration::from_secs(75), 999));
        // The machine has slept.
        assert!(!tenure.is_sure(Duration::from_secs(51), 1000));
    }
}
