//! The log brings the database back, however much of that is lost; and is not cut off where it
//! holds what was acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{BlobId, Commit, Deletion, Store, StoreError, Write};
use tempfile::TempDir;

use super::{copy_folder, listed, noise, open, options, pack_files, put};
use crate::disk::OsDisk;
use crate::log::LogKey;
use crate::log::format::segment_header;
use crate::log::walk::{Found, Segment};
use crate::{Disk, Local, Options};

/// A killed store, and its database as it was when it was first opened.
struct Killed {
    outer: TempDir,
    copies: u32,
    bodies: Vec<Vec<u8>>,
    gone: BlobId,
    /// Where records begin in the first segment, and the end of the last.
    groups: Vec<u64>,
    end: u64,
    key: LogKey,
}

const ROWS: u64 = 20;

impl Killed {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let live = outer.path().join("live");
        let store = open(&live);
        copy_folder(&live, &outer.path().join("first"));
        let bodies: Vec<_> = [300, 60_000, 1_300_000].map(|size| noise(size as u64, size)).into();
        bodies.iter().for_each(|bytes| _ = put(&store, bytes));
        let gone = put(&store, b"stored, named and deleted").id();
        store.commit_wait(Commit::new()).unwrap();
        assert_eq!(store.delete_blobs(b"a", &listed(&store, &[gone])), Ok(vec![Deletion::Deleted]));
        for number in 0..ROWS {
            let (key, value) = (number.to_be_bytes(), noise(number, 40 + 30 * number as usize));
            let other = Write::put([&key[..], b"other"].concat(), b"gone with the next");
            store.commit_wait(Commit::new().write(Write::put(key, value)).write(other)).unwrap();
            let delete = Write::delete([&key[..], b"other"].concat());
            store.commit_wait(Commit::new().write(delete)).unwrap();
        }
        let killed = outer.path().join("killed");
        copy_folder(&live, &killed);
        let key = store.shared().packs().log_key();
        let file = OsDisk.open(&segment_path(&killed)).unwrap();
        let length = file.length().unwrap();
        let segment = Segment { id: 1, file: file.as_ref(), length, key: &key };
        let (mut at, mut groups, mut end) = (64, Vec::new(), 0);
        loop {
            match segment.record(at).unwrap() {
                Found::Body { after } => at = after,
                Found::Group { after, .. } => {
                    groups.push(at);
                    (at, end) = (after, after);
                }
                Found::Nothing => break,
                Found::Invalid(look) => panic!("{look:?}"),
            }
        }
        Self { outer, copies: 0, bodies, gone, groups, end, key }
    }

    /// The killed store with the packs that it had and the database of its first day.
    fn with_old_database(&mut self) -> PathBuf {
        let copy = self.copy();
        fs::remove_file(copy.join("store.db-wal")).unwrap();
        fs::copy(self.outer.path().join("first/store.db"), copy.join("store.db")).unwrap();
        copy
    }

    fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let copy = self.outer.path().join(self.copies.to_string());
        copy_folder(&self.outer.path().join("killed"), &copy);
        copy
    }

    fn check(&self, store: &Local, rows: u64) {
        let view = store.view().unwrap();
        for number in 0..ROWS {
            let found = view.get(&number.to_be_bytes()).unwrap();
            let value = noise(number, 40 + 30 * number as usize);
            assert!(found == (number < rows).then_some(value), "row {number}");
        }
        for bytes in &self.bodies {
            assert!(store.read_blob(b"a", &BlobId::of(bytes), 0..u64::MAX).unwrap() == *bytes);
        }
        assert_eq!(store.blob_size(b"a", &self.gone), Ok(None));
    }
}

fn segment_path(folder: &Path) -> PathBuf {
    folder.join("packs").join(crate::pack::file_name(1))
}

fn change(folder: &Path, at: u64, how: impl Fn(u8) -> u8, count: usize) {
    let file = OsDisk.open(&segment_path(folder)).unwrap();
    let mut bytes = vec![0; count];
    file.read_at(at, &mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = how(*byte));
    file.write_at(at, &bytes).unwrap();
}

#[test]
fn whole_log_is_applied_to_the_database_of_the_first_day() {
    let mut killed = Killed::new();
    let folder = killed.with_old_database();
    let store = open(&folder);
    killed.check(&store, ROWS);
    let view = store.view().unwrap();
    assert_eq!(view.get(&[&1_u64.to_be_bytes()[..], b"other"].concat()), Ok(None));
    assert_eq!(view.at().0, 5 + 2 * ROWS);
    drop(view);
    // It goes on in the same segment, with numbers that nobody had.
    assert_eq!(store.commit_wait(Commit::new().write(Write::put(b"k", b"v"))).unwrap().0, 46);
    assert_eq!(pack_files(&folder), 2);
}

