//! ESEARCH: a search in several mailboxes. RFC 7377
//!
//! One mailbox after the other: each is loaded, searched, told, and let go before the next, so that
//! a search in all mailboxes needs no more memory than the largest of them. The selected mailbox
//! is searched in the session's own view, which no other mailbox touches.

use std::collections::{BTreeSet, VecDeque};

use imap_proto::types::{Code, MailboxArg, MultiSearch, NameEncoding, Search, SearchSource};
use mail_types::{MailboxId, MailboxName, Uid, UidSet};
use mailbox::{Account, Mailbox, View};

use super::search::{self, Found, Source, context};
use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::state::{Access, Selected};
use crate::{Need, Place, Trouble, errors, render, sync};

/// Most mailboxes in one search. Each is loaded and read through while other clients of the account
/// want their turn. RFC 7377 §2.4
const MAILBOXES_MAX: usize = 2000;

pub(crate) fn begin(multi: MultiSearch, run: &mut Run<'_>) -> Flow {
    check(&multi, run)?;
    search::check_no_charset(&multi.search, run)?;
    search::check(&multi.search, run)?;
    sync::prepare(move |run| plan(multi, run))
}

fn check(multi: &MultiSearch, run: &Run<'_>) -> Result<(), Reply> {
    let has_selected = run.state.selected.is_some();
    let names_selected = match &multi.sources {
        Some(sources) => sources.contains(&SearchSource::Selected),
        None => true,
    };
    let names_other = multi.sources.iter().flatten().any(|s| *s != SearchSource::Selected);
    // RFC 7377 §2.2, all three.
    if names_selected && !has_selected {
        return Err(Reply::bad("No mailbox is selected"));
    }
    if names_other && search::saves(&multi.search) {
        return Err(Reply::bad("SAVE goes with the selected mailbox only"));
    }
    if search::wants_updates(&multi.search) && !has_selected {
        return Err(Reply::bad("UPDATE needs a selected mailbox"));
    }
    Ok(())
}

fn plan(multi: MultiSearch, run: &mut Run<'_>) -> Flow {
    let selected = run.state.own_selected().map(|selected| selected.mailbox);
    let ids = match &multi.sources {
        Some(sources) => chosen(sources, selected, run.account()?, run.state.names()),
        None => selected.into_iter().collect(),
    };
    let mut ids: Ids = ids.into_iter().map(|id| (Place::Own, id)).collect();
    let names_selected =
        multi.sources.as_ref().is_none_or(|it| it.contains(&SearchSource::Selected));
    if let Some(selected) = &run.state.selected
        && names_selected
        && selected.home.guest().is_some()
    {
        ids.push_front((Place::Selected, selected.mailbox));
    }
    if ids.len() > MAILBOXES_MAX {
        return Err(Reply::no("These are too many mailboxes at once").with(Code::Limit));
    }
    // Updates are told of the selected mailbox only. RFC 7377 §2.2
    let selected = run.state.selected.as_ref().map(|selected| match selected.home.guest() {
        Some(_) => (Place::Selected, selected.mailbox),
        None => (Place::Own, selected.mailbox),
    });
    if search::wants_updates(&multi.search) && selected.is_none_or(|it| !ids.contains(&it)) {
        context::refuse(run);
    }
    next(multi.search, ids, run)
}

/// The mailboxes of all sources in ascending order of names, each once. Names of no mailbox are
/// passed over: they must not be told apart from those that a user may not see. RFC 7377 §5
fn chosen(
    sources: &[SearchSource],
    selected: Option<MailboxId>,
    account: &Account,
    names: NameEncoding,
) -> Vec<MailboxId> {
    let mut wanted = Wanted::default();
    for source in sources {
        match source {
            SearchSource::Selected => wanted.selected = selected,
            // Mail may be delivered to every mailbox, by its name in the address. RFC 5465 §6.3
            SearchSource::Inboxes | SearchSource::Personal => wanted.all = true,
            SearchSource::Subscribed => wanted.subscribed = true,
            SearchSource::Subtree(mailboxes) => add(mailboxes, names, &mut wanted.trees),
            SearchSource::SubtreeOne(mailboxes) => add(mailboxes, names, &mut wanted.parents),
            SearchSource::Mailboxes(mailboxes) => add(mailboxes, names, &mut wanted.names),
        }
    }
    let all = account.names().filter(|(name, id)| wanted.has(name, *id, account));
    all.map(|(_, id)| id).collect()
}

