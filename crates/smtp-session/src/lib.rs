//! The dialogues of SMTP, message submission and LMTP without sockets: bytes in, events and replies
//! out.
//!
//! - [`Session`]: the protocol as a state machine. What it cannot know (whether there is such a
//!   recipient, whether a password is right, what became of a message) it asks by an [`Event`].
//! - [`Content`]: the text after DATA, without its dots, in pieces.
//! - [`parse_path`]: addresses as they stand in commands.

mod auth;
mod command;
mod content;
mod line;
mod path;
mod reply;
mod session;
mod text;

pub use command::IDLE_COMMANDS_MAX;
pub use content::{Content, LineEnds};
pub use line::{LONGEST_LINE_BYTES, LONGEST_RESPONSE_BYTES};
pub use path::{Path, parse_path};
pub use reply::Reply;
pub use session::{
    AuthAnswer, AuthStep, Dsn, ERRORS_MAX, Event, MAILS_MAX, Notify, Offer, RECIPIENTS_MAX,
    Recipient, Ret, Role, Session, StartTls, Transaction,
};
