//! A folder of version 1, from before the log: it is taken over as it is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::params;
use store::{BlobId, BlobKey, Commit, Deletion, Store, StoreError, Write};

use super::{copy_folder, listed, noise, open, options, pack_files, put};
use crate::Local;
use crate::disk::OsDisk;
use crate::pack::format::{FRAME_BYTES, Frames, pack_header};

/// What version 1 wrote: two packs, the second not full, and rows without sums.
fn write_version_1(folder: &Path) -> Vec<Vec<u8>> {
    fs::create_dir_all(folder.join("packs")).unwrap();
    let database = rusqlite::Connection::open(folder.join("store.db")).unwrap();
    database.execute_batch(VERSION_1).unwrap();
    let bodies: Vec<_> = (0..6_u64).map(|seed| noise(seed, 9_000)).collect();
    for (pack, bodies) in [(1_i64, &bodies[..3]), (2, &bodies[3..])] {
        let mut file = pack_header(pack as u64).to_vec();
        for bytes in bodies {
            let record = record(bytes);
            let (id, at) = (BlobId::of(bytes), file.len() as i64);
            let (length, size) = (record.len() as i64, bytes.len() as i64);
            let values = params![b"a", id.as_bytes(), pack, at, length, size, 5];
            let insert = "INSERT INTO blob VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            database.execute(insert, values).unwrap();
            file.extend(record);
        }
        let values = params![pack, file.len() as i64, file.len() as i64 - 16, pack == 1];
        database.execute("INSERT INTO pack VALUES (?1, ?2, ?3, ?4)", values).unwrap();
        file.extend(b"never recorded");
        fs::write(folder.join(format!("packs/{pack:016x}.pack")), file).unwrap();
    }
    for number in 0..50_u64 {
        let values = params![number.to_be_bytes(), noise(number, 60)];
        database.execute("INSERT INTO row VALUES (?1, ?2)", values).unwrap();
    }
    database.execute("INSERT INTO meta VALUES ('commit', 41)", []).unwrap();
    bodies
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let (mut frames, mut body) = (Frames::default(), Vec::new());
    bytes.chunks(FRAME_BYTES).for_each(|frame| frames.push(frame, &mut body).unwrap());
    let key = BlobKey::new(b"a", BlobId::of(bytes));
    let (header, table) = frames.finish(key, bytes.len() as u64);
    [header.encode(), body, table].concat()
}

fn check(store: &Local, bodies: &[Vec<u8>]) {
    let view = store.view().unwrap();
    for number in 0..50_u64 {
        assert_eq!(view.get(&number.to_be_bytes()), Ok(Some(noise(number, 60))));
    }
    for bytes in bodies {
        store.verify_blob(b"a", &BlobId::of(bytes)).unwrap();
    }
}

#[test]
fn folder_of_version_1_is_taken_over() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, killed) = (outer.path().join("1"), outer.path().join("2"));
    let bodies = write_version_1(&folder);
    let store = open(&folder);
    check(&store, &bodies);
    assert_eq!(store.view().unwrap().at().0, 41);
    let new = put(&store, &noise(99, 9_000));
    assert_eq!(store.view().unwrap().at().0, 42);
    let gone = BlobId::of(&bodies[0]);
    store.commit_wait(Commit::new().write(Write::put(b"k", b"v"))).unwrap();
    assert_eq!(store.delete_blobs(b"a", &listed(&store, &[gone])), Ok(vec![Deletion::Deleted]));
    let mut damage = Vec::new();
    store.verify(&mut |what| damage.push(what.to_owned())).unwrap();
    assert_eq!(damage, Vec::<String>::new());
    copy_folder(&folder, &killed);
    let store = open(&killed);
    check(&store, &bodies[1..]);
    store.verify_blob(b"a", &new.id()).unwrap();
    assert_eq!(pack_files(&killed), 3, "two old packs and the log");
}

#[test]
fn folder_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    database.pragma_update(None, "user_version", 3).unwrap();
    drop(database);
    let answer = Local::open(folder.path(), options(Arc::new(OsDisk))).err();
    match answer {
        Some(StoreError::Unsupported { found }) => assert!(found.contains("version 3"), "{found}"),
        answer => panic!("{answer:?}"),
    }
}

const VERSION_1: &str = "
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = wal;
    CREATE TABLE row (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE blob (
        scope BLOB NOT NULL, id BLOB NOT NULL,
        pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
        size INTEGER NOT NULL, named_at INTEGER NOT NULL,
        PRIMARY KEY (scope, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pack (
        id INTEGER PRIMARY KEY, end INTEGER NOT NULL, live INTEGER NOT NULL, sealed INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 1885501522;
    PRAGMA user_version = 1;
";
