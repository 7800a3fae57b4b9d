//! What the queue knows of a message as what MAIL and RCPT say, and what was replied as what the
//! queue records.

use std::fmt::Write;

use mail_service::queue::{
    Attempt, Body, Handover, Job, Notify, OriginalRecipient, Recipient, Reply, Ret, Terms,
};
use smtp_session::{Addressee, Credentials, Errand, Fate, Response};

use super::relay::Relay;

/// What is to be said to a relay.
pub(super) fn errand(job: &Job, relay: &Relay, name: &str) -> Errand {
    let addressee = |(_, to): &(usize, Recipient)| Addressee {
        address: to.address.clone(),
        dsn: recipient_parameters(to),
    };
    let login = relay.login.as_ref();
    Errand {
        name: name.to_owned(),
        tls: relay.tls.into(),
        credentials: login.map(|login| Credentials {
            user: login.user.clone(),
            password: login.password.clone(),
        }),
        sender: job.terms.sender.clone().unwrap_or_default(),
        recipients: job.recipients.iter().map(addressee).collect(),
        size: job.body.size(),
        has_8bit: job.terms.body != Body::SevenBit,
        smtputf8: job.terms.smtputf8,
        dsn: mail_parameters(&job.terms),
    }
}

/// What a message asks for that cannot be had through a relay.
pub(super) fn impossible(terms: &Terms) -> Option<Reply> {
    if terms.require_tls {
        // RFC 8689 §4.2.1
        return Some(Reply::own([5, 7, 30], "REQUIRETLS is not supported on the way out"));
    }
    if terms.body == Body::BinaryMime {
        // RFC 3030 §3
        return Some(Reply::own([5, 6, 3], "binary messages cannot be handed on"));
    }
    None
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
pub(super) fn attempt(fate: &Fate, has_dsn: bool, remote: &str) -> Attempt {
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
fn reply(response: &Response, class: u16, remote: &str) -> Reply {
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
