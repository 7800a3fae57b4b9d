//! What every heap must do, as functions that a heap's own tests call.
//!
//! Each case gets a fresh, empty heap. A case that fails panics and says which promise broke.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use super::{Random, must};
use crate::{Heap, HeapKey, HeapObject, StoreError};

/// Runs every case, each on a heap of its own.
pub fn all(make: &dyn Fn() -> Arc<dyn Heap>) {
    for (name, case) in CASES {
        eprintln!("heap conformance: {name}");
        case(make().as_ref());
    }
}

/// One promise: its name and the function that checks it.
pub type Case = (&'static str, fn(&dyn Heap));

/// Every promise by name, for a heap that wants to run them one by one.
pub const CASES: &[Case] = &[
    ("objects_are_what_was_written", objects_are_what_was_written),
    ("an_unfinished_object_does_not_exist", unfinished_object_does_not_exist),
    ("a_deleted_object_is_gone_and_only_it", deleted_object_is_gone),
    ("listing_is_ordered_and_resumable", listing_is_resumable),
    ("writers_do_not_mix", writers_do_not_mix),
];

/// Sizes around the parts in which a heap may send or store an object.
const SIZES: [usize; 7] = [0, 1, 16_385, 300_000, 5 << 20, (8 << 20) + 1, 17 << 20];

fn objects_are_what_was_written(heap: &dyn Heap) {
    let mut random = Random::new(0x4ea9);
    for size in SIZES {
        let bytes = random.bytes(size);
        let key = key(&format!("61/{size:08x}-1"));
        put(heap, &key, &bytes, &mut random);
        let whole = must("read", heap.read(&key, 0..u64::MAX));
        assert!(whole == bytes, "an object of {size} bytes reads back differently");
        for _ in 0..6 {
            let start = random.below(size as u64 + 10);
            let end = start + random.below(200_000);
            let part = must("read a part", heap.read(&key, start..end));
            let position = |at: u64| (at as usize).min(size);
            assert!(part == bytes[position(start)..position(end)], "{start}..{end} of {size}");
        }
        let beyond = heap.read(&key, size as u64 + 5..size as u64 + 9);
        assert_eq!(beyond, Ok(Vec::new()), "beyond the end there is nothing");
        let empty = size as u64 / 2..size as u64 / 2;
        assert_eq!(heap.read(&key, empty), Ok(Vec::new()), "an empty range has no bytes");
    }
}

fn unfinished_object_does_not_exist(heap: &dyn Heap) {
    let mut random = Random::new(0x0f1e);
    for size in SIZES {
        let key = key(&format!("61/{size:08x}-2"));
        let mut writer = must("writer", heap.writer(&key));
        must("write", writer.write(&random.bytes(size)));
        assert_eq!(heap.read(&key, 0..1), Err(not_in_heap(&key)), "before it is finished");
        drop(writer);
        assert_eq!(heap.read(&key, 0..1), Err(not_in_heap(&key)), "after it was given up");
    }
    assert_eq!(listed(heap, None, usize::MAX), [], "unfinished objects are listed");
}

fn deleted_object_is_gone(heap: &dyn Heap) {
    let mut random = Random::new(0xde1e);
    let (first, second) = (key("61/aa-1"), key("61/aa-2"));
    put(heap, &first, b"the same", &mut random);
    put(heap, &second, b"the same", &mut random);
    must("delete", heap.delete(&first));
    must("delete what is not there", heap.delete(&first));
    must("delete what never was", heap.delete(&key("62/bb-1")));
    assert_eq!(heap.read(&first, 0..8), Err(not_in_heap(&first)));
    assert_eq!(heap.read(&second, 0..8), Ok(b"the same".to_vec()), "another object went too");
    assert_eq!(listed(heap, None, 9).len(), 1);
}

fn listing_is_resumable(heap: &dyn Heap) {
    // More than one page of what an object store lists at once.
    const OBJECTS: usize = 1100;
    let mut random = Random::new(0x1157);
    let mut expected = BTreeSet::new();
    for number in 0..OBJECTS {
        let scope = ["61", "6100", "62"][number % 3];
        let key = key(&format!("{scope}/{:08x}-{number}", random.below(1 << 32)));
        put(heap, &key, b"x", &mut random);
        expected.insert(key);
    }
    let expected: Vec<HeapKey> = expected.into_iter().collect();
    for step in [333, usize::MAX] {
        let mut found: Vec<HeapKey> = Vec::new();
        loop {
            let part = listed(heap, found.last(), step);
            if part.is_empty() {
                break;
            }
            assert!(part.iter().all(|object| object.size == 1));
            found.extend(part.into_iter().map(|object| object.key));
        }
        assert!(found == expected, "listing by {step} is out of order or incomplete");
    }
}

fn writers_do_not_mix(heap: &dyn Heap) {
    thread::scope(|scope| {
        for number in 1..=6_u64 {
            scope.spawn(move || {
                let mut random = Random::new(number);
                let bytes = random.bytes(900_000 * number as usize);
                let key = key(&format!("61/cc-{number}"));
                put(heap, &key, &bytes, &mut random);
                let whole = must("read", heap.read(&key, 0..u64::MAX));
                assert!(whole == bytes, "an object of racing writers reads back differently");
            });
        }
    });
}

fn put(heap: &dyn Heap, key: &HeapKey, bytes: &[u8], random: &mut Random) {
    let mut writer = must("writer", heap.writer(key));
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = (1 + random.below(200_000) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        must("write", writer.write(piece));
        rest = after;
    }
    must("finish", writer.finish());
}

fn listed(heap: &dyn Heap, after: Option<&HeapKey>, max: usize) -> Vec<HeapObject> {
    let mut found = Vec::new();
    let mut visit = |object| {
        found.push(object);
        if found.len() >= max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    must("list", heap.list(after, &mut visit));
    found
}

fn key(name: &str) -> HeapKey {
    must("a key of allowed characters", HeapKey::new(name).ok_or(()))
}

fn not_in_heap(key: &HeapKey) -> StoreError {
    StoreError::NotInHeap { key: key.as_str().into() }
}
