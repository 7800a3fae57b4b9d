//! The service over the engine in memory, and over the local one where that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod aliases;
mod annotations;
mod changes;
mod checking;
mod clocks;
mod common;
mod histories;
mod judging;
mod logins;
mod mail;
mod metadata;
mod moving;
mod nodes;
mod queueing;
mod repairing;
mod scrubbing;
mod sent;
mod sharing;
mod stories;
mod sweeping;
mod tls;
mod urls;
