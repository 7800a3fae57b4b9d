//! NOTIFY. RFC 5465 §8

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use super::fetch;
use crate::types::{Event, EventGroup, FetchItem, MailboxArg, MailboxFilter, Notify};

/// ```text
/// notify       = "NOTIFY" SP (notify-set / notify-none)
/// notify-set   = "SET" [SP "STATUS"] SP event-group *(SP event-group)
/// notify-none  = "NONE"
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Notify> {
    cursor.space()?;
    if cursor.eat_word("NONE") {
        return Ok(Notify::None);
    }
    if !cursor.eat_word("SET") {
        return cursor.expected("SET or NONE");
    }
    cursor.space()?;
    let status = cursor.eat_word("STATUS");
    if status {
        cursor.space()?;
    }
    let mut groups = vec![group(cursor)?];
    while cursor.space_before_more() {
        if groups.len() >= Notify::GROUPS_MAX {
            return cursor.fail(ErrorKind::TooMany, "event groups");
        }
        groups.push(group(cursor)?);
    }
    Ok(Notify::Set { status, groups })
}

/// ```text
/// event-group = "(" filter-mailboxes SP events ")"
/// events      = ( "(" event *(SP event) ")" ) / "NONE"
/// ```
///
/// The examples of the RFC leave the inner parentheses out; so may a client.
fn group(cursor: &mut Cursor<'_>) -> Result<EventGroup> {
    cursor.byte(b'(', "( of an event group")?;
    cursor.skip_spaces();
    let filter = filter(cursor)?;
    cursor.space()?;
    let events = if cursor.peek() == Some(b'(') {
        let events = cursor.list1(Notify::EVENTS_MAX, "event", event)?;
        cursor.skip_spaces();
        cursor.byte(b')', ") of an event group")?;
        events
    } else if cursor.eat_word("NONE") {
        cursor.skip_spaces();
        cursor.byte(b')', ") of an event group")?;
        Vec::new()
    } else {
        bare_events(cursor)?
    };
    Ok(EventGroup { filter, events })
}

fn bare_events(cursor: &mut Cursor<'_>) -> Result<Vec<Event>> {
    let mut events = vec![event(cursor)?];
    loop {
        cursor.skip_spaces();
        if cursor.eat(b')') {
            return Ok(events);
        }
        if events.len() >= Notify::EVENTS_MAX {
            return cursor.fail(ErrorKind::TooMany, "event");
        }
        events.push(event(cursor)?);
    }
}

/// ```text
/// filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" /
///                    ( "subtree" SP one-or-more-mailbox ) /
///                    ( "mailboxes" SP one-or-more-mailbox )
/// ```
fn filter(cursor: &mut Cursor<'_>) -> Result<MailboxFilter> {
    let start = cursor.clone();
    Ok(match cursor.keyword("mailbox filter")?.as_str() {
        "SELECTED" => MailboxFilter::Selected,
        "SELECTED-DELAYED" => MailboxFilter::SelectedDelayed,
        "INBOXES" => MailboxFilter::Inboxes,
        "PERSONAL" => MailboxFilter::Personal,
        "SUBSCRIBED" => MailboxFilter::Subscribed,
        "SUBTREE" => MailboxFilter::Subtree(mailboxes(cursor)?),
        "MAILBOXES" => MailboxFilter::Mailboxes(mailboxes(cursor)?),
        _ => return start.expected("known mailbox filter"),
    })
}

/// `SP (mailbox / "(" mailbox *(SP mailbox) ")")`
fn mailboxes(cursor: &mut Cursor<'_>) -> Result<Vec<MailboxArg>> {
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        return cursor.list1(Notify::NAMES_MAX, "mailbox", Cursor::mailbox);
    }
    Ok(vec![cursor.mailbox()?])
}

/// `event = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / atom`
fn event(cursor: &mut Cursor<'_>) -> Result<Event> {
    let event = Event::from_name(cursor.atom("event")?);
    if !matches!(event, Event::MessageNew(_)) {
        return Ok(event);
    }
    let mut after = cursor.clone();
    after.skip_spaces();
    if after.peek() != Some(b'(') {
        return Ok(event);
    }
    *cursor = after;
    let items = cursor.list1(FetchItem::ITEMS_MAX, "fetch item", fetch::item)?;
    Ok(Event::MessageNew(items))
}
