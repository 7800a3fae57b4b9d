//! Several nodes on one database.
#![expect(clippy::unwrap_used, reason = "a test gives up by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use common::{Counter, DEADLINE, Raise, counted, open, open_with_heap, schema, settings};
use store::mem_heap::MemHeap;
use store::{
    BlobId, Commit, Deletion, Expected, Heap, Hint, Hints, KeyRange, Store, StoreError, Write,
};
use store_postgres::{Hinting, Postgres, Settings};
use testkit::postgres::{Cluster, Durability};

fn cluster() -> Cluster {
    Cluster::start(Durability::Fast, &[]).unwrap()
}

#[test]
fn racing_increments_over_three_nodes_lose_none_and_double_none() {
    const CLIENTS: u32 = 9;
    const EACH: u32 = 25;
    let cluster = cluster();
    let url = schema(&cluster, cluster.port());
    let nodes: Vec<Postgres> = (0..3).map(|_| open(&url)).collect();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let store = &nodes[client as usize % nodes.len()];
            scope.spawn(move || {
                for number in 0..EACH {
                    let raised = Counter { store, client }.raise(number);
                    assert_eq!(raised, Raise::Acknowledged);
                }
            });
        }
    });
    let (count, rows) = counted(&nodes[0]);
    assert_eq!((count, rows.len()), (u64::from(CLIENTS * EACH), (CLIENTS * EACH) as usize));
}

/// Two may leave only while the other is there: each reads both rows and writes its own.
#[test]
fn conditions_on_rows_that_are_not_written_hold_across_nodes() {
    const ROUNDS: u32 = 150;
    let cluster = cluster();
    let url = schema(&cluster, cluster.port());
    let nodes = [open(&url), open(&url)];
    let barrier = Barrier::new(2);
    let mut left_alone = 0;
    for round in 0..ROUNDS {
        let key = |who: u8| [&b"here"[..], &round.to_be_bytes(), &[who]].concat();
        let here = Commit::new().write(Write::put(key(0), b"")).write(Write::put(key(1), b""));
        nodes[0].commit_wait(here).unwrap();
        let leave = |who: u8| {
            barrier.wait();
            let other = 1 - who;
            // One waits for a row to be present, the other for one to be absent.
            let commit = Commit::new()
                .when([&b"x"[..], &key(who)].concat(), Expected::Absent)
                .when([&b"x"[..], &key(other)].concat(), Expected::Absent)
                .when(key(other), Expected::Present)
                .write(Write::put([&b"x"[..], &key(who)].concat(), b"gone"));
            nodes[usize::from(who)].commit_wait(commit)
        };
        let answers = thread::scope(|scope| {
            let one = scope.spawn(|| leave(0));
            let two = scope.spawn(|| leave(1));
            [one.join().unwrap(), two.join().unwrap()]
        });
        let left = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(left, 1, "round {round}: {answers:?}");
        left_alone += left;
    }
    assert_eq!(left_alone, ROUNDS as usize);
}

#[test]
fn largest_commit_is_whole_or_nothing() {
    const WRITES: u32 = 500_000;
    let cluster = cluster();
    let store = open(&schema(&cluster, cluster.port()));
    let key = |number: u32| [&b"large"[..], &number.to_be_bytes()].concat();
    let writes = |value: &[u8]| (0..WRITES).map(|n| Write::put(key(n), value)).collect();
    let commit = Commit { writes: writes(&[7; 100]), ..Commit::new() };
    let refused = commit.clone().when(b"head", Expected::Present);
    assert_eq!(store.commit_wait(refused), Err(StoreError::Conflict { condition: 0 }));
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    store.view().unwrap().scan(&KeyRange::prefix(b""), &mut count).unwrap();
    assert_eq!(rows, 0, "a refused commit wrote");
    let begun = Instant::now();
    store.commit_wait(commit.when(b"head", Expected::Absent)).unwrap();
    println!("{WRITES} writes took {:?}", begun.elapsed());
    rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    store.view().unwrap().scan(&KeyRange::prefix(b"large"), &mut count).unwrap();
    assert_eq!(rows, WRITES);
}

