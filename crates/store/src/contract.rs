//! The traits that every engine implements.

use std::ops::{ControlFlow, Range};
use std::sync::mpsc;

use crate::limits::BLOB_READ_BYTES_MAX;
use crate::{
    BlobId, BlobInfo, BlobKey, BlobLease, Commit, CommitNo, Deletion, Done, KeyRange, StoreError,
    Watch,
};

/// A store: rows under conditional commits, and blobs.
pub trait Store: Send + Sync {
    /// Opens a consistent read scope on all commits that have been acknowledged by now (and
    /// perhaps some that are about to be). Cheap; lives at most `limits::VIEW_LIFETIME`.
    ///
    /// # Errors
    /// `Busy` when `limits::VIEWS_MAX` stay open for too long, `ReadFailed`, `Unavailable`,
    /// `Closed`.
    fn view(&self) -> Result<Box<dyn View>, StoreError>;

    /// Submits a commit and returns at once; `done` is called exactly once, after the commit is on
    /// stable storage or has failed. Commits whose first conditions are on the same key are decided
    /// in the order in which they were submitted; others may overtake each other.
    ///
    /// The answer is an error of: `Conflict`, `BlobMissing` (a lease of a blob that is not there,
    /// as after a restart), `TooLarge`, `Busy`, `StorageFull`, `Closed` (nothing was written);
    /// `Unavailable` (nothing was written either); `OutcomeUnknown` (only of this commit: read
    /// again); `WriteRefused` (unknown until the store is opened again).
    fn commit(&self, commit: Commit, done: Done);

    /// Calls `wake` soon after a commit that wrote a key with this prefix, until the [`Watch`] is
    /// dropped. Hints may be merged, early or lost; so look again at least every
    /// `limits::RECHECK_INTERVAL`. `wake` must not block nor call the store.
    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch;

