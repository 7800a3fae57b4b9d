//! Durable commits a second and syncs a message, as one machine's mail server makes them.
//!
//! `flags`: each client waits for its commit of one condition and four small writes, as a flag
//! change makes them. `appends`: each client puts a body of 50 KB and commits the rows that name
//! it. Set `STORE_BENCH_DIR` to the disk to be measured; a folder in memory measures nothing.
//!
//! Criterion's throughput is per second; what the engine counted is printed beside it.

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to measure")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::{Commit, Expected, Store, Write};
use store_local::{Counters, Local, Options};

fn flags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flags");
    group
        .measurement_time(Duration::from_secs(4))
        .sample_size(10)
        .throughput(Throughput::Elements(1));
    for clients in [1, 8, 64] {
        let (_folder, store) = open();
        let heads: Vec<AtomicU64> = (0..clients).map(|_| AtomicU64::new(0)).collect();
        let before = store.counters();
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter_custom(|count| {
                race(clients, count, |client| change_flags(&store, client, &heads[client]))
            });
        });
        report("flags", clients, before, store.counters());
    }
    group.finish();
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("appends");
    group
        .measurement_time(Duration::from_secs(4))
        .sample_size(10)
        .throughput(Throughput::Elements(1));
    for clients in [1, 8] {
        let (_folder, store) = open();
        let next = AtomicU64::new(0);
        let before = store.counters();
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter_custom(|count| {
                race(clients, count, |client| {
                    append(&store, client, next.fetch_add(1, Ordering::Relaxed));
                })
            });
        });
        report("appends", clients, before, store.counters());
    }
    group.finish();
}

/// One client's next flag change: head under a condition, log row, two membership rows.
fn change_flags(store: &Local, client: usize, head: &AtomicU64) {
    let number = head.load(Ordering::Relaxed);
    let key =
        |kind: u8, n: u64| [&(client as u32).to_be_bytes()[..], &[kind], &n.to_be_bytes()].concat();
    let expected = match number {
        0 => Expected::Absent,
        _ => Expected::Value(number.to_be_bytes().to_vec()),
    };
    let commit = Commit::new()
        .when(key(0, 0), expected)
        .write(Write::put(key(0, 0), (number + 1).to_be_bytes()))
        .write(Write::put(key(1, number), [7; 60]))
        .write(Write::put(key(2, number % 1000), [8; 40]))
        .write(Write::put(key(2, number * 7 % 1000), [9; 40]));
    store.commit_wait(commit).expect("commit");
    head.store(number + 1, Ordering::Relaxed);
}

/// One message: its body, and the four rows of its delivery.
fn append(store: &Local, client: usize, number: u64) {
    let scope = (client as u32).to_be_bytes();
    let mut body = Vec::with_capacity(BODY_BYTES + 100);
    let mut line = number;
    while body.len() < BODY_BYTES {
        line = line.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        body.extend_from_slice(format!("{line:016x} the same words in every line\r\n").as_bytes());
    }
    let lease = store.put_blob(&scope, &body).expect("put");
    let key = |kind: u8| [&scope[..], &[kind], &number.to_be_bytes()].concat();
    let commit = Commit::new()
        .write(Write::put(key(0), [1; 200]))
        .write(Write::put(key(1), [2; 60]))
        .write(Write::put(key(2), [3; 900]))
        .write(Write::put(key(3), *lease.id().as_bytes()))
        .naming(lease);
    store.commit_wait(commit).expect("commit");
}

/// Time for `count` operations shared among waiting clients.
fn race(clients: usize, count: u64, act: impl Fn(usize) + Sync) -> Duration {
    let left = AtomicU64::new(count);
    let take =
        || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    let start = Instant::now();
    thread::scope(|scope| {
        for client in 0..clients {
            let (act, take) = (&act, &take);
            scope.spawn(move || {
                while take().is_ok() {
                    act(client);
                }
            });
        }
    });
    start.elapsed()
}

fn open() -> (tempfile::TempDir, Local) {
    let parent = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("folder");
    let store = Local::open(&folder.path().join("data"), Options::default()).expect("open");
    (folder, store)
}

fn report(name: &str, clients: usize, before: Counters, after: Counters) {
    let commits = (after.commits - before.commits).max(1) as f64;
    let per = |after: u64, before: u64| (after - before) as f64 / commits;
    println!(
        "{name}/{clients}: {commits} commits; {:.3} syncs, {:.0} pack bytes, {:.3} groups a commit; {} checkpoints",
        per(after.syncs(), before.syncs()),
        per(after.pack_bytes, before.pack_bytes),
        per(after.groups, before.groups),
        after.checkpoints - before.checkpoints,
    );
}

const BODY_BYTES: usize = 50_000;

criterion_group!(benches, flags, appends);
criterion_main!(benches);
