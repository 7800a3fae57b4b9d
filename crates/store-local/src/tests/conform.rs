//! The contract's own suite, on this engine.

use std::path::PathBuf;
use std::sync::Arc;

use store::conformance::{self, Engine, Restart};
use store::{BlobKey, Store};
use tempfile::TempDir;

use super::{copy_folder, damage, open};
use crate::Local;

struct OnDisk {
    outer: TempDir,
    generation: u32,
    store: Arc<Local>,
}

impl OnDisk {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&outer.path().join("0")));
        Self { outer, generation: 0, store }
    }

    fn folder(&self) -> PathBuf {
        self.outer.path().join(self.generation.to_string())
    }
}

impl Engine for OnDisk {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn restart(&mut self, how: Restart) {
        match how {
            Restart::Closed => {
                self.store.close().unwrap();
            }
            Restart::Killed => {
                // The old store stays open on its folder; the new one gets what lies on the disk.
                let killed = self.folder();
                self.generation += 1;
                copy_folder(&killed, &self.folder());
            }
        }
        self.store = Arc::new(open(&self.folder()));
    }

    fn damage_blob(&mut self, key: &BlobKey) {
        damage(&self.store, &self.folder(), key);
    }
}

#[test]
fn engine_on_disk_conforms() {
    conformance::all(&|| Box::new(OnDisk::new()));
}
