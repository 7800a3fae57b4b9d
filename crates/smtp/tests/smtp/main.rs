//! Servers over pipes into a service over the memory engine: what was acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;
mod filter;
mod hops;
mod inbound;
mod lmtp;
mod mx;
mod relay;
mod senders;
mod sink;
mod submission;
