//! Takes the bytes of one blob and stores them as a record.
//!
//! Memory: one frame of plain bytes and at most [`SOLO_BYTES`] of stored ones, whatever the size.

use std::sync::Arc;

use store::limits::check_blob_size;
use store::{BlobId, BlobKey, BlobLease, BlobWriter, StoreError};

use super::format::{FRAME_BYTES, Frames, HEADER_BYTES, PACK_HEADER_BYTES};
use super::{Adopted, Location, PackId, Packs, SOLO_BYTES};
use crate::disk::DiskFile;
use crate::engine::Shared;
use crate::error::write_failed;

pub(crate) struct PackWriter {
    shared: Arc<Shared>,
    scope: Vec<u8>,
    hasher: blake3::Hasher,
    size: u64,
    /// Plain bytes of the frame that is not full yet.
    plain: Vec<u8>,
    frames: Frames,
    /// Stored bytes: all of them, or those not yet written to the file.
    body: Vec<u8>,
    solo: Option<Solo>,
}

/// A file of its own for a blob that turned out to be long; removed again unless it is kept.
struct Solo {
    shared: Arc<Shared>,
    pack: PackId,
    file: Option<Arc<dyn DiskFile>>,
    end: u64,
}

impl PackWriter {
    pub(crate) fn new(shared: Arc<Shared>, scope: &[u8]) -> Self {
        Self {
            shared,
            scope: scope.to_vec(),
            hasher: blake3::Hasher::new(),
            size: 0,
            plain: Vec::new(),
            frames: Frames::default(),
            body: Vec::new(),
            solo: None,
        }
    }

    fn packs(&self) -> &Packs {
        self.shared.packs()
    }

    fn push_frame(&mut self) -> Result<(), StoreError> {
        self.frames.push(&self.plain, &mut self.body)?;
        self.plain.clear();
        if self.body.len() > SOLO_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        let solo = match &mut self.solo {
            Some(solo) => solo,
            None => {
                let (pack, file) = self.shared.packs().create_solo()?;
                let header_bytes = (HEADER_BYTES + self.scope.len()) as u64;
                let shared = Arc::clone(&self.shared);
                let end = PACK_HEADER_BYTES + header_bytes;
                self.solo.insert(Solo { shared, pack, file: Some(file), end })
            }
        };
        solo.append(&self.body)?;
        self.body.clear();
        Ok(())
    }

    /// Stores the blob; the lease is held already.
    fn store(mut self, key: BlobKey) -> Result<(), StoreError> {
        if !self.plain.is_empty() {
            self.push_frame()?;
        }
        if self.solo.is_some() {
            self.spill()?;
        }
        let size = self.size;
        let (header, table) = self.frames.finish(key.clone(), size);
        let Some(mut solo) = self.solo else {
            let mut record = header.encode();
            record.reserve_exact(self.body.len() + table.len());
            record.extend_from_slice(&self.body);
            record.extend_from_slice(&table);
            self.shared.tally.pack_bytes.add(record.len() as u64);
            return self.shared.packs().append(&key, &record, size);
        };
        solo.append(&table)?;
        let length = header.record_bytes();
        let location = Location { pack: solo.pack, offset: PACK_HEADER_BYTES, length, size };
        debug_assert_eq!(location.offset + length, solo.end);
        solo.write_at(PACK_HEADER_BYTES, &header.encode())?;
        self.shared.tally.pack_bytes.add(length);
        solo.keep(&key, location);
        Ok(())
    }
}

impl BlobWriter for PackWriter {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        check_blob_size(self.size + bytes.len() as u64)?;
        self.shared.check_room()?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.plain.len() == FRAME_BYTES {
                self.push_frame().map_err(|error| self.shared.body_failed(error))?;
            }
            let room = (FRAME_BYTES - self.plain.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.plain.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn finish(self: Box<Self>) -> Result<BlobLease, StoreError> {
        self.shared.check_room()?;
        let id = BlobId::from(self.hasher.finalize());
        let key = BlobKey { scope: self.scope.clone(), id };
        // The order matters: lease, then doom, then existence. See `Leases::take`.
        let lease = self.shared.leases.take(key.clone(), self.size);
        let known = self.packs().unrecorded(&key).is_some()
            || (!self.shared.leases.is_doomed(&key) && self.shared.readers.locate(&key)?.is_some());
        if !known {
            let shared = Arc::clone(&self.shared);
            self.store(key).map_err(|error| shared.body_failed(error))?;
        }
        Ok(lease)
    }
}

impl Solo {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_at(self.end, bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Err(StoreError::Closed) };
        file.write_at(offset, bytes).map_err(|error| write_failed(&error))
    }

    fn keep(mut self, key: &BlobKey, location: Location) {
        let Some(file) = self.file.take() else { return };
        if self.shared.packs().adopt(key, location, file) == Adopted::NotNeeded {
            self.shared.packs().discard_solo(self.pack);
        }
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.shared.packs().discard_solo(self.pack);
        }
    }
}
