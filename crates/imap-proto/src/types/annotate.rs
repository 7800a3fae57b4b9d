//! Annotations of messages in FETCH, STORE, APPEND, SEARCH and SORT. RFC 5257

use mail_types::{AnnotationName, AnnotationScope, ModSeq};

use super::{Numbering, SequenceSet};

/// What of an annotation: an attribute without its suffix. RFC 5257 §3.2.2
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationPart {
    /// `value`
    Value,
    /// `size`, in octets; set by the server alone.
    Size,
}

/// `ANNOTATION (entries attributes)` of FETCH. RFC 5257 §4.3
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnnotationItem {
    /// Names, in which `*` and `%` are wildcards: at least one. One without a wildcard is a name
    /// that an annotation can have.
    pub entries: Vec<String>,
    /// At least one attribute; without a suffix it stands for both. RFC 5257 §3.2.2
    pub attributes: Vec<(AnnotationPart, Option<AnnotationScope>)>,
}

impl AnnotationItem {
    /// Most entries in one item: each is looked for on every message.
    pub const ENTRIES_MAX: usize = 64;
    /// Most attributes in one item; there are six.
    pub const ATTRIBUTES_MAX: usize = 16;
}

/// A value to be set; `None` removes it. RFC 5257 §4.5
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationSetting {
    /// The entry.
    pub entry: AnnotationName,
    /// Whose value.
    pub scope: AnnotationScope,
    /// The value.
    pub value: Option<Vec<u8>>,
}

impl AnnotationSetting {
    /// Most entries, and most values of one entry, in one command.
    pub const ENTRIES_MAX: usize = 128;
}

/// Arguments of STORE with ANNOTATION. RFC 5257 §4.5
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAnnotation {
    /// Whether the set holds UIDs.
    pub numbering: Numbering,
    /// Which messages.
    pub set: SequenceSet,
    /// `UNCHANGEDSINCE`: leave messages alone that changed after it. RFC 7162 §3.1.3
    pub unchanged_since: Option<ModSeq>,
    /// What is set; at least one value.
    pub settings: Vec<AnnotationSetting>,
}

/// ANNOTATION in a FETCH response. RFC 5257 §4.4
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnotationData {
    /// Entries with their attributes, which FETCH asked for.
    Values(Vec<AnnotationEntry>),
    /// Entries that have changed, which nobody asked for.
    Changed(Vec<AnnotationName>),
}

/// An entry with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationEntry {
    /// Its name.
    pub name: AnnotationName,
    /// Attributes and what they are; `None` for NIL.
    pub attributes: Vec<(AnnotationPart, AnnotationScope, Option<Vec<u8>>)>,
}

/// `ANNOTATION` of SEARCH. RFC 5257 §4.8
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKey {
    /// A name, in which `*` and `%` are wildcards.
    pub entry: String,
    /// Whose value; `None` for both.
    pub scope: Option<AnnotationScope>,
    /// What its text must hold; `None` for NIL: there is no such value.
    pub text: Option<Vec<u8>>,
}

/// What a mailbox does with annotations: the argument of ANNOTATIONS. RFC 5257 §4.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationSupport {
    /// `NONE`
    None,
    /// `READ-ONLY`, perhaps with NOPRIVATE.
    ReadOnly {
        /// Whether there are shared ones alone.
        no_private: bool,
    },
    /// Octets that a value may have, perhaps with NOPRIVATE.
    Writable {
        /// Never zero.
        value_bytes_max: u32,
        /// Whether there are shared ones alone.
        no_private: bool,
    },
}
