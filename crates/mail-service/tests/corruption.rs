//! Damage to the files of a store: what is read then is what was written, or an error.
//!
//! A store with several accounts is built and closed; then, case by case, one place in one of its
//! files is damaged, everything is read, and `check` looks at it. Each answer must equal the
//! original one or be an error of its own kind: never other bytes, never "there is no such thing",
//! never a panic, never a wait without end. And when anything cannot be read, `check` says so.
//!
//! `CORRUPTION_CASES` and `CORRUPTION_SEED` choose another run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "corruption/damage.rs"]
mod damage;
#[path = "corruption/picture.rs"]
mod picture;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use damage::{Damage, Dice, Image};
use mail_service::{PasswordCost, Service, ServiceConfig, World, check};
use picture::{Picture, Plan, Reading};
use store::{Store, StoreError};
use store_local::{Local, Options};

#[test]
fn a_damaged_file_gives_an_error_and_never_wrong_mail() {
    let seed = number("CORRUPTION_SEED").unwrap_or_else(any_seed);
    let cases = number("CORRUPTION_CASES").unwrap_or(CASES);
    println!("corruption: CORRUPTION_SEED={seed}, {cases} cases");
    let folder = fast_folder();
    let built = Built::new(folder.path());
    note_panics();
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let work = folder.path().join(format!("work{worker}"));
            let (built, next, tally) = (&built, &next, &tally);
            scope.spawn(move || {
                let mut bench = Bench::new(built, work);
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        break;
                    }
                    let result = bench.case(seed, case);
                    tally.lock().unwrap_or_else(PoisonError::into_inner).add(case, result);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{:.1} ms a case", began.elapsed().as_secs_f64() * 1000.0 / cases.max(1) as f64);
    tally.report();
    note_result(cases, tally.violations.len() as u64);
    assert!(tally.errors > cases / 50, "damage was hardly ever noticed: is it done at all?");
    assert!(tally.violations.is_empty(), "{} violations", tally.violations.len());
}

/// The folders to be damaged, and what is in them.
struct Built {
    images: Vec<Image>,
    plan: Plan,
    original: Picture,
}

impl Built {
    /// One folder as a close left it, one as a kill left it; they hold the same.
    fn new(folder: &Path) -> Self {
        let runtime = runtime();
        let data = folder.join("data");
        let store = Arc::new(Local::open(&data, options()).unwrap());
        let service = runtime.block_on(open(store.clone())).unwrap();
        let plan = runtime.block_on(picture::build(&service));
        let original = runtime.block_on(picture::read(&service, &plan));
        assert!(original.values().all(Result::is_ok), "the store is sound");
        let killed = Image::of(&data);
        runtime.block_on(service.close()).unwrap();
        drop((service, store, runtime));
        let closed = Image::of(&data);
        Self { images: vec![closed, killed], plan, original }
    }
}

/// One folder in which case after case is tried.
struct Bench<'a> {
    built: &'a Built,
    work: PathBuf,
    /// Which image the folder holds, as far as it was not changed.
    holds: Option<usize>,
}

/// What came of a case.
struct Outcome {
    damage: String,
    kind: String,
    errors: u64,
    violations: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(built: &'a Built, work: PathBuf) -> Self {
        Self { built, work, holds: None }
    }

    fn case(&mut self, seed: u64, case: u64) -> Outcome {
        let mut dice = Dice::new(seed, case);
        let which = usize::from(dice.below(3) == 0);
        let image = &self.built.images[which];
        image.restore(&self.work, self.holds == Some(which));
        self.holds = Some(which);
        let damage = Damage::choose(image, &mut dice);
        damage.apply(&self.work);
        let mut outcome = Outcome {
            damage: format!("{} image, {damage}", ["closed", "killed"][which]),
            kind: damage.kind(),
            errors: 0,
            violations: Vec::new(),
        };
        let before = PANICS.load(Ordering::Relaxed);
        let tried = std::panic::catch_unwind(AssertUnwindSafe(|| self.attempt(&mut outcome)));
        if tried.is_err() || PANICS.load(Ordering::Relaxed) != before {
            outcome.violations.push("a panic".to_owned());
        }
        outcome
    }

    fn attempt(&self, outcome: &mut Outcome) {
        let began = Instant::now();
        let found = self.read();
        let unopened = found.is_err();
        match found {
            Ok(found) => compare(&self.built.original, &found, outcome),
            Err(error) => self.typed("open", &error, outcome),
        }
        let checked = self.check();
        let silent = match &checked {
            Ok(findings) => findings.is_empty(),
            Err(_) => false,
        };
        if silent && (unopened || outcome.errors > 0 || !outcome.violations.is_empty()) {
            outcome.violations.push("check is silent".to_owned());
        }
        if began.elapsed() > PATIENCE {
            outcome.violations.push(format!("it took {:?}", began.elapsed()));
        }
    }

