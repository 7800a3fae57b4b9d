//! The oracle: an account as plain maps, with every operation done in the most obvious way.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Account, AnnotationEdit, Audience, Counts, FlagMode, MetadataTarget, NewMessage, Operation,
    Outcome, Quota, Refusal, RightsChange,
};
use mail_types::{EntryName, Flags, MailboxId, MailboxName, UidSet};

/// Flag names in small letters.
pub type FlagNames = BTreeSet<String>;
pub type Uids = BTreeSet<u32>;
/// Identifiers and letters of rights.
pub type Lists = BTreeMap<String, BTreeSet<char>>;
pub type Annotations = BTreeMap<String, Vec<u8>>;
/// Annotations of a message.
pub type Notes = BTreeMap<(String, Audience), Vec<u8>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub message: u64,
    pub thread: u64,
    pub modseq: u64,
    pub date: i64,
    pub saved: i64,
    pub size: u32,
    pub flags: FlagNames,
}

#[derive(Clone, Debug)]
pub struct Mailbox {
    pub id: u64,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub highest: u64,
    pub recent_mark: u32,
    pub messages: BTreeMap<u32, Message>,
    pub keywords: BTreeSet<String>,
    /// By UID, of the messages that have any.
    pub notes: BTreeMap<u32, Notes>,
    pub annotations: Annotations,
    pub acl: Lists,
    /// (modseq, UID) of every expunge there ever was.
    pub expunged: Vec<(u64, u32)>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub modseq: u64,
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// Name, and whether a client asked for it.
    pub subscriptions: BTreeMap<String, bool>,
    pub quota: Quota,
    /// Those of the server.
    pub annotations: Annotations,
    mailboxes_made: u64,
    messages_made: u64,
}

/// What the model expects to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    Created(Vec<String>),
    Deleted(u64),
    Renamed(Vec<String>, Vec<(String, String)>),
    Added(Uids, Vec<u64>),
    Flags { changed: Uids, same: Uids, modified: Uids },
    Copied(Uids, Uids),
    Expunged(Uids),
    Recent(Uids),
}

impl Model {
    pub fn by_id(&self, id: MailboxId) -> Option<&Mailbox> {
        self.mailboxes.values().find(|mailbox| mailbox.id == id.get())
    }

    fn by_id_mut(&mut self, id: MailboxId) -> Option<&mut Mailbox> {
        self.mailboxes.values_mut().find(|mailbox| mailbox.id == id.get())
    }

    /// Does the operation, or changes nothing.
    pub fn submit(&mut self, operation: &Operation, now: i64) -> Result<Told, Refusal> {
        let before = self.clone();
        let modseq = self.modseq + 1;
        let result = self.perform(operation, modseq, now);
        match &result {
            Ok((_, true)) => self.modseq = modseq,
            _ => *self = before,
        }
        result.map(|(told, _)| told)
    }

