//! How much an account may hold, and how much it does. RFC 9208
//!
//! Usage is not counted by itself: it is the sum of what mailbox records count, so it cannot
//! disagree with them. The sum is made only where there is a limit; for 10,000 mailboxes it takes
//! some 30 us.

use crate::{Account, Mailbox};

/// What can be limited. RFC 9208 §5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Octets of messages, in units of 1,024: each copy counts, by its RFC822.SIZE. RFC 9208 §5.1
    Storage,
    /// Messages in all mailboxes. RFC 9208 §5.2
    Messages,
    /// Mailboxes. RFC 9208 §5.3
    Mailboxes,
    /// Octets of the annotations of messages, in units of 1,024; those of mailboxes and of the
    /// server do not count. RFC 9208 §5.4
    AnnotationStorage,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Storage, Self::Messages, Self::Mailboxes, Self::AnnotationStorage];
}

/// The limits of an account; `None` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Quota {
    /// [`Resource::Storage`], in units of 1,024 octets.
    pub storage_kib: Option<u64>,
    /// [`Resource::Messages`]
    pub messages: Option<u64>,
    /// [`Resource::Mailboxes`]
    pub mailboxes: Option<u64>,
    /// [`Resource::AnnotationStorage`], in units of 1,024 octets.
    pub annotation_kib: Option<u64>,
}

impl Quota {
    /// Largest limit: numbers of the protocol have 63 bits. RFC 9208 §3.1.2
    pub const LIMIT_MAX: u64 = i64::MAX as u64;

    /// The limit of a resource, in its own unit.
    pub fn limit(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Storage => self.storage_kib,
            Resource::Messages => self.messages,
            Resource::Mailboxes => self.mailboxes,
            Resource::AnnotationStorage => self.annotation_kib,
        }
    }

    /// The same with another limit.
    #[must_use]
    pub fn with(mut self, resource: Resource, limit: Option<u64>) -> Self {
        match resource {
            Resource::Storage => self.storage_kib = limit,
            Resource::Messages => self.messages = limit,
            Resource::Mailboxes => self.mailboxes = limit,
            Resource::AnnotationStorage => self.annotation_kib = limit,
        }
        self
    }

    /// The first resource of which `usage` is more than the limit.
    pub fn exceeded_by(&self, usage: &Usage) -> Option<Resource> {
        let is_exceeded = |resource: &Resource| {
            self.limit(*resource).is_some_and(|max| usage.of(*resource) > max)
        };
        Resource::ALL.into_iter().find(is_exceeded)
    }
}

/// What an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Octets of all messages, each copy counted.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Octets of all annotations of messages.
    pub annotation_bytes: u64,
}

impl Usage {
    /// How much of a resource is used, in its own unit; begun units count whole.
    pub fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Storage => self.bytes.div_ceil(1024),
            Resource::Messages => self.messages,
            Resource::Mailboxes => self.mailboxes,
            Resource::AnnotationStorage => self.annotation_bytes.div_ceil(1024),
        }
    }

    /// What these mailboxes hold.
    pub(crate) fn sum<'a>(mailboxes: impl Iterator<Item = &'a Mailbox>) -> Self {
        let mut usage = Self::default();
        for mailbox in mailboxes {
            let counts = mailbox.record().counts;
            usage.bytes = usage.bytes.saturating_add(counts.size_bytes);
            usage.messages += u64::from(counts.messages);
            usage.annotation_bytes = usage.annotation_bytes.saturating_add(counts.annotation_bytes);
            usage.mailboxes += 1;
        }
        usage
    }
}

impl Account {
    /// What the account holds now.
    pub fn usage(&self) -> Usage {
        Usage::sum(self.mailboxes())
    }
}
