//! The story of each message: where it came from, what was found out about it, where it went, and
//! what the other side said. `pillarbox why` tells it.
//!
//! Stories are for people who look for a message, and nothing rests on them. So they cost the way
//! of a message nothing but memory: what is told is gathered ([`journal`]) and written in groups
//! behind the mail. The last moment before a crash may be missing from the stories; the mail is
//! not.
//!
//! What is kept of a message is its envelope, its Message-ID and what was decided. Its subject, its
//! text and its other fields are nobody's business. All of it is forgotten after a named number of
//! days ([`crate::ServiceConfig::story_days`]). It is found by hashes under a key of the store's,
//! in the home store, so every node can tell it.

mod event;
mod journal;
mod line;
mod read;
mod record;
mod sweep;

pub(crate) use event::of_change;
pub use event::{Arrival, CHECKS_MAX, Event, LISTED_MAX, Order, Placement, Tried, What};
pub(crate) use journal::{Journal, write_stories};
pub use line::{LINE_BYTES_MAX, Line};
pub use read::{Found, Subject};
pub use record::Story;
pub(crate) use sweep::check_stories;
