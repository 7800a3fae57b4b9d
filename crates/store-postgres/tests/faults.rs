//! Connections that are cut at every request, and commits whose outcome the caller cannot see.
#![expect(clippy::unwrap_used, reason = "a test gives up by panicking")]

mod common;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::proxy::{Proxy, When, Which};
use common::{
    Counter, DEADLINE, Raise, Work, counted, hasty, noise, open, patiently, report, schema,
    settings, through,
};
use store::mem_heap::{HeapCall, HeapFault, MemHeap};
use store::{BlobId, Commit, Expected, Heap, KeyRange, Store, StoreError, Write};
use store_postgres::{Postgres, Settings};
use testkit::postgres::{Cluster, Durability};

const CUTS: [When; 3] = [When::Before, When::Sent, When::Answered];

fn cluster(options: &[&str]) -> Cluster {
    Cluster::start(Durability::Fast, options).unwrap()
}

#[test]
fn commit_that_was_cut_off_happens_exactly_once_and_is_answered_truthfully() {
    const EACH: u32 = 20;
    let cluster = cluster(&[]);
    let proxy = Proxy::start(cluster.port());
    let (mut cases, mut violations) = (0, 0);
    for when in CUTS {
        let direct = schema(&cluster, cluster.port());
        let store = open(&through(&direct, proxy.port()));
        let counter = Counter { store: &store, client: 1 };
        assert_eq!(counter.raise(u32::MAX), Raise::Acknowledged);
        for number in 0..EACH {
            proxy.cut(Which::Commits, 1, when);
            let raised = counter.raise(number);
            assert!(proxy.has_cut(), "the commit did not pass the proxy");
            let (count, rows) = counted(&store);
            let is_right = raised == Raise::Acknowledged
                && count == u64::from(number) + 2
                && rows.len() as u64 == count;
            if !is_right {
                println!("{when:?} {number}: {raised:?}, count {count}, {} rows", rows.len());
                violations += 1;
            }
            cases += 1;
        }
    }
    report("PostgreSQL connection cut in a commit", cases, violations);
    assert_eq!(violations, 0);
}

/// A backend that is killed while its commit waits for a standby has committed: the harshest place.
#[test]
fn backend_killed_inside_commit_loses_and_doubles_nothing() {
    const CASES: usize = 12;
    let cluster = cluster(&["synchronous_commit=on"]);
    let store = open(&schema(&cluster, cluster.port()));
    let counter = Counter { store: &store, client: 1 };
    assert_eq!(counter.raise(u32::MAX), Raise::Acknowledged);
    // All writers get their sessions, which could not begin without a standby.
    let warm_up = || {
        let (answer, answers) = std::sync::mpsc::channel();
        for number in 0..200_u32 {
            let answer = answer.clone();
            let commit = Commit::new().write(Write::put(number.to_be_bytes(), b""));
            store.commit(commit, Box::new(move |result| answer.send(result).unwrap()));
        }
        drop(answer);
        assert!(answers.iter().all(|answer| answer.is_ok()));
    };
    let (mut cases, mut violations) = (0, 0);
    let standby = |name: &str| {
        let change = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        cluster.run_sql(&change).unwrap();
        cluster.run_sql("SELECT pg_reload_conf()").unwrap();
    };
    for number in 0.. {
        if cases == CASES {
            break;
        }
        warm_up();
        standby("nobody");
        let raised = thread::scope(|scope| {
            let raising = scope.spawn(|| counter.raise(number));
            let deadline = Instant::now() + DEADLINE;
            // Until the commit is in its last wait, and the backend dies there.
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE wait_event = 'SyncRep' AND query LIKE '%FROM pillarbox_slots%'";
            let mut killed = false;
            // The new setting reaches the backends a little later, so one may get through.
            while !killed && !raising.is_finished() {
                assert!(Instant::now() < deadline, "no commit came to its last wait");
                killed = cluster.run_sql(kill).unwrap() != "0";
            }
            cases += usize::from(killed);
            standby("");
            raising.join().unwrap()
        });
        let (count, rows) = counted(&store);
        let is_right = raised == Raise::Acknowledged && count == u64::from(number) + 2;
        if !is_right || rows.len() as u64 != count {
            println!("{number}: {raised:?}, count {count}, {} rows", rows.len());
            violations += 1;
        }
    }
    report("PostgreSQL backend killed inside COMMIT", cases, violations);
    assert_eq!(violations, 0);
}

