//! One object on its way up: a single PUT, or parts when it is longer than one.
//!
//! A writer holds one part in memory at most. It takes room for it from the gate as it grows, and
//! a place for a request only while one is under way: a slow sender of mail keeps nobody waiting.

use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStore, PutMode, PutOptions, PutPayload};
use store::{HeapKey, HeapWriter, StoreError};

use crate::failure::Failure;
use crate::gate::Pass;
use crate::heap::{Core, head};
use crate::limits::BUFFER_MIN;
use crate::retry::Patience;

/// The writer of one object.
pub struct Upload {
    core: Arc<Core>,
    key: HeapKey,
    path: Path,
    buffer: Vec<u8>,
    /// Room for the buffer.
    room: Pass,
    room_bytes: usize,
    parts: Option<Parts>,
}

/// An upload in parts that the store knows of.
struct Parts {
    id: MultipartId,
    done: Vec<PartId>,
    bytes: u64,
}

impl Upload {
    /// # Errors
    /// `Busy`; `WriteRefused` for a name that the store would not keep as it is.
    pub fn begin(core: Arc<Core>, key: HeapKey) -> Result<Self, StoreError> {
        let Some(path) = core.path(&key) else {
            let reason = format_args!("object {}: an empty segment in a name", key.as_str());
            return Err(StoreError::write_refused(reason));
        };
        let room = core.writes.enter(0, BUFFER_MIN)?;
        Ok(Self { core, key, path, buffer: Vec::new(), room, room_bytes: BUFFER_MIN, parts: None })
    }

    /// Makes room for more bytes in the buffer, up to one part.
    fn grow(&mut self, wanted: usize) -> Result<(), StoreError> {
        if wanted > self.room_bytes {
            let room = wanted.max(self.room_bytes.saturating_mul(2));
            let room = room.min(self.core.limits.part_bytes);
            self.room.join(self.core.writes.enter(0, room - self.room_bytes)?);
            self.room_bytes = room;
        }
        if wanted > self.buffer.capacity() {
            self.buffer.reserve_exact(self.room_bytes - self.buffer.len());
        }
        Ok(())
    }

    /// Sends the full buffer as the next part, and begins the upload with the first one.
    fn send_part(&mut self) -> Result<(), StoreError> {
        let body = Bytes::from(std::mem::take(&mut self.buffer));
        let _place = self.core.writes.enter(1, 0)?;
        self.put_part(body).map_err(|failure| failure.of_write(&self.key))
    }

    fn put_part(&mut self, body: Bytes) -> Result<(), Failure> {
        let core = Arc::clone(&self.core);
        let patience = Patience::of_write(&core.limits);
        let (client, path) = (core.client.clone(), self.path.clone());
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let (client, path, patience) = (client.clone(), path.clone(), patience.clone());
                let id = core.wait(async move {
                    let create = |_| create(client.clone(), path.clone());
                    patience.attempts("create upload", create).await
                })?;
                self.parts.insert(Parts { id, done: Vec::new(), bytes: 0 })
            }
        };
        let (id, index, length) = (parts.id.clone(), parts.done.len(), body.len() as u64);
        let done = core.wait(async move {
            let put = |_| put_part(client.clone(), path.clone(), id.clone(), index, body.clone());
            patience.attempts("put part", put).await
        })?;
        parts.done.push(done);
        parts.bytes += length;
        Ok(())
    }

    fn put_whole(&mut self) -> Result<(), Failure> {
        let body = Bytes::from(std::mem::take(&mut self.buffer));
        let patience = Patience::of_write(&self.core.limits);
        let (client, path) = (self.core.client.clone(), self.path.clone());
        self.core.wait(async move {
            let put = |_| put(client.clone(), path.clone(), body.clone());
            patience.attempts("put", put).await
        })
    }

    /// Makes one object of the parts.
    fn complete(&mut self) -> Result<(), Failure> {
        let Some(parts) = self.parts.as_mut() else { return Ok(()) };
        let patience = Patience::of_write(&self.core.limits);
        let (client, path) = (self.core.client.clone(), self.path.clone());
        let (id, bytes) = (parts.id.clone(), parts.bytes);
        // The identifiers stay with the attempts; the upload itself stays known until it is done.
        let done = std::mem::take(&mut parts.done);
        self.core.wait(async move {
            let complete = |number| {
                let upload = (id.clone(), done.clone(), bytes);
                complete(client.clone(), path.clone(), upload, number)
            };
            patience.attempts("complete upload", complete).await
        })?;
        self.parts = None;
        Ok(())
    }
}

