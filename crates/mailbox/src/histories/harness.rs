//! One account, its oracle, its stored rows, a follower of its log, and a few sessions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Account, Acl, Actor, AnnotationEdit, AnnotationValue, Annotations, Audience, Bound, Context,
    Expunges, FlagMode, Identifier, LogEntry, MailboxSnapshot, MailboxSnapshotBuilder,
    MembershipRow, MetadataTarget, MetadataValue, NewMessage, Operation, Outcome, OwnStore,
    Refusal, Rights, RightsChange, Subscription, View, apply, decide, touched,
};
use mail_types::{
    AccountId, AnnotationName, EntryName, Flags, InternalDate, Keyword, MailboxId, MailboxName,
    ModSeq, SystemFlags, Uid, UidSet,
};

use super::client::{Client, Kind, Way};
use super::model::{self, Model};
use super::random::Random;

pub struct Harness {
    random: Random,
    account: Account,
    model: Model,
    rows: Rows,
    /// Knows only the log and never has contents.
    follower: Account,
    log: Vec<LogEntry>,
    sessions: Vec<Session>,
    /// Clients as they were when a connection was cut.
    cuts: Vec<(MailboxId, Client)>,
    now: i64,
    ids_ever: BTreeSet<u64>,
    validities_ever: BTreeSet<u32>,
}

/// What a store holds.
#[derive(Default)]
struct Rows {
    memberships: BTreeMap<(MailboxId, Uid), MembershipRow>,
    records: BTreeMap<MailboxId, crate::MailboxRecord>,
    subscriptions: BTreeMap<MailboxName, Subscription>,
    metadata: BTreeMap<(MetadataTarget, EntryName), MetadataValue>,
    acls: BTreeMap<MailboxId, Acl>,
    /// As a store has them: a row for all that one audience has of a message.
    notes: BTreeMap<(MailboxId, Uid, Audience), Vec<(AnnotationName, AnnotationValue)>>,
}

struct Session {
    mailbox: MailboxId,
    view: View,
    client: Client,
    /// The annotations as the client knows them, of messages that have any.
    notes: BTreeMap<u32, model::Notes>,
}

impl Harness {
    pub fn new(seed: u64) -> Self {
        let mut harness = Self {
            random: Random::new(seed),
            account: Account::empty(),
            model: Model::default(),
            rows: Rows::default(),
            follower: Account::empty(),
            log: Vec::new(),
            sessions: Vec::new(),
            cuts: Vec::new(),
            now: 1_700_000_000,
            ids_ever: BTreeSet::new(),
            validities_ever: BTreeSet::new(),
        };
        harness.submit(&Operation::CreateAccount).unwrap();
        for _ in 0..3 {
            let session = harness.select();
            harness.sessions.push(session);
        }
        harness
    }

    pub fn step(&mut self) {
        self.now += i64::try_from(self.random.below(100)).unwrap();
        match self.random.below(100) {
            0..18 => self.append(),
            18..36 => self.store(),
            36..44 => self.annotate_messages(),
            44..49 => self.copy_or_move(),
            49..52 => self.replace(),
            52..60 => self.expunge(),
            60..72 => self.sync(Expunges::Tell),
            72..80 => self.sync(Expunges::Withhold),
            80..84 => self.reselect(),
            84..92 => self.change_tree(),
            92..94 => self.prune(),
            94..96 => self.evict(),
            96 => self.annotate(),
            97 => self.share(),
            _ => self.claim_recent(),
        }
        if self.random.once_in(5) {
            self.check_resync();
        }
    }

    /// A checkpoint of all sessions, and a restart from what is stored.
    pub fn finish(&mut self) {
        for at in 0..self.sessions.len() {
            self.advance(at, Expunges::Tell, None);
        }
        self.check_resync();
        self.check_restart();
        assert_eq!(self.follower.head(), self.account.head());
        assert_eq!(self.follower.metadata(), self.account.metadata());
        assert!(self.follower.acls().eq(self.account.acls()));
        for (mine, theirs) in self.account.mailboxes().zip(self.follower.mailboxes()) {
            assert_eq!(mine.record(), theirs.record());
        }
        if let Some(last) = self.log.last() {
            assert!(apply(&self.account, last).is_err(), "an entry was applied twice");
        }
    }

