//! An account at one moment: its mailboxes, their counts, and the contents of those that are
//! loaded.
//!
//! An [`Account`] is immutable and shares everything that did not change with the account before
//! it. A change costs the path to what it touches and one pointer for each mailbox, so an account
//! of ten thousand mailboxes pays about 30 us and a usual one nothing that can be measured.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mail_types::{
    EntryName, MailboxId, MailboxName, MessageId, ModSeq, SpecialUse, Uid, UidValidity,
};

use crate::acl::Acls;
use crate::apply::Corruption;
use crate::{Acl, KeywordNames, MailboxSnapshot, Metadata, MetadataTarget, MetadataValue, Quota};

/// The whole state of an account. Cheap to clone.
#[derive(Clone)]
pub struct Account {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) head: Head,
    /// In the order of their ids.
    mailboxes: Vec<Arc<Mailbox>>,
    names: Arc<BTreeMap<MailboxName, MailboxId>>,
    pub(crate) subscriptions: Arc<BTreeMap<MailboxName, Subscription>>,
    metadata: Arc<Metadata>,
    pub(crate) acls: Arc<Acls>,
    pub(crate) quota: Quota,
}

/// The counters of an account: the one row that every commit writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Modseq of the last committed operation.
    pub modseq: ModSeq,
    /// The next mailbox gets this id.
    pub next_mailbox: MailboxId,
    /// The next message gets this id.
    pub next_message: MessageId,
    /// The last UIDVALIDITY given to a mailbox, zero before the first. It only rises and has
    /// nothing to do with the clock, so that no (UIDVALIDITY, UID) can come twice.
    /// RFC 9051 §2.3.1.1
    pub last_uid_validity: u32,
    /// The log is complete after this modseq.
    pub history_floor: ModSeq,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            modseq: ModSeq::ZERO,
            next_mailbox: MailboxId(1),
            next_message: MessageId(1),
            last_uid_validity: 0,
            history_floor: ModSeq::ZERO,
        }
    }
}

/// A mailbox: its record, and its contents if they are loaded.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub(crate) record: MailboxRecord,
    pub(crate) contents: Option<MailboxSnapshot>,
    pub(crate) key_resets: u32,
}

impl Mailbox {
    /// What is known of it without loading it: enough for STATUS and LIST.
    pub fn record(&self) -> &MailboxRecord {
        &self.record
    }

    /// Its messages; `None` if they are not loaded.
    pub fn contents(&self) -> Option<&MailboxSnapshot> {
        self.contents.as_ref()
    }

    /// How often the log has told that its access key was replaced, since the account was read from
    /// rows: none of them holds it. A session compares it with what it has seen. RFC 4467 §7
    pub fn key_resets(&self) -> u32 {
        self.key_resets
    }
}

/// What a mailbox's row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRecord {
    /// MAILBOXID: stable over RENAME, never reused. RFC 8474 §4
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// UIDNEXT. 2^32-1 is never given to a message: it stands for "no UID is left".
    pub uid_next: Uid,
    /// Modseq of the last change in it: HIGHESTMODSEQ. RFC 7162 §3.1.2.1
    pub highest_modseq: ModSeq,
    /// Modseq at which it was made.
    pub created: ModSeq,
    /// What it is for.
    pub special_use: SpecialUses,
    /// The first UID that no session has had as `\Recent` yet.
    pub recent_mark: Uid,
    /// How many messages have a UID of `recent_mark` or above.
    pub recent: u32,
    /// What is in it.
    pub counts: Counts,
    /// The keywords it has announced.
    pub keywords: KeywordNames,
}

impl MailboxRecord {
    /// The record of a mailbox that is made at `created`.
    pub(crate) fn new(
        id: MailboxId,
        name: MailboxName,
        uid_validity: UidValidity,
        created: ModSeq,
    ) -> Self {
        Self {
            id,
            name,
            uid_validity,
            uid_next: Uid::MIN,
            highest_modseq: created,
            created,
            special_use: SpecialUses::NONE,
            recent_mark: Uid::MIN,
            recent: 0,
            counts: Counts::default(),
            keywords: KeywordNames::well_known(),
        }
    }
}