    fn typed(&self, what: &str, error: &StoreError, outcome: &mut Outcome) {
        outcome.errors += 1;
        if !matches!(
            error,
            StoreError::Corrupt { .. }
                | StoreError::ReadFailed { .. }
                | StoreError::Unsupported { .. }
                | StoreError::BlobMissing { .. }
        ) {
            outcome.violations.push(format!("{what}: {error:?} says nothing of damage"));
        }
    }

    fn read(&self) -> Result<Picture, StoreError> {
        let store = Arc::new(Local::open(&self.work, options())?);
        let runtime = runtime();
        let picture = runtime.block_on(async {
            let service = match open(store.clone()).await {
                Ok(service) => service,
                Err(mail_service::ServiceError::Store(error)) => return Err(error),
                Err(error) if error.is_damage() => return Err(StoreError::corrupt(error)),
                Err(error) => panic!("{error:?}"),
            };
            let read = picture::read(&service, &self.built.plan);
            let picture = tokio::time::timeout(PATIENCE, read).await.expect("no answer in time");
            let _ = service.close().await;
            Ok(picture)
        });
        runtime.shutdown_timeout(PATIENCE);
        picture
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        let store = Local::open(&self.work, options())?;
        let report = check(&store)?;
        Ok(report.findings.iter().map(ToString::to_string).collect())
    }
}

fn compare(original: &Picture, found: &Picture, outcome: &mut Outcome) {
    for (name, was) in original {
        match (was, found.get(name)) {
            (Ok(was), Some(Ok(is))) if was != is => {
                let shown = picture::difference(was, is);
                outcome.violations.push(format!("{name}: {shown}"));
            }
            (_, Some(Ok(_))) => {}
            (_, Some(Err(Reading::Damaged(_)))) => outcome.errors += 1,
            (_, Some(Err(Reading::Denied(said)))) => {
                outcome.violations.push(format!("{name}: denied: {said}"));
            }
            (_, None) => panic!("{name} was not read"),
        }
    }
}

#[derive(Default)]
struct Tally {
    errors: u64,
    violations: Vec<String>,
    kinds: BTreeMap<String, (u64, u64, u64)>,
}

impl Tally {
    fn add(&mut self, case: u64, outcome: Outcome) {
        let kind = self.kinds.entry(outcome.kind).or_default();
        kind.0 += 1;
        kind.1 += u64::from(outcome.errors > 0);
        kind.2 += u64::from(!outcome.violations.is_empty());
        self.errors += u64::from(outcome.errors > 0);
        if let Some(first) = outcome.violations.first() {
            let count = outcome.violations.len();
            let all = format!("case {case}, {}: {first} ({count} in all)", outcome.damage);
            self.violations.push(all);
        }
    }

    fn report(&self) {
        println!("{:<40} {:>6} {:>8} {:>10}", "damage", "cases", "noticed", "violations");
        for (kind, (cases, noticed, violations)) in &self.kinds {
            println!("{kind:<40} {cases:>6} {noticed:>8} {violations:>10}");
        }
        for violation in self.violations.iter().take(SHOWN_MAX) {
            println!("{violation}");
        }
    }
}

async fn open(store: Arc<dyn Store>) -> Result<Service, mail_service::ServiceError> {
    let passwords = PasswordCost {
        memory_kib: 8,
        iterations: 1,
        parallelism: 1,
        scram_iterations: 4096,
        concurrent_max: 0,
    };
    let config = ServiceConfig { passwords, ..ServiceConfig::default() };
    Service::open(store, config, World::system()).await
}

fn options() -> Options {
    let (cache_bytes, pack_bytes_max) = (1 << 20, 512 * 1024);
    Options { cache_bytes, pack_bytes_max, reserve_bytes: 4096, ..Options::default() }
}

/// In memory where the system has such a place: what is tested is not how fast a disk syncs.
fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Counts panics of all threads: one in a helper thread must not go unnoticed.
fn note_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
}

static PANICS: AtomicU64 = AtomicU64::new(0);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

fn any_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as u64
}

/// A line of the table of faults, for whoever collects it.
fn note_result(cases: u64, violations: u64) {
    let Some(path) = std::env::var_os("PILLARBOX_FAULTS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "a damaged place in a file of the store\t{cases}\t{violations}").unwrap();
}

const CASES: u64 = 2000;
const WORKERS: usize = 2;
/// For everything in one case: hundreds of times what it takes.
const PATIENCE: Duration = Duration::from_secs(30);
const SHOWN_MAX: usize = 40;
