//! Nodes with clocks that differ, run at other speeds and are set, a store that answers late or is
//! away, nodes that die: as long as a node is sure of its claim, nobody else has the entry; and
//! what a dead one had is taken over soon.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use std::time::Duration;

use mail_queue::{
    After, Claim, Entry, Event, GAP, Origin, QueueId, Recipient, SILENCE, Schedule, Tenure, Terms,
    Vigil, decide,
};

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// What a node has asked the store and not heard of yet.
struct Asked {
    /// Of the question: the node's uptime then.
    uptime: Duration,
    event: Event,
    /// When the store decides, and when the node hears of it, in true milliseconds.
    decided_at: i64,
    heard_at: i64,
    /// The end of the claim, if the store agreed.
    until: Option<i64>,
}

struct Node {
    number: u64,
    /// What its wall clock is ahead, in milliseconds, and its speed in thousandths.
    ahead: i64,
    speed: i64,
    vigil: Vigil,
    /// Its claim.
    held: Option<(u64, Tenure)>,
    asked: Option<Asked>,
    next_look: i64,
    next_renewal: i64,
    /// It cannot reach the store until then.
    cut_off_until: i64,
    /// It does nothing at all until then.
    sleeps_until: i64,
}

struct World {
    dice: Dice,
    /// True time in milliseconds.
    now: i64,
    entry: Entry,
    nodes: Vec<Node>,
    tokens: u64,
    /// How often somebody was sure, and how often a claim was taken from a node that lives.
    sure: u64,
    taken_over: u64,
}

const START: i64 = 1_800_000_000;

fn millis(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap())
}

impl Node {
    fn uptime(&self, now: i64) -> Duration {
        millis(now * self.speed / 1000)
    }

    fn wall(&self, now: i64) -> i64 {
        START + (now + self.ahead).div_euclid(1000)
    }
}

impl World {
    fn new(seed: u64, ahead_max: i64) -> Self {
        let mut dice = Dice(seed);
        let terms = Terms::new(None, Origin::Server);
        let entry = Entry::new(terms, vec![Recipient::new("a@x.example")], 9, START - 86_400, None);
        let node = |number| Node {
            number,
            ahead: dice.below(2 * ahead_max + 1) - ahead_max,
            speed: 990 + dice.below(21),
            vigil: Vigil::default(),
            held: None,
            asked: None,
            next_look: 0,
            next_renewal: 0,
            cut_off_until: 0,
            sleeps_until: 0,
        };
        let nodes = (0..3).map(node).collect();
        let (now, tokens, sure, taken_over) = (0, 0, 0, 0);
        Self { dice, now, entry, nodes, tokens, sure, taken_over }
    }

    fn id() -> QueueId {
        QueueId::new(START, [0; 7])
    }

    /// A tenth of a second passes.
    fn step(&mut self) {
        self.now += 100;
        let fault = self.dice.below(3000);
        let (until, ahead) = (self.now + self.dice.below(150_000), self.dice.below(120_000));
        let one = usize::try_from(self.dice.below(3)).unwrap();
        match fault {
            0..=1 => self.nodes.iter_mut().for_each(|node| node.cut_off_until = until),
            2..=3 => self.nodes[one].cut_off_until = until,
            4..=5 => self.nodes[one].sleeps_until = until,
            6..=7 => self.nodes[one].ahead += ahead - 60_000,
            _ => {}
        }
        for at in 0..self.nodes.len() {
            self.drive(at);
        }
        self.judge();
    }

    fn drive(&mut self, at: usize) {
        let now = self.now;
        self.let_decide(at);
        if now < self.nodes[at].sleeps_until {
            return;
        }
        if let Some(asked) = self.nodes[at].asked.take() {
            if asked.heard_at > now {
                self.nodes[at].asked = Some(asked);
            } else {
                self.hear(at, asked);
            }
            return;
        }
        if now < self.nodes[at].cut_off_until {
            return;
        }
        match self.nodes[at].held {
            Some((token, _)) if now >= self.nodes[at].next_renewal => {
                self.nodes[at].next_renewal = now + 20_000;
                let until = self.nodes[at].wall(now) + 30;
                self.ask(at, Event::Renew { token, until });
            }
            None if now >= self.nodes[at].next_look => {
                self.nodes[at].next_look = now + 10_000;
                self.look(at);
            }
            _ => {}
        }
    }

