//! What the queue knows of a message as what MAIL and RCPT say, and what was replied as what the
//! queue records.

use std::fmt::Write;

use mail_service::queue::{
    Attempt, Body, Handover, Job, Notify, OriginalRecipient, Outcomes, Recipient, Reply, Ret, Terms,
};
use smtp_session::{Addressee, Client, ClientTls, Errand, Fate, Response};
use tracing::{debug, info, warn};

use super::dialogue::Broken;

/// What is to be said to a server; `name` is that of this one.
pub(super) fn errand(job: &Job, name: &str, tls: ClientTls) -> Errand {
    let addressee = |(_, to): &(usize, Recipient)| Addressee {
        address: to.address.clone(),
        dsn: recipient_parameters(to),
    };
    Errand {
        name: name.to_owned(),
        tls,
        credentials: None,
        sender: job.terms.reverse_path().unwrap_or_default().to_owned(),
        recipients: job.recipients.iter().map(addressee).collect(),
        size: job.body.size(),
        has_8bit: job.terms.body != Body::SevenBit,
        smtputf8: job.terms.smtputf8,
        require_tls: requires_tls(&job.terms),
        dsn: mail_parameters(&job.terms),
        stays: true,
    }
}

/// Whether a message goes only where TLS is promised. A notice does not: better that it is read
/// than that it is lost. RFC 8689 §5
pub(super) fn requires_tls(terms: &Terms) -> bool {
    terms.require_tls && terms.sender.is_some()
}

/// What a message asks for that cannot be had.
pub(super) fn impossible(terms: &Terms) -> Option<Reply> {
    // RFC 3030 §3
    let is_binary = terms.body == Body::BinaryMime;
    is_binary.then(|| Reply::own([5, 6, 3], "binary messages cannot be handed on"))
}

/// The same for all recipients.
pub(super) fn all(job: &Job, attempt: &Attempt) -> Outcomes {
    job.recipients.iter().map(|(index, _)| (*index, attempt.clone())).collect()
}

/// What became of each recipient after a dialogue with a host.
pub(super) fn outcomes(
    job: &Job,
    host: &str,
    client: Client,
    talked: &Result<(), Broken>,
) -> Outcomes {
    if let Err(Broken::Body(error)) = talked {
        warn!(id = %job.id, %error, "a message of the queue cannot be read");
        return all(job, &Attempt::Deferred(Reply::own([4, 3, 0], "the message cannot be read")));
    }
    let has_dsn = client.has_dsn();
    let fates = client.into_fates(&why(host, talked));
    let outcomes = job.recipients.iter().zip(&fates);
    let outcomes = outcomes.map(|((index, _), fate)| (*index, attempt(fate, has_dsn, host)));
    let outcomes: Outcomes = outcomes.collect();
    log(job, host, &outcomes);
    outcomes
}

/// What is known of those of whom the server has said nothing.
pub(super) fn why(host: &str, talked: &Result<(), Broken>) -> Response {
    // RFC 3463 §3.5, §3.8: nobody answers, the connection did not last, or it is not safe.
    let (status, why) = match talked {
        // The client knows of everybody then; this is for nobody.
        Ok(()) => ([4, 4, 2], "the dialogue has ended".to_owned()),
        Err(Broken::Body(error)) => ([4, 3, 0], error.to_string()),
        Err(Broken::Unreachable(error)) => ([4, 4, 1], error.to_string()),
        Err(Broken::Tls(error)) => ([4, 7, 5], error.to_string()),
        Err(Broken::Io(error)) => ([4, 4, 2], error.to_string()),
    };
    Response::local(421, status, format!("connection to {host}: {why}"))
}

fn log(job: &Job, host: &str, outcomes: &Outcomes) {
    let count = |is: fn(&Attempt) -> bool| outcomes.iter().filter(|(_, it)| is(it)).count();
    let taken = count(|it| matches!(it, Attempt::Delivered { .. }));
    let deferred = count(|it| matches!(it, Attempt::Deferred(_)));
    let refused = count(|it| matches!(it, Attempt::Failed(_)));
    info!(id = %job.id, domain = job.domain, host, taken, deferred, refused, "handed on");
    for (index, outcome) in outcomes {
        debug!(id = %job.id, index, ?outcome, "recipient");
    }
}

/// RFC 3461 §4.3, §4.4
fn mail_parameters(terms: &Terms) -> String {
    let mut text = match terms.ret {
        Some(Ret::Full) => " RET=FULL".to_owned(),
        Some(Ret::Headers) => " RET=HDRS".to_owned(),
        None => String::new(),
    };
    if let Some(envid) = terms.envid.as_ref().filter(|envid| envid.is_ascii()) {
        let _ = write!(text, " ENVID={}", xtext(envid));
    }
    text
}

