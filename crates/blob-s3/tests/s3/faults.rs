//! Promises under faults: no `Ok` before the store has confirmed, never other than the asked
//! number of bytes, and all is well when the fault is over.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blob_s3::{Limits, S3Config, S3Heap};
use store::{Heap, StoreError};
use testkit::s3::Bucket;

use crate::proxy::{Choice, Fault, Proxy, Seen};
use crate::support::{Random, config, key, limits, put, tally};

/// A heap behind the proxy, and one that talks to the store itself.
struct Setup {
    proxy: Proxy,
    through: S3Heap,
    direct: S3Heap,
    // Goes last: both heaps talk to it.
    _bucket: Bucket,
}

impl Setup {
    fn new(limits: Limits) -> Self {
        let bucket = Bucket::open().unwrap();
        let proxy = Proxy::start(bucket.address);
        let config = config(&bucket, limits);
        // Only what goes through the proxy is given up soon.
        let patient = S3Config { limits: self::limits(PATIENCE), ..config.clone() };
        let direct = S3Heap::open(&patient).unwrap();
        let endpoint = format!("http://{}", proxy.address);
        let through = S3Heap::open(&S3Config { endpoint, ..config }).unwrap();
        Self { proxy, through, direct, _bucket: bucket }
    }

    /// Puts objects while every so many requests meet with the fault. Counts the puts that were
    /// answered `Ok` without the store having confirmed them, or without the object being there.
    fn puts(&self, seed: u64, cases: usize, faults: &[Fault]) -> usize {
        let mut random = Random::new(seed);
        let mut violations = 0;
        for case in 0..cases {
            let key = key(&format!("61/{case:x}-{seed}"));
            let size = random.below(200_000);
            let bytes = random.bytes(size);
            let fault = faults[random.below(faults.len())];
            self.proxy.plan(is_put, fault, 1 + random.below(2));
            match put(&self.through, &key, &bytes) {
                Ok(()) => {
                    let confirmed = self.proxy.seen().iter().any(|seen| {
                        is_put(seen) && seen.target.ends_with(key.as_str()) && is_success(seen)
                    });
                    let stored = self.direct.read(&key, 0..u64::MAX);
                    violations += usize::from(!confirmed || stored.as_ref() != Ok(&bytes));
                }
                Err(error) => {
                    // Within its budget a fault that passes is only a delay.
                    eprintln!("{fault:?}: {error}");
                    violations += 1;
                }
            }
            self.proxy.heal();
        }
        violations
    }

    /// Reads parts of one object while requests meet with the fault. Counts answers that are not
    /// what is stored; a fault that passes is only a delay.
    fn gets(&self, seed: u64, cases: usize, faults: &[Fault]) -> usize {
        let mut random = Random::new(seed);
        let bytes = random.bytes(150_000);
        let key = key(&format!("61/ab-{seed}"));
        put(&self.direct, &key, &bytes).unwrap();
        let mut violations = 0;
        for _ in 0..cases {
            let start = random.below(bytes.len());
            let end = (start + 1 + random.below(60_000)).min(bytes.len());
            let fault = faults[random.below(faults.len())];
            self.proxy.plan(is_get, fault, 1 + random.below(2));
            let read = self.through.read(&key, start as u64..end as u64);
            let right = read.as_deref() == Ok(&bytes[start..end]);
            violations += usize::from(!right);
            self.proxy.heal();
        }
        violations
    }
}

fn is_put(seen: &Seen) -> bool {
    seen.method == "PUT"
}

fn is_get(seen: &Seen) -> bool {
    seen.method == "GET"
}

fn is_delete(seen: &Seen) -> bool {
    seen.method == "DELETE"
}

fn is_any(_: &Seen) -> bool {
    true
}

fn is_success(seen: &Seen) -> bool {
    seen.answered.is_some_and(|status| (200..300).contains(&status))
}

/// An attempt that meets with silence costs this much of a test's time.
const SILENCE: Duration = Duration::from_millis(400);

/// For an attempt that meets with no fault.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn puts_survive_500_and_503() {
    let setup = Setup::new(limits(Duration::from_secs(10)));
    let faults = [Fault::Status(500), Fault::Status(503), Fault::Status(502)];
    let violations = setup.puts(1, 60, &faults) + setup.gets(2, 60, &faults);
    tally("S3 answers 500, 502 or 503", 120, violations);
}

#[test]
fn no_put_is_acknowledged_that_timed_out_before_it_took_effect() {
    let setup = Setup::new(limits(SILENCE));
    let violations = setup.puts(3, 12, &[Fault::SilentBefore]);
    tally("S3 times out before the PUT took effect", 12, violations);
}

#[test]
fn a_put_that_timed_out_after_it_took_effect_is_put_again() {
    let setup = Setup::new(limits(SILENCE));
    let violations = setup.puts(4, 12, &[Fault::SilentAfter]);
    tally("S3 times out after the PUT took effect", 12, violations);
}

