//! The header of a message that is coming: how often it went round already, and for submission what
//! it lacks, what it must not have, and in whose name it speaks. RFC 6409 §8, RFC 5322 §3.6

use std::collections::HashSet;

use mime::header::{Field, fields};
use mime::parse_addresses;
use smtp_session::Reply;

/// Gathers the header block of a message that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct HeaderBlock {
    bytes: Vec<u8>,
    /// Up to where no end was found.
    searched: usize,
}

/// A header block, and what came behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// With its blank line, if that has come.
    pub(crate) header: Vec<u8>,
    pub(crate) rest: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    BlankLine,
    /// The message has ended.
    Message,
    /// It is longer than is looked at.
    TooLong,
}

impl HeaderBlock {
    /// Takes the next octets; the block once it is whole or too long.
    pub(crate) fn push(&mut self, text: &[u8]) -> Option<Split> {
        self.bytes.extend_from_slice(text);
        let end = if self.bytes.starts_with(b"\r\n") {
            Some(2)
        } else {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let found = unsearched.windows(4).position(|four| four == b"\r\n\r\n");
            found.map(|at| self.searched + at + 4)
        };
        self.searched = self.bytes.len().saturating_sub(3);
        match end {
            Some(end) => {
                let rest = self.bytes.split_off(end);
                Some(Split { header: std::mem::take(&mut self.bytes), rest, end: End::BlankLine })
            }
            None if self.bytes.len() > HEADER_BYTES_MAX => Some(self.cut(End::TooLong)),
            None => None,
        }
    }

    /// What there is when the message ends without a blank line.
    pub(crate) fn finish(mut self) -> Split {
        self.cut(End::Message)
    }

    fn cut(&mut self, end: End) -> Split {
        Split { header: std::mem::take(&mut self.bytes), rest: Vec::new(), end }
    }
}

/// A message that has passed through so many servers goes round in a circle. RFC 5321 §6.3
pub(crate) fn check_hops(header: &[u8]) -> Result<(), Reply> {
    let hops = fields(header).filter(|field| field.is_named(b"Received")).count();
    if hops > HOPS_MAX { Err(Reply::new(554, "5.4.6", "Too many hops")) } else { Ok(()) }
}

/// A message that has been forwarded for one of these recipients before goes round in a circle, and
/// grows with each round if he stands for several: to wait for the hops would be too late. RFC 5321
/// §6.3
pub(crate) fn check_circle<'a>(
    header: &[u8],
    forwarded: impl Iterator<Item = &'a str>,
) -> Result<(), Reply> {
    let mut forwarded = forwarded.peekable();
    if forwarded.peek().is_none() {
        return Ok(());
    }
    let passed = fields(header).filter(|field| field.is_named(DELIVERED_TO.as_bytes()));
    let passed: HashSet<Vec<u8>> =
        passed.map(|field| field.value.trim_ascii().to_ascii_lowercase()).collect();
    let has_passed = |address: &str| passed.contains(address.to_ascii_lowercase().as_bytes());
    match forwarded.any(has_passed) {
        true => Err(Reply::new(554, "5.4.6", "This was forwarded for the recipient before")),
        false => Ok(()),
    }
}

/// A header as it may go out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Submitted {
    pub(crate) header: Vec<u8>,
    /// The addresses of From and Sender: whoever sends this must have them all.
    pub(crate) senders: Vec<String>,
    /// The domain of the first address of From, in whose name it is signed.
    pub(crate) author_domain: String,
}

/// What is added where it is missing.
#[derive(Clone, Debug)]
pub(crate) struct Additions {
    /// RFC 5322 §3.3
    pub(crate) date: String,
    /// With its brackets.
    pub(crate) message_id: String,
}

