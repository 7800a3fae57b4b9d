//! `pillarbox queue`: what the operator sees of mail that has yet to leave, and does with it.

use std::fmt::Write;

use mail_service::Service;
use mail_service::queue::{Entry, Hold, QueueError, QueueId};
use mail_types::InternalDate;
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed};
use crate::cli::{Data, QueueCommand};
use crate::control::{Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::say;

/// What is asked of the queue.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "queue", rename_all = "lowercase", deny_unknown_fields)]
pub enum QueueRequest {
    /// Entries after this one, in the order in which they came.
    List { after: Option<String> },
    /// One entry with its recipients.
    Show { id: String },
    /// Try it now.
    Retry { id: String },
    /// Throw it away.
    Drop { id: String },
    /// Stop it.
    Hold { id: String },
}

/// Carries out a queue command.
///
/// # Errors
/// When it was not done.
pub async fn run(command: QueueCommand) -> Result<(), Failure> {
    let (request, data) = match command {
        QueueCommand::List(data) => return list(data).await,
        QueueCommand::Show(entry) => (QueueRequest::Show { id: entry.id }, entry.data),
        QueueCommand::Retry(entry) => (QueueRequest::Retry { id: entry.id }, entry.data),
        QueueCommand::Drop(entry) => (QueueRequest::Drop { id: entry.id }, entry.data),
        QueueCommand::Hold(entry) => (QueueRequest::Hold { id: entry.id }, entry.data),
    };
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let reply = backend.call(Request::Queue { ask: request }).await?;
    backend.close().await?;
    match reply {
        Reply::Done => Ok(()),
        Reply::Queue { lines } => {
            lines.iter().for_each(say::line);
            Ok(())
        }
        other => Err(failed(other)),
    }
}

async fn list(data: Data) -> Result<(), Failure> {
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let mut after = None;
    loop {
        match backend.call(Request::Queue { ask: QueueRequest::List { after } }).await? {
            Reply::Queue { lines } => {
                lines.iter().for_each(say::line);
                let Some(last) = lines.last() else { break };
                // A line begins with the id.
                after = last.split(' ').next().map(str::to_owned);
            }
            other => return Err(failed(other)),
        }
    }
    backend.close().await
}

/// Does what is asked.
pub async fn carry_out(service: &Service, request: QueueRequest) -> Reply {
    match answer(service, request).await {
        Ok(reply) => reply,
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

async fn answer(service: &Service, request: QueueRequest) -> Result<Reply, QueueError> {
    let id = |text: &str| QueueId::parse(text).ok_or(QueueError::NoSuchEntry);
    match request {
        QueueRequest::List { after } => {
            let after = after.as_deref().map(id).transpose()?;
            let listed = service.list_queue(after).await?;
            let lines = listed.iter().map(|listed| line(listed.id, &listed.entry)).collect();
            Ok(Reply::Queue { lines })
        }
        QueueRequest::Show { id: text } => {
            let id = id(&text)?;
            Ok(Reply::Queue { lines: lines(id, &service.show_queued(id).await?) })
        }
        QueueRequest::Retry { id: text } => {
            service.retry_queued(id(&text)?).await?;
            Ok(Reply::Done)
        }
        QueueRequest::Drop { id: text } => {
            service.drop_queued(id(&text)?).await?;
            Ok(Reply::Done)
        }
        QueueRequest::Hold { id: text } => {
            service.hold_queued(id(&text)?).await?;
            Ok(Reply::Done)
        }
    }
}

/// An entry in a listing: id, state, size, recipients that are left, sender.
fn line(id: QueueId, entry: &Entry) -> String {
    let open = entry.recipients.iter().filter(|r| r.progress.is_open()).count();
    let sender = entry.terms.sender.as_deref().unwrap_or_default();
    format!("{id} {} {} bytes, {open} to reach, from <{sender}>", state(entry), entry.size)
}

fn state(entry: &Entry) -> &'static str {
    match (entry.hold, &entry.claim) {
        (Hold::Operator, _) => "held",
        (_, Some(_)) => "active",
        (Hold::Until(_), None) => "later",
        (Hold::No, None) => "waiting",
    }
}

/// An entry with a line for each recipient.
fn lines(id: QueueId, entry: &Entry) -> Vec<String> {
    let mut lines = vec![line(id, entry)];
    if let Hold::Until(at) = entry.hold {
        lines.push(format!("  leaves at {}", InternalDate::rfc3339(at)));
    }
    for recipient in &entry.recipients {
        let mut text = String::new();
        let (to, word) = (&recipient.to.address, recipient.progress.word());
        let _ = write!(text, "  <{to}> {word}, {} attempts", recipient.attempts);
        if recipient.progress.is_open() {
            let _ = write!(text, ", next at {}", recipient.next);
        }
        if let Some(reply) = &recipient.reply {
            let _ = write!(text, ": {}", reply.smtp.as_ref().unwrap_or(&reply.text));
        }
        lines.push(text);
    }
    lines
}

#[cfg(test)]
mod tests {
    use mail_service::queue::{Origin, Recipient, Terms};

    use super::*;

    #[test]
    fn an_entry_is_shown_with_its_state_and_its_recipients() {
        let id = QueueId::parse("006b49d20001020304050607").unwrap();
        let terms = Terms::new(Some("dock@mail.example".into()), Origin::Stranger);
        let mut entry = Entry::new(terms, vec![Recipient::new("b@x.example")], 9, 5, None);
        let waiting = "006b49d20001020304050607 waiting 9 bytes, 1 to reach, \
                       from <dock@mail.example>";
        let recipient = "  <b@x.example> waiting, 0 attempts, next at 5";
        assert_eq!(lines(id, &entry), [waiting, recipient]);
        entry.hold = Hold::Operator;
        assert!(line(id, &entry).contains(" held "));
        entry.hold = Hold::Until(1_795_888_800);
        assert!(line(id, &entry).contains(" later "));
        assert_eq!(lines(id, &entry)[1], "  leaves at 2026-11-28T18:00:00Z");
    }
}