    /// Decides, compares with the oracle, stores rows, applies, and compares again.
    fn submit(&mut self, operation: &Operation) -> Result<Outcome, Refusal> {
        for id in operation.contents_needed(&self.account) {
            self.load(id);
        }
        let decision = decide(&self.account, &Actor::Owner, operation, &Context { now: self.now });
        let expected = self.model.submit(operation, self.now);
        let decision = match (decision, expected) {
            (Ok(decision), Ok(told)) => {
                model::assert_told(&decision.outcome, &told);
                decision
            }
            (Err(refusal), Err(expected)) => {
                assert_eq!(refusal, expected, "{operation:?}");
                return Err(refusal);
            }
            (found, expected) => panic!("{operation:?}: {found:?} for {expected:?}"),
        };
        if let Some(entry) = decision.entry {
            self.commit(&entry);
        }
        assert_eq!(self.account.modseq().get(), self.model.modseq, "{operation:?}");
        self.model.assert_equals(&self.account);
        Ok(decision.outcome)
    }

    fn commit(&mut self, entry: &LogEntry) {
        let before = self.account.clone();
        self.account = apply(&before, entry).unwrap();
        let touched = touched(&self.account, entry).unwrap();
        self.rows.write(&self.account, &touched);
        self.follower = apply(&self.follower, entry).unwrap();
        self.follower = without_all_contents(&self.follower);
        self.log.push(entry.clone());
        // The oracle has no history to forget.
        self.model.modseq = self.model.modseq.max(entry.modseq.get());
        for mailbox in self.account.mailboxes() {
            let record = mailbox.record();
            if before.mailbox(record.id).is_none() {
                assert!(self.ids_ever.insert(record.id.get()), "a MAILBOXID came twice");
                let is_new = self.validities_ever.insert(record.uid_validity.get());
                assert!(is_new, "a UIDVALIDITY came twice");
            }
        }
        for mailbox in before.mailboxes() {
            let old = mailbox.record();
            let Some(now) = self.account.mailbox(old.id) else { continue };
            assert!(now.record().uid_next >= old.uid_next, "UIDNEXT fell");
            assert!(now.record().highest_modseq >= old.highest_modseq, "HIGHESTMODSEQ fell");
            assert_eq!(now.record().uid_validity, old.uid_validity);
        }
    }

    fn load(&mut self, id: MailboxId) {
        if self.account.mailbox(id).is_some_and(|m| m.contents().is_none()) {
            let contents = self.rows.contents(&self.account, id, &self.log);
            self.account = self.account.with_contents(id, contents).unwrap();
        }
    }

    fn snapshot(&mut self, id: MailboxId) -> Option<MailboxSnapshot> {
        self.load(id);
        self.account.mailbox(id)?.contents().cloned()
    }

    fn random_mailbox(&mut self) -> MailboxId {
        let ids: Vec<MailboxId> = self.account.mailboxes().map(|m| m.record().id).collect();
        // Few mailboxes, so that sessions meet.
        if self.random.once_in(2) { ids[0] } else { *self.random.pick(&ids) }
    }

    fn random_flags(&mut self) -> Flags {
        let system = [
            SystemFlags::NONE,
            SystemFlags::SEEN,
            SystemFlags::DELETED,
            SystemFlags::SEEN.union(SystemFlags::FLAGGED),
            SystemFlags::DELETED.union(SystemFlags::ANSWERED),
        ];
        let mut flags = Flags::system(*self.random.pick(&system));
        for name in ["Work", "work", "$label1", "$Forwarded", "Later"] {
            if self.random.once_in(6) {
                flags.insert(Keyword::new(name).unwrap());
            }
        }
        flags
    }

