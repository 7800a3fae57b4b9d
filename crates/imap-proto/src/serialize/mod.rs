//! Commands (client role) and responses (server role) to bytes. One file a command.
//!
//! Strings are written as atoms, in quotes or as literals by what they hold, so that no value can
//! break out of its place: a line break or a NUL goes into a literal, octets above 127 too unless
//! the connection speaks UTF-8.

mod acl;
mod annotate;
mod append;
mod authenticate;
mod code;
mod command;
mod comparator;
mod copy;
mod create;
mod envelope;
mod fetch;
mod flags;
mod id;
mod language;
mod list;
mod login;
mod metadata;
mod namespace;
mod notify;
mod quota;
mod replace;
mod response;
mod search;
mod section;
mod select;
mod sort;
mod status;
mod store;
mod structure;
mod thread;
mod uidbatches;
mod urlauth;
mod writer;

pub use command::{Chunk, ClientOptions, LiteralSupport, command};
pub use fetch::{FetchWriter, Recent};
pub use response::{response, response_in_utf8};
