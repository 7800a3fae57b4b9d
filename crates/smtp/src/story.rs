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
    for (method, result) in results(&found.fields) {
        story.check(&method, &result);
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

/// Method and result of each part of our own Authentication-Results field. RFC 8601 §2.2
fn results(fields: &[u8]) -> Vec<(String, String)> {
    let value = mime::header::value(fields, "Authentication-Results").unwrap_or_default();
    let value = String::from_utf8_lossy(&value);
    let of_part = |part: &str| {
        let (method, result) = part.split_whitespace().next()?.split_once('=')?;
        METHODS.contains(&method).then(|| (method.to_owned(), result.to_owned()))
    };
    value.split(';').skip(1).filter_map(of_part).collect()
}

const METHODS: [&str; 4] = ["spf", "dkim", "dmarc", "arc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_told_with_its_result() {
        let fields =
            b"Authentication-Results: mx.example;\r\n\tspf=pass smtp.mailfrom=a.example;\r\n\
            \tdkim=fail (no key) header.d=b.example;\r\n\tdmarc=none; x=y\r\n\
            Received-SPF: pass\r\n";
        let told = results(fields);
        let told: Vec<_> = told.iter().map(|(method, it)| format!("{method}={it}")).collect();
        assert_eq!(told, ["spf=pass", "dkim=fail", "dmarc=none"]);
        assert_eq!(results(b"Received-SPF: pass\r\n"), []);
    }
}
