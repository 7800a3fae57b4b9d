//! Decides what makes, removes, renames and subscribes mailboxes.
//!
//! Parents that a new name lacks become real mailboxes, so that no client meets a name that it
//! cannot select (RFC 9051 §6.3.4 SHOULD). A deleted mailbox with others below it leaves a name
//! without a mailbox, which LIST shows as `\Noselect` or `\NonExistent` for as long as it has
//! children (RFC 9051 §6.3.5 MAY).

use std::collections::BTreeSet;

use mail_types::{MailboxId, MailboxName, SpecialUse};

use super::{Decision, Limit, Outcome, Planner, Refusal, uid_run};
use crate::{Account, Actor, Change, SpecialUses, Subscription};

impl Planner<'_> {
    pub(super) fn create_account(mut self) -> Result<Decision, Refusal> {
        if self.account.mailboxes().len() > 0 {
            return Err(Refusal::AlreadyExists);
        }
        self.create(MailboxName::inbox(), SpecialUses::NONE)?;
        for (name, special_use) in DEFAULT_MAILBOXES {
            let name = MailboxName::new(name).map_err(Refusal::Name)?;
            self.create(name, SpecialUses::new(&[special_use]))?;
        }
        Ok(self.done(Outcome::Done))
    }

    pub(super) fn create_mailbox(
        mut self,
        name: &MailboxName,
        special_use: &[SpecialUse],
    ) -> Result<Decision, Refusal> {
        // An account without INBOX is one whose creation was never asked for.
        if self.account.by_name(name).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        if name.is_inbox() {
            return Err(Refusal::InboxImmutable);
        }
        // What mailboxes are for is the owner's to say.
        if *self.actor != Actor::Owner && !special_use.is_empty() {
            return Err(Refusal::SpecialUseUnknown);
        }
        for wanted in special_use {
            let is_taken = |m: &crate::Mailbox| m.record().special_use.contains(*wanted);
            if self.account.mailboxes().any(is_taken) {
                return Err(Refusal::SpecialUseTaken(*wanted));
            }
        }
        let mut names = self.create_parents(name)?;
        let id = self.create(name.clone(), SpecialUses::new(special_use))?;
        self.inherit_acl(id, name)?;
        names.push(name.clone());
        Ok(self.done(Outcome::Created { id, names }))
    }

    pub(super) fn delete_mailbox(mut self, name: &MailboxName) -> Result<Decision, Refusal> {
        if name.is_inbox() {
            return Err(Refusal::InboxImmutable);
        }
        let Some(mailbox) = self.account.by_name(name) else {
            // RFC 9051 §6.3.5: an error for a name that is \Noselect and has inferiors.
            let has_children = self.account.below(name).next().is_some();
            return Err(if has_children { Refusal::HasChildren } else { Refusal::NonExistent });
        };
        let id = mailbox.record().id;
        self.changes.push(Change::MailboxRemoved { id });
        if self.subscription(name) == Some(Subscription::Automatic) {
            self.changes.push(Change::Unsubscribed { name: name.clone() });
        }
        Ok(self.done(Outcome::Deleted { id }))
    }

    /// Renames a mailbox and all below it. RFC 9051 §6.3.6
    pub(super) fn rename_mailbox(
        mut self,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<Decision, Refusal> {
        let mut moves: Vec<(MailboxId, MailboxName, MailboxName)> = Vec::new();
        for (name, id) in self.account.names() {
            if let Some(moved) = name.moved(from, to) {
                moves.push((id, name.clone(), moved.map_err(Refusal::Name)?));
            }
        }
        if moves.is_empty() {
            return Err(Refusal::NonExistent);
        }
        if from == to || self.account.by_name(to).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        if to.is_below(from) {
            return Err(Refusal::IntoItself);
        }
        let leaving: Vec<MailboxName> = moves.iter().map(|(_, name, _)| name.clone()).collect();
        let staying = |name: &MailboxName| {
            self.account.by_name(name).filter(|_| leaving.binary_search(name).is_err())
        };
        if let Some(taken) = moves.iter().find_map(|(_, _, name)| staying(name)) {
            return Err(self.taken(taken.record().id));
        }
        let created = self.create_parents(to)?;
        for (id, _, name) in &moves {
            self.changes.push(Change::MailboxRenamed { id: *id, name: name.clone() });
        }
        let renamed: Vec<_> = moves.into_iter().map(|(_, old, new)| (old, new)).collect();
        self.carry_subscriptions(&renamed);
        Ok(self.done(Outcome::Renamed { created, renamed }))
    }

    /// Moves all messages of INBOX to a new mailbox; what is below INBOX stays. RFC 9051 §6.3.6
    pub(super) fn rename_inbox(mut self, to: &MailboxName) -> Result<Decision, Refusal> {
        if self.account.by_name(to).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        let inbox = self.account.by_name(&MailboxName::inbox()).ok_or(Refusal::NonExistent)?;
        let inbox_id = inbox.record().id;
        let contents = self.contents(inbox_id)?;
        let mut created = self.create_parents(to)?;
        let id = self.create(to.clone(), SpecialUses::NONE)?;
        created.push(to.clone());
        self.copy_metadata(inbox_id, id)?;
        // Who could read the messages still can, and nobody else. RFC 4314 §4
        self.copy_acl(inbox_id, id)?;
        if !contents.is_empty() {
            let messages: Vec<_> = contents.iter().map(|e| self.added(&e)).collect();
            let run = uid_run(mail_types::Uid::MIN, messages.len())?;
            let first_uid = run.first().ok_or(Refusal::UidsExhausted)?;
            self.changes.push(Change::Added { mailbox: id, first_uid, messages });
            self.changes.push(Change::Expunged {
                mailbox: inbox_id,
                uids: contents.uids(),
                counts: crate::Counts::default(),
            });
        }
        Ok(self.done(Outcome::Renamed { created, renamed: Vec::new() }))
    }

    pub(super) fn subscribe(mut self, name: &MailboxName) -> Result<Decision, Refusal> {
        if self.subscription(name) != Some(Subscription::Asked) {
            let count = self.account.subscriptions().count();
            if !self.account.is_subscribed(name) && count >= Account::SUBSCRIPTIONS_MAX {
                return Err(Refusal::Limit(Limit::Subscriptions));
            }
            let subscription = Subscription::Asked;
            self.changes.push(Change::Subscribed { name: name.clone(), subscription });
        }
        Ok(self.done(Outcome::Done))
    }

    pub(super) fn unsubscribe(mut self, name: &MailboxName) -> Result<Decision, Refusal> {
        if self.account.is_subscribed(name) {
            self.changes.push(Change::Unsubscribed { name: name.clone() });
        }
        Ok(self.done(Outcome::Done))
    }

    fn subscription(&self, name: &MailboxName) -> Option<Subscription> {
        self.account.inner.subscriptions.get(name).copied()
    }

    /// Makes the parents that `name` lacks. A name without a mailbox but with children is there
    /// already: its owner deleted the mailbox and does not want it back.
    fn create_parents(&mut self, name: &MailboxName) -> Result<Vec<MailboxName>, Refusal> {
        let mut missing = Vec::new();
        let mut at = name.parent();
        while let Some(parent) = at {
            let exists = self.account.by_name(&parent).is_some()
                || self.account.below(&parent).next().is_some();
            if exists {
                break;
            }
            at = parent.parent();
            missing.push(parent);
        }
        missing.reverse();
        for parent in &missing {
            let id = self.create(parent.clone(), SpecialUses::NONE)?;
            self.inherit_acl(id, parent)?;
        }
        Ok(missing)
    }

    /// Makes one mailbox and subscribes it, because many people's clients show only what is
    /// subscribed.
    fn create(
        &mut self,
        name: MailboxName,
        special_use: SpecialUses,
    ) -> Result<MailboxId, Refusal> {
        let id = self.next_mailbox;
        let made = id.get() - self.account.head().next_mailbox.get();
        let count = u64::try_from(self.account.mailboxes().len()).unwrap_or(u64::MAX);
        if count.saturating_add(made) >= MAILBOXES_MAX {
            return Err(Refusal::Limit(Limit::Mailboxes));
        }
        self.check_mailbox_room(count.saturating_add(made))?;
        self.next_mailbox = MailboxId(id.get() + 1);
        let uid_validity = self.take_uid_validity()?;
        let subscribed = name.clone();
        self.changes.push(Change::MailboxCreated { id, name, uid_validity, special_use });
        self.subscribe_automatically([subscribed]);
        Ok(id)
    }

    /// A renamed mailbox stays subscribed. What a client subscribed by its old name stays on the
    /// list as well: only a client takes that off. RFC 9051 §6.3.6
    fn carry_subscriptions(&mut self, renamed: &[(MailboxName, MailboxName)]) {
        let mut carried = Vec::new();
        for (old, new) in renamed {
            match self.subscription(old) {
                Some(Subscription::Automatic) => {
                    self.changes.push(Change::Unsubscribed { name: old.clone() });
                    carried.push(new.clone());
                }
                Some(Subscription::Asked) => carried.push(new.clone()),
                None => {}
            }
        }
        self.subscribe_automatically(carried);
    }

    /// Puts names on the list as long as it has room.
    fn subscribe_automatically(&mut self, names: impl IntoIterator<Item = MailboxName>) {
        let mut planned: BTreeSet<MailboxName> = BTreeSet::new();
        let mut removed: BTreeSet<MailboxName> = BTreeSet::new();
        for change in &self.changes {
            match change {
                Change::Subscribed { name, .. } => _ = planned.insert(name.clone()),
                Change::Unsubscribed { name } => _ = removed.insert(name.clone()),
                _ => {}
            }
        }
        let before = self.account.inner.subscriptions.len();
        for name in names {
            let is_there = self.account.is_subscribed(&name) && !removed.contains(&name);
            let count = before + planned.len() - removed.len();
            if !is_there && count < Account::SUBSCRIPTIONS_MAX && planned.insert(name.clone()) {
                let subscription = Subscription::Automatic;
                self.changes.push(Change::Subscribed { name, subscription });
            }
        }
    }
}

const MAILBOXES_MAX: u64 = Account::MAILBOXES_MAX as u64;

/// What a new account has besides INBOX.
const DEFAULT_MAILBOXES: [(&str, SpecialUse); 5] = [
    ("Drafts", SpecialUse::Drafts),
    ("Sent", SpecialUse::Sent),
    ("Junk", SpecialUse::Junk),
    ("Trash", SpecialUse::Trash),
    ("Archive", SpecialUse::Archive),
];
