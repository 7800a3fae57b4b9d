//! Dialogues, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod client;
mod common;
mod lmtp;
mod model;
mod mx;
mod rfc;
mod submission;
