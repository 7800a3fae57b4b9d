//! Where a mailbox is: in the session's own account, or in another one that shares it.
//!
//! The mailboxes of others stand below two names: `Other Users/OWNER/…` and, for accounts that
//! belong to nobody, `Shared Folders/NAME/…`. RFC 2342 §5. An account that is named so is visited
//! for one command ([`Need::Visit`]), or longer if a mailbox of it is selected. Everything that a
//! command needs is asked of one place at a time: [`crate::Session::place`].
//!
//! What the session may not see is answered as what does not exist. RFC 4314 §6

use std::sync::Arc;

use imap_proto::types::{InvalidName, MailboxArg};
use mail_types::{AccountId, MailboxId, MailboxName};
use mailbox::{Account, Actor, Audience, Mailbox, Rights};

use crate::reply::{Flow, Reply, Run, wait};
use crate::state::State;
use crate::{Answer, Need, errors};

/// The account that a session asks something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its own.
    Own,
    /// That of the selected mailbox, which may be its own.
    Selected,
    /// The one that the command has visited last.
    Visited,
}

/// Whose mailbox is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// The session's own account.
    Own,
    /// Another account.
    Guest(Arc<Guest>),
}

/// Another account, as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) space: Space,
    /// The login name of the account.
    pub(crate) owner: String,
    /// The session's own account: whose private annotations of messages there are its own.
    pub(crate) reader: AccountId,
    /// What makes ids of this account differ from those of all others.
    pub(crate) mark: String,
}

/// A namespace of mailboxes that are not the session's own. RFC 2342 §5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    OtherUsers,
    Shared,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A mailbox of the own account, which may exist or not.
    Own(MailboxName),
    /// One of another account.
    Guest { space: Space, owner: String, name: MailboxName },
    /// A name that only leads to those of others.
    Between,
}

impl Space {
    pub(crate) const ALL: [Self; 2] = [Self::OtherUsers, Self::Shared];

    /// The name above all others of this namespace.
    pub(crate) fn top(self) -> &'static str {
        match self {
            Self::OtherUsers => "Other Users",
            Self::Shared => "Shared Folders",
        }
    }

    /// In which one the mailboxes of an account stand.
    pub(crate) fn of(owner: &str, state: &State) -> Self {
        match state.config.shared_accounts.iter().any(|name| name == owner) {
            true => Self::Shared,
            false => Self::OtherUsers,
        }
    }

    /// Whether the user has made a mailbox of this name: it is not taken away, and hides the
    /// namespace.
    pub(crate) fn is_hidden_by(self, account: &Account) -> bool {
        let Ok(top) = MailboxName::new(self.top()) else { return true };
        account.by_name(&top).is_some() || account.below(&top).next().is_some()
    }
}

impl Guest {
    /// The name by which the session knows a mailbox of this account; `None` if it is too long, or
    /// if it would be one of another account: a login name may hold the separator.
    pub(crate) fn full_name(&self, inner: &MailboxName) -> Option<MailboxName> {
        let separator = MailboxName::SEPARATOR;
        if self.owner.contains(separator) {
            return None;
        }
        let top = self.space.top();
        MailboxName::new(&format!("{top}{separator}{}{separator}{inner}", self.owner)).ok()
    }

    /// An id that is unique in this account as one that is unique in the server. RFC 8474 §4
    pub(crate) fn object_id(&self, id: &str) -> String {
        format!("{id}-{}", self.mark)
    }

    /// The id as it is in this account.
    pub(crate) fn inner_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        id.strip_suffix(self.mark.as_str())?.strip_suffix('-')
    }
}

/// Whether a name is one that stands for mailboxes of others, unless the user has taken it.
pub(crate) fn is_of_others(name: &MailboxName) -> bool {
    Space::ALL.into_iter().any(|space| name.parts().next() == Some(space.top()))
}

/// What a name stands for, whether such a mailbox exists or not.
pub(crate) fn named(name: MailboxName, run: &Run<'_>) -> Named {
    let space = Space::ALL.into_iter().find(|space| name.parts().next() == Some(space.top()));
    let Some(space) = space else { return Named::Own(name) };
    if run.account.is_none_or(|account| space.is_hidden_by(account)) {
        return Named::Own(name);
    }
    let mut parts = name.parts().skip(1);
    let owner = parts.next().unwrap_or_default().to_owned();
    let separator = MailboxName::SEPARATOR.to_string();
    let inner = MailboxName::new(&parts.collect::<Vec<_>>().join(&separator));
    match inner {
        Ok(name) if Space::of(&owner, run.state) == space => Named::Guest { space, owner, name },
        _ => Named::Between,
    }
}

