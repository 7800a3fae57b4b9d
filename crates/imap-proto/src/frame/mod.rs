//! Where a command or a response ends, and what happens to its literals on the way.
//!
//! ```text
//! command = *(text "{" n ["+"] "}" CRLF n*OCTET) text CRLF
//! ```
//! A literal is offered before any of its octets is read: its size and kind are known then, and so
//! is the text in front of it. The caller keeps it with the command, takes its octets as they
//! arrive, or refuses it. Nothing is parsed before the command has been read to its end.

mod framer;
mod limits;
mod literal;

pub use framer::{Event, Framer, Reply, Step};
pub use limits::Limits;
pub use literal::{Decision, LiteralKind, LiteralSync, Offer, Reason, Rejection};
