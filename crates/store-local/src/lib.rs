//! The storage engine of one machine: SQLite and pack files.
