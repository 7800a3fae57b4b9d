//! The trace fields that are put in front of a message. RFC 5321 §4.4

use std::fmt::Write;
use std::net::IpAddr;

use mail_types::InternalDate;
use net::Security;

use crate::header::DELIVERED_TO;

/// How a message came here.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// What was spoken.
    pub protocol: Protocol,
    /// What the client called itself. Checked by [`Trace::new`], not trusted.
    pub client_name: &'a str,
    /// Where the client is; `None` for a process of this machine.
    pub client_ip: Option<IpAddr>,
    /// This server's name.
    pub hostname: &'a str,
    /// Whether it came over TLS.
    pub security: Security,
    /// Whether the client declared international addresses (RFC 6531).
    pub utf8: bool,
    /// A name for this transaction that the log has too.
    pub id: u64,
    /// When it arrived, written as RFC 5322 §3.3 wants it.
    pub date: &'a str,
}

/// What a client spoke. RFC 3848
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// LMTP.
    Lmtp,
    /// SMTP after HELO.
    Smtp,
    /// SMTP after EHLO.
    Esmtp,
    /// The same, after AUTH.
    EsmtpAuth,
}

impl Protocol {
    /// The name for the WITH clause. RFC 3848, RFC 6531 §4.3
    pub(crate) fn name(self, utf8: bool, security: Security) -> &'static str {
        match (self, utf8, security) {
            (Self::Lmtp, false, Security::Cleartext) => "LMTP",
            (Self::Lmtp, false, Security::Tls) => "LMTPS",
            (Self::Lmtp, true, Security::Cleartext) => "UTF8LMTP",
            (Self::Lmtp, true, Security::Tls) => "UTF8LMTPS",
            (Self::Smtp, _, _) => "SMTP",
            (Self::Esmtp, false, Security::Cleartext) => "ESMTP",
            (Self::Esmtp, false, Security::Tls) => "ESMTPS",
            (Self::Esmtp, true, Security::Cleartext) => "UTF8SMTP",
            (Self::Esmtp, true, Security::Tls) => "UTF8SMTPS",
            (Self::EsmtpAuth, false, Security::Cleartext) => "ESMTPA",
            (Self::EsmtpAuth, false, Security::Tls) => "ESMTPSA",
            (Self::EsmtpAuth, true, Security::Cleartext) => "UTF8SMTPA",
            (Self::EsmtpAuth, true, Security::Tls) => "UTF8SMTPSA",
        }
    }
}

/// The fields for one message, without the one that differs for each recipient.
#[derive(Clone, Debug)]
pub struct Trace {
    return_path: String,
    received: String,
}

impl Trace {
    /// Composes the fields. `reverse_path` is the address of MAIL FROM, empty for `<>`.
    pub fn new(reverse_path: &str, arrival: &Arrival<'_>) -> Self {
        let mut received = String::new();
        let _ = write!(received, "Received: from {}", domain(arrival.client_name));
        match arrival.client_ip {
            Some(IpAddr::V4(ip)) => drop(write!(received, " ([{ip}])")),
            Some(IpAddr::V6(ip)) => drop(write!(received, " ([IPv6:{ip}])")),
            None => received.push_str(" (local)"),
        }
        let with = arrival.protocol.name(arrival.utf8, arrival.security);
        let _ = write!(
            received,
            "\r\n\tby {} with {with} id {:016x};\r\n\t{}\r\n",
            arrival.hostname, arrival.id, arrival.date
        );
        Self { return_path: format!("Return-Path: <{reverse_path}>\r\n"), received }
    }

    /// The field that says to whom a message came before it was delivered, or forwarded.
    pub fn passed(recipient: &str) -> Vec<u8> {
        format!("{DELIVERED_TO}: {recipient}\r\n").into_bytes()
    }

    /// The field that every server on the way adds.
    pub fn received(&self) -> &[u8] {
        self.received.as_bytes()
    }

