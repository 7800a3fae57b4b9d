//! Damage to the database and to the packs: a typed error, never wrong bytes, and `verify` names
//! it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use store::{BlobId, KeyRange, Store, StoreError, Write};
use store::{BlobKey, Commit};

use super::{copy_folder, in_memory, noise, open, options, put, report};
use crate::Local;
use crate::disk::OsDisk;

const ROWS: u64 = 600;
const CASES: u32 = 300;

fn value(number: u64) -> Vec<u8> {
    noise(number, 100 + number as usize % 60)
}

fn build(folder: &Path) -> Vec<BlobId> {
    let store = open(folder);
    for first in (0..ROWS).step_by(50) {
        let put = |number: u64| Write::put(number.to_be_bytes(), value(number));
        let writes = (first..first + 50).map(put).collect();
        store.commit_wait(Commit { writes, ..Commit::new() }).unwrap();
    }
    (0..8).map(|seed| put(&store, &noise(seed, 20_000)).id()).collect()
}

fn verify(store: &Local) -> Vec<String> {
    let mut found = Vec::new();
    store.verify(&mut |what| found.push(what.to_owned())).unwrap();
    found
}

#[test]
fn undamaged_store_verifies() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    assert_eq!(verify(&open(folder.path())), Vec::<String>::new());
}

#[test]
fn row_whose_bits_flipped_is_named_and_not_returned() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path());
    let path = folder.path().join("store.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(100).position(|bytes| *bytes == value(77)[..100]).unwrap();
    bytes[at + 40] ^= 2;
    fs::write(&path, bytes).unwrap();
    let store = open(folder.path());
    let view = store.view().unwrap();
    let named = |error: &StoreError| error.to_string().contains("row 000000000000004d");
    assert!(view.get(&77_u64.to_be_bytes()).is_err_and(|error| named(&error)));
    assert_eq!(view.get(&78_u64.to_be_bytes()), Ok(Some(value(78))));
    let scanned =
        view.scan(&KeyRange::prefix(b""), &mut |_, _| std::ops::ControlFlow::Continue(()));
    assert!(scanned.is_err_and(|error| named(&error)));
    let condition = store::Expected::Present;
    let answer = store.commit_wait(Commit::new().when(77_u64.to_be_bytes(), condition));
    assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}");
    assert_eq!(verify(&store), ["damaged: database: row 000000000000004d"]);
    // Whoever writes it again has healed it.
    store.commit_wait(Commit::new().write(Write::put(77_u64.to_be_bytes(), b"new"))).unwrap();
    assert_eq!(verify(&store), Vec::<String>::new());
}

#[test]
fn body_that_is_damaged_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = build(folder.path());
    let store = open(folder.path());
    let location = store.shared().readers.locate(&BlobKey::new(b"a", blobs[3])).unwrap().unwrap();
    super::damage(&store, folder.path(), &BlobKey::new(b"a", blobs[3]));
    let pack = crate::pack::file_name(location.pack);
    let at = location.offset;
    assert_eq!(verify(&store), [format!("blob {}: damaged (pack {pack} at {at})", blobs[3])]);
}

#[test]
fn random_damage_to_any_file_gives_errors_and_never_other_bytes() {
    let outer = in_memory();
    let (built, live) = (outer.path().join("built"), outer.path().join("live"));
    let blobs = build(&built);
    // Also one with a log of SQLite's and none of its checkpoints.
    let killed = open(&live);
    put(&killed, &noise(0, 20_000));
    for number in 0..40 {
        let row = Write::put(u64::to_be_bytes(number), value(number));
        killed.commit_wait(Commit::new().write(row)).unwrap();
    }
    let mut random = 0x5eed_u64;
    eprintln!("seed {random:#x}");
    let mut errors = 0;
    for case in 0..u64::from(CASES) {
        let folder = outer.path().join("case");
        let (from, rows) = if case % 3 == 0 { (&live, 40) } else { (&built, ROWS) };
        copy_folder(from, &folder);
        let mut files = vec![folder.join("store.db"), folder.join("store.db-wal")];
        files.extend(fs::read_dir(folder.join("packs")).unwrap().map(|file| file.unwrap().path()));
        files.retain(|file| fs::metadata(file).is_ok_and(|file| file.len() > 0));
        let file = &files[next(&mut random) as usize % files.len()];
        hurt(file, &mut random);
        match Local::open(&folder, options(Arc::new(OsDisk))) {
            Err(StoreError::Corrupt { .. } | StoreError::Unsupported { .. }) => errors += 1,
            Err(other) => panic!("case {case}, {}: {other:?}", file.display()),
            Ok(store) => {
                let view = match store.view() {
                    Ok(view) => view,
                    Err(StoreError::Corrupt { .. }) => continue,
                    Err(other) => panic!("case {case}: {other:?}"),
                };
                for number in 0..rows {
                    match view.get(&number.to_be_bytes()) {
                        Ok(Some(found)) => assert!(found == value(number), "case {case}: {number}"),
                        Ok(None) => panic!("case {case}, {}: {number}", file.display()),
                        Err(StoreError::Corrupt { .. }) => errors += 1,
                        Err(other) => panic!("case {case}: {other:?}"),
                    }
                }
                for (seed, id) in blobs.iter().enumerate() {
                    match store.read_blob(b"a", id, 0..u64::MAX) {
                        Ok(found) => assert!(found == noise(seed as u64, 20_000), "case {case}"),
                        Err(StoreError::Corrupt { .. }) => errors += 1,
                        Err(StoreError::BlobMissing { .. }) => {}
                        Err(other) => panic!("case {case}: {other:?}"),
                    }
                }
                verify(&store);
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    eprintln!("{errors} errors");
    assert!(errors > 50);
    report("bit, page or end of a file of the store damaged", CASES);
}

/// Flips a bit, zeroes a page, swaps two, or cuts off the end.
fn hurt(file: &Path, random: &mut u64) {
    let mut bytes = fs::read(file).unwrap();
    let page = 8192.min(bytes.len());
    let pages = bytes.len() / page;
    let (one, other) = (next(random) as usize % pages, next(random) as usize % pages);
    match next(random) % 4 {
        0 => {
            let at = next(random) as usize % bytes.len();
            bytes[at] ^= 1 << (next(random) % 8);
        }
        1 => bytes[one * page..(one + 1) * page].fill(0),
        2 => (0..page).for_each(|at| bytes.swap(one * page + at, other * page + at)),
        _ => bytes.truncate(next(random) as usize % bytes.len()),
    }
    fs::write(file, bytes).unwrap();
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}
