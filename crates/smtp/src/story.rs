//! What is told of a message on its way in, for `pillarbox why`.

use mail_service::story::{Arrival, LISTED_MAX, Line, Story};
use net::Peer;
use smtp_session::{Reply, Transaction};

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