/// While nobody can find out, the answer says so, and the store goes on afterwards.
#[test]
fn outcome_that_cannot_be_found_out_is_called_unknown_and_the_store_goes_on() {
    let cluster = cluster(&[]);
    let proxy = Arc::new(Proxy::start(cluster.port()));
    let mut violations = 0;
    for (number, when) in (0..).zip(CUTS) {
        let direct = schema(&cluster, cluster.port());
        let store = patiently(|| Postgres::open(hasty(&through(&direct, proxy.port()))));
        let counter = Counter { store: &store, client: 1 };
        assert_eq!(counter.raise_patiently(100), Raise::Acknowledged);
        proxy.cut(Which::Commits, 1, when);
        let watched = Arc::clone(&proxy);
        let parting = thread::spawn(move || {
            let deadline = Instant::now() + DEADLINE;
            while !watched.has_cut() {
                assert!(Instant::now() < deadline, "the commit did not pass the proxy");
                thread::sleep(Duration::from_micros(100));
            }
            watched.part();
        });
        let raised = counter.raise(number);
        parting.join().unwrap();
        let away = store.view().err();
        let put = store.commit_wait(Commit::new().write(Write::put(b"k", b""))).err();
        proxy.join();
        let is_away = |error: &Option<StoreError>| {
            matches!(error, Some(StoreError::Unavailable { .. } | StoreError::Busy))
        };
        let again = counter.raise_patiently(200);
        let (count, rows) = counted(&store);
        let has_first = rows.contains(&Counter::row(1, number));
        // Where the cut came first, the commit may have been tried again before the parting, or
        // have been found not to have happened.
        let is_told = match &raised {
            Raise::Unknown(_) | Raise::Acknowledged => true,
            Raise::Refused(StoreError::Unavailable { .. }) => !has_first,
            Raise::Refused(_) => false,
        };
        let is_whole = rows.len() as u64 == count
            && count == 2 + u64::from(has_first)
            && (raised != Raise::Acknowledged || has_first);
        if !is_told
            || !is_away(&away)
            || !is_away(&put)
            || again != Raise::Acknowledged
            || !is_whole
        {
            println!("{when:?}: {raised:?} {away:?} {put:?} {again:?} {count} {}", rows.len());
            violations += 1;
        }
    }
    report("PostgreSQL out of reach in a commit", CUTS.len(), violations);
    assert_eq!(violations, 0);
}

#[test]
fn node_that_was_cut_off_works_again_by_itself() {
    let cluster = cluster(&[]);
    let proxy = Proxy::start(cluster.port());
    let direct = schema(&cluster, cluster.port());
    let store = patiently(|| Postgres::open(hasty(&through(&direct, proxy.port()))));
    let lease = patiently(|| store.put_blob(b"a", &noise(1, 300_000)));
    let id = lease.id();
    let first = Commit::new().write(Write::put(b"k", b"1")).naming(lease);
    patiently(|| store.commit_wait(first.clone()));
    let open_view = patiently(|| store.view());
    proxy.part();
    let unavailable = |error: Option<StoreError>, call: &str| {
        let is_it = matches!(error, Some(StoreError::Unavailable { .. } | StoreError::Busy));
        assert!(is_it, "{call}: {error:?}");
    };
    unavailable(store.view().err(), "view");
    unavailable(open_view.get(b"k").err(), "get in an open view");
    unavailable(store.open_blob(b"a", &id).err(), "open_blob");
    unavailable(store.list_blobs(None, &mut |_| ControlFlow::Break(())).err(), "list_blobs");
    unavailable(store.put_blob(b"a", &noise(2, 900_000)).err(), "a long put");
    let commit = Commit::new().write(Write::put(b"k", b"2"));
    unavailable(store.commit_wait(commit).err(), "commit");
    proxy.join();
    let commit =
        Commit::new().when(b"k", Expected::Value(b"1".to_vec())).write(Write::put(b"k", b"3"));
    patiently(|| store.commit_wait(commit.clone()));
    patiently(|| store.verify_blob(b"a", &id));
    assert_eq!(patiently(|| store.view()?.get(b"k")), Some(b"3".to_vec()));
}

/// Does a little of everything. A call that fails is made again; whatever was acknowledged must be
/// there at the end, and nothing twice.
struct Scenario<'a> {
    store: &'a dyn Store,
    acknowledged: HashMap<Vec<u8>, BlobId>,
}

