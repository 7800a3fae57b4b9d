//! Blobs: taking their bytes, and reading them back.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use store::limits::{BLOB_READ_BYTES_MAX, check_blob_size};
use store::{BlobId, BlobKey, BlobLease, BlobReader, BlobWriter, HeapKey, HeapWriter, StoreError};

use crate::body::{FRAME_BYTES, Frames, INLINE_BYTES_MAX, Table, decode_inline, encode_inline};
use crate::pending::{Body, Fresh, Guard};
use crate::shared::Shared;

/// Takes the bytes of one blob: short ones stay in memory, longer ones go on in frames.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    scope: Vec<u8>,
    hasher: blake3::Hasher,
    size: u64,
    /// What has not been framed yet.
    waiting: Vec<u8>,
    object: Option<Object>,
}

struct Object {
    key: HeapKey,
    writer: Box<dyn HeapWriter>,
    table: Table,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, scope: &[u8]) -> Self {
        let (scope, hasher) = (scope.to_vec(), blake3::Hasher::new());
        Self { shared, scope, hasher, size: 0, waiting: Vec::new(), object: None }
    }

    /// The object of this blob, begun if there is none yet.
    fn object(&mut self) -> Result<&mut Object, StoreError> {
        if self.object.is_none() {
            let key = object_key(&self.scope)?;
            let writer = self.shared.heap.writer(&key)?;
            self.object = Some(Object { key, writer, table: Table::default() });
        }
        self.object.as_mut().ok_or(StoreError::Closed)
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let object = self.object()?;
        let stored = object.table.frame(bytes);
        object.writer.write(&stored)
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        check_blob_size(self.size + bytes.len() as u64)?;
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
        let mut rest = bytes;
        // A frame is kept back until it is sure that the blob is longer.
        while self.waiting.len() + rest.len() > FRAME_BYTES {
            let (now, later) = rest.split_at(FRAME_BYTES - self.waiting.len());
            self.waiting.extend_from_slice(now);
            let frame = std::mem::take(&mut self.waiting);
            self.frame(&frame)?;
            rest = later;
        }
        self.waiting.extend_from_slice(rest);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn finish(mut self: Box<Self>) -> Result<BlobLease, StoreError> {
        self.shared.check_open()?;
        let id = BlobId::from(self.hasher.finalize());
        let key = BlobKey::new(&self.scope, id);
        let rest = std::mem::take(&mut self.waiting);
        if self.object.is_none() {
            let body = encode_inline(&rest);
            if body.len() <= self.shared.settings.inline_bytes_max.min(INLINE_BYTES_MAX) {
                return Ok(self
                    .shared
                    .pending
                    .hold(key, Fresh::new(self.size, Body::Inline(body))));
            }
        }
        if !rest.is_empty() {
            self.frame(&rest)?;
        }
        let size = self.size;
        self.object()?;
        let Object { key: object, mut writer, table } =
            self.object.take().ok_or(StoreError::Closed)?;
        let (end, stored_bytes) = table.finish(&id, size);
        writer.write(&end)?;
        writer.finish()?;
        let body = Body::Object { key: object, stored_bytes };
        Ok(self.shared.pending.hold(key, Fresh::new(size, body)))
    }
}

/// A name that no object had before: the scope, and a number nobody draws twice.
fn object_key(scope: &[u8]) -> Result<HeapKey, StoreError> {
    let mut number = [0; 16];
    getrandom::fill(&mut number).map_err(StoreError::write_refused)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    HeapKey::new(format!("b{}/{}", hex(scope), hex(&number))).ok_or(StoreError::Closed)
}

/// Opens a blob: one that waits here for its commit, or one that a row records.
pub(crate) fn open(shared: &Arc<Shared>, key: &BlobKey) -> Result<Box<dyn BlobReader>, StoreError> {
    if let Some((fresh, lease)) = shared.pending.read(key) {
        return match &fresh.body {
            Body::Inline(body) => inline(&key.id, fresh.size, body),
            Body::Object { key: object, stored_bytes } => {
                let mut reader =
                    in_heap(shared, &key.id, fresh.size, *stored_bytes, object.clone());
                reader.lease = Some(lease);
                Ok(Box::new(reader))
            }
        };
    }
    let (scope, id) = (key.scope.clone(), *key.id.as_bytes());
    let row = shared.db.read(move |client| {
        let scope = scope.clone();
        async move {
            let sql = "SELECT size, stored_bytes, body, object FROM pillarbox_blobs
                WHERE scope = $1 AND id = $2";
            let statement = client.prepare_cached(sql).await?;
            client.query_opt(&statement, &[&scope, &&id[..]]).await
        }
    })?;
    let row = row.ok_or(StoreError::BlobMissing { id: key.id })?;
    let (size, stored) = (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1));
    if let Some(body) = row.get::<_, Option<&[u8]>>(2) {
        return inline(&key.id, size, body);
    }
    let object = row.get::<_, Option<&str>>(3).and_then(HeapKey::new).ok_or_else(|| {
        StoreError::corrupt(format_args!("blob {}: its row names no object", key.id))
    })?;
    Ok(Box::new(in_heap(shared, &key.id, size, stored.unsigned_abs(), object)))
}

