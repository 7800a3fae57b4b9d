//! What a client asked by NOTIFY to be told of, and what of it the client knows. RFC 5465
//!
//! Of every mailbox a session keeps a few numbers, not the account as it was: an account that is
//! held keeps contents in memory that nobody needs any more. A look at the account compares them
//! all, which is O(mailboxes * log mailboxes) for each change that wakes the session; names are
//! matched only of mailboxes that changed.

mod known;

use std::collections::BTreeSet;

use imap_proto::types::{FetchItem, StatusItem};
use mail_types::{EntryName, MailboxId, MailboxName, ModSeq, UidSet};
use mailbox::{Account, MailboxRecord, MetadataTarget};

use known::{Changes, Known, Mark};

/// Everything that NOTIFY SET said, and what was told since.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What is told of the selected mailbox; `None` for nothing.
    pub(crate) selected: Option<SelectedWatch>,
    pub(crate) groups: Vec<Group>,
    known: Known,
    /// The account when the command in progress last asked for something.
    asked_at: ModSeq,
    /// Messages of the selected mailbox that have arrived, and of which items are to be told.
    pub(crate) fresh: UidSet,
    /// Messages that this session itself put into the selected mailbox. RFC 5465 §5.2
    pub(crate) own: UidSet,
}

/// What is told of the selected mailbox. RFC 5465 §6.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectedWatch {
    /// SELECTED-DELAYED: expunges wait for a command that may tell them.
    pub(crate) is_delayed: bool,
    /// FlagChange.
    pub(crate) flags: bool,
    /// AnnotationChange.
    pub(crate) annotations: bool,
    /// What is told of each new message.
    pub(crate) items: Vec<FetchItem>,
}

/// Events of mailboxes that are not selected.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) filter: Filter,
    pub(crate) wants: Wants,
}

/// Which mailboxes a group is about. RFC 5465 §6.2–6.6
#[derive(Debug)]
pub(crate) enum Filter {
    /// All: every mailbox is the user's own, and mail may be delivered to each. RFC 5465 §6.3
    Personal,
    Subscribed,
    Subtree(BTreeSet<MailboxName>),
    Mailboxes(BTreeSet<MailboxName>),
}

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// MessageNew and MessageExpunge, which always come together. RFC 5465 §5
    pub(crate) messages: bool,
    /// FlagChange.
    pub(crate) flags: bool,
    /// AnnotationChange.
    pub(crate) annotations: bool,
    /// MailboxName.
    pub(crate) names: bool,
    /// SubscriptionChange.
    pub(crate) subscriptions: bool,
    /// MailboxMetadataChange.
    pub(crate) mailbox_metadata: bool,
    /// ServerMetadataChange: it is about no mailbox, so it does not matter which ones it is asked
    /// for together with.
    pub(crate) server_metadata: bool,
}

/// One response that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// LIST of this name as it is now.
    Name { name: MailboxName, old_name: Option<MailboxName> },
    /// STATUS of this mailbox.
    Status { mailbox: MailboxId, items: Vec<StatusItem> },
    /// METADATA without values: these annotations have changed. RFC 5464 §4.4.2
    Metadata { target: MetadataTarget, names: Vec<EntryName> },
}