impl Scenario<'_> {
    fn run(&mut self) -> Result<(), String> {
        let counter = Counter { store: self.store, client: 1 };
        for (number, size) in (0..).zip([200, 400_000]) {
            let bytes = noise(u64::from(number), size);
            let lease = again("put", || self.store.put_blob(b"a", &bytes))?;
            let (id, row) = (lease.id(), Counter::row(2, number));
            let commit = Commit::new().write(Write::put(row.clone(), *id.as_bytes())).naming(lease);
            again("name", || self.store.commit_wait(commit.clone()))?;
            self.acknowledged.insert(row, id);
            let raised = again("raise", || match counter.raise(number) {
                Raise::Acknowledged => Ok(()),
                Raise::Refused(StoreError::Conflict { .. }) => Err(StoreError::Closed),
                Raise::Refused(error) | Raise::Unknown(error) => Err(error),
            });
            raised?;
        }
        let loose = again("put", || self.store.put_blob(b"a", b"loose"))?;
        let id = loose.id();
        again("record", || self.store.commit_wait(Commit::new().naming(loose.clone())))?;
        drop(loose);
        self.check()?;
        let mut listed = Vec::new();
        again("list", || {
            listed.clear();
            self.store.list_blobs(None, &mut |blob| {
                listed.push((blob.key.id, blob.named_at));
                ControlFlow::Continue(())
            })
        })?;
        listed.retain(|(listed, _)| *listed == id);
        again("delete", || self.store.delete_blobs(b"a", &listed))?;
        again("reclaim", || self.store.reclaim())?;
        if again("size", || self.store.blob_size(b"a", &id))?.is_some() {
            return Err("a deleted blob is there".to_owned());
        }
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        for (row, id) in &self.acknowledged {
            let found = again("get", || self.store.view()?.get(row))?;
            if found.as_deref() != Some(&id.as_bytes()[..]) {
                return Err(format!("a row is lost: {row:?}"));
            }
            again("verify", || self.store.verify_blob(b"a", id))?;
        }
        let mut rows = 0_u64;
        let count = again("count", || {
            rows = 0;
            let view = self.store.view()?;
            view.scan(&KeyRange::prefix(b"row\0\0\0\x01"), &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })?;
            view.get(b"count")
        })?;
        let count = count.as_deref().map_or(0, common::number_of);
        if rows == count { Ok(()) } else { Err(format!("counted {count}, but {rows} rows")) }
    }
}

