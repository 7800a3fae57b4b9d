//! The heap's contract, and what is special about an object store, with no faults.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blob_s3::{Limits, S3Config, S3Heap, Secret};
use store::{Heap, StoreError, conformance};
use testkit::s3::Bucket;

use crate::support::{Random, config, heap, key, limits, put};

#[test]
fn the_heap_keeps_the_contract() {
    let bucket = Bucket::open().unwrap();
    let heap = || heap(&bucket, limits(Duration::from_secs(15)));
    conformance::heap::all(&|| Arc::new(heap()));
}

#[test]
fn an_object_of_exactly_one_part_reads_back() {
    let bucket = Bucket::open().unwrap();
    let limits = Limits { part_bytes: PART, ..limits(Duration::from_secs(15)) };
    let heap = heap(&bucket, limits);
    let mut random = Random::new(71);
    for size in [PART - 1, PART, PART + 1, 2 * PART] {
        let bytes = random.bytes(size);
        let key = key(&format!("61/{size}-1"));
        put(&heap, &key, &bytes).unwrap();
        assert!(heap.read(&key, 0..u64::MAX).unwrap() == bytes, "{size} bytes");
        let middle = heap.read(&key, PART as u64 - 3..PART as u64 + 3).unwrap();
        assert_eq!(middle, bytes[(PART - 3).min(size)..(PART + 3).min(size)], "{size} bytes");
    }
}

#[test]
fn listing_goes_on_from_page_to_page() {
    let bucket = Bucket::open().unwrap();
    let heap = heap(&bucket, Limits { page_objects: 3, ..limits(Duration::from_secs(15)) });
    let names: Vec<String> = (0..10).map(|number| format!("61/{number}")).collect();
    for name in names.iter().rev() {
        put(&heap, &key(name), name.as_bytes()).unwrap();
    }
    let mut found = Vec::new();
    heap.list(None, &mut |object| {
        assert_eq!(object.size, object.key.as_str().len() as u64);
        let age = object.stored_at.elapsed().unwrap_or_default();
        assert!(age < Duration::from_secs(600), "stored {age:?} ago");
        found.push(object.key.as_str().to_owned());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found, names);
}

#[test]
fn prefixes_are_apart() {
    let bucket = Bucket::open().unwrap();
    let (one, two) = (heap(&bucket, Limits::default()), heap(&bucket, Limits::default()));
    put(&one, &key("61/aa-1"), b"one").unwrap();
    assert!(matches!(two.read(&key("61/aa-1"), 0..9), Err(StoreError::NotInHeap { .. })));
    two.delete(&key("61/aa-1")).unwrap();
    assert_eq!(one.read(&key("61/aa-1"), 0..9), Ok(b"one".to_vec()));
}

#[test]
fn a_name_with_an_empty_segment_is_refused() {
    let bucket = Bucket::open().unwrap();
    let heap = heap(&bucket, Limits::default());
    for name in ["/a", "a/", "a//b"] {
        assert!(matches!(heap.writer(&key(name)), Err(StoreError::WriteRefused { .. })), "{name}");
        assert!(matches!(heap.read(&key(name), 0..1), Err(StoreError::NotInHeap { .. })), "{name}");
    }
}

#[test]
fn a_wrong_key_is_told_at_once_and_no_secret_with_it() {
    let bucket = Bucket::open().unwrap();
    let right = config(&bucket, Limits::default());
    let secret = "abc-not-the-secret";
    let wrong = S3Config { secret_access_key: Secret::new(secret), ..right.clone() };
    let heap = S3Heap::open(&wrong).unwrap();
    let started = Instant::now();
    let errors = [
        heap.probe().unwrap_err(),
        heap.read(&key("61/aa-1"), 0..1).unwrap_err(),
        put(&heap, &key("61/aa-1"), b"x").unwrap_err(),
        heap.delete(&key("61/aa-1")).unwrap_err(),
    ];
    // None of them was worth a second attempt.
    assert!(started.elapsed() < Duration::from_secs(60));
    for error in errors {
        let shown = format!("{error} {error:?} {heap:?} {wrong:?}");
        assert!(!shown.contains(secret), "{shown}");
        assert!(shown.contains("refused: status 403"), "{shown}");
    }
    S3Heap::open(&right).unwrap().probe().unwrap();
}

#[test]
fn a_missing_bucket_is_not_an_empty_one() {
    let bucket = Bucket::open().unwrap();
    let config = config(&bucket, Limits::default());
    let heap = S3Heap::open(&S3Config { bucket: "no-such-bucket".to_owned(), ..config }).unwrap();
    let probe = heap.probe();
    assert!(matches!(probe, Err(StoreError::ReadFailed { .. })), "{probe:?}");
}

#[test]
fn calls_work_on_a_thread_that_a_runtime_lends() {
    let bucket = Bucket::open().unwrap();
    let heap = heap(&bucket, Limits::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        let used = tokio::task::spawn_blocking(move || {
            put(&heap, &key("61/aa-1"), b"x").unwrap();
            heap.read(&key("61/aa-1"), 0..1).unwrap()
        });
        assert_eq!(used.await.unwrap(), b"x");
    });
}

#[test]
fn an_abandoned_upload_in_parts_is_aborted() {
    let bucket = Bucket::open().unwrap();
    // Only of s3s-fs is it known where unfinished parts are.
    let Some(folder) = bucket.folder() else { return };
    let heap = heap(&bucket, Limits { part_bytes: PART, ..limits(Duration::from_secs(15)) });
    let unfinished = || {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains("upload")).count()
    };
    let mut writer = heap.writer(&key("61/aa-1")).unwrap();
    writer.write(&vec![7; 2 * PART + 1]).unwrap();
    assert!(unfinished() > 0);
    drop(writer);
    let until = Instant::now() + Duration::from_secs(120);
    while unfinished() > 0 {
        assert!(Instant::now() < until, "parts of an abandoned upload stay");
        std::thread::yield_now();
    }
}

const PART: usize = 5 * 1024 * 1024;
