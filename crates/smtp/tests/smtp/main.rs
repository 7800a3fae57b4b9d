//! Servers over pipes into a service over the memory engine: what was acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod burl;
mod common;
mod filter;
mod inbound;
mod later;
mod lmtp;
mod mx;
mod relay;
mod sink;
mod submission;
