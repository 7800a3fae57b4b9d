//! How long a commit takes, and what it costs: percentiles, syncs and bytes written, on an empty
//! store and on one that holds the rows of many messages; and how long a store takes to open whose
//! process was killed. It uses nothing but the contract and the counters, so that it can be built
//! beside another version of the engine and both be run in turn.
//!
//! `STORE_BENCH_DIR` is the disk to be measured, `STORE_BENCH_MESSAGES` how many messages the large
//! store holds (default 100,000; 0 leaves it out), `STORE_BENCH_SECS` how long each line takes
//! (default 3). The large store is kept and found again when `STORE_BENCH_KEEP` names its folder.

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to measure")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use store::{Commit, Store, Write};
use store_local::{Local, Options};

fn main() {
    // Bodies that a kept store has not seen yet: equal ones are stored once.
    let since = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_secs());
    NEXT.store(since << 20, Ordering::Relaxed);
    if let Some(folder) = std::env::var_os(VICTIM) {
        return write_until_killed(Path::new(&folder));
    }
    let parent = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let outer = tempfile::tempdir_in(parent).expect("folder");
    println!(
        "store     what          clients  commits/s   p50 us   p90 us   p99 us   max us  syncs  written B"
    );
    let store = Local::open(&outer.path().join("empty"), Options::default()).expect("open");
    measure("empty", &store);
    drop(store);
    let messages = number("STORE_BENCH_MESSAGES", 100_000);
    if messages == 0 {
        return;
    }
    let kept = std::env::var_os("STORE_BENCH_KEEP").map(PathBuf::from);
    let large = kept.unwrap_or_else(|| outer.path().join("large"));
    let is_new = !large.is_dir();
    let store = Local::open(&large, Options::default()).expect("open");
    if is_new {
        fill(&store, messages);
    }
    measure("large", &store);
    drop(store);
    for round in 0..5 {
        kill_and_open(&large, round);
    }
}

fn measure(name: &str, store: &Local) {
    for clients in [1, 8, 64] {
        line(name, "flags", store, clients, &|next| flags(store, next));
    }
    for clients in [1, 8] {
        line(name, "50 KB", store, clients, &|next| deliver(store, next, 50_000));
    }
    for clients in [1, 8] {
        line(name, "4-300 KB", store, clients, &|next| {
            deliver(store, next, 4_000 + (next * 7_919 % 297) as usize * 1_000);
        });
    }
}

/// Runs one kind of operation for a while and prints a line about it.
fn line(name: &str, what: &str, store: &Local, clients: u64, act: &(dyn Fn(u64) + Sync)) {
    let time = Duration::from_secs(number("STORE_BENCH_SECS", 3));
    let (before, written) = (store.counters(), written());
    let start = Instant::now();
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let work = || {
            let mut times = Vec::new();
            while start.elapsed() < time {
                let begun = Instant::now();
                act(NEXT.fetch_add(1, Ordering::Relaxed));
                times.push(begun.elapsed());
            }
            times
        };
        let workers: Vec<_> = (0..clients).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("worker")).collect()
    });
    let elapsed = start.elapsed();
    let after = store.counters();
    times.sort_unstable();
    let count = times.len().max(1);
    let at = |share: f64| {
        let index = (count as f64 * share) as usize;
        times.get(index.min(count - 1)).map_or(0, Duration::as_micros)
    };
    let syncs = (after.syncs() - before.syncs()) as f64 / count as f64;
    let bytes = (self::written() - written) / count as u64;
    println!(
        "{name:8}  {what:12} {clients:8} {:10.0} {:8} {:8} {:8} {:8}  {syncs:5.3} {bytes:10}",
        count as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
    );
}

/// A flag change: the account's head, a log row, two memberships of a mailbox.
fn flags(store: &Local, next: u64) {
    let account = next % ACCOUNTS;
    let commit = Commit::new()
        .write(Write::put(key(account, 0, 0), next.to_be_bytes()))
        .write(Write::put(key(account, 1, next), [7; 60]))
        .write(Write::put(key(account, 2, next * 7 % 1000), [8; 40]))
        .write(Write::put(key(account, 2, next * 13 % 1000), [9; 40]));
    store.commit_wait(commit).expect("commit");
}

/// A delivery: the body, and the rows of a message.
fn deliver(store: &Local, next: u64, bytes: usize) {
    let account = next % ACCOUNTS;
    let mut body = Vec::with_capacity(bytes + 100);
    let mut line = next;
    while body.len() < bytes {
        line = line.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        body.extend_from_slice(format!("{line:016x} the same words in every line\r\n").as_bytes());
    }
    let lease = store.put_blob(&account.to_be_bytes(), &body).expect("put");
    let mut commit = Commit::new()
        .write(Write::put(key(account, 0, 0), next.to_be_bytes()))
        .write(Write::put(key(account, 1, next), [7; 60]))
        .naming(lease);
    commit.writes.extend(rows_of_message(account, next));
    store.commit_wait(commit).expect("commit");
}

fn rows_of_message(account: u64, number: u64) -> [Write; 3] {
    [
        Write::put(key(account, 2, number), [8; 40]),
        Write::put(key(account, 3, number), vec![3; 900]),
        Write::put(key(account, 4, number), [4; 32]),
    ]
}

/// The rows of many messages, without their bodies.
fn fill(store: &Local, messages: u64) {
    let mut commit = Commit::new();
    for number in 0..messages {
        commit.writes.extend(rows_of_message(number % ACCOUNTS, number + (1 << 40)));
        if commit.writes.len() >= 6_000 || number + 1 == messages {
            store.commit_wait(std::mem::take(&mut commit)).expect("commit");
        }
    }
}

/// Lets a process of its own write, kills it, and opens what it left.
fn kill_and_open(folder: &Path, round: u64) {
    let mut victim = Command::new(std::env::current_exe().expect("name of this program"))
        .env(VICTIM, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("victim");
    // Long enough for the log to fill, and different each time.
    thread::sleep(Duration::from_millis(2_000 + round * 370));
    victim.kill().expect("kill");
    victim.wait().expect("wait");
    let begun = Instant::now();
    let store = Local::open(folder, Options::default()).expect("open");
    println!("opened {:?} after the kill of its process", begun.elapsed());
    drop(store);
}

fn write_until_killed(folder: &Path) {
    let store = Local::open(folder, Options::default()).expect("open");
    thread::scope(|scope| {
        for client in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for step in 0.. {
                    let next = NEXT.load(Ordering::Relaxed) + client * (1 << 30) + step;
                    if step % 4 == 0 { deliver(store, next, 20_000) } else { flags(store, next) }
                }
            });
        }
    });
}

fn key(account: u64, kind: u8, number: u64) -> Vec<u8> {
    [&account.to_be_bytes()[4..], &[kind], &number.to_be_bytes()].concat()
}

/// Bytes that this process has sent to the disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

static NEXT: AtomicU64 = AtomicU64::new(0);
const ACCOUNTS: u64 = 200;
const VICTIM: &str = "STORE_BENCH_VICTIM";