    /// What is told, and whether anything changed.
    fn perform(
        &mut self,
        operation: &Operation,
        modseq: u64,
        now: i64,
    ) -> Result<(Told, bool), Refusal> {
        match operation {
            Operation::CreateAccount => {
                for name in ["INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"] {
                    self.create(name, modseq);
                }
                Ok((Told::Done, true))
            }
            Operation::CreateMailbox { name, .. } => self.create_mailbox(name.as_str(), modseq),
            Operation::DeleteMailbox { name } => self.delete_mailbox(name.as_str()),
            Operation::RenameMailbox { from, to } if from.is_inbox() => {
                self.rename_inbox(to.as_str(), modseq, now)
            }
            Operation::RenameMailbox { from, to } => {
                self.rename(from.as_str(), to.as_str(), modseq)
            }
            Operation::Subscribe { name } => {
                let before = self.subscriptions.insert(name.to_string(), true);
                Ok((Told::Done, before != Some(true)))
            }
            Operation::Unsubscribe { name } => {
                let before = self.subscriptions.remove(name.as_str());
                Ok((Told::Done, before.is_some()))
            }
            Operation::AddMessages { mailbox, messages } => {
                self.add_messages(*mailbox, messages, modseq, now)
            }
            Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since } => {
                let since = unchanged_since.map_or(u64::MAX, |since| since.get());
                let mailbox = self.by_id_mut(*mailbox).ok_or(Refusal::NonExistent)?;
                Ok(mailbox.set_flags(uids, *mode, &flag_names(flags), since, modseq))
            }
            Operation::Annotate { mailbox, uids, edits, unchanged_since } => {
                let since = unchanged_since.map_or(u64::MAX, |since| since.get());
                let mailbox = self.by_id_mut(*mailbox).ok_or(Refusal::NonExistent)?;
                Ok(mailbox.annotate(uids, edits, since, modseq))
            }
            Operation::Copy { from, to, uids } => {
                let (source, target) = self.copy(*from, *to, uids, modseq, now)?;
                let changed = !source.is_empty();
                Ok((Told::Copied(source, target), changed))
            }
            Operation::Move { from, to, uids } => {
                let (source, target) = self.copy(*from, *to, uids, modseq, now)?;
                self.by_id_mut(*from).ok_or(Refusal::NonExistent)?.expunge(&source, modseq);
                let changed = !source.is_empty();
                Ok((Told::Copied(source, target), changed))
            }
            Operation::Replace { from, uid, to, message } => {
                self.replace((*from, uid.get()), *to, message, modseq, now)
            }
            Operation::Expunge { mailbox, uids } => self.expunge(*mailbox, uids, modseq),
            Operation::ClaimRecent { mailbox } => {
                let mailbox = self.by_id_mut(*mailbox).ok_or(Refusal::NonExistent)?;
                let claimed: Uids = (mailbox.recent_mark..mailbox.uid_next).collect();
                mailbox.recent_mark = mailbox.uid_next;
                let changed = !claimed.is_empty();
                Ok((Told::Recent(claimed), changed))
            }
            of_account => self.perform_on_account(of_account),
        }
    }

    fn perform_on_account(&mut self, operation: &Operation) -> Result<(Told, bool), Refusal> {
        match operation {
            Operation::SetMetadata { target, entries } => {
                let annotations = match target {
                    MetadataTarget::Server => &mut self.annotations,
                    MetadataTarget::Mailbox(id) => {
                        &mut self.by_id_mut(*id).ok_or(Refusal::NonExistent)?.annotations
                    }
                };
                Ok((Told::Done, annotate(annotations, entries)))
            }
            Operation::SetAcl { mailbox, identifier, change } => {
                let list = &mut self.by_id_mut(*mailbox).ok_or(Refusal::NonExistent)?.acl;
                Ok((Told::Done, grant(list, identifier.as_str(), *change)))
            }
            Operation::SetQuota { quota } => {
                let changed = self.quota != *quota;
                self.quota = *quota;
                Ok((Told::Done, changed))
            }
            Operation::NoteKeyReset { mailbox } => {
                self.by_id_mut(*mailbox).ok_or(Refusal::NonExistent)?;
                Ok((Told::Done, true))
            }
            // The oracle forgets nothing; the harness knows from the account whether it counted.
            Operation::Prune { .. } => Ok((Told::Done, false)),
            other => panic!("{other:?} is done elsewhere"),
        }
    }

    fn create(&mut self, name: &str, modseq: u64) {
        self.mailboxes_made += 1;
        let above = name.rmatch_indices('/').map(|(at, _)| &name[..at]);
        let parent = above.filter_map(|parent| self.mailboxes.get(parent)).next();
        let acl = parent.map_or_else(Lists::new, |parent| parent.acl.clone());
        let mailbox = Mailbox {
            id: self.mailboxes_made,
            uid_validity: u32::try_from(self.mailboxes_made).unwrap(),
            uid_next: 1,
            highest: modseq,
            recent_mark: 1,
            messages: BTreeMap::new(),
            keywords: BTreeSet::new(),
            notes: BTreeMap::new(),
            annotations: Annotations::new(),
            acl,
            expunged: Vec::new(),
        };
        self.mailboxes.insert(name.to_owned(), mailbox);
        self.subscriptions.entry(name.to_owned()).or_insert(false);
    }

    fn has_below(&self, name: &str) -> bool {
        let prefix = format!("{name}/");
        self.mailboxes.keys().any(|other| other.starts_with(&prefix))
    }

    fn create_parents(&mut self, name: &str, modseq: u64) -> Vec<String> {
        let made = self.missing_parents(name);
        for parent in &made {
            self.create(parent, modseq);
        }
        made
    }

    fn missing_parents(&self, name: &str) -> Vec<String> {
        let mut made = Vec::new();
        for (at, _) in name.match_indices('/') {
            let parent = &name[..at];
            if !self.mailboxes.contains_key(parent) && !self.has_below(parent) {
                made.push(parent.to_owned());
            }
        }
        made
    }

    fn create_mailbox(&mut self, name: &str, modseq: u64) -> Result<(Told, bool), Refusal> {
        if self.mailboxes.contains_key(name) {
            return Err(Refusal::AlreadyExists);
        }
        let mut names = self.create_parents(name, modseq);
        self.create(name, modseq);
        names.push(name.to_owned());
        Ok((Told::Created(names), true))
    }

    fn delete_mailbox(&mut self, name: &str) -> Result<(Told, bool), Refusal> {
        if name == "INBOX" {
            return Err(Refusal::InboxImmutable);
        }
        let Some(gone) = self.mailboxes.remove(name) else {
            let inferior = self.has_below(name);
            return Err(if inferior { Refusal::HasChildren } else { Refusal::NonExistent });
        };
        if self.subscriptions.get(name) == Some(&false) {
            self.subscriptions.remove(name);
        }
        Ok((Told::Deleted(gone.id), true))
    }

    fn rename(&mut self, from: &str, to: &str, modseq: u64) -> Result<(Told, bool), Refusal> {
        let prefix = format!("{from}/");
        let moving: Vec<String> = self
            .mailboxes
            .keys()
            .filter(|name| *name == from || name.starts_with(&prefix))
            .cloned()
            .collect();
        if moving.is_empty() {
            return Err(Refusal::NonExistent);
        }
        if from == to || self.mailboxes.contains_key(to) {
            return Err(Refusal::AlreadyExists);
        }
        if to.starts_with(&prefix) {
            return Err(Refusal::IntoItself);
        }
        let created = self.missing_parents(to);
        let mut taken = Vec::new();
        for name in &moving {
            taken.push(self.mailboxes.remove(name).unwrap());
        }
        let renamed: Vec<(String, String)> =
            moving.iter().map(|n| (n.clone(), format!("{to}{}", &n[from.len()..]))).collect();
        if renamed.iter().any(|(_, new)| self.mailboxes.contains_key(new)) {
            return Err(Refusal::AlreadyExists);
        }
        for parent in &created {
            self.create(parent, modseq);
        }
        let mut follow = Vec::new();
        for ((old, new), mailbox) in renamed.iter().zip(taken) {
            self.mailboxes.insert(new.clone(), mailbox);
            match self.subscriptions.get(old) {
                Some(false) => {
                    self.subscriptions.remove(old);
                    follow.push(new);
                }
                Some(true) => follow.push(new),
                None => {}
            }
        }
        for new in follow {
            self.subscriptions.entry(new.clone()).or_insert(false);
        }
        Ok((Told::Renamed(created, renamed), true))
    }

    fn rename_inbox(&mut self, to: &str, modseq: u64, now: i64) -> Result<(Told, bool), Refusal> {
        if self.mailboxes.contains_key(to) {
            return Err(Refusal::AlreadyExists);
        }
        let mut created = self.create_parents(to, modseq);
        self.create(to, modseq);
        created.push(to.to_owned());
        let inbox = self.mailboxes.get_mut("INBOX").unwrap();
        let notes = inbox.notes.clone();
        let moved: Vec<(u32, Message)> = inbox.messages.clone().into_iter().collect();
        let uids: Uids = inbox.messages.keys().copied().collect();
        inbox.expunge(&uids, modseq);
        let (annotations, acl) = (inbox.annotations.clone(), inbox.acl.clone());
        let target = self.mailboxes.get_mut(to).unwrap();
        target.annotations = annotations;
        target.acl = acl;
        for (uid, message) in moved {
            let to = target.add(Message { saved: now, ..message }, modseq);
            target.take_notes(to, notes.get(&uid));
        }
        Ok((Told::Renamed(created, Vec::new()), true))
    }

    fn add_messages(
        &mut self,
        mailbox: MailboxId,
        messages: &[NewMessage],
        modseq: u64,
        now: i64,
    ) -> Result<(Told, bool), Refusal> {
        let mut made = self.messages_made;
        let target = self.by_id_mut(mailbox).ok_or(Refusal::NoTarget)?;
        let mut uids = Uids::new();
        let mut ids = Vec::new();
        for new in messages {
            made += 1;
            ids.push(made);
            let message = Message {
                message: made,
                thread: new.thread.map_or(made, |thread| thread.get()),
                modseq,
                date: new.internal_date.seconds(),
                saved: now,
                size: new.size,
                flags: flag_names(&new.flags),
            };
            let uid = target.add(message, modseq);
            target.take_notes(uid, Some(&notes_of(&new.annotations)));
            uids.insert(uid);
        }
        self.messages_made = made;
        let changed = !uids.is_empty();
        Ok((Told::Added(uids, ids), changed))
    }

    fn expunge(
        &mut self,
        mailbox: MailboxId,
        uids: &UidSet,
        modseq: u64,
    ) -> Result<(Told, bool), Refusal> {
        let mailbox = self.by_id_mut(mailbox).ok_or(Refusal::NonExistent)?;
        let is_deleted = |(uid, message): (&u32, &Message)| {
            let named = uids.contains(mail_types::Uid::new(*uid).unwrap());
            (named && message.flags.contains("\\deleted")).then_some(*uid)
        };
        let gone: Uids = mailbox.messages.iter().filter_map(is_deleted).collect();
        mailbox.expunge(&gone, modseq);
        let changed = !gone.is_empty();
        Ok((Told::Expunged(gone), changed))
    }

    fn replace(
        &mut self,
        (from, uid): (MailboxId, u32),
        to: MailboxId,
        message: &NewMessage,
        modseq: u64,
        now: i64,
    ) -> Result<(Told, bool), Refusal> {
        let source = self.by_id(from).ok_or(Refusal::NonExistent)?;
        let is_there = source.messages.contains_key(&uid);
        self.by_id(to).ok_or(Refusal::NoTarget)?;
        if !is_there {
            return Err(Refusal::NoSuchMessage);
        }
        let told = self.add_messages(to, std::slice::from_ref(message), modseq, now)?;
        let source = self.by_id_mut(from).ok_or(Refusal::NonExistent)?;
        source.expunge(&Uids::from([uid]), modseq);
        Ok(told)
    }

    fn copy(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
        modseq: u64,
        now: i64,
    ) -> Result<(Uids, Uids), Refusal> {
        let source = self.by_id(from).ok_or(Refusal::NonExistent)?;
        let named = |uid: &u32| uids.contains(mail_types::Uid::new(*uid).unwrap());
        let taken: Vec<(u32, Message)> = source
            .messages
            .iter()
            .filter(|(uid, _)| named(uid))
            .map(|(uid, message)| (*uid, message.clone()))
            .collect();
        let notes = source.notes.clone();
        let target = self.by_id_mut(to).ok_or(Refusal::NoTarget)?;
        let mut given = Uids::new();
        for (from, message) in &taken {
            let uid = target.add(Message { saved: now, ..message.clone() }, modseq);
            target.take_notes(uid, notes.get(from));
            given.insert(uid);
        }
        Ok((taken.into_iter().map(|(uid, _)| uid).collect(), given))
    }

    /// Compares everything the account says with the model.
    pub fn assert_equals(&self, account: &Account) {
        let names: Vec<&str> = account.names().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, self.mailboxes.keys().map(String::as_str).collect::<Vec<_>>());
        let subscribed: Vec<&str> =
            account.subscriptions().map(|(name, _)| name.as_str()).collect();
        assert_eq!(subscribed, self.subscriptions.keys().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(account.quota(), self.quota);
        assert_annotations(account, MetadataTarget::Server, &self.annotations);
        for (name, expected) in &self.mailboxes {
            let name = MailboxName::new(name).unwrap();
            let mailbox = account.by_name(&name).unwrap();
            let record = mailbox.record();
            assert_eq!(record.name, name);
            assert_eq!(record.id.get(), expected.id, "id of {name}");
            assert_eq!(record.uid_validity.get(), expected.uid_validity, "UIDVALIDITY of {name}");
            assert_eq!(record.uid_next.get(), expected.uid_next, "UIDNEXT of {name}");
            assert_eq!(record.highest_modseq.get(), expected.highest, "modseq of {name}");
            assert_eq!(record.counts, expected.counts(), "counts of {name}");
            assert_eq!(record.recent, expected.recent(), "recent of {name}");
            let target = MetadataTarget::Mailbox(record.id);
            assert_annotations(account, target, &expected.annotations);
            assert_acl(account, record.id, &expected.acl);
            if let Some(contents) = mailbox.contents() {
                expected.assert_contents(contents);
            }
        }
    }
}

