//! A client that believes what it is told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use imap_proto::types::{
    Code, FetchAttribute, FlagList, Response, Status, StatusKind, StatusTarget,
};
use mail_types::MailboxName;
use testkit::pure::{PASSWORD, PureServer, USER, responses};
use testkit::script::Peer;

/// What the client switches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Plain,
    Condstore,
    Qresync,
    Rev2,
}

/// Whose client it is. The mailbox is the same: INBOX of the first account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Owner,
    Guest,
}

impl Who {
    /// Login name of the guest.
    pub const GUEST: &str = "chris";

    /// The name that this user has for a mailbox of the first account.
    pub fn mailbox(self, name: &str) -> String {
        match self {
            Self::Owner => name.to_owned(),
            Self::Guest => format!("\"Other Users/{USER}/{name}\""),
        }
    }
}

/// One client with its picture of INBOX.
pub struct Client {
    connection: usize,
    pub who: Who,
    dialect: Dialect,
    seed: u64,
    tag_count: u32,
    /// By sequence number: UID and flags, as far as they were told.
    messages: Vec<Message>,
    uid_validity: u32,
    /// The last HIGHESTMODSEQ that was announced.
    highest: u64,
    keywords: BTreeSet<String>,
    transcript: String,
}

#[derive(Clone, Debug, Default)]
struct Message {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
}

impl Client {
    pub fn start(
        connection: usize,
        (who, dialect): (Who, Dialect),
        seed: u64,
        server: &mut PureServer,
    ) -> Self {
        let mut client = Self {
            connection,
            who,
            dialect,
            seed,
            tag_count: 0,
            messages: Vec::new(),
            uid_validity: 0,
            highest: 0,
            keywords: BTreeSet::new(),
            transcript: String::new(),
        };
        client.connect(server);
        client.command(&format!("SELECT {}", who.mailbox("INBOX")), server);
        client.learn(server);
        client
    }

    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Sends one command and takes in its whole reply.
    pub fn command(&mut self, command: &str, server: &mut PureServer) {
        self.tag_count += 1;
        let tag = format!("t{}", self.tag_count);
        self.transcript.push_str(&format!("C: {tag} {command}\n"));
        server.send(self.connection, format!("{tag} {command}\r\n").as_bytes());
        let responses = self.read(server);
        let may_expunge =
            !["FETCH", "STORE", "SEARCH", "SORT", "THREAD"].iter().any(|c| command.starts_with(c));
        let mut is_ended = false;
        for response in responses {
            self.take(&response, may_expunge);
            if let Response::Status(Status { target: StatusTarget::Tagged(found), kind, .. }) =
                &response
            {
                self.check(found.as_str() == tag, "another tag");
                self.check(*kind != StatusKind::Bad, "BAD");
                is_ended = true;
            }
        }
        self.check(is_ended, "no tagged response");
    }

    /// Asks for what it does not know of its messages.
    pub fn learn(&mut self, server: &mut PureServer) {
        for index in 0..self.messages.len() {
            let message = &self.messages[index];
            if message.uid.is_none() || message.flags.is_none() {
                self.command(&format!("FETCH {}:* (UID FLAGS)", index + 1), server);
                return;
            }
        }
    }

    /// Loses the connection in the middle of whatever was withheld, and comes back.
    pub fn cut_and_return(&mut self, server: &mut PureServer) {
        if self.dialect != Dialect::Qresync || self.messages.iter().any(|m| m.uid.is_none()) {
            return self.command("NOOP", server);
        }
        self.transcript.push_str("--- cut ---\n");
        self.connect(server);
        let known: BTreeMap<u32, Message> =
            self.messages.drain(..).filter_map(|m| Some((m.uid?, m))).collect();
        let (validity, highest) = (self.uid_validity, self.highest);
        let inbox = self.who.mailbox("INBOX");
        self.command(&format!("SELECT {inbox} (QRESYNC ({validity} {highest}))"), server);
        // What VANISHED (EARLIER) and FETCH did not touch is as it was; the numbers are those of
        // the UIDs in order.
        let gone = std::mem::take(&mut self.vanished_earlier());
        let told: BTreeMap<u32, Message> =
            self.messages.drain(..).filter_map(|m| Some((m.uid?, m))).collect();
        let mut all = known;
        all.retain(|uid, _| !gone.contains(uid));
        all.extend(told);
        self.messages = all.into_values().collect();
        self.compare(server);
    }

    /// The picture against the mailbox itself.
    pub fn compare(&self, server: &PureServer) {
        let account = server.account();
        let inbox = account.by_name(&MailboxName::inbox()).unwrap();
        let contents = inbox.contents().unwrap();
        let real: Vec<(u32, BTreeSet<String>)> = contents
            .iter()
            .map(|entry| {
                let names = entry.system_flags().names().map(str::to_owned);
                let keywords = entry.keywords().map(|k| k.as_str().to_owned());
                (entry.uid().get(), names.chain(keywords).collect())
            })
            .collect();
        let known: Vec<(u32, BTreeSet<String>)> = self
            .messages
            .iter()
            .map(|m| (m.uid.unwrap_or(0), m.flags.clone().unwrap_or_default()))
            .collect();
        self.check(real == known, &format!("mailbox {real:?}\npicture {known:?}"));
    }

