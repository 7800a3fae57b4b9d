//! NOTIFY. RFC 5465 §8

use super::fetch;
use super::writer::Writer;
use crate::types::{Event, EventGroup, MailboxArg, MailboxFilter, Notify};

/// `"NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")`
pub fn command(out: &mut Writer<'_>, notify: &Notify) {
    let Notify::Set { status, groups } = notify else { return out.text("NOTIFY NONE") };
    out.text("NOTIFY SET");
    if *status {
        out.text(" STATUS");
    }
    for one in groups {
        out.space();
        group(out, one);
    }
}

fn group(out: &mut Writer<'_>, group: &EventGroup) {
    out.text("(");
    match &group.filter {
        MailboxFilter::Selected => out.text("SELECTED"),
        MailboxFilter::SelectedDelayed => out.text("SELECTED-DELAYED"),
        MailboxFilter::Inboxes => out.text("INBOXES"),
        MailboxFilter::Personal => out.text("PERSONAL"),
        MailboxFilter::Subscribed => out.text("SUBSCRIBED"),
        MailboxFilter::Subtree(names) => mailboxes(out, "SUBTREE ", names),
        MailboxFilter::Mailboxes(names) => mailboxes(out, "MAILBOXES ", names),
    }
    out.space();
    if group.events.is_empty() {
        out.text("NONE");
    } else {
        out.list(&group.events, event);
    }
    out.text(")");
}

fn mailboxes(out: &mut Writer<'_>, filter: &str, names: &[MailboxArg]) {
    out.text(filter);
    out.list(names, |out, name| out.mailbox(name));
}

fn event(out: &mut Writer<'_>, event: &Event) {
    out.text(event.name());
    if let Event::MessageNew(items) = event
        && !items.is_empty()
    {
        out.space();
        out.list(items, fetch::item);
    }
}
