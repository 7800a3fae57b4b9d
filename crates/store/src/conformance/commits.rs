//! Commits: conditions, order, limits, hints, closing.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Engine, must};
use crate::limits::{
    CONDITIONS_PER_COMMIT_MAX, KEY_BYTES_MAX, SCOPE_BYTES_MAX, VALUE_BYTES_MAX,
    WRITES_PER_COMMIT_MAX,
};
use crate::{Commit, Expected, Hint, Hints, Limit, Store, StoreError, Write};

pub(super) fn failed_conditions_write_nothing(engine: &mut dyn Engine) {
    let store = engine.store();
    must("commit", store.commit_wait(Commit::new().write(Write::put(b"head", b"7"))));
    let value = |value: &[u8]| Expected::Value(value.to_vec());
    let refused = [
        (b"head", Expected::Absent),
        (b"head", value(b"8")),
        (b"head", value(b"")),
        (b"gone", Expected::Present),
        (b"gone", value(b"")),
    ];
    for (key, expected) in refused {
        let commit = Commit::new()
            .when(b"head", Expected::Present)
            .when(key, expected.clone())
            .write(Write::put(b"head", b"9"))
            .write(Write::put(b"other", b"9"));
        let answer = store.commit_wait(commit);
        assert_eq!(answer, Err(StoreError::Conflict { condition: 1 }), "{key:?} {expected:?}");
    }
    let view = must("view", store.view());
    assert_eq!(view.get(b"head"), Ok(Some(b"7".to_vec())), "a refused commit wrote");
    assert_eq!(view.get(b"other"), Ok(None), "a refused commit wrote");
    let commit = Commit::new()
        .when(b"head", value(b"7"))
        .when(b"gone", Expected::Absent)
        .write(Write::put(b"head", b"8"));
    must("conditions that hold let the commit through", store.commit_wait(commit));
}

pub(super) fn later_writes_win(engine: &mut dyn Engine) {
    let store = engine.store();
    let commit = Commit::new()
        .write(Write::put(b"a", b"1"))
        .write(Write::delete(b"a"))
        .write(Write::put(b"b", b"1"))
        .write(Write::put(b"b", b""))
        .write(Write::delete(b"c"))
        .write(Write::put(b"", b"empty key"));
    must("commit", store.commit_wait(commit));
    let view = must("view", store.view());
    assert_eq!(view.get(b"a"), Ok(None), "a delete after a put wins");
    assert_eq!(view.get(b"b"), Ok(Some(Vec::new())), "an empty value is a value");
    assert_eq!(view.get(b""), Ok(Some(b"empty key".to_vec())), "an empty key is a key");
}

pub(super) fn order_of_one_thread_is_kept(engine: &mut dyn Engine) {
    const COMMITS: u64 = 200;
    let store = engine.store();
    let (answer, answers) = mpsc::channel();
    for number in 0..COMMITS {
        let before = match number {
            0 => Expected::Absent,
            _ => Expected::Value((number - 1).to_be_bytes().to_vec()),
        };
        let commit =
            Commit::new().when(b"head", before).write(Write::put(b"head", number.to_be_bytes()));
        let answer = answer.clone();
        store.commit(commit, Box::new(move |result| _ = answer.send(result)));
    }
    drop(answer);
    let mut numbers: Vec<_> =
        answers.iter().map(|answer| must("each builds on the one before", answer)).collect();
    assert_eq!(numbers.len() as u64, COMMITS, "each commit is answered once");
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, COMMITS, "each commit has its own number");
}

pub(super) fn racing_increments_lose_none(engine: &mut dyn Engine) {
    const THREADS: u64 = 8;
    const EACH: u64 = 12;
    let store = engine.store();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| increment(store.as_ref())));
        }
    });
    let count = must("get", must("view", store.view()).get(b"count"));
    assert_eq!(count, Some((THREADS * EACH).to_be_bytes().to_vec()), "an increment was lost");
}

fn increment(store: &dyn Store) {
    loop {
        let found = must("get", must("view", store.view()).get(b"count"));
        let count = found
            .as_deref()
            .map_or(0, |bytes| u64::from_be_bytes(must("eight bytes", <[u8; 8]>::try_from(bytes))));
        let commit = Commit::new()
            .when(b"count", found.map_or(Expected::Absent, Expected::Value))
            .write(Write::put(b"count", (count + 1).to_be_bytes()));
        match store.commit_wait(commit) {
            Err(StoreError::Conflict { condition: 0 }) => {}
            answer => {
                must("increment", answer);
                return;
            }
        }
    }
}

