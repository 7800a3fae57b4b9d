//! `pillarbox why`: the story of a message, for whoever looks for it.
//!
//! What strangers wrote has been made harmless when it was told ([`mail_service::story::Line`]), so
//! it is printed as it is kept.

use std::collections::BTreeMap;
use std::fmt::Write;

use mail_service::queue::{Entry, QueueError, QueueId};
use mail_service::story::{Arrival, Event, Line, Order, Placement, Subject, Tried, What};
use mail_service::{Service, ServiceError};
use mail_types::{AccountId, InternalDate};
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed};
use crate::cli::Why;
use crate::clock::now;
use crate::control::{Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::say;

/// Whose story is asked for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "of", rename_all = "lowercase", deny_unknown_fields)]
pub enum WhyRequest {
    /// Of a message by its Message-ID, or of an entry of the queue by its id.
    Message { id: String },
    /// Of mail for an address since a moment, going on after a key.
    Address { address: String, since: i64, after: Option<Vec<u8>> },
}

/// Something that happened.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What: `received`, `delivered`, `tried`, `told`, `ordered`, `queued`.
    pub event: String,
    /// The entries of the queue that it is about.
    pub queue: Vec<String>,
    /// What is known of it, by names.
    pub facts: BTreeMap<String, String>,
    /// What was found out about the message.
    pub checks: Vec<(String, String)>,
    /// Recipients, and what became of each.
    pub recipients: Vec<(String, String)>,
    /// Mailboxes that the message is in.
    pub places: Vec<String>,
    /// What was answered.
    pub replies: Vec<String>,
}

/// Tells a story.
///
/// # Errors
/// When nothing is known, or it cannot be found out.
pub async fn run(asked: Why) -> Result<(), Failure> {
    let is_json = asked.json;
    let mut next = Some(match (asked.id, asked.to) {
        (Some(id), _) => WhyRequest::Message { id },
        (None, Some(address)) => {
            let since = now().saturating_sub(asked.since);
            WhyRequest::Address { address, since, after: None }
        }
        (None, None) => return Err(Failure::usage("name a Message-ID, or an address by --to")),
    });
    let mut backend = Backend::open(asked.data, Missing::Refuse).await?;
    let (mut count, mut cut) = (0, false);
    while let Some(ask) = next.take() {
        let again = match &ask {
            WhyRequest::Address { address, since, .. } => Some((address.clone(), *since)),
            WhyRequest::Message { .. } => None,
        };
        match backend.call(Request::Why { ask }).await? {
            Reply::Story { events, rest, is_cut } => {
                count += events.len();
                cut |= is_cut;
                events.iter().for_each(|event| print(event, is_json));
                next = again.zip(rest).map(|((address, since), after)| WhyRequest::Address {
                    address,
                    since,
                    after: Some(after),
                });
            }
            other => return Err(failed(other)),
        }
    }
    backend.close().await?;
    match (count, cut) {
        (0, _) => Err(Failure::failed("nothing is known of it")),
        (_, true) => Err(Failure::failed("there is more of it than is told at one time")),
        (_, false) => Ok(()),
    }
}

fn print(event: &Told, is_json: bool) {
    match serde_json::to_string(event) {
        Ok(line) if is_json => say::line(line),
        _ => lines(event).iter().for_each(say::line),
    }
}