/// What STATUS counts. RFC 9051 §6.3.11
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// MESSAGES
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Sum of the sizes of all messages. RFC 8438
    pub size_bytes: u64,
    /// Sum of the sizes of the messages with `\Deleted`: DELETED-STORAGE. RFC 9208 §4.1.4
    pub deleted_bytes: u64,
    /// Sum of the octets of all annotations of messages: ANNOTATION-STORAGE. RFC 9208 §5.4
    pub annotation_bytes: u64,
}

/// Why a name is on the list of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// The server subscribed it when it made the mailbox; it goes when the mailbox goes.
    Automatic,
    /// A client asked; only a client may take it off again, even when no such mailbox exists.
    /// RFC 3501 §6.3.6
    Asked,
}

/// A set of special uses.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialUses(u8);

impl SpecialUses {
    /// No special use.
    pub const NONE: Self = Self(0);

    /// The set of these.
    pub fn new(uses: &[SpecialUse]) -> Self {
        let mut set = Self::NONE;
        for special_use in uses {
            set.0 |= Self::bit(*special_use);
        }
        set
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is in it.
    pub fn contains(self, special_use: SpecialUse) -> bool {
        self.0 & Self::bit(special_use) != 0
    }

    /// Those of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// All in it, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = SpecialUse> {
        SpecialUse::ALL.into_iter().filter(move |special_use| self.contains(*special_use))
    }

    /// The stored byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From the stored byte; `None` if a bit is set that stands for no use.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::new(&SpecialUse::ALL).0 == 0).then_some(Self(bits))
    }

    const fn bit(special_use: SpecialUse) -> u8 {
        match special_use {
            SpecialUse::Archive => 1,
            SpecialUse::Drafts => 2,
            SpecialUse::Junk => 4,
            SpecialUse::Sent => 8,
            SpecialUse::Trash => 16,
        }
    }
}

impl fmt::Debug for SpecialUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Account {
    /// Most mailboxes in an account. Every commit copies one pointer for each, and LIST names all.
    pub const MAILBOXES_MAX: usize = 10_000;
    /// Most names on the list of subscriptions: every mailbox, and as many that are gone.
    pub const SUBSCRIPTIONS_MAX: usize = 2 * Self::MAILBOXES_MAX;
    /// Most messages in one mailbox: 240 MB when it is loaded.
    pub const MESSAGES_MAX: u32 = 5_000_000;

