//! The LMTP server (RFC 2033): how a mail transfer agent hands mail to the mailboxes kept here.
//!
//! - [`Session`]: the protocol as a state machine. Bytes in, events and replies out; no sockets.
//! - [`Content`]: the text after DATA, without its dots, in pieces.
//! - [`LmtpServer`]: drives a session over a connection and asks `mail-service` for the rest.

mod content;
mod lmtp;
mod reply;
mod session;
mod trace;

pub use content::Content;
pub use lmtp::{LmtpServer, LmtpSettings};
pub use reply::Reply;
pub use session::{
    Event, LONGEST_LINE_BYTES, Offer, RECIPIENTS_MAX, Session, StartTls, Transaction,
};
pub use trace::{Arrival, Trace, mail_date};
