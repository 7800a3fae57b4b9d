//! Random histories of one entry against a naive model: several nodes that claim, deliver, die and
//! come back late, an operator, a clock that jumps. Nobody is ever forgotten.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use mail_queue::{
    Action, After, Attempt, Claim, Decision, Due, Entry, Event, Handover, Hold, Notify, Origin,
    Progress, Recipient, Refusal, Reply, Schedule, Terms, decide,
};

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// What is known outside of the entry of each recipient.
#[derive(Clone, Default)]
struct Known {
    /// How often another server or a mailbox took the message.
    taken: u32,
    /// How often a node died, or lost its claim, after that and before it could say so.
    unsaid: u32,
    /// How often the sender was told of a failure, a delivery, a delay.
    failures: u32,
    successes: u32,
    delays: u32,
}

/// What a node does with its claim: indices that it has yet to try, and results that it has yet to
/// report.
struct Node {
    token: u64,
    open: Vec<usize>,
    results: Vec<(usize, Attempt)>,
}

struct World {
    dice: Dice,
    now: i64,
    /// What really passed, whatever the clock says.
    entry: Option<Entry>,
    last: Entry,
    known: Vec<Known>,
    nodes: Vec<Node>,
    tokens: u64,
    schedule: Schedule,
    was_dropped: bool,
}