    fn let_decide(&mut self, at: usize) {
        let Some(mut asked) = self.nodes[at].asked.take() else { return };
        if asked.decided_at <= self.now {
            asked.until = self.decide(at, &asked.event);
            asked.decided_at = i64::MAX;
        }
        self.nodes[at].asked = Some(asked);
    }

    /// What `claim_due` does with a row that is due by this node's clock.
    fn look(&mut self, at: usize) {
        let (uptime, wall) = (self.nodes[at].uptime(self.now), self.nodes[at].wall(self.now));
        let event = match self.entry.claim {
            Some(held) if held.until > wall => return,
            Some(held) if self.nodes[at].vigil.is_silent(Self::id(), held, uptime) => {
                Event::Abandon(held)
            }
            Some(_) => return,
            None => {
                self.tokens += 1;
                let node = self.nodes[at].number;
                Event::Claim(Claim { node, token: self.tokens, until: wall + 30 })
            }
        };
        self.ask(at, event);
    }

    fn ask(&mut self, at: usize, event: Event) {
        let decided_at = self.now + self.dice.below(3000);
        let heard_at = decided_at + self.dice.below(3000);
        let uptime = self.nodes[at].uptime(self.now);
        self.nodes[at].asked = Some(Asked { uptime, event, decided_at, heard_at, until: None });
    }

    /// The store decides; the end of the claim if it agrees to one.
    fn decide(&mut self, at: usize, event: &Event) -> Option<i64> {
        let lives = |claim: Claim| {
            self.nodes.iter().any(|node| node.held.is_some_and(|(token, _)| token == claim.token))
        };
        if let Event::Abandon(claim) = event {
            self.taken_over += u64::from(self.entry.claim == Some(*claim) && lives(*claim));
        }
        let wall = self.nodes[at].wall(self.now);
        let decision = decide(&self.entry, event, wall, &Schedule::default()).ok()?;
        let After::Kept(entry) = decision.after else { panic!("it is never done") };
        self.entry = *entry;
        self.entry.claim.map(|claim| claim.until)
    }

    fn hear(&mut self, at: usize, asked: Asked) {
        let next_renewal = self.now + 20_000;
        let node = &mut self.nodes[at];
        let token = match asked.event {
            Event::Claim(claim) => claim.token,
            Event::Renew { token, .. } => token,
            // It may be claimed now.
            _ => return node.next_look = 0,
        };
        node.held = asked.until.map(|until| (token, Tenure::new(asked.uptime, until)));
        node.next_renewal = next_renewal;
    }

    /// Whoever is sure has the entry.
    fn judge(&mut self) {
        for node in &self.nodes {
            let Some((token, tenure)) = node.held else { continue };
            if self.now < node.sleeps_until {
                continue;
            }
            if tenure.is_sure(node.uptime(self.now), node.wall(self.now)) {
                self.sure += 1;
                let held = self.entry.claim;
                assert!(held.is_some_and(|claim| claim.token == token), "{held:?}, not {token}");
            }
        }
    }
}

#[test]
fn nobody_has_what_another_one_is_sure_of_however_clocks_and_store_behave() {
    let (mut sure, mut taken_over) = (0, 0);
    for seed in 0..60 {
        eprintln!("seed {seed}");
        // A minute apart, an hour, not at all.
        let mut world =
            World::new(seed, [60_000, 3_600_000, 0][usize::try_from(seed % 3).unwrap()]);
        for _ in 0..20_000 {
            world.step();
        }
        (sure, taken_over) = (sure + world.sure, taken_over + world.taken_over);
    }
    // Otherwise the test would have shown nothing.
    assert!(sure > 100_000 && taken_over > 10, "{sure} sure, {taken_over} taken over");
}

#[test]
fn what_a_dead_node_had_is_taken_over_in_little_more_than_a_minute() {
    for seed in 0..100 {
        eprintln!("seed {seed}");
        let mut world = World::new(seed, 0);
        let calm = |world: &mut World| {
            world.now += 100;
            (0..world.nodes.len()).for_each(|at| world.drive(at));
        };
        let life = 300 + seed * 5;
        (0..life).for_each(|_| calm(&mut world));
        let holder = world.nodes.iter().position(|node| node.held.is_some()).unwrap();
        world.nodes.remove(holder);
        let died_at = world.now;
        while world.nodes.iter().all(|node| node.held.is_none()) {
            calm(&mut world);
            let took = millis(world.now - died_at);
            assert!(took < Duration::from_secs(30) + SILENCE + GAP, "{took:?}");
        }
    }
}