/// Takes away Bcc and Return-Path, adds Date and Message-ID where there is none, and tells who is
/// named as sender. RFC 6409 §8.2, §8.3; RFC 5322 §3.6
pub(crate) fn submitted(header: &[u8], additions: &Additions) -> Result<Submitted, Reply> {
    let mut out = Vec::with_capacity(header.len() + 200);
    let (mut senders, mut author_domain) = (Vec::new(), String::new());
    let (mut froms, mut others) = (0, 0);
    let (mut has_date, mut has_id) = (false, false);
    for field in fields(header) {
        if field.name.is_empty() {
            // What some read as the beginning of the text is a field to others.
            return Err(Reply::new(550, "5.6.0", "A line of the header is no field"));
        }
        if field.is_named(b"Bcc") || field.is_named(b"Return-Path") {
            continue;
        }
        if field.is_named(b"From") {
            froms += 1;
            let authors = addresses(&field)?;
            let first = authors.first().and_then(|address| address.rsplit_once('@'));
            author_domain = first.map(|(_, domain)| domain.to_owned()).unwrap_or_default();
            senders.extend(authors);
        } else if field.is_named(b"Sender") {
            others += 1;
            senders.extend(addresses(&field)?);
        }
        has_date |= field.is_named(b"Date");
        has_id |= field.is_named(b"Message-ID");
        out.extend_from_slice(field.raw);
    }
    if froms != 1 || others > 1 {
        return Err(Reply::new(550, "5.6.0", "A message has one From and at most one Sender"));
    }
    complete(&mut out, (has_date, has_id), additions);
    Ok(Submitted { header: out, senders, author_domain })
}

/// The header as its sender keeps it: with Bcc, which nobody else sees, and with what is added to
/// what the others see. RFC 5322 §3.6.3
pub(crate) fn own_copy(header: &[u8], additions: &Additions) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + 200);
    let (mut has_date, mut has_id) = (false, false);
    for field in fields(header).filter(|field| !field.is_named(b"Return-Path")) {
        has_date |= field.is_named(b"Date");
        has_id |= field.is_named(b"Message-ID");
        out.extend_from_slice(field.raw);
    }
    complete(&mut out, (has_date, has_id), additions);
    out
}

