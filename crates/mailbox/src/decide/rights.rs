//! Decides what a guest may ask for. RFC 4314 §4
//!
//! The owner of an account is never refused here. What is refused to a guest tells no more than
//! LIST does: [`Refusal::NoPermission`] says whether the mailbox may be known to exist, and a
//! target that may not be known is no target, as one that does not exist.

use std::sync::Arc;

use mail_types::{EntryName, Flags, MailboxId, MailboxName};

use super::{Decision, Limit, Outcome, Planner, Refusal};
use crate::{
    Account, Acl, Actor, AnnotationEdit, Annotations, Audience, Change, FlagMode, Identifier,
    MetadataTarget, Operation, Rights, RightsChange,
};

impl Account {
    /// What one may do with a mailbox; nothing if it does not exist.
    pub fn rights(&self, mailbox: MailboxId, actor: &Actor) -> Rights {
        match actor {
            _ if self.mailbox(mailbox).is_none() => Rights::NONE,
            Actor::Owner => Rights::ALL,
            Actor::Guest(name) => self.acl(mailbox).map_or(Rights::NONE, |acl| acl.rights_of(name)),
        }
    }
}

impl Planner<'_> {
    /// Refuses what needs rights that the guest does not have.
    pub(super) fn check_rights(&self, operation: &Operation) -> Result<(), Refusal> {
        if *self.actor == Actor::Owner {
            return Ok(());
        }
        match operation {
            Operation::CreateMailbox { name, .. } => self.check_new_name(name),
            Operation::DeleteMailbox { name } => self.check_delete(name),
            Operation::RenameMailbox { from, to } => self.check_rename(from, to),
            Operation::AddMessages { mailbox, .. } => self.check_target(*mailbox),
            Operation::SetFlags { mailbox, mode, flags, .. } => {
                self.check_flags(*mailbox, *mode, flags)
            }
            Operation::Annotate { mailbox, edits, .. } => self.check_annotate(*mailbox, edits),
            Operation::Copy { from, to, .. } => {
                self.check_source(*from, Rights::READ)?;
                self.check_target(*to)
            }
            // What STORE of \Deleted, COPY and EXPUNGE need. RFC 6851 §4.2
            Operation::Move { from, to, .. } => {
                self.check_source(*from, Rights::READ.union(DELETE))?;
                self.check_target(*to)
            }
            // What STORE of \Deleted, EXPUNGE and APPEND need. RFC 8508 §4.1
            Operation::Replace { from, to, .. } => {
                self.check_source(*from, DELETE)?;
                self.check_target(*to)
            }
            Operation::Expunge { mailbox, .. } => self.check_source(*mailbox, Rights::EXPUNGE),
            Operation::SetMetadata { target: MetadataTarget::Mailbox(mailbox), entries } => {
                self.check_annotations(*mailbox, entries.iter().map(|(name, _)| name))
            }
            Operation::SetAcl { mailbox, .. } => self.check_source(*mailbox, Rights::ADMINISTER),
            // \Recent is told to sessions of the owner, who else would find nothing recent.
            Operation::ClaimRecent { mailbox } => {
                self.mailbox(*mailbox)?;
                Err(self.no_permission(*mailbox))
            }
            Operation::CreateAccount
            | Operation::Subscribe { .. }
            | Operation::Unsubscribe { .. }
            | Operation::SetMetadata { target: MetadataTarget::Server, .. }
            | Operation::NoteKeyReset { .. }
            | Operation::SetQuota { .. }
            | Operation::Prune { .. } => Err(Refusal::NoPermission { visible: true }),
        }
    }

    /// Changes one entry of a list. RFC 4314 §3.1, §3.2
    pub(super) fn set_acl(
        mut self,
        mailbox: MailboxId,
        identifier: &Identifier,
        change: RightsChange,
    ) -> Result<Decision, Refusal> {
        self.mailbox(mailbox)?;
        let none = Acl::default();
        let before = self.account.acl(mailbox).unwrap_or(&none);
        let after = before.changed(identifier, change);
        // What takes something away is never refused.
        if after.len() > before.len() {
            let others = self.account.inner.acls.entries() - before.len();
            let is_full = others + after.len() > Acl::ACCOUNT_ENTRIES_MAX;
            if is_full || after.len() > Acl::ENTRIES_MAX {
                return Err(Refusal::Limit(Limit::AclEntries));
            }
        }
        if after != *before {
            self.changes.push(Change::AclSet { mailbox, acl: Arc::new(after) });
        }
        Ok(self.done(Outcome::Done))
    }

    /// A new mailbox has the list of the nearest mailbox above it. RFC 4314 §4
    pub(super) fn inherit_acl(&mut self, id: MailboxId, name: &MailboxName) -> Result<(), Refusal> {
        match self.nearest_parent(name) {
            Some(parent) => self.copy_acl(parent, id),
            None => Ok(()),
        }
    }

    /// Gives a mailbox that is made the list of another one.
    pub(super) fn copy_acl(&mut self, from: MailboxId, to: MailboxId) -> Result<(), Refusal> {
        let Some(acl) = self.account.inner.acls.get(from) else { return Ok(()) };
        let planned = self.changes.iter().map(|change| match change {
            Change::AclSet { acl, .. } => acl.len(),
            _ => 0,
        });
        let entries = self.account.inner.acls.entries() + planned.sum::<usize>() + acl.len();
        if entries > Acl::ACCOUNT_ENTRIES_MAX {
            return Err(Refusal::Limit(Limit::AclEntries));
        }
        self.changes.push(Change::AclSet { mailbox: to, acl: acl.clone() });
        Ok(())
    }

    /// Why a name cannot be had that this mailbox has: nothing that is hidden is told.
    pub(super) fn taken(&self, mailbox: MailboxId) -> Refusal {
        if self.rights(mailbox).contains(Rights::LOOKUP) {
            return Refusal::AlreadyExists;
        }
        Refusal::NoPermission { visible: true }
    }

    /// What the one who asks may do with a mailbox.
    pub(super) fn rights(&self, mailbox: MailboxId) -> Rights {
        self.account.rights(mailbox, self.actor)
    }

    fn check_source(&self, mailbox: MailboxId, needed: Rights) -> Result<(), Refusal> {
        self.mailbox(mailbox)?;
        if self.rights(mailbox).contains(needed) {
            return Ok(());
        }
        Err(self.no_permission(mailbox))
    }

    fn check_target(&self, mailbox: MailboxId) -> Result<(), Refusal> {
        let held = self.rights(mailbox);
        if held.contains(Rights::INSERT) {
            return Ok(());
        }
        // Nothing tells a hidden mailbox from a missing one. RFC 4314 §6
        let is_visible = held.contains(Rights::LOOKUP);
        Err(if is_visible { Refusal::NoPermission { visible: true } } else { Refusal::NoTarget })
    }

    /// STORE is done if one of the flags may be changed. RFC 4314 §4
    fn check_flags(
        &self,
        mailbox: MailboxId,
        mode: FlagMode,
        flags: &Flags,
    ) -> Result<(), Refusal> {
        self.mailbox(mailbox)?;
        let held = self.rights(mailbox);
        // A replacement speaks of all flags, and a set of none has nothing that might be refused.
        let is_permitted = match mode {
            FlagMode::Add | FlagMode::Remove if !flags.is_empty() => {
                !held.permitted(flags).is_empty()
            }
            FlagMode::Add | FlagMode::Remove | FlagMode::Replace => held.intersects(Rights::FLAGS),
        };
        if is_permitted { Ok(()) } else { Err(self.no_permission(mailbox)) }
    }

    /// Whether a mailbox of this name may be made or may get it: a name that is hidden is refused
    /// as one without a parent is.
    fn check_new_name(&self, name: &MailboxName) -> Result<(), Refusal> {
        if let Some(taken) = self.account.by_name(name) {
            return Err(self.taken(taken.record().id));
        }
        match self.nearest_parent(name) {
            Some(parent) if self.rights(parent).contains(Rights::CREATE) => Ok(()),
            _ => Err(Refusal::NoPermission { visible: true }),
        }
    }

    /// A hidden mailbox with others below it that are not hidden is told as LIST shows it: as a
    /// name without a mailbox.
    fn check_delete(&self, name: &MailboxName) -> Result<(), Refusal> {
        let found = self.account.by_name(name).map(|mailbox| mailbox.record().id);
        let held = found.map_or(Rights::NONE, |id| self.rights(id));
        if name.is_inbox() || held.contains(Rights::REMOVE) {
            return Ok(());
        }
        if held.contains(Rights::LOOKUP) {
            return Err(Refusal::NoPermission { visible: true });
        }
        let is_visible = |id| self.rights(id).contains(Rights::LOOKUP);
        if self.account.below(name).any(|(_, id)| is_visible(id)) {
            return Err(Refusal::HasChildren);
        }
        Err(found.map_or(Refusal::NonExistent, |id| self.no_permission(id)))
    }

    /// What is below the mailbox moves with it, whatever its lists say. RFC 4314 §4
    fn check_rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Refusal> {
        let mailbox = self.account.by_name(from).ok_or(Refusal::NonExistent)?.record().id;
        // INBOX would not be renamed but give all its messages away.
        if from.is_inbox() || !self.rights(mailbox).contains(Rights::REMOVE) {
            return Err(self.no_permission(mailbox));
        }
        self.check_new_name(to)
    }

    /// RFC 5464 §3.3. Private annotations are those of the owner, and there are no others.
    fn check_annotations<'n>(
        &self,
        mailbox: MailboxId,
        mut names: impl Iterator<Item = &'n EntryName>,
    ) -> Result<(), Refusal> {
        self.mailbox(mailbox)?;
        let held = self.rights(mailbox);
        if !held.contains(Rights::LOOKUP) || !held.intersects(Rights::METADATA) {
            return Err(self.no_permission(mailbox));
        }
        if names.any(|name| !name.is_shared()) {
            return Err(Refusal::NoPrivateEntries);
        }
        Ok(())
    }

    /// RFC 5257 §3.4. What is private of the owner is the owner's alone.
    fn check_annotate(&self, mailbox: MailboxId, edits: &[AnnotationEdit]) -> Result<(), Refusal> {
        let needed = |edit: &AnnotationEdit| match edit.audience {
            Audience::Owner => None,
            Audience::Reader(_) => Some(Rights::READ),
            Audience::Everyone => Some(Rights::READ.union(Rights::ANNOTATE)),
        };
        self.mailbox(mailbox)?;
        let held = self.rights(mailbox);
        let may_set = |edit| needed(edit).is_some_and(|needed| held.contains(needed));
        match edits.iter().all(may_set) {
            true => Ok(()),
            false => Err(self.no_permission(mailbox)),
        }
    }

    /// What of the annotations of a new message who asks may give it.
    pub(super) fn permitted_annotations(
        &self,
        annotations: &Annotations,
        held: Rights,
    ) -> Annotations {
        match self.actor {
            Actor::Owner => annotations.clone(),
            Actor::Guest(_) => held.permitted_annotations(annotations),
        }
    }

    fn no_permission(&self, mailbox: MailboxId) -> Refusal {
        Refusal::NoPermission { visible: self.rights(mailbox).contains(Rights::LOOKUP) }
    }

    /// The nearest mailbox above a name.
    fn nearest_parent(&self, name: &MailboxName) -> Option<MailboxId> {
        let mut at = name.parent();
        while let Some(parent) = at {
            if let Some(mailbox) = self.account.by_name(&parent) {
                return Some(mailbox.record().id);
            }
            at = parent.parent();
        }
        None
    }
}

/// What it takes to remove a message that has no `\Deleted` yet.
const DELETE: Rights = Rights::DELETED.union(Rights::EXPUNGE);
