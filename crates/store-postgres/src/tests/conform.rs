//! The conformance suite: bodies in the database, bodies in a heap, hints without NOTIFY.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use store::conformance::{self, Engine, Restart};
use store::mem_heap::MemHeap;
use store::{BlobKey, Heap, HeapKey, Store};
use testkit::postgres::Cluster;

use super::{cluster, schema, settings};
use crate::{Hinting, Postgres, Settings};

struct Opened {
    cluster: Arc<Cluster>,
    schema: String,
    settings: Settings,
    heap: Option<MemHeap>,
    engine: Arc<Postgres>,
}

impl Opened {
    fn new(cluster: &Arc<Cluster>, heap: Option<MemHeap>, hinting: Hinting) -> Self {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let schema_name = format!("case_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let url = schema(cluster, &schema_name);
        let contract = heap.clone().map(|heap| Arc::new(heap) as Arc<dyn Heap>);
        let settings = Settings { hinting, ..settings(&url, contract) };
        let engine = Arc::new(Postgres::open(settings.clone()).unwrap());
        let cluster = Arc::clone(cluster);
        Self { cluster, schema: schema_name, settings, heap, engine }
    }
}

impl Engine for Opened {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.engine) as Arc<dyn Store>
    }

    fn restart(&mut self, how: Restart) {
        match how {
            Restart::Closed => self.engine.close().unwrap(),
            Restart::Killed => self.engine.kill(),
        }
        self.engine = Arc::new(Postgres::open(self.settings.clone()).unwrap());
    }

    fn views_max(&self) -> usize {
        self.engine.views_max()
    }

    fn damage_blob(&mut self, key: &BlobKey) {
        let id = key.id;
        let flip = |column: &str| {
            format!(
                "set_byte({column}, length({column}) / 2,
                get_byte({column}, length({column}) / 2) # 16)"
            )
        };
        let (body, bytes) = (flip("body"), flip("bytes"));
        let sql = format!(
            "SET search_path = {};
            UPDATE pillarbox_blobs SET body = {body} WHERE id = '\\x{id}' AND body IS NOT NULL;
            UPDATE pillarbox_chunks SET bytes = {bytes} WHERE number = 0 AND object =
                (SELECT object FROM pillarbox_blobs WHERE id = '\\x{id}');
            SELECT object FROM pillarbox_blobs WHERE id = '\\x{id}'",
            self.schema
        );
        let object = self.cluster.run_sql(&sql).unwrap();
        if let (Some(heap), Some(object)) = (&self.heap, HeapKey::new(object)) {
            heap.damage(&object);
        }
    }
}

fn conforms(heap: impl Fn() -> Option<MemHeap>, hinting: Hinting) {
    let cluster = Arc::new(cluster());
    conformance::all(&|| Box::new(Opened::new(&cluster, heap(), hinting)));
}

#[test]
fn engine_with_bodies_in_the_database_conforms() {
    conforms(|| None, Hinting::Notify);
}

#[test]
fn engine_with_bodies_in_a_heap_conforms() {
    conforms(|| Some(MemHeap::new()), Hinting::Notify);
}

#[test]
fn engine_without_notifications_conforms() {
    conforms(|| Some(MemHeap::new()), Hinting::Poll);
}