/// More is to be told than should be. RFC 5465 §5.8
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Watch {
    /// Most mailboxes, and most subscriptions, of an account whose other mailboxes can be watched:
    /// half a megabyte for each session that does.
    pub(crate) const NAMES_MAX: usize = 5_000;
    /// Most responses that one look at the account may lead to.
    pub(crate) const NOTICES_MAX: usize = 1_000;
    /// Most of them that are names: each looks for names below it among all.
    pub(crate) const NAME_NOTICES_MAX: usize = 200;
    /// Most messages that arrive at once and are still told one by one.
    pub(crate) const FRESH_MAX: u64 = 1_000;

    /// Begins to watch. What is in the account now counts as known.
    pub(crate) fn new(
        selected: Option<SelectedWatch>,
        groups: Vec<Group>,
        account: &Account,
    ) -> Result<Self, Overflow> {
        let mut watch = Self { selected, groups, ..Self::default() };
        watch.groups.retain(|group| group.wants != Wants::default());
        if watch.groups.is_empty() {
            return Ok(watch);
        }
        watch.check_size(account)?;
        watch.known = Known::of(account, watch.all_wants());
        Ok(watch)
    }

    /// Whether anything at all is wanted.
    pub(crate) fn listens(&self) -> bool {
        self.selected.is_some() || !self.groups.is_empty()
    }

    /// What is wanted of a mailbox: what any group that names it says. RFC 5465 §6
    pub(crate) fn wants(&self, name: &MailboxName, account: &Account) -> Wants {
        let groups = self.groups.iter().filter(|group| group.filter.names(name, account));
        groups.fold(Wants::default(), |all, group| all.union(group.wants))
    }

    /// The command in progress is about to ask for something, perhaps for an operation.
    pub(crate) fn note_asked(&mut self, account: &Account) {
        self.asked_at = account.modseq();
    }

    /// What has changed is known to the client if it was this session's operation alone: it is not
    /// told of its own doing. RFC 5465 §5
    ///
    /// An operation may also come to nothing. Then the one change there is was another session's,
    /// mostly from before the operation was asked for.
    pub(crate) fn absorb_own(&mut self, account: &Account, selected: Option<(MailboxId, ModSeq)>) {
        let known = self.known.modseq();
        let is_next =
            self.asked_at == known && account.modseq().get() == known.get().saturating_add(1);
        if !self.groups.is_empty() && is_next {
            self.known.catch_up(account, selected);
        }
    }

    /// What is to be told of mailboxes other than the selected one, which was settled at a modseq.
    pub(crate) fn look(
        &mut self,
        account: &Account,
        selected: Option<(MailboxId, ModSeq)>,
        has_condstore: bool,
    ) -> Result<Vec<Notice>, Overflow> {
        self.known.settle(account, selected);
        if self.groups.is_empty() || self.known.is_up_to(account, selected) {
            return Ok(Vec::new());
        }
        self.check_size(account)?;
        let changes = self.known.catch_up(account, selected);
        let mut notices = self.names(&changes, account);
        if notices.len() > Self::NAME_NOTICES_MAX {
            return Err(Overflow);
        }
        self.add_annotations(&changes, account, &mut notices);
        for (id, mark) in &changes.touched {
            let Some(mailbox) = account.mailbox(*id) else { continue };
            let record = mailbox.record();
            let items = self.status_items(mark, record, account, has_condstore);
            if !items.is_empty() {
                notices.push(Notice::Status { mailbox: *id, items });
            }
        }
        if notices.len() > Self::NOTICES_MAX { Err(Overflow) } else { Ok(notices) }
    }

    /// What NOTIFY SET STATUS tells at once of a mailbox. RFC 5465 §3.1
    pub(crate) fn first_items(&self, name: &MailboxName, account: &Account) -> Vec<StatusItem> {
        let wants = self.wants(name, account);
        let mut items = Vec::new();
        if wants.messages {
            items.extend([StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity]);
        }
        if wants.flags {
            items.extend([StatusItem::Unseen, StatusItem::HighestModSeq]);
        } else if wants.annotations {
            items.push(StatusItem::HighestModSeq);
        }
        items
    }

    fn check_size(&self, account: &Account) -> Result<(), Overflow> {
        let is_large = account.mailboxes().len() > Self::NAMES_MAX
            || (self.all_wants().subscriptions
                && account.subscriptions().count() > Self::NAMES_MAX);
        if is_large { Err(Overflow) } else { Ok(()) }
    }

    /// What any group wants of any mailbox.
    fn all_wants(&self) -> Wants {
        self.groups.iter().fold(Wants::default(), |all, group| all.union(group.wants))
    }

    /// One response for each mailbox whose annotations changed, and one for the server. Those of a
    /// mailbox that is gone went with it, which its name tells. RFC 5465 §5.6, §5.7
    fn add_annotations(&self, changes: &Changes, account: &Account, notices: &mut Vec<Notice>) {
        let is_wanted = |target: MetadataTarget| match target {
            MetadataTarget::Server => self.all_wants().server_metadata,
            MetadataTarget::Mailbox(id) => account
                .mailbox(id)
                .is_some_and(|it| self.wants(&it.record().name, account).mailbox_metadata),
        };
        for of_one in changes.annotations.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((target, _)) = of_one.first().filter(|(target, _)| is_wanted(*target)) else {
                continue;
            };
            let names = of_one.iter().map(|(_, name)| name.clone()).collect();
            notices.push(Notice::Metadata { target: *target, names });
        }
    }

    /// The items of a STATUS for what changed since `mark`; none if nothing of it is wanted.
    /// RFC 5465 §5.1–5.3
    fn status_items(
        &self,
        mark: &Mark,
        record: &MailboxRecord,
        account: &Account,
        has_condstore: bool,
    ) -> Vec<StatusItem> {
        let wants = self.wants(&record.name, account);
        let mut items = Vec::new();
        if wants.messages && mark.has_other_messages(record) {
            items.extend([StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity]);
        }
        // The number of unseen messages is told whenever there is reason to speak of flags.
        if wants.flags && mark.unseen != record.counts.unseen {
            items.push(StatusItem::Unseen);
        }
        // Which of the two has changed is not told, only that the client should look.
        let wants_changes = wants.flags || wants.annotations;
        if has_condstore && (wants_changes || !items.is_empty()) {
            items.push(StatusItem::HighestModSeq);
        }
        if !items.is_empty() && !items.contains(&StatusItem::UidValidity) {
            items.push(StatusItem::UidValidity);
        }
        items
    }

    /// Names that are to be told, each once. RFC 5465 §5.4, §5.5
    fn names(&self, changes: &Changes, account: &Account) -> Vec<Notice> {
        let mut due: Vec<Notice> = Vec::new();
        let mut told: BTreeSet<MailboxName> = BTreeSet::new();
        for (old, new) in changes.roots_of_renames() {
            let wants = self.wants(new, account).union(self.wants(old, account));
            if wants.names && told.insert(new.clone()) {
                due.push(Notice::Name { name: new.clone(), old_name: Some(old.clone()) });
            }
        }
        let mut tell = |name: &MailboxName| {
            if told.insert(name.clone()) {
                due.push(Notice::Name { name: name.clone(), old_name: None });
            }
        };
        for name in changes.created.iter().chain(&changes.removed) {
            // The parent has more or fewer children now. RFC 5465 §5.4
            for affected in [Some(name.clone()), name.parent()].into_iter().flatten() {
                if self.wants(&affected, account).names {
                    tell(&affected);
                }
            }
        }
        for name in &changes.subscriptions {
            if self.wants_subscription(name, account) {
                tell(name);
            }
        }
        due
    }

    /// A name that was taken off the list is no longer one of the subscribed, but the client that
    /// watches these has to hear of it. RFC 5465 §6.4
    fn wants_subscription(&self, name: &MailboxName, account: &Account) -> bool {
        let wanted = self.groups.iter().filter(|group| group.wants.subscriptions);
        wanted.into_iter().any(|group| {
            matches!(group.filter, Filter::Subscribed) || group.filter.names(name, account)
        })
    }
}

