//! Durable commits a second on PostgreSQL, as a mail server makes them: the same work as the bench
//! of the engine on one disk, to be compared in one run.
//!
//! `flags`: each client waits for its commit of one condition and four small writes. `appends`:
//! each client puts a body of 50 KB and commits the rows that name it; the body goes into the
//! database, or into a heap in memory (`appends_heap`), which leaves out what an object store would
//! add.
//! `list`: reads of 10,000 small rows, as a mailbox is opened. A private cluster with everything
//! synced is started in the folder for temporary files: set `TMPDIR` to the disk to be measured.

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to measure")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::mem_heap::MemHeap;
use store::{Commit, Expected, Heap, KeyRange, Store, Write};
use store_postgres::{Postgres, Settings};
use testkit::postgres::{Cluster, Durability};

fn flags(criterion: &mut Criterion) {
    let (_cluster, store) = open(None);
    let mut group = criterion.benchmark_group("flags");
    group
        .measurement_time(Duration::from_secs(4))
        .sample_size(10)
        .throughput(Throughput::Elements(1));
    for clients in CLIENTS {
        let heads: Vec<AtomicU64> = (0..clients).map(|_| AtomicU64::new(0)).collect();
        let group_number = clients as u32;
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter_custom(|count| {
                race(clients, count, |client| {
                    change_flags(&store, [group_number, client as u32], &heads[client]);
                })
            });
        });
    }
    group.finish();
}

fn appends(criterion: &mut Criterion) {
    append_to(criterion, "appends", None);
    append_to(criterion, "appends_heap", Some(Arc::new(MemHeap::new())));
}

fn append_to(criterion: &mut Criterion, name: &str, heap: Option<Arc<dyn Heap>>) {
    let (_cluster, store) = open(heap);
    let number = AtomicU64::new(0);
    let mut group = criterion.benchmark_group(name);
    group
        .measurement_time(Duration::from_secs(4))
        .sample_size(10)
        .throughput(Throughput::Elements(1));
    for clients in CLIENTS {
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter_custom(|count| {
                race(clients, count, |client| {
                    append(&store, client, number.fetch_add(1, Ordering::Relaxed));
                })
            });
        });
    }
    group.finish();
}

fn list(criterion: &mut Criterion) {
    const ROWS: u64 = 10_000;
    let (_cluster, store) = open(None);
    let put = |number: u64| Write::put(number.to_be_bytes(), [7; 40]);
    let commit = Commit { writes: (0..ROWS).map(put).collect(), ..Commit::new() };
    store.commit_wait(commit).expect("commit");
    let mut group = criterion.benchmark_group("list");
    group.sample_size(20).throughput(Throughput::Elements(ROWS));
    group.bench_function("view and scan", |bencher| {
        bencher.iter(|| {
            let mut rows = 0;
            let view = store.view().expect("view");
            view.scan(&KeyRange::prefix(b""), &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })
            .expect("scan");
            assert_eq!(rows, ROWS);
        });
    });
    group.finish();
}

/// One client's next flag change: head under a condition, log row, two membership rows.
fn change_flags(store: &Postgres, client: [u32; 2], head: &AtomicU64) {
    let number = head.load(Ordering::Relaxed);
    let key = |kind: u8, n: u64| {
        let [group, client] = client.map(u32::to_be_bytes);
        [&group[..], &client, &[kind], &n.to_be_bytes()].concat()
    };
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
fn append(store: &Postgres, client: usize, number: u64) {
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

fn open(heap: Option<Arc<dyn Heap>>) -> (Cluster, Postgres) {
    let cluster = Cluster::start(Durability::Synced, &[]).expect("cluster");
    let settings = Settings { heap, connections_max: 48, ..Settings::new(cluster.url()) };
    let store = Postgres::open(settings).expect("open");
    (cluster, store)
}

const CLIENTS: [usize; 3] = [1, 8, 64];

const BODY_BYTES: usize = 50_000;

criterion_group!(benches, flags, appends, list);
criterion_main!(benches);
