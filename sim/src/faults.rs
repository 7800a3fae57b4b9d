//! Calls that fail while the store is in use: once, or from some moment on for ever.
//!
//! strace lets the chosen call of each thread fail without doing it. The workload has to end by
//! itself and may not be told anything that the disk does not hold: each recording is crashed at
//! its end and here and there before, and nothing acknowledged may be missing even of what was
//! synced alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::arguments::Arguments;
use crate::dice::Dice;
use crate::explore::{Boundaries, Plan, Tally, explore};
use crate::history::Moment;
use crate::record::{self, Scratch};
use crate::table;

/// One way to fail.
#[derive(Clone, Debug)]
pub struct Fault {
    call: &'static str,
    error: &'static str,
    /// Which call of a thread fails, from one.
    when: u64,
    lasting: Lasting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Once,
    ForEver,
}

impl Fault {
    /// What dice choose; among the first `when_max` calls of a thread.
    pub fn choose(dice: &Dice, when_max: u64) -> Self {
        let (call, errors) = dice.pick(&CALLS).copied().unwrap_or(("fsync", &["EIO"]));
        Self {
            call,
            error: dice.pick(errors).copied().unwrap_or("EIO"),
            // Small numbers more often: most threads make few calls of a kind.
            when: 1 + dice.below(1 + dice.below(when_max)),
            lasting: if dice.one_in(2) { Lasting::Once } else { Lasting::ForEver },
        }
    }

    /// As strace wants it.
    pub fn expression(&self) -> String {
        let Self { call, error, when, lasting } = self;
        let plus = if *lasting == Lasting::Once { "" } else { "+" };
        format!("{call}:error={error}:when={when}{plus}")
    }
}

/// The calls of the engines, and how each may fail.
const CALLS: [(&str, &[&str]); 11] = [
    ("pwrite64", &["EIO", "ENOSPC"]),
    ("pwrite64", &["ENOSPC", "EDQUOT"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO", "ENOSPC"]),
    ("fallocate", &["EIO", "ENOSPC", "EOPNOTSUPP"]),
    ("openat", &["EIO", "EMFILE", "ENOSPC"]),
    ("unlink", &["EIO"]),
    ("pread64", &["EIO"]),
    ("mkdir", &["EIO", "ENOSPC"]),
];

/// Runs many cases.
///
/// # Errors
/// When something did not hold, or could not be run.
pub fn run(arguments: &Arguments) -> Result<()> {
    let cases = arguments.number("--cases", 200)?;
    let from = arguments.number("--from", 1)?;
    let steps = arguments.number("--operations", 12)?;
    let threads = arguments.number("--threads", 2)?;
    let next = AtomicU64::new(from);
    let sums = Mutex::new([Sum::default(), Sum::default()]);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case >= from + cases {
                    return Ok(());
                }
                let (fault, done) = one(case, steps)?;
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                let [once, ever] = &mut *sums;
                let sum = if fault.lasting == Lasting::Once { once } else { ever };
                sum.cases += 1;
                sum.tally.add(done);
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => Err("a worker failed".into()),
        })
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut violations = 0;
    for (sum, name) in sums.iter().zip(["once", "for ever"]) {
        let found = sum.tally.violations.len() as u64;
        println!("a call that fails {name}: {} recoveries", sum.tally.recoveries);
        table::line(&format!("a system call fails {name} under load"), sum.cases, found)?;
        violations += found;
    }
    if violations == 0 { Ok(()) } else { Err("something did not hold".into()) }
}

#[derive(Default)]
struct Sum {
    cases: u64,
    tally: Tally,
}

fn one(case: u64, steps: u64) -> Result<(Fault, Tally)> {
    let dice = Dice::of(&[case, 0xfa]);
    let fault = Fault::choose(&dice, 90);
    let scratch = Scratch::new()?;
    let session = record::workload(&scratch, case, steps, &[fault.expression()])?;
    let mut tally = Tally::default();
    let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
    if !matches!(session.status.code(), Some(0 | CANNOT_START)) || said.contains("panicked") {
        tally.violations.push(format!("the workload ended with {}: {said}", session.status));
    }
    let plan = Plan {
        seed: case,
        variants: 4,
        only: None,
        boundaries: Boundaries::Last(2),
        threads: 1,
        forgotten: None,
        moment: Moment::new(),
        keep: None,
    };
    tally.add(explore(&session.recording, &session.history, &plan)?);
    let sampled = Plan { boundaries: Boundaries::Every(SAMPLED), ..plan };
    tally.add(explore(&session.recording, &session.history, &sampled)?);
    for violation in &tally.violations {
        eprintln!("VIOLATION case {case}, {}: {violation}\nit said: {said}", fault.expression());
    }
    Ok((fault, tally))
}

/// The dynamic linker's exit code: it was a library that could not be opened.
pub const CANNOT_START: i32 = 127;

/// Besides the end, every so many boundaries are looked at.
const SAMPLED: usize = 83;
