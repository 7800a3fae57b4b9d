//! The database as an index of the log: takes groups again when a store is opened.

use rusqlite::Connection;
use store::StoreError;

use crate::log::Applied;
use crate::log::group::{Change, Changes};
use crate::sqlite::Statements;

/// Applies groups that the log holds and the database does not.
pub(crate) struct Index<'c> {
    statements: Statements<'c>,
    /// Changes in the transaction that is open; none is when there are none.
    changes: usize,
}

impl<'c> Index<'c> {
    /// # Errors
    /// As preparing statements.
    pub(crate) fn new(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Self { statements: Statements::new(connection)?, changes: 0 })
    }

    /// Applies a group. It is in the database after [`Index::finish`] at the latest.
    ///
    /// # Errors
    /// `Corrupt` when the group cannot be read, `StorageFull`, `WriteRefused`.
    pub(crate) fn apply(
        &mut self,
        applied: Applied,
        changes: Changes<'_>,
    ) -> Result<(), StoreError> {
        if self.changes == 0 {
            self.statements.begin()?;
        }
        apply_changes(&mut self.statements, applied, changes)?;
        self.changes += 1;
        if self.changes >= GROUPS_PER_TRANSACTION { self.finish() } else { Ok(()) }
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// As [`Index::apply`].
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.changes) > 0 { self.statements.commit() } else { Ok(()) }
    }
}

/// Does what a group says, within a transaction.
pub(crate) fn apply_changes(
    statements: &mut Statements<'_>,
    applied: Applied,
    changes: Changes<'_>,
) -> Result<(), StoreError> {
    for change in changes {
        let unreadable = |_| {
            let group = applied.group;
            StoreError::corrupt(format_args!("log: group {group} is of another version"))
        };
        match change.map_err(unreadable)? {
            Change::Put { key, value } => statements.put(key, value)?,
            Change::Delete { key } => statements.delete(key)?,
            Change::Record { key, location, named_at } => {
                statements.insert_blob(&key, location, named_at)?;
            }
            Change::Name { key, at } => _ = statements.name_blob(&key, at)?,
            Change::Forget { key } => statements.delete_blob(&key)?,
            Change::Move { key, from, to } => _ = statements.move_blob(&key, from, to)?,
            Change::SetPack(row) => statements.set_pack(&row)?,
            Change::RemovePack(id) => statements.delete_pack(id)?,
        }
    }
    statements.set_applied(&applied)
}

/// Small groups that share a transaction: most of a transaction's cost is pages that they share.
const GROUPS_PER_TRANSACTION: usize = 512;
