//! PostgreSQL for rows and this heap for bodies: the storage contract, and its promises while the
//! object store fails.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use blob_s3::{Limits, S3Config, S3Heap};
use store::conformance::{self, Engine, Restart};
use store::{BlobId, BlobInfo, BlobKey, Commit, Heap, HeapKey, KeyRange, Store, StoreError, Write};
use store_postgres::{Postgres, Settings};
use testkit::postgres::{Cluster, Durability};
use testkit::s3::Bucket;

use crate::proxy::{Fault, Proxy, Seen};
use crate::support::{Random, config, limits, put, tally};

/// A schema of its own in a cluster, as good as a database.
fn database(cluster: &Cluster) -> (String, String) {
    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    let name = format!("case_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    cluster.run_sql(&format!("CREATE SCHEMA {name}")).unwrap();
    let url = format!("{}?options=-csearch_path%3D{name}", cluster.url());
    (name, url)
}

/// A node: short bodies are few, so that the heap has something to do.
fn node(url: &str, heap: &S3Heap, orphan_grace: Duration) -> Postgres {
    let settings = Settings {
        heap: Some(Arc::new(heap.clone())),
        inline_bytes_max: 256,
        connections_max: 12,
        garbage_grace: Duration::ZERO,
        orphan_grace,
        ..Settings::new(url)
    };
    Postgres::open(settings).unwrap()
}

struct Combined {
    cluster: Arc<Cluster>,
    schema: String,
    url: String,
    heap: S3Heap,
    node: Arc<Postgres>,
    /// Nodes that were killed, as the others see it: they say nothing more. Held, because a node
    /// that is dropped leaves in good order.
    silent: Vec<Arc<Postgres>>,
}

impl Engine for Combined {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.node) as Arc<dyn Store>
    }

    fn restart(&mut self, how: Restart) {
        match how {
            Restart::Closed => self.node.close().unwrap(),
            Restart::Killed => self.silent.push(Arc::clone(&self.node)),
        }
        self.node = Arc::new(node(&self.url, &self.heap, Duration::ZERO));
    }

    fn views_max(&self) -> usize {
        self.node.views_max()
    }

    fn damage_blob(&mut self, key: &BlobKey) {
        let sql = format!(
            "SET search_path = {};
            UPDATE pillarbox_blobs SET body = set_byte(body, length(body) / 2,
                get_byte(body, length(body) / 2) # 16)
                WHERE id = '\\x{id}' AND body IS NOT NULL;
            SELECT object FROM pillarbox_blobs WHERE id = '\\x{id}'",
            self.schema,
            id = key.id
        );
        if let Some(object) = HeapKey::new(self.cluster.run_sql(&sql).unwrap()) {
            let mut bytes = self.heap.read(&object, 0..u64::MAX).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 16;
            put(&self.heap, &object, &bytes).unwrap();
        }
    }
}

#[test]
fn postgresql_with_bodies_in_s3_keeps_the_storage_contract() {
    let bucket = Bucket::open().unwrap();
    let cluster = Arc::new(Cluster::start(Durability::Fast, &[]).unwrap());
    conformance::all(&|| {
        let (schema, url) = database(&cluster);
        let heap = S3Heap::open(&config(&bucket, limits(Duration::from_secs(15)))).unwrap();
        let node = Arc::new(node(&url, &heap, Duration::ZERO));
        let cluster = Arc::clone(&cluster);
        Box::new(Combined { cluster, schema, url, heap, node, silent: Vec::new() })
    });
}

/// A node behind the proxy, and one that sees the object store as it is.
struct Pair {
    proxy: Proxy,
    through: Postgres,
    direct: Postgres,
    _cluster: Cluster,
    _bucket: Bucket,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let bucket = Bucket::open().unwrap();
        let cluster = Cluster::start(Durability::Fast, &[]).unwrap();
        let (_, url) = database(&cluster);
        let proxy = Proxy::start(bucket.address);
        let config = config(&bucket, limits);
        let endpoint = format!("http://{}", proxy.address);
        let behind = S3Heap::open(&S3Config { endpoint, ..config.clone() }).unwrap();
        let patient = S3Config { limits: Limits::default(), ..config };
        let open = |heap: &S3Heap| node(&url, heap, Duration::from_hours(1));
        let through = open(&behind);
        let direct = open(&S3Heap::open(&patient).unwrap());
        Self { proxy, through, direct, _cluster: cluster, _bucket: bucket }
    }
}