/// Makes a call until it succeeds. A fault that was planned once happens once, so that is soon.
fn again<T>(what: &str, mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, String> {
    let mut errors = Vec::new();
    while errors.len() < 4 {
        match call() {
            Ok(value) => return Ok(value),
            Err(
                error @ (StoreError::Unavailable { .. }
                | StoreError::OutcomeUnknown { .. }
                | StoreError::Busy),
            ) => errors.push(error),
            Err(error) => return Err(format!("{what}: {error:?}")),
        }
    }
    Err(format!("{what}: {errors:?}"))
}

#[test]
fn every_request_may_be_cut_once_in_every_way() {
    let cluster = cluster(&[]);
    let proxy = Proxy::start(cluster.port());
    let run = |cut: Option<(u64, When)>| -> Result<u64, String> {
        let direct = schema(&cluster, cluster.port());
        let before = proxy.count(Which::All);
        if let Some((nth, when)) = cut {
            proxy.cut(Which::All, nth, when);
        }
        let url = through(&direct, proxy.port());
        let store = again("open", || {
            // Some requests pass while the engine opens; it may say that it could not.
            Postgres::open(Settings { connections_max: 8, ..settings(&url) })
        })?;
        let mut scenario = Scenario { store: &store, acknowledged: HashMap::new() };
        scenario.run()?;
        store.close().map_err(|error| error.to_string())?;
        Ok(proxy.count(Which::All) - before)
    };
    let requests = run(None).unwrap();
    let (mut cases, mut violations) = (0, 0);
    for nth in 1..=requests {
        for when in CUTS {
            if let Err(what) = run(Some((nth, when))) {
                println!("request {nth} of {requests}, {when:?}: {what}");
                violations += 1;
            }
            cases += 1;
        }
    }
    report("each request to PostgreSQL cut once", cases, violations);
    assert_eq!(violations, 0);
}

#[test]
fn views_beyond_the_pool_wait_and_are_refused_and_others_go_on() {
    let cluster = cluster(&[]);
    let patience = Duration::from_secs(5);
    let url = schema(&cluster, cluster.port());
    let store = Postgres::open(Settings { patience, ..settings(&url) }).unwrap();
    let mut views: Vec<_> = (0..store.views_max()).map(|_| store.view().unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(store.view().err(), Some(StoreError::Busy));
    assert!(begun.elapsed() >= Duration::from_secs(1), "it is refused only after a wait");
    // Commits, puts and blobs have connections of their own.
    let lease = store.put_blob(b"a", &noise(1, 400_000)).unwrap();
    let id = lease.id();
    store.commit_wait(Commit::new().naming(lease)).unwrap();
    store.verify_blob(b"a", &id).unwrap();
    let waiting = thread::scope(|scope| {
        let waiting = scope.spawn(|| store.view().map(|_| ()));
        views.pop();
        waiting.join().unwrap()
    });
    assert_eq!(waiting, Ok(()), "a view that waits gets the connection of one that ends");
    report("PostgreSQL pool exhausted", 1, 0);
}

#[test]
fn body_that_the_heap_did_not_take_is_never_named() {
    let cluster = cluster(&[]);
    let heap = MemHeap::new();
    let contract = Arc::new(heap.clone()) as Arc<dyn Heap>;
    let store = common::open_with_heap(&schema(&cluster, cluster.port()), contract);
    let bytes = noise(7, 300_000);
    let refused = StoreError::write_refused("no");
    for call in [HeapCall::Start, HeapCall::Write, HeapCall::Finish] {
        heap.on(call, 1, HeapFault::Fail(refused.clone()));
        assert_eq!(store.put_blob(b"a", &bytes).err(), Some(refused.clone()), "{call:?}");
    }
    heap.on(HeapCall::Finish, 1, HeapFault::FailAfter(refused.clone()));
    assert_eq!(store.put_blob(b"a", &bytes).err(), Some(refused));
    assert_eq!(heap.keys().len(), 1, "the object is there, and nobody names it");
    store.reclaim().unwrap();
    assert_eq!(heap.keys(), [], "so it is cleaned up");
    let lease = store.put_blob(b"a", &bytes).unwrap();
    let id = lease.id();
    store.commit_wait(Commit::new().naming(lease)).unwrap();
    for fault in [HeapFault::WrongBytes, HeapFault::Truncated, HeapFault::Missing] {
        heap.on(HeapCall::Read, 1, fault.clone());
        let answer = store.read_blob(b"a", &id, 0..100);
        assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{fault:?}: {answer:?}");
    }
    assert!(store.read_blob(b"a", &id, 0..u64::MAX).unwrap() == bytes);
}

/// The same lease may be named again, after its object has come into a row.
#[test]
fn loser_of_a_race_names_the_same_blob_when_it_tries_again() {
    let cluster = cluster(&[]);
    let heap = MemHeap::new();
    let contract = Arc::new(heap.clone()) as Arc<dyn Heap>;
    let store = common::open_with_heap(&schema(&cluster, cluster.port()), contract);
    let lease = store.put_blob(b"a", &noise(9, 300_000)).unwrap();
    let id = lease.id();
    let commit = Commit::new().when(b"head", Expected::Present).naming(lease.clone());
    assert_eq!(store.commit_wait(commit), Err(StoreError::Conflict { condition: 0 }));
    store.commit_wait(Commit::new().naming(lease.clone())).unwrap();
    store.commit_wait(Commit::new().naming(lease)).unwrap();
    store.reclaim().unwrap();
    store.verify_blob(b"a", &id).unwrap();
    assert_eq!(heap.keys().len(), 1);
}

#[test]
fn killed_sessions_under_load_lose_and_double_nothing() {
    const KILLS: usize = 60;
    let cluster = cluster(&[]);
    let url = schema(&cluster, cluster.port());
    let nodes = [open(&url), open(&url)];
    let (is_over, work) = (AtomicBool::new(false), Work::default());
    let mut acknowledged = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..6_u32)
            .map(|client| {
                let store = &nodes[client as usize % 2];
                let (is_over, work) = (&is_over, &work);
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        if (Counter { store, client }).raise(number) == Raise::Acknowledged {
                            acknowledged.push(Counter::row(client, number));
                            work.done();
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        for _ in 0..KILLS {
            work.wait_for(2);
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'pillarbox' AND state = 'active'
                ORDER BY random() LIMIT 2";
            cluster.run_sql(kill).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        acknowledged = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    });
    let (count, rows) = counted(&nodes[0]);
    let lost = acknowledged.iter().filter(|row| rows.binary_search(row).is_err()).count();
    let violations = lost + usize::from(rows.len() as u64 != count);
    println!("{} acknowledged, {} rows, counter {count}", acknowledged.len(), rows.len());
    report("PostgreSQL sessions killed under load", KILLS, violations);
    assert_eq!(violations, 0);
    assert!(acknowledged.len() > KILLS, "there was load");
}
