//! The heap itself: reads, deletions and listings, and the thread pool that drives all requests.

use std::fmt;
use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use futures_util::StreamExt;
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use store::{Heap, HeapKey, HeapObject, HeapWriter, StoreError};
use tokio::runtime::{Builder, Runtime};

use crate::config::{self, ConfigError, S3Config};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::limits::{Limits, MISSING_RETRIES, PAGE_BYTES, THREADS};
use crate::retry::Patience;
use crate::upload::Upload;

/// Objects in a bucket. Cheap to clone; the last one that is dropped ends its threads.
#[derive(Clone)]
pub struct S3Heap {
    core: Arc<Core>,
}

/// What the heap and its writers share.
pub struct Core {
    pub client: AmazonS3,
    pub limits: Limits,
    pub reads: Arc<Gate>,
    pub writes: Arc<Gate>,
    prefix: String,
    shown: String,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl S3Heap {
    /// A heap in the bucket of `config`. Sends nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn open(config: &S3Config) -> Result<Self, ConfigError> {
        let client = config::client(config)?;
        let limits = config.limits.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("blob-s3")
            .enable_all()
            .build()
            .map_err(|error| ConfigError::Client { reason: error.to_string() })?;
        let gate = || Gate::new(limits.requests_max, limits.bytes_max, limits.queue_wait);
        let prefix = match config.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let core = Core {
            client,
            reads: gate(),
            writes: gate(),
            limits,
            shown: format!("{}/{}/{prefix}", config.endpoint, config.bucket),
            prefix,
            runtime: Some(runtime),
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// Asks the store for one object of a listing: a wrong key, bucket or address shows before
    /// anybody needs them.
    ///
    /// # Errors
    /// `ReadFailed`.
    pub fn probe(&self) -> Result<(), StoreError> {
        self.page(None, 1).map(drop)
    }

    /// The part of a range that one request brings, and the size of the object.
    fn piece(&self, key: &HeapKey, range: Range<u64>) -> Result<(Vec<u8>, u64), StoreError> {
        let core = &self.core;
        let path = core.path(key).ok_or_else(|| Failure::Missing.of_read(key))?;
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let _pass = core.reads.enter(1, length)?;
        let patience = Patience::of_read(&core.limits, MISSING_RETRIES);
        let client = core.client.clone();
        let got = core.wait(async move {
            let get = |_| get(client.clone(), path.clone(), range.clone());
            patience.attempts("get", get).await
        });
        match got {
            Ok(piece) => Ok(piece),
            Err(Failure::PastEnd) => Ok((Vec::new(), 0)),
            Err(failure) => Err(failure.of_read(key)),
        }
    }

    /// Whether there is such an object, for a read of none of its bytes.
    fn must_exist(&self, key: &HeapKey) -> Result<(), StoreError> {
        let core = &self.core;
        let path = core.path(key).ok_or_else(|| Failure::Missing.of_read(key))?;
        let _pass = core.reads.enter(1, 0)?;
        let patience = Patience::of_read(&core.limits, MISSING_RETRIES);
        let client = core.client.clone();
        let found = core.wait(async move {
            let head = |_| head(client.clone(), path.clone());
            patience.attempts("head", head).await
        });
        found.map(drop).map_err(|failure| failure.of_read(key))
    }

    /// A page of objects in the order of their names, beginning after the name `after`. Each page
    /// is a request of its own that says where it begins, so a failed one can be repeated.
    fn page(&self, after: Option<String>, objects: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        let core = &self.core;
        let _pass = core.reads.enter(1, PAGE_BYTES)?;
        let patience = Patience::of_read(&core.limits, 0);
        let client = core.client.clone();
        let prefix = core.prefix.clone();
        let listed = core.wait(async move {
            let list = |_| list(client.clone(), prefix.clone(), after.clone(), objects);
            patience.attempts("list", list).await
        });
        let failed = |failure| StoreError::read_failed(format_args!("listing: {failure}"));
        listed.map_err(failed)
    }
}

impl Heap for S3Heap {
    fn writer(&self, key: &HeapKey) -> Result<Box<dyn HeapWriter>, StoreError> {
        Ok(Box::new(Upload::begin(Arc::clone(&self.core), key.clone())?))
    }

    fn read(&self, key: &HeapKey, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if range.is_empty() {
            return self.must_exist(key).map(|()| Vec::new());
        }
        let mut bytes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at.saturating_add(self.core.limits.part_bytes as u64));
            let (piece, size) = self.piece(key, at..end)?;
            at = end;
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
            if at >= size {
                break;
            }
        }
        Ok(bytes)
    }