pub(super) fn too_large_is_refused(engine: &mut dyn Engine) {
    let store = engine.store();
    let long_key = vec![b'k'; KEY_BYTES_MAX + 1];
    let long_value = vec![b'v'; VALUE_BYTES_MAX + 1];
    let many = |count| (0..count).map(|_| Write::delete(b"k")).collect();
    let large = (0..300).map(|n: u16| Write::put(n.to_be_bytes(), vec![0; VALUE_BYTES_MAX]));
    let mut conditions = Commit::new();
    for _ in 0..=CONDITIONS_PER_COMMIT_MAX {
        conditions = conditions.when(b"k", Expected::Absent);
    }
    let refused = [
        (Limit::Key, Commit::new().write(Write::put(long_key.clone(), b""))),
        (Limit::Key, Commit::new().write(Write::delete(long_key.clone()))),
        (Limit::Key, Commit::new().when(long_key, Expected::Absent)),
        (Limit::Value, Commit::new().write(Write::put(b"k", long_value))),
        (Limit::Writes, Commit { writes: many(WRITES_PER_COMMIT_MAX + 1), ..Commit::new() }),
        (Limit::CommitBytes, Commit { writes: large.collect(), ..Commit::new() }),
        (Limit::Conditions, conditions),
    ];
    for (expected, commit) in refused {
        match store.commit_wait(commit) {
            Err(StoreError::TooLarge { limit, max, actual }) => {
                assert!(limit == expected && actual > max, "{limit:?} instead of {expected:?}");
            }
            answer => assert!(answer.is_err(), "a commit above {expected:?} was accepted"),
        }
    }
    let scope = [b's'; SCOPE_BYTES_MAX + 1];
    let answer = store.put_blob(&scope, b"x").map(|_| ());
    assert!(matches!(answer, Err(StoreError::TooLarge { limit: Limit::Scope, .. })), "{answer:?}");
    let (view, mut rows) = (must("view", store.view()), 0);
    let all = crate::KeyRange::prefix(b"");
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    must("scan", view.scan(&all, &mut count));
    assert_eq!(rows, 0, "a refused commit wrote");
}

pub(super) fn largest_values_work(engine: &mut dyn Engine) {
    let store = engine.store();
    let key = vec![0xff; KEY_BYTES_MAX];
    let value = vec![0xa5; VALUE_BYTES_MAX];
    must(
        "largest row",
        store.commit_wait(Commit::new().write(Write::put(key.clone(), &value[..]))),
    );
    let commit = Commit::new().when(key.clone(), Expected::Value(value.clone()));
    must("condition on the largest row", store.commit_wait(commit));
    assert_eq!(must("view", store.view()).get(&key), Ok(Some(value)));
}

pub(super) fn hints_come_after_commits(engine: &mut dyn Engine) {
    const PATIENCE: Duration = Duration::from_secs(20);
    let store = engine.store();
    let mine = Hints::follow(store.as_ref(), b"a/");
    let other = Hints::follow(store.as_ref(), b"b/");
    must("commit", store.commit_wait(Commit::new().write(Write::put(b"a/head", b"1"))));
    assert_eq!(mine.wait(PATIENCE), Hint::Changed, "a hint comes soon after a commit");
    let seen = must("view", store.view()).get(b"a/head");
    assert_eq!(seen, Ok(Some(b"1".to_vec())), "whoever looks after the hint sees the commit");
    assert_eq!(other.wait(Duration::ZERO), Hint::Silence, "hints are for their prefix");
}

pub(super) fn closed_store_refuses(engine: &mut dyn Engine) {
    const COMMITS: usize = 50;
    let store = engine.store();
    let (answer, answers) = mpsc::channel();
    for number in 0..COMMITS {
        let answer = answer.clone();
        let commit = Commit::new().write(Write::put((number as u64).to_be_bytes(), b"x"));
        store.commit(commit, Box::new(move |result| _ = answer.send(result)));
    }
    must("close", store.close());
    must("close again", store.close());
    let answered: Vec<_> = answers.try_iter().collect();
    assert_eq!(answered.len(), COMMITS, "close answers what was submitted before");
    assert!(answered.iter().all(Result::is_ok), "close commits what was submitted before");
    let commit = Commit::new().write(Write::put(b"late", b"x"));
    assert_eq!(store.commit_wait(commit), Err(StoreError::Closed));
    assert_eq!(store.view().err(), Some(StoreError::Closed));
    assert_eq!(store.put_blob(b"a", b"x").err(), Some(StoreError::Closed));
}
