//! Servers over pipes into a service over the memory engine: what was acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod authority;
mod common;
mod direct;
mod filter;
mod hostile;
mod inbound;
mod lmtp;
mod mx;
mod relay;
mod secure;
mod sink;
mod site;
mod stories;
mod submission;
