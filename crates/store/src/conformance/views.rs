//! Views and scans.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Engine, Random, must};
use crate::{Commit, KeyRange, Order, StoreError, Write, scan_page};

pub(super) fn commit_is_seen_by_later_views_only(engine: &mut dyn Engine) {
    let store = engine.store();
    let before = must("view", store.view());
    let commit = Commit::new().write(Write::put(b"a", b"1")).write(Write::put(b"b", b"2"));
    let number = must("commit", store.commit_wait(commit));
    let after = must("view", store.view());
    assert!(before.at() < number && number <= after.at(), "positions follow commits");
    assert_eq!(before.get(b"a"), Ok(None), "an earlier view does not see a later commit");
    let rows = must("get_many", after.get_many(&[b"b", b"missing", b"a"]));
    assert_eq!(rows, [Some(b"2".to_vec()), None, Some(b"1".to_vec())]);
}

pub(super) fn view_is_stable_under_commits(engine: &mut dyn Engine) {
    const ROUNDS: u64 = 60;
    let store = engine.store();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let view = must("view", store.view());
                    let first = must("get", view.get(b"pair/a"));
                    let mut rows = Vec::new();
                    must(
                        "scan",
                        view.scan(&KeyRange::prefix(b"pair/"), &mut |_, value| {
                            rows.push(Some(value.to_vec()));
                            ControlFlow::Continue(())
                        }),
                    );
                    assert!(rows.iter().all(|row| *row == first), "a view mixes two commits");
                    assert_eq!(must("get", view.get(b"pair/b")), first, "a view changed");
                }
            });
        }
        for round in 0..ROUNDS {
            let value = round.to_be_bytes();
            let put = |key: &[u8]| Write::put(key, value);
            let commit = Commit::new().write(put(b"pair/a")).write(put(b"pair/b"));
            must("commit", store.commit_wait(commit));
        }
        over.store(true, Ordering::Relaxed);
    });
}

pub(super) fn scans_agree_with_a_model(engine: &mut dyn Engine) {
    let store = engine.store();
    let mut random = Random::new(0x5ca7);
    let mut model = BTreeMap::new();
    for _ in 0..12 {
        let mut commit = Commit::new();
        for _ in 0..60 {
            let length = 1 + random.below(4) as usize;
            // Few distinct bytes, with both ends of the byte order, so that prefixes collide.
            let key: Vec<u8> =
                (0..length).map(|_| [0, 1, b'a', 0xfe, 0xff][random.below(5) as usize]).collect();
            if random.below(4) == 0 {
                model.remove(&key);
                commit.writes.push(Write::delete(key));
            } else {
                let length = random.below(40) as usize;
                let value = random.bytes(length);
                model.insert(key.clone(), value.clone());
                commit.writes.push(Write::put(key, value));
            }
        }
        must("commit", store.commit_wait(commit));
    }
    let view = must("view", store.view());
    let ranges = [
        KeyRange::prefix(b""),
        KeyRange::prefix(b"a"),
        KeyRange::prefix(&[0xff]),
        KeyRange::prefix(&[0xfe, 0xff]),
        KeyRange::new([0, 1], [0xfe]),
        KeyRange::new(b"z", b"a"),
        KeyRange::new(b"nothing", b"nothing"),
    ];
    for range in ranges.iter().flat_map(|range| [range.clone(), range.clone().descending()]) {
        let inside = |key: &&Vec<u8>| {
            **key >= range.start && range.end.as_ref().is_none_or(|end| *key < end)
        };
        let mut expected: Vec<_> = model
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if range.order == Order::Descending {
            expected.reverse();
        }
        for rows_max in [1, 7, 100_000] {
            let mut found = Vec::new();
            let mut rest = Some(range.clone());
            while let Some(part) = rest {
                let page = must("scan", scan_page(view.as_ref(), &part, rows_max));
                found.extend(page.rows);
                rest = page.rest;
            }
            assert_eq!(found, expected, "scan of {range:?} by {rows_max}");
        }
    }
}

pub(super) fn scan_visitor_may_commit(engine: &mut dyn Engine) {
    const ROWS: usize = 600;
    let store = engine.store();
    let key = |number: usize| format!("row/{number:04}").into_bytes();
    let writes = (0..ROWS).map(|number| Write::put(key(number), b"old")).collect();
    must("commit", store.commit_wait(Commit { writes, ..Commit::new() }));
    let view = must("view", store.view());
    let mut seen = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        assert_eq!(value, b"old", "a scan sees only its view");
        if seen % 200 == 0 {
            let writes = vec![Write::put(key(ROWS - 1), b"new"), Write::delete(key(ROWS - 2))];
            must("commit", store.commit_wait(Commit { writes, ..Commit::new() }));
        }
        seen += 1;
        ControlFlow::Continue(())
    };
    must("scan", view.scan(&KeyRange::prefix(b"row/"), &mut visit));
    assert_eq!(seen, ROWS, "a scan sees every row of its view");
}

pub(super) fn too_many_views_are_refused(engine: &mut dyn Engine) {
    let store = engine.store();
    let mut views: Vec<_> = (0..engine.views_max()).map(|_| must("view", store.view())).collect();
    assert_eq!(store.view().err(), Some(StoreError::Busy), "views have a maximum");
    views.pop();
    must("a closed view makes room", store.view());
}
