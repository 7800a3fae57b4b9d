//! Crashes a recording at each of its boundaries, in several ways, and verifies what is left.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Result;
use crate::dice::Dice;
use crate::disk::{Disk, Event};
use crate::events::Recording;
use crate::history::{History, Moment, hear};
use crate::image::{Image, Variant, compose};
use crate::record::{STORE, Scratch};
use crate::verify::{Expected, verify};

/// How to explore.
#[derive(Clone)]
pub struct Plan {
    /// Of the workload, and of everything that is chosen.
    pub seed: u64,
    /// Variants at each boundary.
    pub variants: u32,
    /// Only this variant.
    pub only: Option<u32>,
    /// Boundaries to look at.
    pub boundaries: Boundaries,
    /// Threads that verify.
    pub threads: usize,
    /// Syncs of files whose name contains this are left out, as if the program had forgotten them.
    pub forgotten: Option<String>,
    /// What was acknowledged before the recording began.
    pub moment: Moment,
    /// Where to keep images that do not hold; `None`: nowhere.
    pub keep: Option<PathBuf>,
}

/// Which boundaries.
#[derive(Clone, Copy)]
pub enum Boundaries {
    /// Each `n`th.
    Every(usize),
    /// One.
    Only(usize),
    /// The last `n`.
    Last(usize),
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Boundaries at which the power was cut.
    pub boundaries: u64,
    /// Boundaries times variants.
    pub states: u64,
    /// Different ones of them: these were opened and verified.
    pub recoveries: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// States and violations of each variant.
    pub by_variant: BTreeMap<u32, (u64, u64)>,
}

impl Tally {
    /// Adds what was seen elsewhere.
    pub fn add(&mut self, other: Self) {
        self.boundaries += other.boundaries;
        self.states += other.states;
        self.recoveries += other.recoveries;
        self.violations.extend(other.violations);
        for (number, (states, violations)) in other.by_variant {
            let sum = self.by_variant.entry(number).or_default();
            *sum = (sum.0 + states, sum.1 + violations);
        }
    }
}