fn is_put(seen: &Seen) -> bool {
    seen.method == "PUT"
}

fn is_get(seen: &Seen) -> bool {
    seen.method == "GET"
}

#[test]
fn no_commit_is_acknowledged_whose_put_was_not_confirmed() {
    const CASES: usize = 60;
    let pair = Pair::new(Limits {
        write_budget: Duration::from_millis(1500),
        ..limits(Duration::from_millis(400))
    });
    let mut random = Random::new(21);
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::SilentBefore,
        Fault::SilentAfter,
        Fault::ResetBefore,
        Fault::ResetAfter,
    ];
    let (mut acknowledged, mut violations) = (0, 0);
    for case in 0..CASES {
        let count = 1_000 + random.below(150_000);
        let bytes = random.bytes(count);
        let fault = faults[case % faults.len()];
        // Every other fault lasts longer than anybody waits.
        let times = if (case / faults.len()).is_multiple_of(2) { 1 } else { usize::MAX };
        pair.proxy.plan(is_put, fault, times);
        let row = format!("row-{case:03}").into_bytes();
        let outcome = pair.through.put_blob(b"a", &bytes).and_then(|lease| {
            let write = Write::put(row.clone(), *lease.id().as_bytes());
            pair.through.commit_wait(Commit::new().write(write).naming(lease))
        });
        pair.proxy.heal();
        let named = pair.direct.view().unwrap().get(&row).unwrap();
        match outcome {
            Ok(_) => {
                acknowledged += 1;
                let read = pair.direct.read_blob(b"a", &BlobId::of(&bytes), 0..u64::MAX);
                violations += usize::from(named.is_none() || read.as_ref() != Ok(&bytes));
            }
            // Refused is refused: nothing of it may show up later.
            Err(_) => violations += usize::from(named.is_some()),
        }
    }
    assert!(acknowledged > 0, "no fault passed");
    assert!(acknowledged <= CASES / 2, "a fault without end was acknowledged");
    tally("S3 fails while a commit waits for its PUT", CASES, violations);
}

#[test]
fn bytes_that_do_not_match_their_hash_are_never_served() {
    const CASES: usize = 120;
    let pair = Pair::new(limits(Duration::from_secs(10)));
    let mut random = Random::new(22);
    let mut violations = 0;
    let mut corrupt = 0;
    let (short, long) = (random.bytes(40_000), random.bytes(900_000));
    for bytes in [&short, &long] {
        let lease = pair.direct.put_blob(b"a", bytes).unwrap();
        pair.direct.commit_wait(Commit::new().naming(lease)).unwrap();
    }
    let faults = [Fault::Garble, Fault::Shorten, Fault::Lengthen, Fault::Status(404)];
    for case in 0..CASES {
        let bytes = if case.is_multiple_of(2) { &short } else { &long };
        let fault = faults[random.below(faults.len())];
        pair.proxy.plan(is_get, fault, 1);
        let start = random.below(bytes.len());
        let end = (start + 1 + random.below(200_000)).min(bytes.len());
        let id = BlobId::of(bytes);
        match pair.through.read_blob(b"a", &id, start as u64..end as u64) {
            Ok(read) => violations += usize::from(read != bytes[start..end]),
            Err(StoreError::Corrupt { what }) => {
                corrupt += 1;
                violations += usize::from(!what.contains(&id.to_string()));
            }
            Err(error) => eprintln!("{fault:?}: {error}"),
        }
        pair.proxy.heal();
        violations += usize::from(pair.through.verify_blob(b"a", &id) != Ok(()));
    }
    assert!(corrupt > CASES / 8, "{corrupt} of {CASES} answers were called corrupt");
    tally("S3 answers with wrong bytes", CASES, violations);
}

