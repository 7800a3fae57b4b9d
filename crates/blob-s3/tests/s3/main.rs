//! The heap against a real object store: s3s-fs in this process, or the one that
//! `PILLARBOX_S3_ENDPOINT` names (`cargo xtask garage` sets it), with a proxy between that fails
//! as networks and stores do.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod combined;
mod faults;
mod heap;
mod proxy;
mod support;