fn reply(class: u16) -> Reply {
    Reply::own([class, 0, 0], "no")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let origin = match dice.below(5) {
            0 => Origin::Stranger,
            1 => Origin::Server,
            2 => Origin::Vouched,
            _ => Origin::Account("dock".into()),
        };
        let sender = (dice.below(4) > 0).then(|| "dock@mail.example".to_owned());
        let notify = |dice: &mut Dice| match dice.below(3) {
            0 => Notify::Unasked,
            1 => Notify::Never,
            _ => Notify::On {
                success: dice.below(2) == 0,
                failure: dice.below(2) == 0,
                delay: dice.below(2) == 0,
            },
        };
        let recipients: Vec<_> = (0..1 + dice.below(4))
            .map(|n| Recipient { notify: notify(&mut dice), ..Recipient::new(format!("r{n}@x")) })
            .collect();
        let now = 1_800_000_000;
        let hold_until = (dice.below(4) == 0).then(|| now + 86_400);
        let known = vec![Known::default(); recipients.len()];
        let entry = Entry::new(Terms::new(sender, origin), recipients, 9, now, hold_until);
        Self {
            dice,
            now,
            last: entry.clone(),
            entry: Some(entry),
            known,
            nodes: Vec::new(),
            tokens: 0,
            schedule: Schedule::default(),
            was_dropped: false,
        }
    }

    /// Applies an event as the store does: all of it or nothing.
    fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        let Some(before) = self.entry.clone() else { return Err(Refusal::NotClaimed) };
        let Decision { after, notice } = decide(&before, event, self.now, &self.schedule)?;
        for told in notice.into_iter().flat_map(|notice| notice.told) {
            assert!(before.terms.told().is_some(), "nobody may be told");
            let notify = before.recipients[told.index].to.notify;
            let known = &mut self.known[told.index];
            match told.action {
                Action::Failed | Action::Expired => {
                    assert!(notify.wants_failure());
                    known.failures += 1;
                }
                Action::Delayed { until } => {
                    assert!(notify.wants_delay() && until > self.now);
                    known.delays += 1;
                }
                Action::Delivered | Action::Relayed | Action::Expanded => {
                    assert!(notify.wants_success());
                    known.successes += 1;
                }
            }
        }
        match after {
            After::Kept(entry) => {
                self.check_step(&before, &entry);
                self.entry = Some(*entry);
            }
            After::Done(entry) => {
                if matches!(event, Event::Cancel { .. }) {
                    let origin = Origin::Account("dock".into());
                    assert!(before.terms.origin == origin && before.claim.is_none());
                    assert!(self.known.iter().all(|known| known.successes + known.failures == 0));
                    self.was_dropped = true;
                }
                self.was_dropped |= *event == Event::Drop;
                assert!(self.was_dropped || !entry.is_open());
                self.last = *entry;
                self.entry = None;
            }
        }
        Ok(())
    }

    fn check_step(&self, before: &Entry, after: &Entry) {
        assert!(after.is_open(), "an entry without open recipients is done");
        assert_eq!(before.recipients.len(), after.recipients.len());
        for (was, is) in before.recipients.iter().zip(&after.recipients) {
            assert!(was.progress.is_open() || was.progress == is.progress, "what ended, ended");
            assert!(is.waited_secs >= was.waited_secs && is.attempts >= was.attempts);
            let grown = is.waited_secs - was.waited_secs;
            assert!(grown <= self.schedule.delay_max() + 3600, "{grown} s at once");
        }
        let is_claimed = after.claim.is_some();
        assert_eq!(is_claimed, after.in_progress().next().is_some(), "a claim is for something");
        match after.due() {
            None => assert_eq!(after.hold, Hold::Operator),
            Some(Due::Release(_)) => assert!(matches!(after.hold, Hold::Until(_))),
            Some(Due::Attempt(at)) => {
                assert!(is_claimed || after.next() == Some(at));
            }
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=4 => self.claim(),
            5..=9 => self.attempt(),
            10..=13 => self.report(),
            14 => self.die(),
            15 => {
                let hours = i64::try_from(self.dice.below(8)).unwrap();
                self.now += hours * 3600;
            }
            16 => self.jump(),
            17 => {
                if let Some(node) = self.nodes.first() {
                    let (token, until) = (node.token, self.now + 600);
                    let _ = self.apply(&Event::Renew { token, until });
                }
            }
            18 => drop(self.apply(&Event::ClockSetBack)),
            _ => {
                let event = match self.dice.below(30) {
                    0 => Event::Drop,
                    1 => Event::Cancel { account: "dock".into() },
                    2 => Event::Cancel { account: "quay".into() },
                    3..=8 => Event::Hold,
                    _ => Event::Retry,
                };
                let _ = self.apply(&event);
            }
        }
    }

    fn claim(&mut self) {
        self.tokens += 1;
        let (token, now) = (self.tokens, self.now);
        let claim = Event::Claim(Claim { node: 1, token, until: now + 600 });
        if let Some(held) = self.entry.as_ref().and_then(|entry| entry.claim) {
            assert_eq!(self.apply(&claim), Err(Refusal::Claimed), "taken from somebody alive");
            if held.until > now {
                return;
            }
            let older = Claim { until: held.until - 1, ..held };
            assert_eq!(self.apply(&Event::Abandon(older)), Err(Refusal::NotClaimed));
            self.apply(&Event::Abandon(held)).unwrap();
        }
        if self.apply(&claim).is_err() {
            return;
        }
        let entry = self.entry.as_ref().unwrap();
        if entry.claim.is_some_and(|claim| claim.token == token) {
            let open = entry.in_progress().map(|(index, _)| index).collect();
            self.nodes.push(Node { token, open, results: Vec::new() });
        }
    }

    fn attempt(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let at = self.dice.index(self.nodes.len());
        let node = &mut self.nodes[at];
        let Some(index) = node.open.pop() else { return };
        let attempt = match self.dice.below(6) {
            0 => {
                self.known[index].taken += 1;
                let to = match self.dice.below(3) {
                    0 => Handover::Mailbox,
                    1 => Handover::Relay,
                    _ => Handover::NotifyingRelay,
                };
                Attempt::Delivered { to, reply: None }
            }
            1 => Attempt::Failed(reply(5)),
            _ => Attempt::Deferred(reply(4)),
        };
        node.results.push((index, attempt));
    }

    fn report(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let at = self.dice.index(self.nodes.len());
        let (token, results) = {
            let node = &mut self.nodes[at];
            (node.token, std::mem::take(&mut node.results))
        };
        let jitter = u16::try_from(self.dice.below(65_536)).unwrap();
        let _ = self.apply(&Event::Report { token, results, jitter });
        if self.nodes[at].open.is_empty() || self.dice.below(4) == 0 {
            self.nodes.remove(at);
            let _ = self.apply(&Event::GiveBack { token });
        }
    }

    /// A node dies with what it has not reported.
    fn die(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let at = self.dice.index(self.nodes.len());
        for (index, attempt) in self.nodes.remove(at).results {
            self.known[index].unsaid += u32::from(matches!(attempt, Attempt::Delivered { .. }));
        }
    }

    fn jump(&mut self) {
        let days = i64::try_from(self.dice.below(800)).unwrap() - 400;
        self.now += days * 86_400;
    }

    /// No further faults: what is left comes to an end.
    fn finish(&mut self) {
        for node in std::mem::take(&mut self.nodes) {
            let (token, results) = (node.token, node.results);
            let _ = self.apply(&Event::Report { token, results, jitter: 0 });
        }
        let mut rounds = 0;
        while let Some(entry) = &self.entry {
            rounds += 1;
            assert!(rounds < 3000, "it never ends: {entry:?}");
            match entry.due() {
                None => self.apply(&Event::Retry).unwrap(),
                Some(Due::Attempt(at) | Due::Release(at)) => {
                    if at > self.now + self.schedule.delay_max() {
                        // Only a clock that went back makes anything wait so long.
                        let _ = self.apply(&Event::ClockSetBack);
                    }
                    self.now = self.now.max(at.min(self.now + 86_400));
                    self.claim();
                }
            }
            for node in std::mem::take(&mut self.nodes) {
                let deferred = |index| (index, Attempt::Deferred(reply(4)));
                let results = node.open.into_iter().map(deferred).collect();
                let _ = self.apply(&Event::Report { token: node.token, results, jitter: 9 });
            }
        }
    }

    fn judge(&self) {
        if self.was_dropped {
            return;
        }
        let may_tell = self.last.terms.told().is_some();
        for (recipient, known) in self.last.recipients.iter().zip(&self.known) {
            let notify = recipient.to.notify;
            assert!(known.delays <= 1 && known.failures + known.successes <= 1);
            match recipient.progress {
                Progress::Delivered => {
                    assert!(known.taken >= 1, "said to be delivered and was not");
                    assert_eq!(known.failures, 0);
                }
                Progress::Failed | Progress::Expired => {
                    let is_told = may_tell && notify.wants_failure();
                    assert_eq!(known.failures, u32::from(is_told), "a failure is told once");
                }
                Progress::Waiting | Progress::InProgress => panic!("forgotten"),
            }
        }
    }
}