/// RFC 3461 §4.1, §4.2
fn recipient_parameters(to: &Recipient) -> String {
    let mut text = match to.notify {
        Notify::Unasked => String::new(),
        Notify::Never => " NOTIFY=NEVER".to_owned(),
        Notify::On { success, failure, delay } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<&str> =
                words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
            if words.is_empty() { " NOTIFY=NEVER".to_owned() } else { notify(&words) }
        }
    };
    // An address in UTF-8 has another form here, and is left out. RFC 6533 §3
    if let Some(OriginalRecipient { kind, address }) =
        to.original.as_ref().filter(|it| it.address.is_ascii() && it.kind.is_ascii())
    {
        let _ = write!(text, " ORCPT={kind};{}", xtext(address));
    }
    text
}

fn notify(words: &[&str]) -> String {
    format!(" NOTIFY={}", words.join(","))
}

/// RFC 3461 §4
fn xtext(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => drop(write!(coded, "+{byte:02X}")),
            b'!'..=b'~' => coded.push(char::from(byte)),
            _ => drop(write!(coded, "+{byte:02X}")),
        }
    }
    coded
}

/// What became of a recipient, as the queue records it.
fn attempt(fate: &Fate, has_dsn: bool, remote: &str) -> Attempt {
    match fate {
        Fate::Taken(response) => {
            let to = if has_dsn { Handover::NotifyingRelay } else { Handover::Relay };
            Attempt::Delivered { to, reply: Some(reply(response, 2, remote)) }
        }
        Fate::Deferred(response) => Attempt::Deferred(reply(response, 4, remote)),
        Fate::Refused(response) => Attempt::Failed(reply(response, 5, remote)),
    }
}

/// `class` is what it means for the recipient, whatever the reply says. RFC 3463 §2
pub(super) fn reply(response: &Response, class: u16, remote: &str) -> Reply {
    let [_, subject, detail] = response.status.unwrap_or_default();
    let text = response.text();
    let smtp = (!response.is_local).then(|| format!("{} {text}", response.code));
    let status = [class, subject, detail];
    Reply { status, smtp, remote: Some(remote.to_owned()), text }.bounded()
}

#[cfg(test)]
mod tests {
    use mail_service::queue::Origin;
    use smtp_session::Responses;

    use super::*;

    #[test]
    fn what_was_asked_of_notifications_is_said_again() {
        let mut terms = Terms::new(None, Origin::Server);
        assert_eq!(mail_parameters(&terms), "");
        (terms.ret, terms.envid) = (Some(Ret::Headers), Some("QQ 3+1=4".to_owned()));
        assert_eq!(mail_parameters(&terms), " RET=HDRS ENVID=QQ+203+2B1+3D4");
        let mut to = Recipient::new("b@example.net");
        assert_eq!(recipient_parameters(&to), "");
        to.notify = Notify::On { success: true, failure: false, delay: true };
        let original = |address: &str| OriginalRecipient {
            kind: "rfc822".to_owned(),
            address: address.to_owned(),
        };
        to.original = Some(original("a+b@example.org"));
        let expected = " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.org";
        assert_eq!(recipient_parameters(&to), expected);
        (to.notify, to.original) = (Notify::Never, Some(original("\u{f6}@example.org")));
        assert_eq!(recipient_parameters(&to), " NOTIFY=NEVER");
    }

    #[test]
    fn a_status_says_what_it_means_for_the_recipient() {
        let mut responses = Responses::default();
        responses.push(b"535 5.7.8 wrong\r\n550 no\r\n");
        let mut next = || responses.take().unwrap().unwrap();
        let Attempt::Deferred(told) = attempt(&Fate::Deferred(next()), false, "r.example") else {
            panic!("not deferred");
        };
        assert_eq!((told.status, told.smtp.as_deref()), ([4, 7, 8], Some("535 5.7.8 wrong")));
        let Attempt::Failed(told) = attempt(&Fate::Refused(next()), true, "r.example") else {
            panic!("not failed");
        };
        assert_eq!((told.status, told.remote.as_deref()), ([5, 0, 0], Some("r.example")));
        let local = Response::local(421, [4, 4, 2], "lost");
        let Attempt::Deferred(told) = attempt(&Fate::Deferred(local), false, "r.example") else {
            panic!("not deferred");
        };
        assert_eq!(told.smtp, None);
    }
}
