//! The crash after the crash: recovery itself is recorded and crashed, and its calls fail.
//!
//! Whatever happens to a recovery, it either fails with an error or succeeds, and the next one that
//! is left in peace finds everything that was acknowledged before the first crash.

use crate::Result;
use crate::arguments::Arguments;
use crate::dice::Dice;
use crate::disk::Event;
use crate::explore::{Boundaries, Plan, Tally, explore};
use crate::faults::{CANNOT_START, FailingCall};
use crate::history::{History, Moment, hear};
use crate::image::{Image, Variant, compose};
use crate::record::{self, Fault, Scratch, Session};
use crate::table;

/// Runs samples of some workloads.
///
/// # Errors
/// When something did not hold, or could not be run.
pub fn run(arguments: &Arguments) -> Result<()> {
    let from = arguments.number("--from", 1)?;
    let seeds = arguments.number("--seeds", 1)?;
    let (mut crashes, mut errors) = (Sum::default(), Sum::default());
    for seed in from..from + seeds {
        let scratch = Scratch::new()?;
        let steps = arguments.number("--operations", 20)?;
        let session = record::workload(&scratch, seed, steps, &Fault::None)?;
        session.expect_success(&scratch)?;
        let samples = arguments.number("--samples", 10)?;
        for sample in 0..samples {
            let dice = Dice::of(&[seed, sample, 0x2d]);
            let (image, moment) = crash(&session, &dice);
            let case = Case { image, moment, history: &session.history, seed, sample };
            crashes.add(case.crash_again(arguments)?);
            for number in 0..arguments.number("--errors", 10)? {
                errors.add(case.fail(number)?);
            }
        }
    }
    println!("crashed recoveries: {} states", crashes.tally.states);
    let violations = crashes.tally.violations.len() + errors.tally.violations.len();
    table::line(
        "power cut during the recovery after a power cut",
        crashes.tally.states,
        crashes.tally.violations.len() as u64,
    )?;
    table::line(
        "a system call fails during recovery",
        errors.cases,
        errors.tally.violations.len() as u64,
    )?;
    if violations == 0 { Ok(()) } else { Err("something did not hold".into()) }
}

#[derive(Default)]
struct Sum {
    cases: u64,
    tally: Tally,
}

impl Sum {
    fn add(&mut self, tally: Tally) {
        self.cases += 1;
        self.tally.add(tally);
    }
}

/// The first crash: somewhere, in some way.
fn crash(session: &Session, dice: &Dice) -> (Image, Moment) {
    let events = &session.recording.events;
    let boundary = dice.below(events.len() as u64);
    let mut disk = session.recording.before.clone();
    let mut moment = Moment::new();
    for (at, event) in (0..=boundary).zip(events) {
        disk.apply(event);
        if let Event::Said(lines) = event {
            lines.lines().for_each(|line| hear(&mut moment, line));
        }
        debug_assert!(at <= boundary);
    }
    let number = u32::try_from(dice.below(4)).unwrap_or(0);
    (compose(&disk, Variant { number, seed: dice.next() }), moment)
}

struct Case<'a> {
    image: Image,
    moment: Moment,
    history: &'a History,
    seed: u64,
    sample: u64,
}

impl Case<'_> {
    /// The power is cut again at every boundary of the recovery.
    fn crash_again(&self, arguments: &Arguments) -> Result<Tally> {
        let scratch = Scratch::new()?;
        self.image.write(&scratch.root())?;
        let (recording, status) = record::recovery(&scratch, &Fault::None)?;
        let every = usize::try_from(arguments.number("--every", 1)?)?.max(1);
        let mut tally = explore(&recording, self.history, &self.plan(Boundaries::Every(every)))?;
        if !status.success() {
            tally.violations.push("the recovery failed".to_owned());
        }
        self.tell(&tally, "crashed again", &scratch);
        Ok(tally)
    }

    /// A call of the recovery fails.
    fn fail(&self, number: u64) -> Result<Tally> {
        let dice = Dice::of(&[self.seed, self.sample, number, 0xe]);
        let call = FailingCall::choose(&dice, 30).expression();
        let scratch = Scratch::new()?;
        self.image.write(&scratch.root())?;
        let (recording, status) = record::recovery(&scratch, &Fault::Call(call.clone()))?;
        let mut tally = explore(&recording, self.history, &self.plan(Boundaries::Last(1)))?;
        let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
        let ended = matches!(status.code(), Some(0 | 1 | CANNOT_START));
        if !ended || said.contains("panicked") {
            tally.violations.push(format!("the recovery ended with {status}"));
        }
        self.tell(&tally, &call, &scratch);
        Ok(tally)
    }

    fn plan(&self, boundaries: Boundaries) -> Plan {
        Plan {
            seed: self.seed ^ self.sample << 32,
            variants: 4,
            only: None,
            boundaries,
            threads: 2,
            forgotten: None,
            moment: self.moment.clone(),
            keep: None,
        }
    }

    fn tell(&self, tally: &Tally, what: &str, scratch: &Scratch) {
        let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
        for violation in &tally.violations {
            let Self { seed, sample, .. } = self;
            eprintln!(
                "VIOLATION seed {seed} sample {sample}, {what}: {violation}\nit said: {said}"
            );
        }
    }
}
