//! The storage engine of one machine: SQLite and pack files.
//!
//! Rows are in one SQLite database, the bytes of blobs in append-only pack files beside it; the
//! database also knows where in the packs each blob is. One thread writes, in groups: see
//! `committer`.
//!
//! What one operation costs:
//! - a commit: its rows in the database's log, and a share of one sync of the log;
//! - a blob: one write into the page cache by its putter, and a share of one sync of the pack;
//! - a view: two statements; a get: one look-up; a ranged read: decoding of the 128 KiB frames that
//!   it touches;
//! - opening: reading the log, at most some 16 MiB after a crash. Packs are not read.

mod checkpoint;
mod committer;
mod counters;
mod disk;
mod ends;
mod engine;
mod error;
mod folder;
mod index;
mod log;
mod pack;
mod permits;
mod queue;
mod reserve;
mod sqlite;
mod sum;
mod views;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use disk::{Clock, Disk, DiskFile, OsClock, OsDisk};
pub use engine::{Local, Options};