fn inline(id: &BlobId, size: u64, body: &[u8]) -> Result<Box<dyn BlobReader>, StoreError> {
    Ok(Box::new(Inline { bytes: decode_inline(id, size, body)? }))
}

fn in_heap(
    shared: &Arc<Shared>,
    id: &BlobId,
    size: u64,
    stored_bytes: u64,
    object: HeapKey,
) -> InHeap {
    InHeap {
        lease: None,
        shared: Arc::clone(shared),
        id: *id,
        size,
        stored_bytes,
        object,
        whole: OnceLock::new(),
        frames: OnceLock::new(),
        last: Mutex::new(None),
    }
}

struct Inline {
    bytes: Vec<u8>,
}

impl BlobReader for Inline {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        let wanted = wanted(self.size(), offset, bytes_max);
        Ok(slice(&self.bytes, &wanted))
    }
}

/// Reads an object: a short one at once, a long one by parts, after its table.
struct InHeap {
    /// Keeps an object that no row names yet, and perhaps none will.
    lease: Option<Guard>,
    shared: Arc<Shared>,
    id: BlobId,
    size: u64,
    stored_bytes: u64,
    object: HeapKey,
    /// The stored bytes of a short object.
    whole: OnceLock<Vec<u8>>,
    frames: OnceLock<Frames>,
    /// What was decoded last: a reader in small steps asks for the same frames again.
    last: Mutex<Option<Decoded>>,
}

/// Numbers of frames, and what is in them.
type Decoded = (Range<usize>, Arc<Vec<u8>>);

impl InHeap {
    /// Bytes of the object.
    fn stored(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let read = |range: Range<u64>| {
            self.shared.heap.read(&self.object, range).map_err(|error| match error {
                StoreError::NotInHeap { key } => {
                    StoreError::corrupt(format_args!("blob {}: no object {key}", self.id))
                }
                StoreError::Corrupt { what } => {
                    StoreError::corrupt(format_args!("blob {}: {what}", self.id))
                }
                other => other,
            })
        };
        if self.stored_bytes > WHOLE_BYTES {
            return read(range);
        }
        if self.whole.get().is_none() {
            let bytes = read(0..self.stored_bytes)?;
            let _ = self.whole.set(bytes);
        }
        Ok(self.whole.get().map_or_else(Vec::new, |whole| slice(whole, &range)))
    }

    fn frames(&self) -> Result<&Frames, StoreError> {
        if self.frames.get().is_none() {
            let table = self.stored(Frames::table_range(self.size, self.stored_bytes))?;
            let frames = Frames::read(&self.id, self.size, self.stored_bytes, &table)?;
            let _ = self.frames.set(frames);
        }
        self.frames.get().ok_or_else(|| StoreError::corrupt(format_args!("blob {}", self.id)))
    }

    fn decoded(&self, numbers: &Range<usize>, at: Range<u64>) -> Result<Arc<Vec<u8>>, StoreError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, bytes)) = &*last
            && known == numbers
        {
            return Ok(Arc::clone(bytes));
        }
        let stored = self.stored(at)?;
        let bytes = Arc::new(self.frames()?.decode(numbers, &stored)?);
        *last = Some((numbers.clone(), Arc::clone(&bytes)));
        Ok(bytes)
    }
}

impl BlobReader for InHeap {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        let wanted = wanted(self.size, offset, bytes_max);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (numbers, at) = self.frames()?.locate(&wanted);
        let first = numbers.start as u64 * FRAME_BYTES as u64;
        let bytes = self.decoded(&numbers, at)?;
        let part = slice(&bytes, &(wanted.start - first..wanted.end - first));
        if part.len() as u64 == wanted.end - wanted.start {
            return Ok(part);
        }
        Err(StoreError::corrupt(format_args!("blob {}: its object is too short", self.id)))
    }
}

/// What is to be read, within the blob and the maximum of one call.
fn wanted(size: u64, offset: u64, bytes_max: usize) -> Range<u64> {
    let start = offset.min(size);
    let end = start.saturating_add(bytes_max.min(BLOB_READ_BYTES_MAX) as u64).min(size);
    start..end
}

fn slice(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(position(range.start)..position(range.end)).unwrap_or_default().to_vec()
}

/// Objects up to this length are read at once: a second request costs more than the bytes.
const WHOLE_BYTES: u64 = 512 * 1024;
