//! NOTIFY. RFC 5465 §3.1

use std::collections::VecDeque;

use imap_proto::types::{
    Code, Event, EventGroup, MailboxArg, MailboxFilter, Notify, Response, StatusItem, StatusReply,
};
use mail_types::{MailboxId, MailboxName};

use super::status;
use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::sync::{self, Told};
use crate::watch::{Filter, Group, SelectedWatch, Wants, Watch};
use crate::{Need, metadata, render};

pub(crate) fn begin(notify: Notify, run: &mut Run<'_>) -> Flow {
    let Notify::Set { status, groups } = notify else {
        run.state.watch = Some(Box::default());
        run.state.enabled.notify = false;
        metadata::end_telling(run);
        return end(Reply::ok("NOTIFY completed"));
    };
    check(&groups)?;
    wait_ready(Need::Refresh, move |run| {
        // A successful NOTIFY SET is a NOOP too, whatever was asked for before. RFC 5465 §3.1
        metadata::tell_changes(run, None);
        let before = run.state.watch.take();
        sync::catch_up(Told::Everything, run, move |run| match set(&groups, run) {
            Ok(watch) => {
                run.state.enabled.notify =
                    watch.selected.as_ref().is_some_and(|it| it.flags || it.annotations);
                let first = if status { first_status(&watch, run) } else { Ok(VecDeque::new()) };
                run.state.watch = Some(watch);
                metadata::end_telling(run);
                tell_status(first?, run)
            }
            Err(reply) => {
                run.state.watch = before;
                Err(reply)
            }
        })
    })
}

/// What cannot be meant. RFC 5465 §5, §6.1, §8
fn check(groups: &[EventGroup]) -> Result<(), Reply> {
    if groups.iter().filter(|group| is_selected(&group.filter)).count() > 1 {
        return Err(Reply::bad("SELECTED or SELECTED-DELAYED, and only once"));
    }
    for EventGroup { filter, events } in groups {
        let has = |wanted: fn(&Event) -> bool| events.iter().any(wanted);
        let new = has(|event| matches!(event, Event::MessageNew(_)));
        let expunge = has(|event| *event == Event::MessageExpunge);
        if new != expunge {
            return Err(Reply::bad("MessageNew and MessageExpunge go together"));
        }
        if has(|event| matches!(event, Event::FlagChange | Event::AnnotationChange)) && !new {
            return Err(Reply::bad(
                "FlagChange and AnnotationChange need MessageNew and MessageExpunge",
            ));
        }
        if is_selected(filter) && !events.iter().all(is_about_messages) {
            return Err(Reply::bad("Only events of messages go with SELECTED"));
        }
        let has_items = has(|event| matches!(event, Event::MessageNew(items) if !items.is_empty()));
        if has_items && !is_selected(filter) {
            return Err(Reply::bad("Items of new messages go with SELECTED only"));
        }
    }
    if groups.iter().flat_map(|group| &group.events).all(is_supported) {
        return Ok(());
    }
    let supported = SUPPORTED.iter().map(|event| (*event).to_owned()).collect();
    Err(Reply::no("No such event is told").with(Code::BadEvent(supported)))
}

fn is_selected(filter: &MailboxFilter) -> bool {
    matches!(filter, MailboxFilter::Selected | MailboxFilter::SelectedDelayed)
}

/// An event that is not known may be one of messages; it is refused as what it is.
fn is_about_messages(event: &Event) -> bool {
    matches!(
        event,
        Event::MessageNew(_)
            | Event::MessageExpunge
            | Event::FlagChange
            | Event::AnnotationChange
            | Event::Other(_)
    )
}

fn is_supported(event: &Event) -> bool {
    SUPPORTED.contains(&event.name())
}

/// Every event that can be told.
const SUPPORTED: [&str; 8] = [
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "AnnotationChange",
    "MailboxName",
    "SubscriptionChange",
    // Required beside METADATA. RFC 5465 §5.6, §5.7
    "MailboxMetadataChange",
    "ServerMetadataChange",
];

