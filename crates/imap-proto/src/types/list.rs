//! LIST, LSUB and NAMESPACE, the commands and their answers. RFC 9051 §6.3.9, RFC 5258

use mail_types::{EntryName, SpecialUse};

use super::{ListPattern, MailboxArg, StatusItem};

/// Arguments of LIST in its extended form; the plain form has one pattern and no options.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct List {
    /// Whether the command had the extended syntax: options, or patterns in parentheses. A plain
    /// `LIST "" ""` asks for the separator only. RFC 5258 §3
    pub extended: bool,
    /// Which mailboxes are wanted.
    pub selection: ListSelection,
    /// Reference: stands in front of each pattern.
    pub reference: MailboxArg,
    /// The patterns, at least one.
    pub patterns: Vec<ListPattern>,
    /// What is to be told of each.
    pub returns: ListReturn,
}

impl List {
    /// Most patterns in one command; Thunderbird sends up to a dozen.
    pub const PATTERNS_MAX: usize = 256;
    /// Most annotations asked for in one command: each is told of every mailbox.
    pub const ENTRIES_MAX: usize = 32;
}

/// Selection options. RFC 5258 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ListSelection {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `REMOTE`
    pub remote: bool,
    /// `RECURSIVEMATCH`; only together with an option that it modifies.
    pub recursive_match: bool,
    /// `SPECIAL-USE`. RFC 6154 §2
    pub special_use: bool,
}

/// Return options. RFC 5258 §3.2
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `CHILDREN`
    pub children: bool,
    /// `SPECIAL-USE`. RFC 6154 §2
    pub special_use: bool,
    /// `MYRIGHTS`. RFC 8440 §3
    pub my_rights: bool,
    /// `STATUS (…)`; empty if not asked. RFC 5819
    pub status: Vec<StatusItem>,
    /// `METADATA (…)`: the annotations wanted; empty if not asked. RFC 9590
    pub metadata: Vec<EntryName>,
}

/// Arguments of LSUB. RFC 3501 §6.3.9
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsub {
    /// Reference.
    pub reference: MailboxArg,
    /// Pattern.
    pub pattern: ListPattern,
}

/// A special use as it is asked for or told: also those that are given to no real mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseAttribute {
    /// One that a mailbox can have.
    Use(SpecialUse),
    /// Any other, with its backslash: `\All`, `\Flagged`, `\Important`, extensions.
    Other(String),
}

impl UseAttribute {
    /// From its name with the backslash.
    pub fn from_name(name: &str) -> Self {
        SpecialUse::from_name(name).map_or_else(|| Self::Other(name.to_owned()), Self::Use)
    }

    /// Its name with the backslash.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Use(special_use) => special_use.as_str(),
            Self::Other(name) => name,
        }
    }
}

/// An answer to LIST or LSUB. RFC 9051 §7.3.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListReply {
    /// Attributes.
    pub attributes: Vec<ListAttribute>,
    /// Hierarchy separator; `None` for NIL.
    pub delimiter: Option<char>,
    /// The name.
    pub mailbox: MailboxArg,
    /// `CHILDINFO`: which selection options match a child, `SUBSCRIBED` for one. RFC 5258 §3.5
    pub child_info: Vec<String>,
    /// `OLDNAME`: the name before a RENAME, or the one asked for. RFC 9051 §6.3.9.7
    pub old_name: Option<MailboxArg>,
}

/// A mailbox attribute. RFC 9051 §7.3.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListAttribute {
    /// `\Noinferiors`
    NoInferiors,
    /// `\Noselect`
    NoSelect,
    /// `\NonExistent`
    NonExistent,
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Marked`
    Marked,
    /// `\Unmarked`
    Unmarked,
    /// `\Subscribed`
    Subscribed,
    /// `\Remote`
    Remote,
    /// A special use, or an attribute not known here.
    Use(UseAttribute),
}

impl ListAttribute {
    /// From its name with the backslash, in any letter case.
    pub fn from_name(name: &str) -> Self {
        let known = LIST_ATTRIBUTES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name));
        known.map_or_else(|| Self::Use(UseAttribute::from_name(name)), |(a, _)| a.clone())
    }

    /// Its name with the backslash.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Use(special_use) => special_use.as_str(),
            plain => LIST_ATTRIBUTES.iter().find(|(a, _)| a == plain).map_or("", |(_, name)| name),
        }
    }
}

/// The answer to NAMESPACE; an empty list is NIL. RFC 2342 §5
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NamespaceReply {
    /// The user's own.
    pub personal: Vec<NamespaceEntry>,
    /// Those of other users.
    pub other_users: Vec<NamespaceEntry>,
    /// Shared ones.
    pub shared: Vec<NamespaceEntry>,
}

/// One namespace.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NamespaceEntry {
    /// What its names begin with.
    pub prefix: MailboxArg,
    /// Hierarchy separator; `None` for NIL.
    pub delimiter: Option<char>,
    /// `TRANSLATION`: the prefix as it is shown to people, in modified UTF-7. RFC 5255 §3.4
    pub translation: Option<MailboxArg>,
}

const LIST_ATTRIBUTES: [(ListAttribute, &str); 9] = [
    (ListAttribute::NoInferiors, "\\Noinferiors"),
    (ListAttribute::NoSelect, "\\Noselect"),
    (ListAttribute::NonExistent, "\\NonExistent"),
    (ListAttribute::HasChildren, "\\HasChildren"),
    (ListAttribute::HasNoChildren, "\\HasNoChildren"),
    (ListAttribute::Marked, "\\Marked"),
    (ListAttribute::Unmarked, "\\Unmarked"),
    (ListAttribute::Subscribed, "\\Subscribed"),
    (ListAttribute::Remote, "\\Remote"),
];