/// What stands in a command for a mailbox that is to exist.
pub(crate) fn existing(
    mailbox: &MailboxArg,
    missing: fn() -> Reply,
    run: &mut Run<'_>,
    then: impl FnOnce(MailboxName, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    match mailbox.name(run.state.names()) {
        Ok(name) => go(named(name, run), missing, run, then),
        Err(_) => Err(errors::no_such_mailbox()),
    }
}

/// What stands in a command for a mailbox that may have to be made.
pub(crate) fn new(
    mailbox: &MailboxArg,
    missing: fn() -> Reply,
    run: &mut Run<'_>,
    then: impl FnOnce(MailboxName, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let name: Result<MailboxName, InvalidName> = mailbox.name(run.state.names());
    let name = name.map_err(errors::bad_name)?;
    go(named(name, run), missing, run, then)
}

/// Goes on in the account that a name belongs to, with the name as it is there.
pub(crate) fn go(
    named: Named,
    missing: fn() -> Reply,
    run: &mut Run<'_>,
    then: impl FnOnce(MailboxName, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    match named {
        Named::Own(name) => {
            run.state.place = Place::Own;
            then(name, run)
        }
        Named::Between => Err(missing()),
        Named::Guest { space, owner, name } => {
            wait(Need::Visit(owner.clone()), move |answer, run| match answer {
                Answer::Visited(Some(mark)) => {
                    run.state.visited =
                        Some(Arc::new(Guest { space, owner, reader: run.state.user_id, mark }));
                    run.state.place = Place::Visited;
                    then(name, run)
                }
                Answer::Visited(None) => Err(missing()),
                other => Err(errors::unexpected(&other)),
            })
        }
    }
}

/// The mailbox of this name in the account that is asked now, if the session has these rights. With
/// others, but not these, it is told that it exists only if it may be looked up. RFC 4314 §4, §6
pub(crate) fn find<'a>(
    name: &MailboxName,
    rights: Rights,
    missing: fn() -> Reply,
    run: &Run<'a>,
) -> Result<&'a Mailbox, Reply> {
    let account = run.account()?;
    let mailbox = account.by_name(name).ok_or_else(missing)?;
    let granted = account.rights(mailbox.record().id, &run.state.actor());
    if granted.contains(rights) {
        Ok(mailbox)
    } else if granted.contains(Rights::LOOKUP) {
        Err(errors::no_permission())
    } else {
        Err(missing())
    }
}

/// Whether the session has these rights on the selected mailbox.
pub(crate) fn check_selected(rights: Rights, run: &Run<'_>) -> Result<(), Reply> {
    match run.state.selected.as_ref().is_none_or(|it| it.rights.contains(rights)) {
        true => Ok(()),
        false => Err(errors::no_permission()),
    }
}

impl State {
    /// Which account what is asked now belongs to; `None` if it is the session's own.
    pub(crate) fn guest(&self) -> Option<&Arc<Guest>> {
        match self.place {
            Place::Own => None,
            Place::Selected => self.selected.as_ref().and_then(|it| it.home.guest()),
            Place::Visited => self.visited.as_ref(),
        }
    }

    /// As whom the session acts where it asks now.
    pub(crate) fn actor(&self) -> Actor {
        self.actor_among(self.guest())
    }

    /// Who the session's user is among the readers of the account that is asked now. RFC 5257 §3.3
    pub(crate) fn audience(&self) -> Audience {
        self.guest().map_or(Audience::Owner, |guest| Audience::Reader(guest.reader))
    }

    /// As whom the session acts in the selected mailbox.
    pub(crate) fn selected_actor(&self) -> Actor {
        self.actor_among(self.selected.as_ref().and_then(|selected| selected.home.guest()))
    }

    fn actor_among(&self, guest: Option<&Arc<Guest>>) -> Actor {
        guest.map_or(Actor::Owner, |_| Actor::Guest(Arc::clone(&self.user)))
    }

    /// Whether this mailbox of the account that is asked now is the selected one.
    pub(crate) fn is_selected(&self, mailbox: MailboxId) -> bool {
        self.selected
            .as_ref()
            .is_some_and(|it| it.mailbox == mailbox && it.home.guest() == self.guest())
    }

    /// The selected mailbox, if it is one of the session's own account.
    pub(crate) fn own_selected(&self) -> Option<&crate::state::Selected> {
        self.selected.as_ref().filter(|selected| selected.home == Home::Own)
    }

    /// The name that the client knows for a mailbox of the account that is asked now.
    pub(crate) fn told_name(&self, inner: &MailboxName) -> MailboxName {
        let full = self.guest().and_then(|guest| guest.full_name(inner));
        full.unwrap_or_else(|| inner.clone())
    }

    /// The id that the client knows for an object of the account that is asked now.
    pub(crate) fn object_id(&self, id: impl ToString) -> String {
        let id = id.to_string();
        self.guest().map_or_else(|| id.clone(), |guest| guest.object_id(&id))
    }
}

impl Home {
    /// Who the session's user is among the readers of the mailbox. RFC 5257 §3.3
    pub(crate) fn audience(&self) -> Audience {
        match self {
            Self::Own => Audience::Owner,
            Self::Guest(guest) => Audience::Reader(guest.reader),
        }
    }

    /// The id as it is in the account.
    pub(crate) fn inner_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        match self {
            Self::Own => Some(id),
            Self::Guest(guest) => guest.inner_id(id),
        }
    }

    pub(crate) fn guest(&self) -> Option<&Arc<Guest>> {
        match self {
            Self::Own => None,
            Self::Guest(guest) => Some(guest),
        }
    }
}