/// Whether anything changed.
fn annotate(annotations: &mut Annotations, entries: &[(EntryName, Option<Vec<u8>>)]) -> bool {
    let before = annotations.clone();
    for (name, value) in entries {
        match value {
            Some(value) => _ = annotations.insert(name.to_string(), value.clone()),
            None => _ = annotations.remove(name.as_str()),
        }
    }
    *annotations != before
}

/// Whether anything changed.
fn grant(list: &mut Lists, identifier: &str, change: RightsChange) -> bool {
    let before = list.clone();
    let held = list.remove(identifier).unwrap_or_default();
    let after: BTreeSet<char> = match change {
        RightsChange::Set(rights) => rights.letters().collect(),
        RightsChange::Add(rights) => held.into_iter().chain(rights.letters()).collect(),
        RightsChange::Remove(rights) => {
            held.into_iter().filter(|held| rights.letters().all(|r| r != *held)).collect()
        }
        RightsChange::Delete => BTreeSet::new(),
    };
    if !after.is_empty() {
        list.insert(identifier.to_owned(), after);
    }
    *list != before
}

fn assert_acl(account: &Account, mailbox: MailboxId, expected: &Lists) {
    let found = account.acl(mailbox).into_iter().flat_map(|acl| acl.iter());
    let found: Lists = found.map(|(name, r)| (name.to_string(), r.letters().collect())).collect();
    assert_eq!(&found, expected, "the list of {mailbox:?}");
}