impl Filter {
    fn names(&self, name: &MailboxName, account: &Account) -> bool {
        match self {
            Self::Personal => true,
            Self::Subscribed => account.is_subscribed(name),
            Self::Mailboxes(names) => names.contains(name),
            Self::Subtree(names) => {
                let mut at = Some(name.clone());
                while let Some(one) = at {
                    if names.contains(&one) {
                        return true;
                    }
                    at = one.parent();
                }
                false
            }
        }
    }
}

impl Wants {
    fn union(self, other: Self) -> Self {
        Self {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            annotations: self.annotations || other.annotations,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            mailbox_metadata: self.mailbox_metadata || other.mailbox_metadata,
            server_metadata: self.server_metadata || other.server_metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailbox::{Actor, Context, Operation, apply, decide};

    fn account(mailboxes: usize) -> Account {
        let mut account = Account::empty();
        // Each brings seven parents with it, so that there are fewer operations.
        let path = |n: usize| format!("box{n}/b/c/d/e/f/g/h");
        let names = (0..mailboxes / 8).map(|n| MailboxName::new(&path(n)).unwrap());
        let create = |name| Operation::CreateMailbox { name, special_use: Vec::new() };
        for operation in std::iter::once(Operation::CreateAccount).chain(names.map(create)) {
            let decision =
                decide(&account, &Actor::Owner, &operation, &Context { now: 0 }).unwrap();
            account = apply(&account, &decision.entry.unwrap()).unwrap();
        }
        account
    }

    fn group(wants: Wants) -> Group {
        Group { filter: Filter::Personal, wants }
    }

    #[test]
    fn an_account_with_too_many_mailboxes_is_watched_only_where_it_is_selected() {
        let account = account(Watch::NAMES_MAX);
        let wants = Wants { messages: true, ..Wants::default() };
        assert_eq!(Watch::new(None, vec![group(wants)], &account).err(), Some(Overflow));
        let selected =
            SelectedWatch { is_delayed: false, flags: true, annotations: false, items: Vec::new() };
        let groups = vec![group(Wants::default())];
        assert!(Watch::new(Some(selected), groups, &account).is_ok_and(|watch| watch.listens()));
    }

    #[test]
    fn a_flood_of_annotations_is_not_told_one_by_one() {
        let before = account(Watch::NOTICES_MAX + 8);
        let ids: Vec<MailboxId> = before.mailboxes().map(|it| it.record().id).collect();
        let wants = Wants { mailbox_metadata: true, ..Wants::default() };
        let notices = |count: usize| {
            let mut watch = Watch::new(None, vec![group(wants)], &before).unwrap();
            let set = |account: Account, id: &MailboxId| {
                let name = EntryName::new("/private/comment").unwrap();
                let entries = vec![(name, Some(b"x".to_vec()))];
                let target = MetadataTarget::Mailbox(*id);
                let operation = Operation::SetMetadata { target, entries };
                let decision =
                    decide(&account, &Actor::Owner, &operation, &Context { now: 0 }).unwrap();
                apply(&account, &decision.entry.unwrap()).unwrap()
            };
            let after = ids.iter().take(count).fold(before.clone(), set);
            watch.look(&after, None, false).map(|notices| notices.len())
        };
        assert_eq!(notices(Watch::NOTICES_MAX), Ok(Watch::NOTICES_MAX));
        assert_eq!(notices(Watch::NOTICES_MAX + 1), Err(Overflow));
    }

    #[test]
    fn a_watch_without_any_event_does_not_listen() {
        let watch = Watch::new(None, vec![group(Wants::default())], &account(1)).unwrap();
        assert!(!watch.listens());
    }
}