    /// Some of the messages that the client counts, named as clients do.
    fn random_uids(&mut self, at: usize) -> UidSet {
        let exists = self.sessions[at].view.exists();
        let mut ranges = Vec::new();
        for _ in 0..=self.random.below(2) {
            let mut bound = || match self.random.below(6) {
                0 => Bound::Last,
                _ => {
                    let number = self.random.below(usize::try_from(exists).unwrap()) + 1;
                    Bound::Number(u32::try_from(number).unwrap())
                }
            };
            ranges.push((bound(), bound()));
        }
        let view = &self.sessions[at].view;
        if self.random.once_in(2) {
            let uid = |bound| match bound {
                Bound::Number(number) => Bound::Number(Uid::new(number).unwrap()),
                Bound::Last => Bound::Last,
            };
            let uids = view.resolve_uids(ranges.into_iter().map(|(a, b)| (uid(a), uid(b))));
            assert!(uids.last() <= view.last_uid(), "a UID the client cannot know");
            return uids;
        }
        let seq = |bound| match bound {
            Bound::Number(number) => Bound::Number(mail_types::SeqNum::new(number).unwrap()),
            Bound::Last => Bound::Last,
        };
        let resolved = view.resolve_seqs(ranges.into_iter().map(|(a, b)| (seq(a), seq(b))));
        assert_eq!(resolved.is_err(), exists == 0);
        resolved.unwrap_or_default()
    }

    fn random_session(&mut self) -> usize {
        self.random.below(self.sessions.len())
    }

    fn random_message(&mut self) -> NewMessage {
        let seconds = 1_600_000_000 + i64::try_from(self.random.below(1_000_000)).unwrap();
        NewMessage {
            message: None,
            thread: None,
            size: u32::try_from(self.random.below(10_000)).unwrap(),
            internal_date: InternalDate::new(seconds, 60),
            flags: self.random_flags(),
            annotations: self.random_notes(4).into_iter().collect(),
        }
    }

    /// None mostly.
    fn random_notes(&mut self, once_in: usize) -> Vec<(AnnotationName, Audience, AnnotationValue)> {
        if !self.random.once_in(once_in) {
            return Vec::new();
        }
        let edits = self.random_edits();
        let edits = edits.into_iter().filter(|edit| !matches!(edit.audience, Audience::Reader(_)));
        edits.filter_map(|edit| Some((edit.name, edit.audience, edit.value?))).collect()
    }

    fn random_edits(&mut self) -> Vec<AnnotationEdit> {
        let mut edits = Vec::new();
        for _ in 0..=self.random.below(3) {
            let names = ["/comment", "/altsubject", "/1/comment", "/vendor/k/a"];
            let name = AnnotationName::new(self.random.pick::<&str>(&names)).unwrap();
            let audiences = [Audience::Owner, Audience::Everyone, Audience::Reader(AccountId(9))];
            let audience = *self.random.pick(&audiences);
            let values = [None, Some(&b""[..]), Some(b"\0\xff"), Some(&[b'x'; 200])];
            let value = self.random.pick(&values).map(AnnotationValue::from);
            edits.push(AnnotationEdit { name, audience, value });
        }
        edits
    }

    fn annotate_messages(&mut self) {
        let at = self.random_session();
        let (mailbox, settled) = (self.sessions[at].mailbox, self.sessions[at].view.settled());
        let uids = self.random_uids(at);
        let edits = self.random_edits();
        let unchanged_since = self.random.once_in(4).then_some(settled);
        let operation = Operation::Annotate { mailbox, uids, edits, unchanged_since };
        let _refused_or_not = self.submit(&operation);
        self.advance(at, Expunges::Withhold, None);
    }

    fn append(&mut self) {
        let mailbox = self.random_mailbox();
        let messages = (0..self.random.below(4)).map(|_| self.random_message()).collect();
        self.submit(&Operation::AddMessages { mailbox, messages }).unwrap();
    }

