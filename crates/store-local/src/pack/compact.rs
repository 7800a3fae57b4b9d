//! Gives back the space of dead records: copies what lives out of mostly dead packs.
//!
//! A copy is an ordinary append, durable before the location changes; the old file is removed by
//! the committer once no location points into it. A crash at any moment leaves each blob at one
//! place that the database knows, and perhaps a dead copy.

use std::sync::PoisonError;
use std::sync::mpsc::sync_channel;

use store::{BlobKey, StoreError};

use super::format::{Header, decode_table};
use super::{Location, PackId};
use crate::disk::DiskFile;
use crate::engine::Shared;
use crate::queue::{Item, Move};

/// Compacts every pack that is worth it.
///
/// # Errors
/// `StorageFull`, `WriteRefused`, `ReadFailed`, `Closed`, `Busy`. A damaged record is left where it
/// is, for `check` to report and a backup to heal.
pub(crate) fn run(shared: &Shared) -> Result<(), StoreError> {
    let _one = shared.compacting.lock().unwrap_or_else(PoisonError::into_inner);
    for pack in shared.packs().worth_compacting() {
        compact(shared, pack)?;
    }
    Ok(())
}

fn compact(shared: &Shared, pack: PackId) -> Result<(), StoreError> {
    let blobs = shared.readers.with(|connection| crate::sqlite::blobs_of_pack(connection, pack))?;
    let file = shared.packs().file(pack).map_err(|error| StoreError::read_failed(&error))?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (key, from) in blobs {
        let Some(record) = read_record(file.as_ref(), &key, from) else { continue };
        let to = match shared.packs().append_moved(&record, from) {
            Ok(to) => to,
            Err(error) => {
                settle(shared, pack, std::mem::take(&mut batch))?;
                return Err(error);
            }
        };
        bytes += from.length;
        batch.push(Move { key, from, to });
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_COUNT {
            settle(shared, pack, std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    settle(shared, pack, batch)
}

/// Has the committer record where the copies are. Also without any: then it looks whether the pack
/// can go.
fn settle(shared: &Shared, pack: PackId, moves: Vec<Move>) -> Result<(), StoreError> {
    let copies: Vec<PackId> = moves.iter().map(|moved| moved.to.pack).collect();
    shared.packs().touch(pack);
    let (done, answered) = sync_channel(1);
    shared.queue.push(Item::Move { moves, done });
    let result = answered.recv().unwrap_or(Err(StoreError::Closed));
    copies.into_iter().for_each(|copy| shared.packs().unpin(copy));
    result
}

/// A whole record; `None` when it is not the blob's, or its header or table is damaged. Damage
/// within a frame travels with its checksum and is found when it is read.
fn read_record(file: &dyn DiskFile, key: &BlobKey, location: Location) -> Option<Vec<u8>> {
    let mut record = vec![0; usize::try_from(location.length).ok()?];
    file.read_at(location.offset, &mut record).ok()?;
    let header = Header::decode(&record)?;
    let table_at = usize::try_from(location.length.checked_sub(header.table_bytes())?).ok()?;
    decode_table(&header, record.get(table_at..)?)?;
    (header.key == *key && header.record_bytes() == location.length).then_some(record)
}

/// A batch is one transaction: large enough to make syncs rare, small enough not to hold up
/// commits.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// The same for small blobs.
const BATCH_COUNT: usize = 512;
