//! `sim crash` and `sim replay`.

use std::path::PathBuf;
use std::time::Instant;

use crate::Result;
use crate::arguments::{Arguments, STEPS};
use crate::explore::{Boundaries, Plan, Tally, explore};
use crate::history::{History, Moment};
use crate::image::read_folder;
use crate::record::{self, Fault, Scratch};
use crate::table;

/// Records workloads and crashes each of them at its boundaries.
///
/// # Errors
/// When something did not hold, or could not be run.
pub fn crash(arguments: &Arguments) -> Result<()> {
    let from = arguments.number("--from", 1)?;
    let seeds = arguments.number("--seeds", 1)?;
    let mut all = Tally::default();
    for seed in from..from + seeds {
        let started = Instant::now();
        let scratch = Scratch::new()?;
        let steps = arguments.number("--operations", STEPS)?;
        let session = record::workload(&scratch, seed, steps, &Fault::None)?;
        session.expect_success(&scratch)?;
        let recorded = started.elapsed();
        let plan = plan(arguments, seed)?;
        let tally = explore(&session.recording, &session.history, &plan)?;
        println!(
            "seed {seed}: {} steps recorded in {:.1} s; {} boundaries, {} states, {} recoveries, \
             {} violations, {:.1} s",
            session.history.steps(),
            recorded.as_secs_f64(),
            tally.boundaries,
            tally.states,
            tally.recoveries,
            tally.violations.len(),
            started.elapsed().as_secs_f64(),
        );
        if !tally.violations.is_empty()
            && let Some(keep) = &plan.keep
        {
            scratch.keep(keep, seed)?;
        }
        all.add(tally);
    }
    println!(
        "{seeds} seeds: {} boundaries, {} states, {} recoveries, {} violations",
        all.boundaries,
        all.states,
        all.recoveries,
        all.violations.len()
    );
    for (number, (states, violations)) in &all.by_variant {
        let kind = match number {
            0 => "nothing unsynced arrived".to_owned(),
            1 => "everything written arrived".to_owned(),
            number if number % 2 == 0 => format!("torn and reordered, {number}"),
            number => format!("names, sizes and zeros, {number}"),
        };
        table::line(&format!("power cut: {kind}"), *states, *violations)?;
    }
    if all.violations.is_empty() { Ok(()) } else { Err("something was lost".into()) }
}

fn plan(arguments: &Arguments, seed: u64) -> Result<Plan> {
    let every = usize::try_from(arguments.number("--every", 1)?)?.max(1);
    Ok(Plan {
        seed,
        variants: u32::try_from(arguments.number("--variants", 4)?)?,
        only: None,
        boundaries: Boundaries::Every(every),
        threads: usize::try_from(arguments.number("--threads", 2)?)?,
        forgotten: arguments.text("--forget").map(str::to_owned),
        moment: Moment::new(),
        keep: arguments.text("--keep").map(PathBuf::from),
    })
}

/// Crashes a recording that was kept at one boundary, in one way.
///
/// # Errors
/// When it does not hold.
pub fn replay(arguments: &Arguments) -> Result<()> {
    let seed = arguments.number("--seed", 1)?;
    let keep = arguments.path("--keep")?;
    let root = std::fs::read_to_string(keep.join(format!("{seed}.root")))?;
    let scratch = Scratch::new()?;
    let log = keep.join(format!("{seed}.strace"));
    let before = read_folder(&scratch.root())?;
    let recording = record::read_log(&log, root.as_ref(), before)?;
    let dumps = keep.join(format!("{seed}.dumps"));
    let history = History::read_folder(&dumps, &recording.events)?;
    let boundary = usize::try_from(arguments.number("--boundary", 0)?)?;
    let variant = u32::try_from(arguments.number("--variant", 0)?)?;
    let plan = Plan {
        variants: variant + 1,
        only: Some(variant),
        boundaries: Boundaries::Only(boundary),
        threads: 1,
        ..plan(arguments, seed)?
    };
    for event in recording.events.get(boundary.saturating_sub(6)..=boundary).unwrap_or_default() {
        println!("{:.160}", format!("{event:?}"));
    }
    let tally = explore(&recording, &history, &plan)?;
    if tally.violations.is_empty() { Ok(()) } else { Err("it does not hold".into()) }
}