    fn store(&mut self) {
        let at = self.random_session();
        let (mailbox, settled) = (self.sessions[at].mailbox, self.sessions[at].view.settled());
        let uids = self.random_uids(at);
        let mode = *self.random.pick(&[FlagMode::Add, FlagMode::Remove, FlagMode::Replace]);
        let flags = self.random_flags();
        let unchanged_since = self.random.once_in(4).then_some(settled);
        let operation = Operation::SetFlags {
            mailbox,
            uids: uids.clone(),
            mode,
            flags: flags.clone(),
            unchanged_since,
        };
        let Ok(Outcome::FlagsSet(outcome)) = self.submit(&operation) else { return };
        // With .SILENT the client takes its own change as done, but for what is in MODIFIED.
        let session = &mut self.sessions[at];
        let stored = uids.difference(&outcome.modified);
        session.client.assume(&stored, mode, &model::flag_names(&flags));
        let own = outcome.modseq.map(|modseq| OwnStore { modseq, mode, flags });
        self.advance(at, Expunges::Withhold, own.as_ref());
    }

    fn copy_or_move(&mut self) {
        let at = self.random_session();
        let from = self.sessions[at].mailbox;
        let uids = self.random_uids(at);
        let to = if self.random.once_in(20) { MailboxId(9999) } else { self.random_mailbox() };
        let operation = if self.random.once_in(2) {
            Operation::Copy { from, to, uids }
        } else {
            Operation::Move { from, to, uids }
        };
        let _refused_or_not = self.submit(&operation);
        self.advance(at, Expunges::Tell, None);
    }

    fn replace(&mut self) {
        let at = self.random_session();
        let from = self.sessions[at].mailbox;
        let Some(uid) = self.random_uids(at).first() else { return };
        let to = match self.random.below(20) {
            0 => MailboxId(9999),
            1..8 => self.random_mailbox(),
            _ => from,
        };
        let message = self.random_message();
        let _refused_or_not = self.submit(&Operation::Replace { from, uid, to, message });
        self.advance(at, Expunges::Tell, None);
    }

    fn expunge(&mut self) {
        let at = self.random_session();
        let mailbox = self.sessions[at].mailbox;
        let uids = match self.random.below(3) {
            0 => self.random_uids(at),
            _ => {
                let last = self.sessions[at].view.last_uid().unwrap_or(Uid::MIN);
                UidSet::range(Uid::MIN, last)
            }
        };
        let _refused_or_not = self.submit(&Operation::Expunge { mailbox, uids });
        self.advance(at, Expunges::Tell, None);
    }

    fn sync(&mut self, expunges: Expunges) {
        let at = self.random_session();
        self.advance(at, expunges, None);
    }

    fn select(&mut self) -> Session {
        let mailbox = self.random_mailbox();
        let view = View::open(self.snapshot(mailbox).unwrap());
        let kind = *self.random.pick(&[Kind::Plain, Kind::Qresync]);
        let client = Client::select(kind, &view);
        client.assert_synchronized(self.model.by_id(mailbox).unwrap());
        let notes = self.model.by_id(mailbox).unwrap().notes.clone();
        Session { mailbox, view, client, notes }
    }

    fn reselect(&mut self) {
        let at = self.random_session();
        let session = self.select();
        let old = std::mem::replace(&mut self.sessions[at], session);
        self.cut(old.mailbox, old.client);
    }

    fn change_tree(&mut self) {
        let names =
            ["a", "a/b", "a/b/b", "a/b/b/c", "a/c", "x/y", "INBOX", "INBOX/k", "b/b", "Sent", "b"];
        let mut name = || {
            let text = self.random.pick::<&str>(&names);
            MailboxName::new(text).unwrap()
        };
        let (name, other) = (name(), name());
        let operation = match self.random.below(10) {
            0..4 => Operation::CreateMailbox { name, special_use: Vec::new() },
            4..6 => Operation::DeleteMailbox { name },
            6..8 => Operation::RenameMailbox { from: name, to: other },
            8 => Operation::Subscribe { name },
            _ => Operation::Unsubscribe { name },
        };
        let _refused_or_not = self.submit(&operation);
        for at in 0..self.sessions.len() {
            if self.account.mailbox(self.sessions[at].mailbox).is_none() {
                // Its mailbox is gone. What it knows stays readable until it is told.
                self.sessions[at].client.assert_numbering(&self.sessions[at].view);
                self.sessions[at] = self.select();
            }
        }
    }

