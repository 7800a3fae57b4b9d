//! Builds the fuzz targets and runs each of them for a bounded time.
//!
//! They run without a sanitizer, on the stable compiler: nothing here is `unsafe`, so what they
//! look for are panics, endless loops and outgrown limits, which need none.

use std::fs;

use crate::Result;
use crate::run;
use crate::tools;

/// `[--seconds N] [--jobs N] [TARGET...]`
///
/// # Errors
/// When an argument is not understood, a target does not build, or one finds a fault.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut plan = Plan { seconds: SECONDS, jobs: 1, targets: Vec::new() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => plan.seconds = number(words.next())?,
            "--jobs" => plan.jobs = number(words.next())?,
            other if other.starts_with('-') => return Err(format!("no option {other}").into()),
            target => plan.targets.push(target.to_owned()),
        }
    }
    run_plan(plan)
}

/// What to run, and for how long.
pub struct Plan {
    /// Wall clock for each target.
    pub seconds: u32,
    /// Processes for each target.
    pub jobs: u32,
    /// Names of targets; all when empty.
    pub targets: Vec<String>,
}

/// Runs the targets one after the other.
///
/// # Errors
/// Names the targets that do not build or find a fault; the others have run all the same.
pub fn run_plan(mut plan: Plan) -> Result<()> {
    if plan.targets.is_empty() {
        plan.targets = targets()?;
    }
    tools::cargo_tool("cargo-fuzz", VERSION)?;
    let bin = run::target().join("tools").join("bin");
    let mut path = vec![bin];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path)?;
    let mut found = Vec::new();
    for target in &plan.targets {
        println!("fuzz: {target}, {} s", plan.seconds);
        let mut fuzz = run::command("cargo fuzz run --sanitizer none");
        fuzz.arg("--target-dir").arg(run::target().join("fuzz"));
        fuzz.arg(target);
        // Inputs that were kept from earlier runs and found worth keeping for everybody.
        let seeds = run::root().join("fuzz").join("seeds").join(target);
        if seeds.is_dir() {
            let corpus = run::root().join("fuzz").join("corpus").join(target);
            fs::create_dir_all(&corpus)?;
            fuzz.arg(corpus).arg(seeds);
        }
        fuzz.arg("--").args([
            format!("-max_total_time={}", plan.seconds),
            format!("-timeout={INPUT_SECONDS}"),
            format!("-rss_limit_mb={RSS_MIB}"),
            "-print_final_stats=1".to_owned(),
            "-verbosity=0".to_owned(),
        ]);
        if plan.jobs > 1 {
            fuzz.arg(format!("-fork={}", plan.jobs));
        }
        if let Err(error) = run::run(fuzz.env("PATH", &path)) {
            eprintln!("fuzz: {error}");
            found.push(target.as_str());
        }
    }
    if !found.is_empty() {
        return Err(format!("fuzz targets with a finding: {}", found.join(", ")).into());
    }
    println!("fuzz: {} targets without a finding", plan.targets.len());
    Ok(())
}

/// The names of the files in fuzz/fuzz_targets.
fn targets() -> Result<Vec<String>> {
    let folder = run::root().join("fuzz").join("fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(std::result::Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() { Err("there are no fuzz targets".into()) } else { Ok(names) }
}

/// An option's number.
///
/// # Errors
/// When there is none.
pub fn number(word: Option<&String>) -> Result<u32> {
    let word = word.ok_or("an option lacks its number")?;
    Ok(word.parse().map_err(|_| format!("{word:?} is not a number"))?)
}

/// Long enough to walk the seeds and a few hundred thousand changes of them.
pub const SECONDS: u32 = 20;
const VERSION: &str = "0.13.2";
/// One input that takes longer than this is a finding: everything we parse is linear.
const INPUT_SECONDS: u32 = 10;
/// A target that needs more memory has lost a limit.
const RSS_MIB: u32 = 1024;