fn set(groups: &[EventGroup], run: &Run<'_>) -> Result<Box<Watch>, Reply> {
    let account = run.account()?;
    let selected = groups.iter().find(|group| is_selected(&group.filter)).and_then(selected);
    let groups = groups.iter().filter_map(|one| group(one, run)).collect();
    // RFC 5465 §3.1: refused if it is too expensive.
    Watch::new(selected, groups, account).map(Box::new).map_err(|_| {
        Reply::no("The account has too many mailboxes for that").with(Code::NotificationOverflow)
    })
}

/// `None` for SELECTED NONE. RFC 5465 §3.1
fn selected(group: &EventGroup) -> Option<SelectedWatch> {
    let items = group.events.iter().find_map(|event| match event {
        Event::MessageNew(items) => Some(items.clone()),
        _ => None,
    })?;
    Some(SelectedWatch {
        is_delayed: group.filter == MailboxFilter::SelectedDelayed,
        flags: group.events.contains(&Event::FlagChange),
        annotations: group.events.contains(&Event::AnnotationChange),
        items,
    })
}

fn group(group: &EventGroup, run: &Run<'_>) -> Option<Group> {
    let filter = match &group.filter {
        MailboxFilter::Selected | MailboxFilter::SelectedDelayed => return None,
        MailboxFilter::Inboxes | MailboxFilter::Personal => Filter::Personal,
        MailboxFilter::Subscribed => Filter::Subscribed,
        MailboxFilter::Subtree(names) => Filter::Subtree(known_names(names, run)),
        MailboxFilter::Mailboxes(names) => Filter::Mailboxes(known_names(names, run)),
    };
    let mut wants = Wants::default();
    for event in &group.events {
        match event {
            Event::MessageNew(_) | Event::MessageExpunge => wants.messages = true,
            Event::FlagChange => wants.flags = true,
            Event::MailboxName => wants.names = true,
            Event::SubscriptionChange => wants.subscriptions = true,
            Event::MailboxMetadataChange => wants.mailbox_metadata = true,
            Event::ServerMetadataChange => wants.server_metadata = true,
            Event::AnnotationChange => wants.annotations = true,
            Event::Other(_) => {}
        }
    }
    Some(Group { filter, wants })
}

/// A name that no mailbox can have is ignored, like one that no mailbox has. RFC 5465 §3.1
fn known_names<C: FromIterator<MailboxName>>(names: &[MailboxArg], run: &Run<'_>) -> C {
    let encoding = run.state.names();
    names.iter().filter_map(|name| name.name(encoding).ok()).collect()
}

type First = VecDeque<(MailboxId, Vec<StatusItem>)>;

/// What STATUS asks for: of every watched mailbox but the selected one. RFC 5465 §3.1
fn first_status(watch: &Watch, run: &Run<'_>) -> Result<First, Reply> {
    let account = run.account()?;
    let selected = run.state.own_selected().map(|selected| selected.mailbox);
    let others = account.names().filter(|(_, id)| Some(*id) != selected);
    let items = others.map(|(name, id)| (id, watch.first_items(name, account)));
    Ok(items.filter(|(_, items)| !items.is_empty()).collect())
}

/// Tells the state of mailboxes, and sends it now and then: there may be many.
fn tell_status(mut first: First, run: &mut Run<'_>) -> Flow {
    let account = run.account()?;
    for _ in 0..STATUS_PER_FLUSH {
        let Some((id, items)) = first.pop_front() else {
            return end(Reply::ok("NOTIFY completed"));
        };
        let Some(mailbox) = account.mailbox(id) else { continue };
        let record = mailbox.record();
        let values = status::values(&items, record, run.state.config.append_limit);
        let mailbox = render::name(&record.name, run.state.names());
        run.write(&Response::StatusData(StatusReply { mailbox, values }));
    }
    wait_ready(Need::Flush, |run| tell_status(first, run))
}

/// STATUS responses told at a time: some 50 KiB.
const STATUS_PER_FLUSH: usize = 500;
