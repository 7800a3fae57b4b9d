//! A client that keeps results of searches by what it is told of them.

use std::collections::{BTreeMap, BTreeSet};

use imap_proto::types::{
    Code, Esearch, FetchAttribute, Numbering, Response, SearchUpdate, SequenceSet, Status,
    StatusKind, StatusTarget,
};
use mail_types::UidValidity;
use testkit::pure::{PureServer, responses};
use testkit::script::Peer;

/// One client.
pub struct Client {
    connection: usize,
    seed: u64,
    tag_count: u32,
    exists: u32,
    /// By tag.
    results: BTreeMap<String, Kept>,
    /// Messages of which items were told, by number and UID, and that no result has yet.
    fetched: Vec<(u32, u32)>,
    /// UIDs of all of which items were told.
    items_told: BTreeSet<u32>,
    /// The UIDVALIDITY of the selected mailbox.
    selected: Option<UidValidity>,
    /// UIDs that this client itself has made.
    own: BTreeSet<u32>,
    /// Whether it no longer knows what became of a result that it is told of.
    has_given_up: bool,
    transcript: String,
}

/// What is to be kept.
pub struct Watched {
    pub prefix: &'static str,
    pub key: &'static str,
    /// The criteria of a SORT; `None` for a SEARCH.
    pub order: Option<&'static str>,
    /// Whether items of new messages are to be told.
    pub has_items: bool,
}

/// A result that is kept up to date.
struct Kept {
    key: &'static str,
    /// The criteria of a SORT; `None` for a SEARCH.
    order: Option<&'static str>,
    /// Whether items of new messages are told.
    has_items: bool,
    numbering: Numbering,
    /// In the order of the result.
    numbers: Vec<u32>,
}

impl Client {
    pub fn start(connection: usize, seed: u64, server: &mut PureServer) -> Self {
        server.connect(connection);
        let mut client = Self {
            connection,
            seed,
            tag_count: 0,
            exists: 0,
            results: BTreeMap::new(),
            fetched: Vec::new(),
            items_told: BTreeSet::new(),
            selected: None,
            own: BTreeSet::new(),
            has_given_up: false,
            transcript: String::new(),
        };
        client.read(server);
        let (user, password) = server.credentials();
        client.ask(&format!("LOGIN {user} {password}"), server);
        client
    }

    /// One command, which must succeed.
    pub fn ask(&mut self, command: &str, server: &mut PureServer) -> Vec<Response> {
        let (kind, responses) = self.run(command, server);
        self.check(kind == Some(StatusKind::Ok), "no OK");
        responses
    }

    /// One command, which may fail.
    pub fn try_ask(&mut self, command: &str, server: &mut PureServer) {
        let (kind, _) = self.run(command, server);
        self.check(kind.is_some_and(|kind| kind != StatusKind::Bad), "BAD, or no answer");
    }

    /// The numbers that an extended SEARCH finds.
    pub fn found(&mut self, command: &str, server: &mut PureServer) -> Vec<u32> {
        let responses = self.ask(command, server);
        let tag = format!("t{}", self.tag_count);
        let all = responses.iter().find_map(|response| match response {
            Response::Esearch(Esearch { tag: Some(found), all, .. }) if *found == tag => {
                Some(all.clone().unwrap_or_default())
            }
            _ => None,
        });
        self.check(all.is_some(), "no ESEARCH");
        all.iter().flat_map(SequenceSet::numbers).collect()
    }

    /// Begins to keep a result.
    pub fn watch(&mut self, wanted: Watched, server: &mut PureServer) {
        if self.results.len() > 8 {
            return;
        }
        let Watched { prefix, key, order, has_items } = wanted;
        let numbering = if prefix.is_empty() { Numbering::Sequence } else { Numbering::Uid };
        // Registered before the answer: updates may come with it.
        let tag = format!("t{}", self.tag_count + 1);
        self.results.insert(tag, Kept { key, order, has_items, numbering, numbers: Vec::new() });
        let items = if has_items { " (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])" } else { "" };
        let command = command(prefix, order, &format!("UPDATE{items} ALL"), key);
        self.ask(&command, server);
    }

    /// Gives one of the results up.
    pub fn cancel_one(&mut self, which: usize, server: &mut PureServer) {
        let Some(tag) = self.results.keys().nth(which).cloned() else { return };
        self.results.remove(&tag);
        self.ask(&format!("CANCELUPDATE \"{tag}\""), server);
    }

