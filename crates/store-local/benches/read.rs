//! What reading costs: a view, a get, a scan of a large mailbox's rows, a piece of a message.
//!
//! The store holds 100,000 rows of 60 bytes and one blob of 10 MB; all of it is in the system's
//! cache, so this is the cost of the engine, not of the disk.

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to measure")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use store::{BlobId, Commit, KeyRange, Store, Write};
use store_local::{Local, Options};

fn reads(criterion: &mut Criterion) {
    let parent = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("folder");
    let store = Local::open(&folder.path().join("data"), Options::default()).expect("open");
    let id = fill(&store);

    criterion.bench_function("view", |bencher| bencher.iter(|| store.view().expect("view").at()));
    let view = store.view().expect("view");
    let mut number = 0;
    criterion.bench_function("get", |bencher| {
        bencher.iter(|| {
            number = (number * 7 + 12_345) % ROWS;
            view.get(&row_key(number)).expect("get")
        });
    });
    criterion.bench_function("scan 100,000 rows", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            let mut visit = |key: &[u8], value: &[u8]| {
                bytes += key.len() + value.len();
                ControlFlow::Continue(())
            };
            view.scan(&KeyRange::prefix(b"row"), &mut visit).expect("scan");
            black_box(bytes)
        });
    });
    let mut offset = 0;
    criterion.bench_function("open a blob and read 64 KiB of it", |bencher| {
        bencher.iter(|| {
            offset = (offset + 777_777) % (9 << 20);
            let reader = store.open_blob(b"a", &id).expect("open");
            reader.read_at(offset, 65_536).expect("read")
        });
    });
}

fn fill(store: &Local) -> BlobId {
    let writes = (0..ROWS).map(|number| Write::put(row_key(number), [5; 60])).collect();
    store.commit_wait(Commit { writes, ..Commit::new() }).expect("commit");
    let text: Vec<u8> = (0..)
        .flat_map(|n: u32| format!("line {n} of it\r\n").into_bytes())
        .take(10 << 20)
        .collect();
    let lease = store.put_blob(b"a", &text).expect("put");
    let id = lease.id();
    store.commit_wait(Commit::new().naming(lease)).expect("commit");
    id
}

fn row_key(number: u64) -> Vec<u8> {
    [&b"row"[..], &number.to_be_bytes()].concat()
}

const ROWS: u64 = 100_000;

criterion_group!(benches, reads);
criterion_main!(benches);
