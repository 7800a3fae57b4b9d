//! Decides what adds, flags, copies, moves and expunges messages.

use std::collections::HashMap;

use mail_types::{Flags, MailboxId, MessageId, ModSeq, SystemFlags, ThreadId, Uid, UidSet};

use super::annotate::{check_mailbox_bytes, check_new};
use super::{
    CopyOutcome, Decision, FlagsOutcome, Limit, Outcome, Planner, Refusal,
    check_keywords_on_message, uid_run,
};
use crate::snapshot::PackedFlags;
use crate::{
    Account, Actor, Added, Change, EntryRef, FlagMode, FlagRun, KeywordNames, MailboxRecord,
    MailboxSnapshot, NewMessage, Rights,
};

/// What a STORE asks for.
pub(super) struct Store<'a> {
    pub(super) mode: FlagMode,
    pub(super) flags: &'a Flags,
    pub(super) unchanged_since: Option<ModSeq>,
}

impl Store<'_> {
    /// The flags that a message gets that had `before`. What there is no right to stays as it is.
    /// RFC 4314 §4
    fn result(&self, before: &Flags, held: Rights) -> Flags {
        if held.contains(Rights::FLAGS) {
            return self.mode.result(before, self.flags);
        }
        let named = held.permitted(self.flags);
        match self.mode {
            FlagMode::Add | FlagMode::Remove => self.mode.result(before, &named),
            FlagMode::Replace => before.without(&held.permitted(before)).union(&named),
        }
    }
}