/// Finds out what is asked.
pub async fn carry_out(service: &Service, ask: WhyRequest) -> Reply {
    match answer(service, ask).await {
        Ok(reply) => reply,
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

async fn answer(service: &Service, ask: WhyRequest) -> Result<Reply, ServiceError> {
    let (found, is_whole) = match ask {
        WhyRequest::Message { id } => {
            let subject = match QueueId::parse(id.trim()) {
                Some(id) => Subject::Entry(id),
                None => Subject::Message(id),
            };
            (service.story_of(&subject).await?, true)
        }
        WhyRequest::Address { address, since, after } => {
            (service.stories_to(&address, since, after).await?, false)
        }
    };
    let mut names = Names { service, known: BTreeMap::new() };
    let mut events = Vec::with_capacity(found.events.len());
    for event in &found.events {
        events.push(told(event, &mut names).await);
    }
    if is_whole {
        events.extend(still_queued(service, &found.events).await?);
    }
    Ok(Reply::Story { events, rest: found.rest, is_cut: found.is_cut })
}

/// What of the queue's entries is left to be done.
async fn still_queued(service: &Service, events: &[Event]) -> Result<Vec<Told>, ServiceError> {
    let mut ids: Vec<QueueId> = events.iter().flat_map(|event| event.what.queue_ids()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut left = Vec::new();
    for id in ids {
        match service.show_queued(id).await {
            Ok(entry) => left.push(in_queue(id, &entry)),
            Err(QueueError::Service(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(left)
}

fn in_queue(id: QueueId, entry: &Entry) -> Told {
    let open = entry.recipients.iter().filter(|it| it.progress.is_open());
    let recipients = open.map(|it| {
        let said = it.reply.as_ref().map(|reply| reply.smtp.as_ref().unwrap_or(&reply.text));
        let mut fate = format!("{} after {} attempts", it.progress.word(), it.attempts);
        let _ = write!(fate, ", next at {}", timestamp(it.next));
        let _ = said.map(|said| write!(fate, ": {said}"));
        let line = |text: &str| Line::new(text).to_string();
        (line(&it.to.address), line(&fate))
    });
    Told {
        at: now(),
        event: "queued".to_owned(),
        queue: vec![id.to_string()],
        recipients: recipients.collect(),
        ..Told::default()
    }
}

/// Names of accounts as they are called now.
struct Names<'a> {
    service: &'a Service,
    known: BTreeMap<AccountId, String>,
}

impl Names<'_> {
    async fn name(&mut self, account: AccountId) -> String {
        if let Some(name) = self.known.get(&account) {
            return name.clone();
        }
        let name = match self.service.account_name(account).await {
            Ok(name) => name.as_str().to_owned(),
            Err(_) => format!("{account} (no more)"),
        };
        self.known.insert(account, name.clone());
        name
    }

    async fn place(&mut self, place: &Placement) -> String {
        let name = self.name(place.account).await;
        format!("account {name}, mailbox {}, UID {}", place.mailbox, place.uid)
    }
}

async fn told(event: &Event, names: &mut Names<'_>) -> Told {
    let mut told = Told {
        at: event.at,
        queue: event.what.queue_ids().iter().map(ToString::to_string).collect(),
        ..Told::default()
    };
    match &event.what {
        What::Arrived(arrival) => received(&mut told, arrival, names).await,
        What::Placed { recipient, place, .. } => {
            told.event = "delivered".to_owned();
            let fate = match place {
                Some(place) => names.place(place).await,
                None => "by an attempt before, which could not say so any more".to_owned(),
            };
            told.recipients.push((recipient.to_string(), fate));
        }
        What::Attempted { tried, .. } => {
            told.event = "tried".to_owned();
            told.recipients = tried.iter().map(|it| (it.recipient.to_string(), fate(it))).collect();
        }
        What::Told { notice, told: of, .. } => {
            told.event = "told".to_owned();
            told.facts.insert("notice".to_owned(), notice.to_string());
            told.recipients =
                of.iter().map(|(to, what)| (to.to_string(), what.to_string())).collect();
        }
        What::Ordered { order, .. } => {
            told.event = "ordered".to_owned();
            let order = match order {
                Order::Hold => "hold",
                Order::Retry => "retry",
                Order::Drop => "drop",
                Order::Cancel => "cancel",
            };
            told.facts.insert("order".to_owned(), order.to_owned());
        }
    }
    told
}

async fn received(told: &mut Told, arrival: &Arrival, names: &mut Names<'_>) {
    told.event = "received".to_owned();
    for (name, value) in [
        ("message_id", arrival.message_id.as_ref().map(ToString::to_string)),
        ("transaction", Some(format!("{:016x}", arrival.id))),
        ("protocol", Some(arrival.protocol.to_string())),
        ("peer", Some(arrival.peer.to_string())),
        ("client_name", Some(arrival.client_name.to_string())),
        ("sender", Some(arrival.sender.to_string())),
        ("octets", Some(arrival.size.to_string())),
        ("notice", arrival.notice.map(|id| id.to_string())),
    ] {
        told.facts.extend(value.map(|value| (name.to_owned(), value)));
    }
    if let Some(account) = arrival.account {
        told.facts.insert("account".to_owned(), names.name(account).await);
    }
    let pair = |(name, value): &(Line, Line)| (name.to_string(), value.to_string());
    told.checks = arrival.checks.iter().map(pair).collect();
    told.recipients = arrival.recipients.iter().map(|it| (it.to_string(), String::new())).collect();
    for place in &arrival.places {
        told.places.push(names.place(place).await);
    }
    told.replies = arrival.replies.iter().map(ToString::to_string).collect();
}

fn fate(tried: &Tried) -> String {
    let mut fate = format!("{} at attempt {}", tried.progress.word(), tried.attempts);
    if let Some(remote) = &tried.remote {
        let _ = write!(fate, ", {remote}");
    }
    if let Some(reply) = &tried.reply {
        let _ = write!(fate, ": {reply}");
    }
    if let Some(next) = tried.next {
        let _ = write!(fate, "; next at {}", timestamp(next));
    }
    fate
}

/// An event as people read it.
fn lines(told: &Told) -> Vec<String> {
    let fact = |name: &str| told.facts.get(name).map_or("", String::as_str);
    let (at, queue) = (timestamp(told.at), told.queue.join(" "));
    let mut lines = Vec::new();
    match told.event.as_str() {
        "received" => {
            let named = told.facts.get("message_id").map(|id| format!("<{id}>"));
            let named = named.unwrap_or_else(|| "a message without Message-ID".to_owned());
            lines.push(format!("{at} received {named}, {} octets", fact("octets")));
            let (name, peer, how) = (fact("client_name"), fact("peer"), fact("protocol"));
            let transaction = fact("transaction");
            lines.push(format!("  from {name} [{peer}] by {how}, transaction {transaction}"));
            let as_whom = told.facts.get("account").map(|name| format!(", account {name}"));
            lines.push(format!("  sender <{}>{}", fact("sender"), as_whom.unwrap_or_default()));
        }
        "told" => lines.push(format!(
            "{at} sender told by notice {} about {}",
            fact("notice"),
            told.queue.first().map_or("", String::as_str)
        )),
        "ordered" => lines.push(format!("{at} {} ordered for {queue}", fact("order"))),
        "queued" => lines.push(format!("{at} still in the queue: {queue}")),
        other => lines.push(format!("{at} {other} by the queue, {queue}")),
    }
    let checks: Vec<String> =
        told.checks.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !checks.is_empty() {
        lines.push(format!("  checks: {}", checks.join(", ")));
    }
    for (recipient, fate) in &told.recipients {
        let colon = if fate.is_empty() { "" } else { ": " };
        lines.push(format!("  to <{recipient}>{colon}{fate}"));
    }
    lines.extend(told.places.iter().map(|place| format!("  delivered: {place}")));
    if told.event == "received" {
        let notice = told.facts.get("notice");
        let queued = told.queue.iter().filter(|id| Some(*id) != notice);
        lines.extend(queued.map(|id| format!("  queued as {id}")));
        lines.extend(notice.map(|id| format!("  sender told by notice {id}")));
        lines.extend(told.replies.iter().map(|reply| format!("  answered: {reply}")));
        if told.replies.is_empty() {
            lines.push("  not answered: the connection ended before".to_owned());
        }
    }
    lines
}

/// A moment as mail writes it, in UTC.
fn timestamp(at: i64) -> String {
    InternalDate::utc(at).to_string().trim_start().to_owned()
}

/// Reads how long ago something was: `30m`, `12h`, `7d`.
///
/// # Errors
/// With what can be written.
pub fn ago(text: &str) -> Result<i64, String> {
    let parts = text.char_indices().last().map(|(at, unit)| (text.get(..at).unwrap_or(""), unit));
    let found = parts.and_then(|(number, unit)| {
        let seconds = match unit {
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(seconds)
    });
    found.ok_or_else(|| "write 30m, 12h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use mail_types::Uid;

    use super::*;

    #[test]
    fn what_is_long_ago_is_written_short() {
        let read = ["30m", "12h", "7d", "0d"].map(|text| ago(text).unwrap());
        assert_eq!(read, [1800, 43_200, 604_800, 0]);
        for text in ["", "d", "7", "-7d", "+7d", "7w", "7ä", "99999999999999999999d"] {
            assert!(ago(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_story_is_told_line_by_line() {
        let store = std::sync::Arc::new(store::mem::Mem::new());
        let (config, world) =
            (mail_service::ServiceConfig::default(), mail_service::World::system());
        let service = Service::open(store, config, world).await.unwrap();
        let mut names =
            Names { service: &service, known: [(AccountId(1), "dock".to_owned())].into() };
        let id = QueueId::parse("006b49d20001020304050607").unwrap();
        let line = |text: &str| Line::new(text);
        let place =
            Placement { account: AccountId(1), mailbox: line("INBOX"), uid: Uid::new(5).unwrap() };
        let arrival = Arrival {
            message_id: Some(line("1@x.example")),
            id: 7,
            protocol: line("ESMTPS"),
            peer: line("192.0.2.1"),
            client_name: line("mx.x.example"),
            sender: line("a@x.example"),
            recipients: vec![line("dock@mail.example")],
            size: 90,
            checks: vec![(line("spf"), line("pass"))],
            places: vec![place],
            queued: vec![id],
            notice: QueueId::parse("006b49d20001020304050608"),
            replies: vec![line("250 2.0.0 Accepted")],
            ..Arrival::default()
        };
        let event = Event { at: 0, what: What::Arrived(Box::new(arrival)) };
        let told = told(&event, &mut names).await;
        let shown = lines(&told).join("\n");
        assert_eq!(
            shown,
            "1-Jan-1970 00:00:00 +0000 received <1@x.example>, 90 octets\n\
             \x20 from mx.x.example [192.0.2.1] by ESMTPS, transaction 0000000000000007\n\
             \x20 sender <a@x.example>\n\
             \x20 checks: spf=pass\n\
             \x20 to <dock@mail.example>\n\
             \x20 delivered: account dock, mailbox INBOX, UID 5\n\
             \x20 queued as 006b49d20001020304050607\n\
             \x20 sender told by notice 006b49d20001020304050608\n\
             \x20 answered: 250 2.0.0 Accepted"
        );
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Told>(&json).unwrap(), told);
    }
}
