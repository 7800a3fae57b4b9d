//! Bytes to commands (server role) and responses (client role): recursive descent over one frame,
//! with every depth and count bounded. One file a command; each shows its ABNF.
//!
//! Parsing has no side effects and needs no state of the session: names stay encoded, and what is
//! allowed when is for the session to say.

mod acl;
mod annotate;
mod append;
mod authenticate;
mod code;
mod command;
mod comparator;
mod copy;
mod create;
mod cursor;
mod enable;
mod envelope;
mod error;
mod esearch;
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
mod rename;
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

pub use append::{LiteralRole, Offered, literal_role};
pub use command::{command, tag};
pub use cursor::Frame;
pub use error::{ErrorKind, ParseError};
pub use response::response;
pub use search::search_criteria;
pub(crate) use section::whole as parse_section;