#[test]
fn commit_that_names_more_bodies_than_a_statement_carries_records_them_all() {
    const BLOBS: u64 = 900;
    let cluster = cluster();
    let heap = MemHeap::new();
    let url = schema(&cluster, cluster.port());
    let store = open_with_heap(&url, Arc::new(heap.clone()) as Arc<dyn Heap>);
    let mut commit = Commit::new();
    let mut ids = Vec::new();
    for number in 0..BLOBS {
        // Some 9 MiB of short bodies, and a long one now and then.
        let size = if number % 100 == 0 { 20_000 } else { 10_000 };
        let lease = store.put_blob(b"a", &common::noise(number, size)).unwrap();
        ids.push(lease.id());
        commit = commit.naming(lease);
    }
    store.commit_wait(commit.write(Write::put(b"k", b""))).unwrap();
    let other = open_with_heap(&url, Arc::new(heap.clone()) as Arc<dyn Heap>);
    ids.iter().for_each(|id| other.verify_blob(b"a", id).unwrap());
    assert_eq!(heap.keys().len(), 9, "objects that rows name stay when their leases end");
}

/// How long a hint takes is told; where it does not come, the test fails.
fn hint_crosses(hinting: Hinting) {
    let cluster = cluster();
    let url = schema(&cluster, cluster.port());
    let node = || Postgres::open(Settings { hinting, ..settings(&url) }).unwrap();
    let (writer, reader) = (node(), node());
    let hints = Hints::follow(&reader, b"account/head");
    let mut slowest = Duration::ZERO;
    for number in 0..20_u32 {
        // Rows of others must not wake the follower.
        writer.commit_wait(Commit::new().write(Write::put(b"other/head", b""))).unwrap();
        let commit = Commit::new()
            .when(b"account/head", if number == 0 { Expected::Absent } else { Expected::Present })
            .write(Write::put(b"account/log", number.to_be_bytes()))
            .write(Write::put(b"account/head", number.to_be_bytes()));
        writer.commit_wait(commit).unwrap();
        let told = Instant::now();
        assert_eq!(hints.wait(DEADLINE), Hint::Changed, "{hinting:?}");
        slowest = slowest.max(told.elapsed());
        let seen = reader.view().unwrap().get(b"account/head").unwrap();
        assert_eq!(
            seen,
            Some(number.to_be_bytes().to_vec()),
            "a follower sees what it was told of"
        );
    }
    println!("{hinting:?}: the slowest of 20 hints took {slowest:?}");
}

#[test]
fn another_node_hears_of_a_commit_by_notification() {
    hint_crosses(Hinting::Notify);
}

#[test]
fn another_node_hears_of_a_commit_by_polling() {
    hint_crosses(Hinting::Poll);
}

#[test]
fn nodes_that_start_at_one_time_make_the_tables_once() {
    let cluster = cluster();
    for _ in 0..5 {
        let url = schema(&cluster, cluster.port());
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4_u8 {
                let (url, barrier) = (&url, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let store = open(url);
                    store.commit_wait(Commit::new().write(Write::put([number], b""))).unwrap();
                });
            }
        });
        let store = open(&url);
        let found = store.view().unwrap().get_many(&[&[0], &[1], &[2], &[3]]).unwrap();
        assert!(found.iter().all(Option::is_some));
    }
}

#[test]
fn newer_schema_is_refused_and_an_older_one_migrated() {
    let cluster = cluster();
    let url = schema(&cluster, cluster.port());
    let store = open(&url);
    store.commit_wait(Commit::new().write(Write::put(b"kept", b"1"))).unwrap();
    drop(store);
    let name = url.rsplit("%3D").next().unwrap();
    let sql = |sql: &str| cluster.run_sql(&format!("SET search_path = {name}; {sql}")).unwrap();
    sql("UPDATE pillarbox_meta SET version = 99");
    let refused = Postgres::open(settings(&url)).err();
    assert!(
        matches!(&refused, Some(StoreError::Unsupported { found }) if found.contains("99")),
        "{refused:?}"
    );
    // As the version before the newest left it.
    sql("UPDATE pillarbox_meta SET version = 1; DROP TABLE pillarbox_hints");
    let store = open(&url);
    assert_eq!(store.view().unwrap().get(b"kept").unwrap(), Some(b"1".to_vec()));
    assert_eq!(sql("SELECT count(*) FROM pillarbox_hints"), "0");
    drop(store);
    // What says that it is an older version must be one.
    sql("UPDATE pillarbox_meta SET version = 1; DROP TABLE pillarbox_blobs");
    let refused = Postgres::open(settings(&url)).err();
    assert!(matches!(refused, Some(StoreError::Unsupported { .. })), "{refused:?}");
}

