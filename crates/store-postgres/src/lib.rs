//! The storage engine of several machines: PostgreSQL, with bodies in a heap beside it.
//!
//! Any number of equal nodes open the same database. What each file knows:
//!
//! - `settings`, `connect`: where the database is, TLS, what every session is set to
//! - `schema`: the tables, and how a database gets them
//! - `queue`, `commit`, `writer`: the way of a commit; `sql` has its one statement
//! - `view`: consistent reads
//! - `pending`, `body`, `blobs`, `chunks`: blobs, from their put to a row that names them
//! - `hints`: telling other nodes
//! - `sweep`: deletion and clean-up
//!
//! **Round trips.** A commit is one, with its conditions, the rows of the blobs that it names and
//! the bodies of the short ones. Opening a view is one, a get is one, a scan one for each page. A
//! put of a short blob is none: its bytes wait here for the commit that names it.
//!
//! **Isolation.** Commits run SERIALIZABLE and are tried again on a serialization failure, so that
//! conditions on rows that are not written hold as well, on any database that speaks this dialect.
//! Nothing here needs advisory locks, stored procedures or extensions.
//!
//! **Unknown outcomes.** Each writing connection owns a row of `pillarbox_slots`; a commit writes
//! its number there in its own transaction. When the connection is lost, another one takes the slot
//! over with an update, which waits for the lost transaction and shuts out one that has not begun,
//! and reads there whether the commit happened.

mod blobs;
mod body;
mod chunks;
mod commit;
mod connect;
mod engine;
mod error;
mod hints;
mod pending;
mod queue;
mod schema;
mod settings;
mod shared;
mod sql;
mod sweep;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use engine::Postgres;
pub use settings::{CONNECTIONS_MIN, Hinting, Password, Settings};