#[test]
fn nobody_is_forgotten_whatever_happens_when() {
    let first = 0x71_75_65_75_65;
    let (mut delivered, mut ended) = (0, 0);
    for seed in first..first + 6000 {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..60 {
                world.step();
            }
            world.finish();
            world.judge();
            let count = |is: fn(Progress) -> bool| {
                world.last.recipients.iter().filter(|r| is(r.progress)).count()
            };
            (count(|p| p == Progress::Delivered), count(|p| p == Progress::Expired))
        });
        let Ok((some, more)) = result else { panic!("seed {seed:#x}") };
        delivered += some;
        ended += more;
    }
    assert!(delivered > 1000 && ended > 500, "{delivered} delivered, {ended} expired");
}

#[test]
fn with_nobody_dying_and_no_claim_lost_each_recipient_is_served_at_most_once() {
    for seed in 0..5000 {
        let mut world = World::new(seed);
        for _ in 0..40 {
            // Claims end only by reports: time stands while a node is at it.
            match world.dice.below(4) {
                0 if world.nodes.is_empty() => {
                    world.now += 3600;
                    world.claim();
                }
                0 | 1 => world.attempt(),
                _ => world.report(),
            }
        }
        world.finish();
        world.judge();
        for known in &world.known {
            assert!(known.taken <= 1 && known.unsaid == 0, "seed {seed}: {} times", known.taken);
        }
    }
}
