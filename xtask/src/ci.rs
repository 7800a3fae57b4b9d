//! Every check, in the order in which they are cheapest to fail.
//!
//! A failing step does not stop the later ones: one run tells everything that is wrong.

use std::time::{Duration, Instant};

use crate::Result;
use crate::failures::{self, Failures};
use crate::{corpus, crash, e2e, edges, faults, fuzz, garage, kills, run, tidy, tools};

/// Runs the steps that the arguments choose, all by default.
///
/// # Errors
/// When an argument is not understood, or any step failed.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(plan) = Plan::read(arguments)? else { return Ok(()) };
    let mut done: Vec<Done> = Vec::new();
    faults::begin()?;
    for step in plan.steps {
        println!("\n=== {} ===", step.name);
        let started = Instant::now();
        let mut context = Context {
            fuzz_seconds: plan.fuzz_seconds,
            passed: 0,
            failed: 0,
            failures: Failures::default(),
        };
        let outcome = (step.run)(&mut context);
        if let Err(error) = &outcome {
            eprintln!("{}: {error}", step.name);
        }
        let spent = started.elapsed();
        println!("=== {}: {}, {} ===", step.name, word(outcome.is_ok()), shown(spent));
        let error = outcome.err().map(|error| error.to_string());
        done.push(Done { name: step.name, error, spent, context });
    }
    let violations = faults::table()?;
    summary(&done)?;
    if violations == 0 { Ok(()) } else { Err(format!("{violations} violations").into()) }
}

struct Step {
    name: &'static str,
    run: fn(&mut Context) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "packages", run: |_| tools::packages() },
    Step { name: "fmt", run: |_| cargo("fmt --all --check") },
    Step { name: "tidy", run: |_| tidy::check() },
    Step { name: "edges", run: |_| edges::check() },
    Step { name: "clippy", run: |_| clippy() },
    Step { name: "deny", run: |_| deny() },
    Step { name: "corpus", run: |_| corpus::fetch().map(drop) },
    Step { name: "test", run: test },
    Step { name: "crash", run: |_| crash::share() },
    Step { name: "fuzz", run: fuzz_briefly },
    Step { name: "build", run: |_| e2e::build() },
    Step { name: "e2e", run: |it| e2e::on_engine("local", &[], &mut it.watch()) },
    Step { name: "e2e-postgres", run: |it| e2e::on_engine("postgres", &[], &mut it.watch()) },
    Step { name: "e2e-postgres-s3", run: |it| e2e::on_engine("postgres+s3", &[], &mut it.watch()) },
    Step { name: "kills", run: |it| kills::run(&[], &mut it.watch()) },
    Step { name: "queue-kills", run: |it| kills::queue_share(&mut it.watch()) },
    Step { name: "queue-kills-nodes", run: |it| kills::queue_share_of_nodes(&mut it.watch()) },
];

/// Only with `--garage`: it builds a program for a quarter of an hour.
const GARAGE: Step = Step { name: "garage", run: |_| garage::run() };

/// What a step is told, and what it counts.
struct Context {
    fuzz_seconds: u32,
    passed: u64,
    failed: u64,
    failures: Failures,
}

impl Context {
    /// Looks for failures in what a step prints.
    fn watch(&mut self) -> impl FnMut(&str) {
        |line| self.failures.watch(line)
    }
}

struct Done {
    name: &'static str,
    error: Option<String>,
    spent: Duration,
    context: Context,
}

/// Also compiles the benches, so that they cannot rot.
fn clippy() -> Result<()> {
    cargo("clippy --locked --workspace --all-targets -- -D warnings")
}

/// Licences, banned crates and sources. Advisories need a database from elsewhere; they are not
/// part of what a machine without it can check.
fn deny() -> Result<()> {
    let program = tools::cargo_tool("cargo-deny", DENY_VERSION)?;
    let mut deny = std::process::Command::new(program);
    deny.current_dir(run::root());
    deny.args(["--locked", "--workspace", "check", "licenses", "bans", "sources"]);
    run::run(&mut deny)
}

fn test(context: &mut Context) -> Result<()> {
    let mut tests = run::command("cargo test --locked --workspace --no-fail-fast");
    // Some tests read the corpus when it is there; here it has to be.
    tests.env("PILLARBOX_CORPUS", corpus::fetch()?);
    run::watched(&mut tests, &mut |line| {
        context.failures.watch(line);
        if let Some((passed, failed)) = test_result(line) {
            context.passed += passed;
            context.failed += failed;
        }
    })
}

/// The counts of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |word: &str| {
        let before = counts.split_once(&format!(" {word}"))?.0;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some((count("passed")?, count("failed")?))
}

