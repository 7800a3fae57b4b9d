//! The mailbox model: what an account holds, what may be asked of it, and what a session was told.
//!
//! An account is one ordered log of changes. [`decide`] turns an [`Operation`] into a [`LogEntry`]
//! with one modification sequence, [`apply`] turns an account and an entry into the next account,
//! and everything else reads: [`View`] is what one session was told, [`qresync`] brings a
//! returning client up to date, [`search`] evaluates a query, [`tree`] answers LIST.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no protocol text.

mod account;
mod acl;
mod annotations;
mod apply;
pub mod collate;
mod decide;
#[cfg(test)]
mod histories;
mod history;
mod keywords;
mod log;
mod metadata;
mod operation;
pub mod qresync;
mod quota;
pub mod ranking;
mod rights;
pub mod search;
mod snapshot;
pub mod sort;
pub mod subject;
pub mod thread;
mod touched;
pub mod tree;
mod view;

pub use account::{Account, Counts, Head, Mailbox, MailboxRecord, SpecialUses, Subscription};
pub use acl::{Acl, BadIdentifier, Identifier, RightsChange};
pub use annotations::{AnnotationEdit, AnnotationValue, Annotations, Audience, EntryPattern};
pub use apply::{Corruption, apply};
pub use decide::{Context, CopyOutcome, Decision, FlagsOutcome, Limit, Outcome, Refusal, decide};
pub use history::Vanished;
pub use keywords::KeywordNames;
pub use log::{Added, Change, FlagRun, LogEntry};
pub use metadata::{Metadata, MetadataTarget, MetadataValue};
pub use operation::{FlagMode, NewMessage, Operation};
pub use quota::{Quota, Resource, Usage};
pub use rights::{Actor, BadRight, Rights};
pub use snapshot::{EntryRef, MailboxSnapshot, MailboxSnapshotBuilder, MembershipRow};
pub use touched::{Touched, touched};
pub use view::{Bound, Changed, Delta, Expunges, News, NoSuchSeqNum, OwnStore, View};