    pub fn start_idle(&mut self, server: &mut PureServer) {
        self.tag_count += 1;
        self.send(&format!("t{} IDLE", self.tag_count), server);
        self.read(server);
    }

    pub fn end_idle(&mut self, server: &mut PureServer) {
        self.read(server);
        self.send("DONE", server);
        self.read(server);
    }

    /// Every result that is kept against a new search, when everything has been told.
    pub fn compare(&mut self, server: &mut PureServer) {
        self.ask("NOOP", server);
        let tags: Vec<String> = self.results.keys().cloned().collect();
        for tag in tags {
            let Kept { key, order, numbering, .. } = self.results[&tag];
            let prefix = if numbering == Numbering::Uid { "UID " } else { "" };
            let found = self.found(&command(prefix, order, "ALL", key), server);
            let numbers = self.results[&tag].numbers.clone();
            self.check(found == numbers, &format!("{tag} {key}: {found:?}, kept {numbers:?}"));
        }
    }

    fn run(
        &mut self,
        command: &str,
        server: &mut PureServer,
    ) -> (Option<StatusKind>, Vec<Response>) {
        self.tag_count += 1;
        let tag = format!("t{}", self.tag_count);
        self.send(&format!("{tag} {command}"), server);
        let responses = self.read(server);
        let kind = responses.iter().find_map(|response| match response {
            Response::Status(Status { target: StatusTarget::Tagged(found), kind, .. })
                if found.as_str() == tag =>
            {
                Some(*kind)
            }
            _ => None,
        });
        (kind, responses)
    }

    fn send(&mut self, line: &str, server: &mut PureServer) {
        self.transcript.push_str(&format!("C: {line}\n"));
        server.send(self.connection, format!("{line}\r\n").as_bytes());
    }

    fn read(&mut self, server: &mut PureServer) -> Vec<Response> {
        let bytes = server.said(self.connection);
        self.transcript.push_str(&String::from_utf8_lossy(&bytes));
        let responses = responses(&bytes).unwrap_or_else(|error| {
            self.check(false, &error);
            Vec::new()
        });
        for response in &responses {
            self.take(response);
        }
        // Items are told of what becomes part of a result, and only then. RFC 5465 §7
        let is_used = std::mem::take(&mut self.fetched).is_empty() || self.has_given_up;
        self.check(is_used, "items of a message that no result has");
        self.check(self.items_told.is_disjoint(&self.own), "items of an own message");
        responses
    }

