//! Bodies as immutable objects in an S3-compatible object store.
//!
//! [`S3Heap`] keeps what the contract of [`store::Heap`] promises with the plainest requests that
//! every such store has: PUT, GET of a range, DELETE, LIST and multipart uploads. Rules that all
//! files share:
//!
//! - Nothing relies on a condition of a PUT (`If-None-Match`): there are stores that ignore it and
//!   overwrite. A key is used for one object only, ever; who names it is decided elsewhere.
//! - An answer of success means that the store has confirmed it. A request without an answer may
//!   have taken effect or not; sending it again does no harm, because it says the same.
//! - Every request has a time-out, every call a budget of time, and what waits is bounded in bytes
//!   and in number ([`Limits`]). Beyond it the answer is `Busy`.
//! - Bytes that are read are as many as were asked for, or it is an error. Whether they are the
//!   right ones is for the caller to verify.
//!
//! Estimate: a body costs one PUT, a read one GET, a deletion one DELETE; objects above one part
//! (8 MiB) cost a request for each part and two more.

mod config;
mod failure;
mod gate;
mod heap;
mod limits;
mod retry;
mod upload;
mod wire;

pub use config::{Addressing, ConfigError, S3Config, Secret};
pub use heap::S3Heap;
pub use limits::Limits;
