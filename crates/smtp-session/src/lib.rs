//! The dialogues of SMTP and LMTP without sockets: bytes in, events and replies out.
//!
//! - [`Session`]: the protocol as a state machine.
//! - [`Content`]: the text after DATA, without its dots, in pieces.

mod content;
mod reply;
mod session;

pub use content::Content;
pub use reply::Reply;
pub use session::{
    Event, LONGEST_LINE_BYTES, Offer, RECIPIENTS_MAX, Session, StartTls, Transaction,
};
