//! A client that keeps results of searches by what it is told of them.

use std::collections::{BTreeMap, BTreeSet};

use imap_proto::types::{
    Esearch, Numbering, Response, SearchUpdate, SequenceSet, Status, StatusKind, StatusTarget,
};
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
    transcript: String,
}

/// A result that is kept up to date.
struct Kept {
    key: &'static str,
    numbering: Numbering,
    numbers: BTreeSet<u32>,
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
    pub fn watch(&mut self, prefix: &str, key: &'static str, server: &mut PureServer) {
        if self.results.len() > 8 {
            return;
        }
        let numbering = if prefix.is_empty() { Numbering::Sequence } else { Numbering::Uid };
        // Registered before the answer: updates may come with it.
        let tag = format!("t{}", self.tag_count + 1);
        self.results.insert(tag, Kept { key, numbering, numbers: BTreeSet::new() });
        self.ask(&format!("{prefix}SEARCH RETURN (UPDATE ALL) {key}"), server);
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
        let kept: Vec<(String, &'static str, Numbering)> =
            self.results.iter().map(|(tag, r)| (tag.clone(), r.key, r.numbering)).collect();
        for (tag, key, numbering) in kept {
            let prefix = if numbering == Numbering::Uid { "UID " } else { "" };
            let found = self.found(&format!("{prefix}SEARCH RETURN (ALL) {key}"), server);
            let numbers: Vec<u32> = self.results[&tag].numbers.iter().copied().collect();
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
        responses
    }

    fn take(&mut self, response: &Response) {
        match response {
            Response::Exists(count) => self.exists = *count,
            Response::Expunge(seq) => self.expunged(seq.get()),
            Response::Vanished { earlier: false, uids } => self.vanished(uids),
            Response::Esearch(reply) => self.take_result(reply),
            _ => {}
        }
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
                self.check(*position == 0, "a position");
                for number in set.numbers() {
                    let is_news = match update {
                        SearchUpdate::AddTo(_) => kept.numbers.insert(number),
                        SearchUpdate::RemoveFrom(_) => kept.numbers.remove(&number),
                    };
                    self.check(is_news, "an update that is none");
                    let is_valid = kept.numbering == Numbering::Uid || number <= self.exists;
                    self.check(is_valid, "a number above EXISTS");
                }
            }
        }
        self.results.insert(tag.clone(), kept);
    }

    fn check(&self, holds: bool, what: &str) {
        assert!(holds, "seed {}: {what}\n{}", self.seed, self.transcript);
    }
}
