//! The mailboxes of others that LIST shows: those that the session may look up, and what leads to
//! them. RFC 4314 §4

use std::sync::Arc;

use imap_proto::types::StatusValue;
use mail_types::{MailboxId, MailboxName};
use mailbox::tree::Node;
use mailbox::{Account, Actor, MailboxRecord, Rights};

use crate::Sharer;
use crate::place::{Guest, Space};
use crate::reply::Run;

/// Mailboxes of other accounts, by the names that the session knows.
#[derive(Default)]
pub(super) struct Others {
    names: Vec<MailboxName>,
    /// In the same order.
    mailboxes: Vec<Other>,
}

/// One of them.
pub(super) struct Other {
    pub(super) account: Account,
    pub(super) id: MailboxId,
    pub(super) rights: Rights,
    guest: Arc<Guest>,
}

impl Others {
    /// Those that may be looked up.
    pub(super) fn new(sharers: Vec<Sharer>, run: &Run<'_>) -> Self {
        let mut others = Self::default();
        let actor = Actor::Guest(Arc::clone(&run.state.user));
        for Sharer { name, mark, account } in sharers {
            let space = Space::of(&name, run.state);
            if run.account.is_none_or(|own| space.is_hidden_by(own)) {
                continue;
            }
            let guest = Arc::new(Guest { space, owner: name, reader: run.state.user_id, mark });
            for (inner, id) in account.names() {
                let rights = account.rights(id, &actor);
                let full = guest.full_name(inner).filter(|_| rights.contains(Rights::LOOKUP));
                let Some(full) = full else { continue };
                let (account, guest) = (account.clone(), Arc::clone(&guest));
                others.names.push(full);
                others.mailboxes.push(Other { account, id, rights, guest });
            }
        }
        others
    }

    pub(super) fn names(&self) -> &[MailboxName] {
        &self.names
    }

    pub(super) fn of(&self, node: &Node) -> Option<&Other> {
        self.mailboxes.get(node.other?)
    }
}

impl Other {
    pub(super) fn record(&self) -> Option<&MailboxRecord> {
        self.account.mailbox(self.id).map(|mailbox| mailbox.record())
    }

    /// The values of STATUS with the id that the session knows.
    pub(super) fn told(&self, mut values: Vec<StatusValue>) -> Vec<StatusValue> {
        for value in &mut values {
            if let StatusValue::MailboxId(id) = value {
                *id = self.guest.object_id(id);
            }
        }
        values
    }
}

/// Whether a pattern may match names of others: most do not begin so.
pub(super) fn may_be_named(pattern: &str) -> bool {
    let literal = pattern.split(['*', '%']).next().unwrap_or_default();
    Space::ALL
        .into_iter()
        .any(|space| space.top().starts_with(literal) || literal.starts_with(space.top()))
}