    fn delete(&self, key: &HeapKey) -> Result<(), StoreError> {
        let core = &self.core;
        // An object of another kind of name was never stored here.
        let Some(path) = core.path(key) else { return Ok(()) };
        let _pass = core.writes.enter(1, 0)?;
        let patience = Patience::of_write(&core.limits);
        let client = core.client.clone();
        let deleted = core.wait(async move {
            let delete = |_| delete(client.clone(), path.clone());
            patience.attempts("delete", delete).await
        });
        match deleted {
            Ok(()) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.of_write(key)),
        }
    }

    fn list(
        &self,
        after: Option<&HeapKey>,
        visit: &mut dyn FnMut(HeapObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = after.map(|key| format!("{}{}", self.core.prefix, key.as_str()));
        loop {
            let page = self.page(last.clone(), self.core.limits.page_objects)?;
            if page.is_empty() {
                return Ok(());
            }
            for object in page {
                let name = object.location.as_ref();
                // Going on after the last name would miss objects, silently.
                if last.as_deref().is_some_and(|last| name <= last) {
                    return Err(StoreError::read_failed("listing: the store has no order"));
                }
                last = Some(name.to_owned());
                // What has no name of ours is not ours.
                let Some(object) = self.core.object(&object) else { continue };
                if visit(object).is_break() {
                    return Ok(());
                }
            }
        }
    }
}

impl fmt::Debug for S3Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Heap({})", self.core.shown)
    }
}

impl Core {
    /// Where an object lies. `None` for a name with an empty segment: stores disagree on those.
    pub fn path(&self, key: &HeapKey) -> Option<Path> {
        let name = key.as_str();
        if name.split('/').any(str::is_empty) {
            return None;
        }
        Path::parse(format!("{}{name}", self.prefix)).ok()
    }

    fn object(&self, meta: &ObjectMeta) -> Option<HeapObject> {
        let name = meta.location.as_ref().strip_prefix(self.prefix.as_str())?;
        let stored_at = SystemTime::from(meta.last_modified);
        Some(HeapObject { key: HeapKey::new(name)?, size: meta.size, stored_at })
    }

    /// Has the heap's own threads do it and blocks this one. A channel and not `block_on`, which
    /// would panic on a thread that an asynchronous runtime lends us for blocking calls.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.spawn(async move {
            // The receiver waits below for as long as the sender lives.
            let _ = answer.send(work.await);
        });
        answered.recv().unwrap_or(Err(Failure::Closed))
    }

    /// Has the heap's own threads do it, and does not wait.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Not the runtime's own drop, which waits and may not run on a thread of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One GET of a part of an object: exactly the bytes that the store says it has of that part.
async fn get(client: AmazonS3, path: Path, range: Range<u64>) -> Result<(Vec<u8>, u64), Failure> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    let answer: GetResult = client.get_opts(&path, options).await?;
    let size = answer.meta.size;
    let wanted = answer.range.end.saturating_sub(answer.range.start);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut pieces = answer.into_stream();
    let mut bytes = Vec::with_capacity(wanted);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        // Longer than announced is as wrong as shorter, and would have no bound.
        if piece.len() > wanted - bytes.len() {
            return Err(Failure::Passing("more bytes than were asked for".to_owned()));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() < wanted {
        let reason = format!("the body ended after {} of {wanted} bytes", bytes.len());
        return Err(Failure::Passing(reason));
    }
    Ok((bytes, size))
}

/// One HEAD: the size of an object.
pub async fn head(client: AmazonS3, path: Path) -> Result<u64, Failure> {
    Ok(client.head(&path).await?.size)
}

async fn delete(client: AmazonS3, path: Path) -> Result<(), Failure> {
    Ok(client.delete(&path).await?)
}

async fn list(
    client: AmazonS3,
    prefix: String,
    after: Option<String>,
    objects: usize,
) -> Result<Vec<ObjectMeta>, Failure> {
    let options = PaginatedListOptions {
        offset: after,
        max_keys: Some(objects),
        ..PaginatedListOptions::default()
    };
    let prefix = (!prefix.is_empty()).then_some(prefix.as_str());
    Ok(client.list_paginated(prefix, options).await?.result.objects)
}
