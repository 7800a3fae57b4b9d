//! PostgreSQL, with bodies in a bucket if the configuration names one.

use std::sync::Arc;

use store::{Heap, Store};
use store_postgres::{Hinting, Password, Postgres, Settings};

use super::secret;
use crate::config::{Bucket, Database, HOME, PostgresStorage};
use crate::failure::Failure;

type Shards = Vec<(String, Arc<dyn Store>)>;

/// Opens all databases. Blocks.
///
/// # Errors
/// With the one that could not be opened, and why.
pub fn open(storage: &PostgresStorage) -> Result<(Arc<dyn Store>, Shards), Failure> {
    let home = database(storage, HOME, &storage.home)?;
    let mut shards = Shards::new();
    for (name, shard) in &storage.shards {
        shards.push((name.clone(), database(storage, name, shard)?));
    }
    Ok((home, shards))
}

fn database(
    storage: &PostgresStorage,
    name: &str,
    database: &Database,
) -> Result<Arc<dyn Store>, Failure> {
    let mut settings = Settings::new(database.url.clone());
    if let Some(file) = &database.password_file {
        settings.password = Some(Password::new(secret(file)?));
    }
    settings.ca_file.clone_from(&database.ca);
    settings.connections_max = usize::try_from(storage.connections).unwrap_or(usize::MAX);
    settings.inline_bytes_max = usize::try_from(storage.inline_bytes_max).unwrap_or(usize::MAX);
    settings.hinting = if storage.listen_notify { Hinting::Notify } else { Hinting::Poll };
    settings.heap = storage.bucket.as_ref().map(|it| heap(it, name)).transpose()?;
    let opened = Postgres::open(settings);
    let opened =
        opened.map_err(|error| Failure::failed(format!("PostgreSQL ({name}): {error}")))?;
    Ok(Arc::new(opened))
}

/// The part of the bucket that is this database's: a clean-up of one never sees another's objects.
#[cfg(feature = "s3")]
fn heap(bucket: &Bucket, name: &str) -> Result<Arc<dyn Heap>, Failure> {
    use blob_s3::{Addressing, Limits, S3Config, S3Heap, Secret};
    let prefix = if bucket.prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{}/{name}", bucket.prefix.trim_matches('/'))
    };
    let addressing = if bucket.virtual_host { Addressing::VirtualHost } else { Addressing::Path };
    let config = S3Config {
        endpoint: bucket.endpoint.clone(),
        bucket: bucket.bucket.clone(),
        region: bucket.region.clone(),
        access_key_id: bucket.access_key.clone(),
        secret_access_key: Secret::new(secret(&bucket.secret_file)?),
        prefix,
        addressing,
        limits: Limits::default(),
    };
    let heap =
        S3Heap::open(&config).map_err(|error| Failure::usage(format!("[bodies.s3] {error}")))?;
    heap.probe().map_err(|error| Failure::failed(format!("[bodies.s3] {error}")))?;
    Ok(Arc::new(heap))
}

#[cfg(not(feature = "s3"))]
fn heap(_: &Bucket, _: &str) -> Result<Arc<dyn Heap>, Failure> {
    Err(Failure::usage("this program was built without S3"))
}