/// Explores a recording.
///
/// # Errors
/// When images cannot be written. What does not hold is counted and no error.
pub fn explore(recording: &Recording, history: &History, plan: &Plan) -> Result<Tally> {
    let explorer = Explorer {
        recording,
        history,
        plan,
        seen: Mutex::default(),
        tally: Mutex::default(),
        next: AtomicU64::new(0),
        scratch: Scratch::new()?,
        working: (0..plan.threads.max(1)).map(|_| Mutex::default()).collect(),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| explorer.watch());
        let workers: Vec<_> = (0..plan.threads.max(1))
            .map(|index| {
                let explorer = &explorer;
                scope.spawn(move || explorer.work(index))
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        explorer.is_over.store(true, Ordering::Relaxed);
        results.into_iter().try_for_each(|result| result.unwrap_or(Err("it panicked".into())))
    })?;
    Ok(explorer.tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Explorer<'a> {
    recording: &'a Recording,
    history: &'a History,
    plan: &'a Plan,
    seen: Mutex<HashSet<[u8; 32]>>,
    tally: Mutex<Tally>,
    next: AtomicU64,
    scratch: Scratch,
    /// What each worker is verifying, and since when.
    working: Vec<Mutex<Option<(Instant, String)>>>,
    is_over: AtomicBool,
}

impl Explorer<'_> {
    /// Goes through the whole recording, and cuts the power at its share of the boundaries.
    fn work(&self, index: usize) -> Result<()> {
        let mut disk = self.recording.before.clone();
        let mut moment = self.plan.moment.clone();
        for (boundary, event) in self.recording.events.iter().enumerate() {
            if !self.is_forgotten(event) {
                disk.apply(event);
            }
            if let Event::Said(lines) = event {
                lines.lines().for_each(|line| hear(&mut moment, line));
            }
            if boundary % self.plan.threads.max(1) != index || !self.is_wanted(boundary) {
                continue;
            }
            lock(&self.tally).boundaries += 1;
            for number in 0..self.plan.variants {
                if self.plan.only.is_none_or(|only| only == number) {
                    self.crash(&disk, &moment, boundary, number)?;
                }
            }
            if lock(&self.tally).violations.len() >= VIOLATIONS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Ends the program when a verification hangs, which no thread can end otherwise.
    fn watch(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            for working in &self.working {
                let working = lock(working);
                if let Some((_, what)) = working.as_ref().filter(|w| w.0.elapsed() > HANGING) {
                    eprintln!("VIOLATION seed {} {what}: it hangs", self.plan.seed);
                    std::process::exit(crate::workload::HANGS);
                }
            }
        }
    }

    fn is_wanted(&self, boundary: usize) -> bool {
        match self.plan.boundaries {
            // Not in step with the threads.
            Boundaries::Every(step) => (boundary / self.plan.threads.max(1)).is_multiple_of(step),
            Boundaries::Only(only) => boundary == only,
            Boundaries::Last(count) => boundary + count >= self.recording.events.len(),
        }
    }

    fn is_forgotten(&self, event: &Event) -> bool {
        let (Event::Synced { node, .. }, Some(forgotten)) = (event, &self.plan.forgotten) else {
            return false;
        };
        self.recording.names.get(node).is_some_and(|name| name.contains(forgotten))
    }

    fn crash(&self, disk: &Disk, moment: &Moment, boundary: usize, number: u32) -> Result<()> {
        {
            let mut tally = lock(&self.tally);
            tally.states += 1;
            tally.by_variant.entry(number).or_default().0 += 1;
        }
        let seed = Dice::of(&[self.plan.seed, boundary as u64]).next();
        let image = compose(disk, Variant { number, seed });
        if !lock(&self.seen).insert(key(&image, moment)) {
            return Ok(());
        }
        let folder = self.scratch.path(&self.next.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&folder)?;
        image.write(&folder)?;
        let expected = Expected { history: self.history, moment, seed };
        let working = self.working.get(boundary % self.plan.threads.max(1));
        let what = format!("boundary {boundary} variant {number}");
        working.into_iter().for_each(|w| *lock(w) = Some((Instant::now(), what.clone())));
        let verified = guarded(&folder, expected);
        working.into_iter().for_each(|w| *lock(w) = None);
        std::fs::remove_dir_all(&folder)?;
        let mut tally = lock(&self.tally);
        tally.recoveries += 1;
        if let Err(error) = verified {
            let seed = self.plan.seed;
            let mut text = format!("seed {seed} boundary {boundary} variant {number}: {error}");
            if let Some(keep) = &self.plan.keep {
                let kept = keep.join(format!("{seed}-{boundary}-{number}"));
                // An image of an earlier run gives way.
                let _ = std::fs::remove_dir_all(&kept);
                std::fs::create_dir_all(&kept)?;
                image.write(&kept)?;
                text.push_str(&format!("\nkept in {}", kept.display()));
            }
            eprintln!("VIOLATION {text}");
            tally.violations.push(text);
            tally.by_variant.entry(number).or_default().1 += 1;
        }
        Ok(())
    }
}

/// Verifies; a panic is a violation.
fn guarded(folder: &Path, expected: Expected<'_>) -> Result<()> {
    let store = folder.join(STORE);
    let verified = catch_unwind(AssertUnwindSafe(|| verify(&store, expected)));
    verified.unwrap_or_else(|_| Err("it panicked".into()))
}

fn key(image: &Image, moment: &Moment) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&image.key);
    hasher.update(format!("{moment:?}").as_bytes());
    *hasher.finalize().as_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After so many the reason is known.
const VIOLATIONS_MAX: usize = 20;

/// Far longer than any recovery of a small store takes.
const HANGING: Duration = Duration::from_secs(100);
