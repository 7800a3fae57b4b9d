//! ENVELOPE and the other summaries of a header block. RFC 9051 §7.5.2

use mail_types::{Address, Envelope};

use crate::address::ADDRESSES_MAX;
use crate::header::{fields, unfold};
use crate::{HeaderSummary, message_ids, parse_addresses, parse_date};

/// The envelope that a header block tells: raw texts, unfolded, encoded words left as they are.
///
/// Of a field that must stand once the first counts; To, Cc and Bcc that stand several times are
/// read as one, as RFC 5322 §4.5.3 would have it.
pub fn envelope(header: &[u8]) -> Envelope {
    let mut found = Found::default();
    for field in fields(header) {
        found.take(field.name, field.value);
    }
    found.envelope()
}

impl HeaderSummary {
    /// Reads the header block of a message.
    pub fn read(header: &[u8]) -> Self {
        let mut found = Found::default();
        let mut references: Option<Vec<Vec<u8>>> = None;
        for field in fields(header) {
            found.take(field.name, field.value);
            if field.is_named(b"references") && references.is_none() {
                references = Some(message_ids(field.value));
            }
        }
        let envelope = found.envelope();
        let in_reply_to = || {
            let text = envelope.in_reply_to.as_deref().unwrap_or_default();
            message_ids(text).into_iter().take(1).collect()
        };
        Self {
            date: envelope.date.as_deref().and_then(parse_date),
            message_id: envelope
                .message_id
                .as_deref()
                .and_then(|text| message_ids(text).into_iter().next()),
            // RFC 5256 §3: In-Reply-To only if References has no valid id.
            references: references.filter(|ids| !ids.is_empty()).unwrap_or_else(in_reply_to),
            envelope,
        }
    }
}

#[derive(Default)]
struct Found {
    envelope: Envelope,
}

impl Found {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let envelope = &mut self.envelope;
        let first = |place: &mut Option<Vec<u8>>| {
            place.get_or_insert_with(|| unfold(value));
        };
        let first_list = |place: &mut Vec<Address>| {
            if place.is_empty() {
                *place = parse_addresses(value);
            }
        };
        let all = |place: &mut Vec<Address>| {
            place.extend(parse_addresses(value));
            place.truncate(ADDRESSES_MAX);
        };
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            2 if is("to") => all(&mut envelope.to),
            2 if is("cc") => all(&mut envelope.cc),
            3 if is("bcc") => all(&mut envelope.bcc),
            4 if is("date") => first(&mut envelope.date),
            4 if is("from") => first_list(&mut envelope.from),
            6 if is("sender") => first_list(&mut envelope.sender),
            7 if is("subject") => first(&mut envelope.subject),
            8 if is("reply-to") => first_list(&mut envelope.reply_to),
            10 if is("message-id") => first(&mut envelope.message_id),
            11 if is("in-reply-to") => first(&mut envelope.in_reply_to),
            _ => {}
        }
    }

    fn envelope(self) -> Envelope {
        let mut envelope = self.envelope;
        // "If the Sender or Reply-To header fields are absent in the header, or are present but
        // empty, the server sets the corresponding member to be the same value as the from member."
        // RFC 9051 §7.5.2
        for place in [&mut envelope.sender, &mut envelope.reply_to] {
            if place.is_empty() {
                place.clone_from(&envelope.from);
            }
        }
        envelope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(mailbox: &str, host: &str) -> Vec<Address> {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        vec![Address { mailbox: text(mailbox), host: text(host), ..Address::default() }]
    }

    #[test]
    fn the_example_of_the_rfc_is_told() {
        let header = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
            From: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev2 WG mtg summary and minutes\r\n\
            To: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";
        let found = envelope(header);
        assert_eq!(found.date.unwrap(), b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)");
        assert_eq!(found.subject.unwrap(), b"IMAP4rev2 WG mtg summary and minutes");
        assert_eq!(found.from.len(), 1);
        assert_eq!(found.from[0].name.as_deref(), Some(&b"Terry Gray"[..]));
        assert_eq!((&found.sender, &found.reply_to), (&found.from, &found.from));
        assert_eq!(found.to, one("imap", "cac.washington.edu"));
        assert_eq!(found.cc[0], one("minutes", "CNRI.Reston.VA.US")[0]);
        assert_eq!((found.bcc.len(), found.in_reply_to), (0, None));
        assert_eq!(found.message_id.unwrap(), b"<B27397-0100000@cac.washington.edu>");
    }

    #[test]
    fn wire_22_sender_and_reply_to_default_to_from_when_missing_or_empty() {
        let found = envelope(b"From: a@b\nSender:\nReply-To: (nobody)\n\n");
        assert_eq!((&found.sender, &found.reply_to), (&one("a", "b"), &one("a", "b")));
        let found = envelope(b"Sender: s@b\nReply-To: r@b\n\n");
        assert_eq!((found.from, found.sender), (vec![], one("s", "b")));
        assert_eq!(found.reply_to, one("r", "b"));
    }

    #[test]
    fn an_empty_field_is_an_empty_text_and_a_missing_one_is_none() {
        let found = envelope(b"Subject:\nIn-Reply-To: \n\n");
        assert_eq!((found.subject, found.in_reply_to), (Some(vec![]), Some(vec![])));
        assert_eq!((found.date, found.message_id), (None, None));
    }

    #[test]
    fn texts_are_unfolded_and_hold_no_nul() {
        let found = envelope(
            b"SUBJECT : =?utf-8?q?a?=\r\n\t =?utf-8?q?b?= \0 \xe4\r\n\r\nSubject: body\r\n",
        );
        assert_eq!(found.subject.unwrap(), b"=?utf-8?q?a?=\t =?utf-8?q?b?= ? \xe4");
    }

    #[test]
    fn the_first_of_two_counts_but_recipients_add_up() {
        let found = envelope(b"From: a@b\nFrom: c@d\nSubject: 1\nSubject: 2\nTo: x@y\nTo: z@y\n");
        assert_eq!((found.from, found.subject.unwrap()), (one("a", "b"), b"1".to_vec()));
        assert_eq!(found.to, [one("x", "y"), one("z", "y")].concat());
    }

    #[test]
    fn the_thread_is_told_by_references_or_else_by_in_reply_to() {
        let ids = |header: &str| {
            let found = HeaderSummary::read(header.as_bytes());
            let text = |id: Vec<u8>| String::from_utf8(id).unwrap();
            let references: Vec<String> = found.references.into_iter().map(text).collect();
            (found.message_id.map(text), references)
        };
        let (id, references) =
            ids("Message-ID: <1@x>\nReferences: <a@x>\n <b@x>\nIn-Reply-To: <c@x>\n");
        assert_eq!((id.as_deref(), references), (Some("1@x"), vec!["a@x".into(), "b@x".into()]));
        let (id, references) = ids("References: junk\nIn-Reply-To: your mail <c@x> <d@x>\n");
        assert_eq!((id, references), (None, vec!["c@x".into()]));
    }
}