    /// The fields for one recipient, with `above` over the one that says from where the message
    /// came. Return-Path comes first and stands once (RFC 5321 §4.4).
    pub fn fields(&self, recipient: &str, above: &[u8]) -> Vec<u8> {
        let mut fields = self.return_path.clone().into_bytes();
        fields.extend_from_slice(&Self::passed(recipient));
        fields.extend_from_slice(above);
        fields.extend_from_slice(self.received.as_bytes());
        fields
    }
}

/// A moment, in seconds since 1970, as `date-time` of RFC 5322 §3.3 in UTC.
pub fn mail_date(seconds: i64) -> String {
    let date = InternalDate::utc(seconds);
    let weekday = date.day().rem_euclid(7);
    // 1970-01-01 was a Thursday.
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let name = usize::try_from(weekday).ok().and_then(|day| names.get(day)).unwrap_or(&"Thu");
    // `23-Nov-2026 09:00:00 +0000` has all the parts, with other marks between them.
    let text = date.to_string();
    let (day, time) = text.trim_start().split_once(' ').unwrap_or_default();
    format!("{name}, {} {time}", day.replace('-', " "))
}

/// The client's own word for itself as far as it is a domain or an address literal.
fn domain(claimed: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    let domain: String = claimed.chars().filter(|c| fits(*c)).take(DOMAIN_CHARS_MAX).collect();
    if domain.is_empty() { "unknown".to_owned() } else { domain }
}

/// RFC 5321 §4.5.3.1.2
const DOMAIN_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(client_name: &str) -> Arrival<'_> {
        Arrival {
            protocol: Protocol::Lmtp,
            client_name,
            client_ip: Some("192.0.2.7".parse().unwrap()),
            hostname: "mail.example.org",
            security: Security::Cleartext,
            utf8: false,
            id: 42,
            date: "Mon, 23 Nov 2026 09:00:00 +0000",
        }
    }

    #[test]
    fn the_fields_stand_in_order_and_name_the_recipient() {
        let trace = Trace::new("news@example.net", &arrival("mx.example.net"));
        let fields = String::from_utf8(trace.fields("home+news@example.org", b"")).unwrap();
        assert_eq!(
            fields,
            "Return-Path: <news@example.net>\r\n\
             Delivered-To: home+news@example.org\r\n\
             Received: from mx.example.net ([192.0.2.7])\r\n\
             \tby mail.example.org with LMTP id 000000000000002a;\r\n\
             \tMon, 23 Nov 2026 09:00:00 +0000\r\n"
        );
    }

    #[test]
    fn dates_are_those_of_mail() {
        assert_eq!(mail_date(1_795_888_800), "Sat, 28 Nov 2026 18:00:00 +0000");
        assert_eq!(mail_date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
    }

    #[test]
    fn a_client_name_cannot_bring_fields_of_its_own() {
        let trace = Trace::new("", &arrival("a\r\nSubject: (evil) x"));
        let fields = String::from_utf8(trace.fields("home@example.org", b"")).unwrap();
        assert!(fields.starts_with("Return-Path: <>\r\n"));
        assert!(fields.contains("Received: from aSubject:evilx ([192.0.2.7])\r\n"));
    }

    #[test]
    fn a_local_client_and_utf8_are_named() {
        let utf8 = Arrival { client_ip: None, utf8: true, ..arrival("") };
        let fields = String::from_utf8(Trace::new("", &utf8).fields("a@b", b"")).unwrap();
        assert!(fields.contains("Received: from unknown (local)\r\n"));
        assert!(fields.contains(" with UTF8LMTP id "));
    }

    #[test]
    fn the_protocol_says_whether_there_was_tls_and_a_login() {
        let with = |protocol, security| {
            let arrival = Arrival { protocol, security, ..arrival("a") };
            let received = String::from_utf8(Trace::new("", &arrival).received().to_vec()).unwrap();
            received.split(" with ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
        };
        assert_eq!(with(Protocol::Smtp, Security::Cleartext), "SMTP");
        assert_eq!(with(Protocol::Esmtp, Security::Tls), "ESMTPS");
        assert_eq!(with(Protocol::EsmtpAuth, Security::Tls), "ESMTPSA");
        assert_eq!(with(Protocol::EsmtpAuth, Security::Cleartext), "ESMTPA");
    }
}
