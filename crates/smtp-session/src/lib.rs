//! The dialogues of SMTP, message submission and LMTP without sockets: bytes in, events and replies
//! out.
//!
//! - [`Session`]: the protocol as a state machine. What it cannot know (whether there is such a
//!   recipient, whether a password is right, what became of a message) it asks by an [`Event`].
//! - [`Client`]: the other side, for one message that is handed on.
//! - [`Content`]: the text after DATA, without its dots, in pieces.
//! - [`parse_path`]: addresses as they stand in commands.

mod auth;
mod burl;
mod client;
mod command;
mod content;
mod future;
mod line;
mod original;
mod path;
mod reply;
mod response;
mod session;
mod text;

pub use burl::{Burl, URLS_MAX};
pub use client::{
    Addressee, Client, ClientStep, ClientTls, Credentials, Errand, Fate, Standing, Stuffing, Wait,
};
pub use command::IDLE_COMMANDS_MAX;
pub use content::{Content, LineEnds};
pub use future::{FutureRelease, Release, ReleaseRequest};
pub use line::{LONGEST_LINE_BYTES, LONGEST_RESPONSE_BYTES};
pub use original::OriginalRecipient;
pub use path::{Path, parse_path};
pub use reply::Reply;
pub use response::{Response, Responses};
pub use session::{
    AuthAnswer, AuthStep, Dsn, ERRORS_MAX, Event, MAILS_MAX, Notify, Offer, RECIPIENTS_MAX,
    Recipient, RequireTls, Ret, Role, Session, StartTls, Transaction,
};
