//! The IMAP shell: reads commands, steps sessions, does what they need, writes what they say.
//!
//! - `connection` is the loop: bytes to commands, commands to the session, output to the peer.
//! - `needs` maps every [`imap_session::Need`] to `mail-service`, in one match.
//! - `append` passes the messages of APPEND on while they arrive.
//! - `output` collects responses and splices stored messages into them.
//!
//! It decides no rule of mail and no rule of IMAP beyond the connection itself: how long it lasts,
//! how much a peer may make it hold, and when it is told goodbye.

mod append;
mod connection;
mod needs;
mod output;
mod server;
mod settings;
mod trouble;
mod visits;

pub use imap_session::{Hiding, Language, ServerAnnotations, SharedFilter, UsersSetQuota};
pub use server::ImapServer;
pub use settings::{FailedLogin, ImapSettings, Patience};
