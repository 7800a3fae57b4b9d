//! The vocabulary of mail that every layer shares: numbers, sets, flags, names, dates, and the
//! parsed shapes of a message (envelope, body structure).
//!
//! Nothing here does I/O, reads a clock or speaks a protocol. Numbers with different meanings are
//! different types, and the stored value is the value on the wire.

mod annotation;
mod date;
mod entry_name;
mod envelope;
mod flags;
mod ids;
mod name;
mod number;
mod secret;
mod set;
mod special_use;
mod structure;

pub use annotation::{AnnotationName, AnnotationNameError, AnnotationScope};
pub use date::{DateError, InternalDate};
pub use entry_name::{EntryName, EntryNameError};
pub use envelope::{Address, Envelope};
pub use flags::{Flags, Keyword, KeywordError, SystemFlags};
pub use ids::{AccountId, MailboxId, MessageId, ThreadId};
pub use name::{MailboxName, NameError};
pub use number::{ModSeq, SeqNum, Uid, UidValidity};
pub use secret::Secret;
pub use set::{RangeSet, SeqSet, SetValue, UidSet};
pub use special_use::SpecialUse;
pub use structure::{BodyFields, BodyStructure, Disposition, ExtensionFields, Param};
