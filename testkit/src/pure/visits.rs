//! Accounts of others that a connection of the server in memory sees, and what it needs there.

use imap_session::{Answer, CopyRequest, Place, SetAclRequest, Sharer};
use mailbox::{Actor, CopyOutcome, Identifier, Operation, Outcome, Refusal, Rights};

use super::home::Item;
use super::{Connection, PureServer};

/// Which accounts are open besides the connection's own.
#[derive(Default)]
pub(super) struct Visits {
    /// That of the selected mailbox, if it is another's.
    pub(super) selected: Option<usize>,
    /// The one that the command is visiting.
    pub(super) visited: Option<usize>,
}

impl Connection {
    /// The account that the session asks something of.
    pub(super) fn asked(&self) -> usize {
        self.home_at(self.session.place())
    }

    fn home_at(&self, place: Place) -> usize {
        let Visits { selected, visited } = self.visits;
        let other = match place {
            Place::Own => None,
            Place::Selected => selected.filter(|_| self.session.is_guest()),
            Place::Visited => visited.or(selected),
        };
        other.unwrap_or(self.own)
    }

    /// The account of the messages that are written.
    pub(super) fn written(&self) -> usize {
        self.lent.unwrap_or_else(|| self.asked())
    }

    pub(super) fn stay(&mut self) -> Answer {
        self.visits.selected = self.visits.visited.take();
        Answer::Ready
    }

    /// A command has ended.
    pub(super) fn end_visits(&mut self) {
        self.visits.visited = None;
        if !self.session.is_guest() {
            self.visits.selected = None;
        }
    }
}

impl PureServer {
    /// As whom a connection acts in an account.
    pub(super) fn actor(&self, home: usize, state: &Connection) -> Actor {
        if home == state.own {
            return Actor::Owner;
        }
        Actor::Guest(self.homes[state.own].name.as_str().into())
    }

    pub(super) fn submit(&mut self, state: &Connection, operation: &Operation) -> Answer {
        let (home, actor) = (state.asked(), self.actor(state.asked(), state));
        Answer::Submitted(self.homes[home].submit(&actor, operation, self.now))
    }

    pub(super) fn visit(&self, state: &mut Connection, owner: &str) -> Answer {
        let me = self.homes[state.own].name.as_str();
        let home = self.homes.iter().position(|home| home.name == owner);
        let home = home.filter(|home| *home != state.own && self.homes[*home].shares_with(me));
        state.visits.visited = home.or(state.visits.visited);
        Answer::Visited(home.map(mark))
    }

    pub(super) fn sharers(&self, state: &Connection) -> Answer {
        let me = self.homes[state.own].name.as_str();
        let others = self.homes.iter().enumerate().filter(|(at, _)| *at != state.own);
        let sharers = others.filter(|(_, home)| home.shares_with(me));
        let mut sharers: Vec<Sharer> = sharers
            .map(|(at, home)| Sharer {
                name: home.name.clone(),
                mark: mark(at),
                account: home.visible(),
            })
            .collect();
        sharers.sort_by(|a, b| a.name.cmp(&b.name));
        Answer::Sharers(sharers)
    }

    pub(super) fn set_acl(&mut self, state: &Connection, request: SetAclRequest) -> Answer {
        let SetAclRequest { mailbox, identifier, change } = request;
        match prepared(&identifier) {
            Some(identifier) => {
                self.submit(state, &Operation::SetAcl { mailbox, identifier, change })
            }
            None => Answer::BadIdentifier,
        }
    }

    pub(super) fn copy_across(&mut self, state: &Connection, request: &CopyRequest) -> Answer {
        let (source, target) = (state.home_at(Place::Selected), state.home_at(request.place));
        if source == target {
            let CopyRequest { from, uids, to, .. } = request;
            let operation = Operation::Copy { from: *from, to: *to, uids: uids.clone() };
            let actor = self.actor(source, state);
            return Answer::Submitted(self.homes[source].submit(&actor, &operation, self.now));
        }
        Answer::Submitted(self.copy(state, request, source, target).map(Outcome::Copied))
    }

    fn copy(
        &mut self,
        state: &Connection,
        request: &CopyRequest,
        source: usize,
        target: usize,
    ) -> Result<CopyOutcome, Refusal> {
        let from = &self.homes[source];
        let reader = self.actor(source, state);
        let mailbox = from.account.mailbox(request.from).ok_or(Refusal::NonExistent)?;
        let rights = from.account.rights(request.from, &reader);
        if !rights.contains(Rights::READ) {
            return Err(Refusal::NoPermission { visible: rights.contains(Rights::LOOKUP) });
        }
        let contents = mailbox.contents().ok_or(Refusal::NonExistent)?;
        let mut copied = mail_types::UidSet::new();
        let mut items: Vec<Item> = Vec::new();
        for (_, entry) in contents.select(&request.uids) {
            let bytes = from.bytes(entry.message()).unwrap_or_default().to_vec();
            // What is private stays with whose it is. RFC 5257 §4.6
            let annotations = entry.annotations().shared();
            let (flags, date) = (entry.flags(), entry.internal_date());
            items.push(Item { bytes, flags, date, annotations });
            copied.insert(entry.uid());
        }
        let writer = self.actor(target, state);
        match self.homes[target].add(&writer, request.to, items, self.now)? {
            Outcome::Added { uid_validity, uids, modseq, .. } => {
                Ok(CopyOutcome { uid_validity, source: copied, target: uids, modseq })
            }
            other => panic!("{other:?} for messages that were added"),
        }
    }
}

/// What makes the ids of an account differ from those of others.
fn mark(home: usize) -> String {
    format!("A{home}")
}

/// An identifier in its one spelling; without all that RFC 4013 says.
fn prepared(identifier: &str) -> Option<Identifier> {
    let is_none = |c: char| c.is_whitespace() || c.is_control();
    if identifier.chars().any(is_none) {
        return None;
    }
    Identifier::new(&identifier.to_lowercase()).ok()
}