    /// Stores bytes as a blob. Putting bytes that the scope already has stores nothing new, but
    /// leases them all the same.
    ///
    /// # Errors
    /// `TooLarge`, `StorageFull`, `WriteRefused`, `Busy`, `Unavailable`, `Closed`.
    fn put_blob(&self, scope: &[u8], bytes: &[u8]) -> Result<BlobLease, StoreError> {
        let mut writer = self.blob_writer(scope)?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// Starts a blob whose bytes come in pieces; needs a bounded amount of memory, whatever the
    /// size. Dropping the writer forgets the blob.
    ///
    /// # Errors
    /// As [`Store::put_blob`].
    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// Opens a blob for reading. The reader keeps working when the blob is deleted meanwhile.
    ///
    /// # Errors
    /// `BlobMissing`, `Corrupt`, `ReadFailed`, `Unavailable`, `Closed`.
    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError>;

    /// Deletes blobs that are still exactly as a listing showed them: each comes with its
    /// [`BlobInfo::named_at`]. A blob that is leased, or was recorded or named again since that
    /// listing, stays. Durable when it returns; answers in the order of `blobs`.
    ///
    /// So a sweeper lists first, then opens its views and finds what rows name, and then deletes
    /// the rest as listed. A commit that named a blob after the listing has changed its `named_at`;
    /// one that came before is seen by the views. No order of commits is needed for that, only that
    /// no number comes twice.
    ///
    /// # Errors
    /// `StorageFull`, `WriteRefused`, `Busy`, `Unavailable`, `Closed`.
    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError>;

    /// Visits recorded blobs in the order of scope and id, beginning after `after`; a blob whose
    /// lease no commit has carried may be absent. Not a consistent scope: each blob is as it
    /// was at some moment of the call.
    ///
    /// # Errors
    /// `ReadFailed`, `Unavailable`, `Closed`.
    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Gives space that deletions have freed back to the system. Slow; called now and then, beside
    /// normal work.
    ///
    /// # Errors
    /// `StorageFull`, `WriteRefused`, `ReadFailed`, `Unavailable`, `Closed`; what was stored stays
    /// as it was.
    fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Answers every commit that was submitted before, then refuses what comes after with `Closed`.
    /// Idempotent.
    ///
    /// # Errors
    /// `WriteRefused` when the store could not be closed in good order; nothing acknowledged is
    /// lost.
    fn close(&self) -> Result<(), StoreError>;

    /// Submits a commit and waits for its answer. Not for use inside a [`Done`].
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn commit_wait(&self, commit: Commit) -> Result<CommitNo, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.commit(
            commit,
            Box::new(move |result| {
                // The receiver waits below for as long as the sender lives.
                let _ = answer.send(result);
            }),
        );
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Reads part of a blob into memory; what lies beyond its end is left out.
    ///
    /// # Errors
    /// As [`Store::open_blob`] and [`BlobReader::read_at`].
    fn read_blob(
        &self,
        scope: &[u8],
        id: &BlobId,
        range: Range<u64>,
    ) -> Result<Vec<u8>, StoreError> {
        let reader = self.open_blob(scope, id)?;
        let end = range.end.min(reader.size());
        // All of it at once: a buffer that grows leaves pages of every size behind in the thread.
        let expected = usize::try_from(end.saturating_sub(range.start)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(expected);
        let mut at = range.start;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOB_READ_BYTES_MAX);
            let piece = reader.read_at(at, wanted)?;
            at += piece.len() as u64;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Length of a blob, `None` when it does not exist.
    ///
    /// # Errors
    /// As [`Store::open_blob`].
    fn blob_size(&self, scope: &[u8], id: &BlobId) -> Result<Option<u64>, StoreError> {
        match self.open_blob(scope, id) {
            Ok(reader) => Ok(Some(reader.size())),
            Err(StoreError::BlobMissing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole blob and compares it with its name.
    ///
    /// # Errors
    /// `Corrupt` when it is not what was put; else as [`Store::open_blob`].
    fn verify_blob(&self, scope: &[u8], id: &BlobId) -> Result<(), StoreError> {
        let reader = self.open_blob(scope, id)?;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < reader.size() {
            let piece = reader.read_at(at, BLOB_READ_BYTES_MAX)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        if BlobId::from(hasher.finalize()) == *id {
            return Ok(());
        }
        Err(StoreError::corrupt(format_args!("blob {id}: its bytes do not hash to its name")))
    }
}

/// Takes one row of a scan, key and value, and says whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A consistent read scope: whole commits, and the same ones however often it is asked.
pub trait View: Send + Sync {
    /// Not below any commit that was acknowledged before the view was opened, and below every
    /// commit that is submitted later. With one process per store, the last commit that it shows.
    fn at(&self) -> CommitNo;

    /// The value of a key.
    ///
    /// # Errors
    /// `ViewExpired`, `ReadFailed`, `Unavailable`, `Corrupt`, `Closed`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of several keys, in the order asked.
    ///
    /// # Errors
    /// As [`View::get`].
    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Visits the rows of a range in order until the visitor breaks. To resume, scan
    /// [`KeyRange::after`] the last key, in this view or a later one. The visitor must not call
    /// this view; it may call others.
    ///
    /// # Errors
    /// As [`View::get`]; rows already visited were right.
    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError>;
}

/// Takes the bytes of one blob.
pub trait BlobWriter: Send {
    /// Appends bytes. After an error the writer can only be dropped.
    ///
    /// # Errors
    /// `TooLarge`, `StorageFull`, `WriteRefused`, `Busy`, `Unavailable`.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Bytes written so far.
    fn size(&self) -> u64;

    /// Ends the blob. This store can read it from now on as long as the lease lives; it is durable,
    /// and there for other processes, with the commit that carries the lease.
    ///
    /// # Errors
    /// As [`BlobWriter::write`].
    fn finish(self: Box<Self>) -> Result<BlobLease, StoreError>;
}

/// Reads one blob.
pub trait BlobReader: Send + Sync {
    /// Length of the blob.
    fn size(&self) -> u64;

    /// Reads at `offset`: at most `bytes_max` and at most `limits::BLOB_READ_BYTES_MAX`, and only
    /// less than both at the end of the blob. Beyond the end it is empty.
    ///
    /// # Errors
    /// `Corrupt` when a checksum fails: never wrong bytes. `ReadFailed`, `Unavailable`.
    fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError>;
}

/// Rows of a part of a range, and what remains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Keys and values in the order of the range.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where to go on; `None` when the range is exhausted.
    pub rest: Option<KeyRange>,
}

/// Reads up to `rows_max` rows of a range.
///
/// # Errors
/// As [`View::get`].
pub fn scan_page(view: &dyn View, range: &KeyRange, rows_max: usize) -> Result<Page, StoreError> {
    let mut rows = Vec::new();
    let mut more = false;
    view.scan(range, &mut |key, value| {
        if rows.len() == rows_max {
            more = true;
            return ControlFlow::Break(());
        }
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    let rest = match rows.last() {
        Some((last, _)) if more => Some(range.after(last)),
        None if more => Some(range.clone()),
        _ => None,
    };
    Ok(Page { rows, rest })
}