    /// An account before its first operation, without even an INBOX.
    pub fn empty() -> Self {
        let inner = Inner {
            head: Head::default(),
            mailboxes: Vec::new(),
            names: Arc::default(),
            subscriptions: Arc::default(),
            metadata: Arc::default(),
            acls: Arc::default(),
            quota: Quota::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// An account as it was stored; no contents are loaded.
    ///
    /// # Errors
    /// If ids or names come twice, or a record is ahead of the head.
    pub fn restore(
        head: Head,
        records: Vec<MailboxRecord>,
        subscriptions: Vec<(MailboxName, Subscription)>,
    ) -> Result<Self, Corruption> {
        let mut inner = Inner {
            head,
            mailboxes: Vec::new(),
            names: Arc::default(),
            subscriptions: Arc::new(subscriptions.into_iter().collect()),
            metadata: Arc::default(),
            acls: Arc::default(),
            quota: Quota::default(),
        };
        let mut records = records;
        records.sort_by_key(|record| record.id);
        for record in records {
            let is_ahead = record.id >= head.next_mailbox
                || record.highest_modseq > head.modseq
                || record.uid_validity.get() > head.last_uid_validity;
            if is_ahead {
                return Err(Corruption::MailboxAheadOfHead(record.id));
            }
            inner.insert_mailbox(Mailbox { record, contents: None, key_resets: 0 })?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This account with the annotations that were stored.
    ///
    /// # Errors
    /// If one is of a mailbox that is not there.
    pub fn with_metadata(
        self,
        entries: Vec<(MetadataTarget, EntryName, MetadataValue)>,
    ) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        for (target, name, value) in entries {
            inner.set_metadata(target, &[(name, Some(value))])?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This account with the access control lists that were stored.
    ///
    /// # Errors
    /// If one is of a mailbox that is not there.
    pub fn with_acls(self, acls: Vec<(MailboxId, Acl)>) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        for (mailbox, acl) in acls {
            inner.set_acl(mailbox, Arc::new(acl))?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This account with the limits that were stored.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        let mut inner = (*self.inner).clone();
        inner.quota = quota;
        Self { inner: Arc::new(inner) }
    }

    /// The counters.
    pub fn head(&self) -> &Head {
        &self.inner.head
    }

    /// Modseq of the last operation.
    pub fn modseq(&self) -> ModSeq {
        self.inner.head.modseq
    }

    /// The mailbox of this id.
    pub fn mailbox(&self, id: MailboxId) -> Option<&Mailbox> {
        let at = self.inner.index_of(id).ok()?;
        self.inner.mailboxes.get(at).map(Arc::as_ref)
    }

    /// The mailbox of this name.
    pub fn by_name(&self, name: &MailboxName) -> Option<&Mailbox> {
        self.mailbox(*self.inner.names.get(name)?)
    }

    /// All mailboxes in the order of their ids.
    pub fn mailboxes(&self) -> impl ExactSizeIterator<Item = &Mailbox> {
        self.inner.mailboxes.iter().map(Arc::as_ref)
    }

    /// All names in ascending order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = (&MailboxName, MailboxId)> {
        self.inner.names.iter().map(|(name, id)| (name, *id))
    }

    /// The mailboxes below a name, whether a mailbox of that name exists or not.
    pub fn below<'a>(
        &'a self,
        name: &'a MailboxName,
    ) -> impl Iterator<Item = (&'a MailboxName, MailboxId)> {
        // Names below "a" stand together but not right after "a": "a b" sorts before "a/b".
        self.names().filter(move |(other, _)| other.is_below(name))
    }

    /// The list of subscriptions in the order of names.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&MailboxName, Subscription)> {
        self.inner.subscriptions.iter().map(|(name, subscription)| (name, *subscription))
    }

    /// Whether this name is on the list of subscriptions.
    pub fn is_subscribed(&self, name: &MailboxName) -> bool {
        self.inner.subscriptions.contains_key(name)
    }

    /// The annotations of the server and of all mailboxes; shared as long as none changes.
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.inner.metadata
    }

    /// What the account may hold.
    pub fn quota(&self) -> Quota {
        self.inner.quota
    }

    /// This account with the contents of one mailbox loaded.
    ///
    /// # Errors
    /// If there is no such mailbox or the contents are not those of its record.
    pub fn with_contents(
        &self,
        id: MailboxId,
        contents: MailboxSnapshot,
    ) -> Result<Self, Corruption> {
        let mut inner = (*self.inner).clone();
        let mailbox = inner.mailbox_mut(id)?;
        contents.check_against(&mailbox.record)?;
        mailbox.contents = Some(contents);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This account with the contents of one mailbox dropped from memory.
    pub fn without_contents(&self, id: MailboxId) -> Self {
        let mut inner = (*self.inner).clone();
        if let Ok(mailbox) = inner.mailbox_mut(id) {
            mailbox.contents = None;
        }
        Self { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("head", &self.inner.head)
            .field("mailboxes", &self.inner.mailboxes)
            .field("subscriptions", &self.inner.subscriptions)
            .field("metadata", &self.inner.metadata)
            .field("acls", &self.inner.acls)
            .field("quota", &self.inner.quota)
            .finish()
    }
}

impl Inner {
    pub(crate) fn mailbox_mut(&mut self, id: MailboxId) -> Result<&mut Mailbox, Corruption> {
        let at = self.index_of(id).map_err(|_| Corruption::NoSuchMailbox(id))?;
        let mailbox = self.mailboxes.get_mut(at).ok_or(Corruption::NoSuchMailbox(id))?;
        Ok(Arc::make_mut(mailbox))
    }

    pub(crate) fn insert_mailbox(&mut self, mailbox: Mailbox) -> Result<(), Corruption> {
        let id = mailbox.record.id;
        let name = mailbox.record.name.clone();
        let Err(at) = self.index_of(id) else { return Err(Corruption::IdTwice(id)) };
        if Arc::make_mut(&mut self.names).insert(name, id).is_some() {
            return Err(Corruption::NameTwice(id));
        }
        self.mailboxes.insert(at, Arc::new(mailbox));
        Ok(())
    }

    pub(crate) fn remove_mailbox(&mut self, id: MailboxId) -> Result<(), Corruption> {
        let at = self.index_of(id).map_err(|_| Corruption::NoSuchMailbox(id))?;
        let mailbox = self.mailboxes.remove(at);
        // A name that another mailbox took earlier in the same entry stays with it.
        if self.names.get(&mailbox.record.name) == Some(&id) {
            Arc::make_mut(&mut self.names).remove(&mailbox.record.name);
        }
        // A mailbox that gets the name later does not inherit them. RFC 5464 §4.1
        if self.metadata.count(MetadataTarget::Mailbox(id)) > 0 {
            Arc::make_mut(&mut self.metadata).remove_mailbox(id);
        }
        // RFC 4314 §4: the list goes with its mailbox.
        if self.acls.get(id).is_some() {
            Arc::make_mut(&mut self.acls).set(id, Arc::default());
        }
        Ok(())
    }

    pub(crate) fn rename_mailbox(
        &mut self,
        id: MailboxId,
        to: &MailboxName,
    ) -> Result<(), Corruption> {
        let mailbox = self.mailbox_mut(id)?;
        let from = std::mem::replace(&mut mailbox.record.name, to.clone());
        let names = Arc::make_mut(&mut self.names);
        // Within one entry a mailbox may take a name before its holder has moved on.
        if names.get(&from) == Some(&id) {
            names.remove(&from);
        }
        names.insert(to.clone(), id);
        Ok(())
    }

    pub(crate) fn set_metadata(
        &mut self,
        target: MetadataTarget,
        entries: &[(EntryName, Option<MetadataValue>)],
    ) -> Result<(), Corruption> {
        if let MetadataTarget::Mailbox(id) = target
            && self.index_of(id).is_err()
        {
            return Err(Corruption::NoSuchMailbox(id));
        }
        let metadata = Arc::make_mut(&mut self.metadata);
        for (name, value) in entries {
            metadata.set(target, name.clone(), value.clone());
        }
        Ok(())
    }

    pub(crate) fn set_acl(&mut self, mailbox: MailboxId, acl: Arc<Acl>) -> Result<(), Corruption> {
        if self.index_of(mailbox).is_err() {
            return Err(Corruption::NoSuchMailbox(mailbox));
        }
        Arc::make_mut(&mut self.acls).set(mailbox, acl);
        Ok(())
    }

    /// Whether every mailbox is found by its name: to be called after an entry that renames.
    pub(crate) fn check_names(&self) -> Result<(), Corruption> {
        if self.names.len() == self.mailboxes.len() {
            return Ok(());
        }
        let is_lost = |m: &&Arc<Mailbox>| self.names.get(&m.record.name) != Some(&m.record.id);
        let lost = self.mailboxes.iter().find(is_lost);
        Err(Corruption::NameTwice(lost.map_or(MailboxId(0), |mailbox| mailbox.record.id)))
    }

    /// Drops the expunge history up to `floor` from all contents. A mailbox made later has lost
    /// nothing.
    pub(crate) fn forget_history(&mut self, floor: ModSeq) {
        for mailbox in &mut self.mailboxes {
            if mailbox.record.created < floor && mailbox.contents.is_some() {
                let mailbox = Arc::make_mut(mailbox);
                mailbox.contents =
                    mailbox.contents.as_ref().map(|contents| contents.with_history_floor(floor));
            }
        }
    }

    fn index_of(&self, id: MailboxId) -> Result<usize, usize> {
        self.mailboxes.binary_search_by_key(&id, |mailbox| mailbox.record.id)
    }
}
