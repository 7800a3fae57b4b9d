//! The server ends as in a crash, again and again, while several clients of two nodes write.
#![expect(clippy::unwrap_used, reason = "a test gives up by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Counter, Raise, Work, counted, noise, open, report, schema};
use store::{BlobId, Commit, Store, Write};
use testkit::postgres::{Cluster, Durability, Stop};

const CLIENTS: u32 = 6;

/// What a client was told.
#[derive(Default)]
struct Told {
    acknowledged: Vec<Vec<u8>>,
    blobs: Vec<BlobId>,
    unknown: usize,
    refused: usize,
}

fn client(store: &dyn Store, client: u32, is_over: &AtomicBool, work: &Work) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        match (Counter { store, client }).raise(number) {
            Raise::Acknowledged => {
                told.acknowledged.push(Counter::row(client, number));
                work.done();
            }
            Raise::Refused(_) => told.refused += 1,
            Raise::Unknown(_) => told.unknown += 1,
        }
        let size = if number % 4 == 0 { 300_000 } else { 700 };
        let bytes = noise(u64::from(client) << 32 | u64::from(number), size);
        let Ok(lease) = store.put_blob(b"a", &bytes) else { continue };
        let id = lease.id();
        let commit = Commit::new().write(Write::put(*id.as_bytes(), b"")).naming(lease);
        if store.commit_wait(commit).is_ok() {
            told.blobs.push(id);
        }
    }
    told
}

#[test]
fn restarts_under_load_lose_and_double_nothing() {
    let restarts: usize =
        std::env::var("PILLARBOX_RESTARTS").map_or(50, |text| text.parse().unwrap());
    let mut cluster = Cluster::start(Durability::Synced, &[]).unwrap();
    let url = schema(&cluster, cluster.port());
    let nodes = [open(&url), open(&url)];
    let (is_over, work) = (AtomicBool::new(false), Work::default());
    let told: Vec<Told> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (store, is_over) = (&nodes[number as usize % 2], &is_over);
                let work = &work;
                scope.spawn(move || client(store, number, is_over, work))
            })
            .collect();
        for _ in 0..restarts {
            // All have something under way again.
            work.wait_for(2 * CLIENTS as usize);
            cluster.restart(Stop::Immediate).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (count, rows) = counted(&nodes[0]);
    let mut violations = usize::from(rows.len() as u64 != count);
    for told in &told {
        let lost = |row: &&Vec<u8>| rows.binary_search(row).is_err();
        violations += told.acknowledged.iter().filter(lost).count();
        let is_damaged = |id: &&BlobId| nodes[1].verify_blob(b"a", id).is_err();
        violations += told.blobs.iter().filter(is_damaged).count();
    }
    let sum = |of: fn(&Told) -> usize| told.iter().map(of).sum::<usize>();
    println!(
        "{restarts} restarts: {} raises acknowledged, {} refused, {} unknown, {} blobs; {} rows",
        sum(|told| told.acknowledged.len()),
        sum(|told| told.refused),
        sum(|told| told.unknown),
        sum(|told| told.blobs.len()),
        rows.len(),
    );
    report("PostgreSQL restarted under load", restarts, violations);
    assert_eq!(violations, 0);
    assert!(sum(|told| told.acknowledged.len()) > restarts, "there was load");
}
