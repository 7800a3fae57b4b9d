//! Tests of the engine as a whole, on a PostgreSQL of their own.

mod conform;

use std::sync::Arc;
use std::time::Duration;

use store::Heap;
use testkit::postgres::{Cluster, Durability};

use crate::Settings;

fn cluster() -> Cluster {
    Cluster::start(Durability::Fast, &[]).unwrap()
}

/// An empty schema of its own, as good as a database.
fn schema(cluster: &Cluster, name: &str) -> String {
    cluster.run_sql(&format!("CREATE SCHEMA {name}")).unwrap();
    format!("{}?options=-csearch_path%3D{name}", cluster.url())
}

fn settings(url: &str, heap: Option<Arc<dyn Heap>>) -> Settings {
    Settings {
        heap,
        connections_max: 24,
        patience: Duration::from_secs(10),
        garbage_grace: Duration::ZERO,
        orphan_grace: Duration::ZERO,
        ..Settings::new(url)
    }
}