impl HeapWriter for Upload {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        let part_bytes = self.core.limits.part_bytes;
        while !bytes.is_empty() {
            if self.buffer.len() == part_bytes {
                self.send_part()?;
            }
            let count = bytes.len().min(part_bytes - self.buffer.len());
            let (now, later) = bytes.split_at(count);
            self.grow(self.buffer.len() + count)?;
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let _place = self.core.writes.enter(1, 0)?;
        let sent = if self.parts.is_none() {
            self.put_whole()
        } else {
            let last = Bytes::from(std::mem::take(&mut self.buffer));
            self.put_part(last).and_then(|()| self.complete())
        };
        sent.map_err(|failure| failure.of_write(&self.key))
    }
}

impl Drop for Upload {
    /// Parts that never become an object would be kept, and paid for, until somebody looks.
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        let Some(place) = self.core.writes.try_enter(1, 0) else {
            // The rule of the bucket for unfinished uploads removes them; docs say to set one.
            tracing::warn!(key = self.key.as_str(), "no room to abort an unfinished upload");
            return;
        };
        let patience = Patience::of_write(&self.core.limits);
        let (client, path) = (self.core.client.clone(), self.path.clone());
        self.core.spawn(async move {
            let abort = |_| abort(client.clone(), path.clone(), parts.id.clone());
            match patience.attempts("abort upload", abort).await {
                Ok(()) | Err(Failure::Missing) => {}
                Err(failure) => {
                    tracing::warn!(path = path.as_ref(), %failure, "unfinished upload stays");
                }
            }
            drop(place);
        });
    }
}

async fn put(client: AmazonS3, path: Path, body: Bytes) -> Result<(), Failure> {
    // Overwriting: it is the same object if an earlier attempt did take effect.
    let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
    client.put_opts(&path, PutPayload::from(body), options).await?;
    Ok(())
}

async fn create(client: AmazonS3, path: Path) -> Result<MultipartId, Failure> {
    Ok(client.create_multipart(&path).await?)
}

async fn put_part(
    client: AmazonS3,
    path: Path,
    id: MultipartId,
    index: usize,
    body: Bytes,
) -> Result<PartId, Failure> {
    Ok(client.put_part(&path, &id, index, PutPayload::from(body)).await?)
}

async fn complete(
    client: AmazonS3,
    path: Path,
    (id, parts, bytes): (MultipartId, Vec<PartId>, u64),
    number: u32,
) -> Result<(), Failure> {
    let failure = match client.complete_multipart(&path, &id, parts).await {
        Ok(_) => return Ok(()),
        Err(error) => Failure::from(error),
    };
    // An upload that is gone may have been completed by an attempt whose answer was lost. Nobody
    // else ever writes an object of this name, so one of our length is ours.
    // A store says of such an upload that it is not there, or that it is not for us.
    let may_be_done = number > 0 && matches!(failure, Failure::Missing | Failure::Refused(_));
    if may_be_done && head(client, path).await? == bytes {
        return Ok(());
    }
    Err(failure)
}

async fn abort(client: AmazonS3, path: Path, id: MultipartId) -> Result<(), Failure> {
    Ok(client.abort_multipart(&path, &id).await?)
}
