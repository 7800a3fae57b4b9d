//! The outbound queue: what may happen to mail that was accepted and has yet to go somewhere.
//!
//! An [`Entry`] is one message with the recipients that it still has to reach. [`decide`] takes an
//! [`Event`] and the time and gives the next entry, or says that nothing is left to do, and what
//! its sender must be told ([`Notice`]). [`dsn`] writes such a notice as a message. RFC 5321
//! §4.5.4, RFC 3461, RFC 3464
//!
//! Each accepted recipient is in one of these states at any moment: it waits, an attempt is under
//! way, or its story has ended with a delivery, a failure or its time being up. What has ended is
//! told to the sender if he is to be told, in the same change. Nobody is forgotten.
//!
//! Everything here is pure: no I/O, no clock, no randomness.

mod decide;
pub mod dsn;
mod entry;
mod envelope;
mod id;
mod notice;
mod schedule;
mod vigil;

pub use decide::{After, Decision, Event, Refusal, decide};
pub use entry::{
    Attempt, Claim, Due, Entry, Handover, Hold, Progress, QueuedRecipient, REPLY_BYTES_MAX, Reply,
};
pub use envelope::{
    Body, ENTRY_RECIPIENTS_MAX, Envelope, EnvelopeFault, Notify, Origin, OriginalRecipient,
    RECIPIENTS_MAX, Recipient, Release, Ret, Terms,
};
pub use id::QueueId;
pub use notice::{Action, Notice, Told};
pub use schedule::Schedule;
pub use vigil::{GAP, SILENCE, SURE, Tenure, Vigil};
