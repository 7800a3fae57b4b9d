//! The storage engine of one machine: a log in pack files, and SQLite as its index.
//!
//! Rows are in one SQLite database, the bytes of blobs in append-only pack files beside it; the
//! database also knows where in the packs each blob is. One thread writes, in groups: see
//! `committer`. What makes a group durable is its record in the pack that is being filled: see
//! `log`. The database follows without syncs of its own, and is brought up to the log when the
//! store is opened.
//!
//! What one operation costs:
//! - a commit: its rows twice, in the log and in the database, and a share of one sync of the log;
//! - a blob: one write into the page cache by its putter, and a share of the same sync;
//! - a view: two statements; a get: one look-up; a ranged read: decoding of the 128 KiB frames that
//!   it touches;
//! - opening: reading SQLite's log, some 32 MiB after a crash, and what our log holds behind it.
//!   Packs are not read.

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
mod verify;
mod views;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use disk::{Clock, Disk, DiskFile, OsClock, OsDisk};
pub use engine::{Local, Options};