    fn connect(&mut self, server: &mut PureServer) {
        server.connect(self.connection);
        let user = if self.who == Who::Guest { Who::GUEST } else { USER };
        self.command(&format!("LOGIN {user} {PASSWORD}"), server);
        match self.dialect {
            Dialect::Plain => {}
            Dialect::Condstore => self.command("ENABLE CONDSTORE", server),
            Dialect::Qresync => self.command("ENABLE QRESYNC", server),
            Dialect::Rev2 => self.command("ENABLE IMAP4rev2", server),
        }
    }

    fn read(&mut self, server: &mut PureServer) -> Vec<Response> {
        let bytes = server.said(self.connection);
        self.transcript.push_str(&String::from_utf8_lossy(&bytes));
        responses(&bytes).unwrap_or_else(|error| {
            self.check(false, &error);
            Vec::new()
        })
    }

    fn take(&mut self, response: &Response, may_expunge: bool) {
        match response {
            Response::Exists(count) => {
                let count = usize::try_from(*count).unwrap();
                self.check(count >= self.messages.len(), "EXISTS falls");
                self.messages.resize(count, Message::default());
            }
            Response::Expunge(seq) => {
                self.check(may_expunge, "EXPUNGE at the wrong time");
                self.check(self.dialect != Dialect::Qresync, "EXPUNGE with QRESYNC");
                let index = seq.get() as usize - 1;
                self.check(index < self.messages.len(), "EXPUNGE of no message");
                self.messages.remove(index);
            }
            Response::Vanished { earlier, uids } => {
                self.check(self.dialect == Dialect::Qresync, "VANISHED without QRESYNC");
                let uids: BTreeSet<u32> = uids.numbers().collect();
                if *earlier {
                    return;
                }
                self.check(may_expunge, "VANISHED at the wrong time");
                let before = self.messages.len();
                self.messages.retain(|m| m.uid.is_none_or(|uid| !uids.contains(&uid)));
                // Among messages whose UID is not known yet, the client has to ask again.
                let unknown = uids.len() - (before - self.messages.len());
                let left = self.messages.len() - unknown;
                self.messages.truncate(left);
                if unknown > 0 {
                    self.messages.iter_mut().for_each(|m| *m = Message::default());
                }
            }
            Response::Fetch { seq, attributes } => self.fetch(seq.get() as usize, attributes),
            Response::Flags(list) => {
                let names = names(list);
                self.check(self.keywords.is_subset(&names), "FLAGS drops a keyword");
                self.keywords = names;
            }
            Response::Recent(_) => self.check(self.dialect != Dialect::Rev2, "RECENT in rev2"),
            Response::Status(status) => self.status(status),
            _ => {}
        }
    }

    fn status(&mut self, status: &Status) {
        match &status.code {
            Some(Code::HighestModSeq(modseq)) => {
                self.check(modseq.get() >= self.highest, "HIGHESTMODSEQ falls");
                self.highest = modseq.get();
            }
            Some(Code::UidValidity(validity)) => self.uid_validity = validity.get(),
            _ => {}
        }
    }

    fn fetch(&mut self, seq: usize, attributes: &[FetchAttribute]) {
        self.check(seq >= 1 && seq <= self.messages.len(), "FETCH of no message");
        let has_modseq = attributes.iter().any(|a| matches!(a, FetchAttribute::ModSeq(_)));
        self.check(!has_modseq || self.dialect != Dialect::Plain, "MODSEQ unasked");
        for attribute in attributes {
            match attribute {
                FetchAttribute::Uid(uid) => {
                    let known = self.messages[seq - 1].uid;
                    self.check(known.is_none_or(|known| known == uid.get()), "the UID changes");
                    self.messages[seq - 1].uid = Some(uid.get());
                }
                FetchAttribute::Flags(list) => {
                    self.check(!list.recent || self.dialect != Dialect::Rev2, "\\Recent in rev2");
                    let mut names = names(list);
                    names.remove("\\Recent");
                    self.check(names.is_subset(&self.keywords), "a keyword without FLAGS");
                    self.messages[seq - 1].flags = Some(names);
                }
                _ => {}
            }
        }
    }

    /// UIDs of the VANISHED (EARLIER) in the last reply.
    fn vanished_earlier(&self) -> BTreeSet<u32> {
        let last = self.transcript.rsplit("C: ").next().unwrap_or_default();
        let line = last.lines().find_map(|line| line.strip_prefix("* VANISHED (EARLIER) "));
        let mut uids = BTreeSet::new();
        for range in line.unwrap_or_default().split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            uids.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
        }
        uids
    }

    #[track_caller]
    fn check(&self, holds: bool, complaint: &str) {
        assert!(
            holds,
            "seed {}, {:?} client of {:?}: {complaint}\n{}",
            self.seed, self.dialect, self.who, self.transcript
        );
    }
}

fn names(list: &FlagList) -> BTreeSet<String> {
    let system = list.flags.system.names().map(str::to_owned);
    let keywords = list.flags.keywords().iter().map(|k| k.as_str().to_owned());
    system.chain(keywords).collect()
}
