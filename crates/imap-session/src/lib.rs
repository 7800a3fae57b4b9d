//! One IMAP session: what the client asks, what that needs, what it is told. No I/O.
//!
//! A [`Session`] is a state machine. A command goes in by [`Session::begin`]; what the session
//! cannot do itself comes out as a [`Need`], and its [`Answer`] goes back by [`Session::resume`],
//! until the step is [`Step::Done`]. Responses go to the [`imap_proto::Sink`] of each call.
//!
//! - `cmd/` has one file for each command: plan, execute, answer.
//! - `render` alone writes what is said of messages: FETCH, EXPUNGE, VANISHED, EXISTS, FLAGS.
//! - `sync` decides what the client is told and when.
//! - `capability` is the table of what is announced.
//! - `errors` gives every error its words and code.

mod capability;
mod cmd;
mod config;
mod errors;
mod literal;
mod metadata;
mod need;
mod render;
mod reply;
mod resolve;
mod session;
mod state;
mod step;
mod sync;

pub use config::{CleartextLogin, ServerAnnotations, SessionConfig, TlsState, UsersSetQuota};
pub use literal::{LiteralRefusal, LiteralVerdict};
pub use need::{
    Answer, AppendData, AppendItem, AppendRequest, AuthenticationRefused, ClientResponse, Need,
    ReadRequest, SaslStep, Trouble, Unread,
};
pub use session::Session;
pub use state::World;
pub use step::{Step, Then};