    fn take(&mut self, response: &Response) {
        match response {
            Response::Exists(count) => self.exists = *count,
            Response::Expunge(seq) => self.expunged(seq.get()),
            Response::Vanished { earlier: false, uids } => self.vanished(uids),
            Response::Esearch(reply) => self.take_result(reply),
            Response::Fetch { seq, attributes } => self.take_items(seq.get(), attributes),
            Response::Status(Status { code: Some(code), .. }) => match code {
                Code::UidValidity(selected) => self.selected = Some(*selected),
                Code::CopyUid { uid_validity, target, .. }
                    if self.selected == Some(*uid_validity) =>
                {
                    self.own.extend(target.numbers());
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Items of a new message, which come once, and before the results that it is part of.
    fn take_items(&mut self, seq: u32, attributes: &[FetchAttribute]) {
        let is_section = |one: &FetchAttribute| matches!(one, FetchAttribute::Section { .. });
        if !attributes.iter().any(is_section) {
            return;
        }
        let uid = attributes.iter().find_map(|attribute| match attribute {
            FetchAttribute::Uid(uid) => Some(uid.get()),
            _ => None,
        });
        let uid = uid.unwrap_or_default();
        let is_first = self.items_told.insert(uid);
        self.check(is_first && uid > 0, "items without UID, or told twice");
        self.fetched.push((seq, uid));
    }

    /// What is expunged was removed from every result before; the numbers above it fall.
    fn expunged(&mut self, gone: u32) {
        self.check(gone <= self.exists, "EXPUNGE of no message");
        self.exists -= 1;
        let mut results = std::mem::take(&mut self.results);
        for kept in results.values_mut().filter(|kept| kept.numbering == Numbering::Sequence) {
            self.check(!kept.numbers.contains(&gone), "REMOVEFROM after EXPUNGE");
            let lower = |number: &u32| if *number > gone { number - 1 } else { *number };
            kept.numbers = kept.numbers.iter().map(lower).collect();
        }
        self.results = results;
    }

    /// VANISHED tells UIDs, from which this client cannot tell the numbers; results of numbers are
    /// given up, as a client with QRESYNC does that does not know its UIDs.
    fn vanished(&mut self, uids: &SequenceSet) {
        self.exists -= u32::try_from(uids.numbers().count()).unwrap();
        self.has_given_up |= self.results.values().any(|kept| kept.numbering != Numbering::Uid);
        self.results.retain(|_, kept| kept.numbering == Numbering::Uid);
        for uid in uids.numbers() {
            let is_kept = self.results.values().any(|kept| kept.numbers.contains(&uid));
            self.check(!is_kept, "REMOVEFROM after VANISHED");
        }
    }

    fn take_result(&mut self, reply: &Esearch) {
        let Some(tag) = reply.tag.as_ref() else { return };
        let Some(mut kept) = self.results.remove(tag) else { return };
        self.check(reply.numbering == kept.numbering, "the other kind of numbers");
        kept.numbers.extend(reply.all.iter().flat_map(SequenceSet::numbers));
        for update in &reply.updates {
            let (SearchUpdate::AddTo(pairs) | SearchUpdate::RemoveFrom(pairs)) = update;
            for (position, set) in pairs {
                self.check((*position == 0) == kept.order.is_none(), "a position, or none");
                let numbers: Vec<u32> = set.numbers().collect();
                let is_valid = |number: &u32| *number <= self.exists;
                let all_valid = kept.numbering == Numbering::Uid || numbers.iter().all(is_valid);
                self.check(all_valid, "a number above EXISTS");
                let is_told = |fetched: &(u32, u32)| match kept.numbering {
                    Numbering::Sequence => numbers.contains(&fetched.0),
                    Numbering::Uid => numbers.contains(&fetched.1),
                };
                if kept.has_items {
                    self.fetched.retain(|fetched| !is_told(fetched));
                }
                let is_done = match (update, kept.order) {
                    (SearchUpdate::AddTo(_), None) => add(&mut kept.numbers, &numbers),
                    (SearchUpdate::RemoveFrom(_), None) => remove(&mut kept.numbers, &numbers),
                    (SearchUpdate::AddTo(_), Some(_)) => {
                        insert_at(&mut kept.numbers, *position, &numbers)
                    }
                    (SearchUpdate::RemoveFrom(_), Some(_)) => {
                        remove_at(&mut kept.numbers, *position, &numbers)
                    }
                };
                self.check(is_done, "an update that is none, or at the wrong place");
            }
        }
        self.results.insert(tag.clone(), kept);
    }

    fn check(&self, holds: bool, what: &str) {
        assert!(holds, "seed {}: {what}\n{}", self.seed, self.transcript);
    }
}

/// A SEARCH, or a SORT.
fn command(prefix: &str, order: Option<&str>, returns: &str, key: &str) -> String {
    match order {
        Some(order) => format!("{prefix}SORT RETURN ({returns}) ({order}) UTF-8 {key}"),
        None => format!("{prefix}SEARCH RETURN ({returns}) {key}"),
    }
}

/// Adds numbers to a result that is in mailbox order; `false` if it has one already.
fn add(result: &mut Vec<u32>, numbers: &[u32]) -> bool {
    numbers.iter().all(|number| match result.binary_search(number) {
        Ok(_) => false,
        Err(index) => {
            result.insert(index, *number);
            true
        }
    })
}

/// Takes numbers out of it; `false` if one of them is not there.
fn remove(result: &mut Vec<u32>, numbers: &[u32]) -> bool {
    numbers.iter().all(|number| result.binary_search(number).map(|at| result.remove(at)).is_ok())
}

/// Inserts numbers at a position, counted from one. RFC 5267 §4.3.3
fn insert_at(result: &mut Vec<u32>, position: u32, numbers: &[u32]) -> bool {
    let at = position as usize - 1;
    let is_new = at <= result.len() && numbers.iter().all(|number| !result.contains(number));
    if is_new {
        result.splice(at..at, numbers.iter().copied());
    }
    is_new
}

/// Takes out the numbers that stand at a position. RFC 5267 §4.3.4
fn remove_at(result: &mut Vec<u32>, position: u32, numbers: &[u32]) -> bool {
    let at = position as usize - 1;
    let stands = result.get(at..at + numbers.len()) == Some(numbers);
    if stands {
        result.drain(at..at + numbers.len());
    }
    stands
}
