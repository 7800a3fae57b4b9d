//! A disk that is really full: `STORE_FULL_DIR` names a small file system of its own, which the
//! test fills. Without it there is nothing to fill.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use store::{Commit, Store, StoreError, Write};
use store_local::{Local, Options};

#[test]
#[ignore = "needs a small file system: STORE_FULL_DIR"]
fn full_disk_takes_flags_and_deletions_and_refuses_bodies_until_there_is_room() {
    let Some(outer) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let folder = outer.join("data");
    let options = || Options {
        reserve_bytes: 4 << 20,
        ahead_bytes: 1 << 20,
        pack_bytes_max: 4 << 20,
        ..Options::default()
    };
    let store = Local::open(&folder, options()).unwrap();
    let mut blobs = Vec::new();
    for number in 0..20_u64 {
        blobs.push(put(&store, number).unwrap());
    }
    fill(&outer.join("filler"));
    let mut refused = 0;
    for number in 20..60_u64 {
        match put(&store, number) {
            Ok(id) => blobs.push(id),
            Err(StoreError::StorageFull) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused > 20, "{refused} refused");
    for number in 0..3_000_u64 {
        let key = [b"flags".to_vec(), (number % 40).to_be_bytes().to_vec()].concat();
        let flags = Commit::new().write(Write::put(key, number.to_be_bytes()));
        store.commit_wait(flags).unwrap_or_else(|error| panic!("flags {number}: {error}"));
        if number % 500 == 0 {
            assert_eq!(put(&store, 1_000 + number).err(), Some(StoreError::StorageFull));
        }
    }
    let reopened = {
        drop(store);
        Local::open(&folder, options()).unwrap()
    };
    for id in &blobs {
        reopened.verify_blob(b"a", id).unwrap();
    }
    fs::remove_file(outer.join("filler")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    for number in 100..120_u64 {
        put(&reopened, number).unwrap();
    }
}

fn put(store: &Local, number: u64) -> Result<store::BlobId, StoreError> {
    let mut bytes = vec![0; 30_000];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let lease = store.put_blob(b"a", &bytes)?;
    let id = lease.id();
    let row = Write::put(number.to_be_bytes(), *id.as_bytes());
    store.commit_wait(Commit::new().write(row).naming(lease))?;
    Ok(id)
}

/// Takes all space that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

const FOLDER: &str = "STORE_FULL_DIR";
