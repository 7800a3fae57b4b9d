//! A client that knows nothing but the responses it received.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Delta, FlagMode, MailboxSnapshot, News, View, qresync};
use mail_types::{ModSeq, SeqNum, SeqSet, Uid, UidSet};

use super::model::{self, FlagNames, Message};

/// What a session understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Is told flags, with EXPUNGE.
    Plain,
    /// Is told every modseq, with VANISHED.
    Qresync,
}

/// A response, as far as it matters here.
#[derive(Clone, Debug)]
pub enum Response {
    Expunge(SeqNum),
    Vanished(UidSet),
    Exists(u32),
    Flags(BTreeSet<String>),
    Fetch { seq: SeqNum, uid: Uid, message: Message },
    HighestModSeq(ModSeq),
}

#[derive(Clone, Debug)]
pub struct Client {
    pub kind: Kind,
    pub uid_validity: u32,
    /// Position by position; `None` before the message was fetched.
    pub rows: Vec<Option<(u32, Message)>>,
    pub keywords: BTreeSet<String>,
    pub highest: ModSeq,
    /// UIDs and messages that were ever seen under this UIDVALIDITY.
    ever: BTreeMap<u32, u64>,
}

impl Client {
    /// A fresh SELECT: everything is fetched.
    pub fn select(kind: Kind, view: &View) -> Self {
        let mut client = Self {
            kind,
            uid_validity: view.uid_validity().get(),
            rows: Vec::new(),
            keywords: keyword_names(view.snapshot()),
            highest: ModSeq::ZERO,
            ever: BTreeMap::new(),
        };
        client.receive(&Response::Exists(view.exists()));
        for response in news(view, 1) {
            client.receive(&response);
        }
        client.receive(&Response::HighestModSeq(view.settled()));
        client
    }

    pub fn uids(&self) -> UidSet {
        self.rows.iter().flatten().filter_map(|(uid, _)| Uid::new(*uid)).collect()
    }

    /// What a session sends for a delta.
    pub fn responses(&self, view: &View, delta: &Delta) -> Vec<Response> {
        let mut responses = Vec::new();
        match self.kind {
            Kind::Plain => responses.extend(delta.expunged.iter().map(|s| Response::Expunge(*s))),
            Kind::Qresync if delta.vanished.is_empty() => {}
            Kind::Qresync => responses.push(Response::Vanished(delta.vanished.clone())),
        }
        if let Some(keywords) = &delta.keywords {
            let names = keywords.all().iter().map(|k| k.as_str().to_lowercase());
            responses.push(Response::Flags(names.collect()));
        }
        if let Some(exists) = delta.exists {
            let known = self.rows.len() - delta.expunged.len();
            responses.push(Response::Exists(exists));
            responses.extend(news(view, u32::try_from(known).unwrap() + 1));
        }
        for changed in &delta.changed {
            if self.kind == Kind::Plain && changed.news != News::Flags {
                continue;
            }
            let entry = view.entry(changed.uid).unwrap();
            assert_eq!(entry.modseq(), changed.modseq);
            let message = model::message_of(&entry);
            responses.push(Response::Fetch { seq: changed.seq, uid: changed.uid, message });
        }
        responses.push(Response::HighestModSeq(view.settled()));
        responses
    }

    pub fn receive(&mut self, response: &Response) {
        match response {
            Response::Expunge(seq) => {
                let at = usize::try_from(seq.get()).unwrap() - 1;
                assert!(at < self.rows.len(), "EXPUNGE {seq} of {}", self.rows.len());
                self.rows.remove(at);
            }
            Response::Vanished(uids) => {
                for uid in uids.iter() {
                    let known = |row: &Option<(u32, Message)>| {
                        row.as_ref().is_some_and(|(other, _)| *other == uid.get())
                    };
                    let at = self.rows.iter().position(known);
                    self.rows.remove(at.expect("VANISHED names a message of the session"));
                }
            }
            Response::Exists(count) => {
                let count = usize::try_from(*count).unwrap();
                assert!(count >= self.rows.len(), "EXISTS must not take messages away");
                self.rows.resize(count, None);
            }
            Response::Flags(keywords) => {
                assert!(self.keywords.is_subset(keywords), "FLAGS dropped a keyword");
                self.keywords = keywords.clone();
            }
            Response::Fetch { seq, uid, message } => self.fetch(*seq, uid.get(), message),
            Response::HighestModSeq(modseq) => {
                assert!(*modseq >= self.highest, "HIGHESTMODSEQ fell");
                self.highest = *modseq;
            }
        }
    }

    fn fetch(&mut self, seq: SeqNum, uid: u32, message: &Message) {
        for flag in message.flags.iter().filter(|flag| !flag.starts_with('\\')) {
            assert!(self.keywords.contains(flag), "{flag} was never announced");
        }
        let before = self.ever.insert(uid, message.message);
        assert!(before.is_none_or(|id| id == message.message), "UID {uid} names two messages");
        let at = usize::try_from(seq.get()).unwrap() - 1;
        assert!(at < self.rows.len(), "FETCH {seq} is above EXISTS");
        let earlier = self.rows[..at].iter().flatten().map(|(uid, _)| *uid).max();
        assert!(earlier.is_none_or(|earlier| earlier < uid), "UIDs do not ascend");
        if let Some((known, _)) = &self.rows[at] {
            assert_eq!(*known, uid, "{seq} changed its UID");
        }
        self.rows[at] = Some((uid, message.clone()));
    }

