//! What the tests of several nodes and of faults share.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod proxy;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use store::{Commit, Expected, Heap, Store, StoreError, Write};
use store_postgres::{Postgres, Settings};
use testkit::postgres::Cluster;

/// An empty schema of its own, as good as a database; `port` may be that of a proxy.
pub fn schema(cluster: &Cluster, port: u16) -> String {
    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    cluster.run_sql(&format!("CREATE SCHEMA {name}")).unwrap();
    url_of(&name, port)
}

pub fn url_of(schema: &str, port: u16) -> String {
    format!("postgresql://mail@127.0.0.1:{port}/postgres?options=-csearch_path%3D{schema}")
}

/// The same place, reached through another port.
pub fn through(url: &str, port: u16) -> String {
    let (before, after) = url.split_once("127.0.0.1:").unwrap();
    let (_, path) = after.split_once('/').unwrap();
    format!("{before}127.0.0.1:{port}/{path}")
}

/// For what must happen, however busy the machine is: it costs nothing while all is well.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Makes a call until it is not refused for a reason that passes. For stores of little patience.
pub fn patiently<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match call() {
            Ok(value) => return value,
            Err(StoreError::Unavailable { .. } | StoreError::Busy) if Instant::now() < deadline => {
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub fn settings(url: &str) -> Settings {
    Settings {
        connections_max: 12,
        patience: DEADLINE / 4,
        garbage_grace: Duration::ZERO,
        orphan_grace: Duration::ZERO,
        ..Settings::new(url)
    }
}

/// As [`settings`], for tests that wait until a call is given up.
pub fn hasty(url: &str) -> Settings {
    let patience = Duration::from_secs(1);
    Settings { patience, outcome_patience: patience, ..settings(url) }
}

pub fn open(url: &str) -> Postgres {
    Postgres::open(settings(url)).unwrap()
}

pub fn open_with_heap(url: &str, heap: Arc<dyn Heap>) -> Postgres {
    Postgres::open(Settings { heap: Some(heap), ..settings(url) }).unwrap()
}

/// Adds a line to the table of faults, if somebody makes one.
pub fn report(fault: &str, cases: usize, violations: usize) {
    use std::io::Write as _;

    println!("{fault}: {cases} cases, {violations} violations");
    let Some(path) = std::env::var_os("PILLARBOX_FAULTS") else { return };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{fault}\t{cases}\t{violations}").unwrap();
}

/// A counter that several clients raise, each raise with a row of its own. Whatever happens, the
/// counter must be the number of the rows.
pub struct Counter<'a> {
    pub store: &'a dyn Store,
    pub client: u32,
}

/// What became of a raise.
#[derive(Debug, PartialEq, Eq)]
pub enum Raise {
    Acknowledged,
    /// The store said that nothing was written.
    Refused(StoreError),
    Unknown(StoreError),
}

impl Counter<'_> {
    pub fn row(client: u32, number: u32) -> Vec<u8> {
        [&b"row"[..], &client.to_be_bytes(), &number.to_be_bytes()].concat()
    }

    /// As [`Counter::raise`], until the store can be reached.
    pub fn raise_patiently(&self, number: u32) -> Raise {
        patiently(|| match self.raise(number) {
            Raise::Refused(error) => Err(error),
            decided => Ok(decided),
        })
    }

    /// Tries until it is decided, or the store cannot be reached.
    pub fn raise(&self, number: u32) -> Raise {
        loop {
            let found = match self.store.view().and_then(|view| view.get(b"count")) {
                Ok(found) => found,
                Err(error) => return Raise::Refused(error),
            };
            let count = found.as_deref().map_or(0, number_of);
            let commit = Commit::new()
                .when(b"count", found.map_or(Expected::Absent, Expected::Value))
                .when(Self::row(self.client, number), Expected::Absent)
                .write(Write::put(b"count", (count + 1).to_be_bytes()))
                .write(Write::put(Self::row(self.client, number), b""));
            match self.store.commit_wait(commit) {
                Ok(_) => return Raise::Acknowledged,
                Err(StoreError::Conflict { condition: 0 }) => {}
                Err(error @ StoreError::OutcomeUnknown { .. }) => return Raise::Unknown(error),
                Err(error) => return Raise::Refused(error),
            }
        }
    }
}

/// What clients have done so far, for whoever disturbs them and wants them to be at work.
#[derive(Default)]
pub struct Work {
    done: Mutex<usize>,
    grew: Condvar,
}

impl Work {
    pub fn done(&self) {
        *self.done.lock().unwrap() += 1;
        self.grew.notify_all();
    }

    /// Until so much more has been done.
    pub fn wait_for(&self, more: usize) {
        let done = self.done.lock().unwrap();
        let enough = *done + more;
        let waited = self.grew.wait_timeout_while(done, DEADLINE, |done| *done < enough).unwrap();
        assert!(!waited.1.timed_out(), "no work is done");
    }
}

pub fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// The counter, and the keys of its rows.
pub fn counted(store: &dyn Store) -> (u64, Vec<Vec<u8>>) {
    patiently(|| {
        let view = store.view()?;
        let count = view.get(b"count")?.as_deref().map_or(0, number_of);
        let mut rows = Vec::new();
        view.scan(&store::KeyRange::prefix(b"row"), &mut |key, _| {
            rows.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        })?;
        Ok((count, rows))
    })
}

/// Bytes that do not compress.
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