/// What another node had recorded may be swept beside the commit, which says so.
fn put_and_name(store: &Postgres, bytes: &[u8], row: &[u8]) {
    loop {
        let lease = store.put_blob(b"a", bytes).unwrap();
        let commit = Commit::new().write(Write::put(row.to_vec(), b"")).naming(lease);
        match store.commit_wait(commit) {
            Err(StoreError::BlobMissing { .. }) => {}
            answer => {
                answer.unwrap();
                return;
            }
        }
    }
}

/// The race of the conformance suite, with the sweeper and the writers on nodes of their own.
#[test]
fn sweep_on_one_node_takes_nothing_that_another_names() {
    const ROUNDS: u64 = 60;
    let cluster = cluster();
    let url = schema(&cluster, cluster.port());
    let heap = MemHeap::new();
    // A node cannot know what another has put and not committed: only age tells. Readers of what
    // is deleted meanwhile are not part of this, so objects of deleted rows go at once.
    let node = || {
        let heap = Some(Arc::new(heap.clone()) as Arc<dyn Heap>);
        let orphan_grace = Duration::from_hours(1);
        Postgres::open(Settings { heap, orphan_grace, ..settings(&url) }).unwrap()
    };
    let (sweeper, writers) = (node(), [node(), node()]);
    let is_over = AtomicBool::new(false);
    let name = |writer: usize, id: &BlobId| [&[writer as u8][..], id.as_bytes()].concat();
    let sweep = || {
        let mut blobs = Vec::new();
        let mut visit = |blob: store::BlobInfo| {
            blobs.push((blob.key.id, blob.named_at));
            std::ops::ControlFlow::Continue(())
        };
        sweeper.list_blobs(None, &mut visit).unwrap();
        let view = sweeper.view().unwrap();
        blobs.retain(|(id, _)| (0..2).all(|w| view.get(&name(w, id)).unwrap().is_none()));
        drop(view);
        let deleted = sweeper.delete_blobs(b"a", &blobs).unwrap();
        sweeper.reclaim().unwrap();
        deleted.iter().filter(|answer| **answer == Deletion::Deleted).count()
    };
    let swept = AtomicUsize::new(0);
    thread::scope(|scope| {
        let ends: Vec<_> = (0..2)
            .map(|number| {
                let (store, swept, name) = (&writers[number], &swept, &name);
                scope.spawn(move || {
                    // The sweep has to meet something.
                    let is_met = || swept.load(Ordering::Relaxed) > 0;
                    for round in (0..100 * ROUNDS).take_while(|&it| it < ROUNDS || !is_met()) {
                        // Short and long, and the same on both nodes.
                        let bytes =
                            common::noise(round % 3, [100, 40_000, 300_000][round as usize % 3]);
                        let id = BlobId::of(&bytes);
                        let row = name(number, &id);
                        put_and_name(store, &bytes, &row);
                        store.verify_blob(b"a", &id).unwrap();
                        store.commit_wait(Commit::new().write(Write::delete(row))).unwrap();
                    }
                })
            })
            .collect();
        let sweeping = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                swept.fetch_add(sweep(), Ordering::Relaxed);
            }
        });
        let ends: Vec<_> = ends.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        sweeping.join().unwrap();
        assert!(ends.iter().all(Result::is_ok));
    });
    sweep();
    assert!(swept.into_inner() > 0, "the sweep never met what nobody named");
    drop((sweeper, writers));
    let last = open_with_heap(&url, Arc::new(heap.clone()) as Arc<dyn Heap>);
    last.reclaim().unwrap();
    assert_eq!(heap.keys(), [], "objects that nobody names stay");
}