/// Adds Date and Message-ID to fields that do not have them, and the blank line.
fn complete(out: &mut Vec<u8>, (has_date, has_id): (bool, bool), additions: &Additions) {
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    if !has_date {
        out.extend_from_slice(format!("Date: {}\r\n", additions.date).as_bytes());
    }
    if !has_id {
        out.extend_from_slice(format!("Message-ID: {}\r\n", additions.message_id).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The addresses of a field; one that cannot be read might be read as anybody's.
fn addresses(field: &Field<'_>) -> Result<Vec<String>, Reply> {
    let list = parse_addresses(field.value);
    if list.is_empty() || list.len() > SENDERS_MAX {
        return Err(UNREADABLE_SENDER);
    }
    let one = |address: &mail_types::Address| {
        let (mailbox, host) = (address.mailbox.as_deref()?, address.host.as_deref()?);
        let (mailbox, host) = (std::str::from_utf8(mailbox).ok()?, std::str::from_utf8(host).ok()?);
        (!mailbox.is_empty() && !host.is_empty()).then(|| format!("{mailbox}@{host}"))
    };
    list.iter().map(one).collect::<Option<Vec<_>>>().ok_or(UNREADABLE_SENDER)
}

const UNREADABLE_SENDER: Reply = Reply::new(550, "5.6.0", "From or Sender cannot be read");

/// The name of the field in which a recipient stands whom a message has come to.
pub(crate) const DELIVERED_TO: &str = "Delivered-To";

/// The longest header that is held in memory: longer than any that a person or a list makes.
pub(crate) const HEADER_BYTES_MAX: usize = 256 * 1024;

/// People who write one message together.
const SENDERS_MAX: usize = 20;

/// RFC 5321 §6.3: at least 100.
const HOPS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn additions() -> Additions {
        Additions { date: "DATE".to_owned(), message_id: "<ID>".to_owned() }
    }

    fn run(header: &str) -> Result<(String, Vec<String>), Reply> {
        let header = header.replace('\n', "\r\n");
        let done = submitted(header.as_bytes(), &additions())?;
        Ok((String::from_utf8(done.header).unwrap().replace("\r\n", "\n"), done.senders))
    }

    #[test]
    fn what_is_missing_is_added_and_bcc_goes() {
        let (header, senders) =
            run("From: Me <me@a.example>\nBCC: x@y.example,\n z@y.example\nSubject: s\n\n")
                .unwrap();
        assert_eq!(header, "From: Me <me@a.example>\nSubject: s\nDate: DATE\nMessage-ID: <ID>\n\n");
        assert_eq!(senders, ["me@a.example"]);
        let whole = "Date: d\nmessage-id: <1@x>\nFrom: me@a.example\nSender: you@a.example\n\n";
        let (header, senders) = run(whole).unwrap();
        assert_eq!(header, whole);
        assert_eq!(senders, ["me@a.example", "you@a.example"]);
    }

    #[test]
    fn the_senders_own_copy_keeps_bcc_and_has_what_was_added() {
        let header = "From: me@a.example\r\nBcc: x@y.example\r\nReturn-Path: <z>\r\n\r\n";
        let copy = own_copy(header.as_bytes(), &additions());
        let expected =
            "From: me@a.example\r\nBcc: x@y.example\r\nDate: DATE\r\nMessage-ID: <ID>\r\n\r\n";
        assert_eq!(String::from_utf8(copy).unwrap(), expected);
        let whole = "Date: d\r\nMessage-ID: <1@x>\r\n\r\n";
        assert_eq!(own_copy(whole.as_bytes(), &additions()), whole.as_bytes());
    }

    #[test]
    fn s072_a_header_that_could_be_read_as_from_somebody_else_is_refused() {
        for header in [
            "Subject: nobody\n\n",
            "From: me@a.example\nFrom: you@a.example\n\n",
            "From: me@a.example\nSender: a@a.example\nSender: b@a.example\n\n",
            "From: team: me@a.example;\n\n",
            "From:\n\n",
            "From: me\n\n",
            "From: me@a.example\nnot a field\n\n",
            " From: you@a.example\nFrom: me@a.example\n\n",
        ] {
            assert!(run(header).is_err(), "{header:?}");
        }
        let both = run("From: me@a.example, you@a.example\n\n").unwrap().1;
        assert_eq!(both, ["me@a.example", "you@a.example"]);
    }

    #[test]
    fn a_message_is_signed_for_the_domain_of_its_first_author() {
        let header = b"Sender: s@c.example\r\nFrom: me@a.example, you@b.example\r\n\r\n";
        assert_eq!(submitted(header, &additions()).unwrap().author_domain, "a.example");
    }

    #[test]
    fn a_header_is_found_at_any_split() {
        for (text, header) in [
            ("A: b\r\n\r\nbody\r\n\r\n", "A: b\r\n\r\n"),
            ("\r\nbody", "\r\n"),
            ("A: b\r\nC: d\r\n\r\n", "A: b\r\nC: d\r\n\r\n"),
        ] {
            for split in 0..text.len() {
                let mut block = HeaderBlock::default();
                let (first, second) = text.as_bytes().split_at(split);
                let (found, left) = match block.push(first) {
                    Some(found) => (found, second),
                    None => (block.push(second).unwrap(), &b""[..]),
                };
                assert_eq!(found.header, header.as_bytes(), "{text:?} at {split}");
                assert_eq!(found.end, End::BlankLine);
                let whole = [found.header, found.rest, left.to_vec()].concat();
                assert_eq!(whole, text.as_bytes());
            }
        }
    }

    #[test]
    fn s029_a_header_without_end_is_not_gathered_for_ever() {
        let mut block = HeaderBlock::default();
        let piece = b"Subject: x\r\n".repeat(1000);
        let found = (0..100).find_map(|_| block.push(&piece)).unwrap();
        assert_eq!(found.end, End::TooLong);
        assert!(found.header.len() <= HEADER_BYTES_MAX + piece.len());
    }

    #[test]
    fn s093_a_message_that_goes_round_in_a_circle_is_refused() {
        let header = |hops: usize| format!("{}\r\n", "Received: from a by b\r\n".repeat(hops));
        assert!(check_hops(header(100).as_bytes()).is_ok());
        assert_eq!(check_hops(header(101).as_bytes()).unwrap_err().code, 554);
        let passed = b"Received: x\r\nDelivered-to:  Info@Our.example \r\nX: a@our.example\r\n\r\n";
        let circle = |addresses: &[&str]| check_circle(passed, addresses.iter().copied());
        assert!(circle(&[]).is_ok() && circle(&["a@our.example", "fo@our.example"]).is_ok());
        assert_eq!(circle(&["a@our.example", "info@our.example"]).unwrap_err().status, "5.4.6");
    }
}
