//! The outbound queue as rows: mail that was accepted and has yet to go somewhere.
//!
//! What may happen to an entry is decided in [`mail_queue::decide`]; what is here makes it durable.
//! An entry is one row, its body a blob of the queue's own scope, and one more row says when it is
//! due. All of them belong to no account and live in the home store, so that one commit changes an
//! entry whole, and with it comes what its sender is told: a notice is an entry of its own.
//!
//! Nodes share the queue. Each change is conditional on the entry as it was read, and whoever works
//! on an entry has claimed it and renews the claim; when he does not he is believed dead, and
//! another one goes on ([`mail_queue::Vigil`]). So mail leaves once, except when a node dies (or
//! loses its store) after another server has taken a message and before it could record that: then
//! it leaves once more. RFC 1047
//!
//! Mail for an account of this server is delivered once even then: the mark that it was stands in
//! the commit that delivers it ([`local`]).

mod change;
mod enqueue;
mod holding;
mod local;
mod notice;
mod receipt;
mod runner;
mod staging;
mod sweep;

use std::fmt;

use mail_queue::{EnvelopeFault, Refusal};
use store::{BlobId, View};

use crate::codec::queue::{NEVER, StoredEntry};
use crate::error::ServiceError;
use crate::keys;

pub use change::{Claimed, Listed};
pub use holding::Leave;
pub use local::LocalDelivery;
pub(crate) use local::is_old_mark;
pub use mail_queue::{
    Action, Attempt, Body, Entry, Envelope, Handover, Hold, Notify, Origin, OriginalRecipient,
    Progress, QueueId, Recipient, Release, Reply, Ret, Schedule, Terms,
};
pub use receipt::Receipt;
pub use runner::{Job, Outcomes, QueueRunner, RunnerSettings, Transport};
pub use staging::{OutgoingStaging, StagedOutgoing};
pub(crate) use sweep::check_queue;

/// Why the queue did not do something.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueError {
    /// There is no such entry, or no more.
    NoSuchEntry,
    /// What is happening to it does not allow that.
    Refused(Refusal),
    /// This is no envelope. Nothing was queued.
    Envelope(EnvelopeFault),
    /// The service could not. After `WriteRefused` it is not known whether it happened.
    Service(ServiceError),
}

impl<E: Into<ServiceError>> From<E> for QueueError {
    fn from(error: E) -> Self {
        Self::Service(error.into())
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchEntry => f.write_str("no such entry in the queue"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Envelope(fault) => write!(f, "not an envelope: {fault}"),
            Self::Service(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for QueueError {}

/// An entry as it was read, with the bytes that a change of it is conditional on.
struct Found {
    value: Vec<u8>,
    blob: BlobId,
    entry: Entry,
}

fn find(view: &dyn View, id: QueueId) -> Result<Option<Found>, ServiceError> {
    let key = keys::queue_entry(id);
    let Some(value) = view.get(&key)?.filter(|value| value != NEVER) else { return Ok(None) };
    let StoredEntry { blob, entry } = StoredEntry::decode(&key, &value)?;
    Ok(Some(Found { value, blob, entry }))
}