#[test]
fn any_lost_end_of_the_databases_own_log_comes_back_from_ours() {
    let mut killed = Killed::new();
    let whole = fs::metadata(killed.copy().join("store.db-wal")).unwrap().len();
    for cut in (0..whole).step_by(usize::try_from(whole / 40).unwrap()) {
        let folder = killed.copy();
        let log = fs::OpenOptions::new().write(true).open(folder.join("store.db-wal")).unwrap();
        log.set_len(cut).unwrap();
        killed.check(&open(&folder), ROWS);
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn torn_end_is_cut_off_and_the_log_goes_on_there() {
    let mut killed = Killed::new();
    let last = *killed.groups.last().unwrap();
    let before = killed.groups[killed.groups.len() - 2];
    for cut in (last..killed.end).step_by(8).chain([last + 1, killed.end - 1]) {
        let folder = killed.with_old_database();
        OsDisk.open(&segment_path(&folder)).unwrap().truncate(cut).unwrap();
        let store = open(&folder);
        // The last group only deleted a row that nobody looks at.
        killed.check(&store, ROWS);
        assert_eq!(store.view().unwrap().at().0, 4 + 2 * ROWS, "cut at {cut}");
        put(&store, &noise(cut, 5_000));
        drop(store);
        open(&folder).verify_blob(b"a", &BlobId::of(&noise(cut, 5_000))).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
    assert!(before < last);
}

#[test]
fn segment_made_while_the_group_before_it_was_being_synced_goes_with_that_group() {
    let mut killed = Killed::new();
    let last = *killed.groups.last().unwrap();
    for (later, opens) in [(1, true), (2, false)] {
        let folder = killed.with_old_database();
        OsDisk.open(&segment_path(&folder)).unwrap().truncate(last).unwrap();
        let first_group = killed.groups.len() as u64 + later;
        let next = folder.join("packs").join(crate::pack::file_name(3));
        fs::write(&next, segment_header(&killed.key, 3, first_group)).unwrap();
        match Local::open(&folder, options(Arc::new(OsDisk))) {
            Ok(store) => killed.check(&store, ROWS),
            // A group behind the missing one was written, so that one was synced.
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
        }
        assert_eq!(next.exists(), !opens);
    }
}

#[test]
fn damaged_group_that_others_follow_is_reported_and_nothing_is_cut_off() {
    let mut killed = Killed::new();
    for &group in &killed.groups.clone()[..killed.groups.len() - 1] {
        // Zeros over the magic; another bit in the header; other bytes in the payload.
        for (offset, and, xor) in [(0, 0, 0), (20, 0xff, 4), (73, 0xff, 0xff)] {
            let folder = killed.with_old_database();
            change(&folder, group + offset, |byte| byte & and ^ xor, 8);
            let before = fs::read(segment_path(&folder)).unwrap();
            match Local::open(&folder, options(Arc::new(OsDisk))).err() {
                Some(StoreError::Corrupt { what }) => {
                    assert!(what.contains(&format!("0000000000000001.pack at {group}")), "{what}");
                }
                other => panic!("group at {group}, byte {offset}: {other:?}"),
            }
            assert!(fs::read(segment_path(&folder)).unwrap() == before, "the log was changed");
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn damage_in_the_last_group_that_no_torn_write_leaves_is_reported() {
    let mut killed = Killed::new();
    let last = *killed.groups.last().unwrap();
    for at in (last..killed.end).step_by(3) {
        let folder = killed.with_old_database();
        change(&folder, at, |byte| byte ^ 0x10, 1);
        match Local::open(&folder, options(Arc::new(OsDisk))) {
            Err(StoreError::Corrupt { what }) => assert!(what.contains("at "), "{what}"),
            // The padding of a record is nobody's.
            Ok(store) => killed.check(&store, ROWS),
            Err(other) => panic!("{at}: {other:?}"),
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn last_group_goes_with_a_body_that_was_not_written_to_its_end() {
    let outer = tempfile::tempdir().unwrap();
    let (live, first) = (outer.path().join("live"), outer.path().join("first"));
    let store = open(&live);
    put(&store, &noise(1, 9_000));
    copy_folder(&live, &first);
    let lease = store.put_blob(b"a", &noise(2, 9_000)).unwrap();
    let id = lease.id();
    store.commit_wait(Commit::new().write(Write::put(b"row", b"v")).naming(lease)).unwrap();
    let location = store.shared().readers.locate(&store_key(id)).unwrap().unwrap();
    let copy = |name: &str| {
        let folder = outer.path().join(name);
        copy_folder(&first, &folder);
        fs::copy(segment_path(&live), segment_path(&folder)).unwrap();
        folder
    };
    let torn = copy("torn");
    change(&torn, (location.offset + 1_000).next_multiple_of(512), |_| 0, 512);
    let torn = open(&torn);
    assert_eq!(torn.blob_size(b"a", &id), Ok(None));
    assert_eq!(torn.view().unwrap().get(b"row"), Ok(None));
    // A bit that flipped is no torn write: the row stays, and reading the body tells.
    let damaged = copy("damaged");
    change(&damaged, location.offset + 1_000, |byte| byte ^ 1, 1);
    let damaged = open(&damaged);
    assert_eq!(damaged.view().unwrap().get(b"row"), Ok(Some(b"v".to_vec())));
    assert!(matches!(damaged.verify_blob(b"a", &id), Err(StoreError::Corrupt { .. })));
}

fn store_key(id: BlobId) -> store::BlobKey {
    store::BlobKey::new(b"a", id)
}

#[test]
fn replay_goes_through_many_segments() {
    let outer = tempfile::tempdir().unwrap();
    let (live, after) = (outer.path().join("live"), outer.path().join("after"));
    let small = || Options { pack_bytes_max: 20_000, ..options(Arc::new(OsDisk)) };
    let store = Local::open(&live, small()).unwrap();
    copy_folder(&live, &after);
    for number in 0..60_u64 {
        let lease = store.put_blob(b"a", &noise(number, 3_000)).unwrap();
        let row = Write::put(number.to_be_bytes(), *lease.id().as_bytes());
        store.commit_wait(Commit::new().write(row).naming(lease)).unwrap();
    }
    assert!(pack_files(&live) > 8);
    fs::remove_dir_all(after.join("packs")).unwrap();
    copy_folder(&live.join("packs"), &after.join("packs"));
    let check = |store: &Local| {
        let view = store.view().unwrap();
        for number in 0..60_u64 {
            let id = BlobId::of(&noise(number, 3_000));
            assert_eq!(view.get(&number.to_be_bytes()), Ok(Some(id.as_bytes().to_vec())));
            store.verify_blob(b"a", &id).unwrap();
        }
    };
    let missing = outer.path().join("missing");
    copy_folder(&after, &missing);
    fs::remove_file(missing.join("packs").join(crate::pack::file_name(4))).unwrap();
    let answer = Local::open(&missing, small()).err();
    assert!(matches!(answer, Some(StoreError::Corrupt { .. })), "{answer:?}");
    check(&Local::open(&after, small()).unwrap());
    check(&Local::open(&after, small()).unwrap());
}

#[test]
fn segment_is_kept_until_the_database_that_does_not_need_it_is_on_disk() {
    let outer = tempfile::tempdir().unwrap();
    let (live, old) = (outer.path().join("live"), outer.path().join("old"));
    let small = || Options { pack_bytes_max: 20_000, ..options(Arc::new(OsDisk)) };
    let store = Local::open(&live, small()).unwrap();
    fs::create_dir_all(&old).unwrap();
    fs::copy(live.join("store.db"), old.join("store.db")).unwrap();
    // Flags only: nothing in these segments lives.
    let row = |number: u64| Commit::new().write(Write::put(b"flags", noise(number, 3_000)));
    for number in 0..30 {
        store.commit_wait(row(number)).unwrap();
    }
    copy_folder(&live.join("packs"), &old.join("packs"));
    let old = Local::open(&old, small()).unwrap();
    assert_eq!(old.view().unwrap().get(b"flags"), Ok(Some(noise(29, 3_000))));
    store.reclaim().unwrap();
    store.commit_wait(row(30)).unwrap();
    store.reclaim().unwrap();
    assert!(pack_files(&live) <= 2, "{} packs hold one row", pack_files(&live));
}

#[test]
fn empty_database_beside_packs_is_reported_and_they_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, &noise(1, 10_000));
    drop(store);
    fs::write(folder.path().join("store.db"), b"").unwrap();
    // Nor does a refusal leave something behind that is taken for a store afterwards.
    for _ in 0..2 {
        let answer = Local::open(folder.path(), options(Arc::new(OsDisk))).err();
        assert!(matches!(answer, Some(StoreError::Corrupt { .. })), "{answer:?}");
        assert_eq!(pack_files(folder.path()), 1);
    }
}

#[test]
fn log_that_has_lost_its_database_is_never_taken_for_an_empty_store() {
    for lost in ["missing", "empty"] {
        let folder = tempfile::tempdir().unwrap();
        put(&open(folder.path()), b"Subject: high water");
        let database = folder.path().join("store.db");
        match lost {
            "missing" => std::fs::remove_file(&database).unwrap(),
            _ => drop(std::fs::File::create(&database).unwrap()),
        }
        for attempt in 0..2 {
            let opened = Local::open(folder.path(), options(Arc::new(OsDisk))).map(drop);
            let corrupt = matches!(opened, Err(StoreError::Corrupt { .. }));
            assert!(corrupt, "{lost}, attempt {attempt}: {opened:?}");
        }
    }
}
