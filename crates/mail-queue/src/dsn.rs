//! A notice as a message: delivery status notifications. RFC 3464, RFC 6522, RFC 6533
//!
//! What is written into header fields was checked when it came: envelopes by
//! [`crate::Envelope::check`], replies by [`crate::Reply::bounded`]. Nothing can end a line early.

use std::fmt::Write;

use mail_types::InternalDate;

use crate::entry::{Entry, QueuedRecipient, Reply};
use crate::envelope::{Body, Notify, Origin, OriginalRecipient, Recipient, Release, Ret, Terms};
use crate::id::QueueId;
use crate::notice::{Action, Notice, Told};

/// All that a notification is made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// This server's name.
    pub hostname: &'a str,
    /// What the message is called in the log: the entry that it is about, as a rule.
    pub log_id: &'a str,
    /// The entry that it will be.
    pub own: QueueId,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// The entry as it is after what is told.
    pub entry: &'a Entry,
    /// What is told.
    pub notice: &'a Notice,
    /// As much of the message as [`returned`] said, if it can be read.
    pub original: Option<&'a [u8]>,
}

/// A notification, ready to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// With what it is sent: a null sender, and never a notice about it. RFC 3461 §6.1
    pub terms: Terms,
    /// To whom.
    pub recipient: Recipient,
}

/// How much of the message goes back. All of it only with a failure and if that was asked for
/// (RFC 3461 §6.2), and not past a server that may not see it (RFC 8689 §5). A stranger has his
/// header: nobody gets this server to send megabytes by asking for them.
#[must_use]
pub fn returned(entry: &Entry, notice: &Notice) -> Ret {
    let is_failure = notice.told.iter().any(|told| told.action.is_failure());
    let is_plain = entry.terms.body != Body::BinaryMime && !entry.terms.require_tls;
    let is_ours = matches!(entry.terms.origin, Origin::Account(_));
    match entry.terms.ret {
        Some(Ret::Full) if is_failure && is_plain && is_ours => Ret::Full,
        _ => Ret::Headers,
    }
}

/// Writes a notice as a message to the sender; `None` if there is nobody to be told.
#[must_use]
pub fn compose(report: &Report<'_>, returned: Ret) -> Option<Notification> {
    let to = report.entry.terms.told()?;
    let is_utf8 = is_international(report, to);
    let original = report.original.filter(|original| has_lines(original));
    let boundary = format!("=_{}", report.own);
    let mut text = String::new();
    write_header(&mut text, report, to, &boundary);
    let words = explain(report);
    write_part(&mut text, &boundary, "text/plain; charset=utf-8", words.is_ascii());
    text.push_str(&words);
    let kind = if is_utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    let status = write_status(report, is_utf8);
    write_part(&mut text, &boundary, kind, status.is_ascii());
    text.push_str(&status);
    let mut bytes = text.into_bytes();
    if let Some(original) = original {
        let kind = match (returned, is_utf8) {
            (Ret::Full, false) => "message/rfc822",
            (Ret::Full, true) => "message/global",
            (Ret::Headers, false) => "text/rfc822-headers",
            (Ret::Headers, true) => "message/global-headers",
        };
        let mut head = String::new();
        write_part(&mut head, &boundary, kind, original.is_ascii());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(original);
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let mut terms = Terms::new(None, Origin::Server);
    terms.smtputf8 = is_utf8;
    terms.require_tls = report.entry.terms.require_tls;
    terms.body = if bytes.is_ascii() { Body::SevenBit } else { Body::EightBitMime };
    let recipient = Recipient { address: to.to_owned(), notify: Notify::Never, original: None };
    Some(Notification { bytes, terms, recipient })
}

/// Whether it has to say what only RFC 6533 can say.
fn is_international(report: &Report<'_>, to: &str) -> bool {
    let plain = |recipient: &QueuedRecipient| {
        let original = recipient.to.original.as_ref();
        recipient.to.address.is_ascii() && original.is_none_or(|o| o.address.is_ascii())
    };
    let told = report.notice.told.iter().filter_map(|t| report.entry.recipients.get(t.index));
    report.entry.terms.smtputf8 || !to.is_ascii() || !told.into_iter().all(plain)
}

/// Whether these are lines that any server takes: RFC 5321 §2.3.8, §4.5.3.1.6.
fn has_lines(bytes: &[u8]) -> bool {
    let mut length = 0;
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0 | b'\n' => return false,
            b'\r' if rest.next_if_eq(&b'\n').is_none() => return false,
            b'\r' => length = 0,
            _ => length += 1,
        }
        if length > LINE_BYTES_MAX {
            return false;
        }
    }
    true
}

