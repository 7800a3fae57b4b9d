//! Calls that fail while the store is in use: once, or from some moment on for ever.
//!
//! strace lets the chosen call of each thread fail without doing it. The workload has to end by
//! itself and may not be told anything that the disk does not hold: each recording is crashed at
//! its end and here and there before, and nothing acknowledged may be missing even of what was
//! synced alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Result;
use crate::arguments::Arguments;
use crate::dice::Dice;
use crate::explore::{Boundaries, Plan, Tally, explore};
use crate::history::Moment;
use crate::record::{self, Fault, Scratch};
use crate::table;

/// A system call and how it fails.
#[derive(Clone, Debug)]
pub struct FailingCall {
    call: &'static str,
    error: &'static str,
    /// Which call of a thread fails, from one.
    when: u64,
    kind: Kind,
}

/// The lines of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Once,
    ForEver,
    FileSize,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Once => "a system call fails once under load",
            Self::ForEver => "a system call fails for ever under load",
            Self::FileSize => "files cannot grow: short writes, then errors",
        }
    }
}

impl FailingCall {
    /// What dice choose; among the first `when_max` calls of a thread.
    pub fn choose(dice: &Dice, when_max: u64) -> Self {
        let (call, errors) = dice.pick(&CALLS).copied().unwrap_or(("fsync", &["EIO"]));
        Self {
            call,
            error: dice.pick(errors).copied().unwrap_or("EIO"),
            // Small numbers more often: most threads make few calls of a kind.
            when: 1 + dice.below(1 + dice.below(when_max)),
            kind: if dice.one_in(2) { Kind::Once } else { Kind::ForEver },
        }
    }

    /// As strace wants it.
    pub fn expression(&self) -> String {
        let Self { call, error, when, kind } = self;
        let plus = if *kind == Kind::ForEver { "+" } else { "" };
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
    let keep = arguments.text("--keep").map(Path::new);
    let next = AtomicU64::new(from);
    let sums = Mutex::new(BTreeMap::<Kind, Sum>::new());
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case >= from + cases {
                    return Ok(());
                }
                let (kind, tally) = one(case, steps, keep)?;
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                let sum = sums.entry(kind).or_default();
                sum.cases += 1;
                sum.tally.add(tally);
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => Err("a worker failed".into()),
        })
    })?;
    let mut violations = 0;
    for (kind, sum) in sums.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let found = sum.tally.violations.len() as u64;
        println!("{}: {} recoveries", kind.name(), sum.tally.recoveries);
        table::line(kind.name(), sum.cases, found)?;
        violations += found;
    }
    if violations == 0 { Ok(()) } else { Err("something did not hold".into()) }
}

#[derive(Default)]
struct Sum {
    cases: u64,
    tally: Tally,
}

fn one(case: u64, steps: u64, keep: Option<&Path>) -> Result<(Kind, Tally)> {
    let dice = Dice::of(&[case, 0xfa]);
    let call = FailingCall::choose(&dice, 90);
    let (kind, fault) = if dice.one_in(5) {
        (Kind::FileSize, Fault::FileSize(70 + dice.below(400)))
    } else {
        (call.kind, Fault::Call(call.expression()))
    };
    let scratch = Scratch::new()?;
    let session = record::workload(&scratch, case, steps, &fault)?;
    let mut tally = Tally::default();
    let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
    if !matches!(session.status.code(), Some(0 | CANNOT_START)) || said.contains("panicked") {
        tally.violations.push(format!("the workload ended with {}", session.status));
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
        eprintln!("VIOLATION case {case}, {fault:?}: {violation}\nit said: {said}");
    }
    if let Some(keep) = keep.filter(|_| !tally.violations.is_empty()) {
        scratch.keep(keep, case)?;
    }
    Ok((kind, tally))
}

/// The dynamic linker's exit code: it was a library that could not be opened.
pub const CANNOT_START: i32 = 127;

/// Besides the end, every so many boundaries are looked at.
const SAMPLED: usize = 83;