#[test]
fn an_object_that_is_lost_for_good_is_told_and_others_stay() {
    let pair = Pair::new(limits(Duration::from_secs(10)));
    let bytes = Random::new(23).bytes(50_000);
    let lease = pair.through.put_blob(b"a", &bytes).unwrap();
    let id = lease.id();
    pair.through.commit_wait(Commit::new().naming(lease)).unwrap();
    pair.proxy.plan(is_get, Fault::Status(404), usize::MAX);
    let read = pair.through.read_blob(b"a", &id, 0..10);
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    assert_eq!(pair.direct.verify_blob(b"a", &id), Ok(()));
}

/// Two nodes name and forget the same few bodies, while each also sweeps and cleans up: the
/// deletion of one node must never hit what the other one is storing again.
#[test]
fn sweeps_never_take_what_another_node_stores_again() {
    const ROUNDS: usize = 40;
    const WRITERS: usize = 4;
    let bucket = Bucket::open().unwrap();
    let cluster = Cluster::start(Durability::Fast, &[]).unwrap();
    let (_, url) = database(&cluster);
    let heap = S3Heap::open(&config(&bucket, limits(Duration::from_secs(15)))).unwrap();
    let nodes = [(); 2].map(|()| node(&url, &heap, Duration::from_mins(10)));
    let over = AtomicBool::new(false);
    let violations: usize = std::thread::scope(|scope| {
        let sweepers = nodes.each_ref().map(|node| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    sweep(node);
                }
            })
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let node = &nodes[writer % 2];
                scope.spawn(move || {
                    let mut random = Random::new(31 + writer as u64);
                    let once = |_| name_and_forget(node, writer, &mut random);
                    (0..ROUNDS).map(once).filter(|kept| !kept).count()
                })
            })
            .collect();
        let violations = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        over.store(true, Ordering::Relaxed);
        sweepers.into_iter().for_each(|sweeper| sweeper.join().unwrap());
        violations
    });
    tally("S3 sweep races with another node's put", WRITERS * ROUNDS, violations);
    // What nobody names goes, on whichever node it was stored.
    drop(nodes);
    let last = node(&url, &heap, Duration::ZERO);
    sweep(&last);
    sweep(&last);
    assert_eq!(listed(&last), []);
    let mut objects = Vec::new();
    heap.list(None, &mut |object| {
        objects.push(object);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(objects, [], "objects that no row names stay");
}

/// Whether the body was there as long as a row named it.
fn name_and_forget(node: &Postgres, writer: usize, random: &mut Random) -> bool {
    let bytes = vec![b'x'; 20_000 * (1 + random.below(3))];
    // All of one letter is short when it is compressed, so it gets a tail that is not.
    let bytes = [bytes, Random::quiet(7).bytes(2_000)].concat();
    let id = BlobId::of(&bytes);
    let row = [&b"row"[..], &writer.to_be_bytes(), id.as_bytes()].concat();
    loop {
        let lease = node.put_blob(b"a", &bytes).unwrap();
        let write = Write::put(row.clone(), *id.as_bytes());
        match node.commit_wait(Commit::new().write(write).naming(lease)) {
            Ok(_) => break,
            // The other node swept what a commit beside this one had recorded: put it again.
            Err(StoreError::BlobMissing { .. }) => {}
            Err(error) => unreachable!("{error}"),
        }
    }
    let verified = node.verify_blob(b"a", &id);
    if verified.is_err() {
        eprintln!("a named blob: {verified:?}");
    }
    node.commit_wait(Commit::new().write(Write::delete(row))).unwrap();
    verified.is_ok()
}

fn sweep(node: &Postgres) {
    // Listed before the view is opened: see the contract.
    let blobs = listed(node);
    let mut named = Vec::new();
    let view = node.view().unwrap();
    view.scan(&KeyRange::prefix(b"row"), &mut |_, value| {
        named.push(value.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    drop(view);
    let unnamed: Vec<_> = blobs
        .into_iter()
        .filter(|blob| !named.contains(&blob.key.id.as_bytes().to_vec()))
        .map(|blob| (blob.key.id, blob.named_at))
        .collect();
    node.delete_blobs(b"a", &unnamed).unwrap();
    node.reclaim().unwrap();
}

fn listed(node: &Postgres) -> Vec<BlobInfo> {
    let mut blobs = Vec::new();
    node.list_blobs(None, &mut |blob| {
        blobs.push(blob);
        ControlFlow::Continue(())
    })
    .unwrap();
    blobs
}