fn write_header(text: &mut String, report: &Report<'_>, to: &str, boundary: &str) {
    let Report { hostname, own, now, notice, .. } = report;
    let _ = write!(
        text,
        "From: Mail Delivery System <postmaster@{hostname}>\r\n\
         To: <{to}>\r\n\
         Subject: {}\r\n\
         Date: {}\r\n\
         Message-ID: <{own}@{hostname}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"{boundary}\"\r\n",
        subject(notice),
        mail_date(*now),
    );
}

fn subject(notice: &Notice) -> &'static str {
    let any = |is: fn(Action) -> bool| notice.told.iter().any(|told| is(told.action));
    if any(Action::is_failure) {
        "Undelivered mail returned to sender"
    } else if any(|action| matches!(action, Action::Delayed { .. })) {
        "Mail delayed, still trying"
    } else {
        "Mail delivered"
    }
}

/// The delimiter before a part and the part's header. The boundary was drawn for this message, so
/// the original cannot have it.
fn write_part(text: &mut String, boundary: &str, kind: &str, is_ascii: bool) {
    let encoding = if is_ascii { "7bit" } else { "8bit" };
    let _ = write!(
        text,
        "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    );
}

/// For people. RFC 6522 §3
fn explain(report: &Report<'_>) -> String {
    let hostname = report.hostname;
    let mut text = format!("This is the mail system at {hostname}.\r\n");
    let mut last = "";
    for Told { index, action, reply } in &report.notice.told {
        let Some(recipient) = report.entry.recipients.get(*index) else { continue };
        let what = match action {
            Action::Failed => "Your message could not be delivered to:",
            Action::Expired => {
                "Your message could not be delivered in time, and no further \
                                attempt will be made, to:"
            }
            Action::Delayed { .. } => {
                "Your message is late. You need not send it again: attempts \
                                       go on. It has not been delivered yet to:"
            }
            Action::Delivered => "Your message was delivered to:",
            Action::Expanded => "Your message was passed on to all whom this address stands for:",
            Action::Relayed => {
                "Your message was handed to a server that may tell nothing more \
                                of it, for:"
            }
        };
        if what != last {
            let _ = write!(text, "\r\n{what}\r\n");
            last = what;
        }
        let _ = write!(text, "\r\n  <{}>\r\n", recipient.to.address);
        let Some(reply) = reply else { continue };
        let said = reply.smtp.as_ref().unwrap_or(&reply.text);
        match &reply.remote {
            Some(remote) => _ = write!(text, "  {remote}: {said}\r\n"),
            None => _ = write!(text, "  {said}\r\n"),
        }
    }
    text
}

/// The machine-readable part. RFC 3464 §2
fn write_status(report: &Report<'_>, is_utf8: bool) -> String {
    let terms = &report.entry.terms;
    let mut text = String::new();
    if let Some(envid) = &terms.envid {
        let _ = write!(text, "Original-Envelope-Id: {}\r\n", field(envid, is_utf8));
    }
    // A name without a dot is none of the domain name system. RFC 3461 §6.3
    let kind = if report.hostname.contains('.') { "dns" } else { "x-local-hostname" };
    let _ = write!(text, "Reporting-MTA: {kind}; {}\r\n", report.hostname);
    let _ = write!(text, "Arrival-Date: {}\r\n", mail_date(report.entry.arrived));
    // RFC 4865: so that the sender knows why his message is told of so late.
    match terms.release {
        Some(Release::For(secs)) => {
            let _ = write!(text, "Future-Release-Request: for;{secs}\r\n");
        }
        Some(Release::Until(at)) => {
            let at = InternalDate::rfc3339(at);
            let _ = write!(text, "Future-Release-Request: until;{at}\r\n");
        }
        None => {}
    }
    for told in &report.notice.told {
        if let Some(recipient) = report.entry.recipients.get(told.index) {
            text.push_str("\r\n");
            write_recipient(&mut text, report, recipient, told, is_utf8);
        }
    }
    text
}

/// RFC 3464 §2.3
fn write_recipient(
    text: &mut String,
    report: &Report<'_>,
    recipient: &QueuedRecipient,
    told: &Told,
    is_utf8: bool,
) {
    if let Some(OriginalRecipient { kind, address }) = &recipient.to.original {
        let (kind, address) = (field(kind, false), field(address, is_utf8));
        let _ = write!(text, "Original-Recipient: {kind}; {address}\r\n");
    }
    let address = &recipient.to.address;
    let kind = if address.is_ascii() { "rfc822" } else { "utf-8" };
    let _ = write!(text, "Final-Recipient: {kind}; {address}\r\n");
    let [class, subject, detail] = status(told);
    let _ = write!(text, "Action: {}\r\n", told.action.word());
    let _ = write!(text, "Status: {class}.{subject}.{detail}\r\n");
    if let Some(Reply { remote: Some(remote), .. }) = &told.reply {
        let _ = write!(text, "Remote-MTA: dns; {}\r\n", field(remote, is_utf8));
    }
    if let Some(Reply { smtp: Some(smtp), .. }) = &told.reply {
        let _ = write!(text, "Diagnostic-Code: smtp; {}\r\n", field(smtp, is_utf8));
    }
    let _ = write!(text, "Last-Attempt-Date: {}\r\n", mail_date(report.now));
    let _ = write!(text, "Final-Log-ID: {}\r\n", report.log_id);
    if let Action::Delayed { until } = told.action {
        let _ = write!(text, "Will-Retry-Until: {}\r\n", mail_date(until));
    }
}

/// The Status field: its class must agree with the action, whatever was replied. RFC 3464 §2.3.4
fn status(told: &Told) -> [u16; 3] {
    let said = told.reply.as_ref().map(|reply| reply.status);
    match told.action {
        Action::Delivered | Action::Relayed | Action::Expanded => {
            said.filter(|status| status[0] == 2).unwrap_or([2, 0, 0])
        }
        // Delivery time expired. RFC 3463 §3.5
        Action::Expired => [5, 4, 7],
        Action::Failed => said.filter(|status| status[0] == 5).unwrap_or([5, 0, 0]),
        Action::Delayed { .. } => said.filter(|status| status[0] == 4).unwrap_or([4, 0, 0]),
    }
}

/// A text as it may stand in a field.
fn field(text: &str, is_utf8: bool) -> String {
    let fits = |c: char| !c.is_control() && (is_utf8 || c.is_ascii());
    text.chars().map(|c| if fits(c) { c } else { '?' }).collect()
}

/// A moment, in seconds since 1970, as `date-time` of RFC 5322 §3.3 in UTC.
fn mail_date(seconds: i64) -> String {
    let date = InternalDate::utc(seconds);
    // 1970-01-01 was a Thursday.
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let weekday = usize::try_from(date.day().rem_euclid(7)).ok();
    let name = weekday.and_then(|day| names.get(day)).unwrap_or(&"Thu");
    let text = date.to_string();
    let (day, time) = text.trim_start().split_once(' ').unwrap_or_default();
    format!("{name}, {} {time}", day.replace('-', " "))
}

/// RFC 5322 §2.1.1
const LINE_BYTES_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_888_800;

    fn entry(ret: Option<Ret>) -> Entry {
        let mut terms =
            Terms::new(Some("dock@mail.example".into()), Origin::Account("dock".into()));
        (terms.envid, terms.ret) = (Some("QQ314159".into()), ret);
        let original = OriginalRecipient { kind: "rfc822".into(), address: "B@x.example".into() };
        let to = vec![
            Recipient {
                address: "b@x.example".into(),
                notify: Notify::Unasked,
                original: Some(original),
            },
            Recipient::new("c@y.example"),
        ];
        Entry::new(terms, to, 100, NOW - 60, None)
    }

    fn reply(status: [u16; 3], smtp: &str) -> Option<Reply> {
        let remote = Some("mx.x.example".to_owned());
        Some(Reply { status, smtp: Some(smtp.into()), remote, text: smtp.into() })
    }

    fn write(entry: &Entry, told: Vec<Told>, original: &[u8]) -> Notification {
        let notice = Notice { told };
        let report = Report {
            hostname: "mail.example",
            log_id: "006b0b166401010101010101",
            own: QueueId::new(NOW, [2; 7]),
            now: NOW,
            entry,
            notice: &notice,
            original: Some(original),
        };
        compose(&report, returned(entry, &notice)).unwrap()
    }

    #[test]
    fn a_failure_is_told_with_all_that_the_rfc_asks_for() {
        let failed =
            Told { index: 0, action: Action::Failed, reply: reply([5, 1, 1], "550 5.1.1 nobody") };
        let notification = write(&entry(None), vec![failed], b"Subject: Tide\r\n\r\n");
        let expected = "From: Mail Delivery System <postmaster@mail.example>\r\n\
            To: <dock@mail.example>\r\n\
            Subject: Undelivered mail returned to sender\r\n\
            Date: Sat, 28 Nov 2026 18:00:00 +0000\r\n\
            Message-ID: <006b0b16a002020202020202@mail.example>\r\n\
            Auto-Submitted: auto-replied\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status;\r\n\
            \tboundary=\"=_006b0b16a002020202020202\"\r\n\
            \r\n--=_006b0b16a002020202020202\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\n\
            This is the mail system at mail.example.\r\n\r\n\
            Your message could not be delivered to:\r\n\r\n  <b@x.example>\r\n  \
            mx.x.example: 550 5.1.1 nobody\r\n\
            \r\n--=_006b0b16a002020202020202\r\n\
            Content-Type: message/delivery-status\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\n\
            Original-Envelope-Id: QQ314159\r\n\
            Reporting-MTA: dns; mail.example\r\n\
            Arrival-Date: Sat, 28 Nov 2026 17:59:00 +0000\r\n\r\n\
            Original-Recipient: rfc822; B@x.example\r\n\
            Final-Recipient: rfc822; b@x.example\r\n\
            Action: failed\r\n\
            Status: 5.1.1\r\n\
            Remote-MTA: dns; mx.x.example\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 nobody\r\n\
            Last-Attempt-Date: Sat, 28 Nov 2026 18:00:00 +0000\r\n\
            Final-Log-ID: 006b0b166401010101010101\r\n\
            \r\n--=_006b0b16a002020202020202\r\n\
            Content-Type: text/rfc822-headers\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\n\
            Subject: Tide\r\n\r\n\
            \r\n--=_006b0b16a002020202020202--\r\n";
        assert_eq!(String::from_utf8(notification.bytes).unwrap(), expected);
        assert_eq!(notification.terms, Terms::new(None, Origin::Server));
        assert_eq!(notification.recipient.address, "dock@mail.example");
        assert_eq!(notification.recipient.notify, Notify::Never);
    }

    #[test]
    fn one_message_tells_of_several_recipients() {
        let until = NOW + 3600;
        let told = vec![
            Told { index: 0, action: Action::Expired, reply: reply([4, 4, 1], "421 away") },
            Told { index: 1, action: Action::Delayed { until }, reply: None },
        ];
        let text = write(&entry(Some(Ret::Full)), told, b"Subject: x\r\n\r\nbody\r\n").bytes;
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("Final-Recipient:").count(), 2);
        for part in [
            "Action: failed\r\nStatus: 5.4.7\r\n",
            "Action: delayed\r\nStatus: 4.0.0\r\n",
            "Will-Retry-Until: Sat, 28 Nov 2026 19:00:00 +0000\r\n",
            "Content-Type: message/rfc822\r\n",
            "body\r\n",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn only_a_failure_returns_the_whole_message() {
        let delivered = |action| vec![Told { index: 0, action, reply: None }];
        let entry = entry(Some(Ret::Full));
        let late = Action::Delayed { until: NOW };
        for action in [Action::Delivered, Action::Relayed, Action::Expanded, late] {
            let text = write(&entry, delivered(action), b"Subject: x\r\n\r\n").bytes;
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("text/rfc822-headers"), "{action:?}");
            assert!(text.contains(&format!("Action: {}\r\n", action.word())));
        }
        let text = write(&entry, delivered(Action::Delivered), b"").bytes;
        assert!(String::from_utf8(text).unwrap().contains("Status: 2.0.0\r\n"));
    }

    #[test]
    fn a_stranger_has_his_header_back_whatever_he_asked_for() {
        let notice = Notice { told: vec![Told { index: 0, action: Action::Failed, reply: None }] };
        let mut entry = entry(Some(Ret::Full));
        assert_eq!(returned(&entry, &notice), Ret::Full);
        entry.terms.origin = Origin::Vouched;
        assert_eq!(returned(&entry, &notice), Ret::Headers);
    }

    #[test]
    fn what_is_not_ascii_is_told_in_the_ways_of_rfc_6533() {
        let mut entry = entry(None);
        entry.recipients[0].to.address = "\u{e4}@x.example".into();
        let told = vec![Told { index: 0, action: Action::Failed, reply: None }];
        let notification = write(&entry, told, "Subject: \u{e4}\r\n\r\n".as_bytes());
        let text = String::from_utf8(notification.bytes).unwrap();
        assert!(text.contains("Content-Type: message/global-delivery-status\r\n"));
        assert!(text.contains("Final-Recipient: utf-8; \u{e4}@x.example\r\n"));
        assert!(text.contains("Content-Type: message/global-headers\r\n"));
        assert!(notification.terms.smtputf8);
        assert_eq!(notification.terms.body, Body::EightBitMime);
    }

    #[test]
    fn a_reply_that_is_not_ascii_does_not_need_a_server_that_knows_smtputf8() {
        let told =
            vec![Told { index: 0, action: Action::Failed, reply: reply([5, 0, 0], "550 \u{e4}") }];
        let notification = write(&entry(None), told, b"");
        let text = String::from_utf8(notification.bytes).unwrap();
        assert!(text.contains("Diagnostic-Code: smtp; 550 ?\r\n"));
        assert!(!notification.terms.smtputf8);
        assert_eq!(notification.terms.body, Body::EightBitMime);
    }

    #[test]
    fn an_original_that_no_server_would_take_is_left_out() {
        let told = || vec![Told { index: 0, action: Action::Failed, reply: None }];
        let long = [b'x'; 999];
        for original in [&b"a\nb"[..], b"a\rb", b"a\0", b"\r", &long] {
            let text = write(&entry(None), told(), original).bytes;
            assert!(!String::from_utf8(text).unwrap().contains("rfc822-headers"));
        }
        let text = write(&entry(None), told(), &long[1..]).bytes;
        assert!(String::from_utf8(text).unwrap().contains("rfc822-headers"));
    }

    #[test]
    fn a_server_without_a_domain_name_does_not_claim_one_and_a_silent_one_is_named() {
        let reply = Reply {
            remote: Some("mx.x.example".into()),
            ..Reply::own([4, 4, 1], "the connection was refused")
        };
        let notice =
            Notice { told: vec![Told { index: 0, action: Action::Expired, reply: Some(reply) }] };
        let report = Report {
            hostname: "localhost",
            log_id: "006b0b166401010101010101",
            own: QueueId::new(NOW, [2; 7]),
            now: NOW,
            entry: &entry(None),
            notice: &notice,
            original: None,
        };
        let text = String::from_utf8(compose(&report, Ret::Headers).unwrap().bytes).unwrap();
        assert!(text.contains("Reporting-MTA: x-local-hostname; localhost\r\n"));
        assert!(text.contains("Remote-MTA: dns; mx.x.example\r\n"));
        assert!(!text.contains("Diagnostic-Code"));
        assert!(text.contains("  mx.x.example: the connection was refused\r\n"));
    }

    #[test]
    fn a_notice_about_mail_that_was_held_says_what_was_asked_for() {
        let told = || vec![Told { index: 0, action: Action::Failed, reply: None }];
        let mut entry = entry(None);
        for (release, field) in [
            (Release::For(600), "Future-Release-Request: for;600\r\n"),
            (Release::Until(NOW), "Future-Release-Request: until;2026-11-28T18:00:00Z\r\n"),
        ] {
            entry.terms.release = Some(release);
            let text = String::from_utf8(write(&entry, told(), b"").bytes).unwrap();
            assert!(text.contains(field), "{text}");
        }
    }

    #[test]
    fn nobody_is_told_of_a_notice() {
        let mut entry = entry(None);
        entry.terms = Terms::new(None, Origin::Server);
        let notice = Notice { told: vec![Told { index: 0, action: Action::Failed, reply: None }] };
        let report = Report {
            hostname: "mail.example",
            log_id: "006b0b166401010101010101",
            own: QueueId::new(NOW, [2; 7]),
            now: NOW,
            entry: &entry,
            notice: &notice,
            original: None,
        };
        assert_eq!(compose(&report, Ret::Headers), None);
    }
}