#[test]
fn requests_survive_connections_that_are_reset() {
    let setup = Setup::new(limits(Duration::from_secs(10)));
    let faults = [Fault::ResetBefore, Fault::ResetAfter];
    let violations = setup.puts(5, 60, &faults) + setup.gets(6, 60, &faults);
    tally("S3 resets the connection", 120, violations);
}

#[test]
fn a_body_of_another_length_is_never_returned() {
    let setup = Setup::new(limits(Duration::from_secs(10)));
    let faults = [Fault::Truncate, Fault::Shorten, Fault::Lengthen];
    let violations = setup.gets(7, 90, &faults);
    tally("S3 truncates or lengthens a body", 90, violations);
}

#[test]
fn a_body_that_is_always_cut_is_an_error_and_not_a_short_answer() {
    let hasty = Limits { read_budget: Duration::from_millis(300), ..limits(SILENCE) };
    let setup = Setup::new(hasty);
    put(&setup.direct, &key("61/aa-1"), &[7; 1000]).unwrap();
    for fault in [Fault::Truncate, Fault::Shorten, Fault::Lengthen] {
        setup.proxy.plan(is_get, fault, usize::MAX);
        let read = setup.through.read(&key("61/aa-1"), 0..1000);
        assert!(matches!(read, Err(StoreError::ReadFailed { .. })), "{fault:?}: {read:?}");
        setup.proxy.heal();
    }
}

#[test]
fn other_bytes_are_as_many_as_were_asked_for() {
    // Only whoever knows the hash can tell; the engine above does.
    let setup = Setup::new(limits(Duration::from_secs(10)));
    let bytes = Random::new(8).bytes(10_000);
    put(&setup.direct, &key("61/aa-1"), &bytes).unwrap();
    setup.proxy.plan(is_get, Fault::Garble, 1);
    let read = setup.through.read(&key("61/aa-1"), 0..10_000).unwrap();
    assert!(read != bytes);
    assert_eq!(read.len(), bytes.len());
    assert!(setup.through.read(&key("61/aa-1"), 0..10_000).unwrap() == bytes);
}

#[test]
fn an_object_that_is_missing_for_a_moment_is_found() {
    let setup = Setup::new(limits(Duration::from_secs(10)));
    let violations = setup.gets(9, 40, &[Fault::Status(404)]);
    tally("S3 answers 404 after the PUT", 40, violations);
    // One that stays missing is missing.
    setup.proxy.plan(is_get, Fault::Status(404), usize::MAX);
    put(&setup.through, &key("61/aa-1"), b"x").unwrap();
    let read = setup.through.read(&key("61/aa-1"), 0..1);
    assert_eq!(read, Err(StoreError::NotInHeap { key: "61/aa-1".into() }));
}

#[test]
fn a_stall_ends_in_an_error_within_the_budget_and_passes() {
    let budget = Duration::from_millis(900);
    let hasty = Limits {
        attempt_timeout: Duration::from_millis(300),
        write_budget: budget,
        read_budget: budget,
        ..limits(SILENCE)
    };
    let setup = Setup::new(hasty);
    put(&setup.direct, &key("61/aa-1"), &[7; 1000]).unwrap();
    let stalls: [(Choice, Fault); 4] = [
        (is_put, Fault::SilentBefore),
        (is_put, Fault::SilentAfter),
        (is_get, Fault::SilentBefore),
        (is_get, Fault::StallInBody),
    ];
    let mut violations = 0;
    for (number, (choice, fault)) in stalls.into_iter().enumerate() {
        setup.proxy.plan(choice, fault, usize::MAX);
        let started = Instant::now();
        let failed = if number < 2 {
            let put = put(&setup.through, &key(&format!("61/bb-{number}")), b"x");
            matches!(put, Err(StoreError::Unavailable { .. }))
        } else {
            let read = setup.through.read(&key("61/aa-1"), 0..1000);
            matches!(read, Err(StoreError::ReadFailed { .. }))
        };
        // The rest is room for a loaded machine; without time-outs it would be a minute.
        violations += usize::from(!failed || started.elapsed() > budget * 50);
        setup.proxy.heal();
    }
    tally("S3 stalls for 60 s", 4, violations);
    assert_eq!(setup.direct.read(&key("61/aa-1"), 0..1000), Ok(vec![7; 1000]));
}