fn assert_annotations(account: &Account, target: MetadataTarget, expected: &Annotations) {
    let found = account.metadata().of(target);
    let found: Annotations = found.map(|(name, v)| (name.to_string(), v.to_vec())).collect();
    assert_eq!(&found, expected, "annotations of {target:?}");
}

impl Mailbox {
    fn add(&mut self, message: Message, modseq: u64) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.highest = modseq;
        self.keywords.extend(message.flags.iter().filter(|f| !f.starts_with('\\')).cloned());
        self.messages.insert(uid, Message { modseq, ..message });
        uid
    }

    fn expunge(&mut self, uids: &Uids, modseq: u64) {
        for uid in uids {
            assert!(self.messages.remove(uid).is_some());
            self.notes.remove(uid);
            self.expunged.push((modseq, *uid));
            self.highest = modseq;
        }
    }

    fn set_flags(
        &mut self,
        uids: &UidSet,
        mode: FlagMode,
        named: &FlagNames,
        since: u64,
        modseq: u64,
    ) -> (Told, bool) {
        let (mut changed, mut same, mut modified) = (Uids::new(), Uids::new(), Uids::new());
        for (uid, message) in &mut self.messages {
            if !uids.contains(mail_types::Uid::new(*uid).unwrap()) {
                continue;
            }
            if message.modseq > since {
                modified.insert(*uid);
                continue;
            }
            let flags = changed_flags(&message.flags, mode, named);
            if flags == message.flags {
                same.insert(*uid);
                continue;
            }
            self.keywords.extend(flags.iter().filter(|f| !f.starts_with('\\')).cloned());
            message.flags = flags;
            message.modseq = modseq;
            self.highest = modseq;
            changed.insert(*uid);
        }
        let any = !changed.is_empty();
        (Told::Flags { changed, same, modified }, any)
    }

    fn annotate(
        &mut self,
        uids: &UidSet,
        edits: &[AnnotationEdit],
        since: u64,
        modseq: u64,
    ) -> (Told, bool) {
        let (mut changed, mut same, mut modified) = (Uids::new(), Uids::new(), Uids::new());
        for (uid, message) in &mut self.messages {
            if !uids.contains(mail_types::Uid::new(*uid).unwrap()) {
                continue;
            }
            if message.modseq > since {
                modified.insert(*uid);
                continue;
            }
            let before = self.notes.get(uid).cloned().unwrap_or_default();
            let mut after = before.clone();
            for edit in edits {
                let key = (edit.name.to_string(), edit.audience);
                match &edit.value {
                    Some(value) => _ = after.insert(key, value.to_vec()),
                    None => _ = after.remove(&key),
                }
            }
            if after == before {
                same.insert(*uid);
                continue;
            }
            self.notes.insert(*uid, after);
            message.modseq = modseq;
            self.highest = modseq;
            changed.insert(*uid);
        }
        self.notes.retain(|_, notes| !notes.is_empty());
        let any = !changed.is_empty();
        (Told::Flags { changed, same, modified }, any)
    }

    /// What a copy gets: not the private values of other readers.
    fn take_notes(&mut self, uid: u32, notes: Option<&Notes>) {
        let mut notes = notes.cloned().unwrap_or_default();
        notes.retain(|(_, audience), _| !matches!(audience, Audience::Reader(_)));
        if !notes.is_empty() {
            self.notes.insert(uid, notes);
        }
    }

    pub fn counts(&self) -> Counts {
        let bytes = |((name, _), value): (&(String, Audience), &Vec<u8>)| {
            u64::try_from(name.len() + value.len() + 64).unwrap()
        };

        let all = self.messages.values();
        let count = |messages: Vec<&Message>| u32::try_from(messages.len()).unwrap();
        let deleted: Vec<&Message> =
            all.clone().filter(|m| m.flags.contains("\\deleted")).collect();
        Counts {
            messages: count(all.clone().collect()),
            unseen: count(all.clone().filter(|m| !m.flags.contains("\\seen")).collect()),
            size_bytes: all.map(|m| u64::from(m.size)).sum(),
            deleted_bytes: deleted.iter().map(|m| u64::from(m.size)).sum(),
            deleted: count(deleted),
            annotation_bytes: self.notes.values().flatten().map(bytes).sum(),
        }
    }

    fn recent(&self) -> u32 {
        u32::try_from(self.messages.range(self.recent_mark..).count()).unwrap()
    }

    pub fn assert_contents(&self, contents: &crate::MailboxSnapshot) {
        let found: Vec<(u32, Message)> =
            contents.iter().map(|entry| (entry.uid().get(), message_of(&entry))).collect();
        let expected: Vec<(u32, Message)> =
            self.messages.iter().map(|(uid, message)| (*uid, message.clone())).collect();
        assert_eq!(found, expected);
        let notes =
            contents.iter().map(|entry| (entry.uid().get(), notes_of(&entry.annotations())));
        let notes: BTreeMap<u32, Notes> = notes.filter(|(_, notes)| !notes.is_empty()).collect();
        assert_eq!(notes, self.notes);
        let unseen = expected.iter().position(|(_, m)| !m.flags.contains("\\seen"));
        assert_eq!(contents.first_unseen().map(|at| usize::try_from(at).unwrap()), unseen);
        for keyword in &self.keywords {
            let keyword = mail_types::Keyword::new(keyword).unwrap();
            assert!(contents.keywords().number(&keyword).is_some(), "{keyword} was dropped");
        }
    }
}