    fn annotate(&mut self) {
        let ids: Vec<MailboxId> = self.account.mailboxes().map(|m| m.record().id).collect();
        if self.random.below(4) == 0 {
            let mailbox = *self.random.pick(&ids);
            self.submit(&Operation::NoteKeyReset { mailbox }).unwrap();
        }
        let target = match self.random.below(4) {
            0 => MetadataTarget::Server,
            1 => MetadataTarget::Mailbox(MailboxId(1)),
            _ => MetadataTarget::Mailbox(*self.random.pick(&ids)),
        };
        let mut entries = Vec::new();
        for _ in 0..=self.random.below(3) {
            let name = self.random.pick::<&str>(&["/private/a", "/private/a/b", "/private/C"]);
            let values = [None, Some(vec![]), Some(vec![0, 255]), Some(vec![b'x'; 300])];
            let value = self.random.pick(&values).clone();
            entries.push((EntryName::new(name).unwrap(), value));
        }
        self.submit(&Operation::SetMetadata { target, entries }).unwrap();
    }

    fn share(&mut self) {
        let mailbox = match self.random.below(20) {
            0 => MailboxId(9999),
            _ => self.random_mailbox(),
        };
        let identifier = self.random.pick::<&str>(&["anyone", "dock", "-dock", "lee"]);
        let identifier = Identifier::new(identifier).unwrap();
        let rights = self.random.pick::<&str>(&["", "lr", "lrs", "lrswipkxtea", "a", "td"]);
        let rights = Rights::parse(rights).unwrap();
        let change = match self.random.below(4) {
            0 => RightsChange::Set(rights),
            1 => RightsChange::Add(rights),
            2 => RightsChange::Remove(rights),
            _ => RightsChange::Delete,
        };
        let _refused_or_not = self.submit(&Operation::SetAcl { mailbox, identifier, change });
    }

    fn prune(&mut self) {
        let back = u64::try_from(self.random.below(40)).unwrap();
        let floor = ModSeq::new(self.account.modseq().get().saturating_sub(back)).unwrap();
        self.submit_prune(floor);
    }

    fn submit_prune(&mut self, floor: ModSeq) {
        let operation = Operation::Prune { floor };
        let decision =
            decide(&self.account, &Actor::Owner, &operation, &Context { now: self.now }).unwrap();
        if let Some(entry) = decision.entry {
            self.commit(&entry);
        }
    }

    fn evict(&mut self) {
        let id = self.random_mailbox();
        self.account = self.account.without_contents(id);
        if self.random.once_in(2) {
            self.check_restart();
        }
    }

    fn claim_recent(&mut self) {
        let at = self.random_session();
        let mailbox = self.sessions[at].mailbox;
        let Ok(Outcome::RecentClaimed { uids }) = self.submit(&Operation::ClaimRecent { mailbox })
        else {
            panic!("RECENT was refused");
        };
        self.advance(at, Expunges::Tell, None);
        let session = &mut self.sessions[at];
        session.view.add_recent(&uids);
        let shown = session.view.uids().iter().filter(|uid| session.view.is_recent(*uid)).count();
        assert_eq!(usize::try_from(session.view.recent_count()).unwrap(), shown);
    }