#[test]
fn nothing_is_acknowledged_while_the_store_is_away() {
    let hasty = Limits {
        write_budget: Duration::from_millis(300),
        read_budget: Duration::from_millis(300),
        ..limits(Duration::from_millis(100))
    };
    let setup = Setup::new(hasty);
    let faults = [Fault::Status(503), Fault::ResetBefore, Fault::ResetAfter, Fault::SilentAfter];
    let mut violations = 0;
    for (case, fault) in faults.into_iter().cycle().take(24).enumerate() {
        setup.proxy.plan(is_any, fault, usize::MAX);
        let key = key(&format!("61/{case:x}-1"));
        violations += usize::from(put(&setup.through, &key, b"never confirmed").is_ok());
        violations += usize::from(setup.through.read(&key, 0..1).is_ok());
        violations += usize::from(setup.through.delete(&key).is_ok());
        setup.proxy.heal();
    }
    tally("S3 is away for longer than the budget", 72, violations);
    put(&setup.direct, &key("61/aa-2"), b"after it").unwrap();
}

#[test]
fn a_deletion_is_repeated_until_it_is_confirmed() {
    let setup = Setup::new(limits(Duration::from_secs(10)));
    for fault in [Fault::Status(503), Fault::ResetBefore, Fault::ResetAfter] {
        put(&setup.direct, &key("61/aa-1"), b"x").unwrap();
        setup.proxy.plan(is_delete, fault, 2);
        setup.through.delete(&key("61/aa-1")).unwrap();
        let read = setup.direct.read(&key("61/aa-1"), 0..1);
        assert!(matches!(read, Err(StoreError::NotInHeap { .. })), "{fault:?}: {read:?}");
    }
}

#[test]
fn an_upload_in_parts_survives_a_fault_at_each_of_its_requests() {
    let part_bytes = 5 * 1024 * 1024;
    let setup = Setup::new(Limits { part_bytes, ..limits(Duration::from_secs(15)) });
    let bytes = Random::new(10).bytes(part_bytes + 1000);
    let begins = |seen: &Seen| seen.method == "POST" && seen.target.contains("uploads");
    let first: Choice = |seen| is_put(seen) && seen.target.contains("partNumber=1");
    let last: Choice = |seen| is_put(seen) && seen.target.contains("partNumber=2");
    let ends: Choice = |seen| seen.method == "POST" && seen.target.contains("uploadId=");
    let mut violations = 0;
    let mut cases = 0;
    for choice in [begins as Choice, first, last, ends] {
        for fault in [Fault::Status(503), Fault::ResetBefore, Fault::ResetAfter] {
            let key = key(&format!("61/{cases:x}-1"));
            setup.proxy.plan(choice, fault, 1);
            let done = put(&setup.through, &key, &bytes);
            let stored = setup.direct.read(&key, 0..u64::MAX);
            violations += usize::from(done != Ok(()) || stored.as_ref() != Ok(&bytes));
            cases += 1;
            setup.proxy.heal();
        }
    }
    tally("S3 fails inside of an upload in parts", cases, violations);
}

#[test]
fn the_backlog_is_bounded_in_requests_and_bytes_and_the_rest_is_told_busy() {
    const WRITERS: usize = 24;
    const BODY: usize = 1024 * 1024;
    let limits = Limits {
        requests_max: 3,
        bytes_max: 6 * BODY,
        queue_wait: Duration::from_millis(150),
        write_budget: Duration::from_secs(4),
        // As long, so that each body that is held makes one request.
        ..limits(Duration::from_secs(4))
    };
    let setup = Setup::new(limits);
    setup.proxy.plan(is_put, Fault::SilentBefore, usize::MAX);
    // Nobody goes on before each has written its body or was told that there is no room for it.
    let all_have_written = Barrier::new(WRITERS);
    let held = AtomicUsize::new(0);
    let outcomes: Vec<Result<(), StoreError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (setup, held, all_have_written) = (&setup, &held, &all_have_written);
                scope.spawn(move || {
                    let begin = || -> Result<_, StoreError> {
                        let mut writer = setup.through.writer(&key(&format!("61/{number:x}-1")))?;
                        writer.write(&vec![7; BODY])?;
                        held.fetch_add(1, Ordering::SeqCst);
                        Ok(writer)
                    };
                    let writer = begin();
                    all_have_written.wait();
                    writer?.finish()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let busy = outcomes.iter().filter(|outcome| **outcome == Err(StoreError::Busy)).count();
    let acknowledged = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let held = held.load(Ordering::SeqCst);
    assert!((1..=6).contains(&held), "{held} bodies were held at one time");
    assert!(busy >= WRITERS - 6, "{busy} of {WRITERS} were told busy");
    let requests = setup.proxy.inside_max();
    // A time-out frees the place before the proxy has seen that the client is gone.
    assert!((1..=6).contains(&requests), "{requests} requests were under way at one time");
    setup.proxy.heal();
    while setup.proxy.inside() > 0 {
        std::thread::yield_now();
    }
    let until = Instant::now() + Duration::from_secs(120);
    while let Err(error) = put(&setup.through, &key("61/aa-2"), b"after it") {
        assert!(Instant::now() < until, "{error:?}");
    }
    tally("S3 backlog is full", WRITERS, acknowledged);
}
