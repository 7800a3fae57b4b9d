//! Servers over pipes into a service over the memory engine: what was acknowledged is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod authority;
mod burl;
mod common;
mod direct;
mod filter;
mod hops;
mod hostile;
mod inbound;
mod later;
mod lmtp;
mod mx;
mod receipts;
mod relay;
mod secure;
mod senders;
mod sink;
mod site;
mod stories;
mod submission;
