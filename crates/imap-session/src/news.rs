//! What a client that has used NOTIFY is told without asking: at the end of a command, in IDLE and
//! between commands. RFC 5465

use imap_proto::types::{
    Code, ListAttribute, ListReply, Response, Status, StatusKind, StatusReply,
};
use mail_types::{MailboxId, MailboxName, Uid, UidSet};

use crate::cmd::{attributes_of, settle, status_values};
use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::state::State;
use crate::sync::{self, CaughtUp, Silence, Told};
use crate::watch::{Notice, Watch};
use crate::{Need, metadata, render};

/// What of the selected mailbox may be told as news: all that may be, unless NOTIFY was used and
/// did not ask for it. RFC 5465 §3.1
pub(crate) fn limit(told: Told, state: &State) -> Told {
    match &state.watch {
        Some(watch) if watch.selected.is_none() => Told::Nothing,
        _ => told,
    }
}

/// What may be told between two commands. RFC 5465 §6.1
pub(crate) fn told_between_commands(state: &State) -> Told {
    let selected = state.watch.as_ref().and_then(|watch| watch.selected.as_ref());
    match selected {
        Some(selected) if selected.is_delayed => Told::NoExpunge,
        Some(_) => Told::Everything,
        None => Told::Nothing,
    }
}

/// Whether a client is told of flags that others change in the selected mailbox. RFC 5465 §5.1
pub(crate) fn wants_flags(state: &State) -> bool {
    let Some(watch) = &state.watch else { return true };
    watch.selected.as_ref().is_some_and(|selected| selected.flags)
}

/// Whether a client is told of annotations that others change in the selected mailbox: by the
/// parameter of SELECT, unless NOTIFY was used, which decides alone then. RFC 5257 §4.4, RFC 5465
/// §5.1
pub(crate) fn wants_annotations(state: &State) -> bool {
    match &state.watch {
        Some(watch) => watch.selected.as_ref().is_some_and(|selected| selected.annotations),
        None => state.selected.as_ref().is_some_and(|selected| selected.annotate),
    }
}

/// Notes which messages have arrived, if items of them are to be told.
pub(crate) fn note_arrivals(first: Uid, last: Uid, state: &mut State) {
    let Some(watch) = &mut state.watch else { return };
    if watch.selected.as_ref().is_some_and(|selected| !selected.items.is_empty()) && first <= last {
        watch.fresh = watch.fresh.union(&UidSet::range(first, last));
    }
}

/// Notes messages that this session has put into the selected mailbox. RFC 5465 §5.2
pub(crate) fn note_own(mailbox: MailboxId, uids: &UidSet, state: &mut State) {
    if !state.is_selected(mailbox) {
        return;
    }
    let Some(selected) = state.selected.as_mut() else { return };
    if let Some(watch) = &mut state.watch {
        watch.own = watch.own.union(uids);
    }
    for context in selected.contexts.iter_mut().filter(|context| context.tells_items()) {
        context.note_own(uids);
    }
}

/// Tells all that is wanted and may be told now.
///
/// Ends with an OK that is not written, or with a reply that closes: then the selected mailbox is
/// gone.
pub(crate) fn tell(told: Told, run: &mut Run<'_>) -> Flow {
    match sync::advance(limit(told, run.state), Silence::None, run) {
        CaughtUp::Yes => tell_rest(run),
        CaughtUp::Gone => Err(gone()),
        CaughtUp::NotLoaded(mailbox) => wait_ready(Need::Open(mailbox), move |run| {
            match sync::advance(limit(told, run.state), Silence::None, run) {
                // What cannot be loaded now is told another time.
                CaughtUp::Yes | CaughtUp::NotLoaded(_) => tell_rest(run),
                CaughtUp::Gone => Err(gone()),
            }
        }),
    }
}

fn gone() -> Reply {
    Reply::no("The selected mailbox was deleted").closing("The selected mailbox was deleted")
}

fn tell_rest(run: &mut Run<'_>) -> Flow {
    tell_others(run);
    if fresh(run.state).len() > Watch::FRESH_MAX {
        overflow(run);
    }
    // Last, new messages are told, and searches whose changes are told read those that came or
    // changed. RFC 5267 §4.3.2
    settle::begin(run).unwrap_or_else(|| end(Reply::ok("Told")))
}

/// Messages that have arrived, not by this session's doing, and of which items are to be told.
pub(crate) fn fresh(state: &State) -> UidSet {
    state.watch.as_ref().map_or_else(UidSet::new, |watch| watch.fresh.difference(&watch.own))
}

/// Tells what changed in other mailboxes, and their names.
fn tell_others(run: &mut Run<'_>) {
    let selected = run.state.own_selected().map(|it| (it.mailbox, it.view.settled()));
    let (Some(account), Some(watch)) = (run.account, &mut run.state.watch) else { return };
    let Ok(notices) = watch.look(account, selected, run.state.enabled.condstore) else {
        return overflow(run);
    };
    for notice in notices {
        match notice {
            Notice::Name { name, old_name } => tell_name(&name, old_name.as_ref(), run),
            Notice::Metadata { target, names } => {
                metadata::tell_names(account, target, names, run);
            }
            Notice::Status { mailbox, items } => {
                if let Some(mailbox) = account.mailbox(mailbox) {
                    let record = mailbox.record();
                    let values = status_values(&items, record, run.state.config.append_limit);
                    let mailbox = render::name(&record.name, run.state.names());
                    run.write(&Response::StatusData(StatusReply { mailbox, values }));
                }
            }
        }
    }
}

/// Too much is going on: from now on nothing is told, and the client knows it. RFC 5465 §5.8
pub(crate) fn overflow(run: &mut Run<'_>) {
    run.state.watch = Some(Box::default());
    let status = Status::untagged(StatusKind::Ok, "Too many events; none is told any more");
    run.write(&Response::Status(status.with_code(Code::NotificationOverflow)));
}

/// LIST with the attributes that the name has now. RFC 5465 §5.4, §5.5
fn tell_name(name: &MailboxName, old_name: Option<&MailboxName>, run: &mut Run<'_>) {
    let Some(account) = run.account else { return };
    let mut attributes = match account.by_name(name) {
        Some(mailbox) => attributes_of(account, mailbox),
        None if account.below(name).next().is_some() => {
            vec![ListAttribute::NonExistent, ListAttribute::HasChildren]
        }
        None => vec![ListAttribute::NonExistent],
    };
    if account.is_subscribed(name) {
        attributes.push(ListAttribute::Subscribed);
    }
    let names = run.state.names();
    run.write(&Response::List(ListReply {
        attributes,
        delimiter: Some(MailboxName::SEPARATOR),
        mailbox: render::name(name, names),
        child_info: Vec::new(),
        old_name: old_name.map(|old| render::name(old, names)),
    }));
}