fn add(mailboxes: &[MailboxArg], names: NameEncoding, to: &mut BTreeSet<MailboxName>) {
    to.extend(mailboxes.iter().filter_map(|mailbox| mailbox.name(names).ok()));
}

/// What the sources name. Looking each mailbox up in it makes the work that of one LIST, however
/// many sources there are; and as names form a tree, no loop is possible. RFC 7377 §2.2
#[derive(Default)]
struct Wanted {
    selected: Option<MailboxId>,
    all: bool,
    subscribed: bool,
    names: BTreeSet<MailboxName>,
    trees: BTreeSet<MailboxName>,
    parents: BTreeSet<MailboxName>,
}

impl Wanted {
    fn has(&self, name: &MailboxName, id: MailboxId, account: &Account) -> bool {
        self.all
            || self.selected == Some(id)
            || (self.subscribed && account.is_subscribed(name))
            || self.names.contains(name)
            || self.is_child(name)
            || self.is_in_tree(name)
    }

    fn is_child(&self, name: &MailboxName) -> bool {
        !self.parents.is_empty()
            && (self.parents.contains(name)
                || name.parent().is_some_and(|parent| self.parents.contains(&parent)))
    }

    fn is_in_tree(&self, name: &MailboxName) -> bool {
        if self.trees.is_empty() || self.trees.contains(name) {
            return !self.trees.is_empty();
        }
        let mut at = name.parent();
        while let Some(parent) = at {
            if self.trees.contains(&parent) {
                return true;
            }
            at = parent.parent();
        }
        false
    }
}

/// Mailboxes still to be searched: of the own account, and the selected one of another.
type Ids = VecDeque<(Place, MailboxId)>;

/// Goes on with the next mailbox, or ends.
fn next(search: Search, mut ids: Ids, run: &mut Run<'_>) -> Flow {
    while let Some((place, id)) = ids.pop_front() {
        run.state.place = place;
        let account = run.account()?;
        if run.state.is_selected(id) {
            return look(search, id, ids, run);
        }
        // One that was deleted meanwhile is no error.
        let Some(mailbox) = account.mailbox(id) else { continue };
        if mailbox.record().counts.messages == 0 {
            continue;
        }
        if mailbox.contents().is_some() {
            return look(search, id, ids, run);
        }
        return wait_ready(Need::Open(id), move |run| look(search, id, ids, run));
    }
    end(Reply::ok("ESEARCH completed"))
}

/// Searches one mailbox whose contents are there.
fn look(search: Search, id: MailboxId, ids: Ids, run: &mut Run<'_>) -> Flow {
    let Some(mailbox) = run.account()?.mailbox(id) else { return next(search, ids, run) };
    let selected = run.state.selected.as_ref().filter(|_| run.state.is_selected(id));
    let job = match selected {
        Some(selected) => search::job(&search, selected, run),
        None => search::job(&search, &visit(mailbox)?, run),
    };
    let job = match job {
        Ok(job) => job,
        Err(reply) => return search::refused(&search, reply, run),
    };
    let name = run.state.told_name(&mailbox.record().name);
    let name = render::name(&name, run.state.names());
    let source: Source = (name, mailbox.record().uid_validity);
    job.next(
        run,
        Box::new(move |job, run| {
            search::save(&search, &job, run);
            search::tell(&search, &job, Some(source.clone()), run);
            if run.state.is_selected(id) && search::wants_updates(&search) {
                let found = Found { job, source: Some(source), sorted: None };
                context::add(&search, found, run);
            }
            // What was found is sent; and the next mailbox is not looked at from inside this one.
            wait_ready(Need::Flush, move |run| next(search, ids, run))
        }),
    )
}

/// A mailbox as EXAMINE would show it, without being selected.
fn visit(mailbox: &Mailbox) -> Result<Selected, Reply> {
    let contents = mailbox.contents().ok_or_else(|| errors::trouble(Trouble::Unavailable))?;
    let mut view = View::open(contents.clone());
    view.add_recent(&UidSet::range(mailbox.record().recent_mark, Uid::MAX));
    Ok(Selected::new(mailbox.record().id, Access::ReadOnly, view))
}