    /// What the client assumes after its own STORE with .SILENT.
    pub fn assume(&mut self, uids: &UidSet, mode: FlagMode, named: &FlagNames) {
        for (uid, message) in self.rows.iter_mut().flatten() {
            if uids.contains(Uid::new(*uid).unwrap()) {
                message.flags = model::changed_flags(&message.flags, mode, named);
            }
        }
    }

    /// The client's numbering is the view's.
    pub fn assert_numbering(&self, view: &View) {
        assert_eq!(u32::try_from(self.rows.len()).unwrap(), view.exists());
        let all = view.uids();
        let entries: Vec<_> = view.entries(&all).collect();
        assert_eq!(entries.len(), self.rows.len());
        for (index, row) in self.rows.iter().enumerate() {
            let (uid, message) = row.as_ref().expect("all messages were fetched");
            let seq = SeqNum::new(u32::try_from(index).unwrap() + 1).unwrap();
            let uid = Uid::new(*uid).unwrap();
            assert_eq!(view.uid(seq), Some(uid));
            assert_eq!(view.seq(uid), Some(seq));
            assert_eq!(entries[index].0, seq);
            assert_eq!(entries[index].1.uid(), uid);
            // Also of a message that is expunged and not told: never another message's data.
            let entry = view.entry(uid).unwrap();
            let same = view.entry_at(seq).unwrap();
            assert_eq!((entry.message(), entry.uid()), (same.message(), same.uid()));
            assert_eq!(entry.message().get(), message.message);
            assert_eq!(entry.size(), message.size);
            assert_eq!(entry.internal_date().seconds(), message.date);
        }
    }

    /// The client knows the mailbox as it is.
    pub fn assert_synchronized(&self, mailbox: &model::Mailbox) {
        let known: Vec<(u32, Message)> = self.rows.iter().flatten().cloned().collect();
        assert_eq!(known.len(), self.rows.len());
        self.assert_same(&known.into_iter().collect(), &mailbox.messages);
    }

    /// Nothing up to the announced modseq is missing.
    pub fn assert_no_hole(&self, mailbox: &model::Mailbox) {
        let known: BTreeMap<u32, &Message> =
            self.rows.iter().flatten().map(|(uid, message)| (*uid, message)).collect();
        for (modseq, uid) in &mailbox.expunged {
            let was_told = *modseq > self.highest.get() || !known.contains_key(uid);
            assert!(was_told, "{uid} expunged at {modseq}, {} announced", self.highest);
        }
        for (uid, message) in &mailbox.messages {
            if message.modseq <= self.highest.get() {
                let told = known.get(uid).expect("a message up to HIGHESTMODSEQ is missing");
                assert_eq!(told.flags, message.flags);
            }
        }
    }

    /// Reconnects with what it had at this point, in one of the ways a client may.
    pub fn assert_resync(&self, snapshot: &MailboxSnapshot, mailbox: &model::Mailbox, way: Way) {
        let mut rows: BTreeMap<u32, Message> = self.rows.iter().flatten().cloned().collect();
        let uids = self.uids();
        let sample = || {
            let all: UidSet = uids.clone();
            let seqs = SeqNum::new(u32::try_from(rows.len()).unwrap());
            (seqs.map_or(SeqSet::new(), |last| SeqSet::range(SeqNum::MIN, last)), all)
        };
        let known = qresync::Known {
            modseq: self.highest,
            uids: (way != Way::AllUids).then(|| uids.clone()),
            sample: (way == Way::KnownUidsAndSample).then(sample),
        };
        let resync = qresync::resync(snapshot, &known);
        for uid in resync.vanished.iter() {
            assert!(!mailbox.messages.contains_key(&uid.get()), "{uid} lives and vanished");
            assert!(uid.get() < mailbox.uid_next, "{uid} was never given");
            rows.remove(&uid.get());
        }
        for (seq, uid) in &resync.changed {
            let entry = snapshot.at(seq.get() - 1).unwrap();
            assert_eq!(entry.uid(), *uid);
            rows.insert(uid.get(), model::message_of(&entry));
        }
        // What came since is above what the client knows: UID FETCH n:*.
        if way != Way::AllUids {
            let from = uids.last().map_or(0, Uid::get);
            let new = snapshot.iter().filter(|entry| entry.uid().get() > from);
            rows.extend(new.map(|entry| (entry.uid().get(), model::message_of(&entry))));
        }
        self.assert_same(&rows, &mailbox.messages);
    }

    fn assert_same(&self, known: &BTreeMap<u32, Message>, actual: &BTreeMap<u32, Message>) {
        match self.kind {
            Kind::Qresync => assert_eq!(known, actual),
            Kind::Plain => {
                let flags = |rows: &BTreeMap<u32, Message>| -> Vec<(u32, FlagNames)> {
                    rows.iter().map(|(uid, message)| (*uid, message.flags.clone())).collect()
                };
                assert_eq!(flags(known), flags(actual));
            }
        }
    }
}

/// How a client asks for what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    AllUids,
    KnownUids,
    KnownUidsAndSample,
}

pub fn keyword_names(snapshot: &MailboxSnapshot) -> BTreeSet<String> {
    snapshot.keywords().all().iter().map(|k| k.as_str().to_lowercase()).collect()
}

/// FETCH of the messages from a number on.
fn news(view: &View, from: u32) -> Vec<Response> {
    let mut responses = Vec::new();
    for number in from..=view.exists() {
        let seq = SeqNum::new(number).unwrap();
        let entry = view.entry_at(seq).unwrap();
        let message = model::message_of(&entry);
        responses.push(Response::Fetch { seq, uid: entry.uid(), message });
    }
    responses
}
