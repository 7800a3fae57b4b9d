//! A bucket to test on, random bytes, and the table of faults.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use blob_s3::{Addressing, Limits, S3Config, S3Heap, Secret};
use store::{Heap, HeapKey, StoreError};
use testkit::s3::Bucket;

/// A configuration of a part of the bucket that nobody else uses.
pub fn config(bucket: &Bucket, limits: Limits) -> S3Config {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    S3Config {
        endpoint: bucket.endpoint(),
        bucket: bucket.name.clone(),
        region: bucket.region.clone(),
        access_key_id: bucket.access_key_id.clone(),
        secret_access_key: Secret::new(bucket.secret_access_key.clone()),
        prefix: format!("test/{now}-{count}"),
        addressing: Addressing::Path,
        limits,
    }
}

/// Times for tests: an attempt is given up soon, but a loaded machine is not a fault.
pub fn limits(attempt_timeout: Duration) -> Limits {
    Limits {
        attempt_timeout,
        write_budget: Duration::from_secs(120),
        read_budget: Duration::from_secs(120),
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(40),
        ..Limits::default()
    }
}

/// A heap on a part of the bucket of its own.
pub fn heap(bucket: &Bucket, limits: Limits) -> S3Heap {
    S3Heap::open(&config(bucket, limits)).unwrap()
}

pub fn key(name: &str) -> HeapKey {
    HeapKey::new(name).unwrap()
}

/// Stores an object.
pub fn put(heap: &dyn Heap, key: &HeapKey, bytes: &[u8]) -> Result<(), StoreError> {
    let mut writer = heap.writer(key)?;
    writer.write(bytes)?;
    writer.finish()
}

/// A small generator of reproducible randomness (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Self::quiet(seed)
    }

    /// For bytes that are the same in every test.
    pub fn quiet(seed: u64) -> Self {
        Self(seed.max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// Puts a line into the table of faults, when one is being made, and fails on violations.
pub fn tally(fault: &str, cases: usize, violations: usize) {
    if let Some(table) = std::env::var_os("PILLARBOX_FAULTS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(table).unwrap();
        file.write_all(format!("{fault}\t{cases}\t{violations}\n").as_bytes()).unwrap();
    }
    assert_eq!(violations, 0, "{fault}: {violations} of {cases} cases broke a promise");
}
