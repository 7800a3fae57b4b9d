//! What is told of a message on its way in, for `pillarbox why`.

use mail_service::story::{Arrival, LISTED_MAX, Line, Story};
use net::Peer;
use sender_auth::Decision;
use smtp_session::{Reply, Transaction};

use crate::inbound::{FilterVerdict, NoVerdict, SenderResult};
use crate::intake::Origin;

/// Begins the story of a message whose text is about to come.
pub(crate) fn begin(origin: &Origin<'_>, transaction: &Transaction, id: u64) -> Story {
    let recipients = transaction.recipients.iter().take(LISTED_MAX);
    let protocol = origin.protocol().name(transaction.utf8, origin.security);
    origin.server.service.begin_story(Arrival {
        id,
        protocol: Line::new(protocol),
        peer: match origin.peer {
            Peer::Ip(ip) => Line::new(&ip.to_string()),
            Peer::Local => Line::new("this machine"),
        },
        client_name: Line::new(&origin.client_name),
        account: origin.account,
        sender: Line::new(&transaction.reverse_path),
        recipients: recipients.map(|it| Line::new(&it.address)).collect(),
        ..Arrival::default()
    })
}

/// Tells what the client is answered.
pub(crate) fn answered(story: &mut Story, replies: &[Reply]) {
    for Reply { code, status, text } in replies {
        story.answered(&format!("{code} {status} {text}"));
    }
}

/// Tells what was found out about the sender: each method with its result, and what was decided.
pub(crate) fn checked(story: &mut Story, found: &SenderResult) {
    for (method, result) in &found.results.methods {
        story.check(method, result);
    }
    let decision = match found.decision {
        Decision::Accept => "accept",
        Decision::Quarantine => "quarantine",
        Decision::Defer => "defer",
        Decision::Reject => "reject",
    };
    if found.reason.is_empty() {
        story.check("sender", decision);
    } else {
        story.check("sender", &format!("{decision}, {}", found.reason));
    }
}

/// Tells what the content filter said.
pub(crate) fn filtered(story: &mut Story, found: &Result<FilterVerdict, NoVerdict>) {
    let said = match found {
        Err(NoVerdict) => "no answer".to_owned(),
        Ok(FilterVerdict { action, score: None, .. }) => format!("{action:?}"),
        Ok(FilterVerdict { action, score: Some(score), .. }) => format!("{action:?}, {score}"),
    };
    story.check("filter", &said);
}
