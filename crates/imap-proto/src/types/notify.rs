//! NOTIFY: which events a client wants to hear of. RFC 5465

use super::{FetchItem, MailboxArg};

/// Arguments of NOTIFY. RFC 5465 §3.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `NONE`: no event at all.
    None,
    /// `SET`: these, and no others.
    Set {
        /// Whether `STATUS` was given: the state of each mailbox is told before the tagged OK.
        status: bool,
        /// What is wanted of which mailboxes; at least one.
        groups: Vec<EventGroup>,
    },
}

/// Events that are wanted of some mailboxes. RFC 5465 §8 (`event-group`)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// Of which mailboxes.
    pub filter: MailboxFilter,
    /// Which events; empty for `NONE`.
    pub events: Vec<Event>,
}

/// Which mailboxes an event group is about. RFC 5465 §6
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxFilter {
    /// The selected one, told at once.
    Selected,
    /// The selected one, with expunges told only when sequence numbers may change.
    SelectedDelayed,
    /// Those that mail may be delivered to.
    Inboxes,
    /// All of the user's own.
    Personal,
    /// All that are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<MailboxArg>),
    /// These.
    Mailboxes(Vec<MailboxArg>),
}

/// Something that happens. RFC 5465 §5
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message arrives; in the selected mailbox these items are told of it.
    MessageNew(Vec<FetchItem>),
    /// A message is expunged.
    MessageExpunge,
    /// The flags of a message change.
    FlagChange,
    /// An annotation of a message changes.
    AnnotationChange,
    /// A mailbox is made, renamed or deleted.
    MailboxName,
    /// A name is subscribed or is so no longer.
    SubscriptionChange,
    /// Metadata of a mailbox change.
    MailboxMetadataChange,
    /// Metadata of the server change.
    ServerMetadataChange,
    /// An event not known here.
    Other(String),
}

impl Notify {
    /// Most event groups in a command: there are seven kinds of them.
    pub const GROUPS_MAX: usize = 32;
    /// Most names in one group.
    pub const NAMES_MAX: usize = 1000;
    /// Most events in one group: there are eight.
    pub const EVENTS_MAX: usize = 32;
}

impl Event {
    /// From its name, in any letter case. MessageNew comes without items.
    pub fn from_name(name: &str) -> Self {
        let known = EVENTS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.map_or_else(|| Self::Other(name.to_owned()), |(event, _)| event.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::MessageNew(_) => "MessageNew",
            Self::Other(name) => name,
            plain => EVENTS.iter().find(|(event, _)| event == plain).map_or("", |(_, name)| name),
        }
    }
}

static EVENTS: [(Event, &str); 8] = [
    (Event::MessageNew(Vec::new()), "MessageNew"),
    (Event::MessageExpunge, "MessageExpunge"),
    (Event::FlagChange, "FlagChange"),
    (Event::AnnotationChange, "AnnotationChange"),
    (Event::MailboxName, "MailboxName"),
    (Event::SubscriptionChange, "SubscriptionChange"),
    (Event::MailboxMetadataChange, "MailboxMetadataChange"),
    (Event::ServerMetadataChange, "ServerMetadataChange"),
];