impl Planner<'_> {
    pub(super) fn add_messages(
        mut self,
        mailbox: MailboxId,
        messages: &[NewMessage],
    ) -> Result<Decision, Refusal> {
        let record = self.account.mailbox(mailbox).ok_or(Refusal::NoTarget)?.record();
        let added = self.arrivals(messages, self.rights(mailbox))?;
        self.check_room(added.iter().map(|it| (it.size, it.annotations.bytes())))?;
        let ids = added.iter().map(|added| added.message).collect();
        let uids = self.put(record, added)?;
        let uid_validity = record.uid_validity;
        let modseq = self.modseq_if_changed();
        Ok(self.done(Outcome::Added { uid_validity, uids, messages: ids, modseq }))
    }

    pub(super) fn set_flags(
        mut self,
        mailbox: MailboxId,
        uids: &UidSet,
        store: Store<'_>,
    ) -> Result<Decision, Refusal> {
        let contents = self.contents(mailbox)?;
        let held = self.rights(mailbox);
        let mut outcome = FlagsOutcome::default();
        let mut runs: Vec<FlagRun> = Vec::new();
        // Messages with the same flags get the same flags: each distinct set is worked out once.
        let mut results: HashMap<PackedFlags, Option<usize>> = HashMap::new();
        let mut counts = contents.counts();
        for (_, entry) in contents.select(uids) {
            // RFC 7162 §3.1.3: a message that changed since is left alone and listed.
            if store.unchanged_since.is_some_and(|since| entry.modseq() > since) {
                outcome.modified.insert(entry.uid());
                continue;
            }
            let result = match results.get(&entry.packed()) {
                Some(result) => *result,
                None => {
                    let result = plan_flags(&entry, &store, held, &mut runs)?;
                    results.insert(entry.packed(), result);
                    result
                }
            };
            match result.and_then(|at| runs.get_mut(at)) {
                // RFC 7162 §3.1.11: a flag that is set already does not raise the modseq.
                None => outcome.same.insert(entry.uid()),
                Some(run) => {
                    outcome.changed.insert(entry.uid());
                    run.uids.insert(entry.uid());
                    counts.remove(entry.system_flags(), entry.size());
                    counts.add(run.flags.system, entry.size());
                }
            }
        }
        check_keywords_in_mailbox(contents.keywords(), runs.iter().map(|run| &run.flags))?;
        if !runs.is_empty() {
            self.changes.push(Change::FlagsSet { mailbox, runs, counts });
            outcome.modseq = Some(self.modseq);
        }
        Ok(self.done(Outcome::FlagsSet(outcome)))
    }

    pub(super) fn copy(
        mut self,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Decision, Refusal> {
        let outcome = self.plan_copy(from, to, uids)?;
        let copied = self.contents(from)?.select(&outcome.source);
        let size = |entry: &EntryRef<'_>| (entry.size(), entry.annotations().copied().bytes());
        self.check_room(copied.map(|(_, entry)| size(&entry)))?;
        Ok(self.done(Outcome::Copied(outcome)))
    }

    /// One entry for both halves: no one ever sees the messages in neither mailbox, and after it
    /// they are in one. RFC 6851 §3.3
    pub(super) fn move_messages(
        mut self,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<Decision, Refusal> {
        let outcome = self.plan_copy(from, to, uids)?;
        if !outcome.source.is_empty() {
            let contents = self.contents(from)?;
            let mut counts = contents.counts();
            if from != to {
                subtract(&mut counts, contents, &outcome.source);
            } else {
                // All the same is there again, but for what a copy does not take along.
                let left = |entry: &EntryRef<'_>| {
                    let all = entry.annotations();
                    all.bytes().saturating_sub(all.copied().bytes())
                };
                let left: u64 = contents.select(&outcome.source).map(|(_, it)| left(&it)).sum();
                counts.annotation_bytes = counts.annotation_bytes.saturating_sub(left);
            }
            let uids = outcome.source.clone();
            self.changes.push(Change::Expunged { mailbox: from, uids, counts });
        }
        Ok(self.done(Outcome::Moved(outcome)))
    }

    /// The expunge comes first, so that a mailbox that is full can have its messages replaced: only
    /// the difference counts. RFC 8508 §3.4
    pub(super) fn replace(
        mut self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        message: &NewMessage,
    ) -> Result<Decision, Refusal> {
        let contents = self.contents(from)?;
        let record = self.account.mailbox(to).ok_or(Refusal::NoTarget)?.record();
        let gone = UidSet::single(uid);
        let mut counts = contents.counts();
        subtract(&mut counts, contents, &gone);
        if counts.messages == contents.counts().messages {
            return Err(Refusal::NoSuchMessage);
        }
        let replaced = contents.find(uid);
        self.check_growth(replaced.map_or(0, |it| it.size()), message.size)?;
        let annotation_bytes = replaced.map_or(0, |it| it.annotations().bytes());
        self.check_annotation_growth(annotation_bytes, message.annotations.bytes())?;
        self.changes.push(Change::Expunged { mailbox: from, uids: gone, counts });
        let added = self.arrivals(std::slice::from_ref(message), self.rights(to))?;
        let id = added.first().map_or(self.account.head().next_message, |added| added.message);
        let kept = if from == to { counts.messages } else { record.counts.messages };
        let uids = self.put_beside(record, kept, added)?;
        let uid = uids.first().ok_or(Refusal::UidsExhausted)?;
        let (uid_validity, modseq) = (record.uid_validity, self.modseq);
        Ok(self.done(Outcome::Replaced { uid_validity, uid, message: id, modseq }))
    }

    pub(super) fn expunge(
        mut self,
        mailbox: MailboxId,
        uids: &UidSet,
    ) -> Result<Decision, Refusal> {
        let contents = self.contents(mailbox)?;
        let mut counts = contents.counts();
        let mut expunged = UidSet::new();
        if counts.deleted > 0 {
            for (_, entry) in contents.select(uids) {
                if entry.system_flags().contains(SystemFlags::DELETED) {
                    expunged.insert(entry.uid());
                }
            }
        }
        if !expunged.is_empty() {
            subtract(&mut counts, contents, &expunged);
            self.changes.push(Change::Expunged { mailbox, uids: expunged.clone(), counts });
        }
        let modseq = self.modseq_if_changed();
        Ok(self.done(Outcome::Expunged { uids: expunged, modseq }))
    }

    pub(super) fn claim_recent(mut self, mailbox: MailboxId) -> Result<Decision, Refusal> {
        let record = self.mailbox(mailbox)?.record();
        let mut uids = UidSet::new();
        if record.recent_mark < record.uid_next {
            let last = record.uid_next.prev().unwrap_or(record.recent_mark);
            uids = UidSet::range(record.recent_mark, last);
            self.changes.push(Change::RecentClaimed { mailbox, mark: record.uid_next });
        }
        Ok(self.done(Outcome::RecentClaimed { uids }))
    }

    pub(super) fn prune(mut self, floor: ModSeq) -> Result<Decision, Refusal> {
        let head = self.account.head();
        let floor = floor.min(head.modseq);
        if floor > head.history_floor {
            self.changes.push(Change::HistoryForgotten { floor });
        }
        Ok(self.done(Outcome::Done))
    }

    /// A message as it comes to another mailbox: all its own, but a new save date. RFC 8514 §4
    pub(super) fn added(&self, entry: &EntryRef<'_>) -> Added {
        Added {
            message: entry.message(),
            thread: entry.thread(),
            size: entry.size(),
            internal_date: entry.internal_date(),
            save_date: self.now,
            flags: entry.flags(),
            annotations: entry.annotations().copied(),
        }
    }

    /// New messages as they come, each with its id and with the flags that there is a right to.
    fn arrivals(&self, messages: &[NewMessage], held: Rights) -> Result<Vec<Added>, Refusal> {
        let mut next = self.account.head().next_message;
        let mut added = Vec::with_capacity(messages.len());
        for message in messages {
            let flags = held.permitted(&message.flags);
            check_keywords_on_message(&flags)?;
            check_new(&message.annotations)?;
            let id = match message.message {
                Some(id) if id >= self.account.head().next_message => {
                    return Err(Refusal::UnknownMessage(id));
                }
                Some(id) => id,
                None => {
                    let id = next;
                    next = MessageId(next.get() + 1);
                    id
                }
            };
            added.push(Added {
                message: id,
                thread: message.thread.unwrap_or(ThreadId(id.get())),
                size: message.size,
                internal_date: message.internal_date,
                save_date: self.now,
                flags,
                annotations: self.permitted_annotations(&message.annotations, held),
            });
        }
        Ok(added)
    }

    fn plan_copy(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        uids: &UidSet,
    ) -> Result<CopyOutcome, Refusal> {
        let contents = self.contents(from)?;
        // RFC 9051 §6.4.7: the target is not created, the client is told that it may do so.
        let record = self.account.mailbox(to).ok_or(Refusal::NoTarget)?.record();
        let held = self.rights(to);
        let mut source = UidSet::new();
        let mut added = Vec::new();
        for (_, entry) in contents.select(uids) {
            source.insert(entry.uid());
            // RFC 4314 §4: flags without a right to them are lost, and the copy is made.
            let copy = self.added(&entry);
            let flags = held.permitted(&copy.flags);
            let annotations = match self.actor {
                Actor::Owner => copy.annotations,
                // What is private is its reader's, and whose copy it is is not known here.
                Actor::Guest(_) => held.permitted_annotations(&copy.annotations.shared()),
            };
            added.push(Added { flags, annotations, ..copy });
        }
        let target = self.put(record, added)?;
        let modseq = self.modseq_if_changed();
        Ok(CopyOutcome { uid_validity: record.uid_validity, source, target, modseq })
    }

    /// Adds messages to a mailbox, all of them or none.
    fn put(&mut self, record: &MailboxRecord, messages: Vec<Added>) -> Result<UidSet, Refusal> {
        self.put_beside(record, record.counts.messages, messages)
    }

    /// Adds messages to a mailbox of which `kept` messages stay, all of them or none.
    fn put_beside(
        &mut self,
        record: &MailboxRecord,
        kept: u32,
        messages: Vec<Added>,
    ) -> Result<UidSet, Refusal> {
        let uids = uid_run(record.uid_next, messages.len())?;
        let Some(first_uid) = uids.first() else { return Ok(uids) };
        if u64::from(kept) + uids.len() > u64::from(Account::MESSAGES_MAX) {
            return Err(Refusal::Limit(Limit::Messages));
        }
        check_keywords_in_mailbox(&record.keywords, messages.iter().map(|m| &m.flags))?;
        let before = record.counts.annotation_bytes;
        let bytes = messages.iter().map(|message| message.annotations.bytes());
        check_mailbox_bytes(before, bytes.fold(before, u64::saturating_add))?;
        self.changes.push(Change::Added { mailbox: record.id, first_uid, messages });
        Ok(uids)
    }
}

