//! THREAD. RFC 5256 §3

use super::Search;

/// Arguments of THREAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// How messages are put into threads.
    pub algorithm: ThreadAlgorithm,
    /// What is searched for. Its charset is always given, and it has no return options.
    pub search: Search,
}

/// A threading algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`
    OrderedSubject,
    /// `REFERENCES`
    References,
    /// `REFS`. draft-ietf-morg-inthread
    Refs,
}

impl ThreadAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::OrderedSubject, Self::References, Self::Refs];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderedSubject => "ORDEREDSUBJECT",
            Self::References => "REFERENCES",
            Self::Refs => "REFS",
        }
    }
}

/// One place in the threads of a THREAD response. They come as a list, each member before its
/// children, because a thread may be as deep as a mailbox is long: a tree of that depth could not
/// even be dropped safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadMember {
    /// Sequence number or UID, not zero; `None` for a parent that is not there, which has at
    /// least two children.
    pub number: Option<u32>,
    /// How many members are above it.
    pub depth: u32,
}
