//! One IMAP session: what the client asks, what that needs, what it is told. No I/O.
//!
//! A [`Session`] is a state machine. A command goes in by [`Session::begin`]; what the session
//! cannot do itself comes out as a [`Need`], and its [`Answer`] goes back by [`Session::resume`],
//! until the step is [`Step::Done`]. Responses go to the [`imap_proto::Sink`] of each call.
//!
//! - `cmd/` has one file for each command: plan, execute, answer.
//! - `render` alone writes what is said of messages: FETCH, EXPUNGE, VANISHED, EXISTS, FLAGS.
//! - `sync` decides what the client is told and when.
//! - `watch` is what NOTIFY asked for, and `news` tells it.
//! - `annotation` translates annotations of messages, `metadata` those of mailboxes.
//! - `capability` is the table of what is announced.
//! - `place` says whose account a name or a need belongs to, and what the session may do there.
//! - `limit` bounds how many messages one command works on.
//! - `progress` says how far a long command has come.
//! - `errors` gives every error its words and code.

mod annotation;
mod capability;
mod cmd;
mod config;
mod errors;
mod filter;
mod language;
mod limit;
mod literal;
mod metadata;
mod need;
mod news;
mod place;
mod progress;
mod render;
mod reply;
mod resolve;
mod session;
mod state;
mod step;
mod sync;
mod watch;

pub use capability::Hiding;
pub use config::{
    CleartextLogin, Compressed, ServerAnnotations, SessionConfig, TlsState, UsersSetQuota,
};
pub use filter::SharedFilter;
pub use language::Language;
pub use literal::{LiteralRefusal, LiteralVerdict};
pub use need::{
    Answer, AppendData, AppendItem, AppendPiece, AppendRequest, AuthenticationRefused,
    ClientResponse, CopyRequest, Need, ReadRequest, ReplaceRequest, SaslStep, SetAclRequest,
    Sharer, Trouble, Unread, UrlRequest, UrlToSign,
};
pub use place::Place;
pub use session::Session;
pub use state::{Others, World};
pub use step::{Step, Then};