    /// Brings a session up to date and lets its client read the responses, one by one.
    fn advance(&mut self, at: usize, expunges: Expunges, own: Option<&OwnStore>) {
        let mailbox = self.sessions[at].mailbox;
        let snapshot = self.snapshot(mailbox).unwrap();
        let expected = self.model.by_id(mailbox).unwrap().clone();
        let session = &mut self.sessions[at];
        let uid_next = session.view.uid_next();
        let delta = session.view.advance(&snapshot, expunges, own);
        session.hear_notes(uid_next, &delta);
        session.assert_notes(&expected);
        if expunges == Expunges::Withhold {
            assert!(delta.expunged.is_empty() && delta.vanished.is_empty());
        } else {
            assert!(!session.view.has_withheld());
        }
        assert_eq!(u64::try_from(delta.expunged.len()).unwrap(), delta.vanished.len());
        let mut cuts = Vec::new();
        for response in session.client.responses(&session.view, &delta) {
            if session.client.kind == Kind::Qresync && self.random.once_in(8) {
                cuts.push(session.client.clone());
            }
            session.client.receive(&response);
        }
        session.client.assert_numbering(&session.view);
        session.client.assert_no_hole(&expected);
        if !session.view.has_withheld() {
            session.client.assert_synchronized(&expected);
            assert_eq!(session.client.highest.get(), expected.highest);
        }
        assert!(session.view.advance(&snapshot, expunges, None).is_empty(), "told twice");
        for client in cuts {
            self.cut(mailbox, client);
        }
    }

    fn cut(&mut self, mailbox: MailboxId, client: Client) {
        if client.kind == Kind::Qresync {
            if self.cuts.len() >= CUTS_MAX {
                let at = self.random.below(self.cuts.len());
                self.cuts.swap_remove(at);
            }
            self.cuts.push((mailbox, client));
        }
    }

    /// Every client that was cut off could come back now.
    fn check_resync(&mut self) {
        for (mailbox, client) in std::mem::take(&mut self.cuts) {
            let Some(snapshot) = self.snapshot(mailbox) else { continue };
            let expected = self.model.by_id(mailbox).unwrap();
            assert_eq!(client.uid_validity, expected.uid_validity);
            for way in [Way::AllUids, Way::KnownUids, Way::KnownUidsAndSample] {
                client.assert_resync(&snapshot, expected, way);
            }
            self.cuts.push((mailbox, client));
        }
    }

    /// What is stored is enough to begin again.
    fn check_restart(&mut self) {
        let records = self.rows.records.values().cloned().collect();
        let subscriptions = self.rows.subscriptions.clone().into_iter().collect();
        let restored = Account::restore(*self.account.head(), records, subscriptions).unwrap();
        let metadata = self.rows.metadata.iter();
        let metadata = metadata.map(|((target, name), v)| (*target, name.clone(), v.clone()));
        let acls = self.rows.acls.clone().into_iter().collect();
        let restored = restored.with_metadata(metadata.collect()).unwrap();
        let mut restored = restored.with_acls(acls).unwrap();
        assert_eq!(restored.metadata(), self.account.metadata());
        for id in self.rows.records.keys() {
            let contents = self.rows.contents(&restored, *id, &self.log);
            restored = restored.with_contents(*id, contents).unwrap();
        }
        self.model.assert_equals(&restored);
        for (mine, theirs) in self.account.mailboxes().zip(restored.mailboxes()) {
            assert_eq!(mine.record(), theirs.record());
        }
    }
}

impl Rows {
    fn write(&mut self, account: &Account, touched: &crate::Touched) {
        for (mailbox, uids) in &touched.rows_removed {
            for uid in uids.iter() {
                assert!(self.memberships.remove(&(*mailbox, uid)).is_some());
                self.notes.retain(|(of, at, _), _| (of, at) != (mailbox, &uid));
            }
        }
        for (mailbox, row) in &touched.rows_put {
            self.memberships.insert((*mailbox, row.uid), row.clone());
        }
        for (mailbox, uid, audience, all) in &touched.annotations {
            let mine: Vec<_> = all.of(*audience).map(|(n, v)| (n.clone(), v.clone())).collect();
            match mine.is_empty() {
                true => _ = self.notes.remove(&(*mailbox, *uid, *audience)),
                false => _ = self.notes.insert((*mailbox, *uid, *audience), mine),
            }
        }
        for (target, name, value) in &touched.metadata {
            match value {
                Some(value) => {
                    _ = self.metadata.insert((*target, name.clone()), value.clone());
                }
                None => _ = self.metadata.remove(&(*target, name.clone())).unwrap(),
            }
        }
        for (mailbox, acl) in &touched.acls {
            match acl.is_empty() {
                true => _ = self.acls.remove(mailbox).unwrap(),
                false => _ = self.acls.insert(*mailbox, acl.as_ref().clone()),
            }
        }
        for id in &touched.mailboxes_removed {
            self.acls.remove(id);
            self.metadata.retain(|(target, _), _| *target != MetadataTarget::Mailbox(*id));
            self.memberships.retain(|(mailbox, _), _| mailbox != id);
            self.notes.retain(|(mailbox, ..), _| mailbox != id);
            self.records.remove(id);
        }
        for id in &touched.mailboxes_put {
            self.records.insert(*id, account.mailbox(*id).unwrap().record().clone());
        }
        for name in &touched.subscriptions_removed {
            self.subscriptions.remove(name);
        }
        for (name, subscription) in &touched.subscriptions_put {
            self.subscriptions.insert(name.clone(), *subscription);
        }
    }