pub fn message_of(entry: &crate::EntryRef<'_>) -> Message {
    Message {
        message: entry.message().get(),
        thread: entry.thread().get(),
        modseq: entry.modseq().get(),
        date: entry.internal_date().seconds(),
        saved: entry.save_date(),
        size: entry.size(),
        flags: flag_names(&entry.flags()),
    }
}

pub fn notes_of(annotations: &crate::Annotations) -> Notes {
    let all = annotations.iter();
    all.map(|(name, audience, value)| ((name.to_string(), audience), value.to_vec())).collect()
}

pub fn flag_names(flags: &Flags) -> FlagNames {
    let system = flags.system.names().map(str::to_lowercase);
    system.chain(flags.keywords().iter().map(|k| k.as_str().to_lowercase())).collect()
}

pub fn changed_flags(before: &FlagNames, mode: FlagMode, named: &FlagNames) -> FlagNames {
    match mode {
        FlagMode::Add => before | named,
        FlagMode::Remove => before - named,
        FlagMode::Replace => named.clone(),
    }
}

/// Compares what the account told with what the model expects.
pub fn assert_told(outcome: &Outcome, told: &Told) {
    let uids = |set: &UidSet| set.iter().map(mail_types::Uid::get).collect::<Uids>();
    let text = |names: &[MailboxName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let found = match outcome {
        Outcome::Done => Told::Done,
        Outcome::Created { names, .. } => Told::Created(text(names)),
        Outcome::Deleted { id } => Told::Deleted(id.get()),
        Outcome::Renamed { created, renamed } => {
            let renamed = renamed.iter().map(|(old, new)| (old.to_string(), new.to_string()));
            Told::Renamed(text(created), renamed.collect())
        }
        Outcome::Added { uids: added, messages, .. } => {
            Told::Added(uids(added), messages.iter().map(|id| id.get()).collect())
        }
        Outcome::FlagsSet(outcome) | Outcome::Annotated(outcome) => Told::Flags {
            changed: uids(&outcome.changed),
            same: uids(&outcome.same),
            modified: uids(&outcome.modified),
        },
        Outcome::Copied(outcome) | Outcome::Moved(outcome) => {
            Told::Copied(uids(&outcome.source), uids(&outcome.target))
        }
        Outcome::Replaced { uid, message, .. } => {
            Told::Added(Uids::from([uid.get()]), vec![message.get()])
        }
        Outcome::Expunged { uids: gone, .. } => Told::Expunged(uids(gone)),
        Outcome::RecentClaimed { uids: claimed } => Told::Recent(uids(claimed)),
    };
    assert_eq!(&found, told);
}