fn fuzz_briefly(context: &mut Context) -> Result<()> {
    fuzz::run_plan(fuzz::Plan { seconds: context.fuzz_seconds, jobs: 1, targets: Vec::new() })
}

fn cargo(line: &str) -> Result<()> {
    run::run(&mut run::command(&format!("cargo {line}")))
}

struct Plan {
    steps: Vec<&'static Step>,
    fuzz_seconds: u32,
}

impl Plan {
    /// `None` when only the list was wanted.
    fn read(arguments: &[String]) -> Result<Option<Self>> {
        let mut plan = Self { steps: STEPS.iter().collect(), fuzz_seconds: fuzz::SECONDS };
        let mut only = Vec::new();
        let mut with_garage = false;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => {
                    STEPS.iter().for_each(|step| println!("{}", step.name));
                    return Ok(None);
                }
                "--only" => only.push(position(words.next())?),
                "--from" => {
                    let first = position(words.next())?;
                    plan.steps.retain(|step| place(step) >= first);
                }
                "--skip" => {
                    let skipped = position(words.next())?;
                    plan.steps.retain(|step| place(step) != skipped);
                }
                "--garage" => with_garage = true,
                "--fuzz-seconds" => plan.fuzz_seconds = fuzz::number(words.next())?,
                other => return Err(format!("ci has no option {other}").into()),
            }
        }
        if !only.is_empty() {
            plan.steps.retain(|step| only.contains(&place(step)));
        }
        plan.steps.extend(with_garage.then_some(&GARAGE));
        Ok(Some(plan))
    }
}

fn position(name: Option<&String>) -> Result<usize> {
    let name = name.ok_or("an option lacks the name of a step")?;
    let found = STEPS.iter().position(|step| step.name == name);
    Ok(found.ok_or_else(|| format!("no step {name:?}; --list names them"))?)
}

fn place(step: &Step) -> usize {
    STEPS.iter().position(|other| other.name == step.name).unwrap_or(STEPS.len())
}

fn summary(done: &[Done]) -> Result<()> {
    println!("\n=== summary ===");
    for step in done {
        let counts = match (step.context.passed, step.context.failed) {
            (0, 0) => String::new(),
            (passed, failed) => format!("  ({passed} tests passed, {failed} failed)"),
        };
        let (word, spent) = (word(step.error.is_none()), shown(step.spent));
        println!("{:<18} {word:<7} {spent:>9}{counts}", step.name);
    }
    println!("{:<18} {:<7} {:>9}", "all", "", shown(done.iter().map(|step| step.spent).sum()));
    let mut failed = Vec::new();
    for step in done {
        let Some(error) = &step.error else { continue };
        failed.push(step.name);
        println!("{}: {}", step.name, failures::cut(error));
        step.context.failures.lines().iter().for_each(|line| println!("    {line}"));
    }
    println!("{} passed, {} failed", done.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "FAILED" }
}

fn shown(time: Duration) -> String {
    format!("{}:{:04.1}", time.as_secs() / 60, time.as_secs_f64() % 60.0)
}

const DENY_VERSION: &str = "0.20.2";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        Plan::read(&words).unwrap().unwrap().steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn all_steps_run_when_none_is_named() {
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn steps_are_chosen_by_name() {
        assert_eq!(names(&["--only", "tidy", "--only", "edges"]), ["tidy", "edges"]);
        let later = names(&["--from", "build"]);
        assert_eq!(later[..4], ["build", "e2e", "e2e-postgres", "e2e-postgres-s3"]);
        assert_eq!(later[4..], ["kills", "queue-kills", "queue-kills-nodes"]);
        assert!(!names(&["--skip", "fuzz"]).contains(&"fuzz"));
    }

    #[test]
    fn garage_comes_last_and_only_when_asked_for() {
        assert!(!names(&[]).contains(&"garage"));
        assert_eq!(names(&["--only", "tidy", "--garage"]), ["tidy", "garage"]);
    }

    #[test]
    fn an_unknown_step_is_refused() {
        assert!(Plan::read(&["--only".to_owned(), "nothing".to_owned()]).is_err());
        assert!(Plan::read(&["--only".to_owned()]).is_err());
    }

    #[test]
    fn the_counts_of_cargo_test_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured";
        assert_eq!(test_result(line), Some((12, 3)));
        assert_eq!(test_result("running 3 tests"), None);
    }

    #[test]
    fn times_are_shown_in_minutes() {
        assert_eq!(shown(Duration::from_millis(63_250)), "1:03.2");
    }
}
