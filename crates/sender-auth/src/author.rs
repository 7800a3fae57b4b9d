//! Who a message says that it is from: the domains of its From field.
//!
//! Programs that show mail read a malformed From in many ways. So every domain that any of them
//! could show as the author's is found here, and the message must be proved for each; a field that
//! can hide one is refused. This is stricter than RFC 9989 §5.3.1, which leaves out fields with
//! several domains: whoever forges mail would only have to add one.

use std::collections::BTreeSet;

use mime::header::unfold;

use crate::domain;
use crate::message::Message;

/// Why nobody stands for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAuthor {
    Missing,
    Several,
    Unreadable,
    /// Another one could stand where nobody looks.
    Hidden,
}

impl NoAuthor {
    /// In words, for a reply.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "the message has no From field",
            Self::Several => "the message has several From fields",
            Self::Unreadable => "the From field cannot be read",
            Self::Hidden => "the header has too many fields",
        }
    }
}

/// The domains of the authors, in normal form. RFC 5322 §3.6: there is exactly one From.
///
/// Without any there is no policy to ask for; that is only so for addresses like `a@[192.0.2.1]`.
pub(crate) fn domains(message: &Message<'_>) -> Result<BTreeSet<String>, NoAuthor> {
    if message.has_too_many_fields() {
        return Err(NoAuthor::Hidden);
    }
    let mut fields = message.named("From");
    let field = fields.next().ok_or(NoAuthor::Missing)?;
    if fields.next().is_some() {
        return Err(NoAuthor::Several);
    }
    // A NUL or another control character ends the text for some.
    let is_hidden = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t');
    if field.value.len() > FIELD_BYTES_MAX || field.value.iter().any(is_hidden) {
        return Err(NoAuthor::Unreadable);
    }
    let mut hosts = shown(field.value)?;
    hosts.extend(after_signs(&unfold(field.value)));
    let mut found = BTreeSet::new();
    for host in hosts {
        if host.starts_with(b"[") && host.ends_with(b"]") {
            continue;
        }
        found.insert(domain::normal_bytes(&host).ok_or(NoAuthor::Unreadable)?);
    }
    if found.len() > DOMAINS_MAX { Err(NoAuthor::Unreadable) } else { Ok(found) }
}

/// The hosts that our own ENVELOPE shows.
fn shown(value: &[u8]) -> Result<Vec<Vec<u8>>, NoAuthor> {
    let mut hosts = Vec::new();
    for address in mime::parse_addresses(value) {
        let Some(host) = address.host else { continue };
        if !host.is_empty() {
            hosts.push(host);
            continue;
        }
        // `Doe, John <j@d>` is a name with a comma in it; but an encoded word that stands for an
        // address is shown as one by those who decode first.
        let texts = [address.name, address.mailbox];
        if texts.iter().flatten().any(|text| text.windows(2).any(|two| two == b"=?")) {
            return Err(NoAuthor::Unreadable);
        }
    }
    if hosts.is_empty() { Err(NoAuthor::Unreadable) } else { Ok(hosts) }
}

/// What follows each `@` that stands neither in quotes nor in a comment.
fn after_signs(value: &[u8]) -> Vec<Vec<u8>> {
    let mut hosts = Vec::new();
    let (mut is_quoted, mut depth) = (false, 0_usize);
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' if is_quoted || depth > 0 => rest = rest.get(1..).unwrap_or_default(),
            b'"' if depth == 0 => is_quoted = !is_quoted,
            b'(' if !is_quoted => depth += 1,
            b')' if !is_quoted => depth = depth.saturating_sub(1),
            b'@' if !is_quoted && depth == 0 => hosts.push(host(rest)),
            _ => {}
        }
    }
    hosts
}

fn host(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii_start();
    if text.starts_with(b"[") {
        let end = text.iter().position(|byte| *byte == b']').map_or(text.len(), |at| at + 1);
        return text.get(..end).unwrap_or_default().to_vec();
    }
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"<>,;:()\"@".contains(byte);
    let end = text.iter().position(is_end).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_vec()
}

/// The longest From field: twenty people with long names.
const FIELD_BYTES_MAX: usize = 16 * 1024;

/// Most domains of one From field; each is asked for its policy.
const DOMAINS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<Vec<String>, NoAuthor> {
        let text = format!("{header}\r\n\r\nbody\r\n");
        domains(&Message::new(text.as_bytes())).map(|found| found.into_iter().collect())
    }

    #[test]
    fn the_usual_forms_have_one_domain() {
        for from in [
            "From: jane@a.example",
            "from : Jane Doe <jane@A.example.>",
            "From: \"Jane @ work, x@b.example\" <jane@a.example>",
            "From: Doe, Jane <jane@a.example>",
            "From: jane@a.example (Jane, once x@b.example)",
            "From: =?utf-8?q?J=C3=A4ne_x=40b.example?= <jane@a.example>",
            "From: Team: jane@a.example, joe@a.example;",
            "From: Jane\r\n <jane@a.example>",
        ] {
            assert_eq!(read(from).unwrap(), ["a.example"], "{from:?}");
        }
        assert_eq!(read("From: jörg@bücher.example").unwrap(), ["xn--bcher-kva.example"]);
        assert!(read("From: a@[192.0.2.1]").unwrap().is_empty());
    }

    #[test]
    fn s095_every_domain_that_could_be_shown_is_found() {
        for from in [
            "From: a@a.example, b@b.example",
            "From: a@a.example <b@b.example>",
            "From: <a@a.example> <b@b.example>",
            "From: <a@a.example>, <b@b.example>",
            "From: <@b.example:a@a.example>",
            "From: <@b.example,@a.example:x@a.example>",
            "From: <a@a.example>b@b.example",
            "From: x (c) <a@a.example> b@b.example",
            "From: Team: a@a.example; b@b.example",
        ] {
            assert_eq!(read(from).unwrap(), ["a.example", "b.example"], "{from:?}");
        }
    }

    #[test]
    fn s095_a_from_that_can_hide_its_author_is_refused() {
        for (header, reason) in [
            ("Subject: x", NoAuthor::Missing),
            ("From: a@a.example\r\nFrom: b@b.example", NoAuthor::Several),
            ("From: a@a.example\r\nfrom : b@b.example", NoAuthor::Several),
            ("From:", NoAuthor::Unreadable),
            ("From: nobody", NoAuthor::Unreadable),
            ("From: a@a.example\0@b.example", NoAuthor::Unreadable),
            ("From: a@a.example@b.example,", NoAuthor::Unreadable),
            ("From: =?utf-8?b?PGFAYS5leGFtcGxlPg==?=, <b@b.example>", NoAuthor::Unreadable),
            ("From: a@a..example", NoAuthor::Unreadable),
        ] {
            assert_eq!(read(header), Err(reason), "{header:?}");
        }
        let many: Vec<String> = (0..=DOMAINS_MAX).map(|it| format!("a@d{it}.example")).collect();
        assert_eq!(read(&format!("From: {}", many.join(", "))), Err(NoAuthor::Unreadable));
    }
}