    fn contents(&self, account: &Account, id: MailboxId, log: &[LogEntry]) -> MailboxSnapshot {
        let record = account.mailbox(id).unwrap().record();
        let mut builder = MailboxSnapshotBuilder::new(record, account.head().history_floor);
        for (_, row) in self.memberships.range((id, Uid::MIN)..=(id, Uid::MAX)) {
            builder.push(row).unwrap();
        }
        for ((_, uid, audience), notes) in self.notes.iter().filter(|((of, ..), _)| *of == id) {
            builder.annotate(*uid, *audience, notes.clone()).unwrap();
        }
        for entry in log.iter().filter(|entry| entry.modseq > account.head().history_floor) {
            for change in &entry.changes {
                if let crate::Change::Expunged { mailbox, uids, .. } = change
                    && *mailbox == id
                {
                    builder.expunged(entry.modseq, uids);
                }
            }
        }
        builder.finish().unwrap()
    }
}

impl Session {
    /// The client asks for the annotations of new messages, and for those that it is told of.
    fn hear_notes(&mut self, uid_next: Uid, delta: &crate::Delta) {
        let known = |view: &View, uid: Uid| -> Annotations {
            view.entry(uid).map(|entry| entry.annotations()).unwrap_or_default()
        };
        for (uid, names) in &delta.annotated {
            let now = model::notes_of(&known(&self.view, *uid));
            let mine = self.notes.entry(uid.get()).or_default();
            for (name, audience) in names {
                let key = (name.to_string(), *audience);
                match now.get(&key) {
                    Some(value) => _ = mine.insert(key, value.clone()),
                    None => assert!(mine.remove(&key).is_some(), "told of nothing"),
                }
            }
        }
        for uid in self.view.uids().intersection(&UidSet::range(uid_next, Uid::MAX)).iter() {
            self.notes.insert(uid.get(), model::notes_of(&known(&self.view, uid)));
        }
        let uids = self.view.uids();
        self.notes.retain(|uid, it| !it.is_empty() && uids.contains(Uid::new(*uid).unwrap()));
    }

    /// Of messages that are there, it knows what is there; of those withheld, what was.
    fn assert_notes(&self, expected: &model::Mailbox) {
        let live = self.notes.iter().filter(|(uid, _)| expected.messages.contains_key(*uid));
        let live: BTreeMap<u32, model::Notes> = live.map(|(u, n)| (*u, n.clone())).collect();
        assert_eq!(live, expected.notes);
        for (uid, notes) in &self.notes {
            let entry = self.view.entry(Uid::new(*uid).unwrap()).unwrap();
            assert_eq!(&model::notes_of(&entry.annotations()), notes, "{uid}");
        }
    }
}

fn without_all_contents(account: &Account) -> Account {
    let ids: Vec<MailboxId> = account.mailboxes().map(|m| m.record().id).collect();
    ids.into_iter().fold(account.clone(), |account, id| account.without_contents(id))
}

const CUTS_MAX: usize = 12;
