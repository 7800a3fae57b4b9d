//! Compares everything that is stored with its sums, and names what is damaged.

use std::ops::ControlFlow;

use rusqlite::Connection;
use store::{BlobInfo, Store, StoreError};

use crate::engine::{Local, Shared};
use crate::error::query_failed;
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::walk::{Found, Kind, Segment};
use crate::pack::reader::{Condition, inspect};
use crate::pack::{PackRow, file_name};
use crate::sqlite;

impl Local {
    /// Reads the whole store and tells `visit` of each damaged thing: a page or a table of the
    /// database, a row by its key, a body by its name and place, a record of the log by segment and
    /// offset. Slow; beside normal work it is right about everything that was there when it began.
    ///
    /// # Errors
    /// `ReadFailed`, `Busy`, `Closed`: damage is no error here.
    pub fn verify(&self, visit: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
        let shared = self.shared();
        shared.check_open()?;
        shared.readers.with(|connection| check_pages(connection, visit))?;
        check_rows(shared, visit)?;
        check_bodies(self, visit)?;
        for row in shared.packs().rows() {
            check_records(shared, &row, visit)?;
        }
        Ok(())
    }
}

/// What SQLite itself can say: structure, order of keys, rows that an index lacks.
fn check_pages(connection: &Connection, visit: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match check().map_err(|error| query_failed(&error)) {
        Ok(lines) => {
            let damaged = lines.iter().filter(|line| *line != "ok");
            damaged.for_each(|line| visit(&format!("database: {line}")));
            Ok(())
        }
        Err(error) => tell(error, visit),
    }
}

/// Each row, in pieces: a long read would hold up the checkpoints.
fn check_rows(shared: &Shared, visit: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let piece = |connection: &Connection| sqlite::check_rows(connection, after.as_deref());
        match shared.readers.with(piece) {
            Ok(piece) => {
                piece.damaged.iter().for_each(|error| visit(&error.to_string()));
                let Some(last) = piece.last else { return Ok(()) };
                after = Some(last);
            }
            // A page that cannot be read; where the rows behind it are, it would have said.
            Err(error) => return tell(error, visit),
        }
    }
}

fn check_bodies(store: &Local, visit: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    let shared = store.shared();
    let mut failed = None;
    let listed = store.list_blobs(None, &mut |BlobInfo { key, .. }| {
        let mut look = || -> Result<(), StoreError> {
            // None: it was deleted meanwhile.
            let Some(location) = shared.readers.locate(&key)? else { return Ok(()) };
            let pack = file_name(location.pack);
            let at = location.offset;
            let what = match shared.packs().file(location.pack) {
                Ok(file) if inspect(file.as_ref(), &key, location) == Condition::Whole => {
                    return Ok(());
                }
                Ok(_) => "damaged",
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => "not there",
                Err(error) => return Err(StoreError::read_failed(&error)),
            };
            // Unless a compaction has just moved it.
            if shared.readers.locate(&key)? == Some(location) {
                visit(&format!("blob {}: {what} (pack {pack} at {at})", key.id));
            }
            Ok(())
        };
        match look().or_else(|error| tell(error, visit)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    listed.or_else(|error| tell(error, visit))?;
    failed.map_or(Ok(()), Err)
}

/// The records of a segment, which a replay may need.
fn check_records(
    shared: &Shared,
    row: &PackRow,
    visit: &mut dyn FnMut(&str),
) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::read_failed(&error);
    let name = file_name(row.id);
    let file = match shared.packs().file(row.id) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // One that is being removed is not in use any more.
            if shared.packs().row(row.id).is_some() {
                visit(&format!("pack {name}: not there"));
            }
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    };
    let (length, key) = (file.length().map_err(failed)?, shared.packs().log_key());
    let segment = Segment { id: row.id, file: file.as_ref(), length, key: &key };
    match segment.kind().map_err(failed)? {
        Kind::Segment(_) => {}
        Kind::Pack => return Ok(()),
        Kind::Unknown => {
            visit(&format!("pack {name} at 0: its header"));
            return Ok(());
        }
    }
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < row.end {
        match segment.record(offset).map_err(failed)? {
            Found::Body { after } | Found::Group { after, .. } => offset = after,
            Found::Nothing | Found::Invalid(_) => {
                visit(&format!("log {name} at {offset}: a record"));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Damage is what is looked for; anything else ends the search.
fn tell(error: StoreError, visit: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    match error {
        StoreError::Corrupt { .. } => {
            visit(&error.to_string());
            Ok(())
        }
        error => Err(error),
    }
}
