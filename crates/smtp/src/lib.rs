//! The LMTP server (RFC 2033): how a mail transfer agent hands mail to the mailboxes kept here.
//!
//! - [`LmtpServer`]: drives a session (`smtp-session`) over a connection and asks `mail-service`
//!   for the rest.

mod lmtp;
mod trace;

pub use lmtp::{LmtpServer, LmtpSettings};
pub use trace::{Arrival, Trace, mail_date};