/// The run that messages with this entry's flags go to; `None` if the store leaves them as they
/// are.
fn plan_flags(
    entry: &EntryRef<'_>,
    store: &Store<'_>,
    held: Rights,
    runs: &mut Vec<FlagRun>,
) -> Result<Option<usize>, Refusal> {
    let before = entry.flags();
    let flags = store.result(&before, held);
    if flags == before {
        return Ok(None);
    }
    check_keywords_on_message(&flags)?;
    // A whole replacement is the same for all messages; other results are one for each set before.
    let is_same = store.mode == FlagMode::Replace && held.contains(Rights::FLAGS);
    let at = if is_same { 0 } else { runs.len() };
    if at == runs.len() {
        runs.push(FlagRun { uids: UidSet::new(), flags });
    }
    Ok(Some(at))
}

fn check_keywords_in_mailbox<'a>(
    names: &KeywordNames,
    flags: impl Iterator<Item = &'a Flags>,
) -> Result<(), Refusal> {
    let new = names.missing(flags.flat_map(Flags::keywords));
    if new > 0 && names.len() + new > KeywordNames::KEYWORDS_MAX {
        return Err(Refusal::Limit(Limit::KeywordsInMailbox));
    }
    Ok(())
}

fn subtract(counts: &mut crate::Counts, contents: &MailboxSnapshot, uids: &UidSet) {
    for (_, entry) in contents.select(uids) {
        counts.remove(entry.system_flags(), entry.size());
        let bytes = entry.annotations().bytes();
        counts.annotation_bytes = counts.annotation_bytes.saturating_sub(bytes);
    }
}
