//! What is told about a message in its header: Authentication-Results and Received-SPF, and the
//! removal of those that somebody else wrote in our name. RFC 8601, RFC 7208 §9.1
//!
//! Nothing from outside is written as it came: names of domains have passed
//! [`crate::domain::normal`], addresses are quoted strings of printable octets or left out, and
//! reasons are texts of ours.

use std::fmt::Write;
use std::net::IpAddr;

use mime::header::{Field, fields};

use crate::arc::{Arc, ArcResult};
use crate::dkim::{Dkim, DkimResult};
use crate::dmarc::{Dmarc, DmarcResult, Policy};
use crate::domain;
use crate::spf::{Spf, SpfResult};

/// What the fields tell.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// Our own name, in normal form.
    pub(crate) id: &'a str,
    pub(crate) ip: IpAddr,
    pub(crate) helo_name: &'a str,
    pub(crate) mail_from: Option<&'a str>,
    pub(crate) helo: &'a Spf,
    /// `None` for the empty sender.
    pub(crate) sender: Option<&'a Spf>,
    pub(crate) dkim: &'a [Dkim],
    pub(crate) dmarc: &'a [Dmarc],
    pub(crate) arc: &'a Arc,
}

/// What was found out about a message, as others are told. RFC 8601 §2.2
///
/// Empty by default: about that message nothing was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Each method with its result, as in `spf` and `pass`.
    pub methods: Vec<(&'static str, &'static str)>,
    /// Our own name and all results with their properties, folded, without a line end.
    pub(crate) payload: String,
    /// What became of the chain of earlier servers.
    pub(crate) chain: ArcResult,
}

impl Results {
    pub(crate) fn new(told: &Told<'_>) -> Self {
        let payload = told.id.to_owned();
        let mut all = Self { methods: Vec::new(), payload, chain: told.arc.result };
        if let Some(spf) = told.sender {
            all.result("spf", spf.result.name(), "");
            all.property("smtp.mailfrom", spf.domain.as_deref());
        }
        if told.sender.is_none() || told.helo.result != SpfResult::None {
            all.result("spf", told.helo.result.name(), "");
            all.property("smtp.helo", told.helo.domain.as_deref());
        }
        for dkim in told.dkim {
            all.result("dkim", dkim.result.name(), dkim.reason);
            all.property("header.d", dkim.domain.as_deref());
            all.property("header.s", dkim.selector.as_deref());
            if let Some(prefix) = &dkim.prefix {
                // Base64 has characters that no token has.
                let _ = write!(all.payload, " header.b=\"{prefix}\"");
            }
        }
        if told.dkim.is_empty() {
            all.result("dkim", "none", "");
        }
        for dmarc in told.dmarc {
            all.result("dmarc", dmarc.result.name(), dmarc.policy.comment());
            all.property("header.from", Some(&dmarc.domain));
        }
        if told.dmarc.is_empty() {
            all.result("dmarc", "none", "");
        }
        if told.arc.result != ArcResult::None {
            all.result("arc", told.arc.result.name(), told.arc.reason);
            all.property("header.oldest-pass", oldest_pass(told.arc));
        }
        all
    }

    /// Each result stands on a line of its own, so that no line is long. RFC 5322 §2.1.1
    fn result(&mut self, method: &'static str, result: &'static str, comment: &str) {
        self.methods.push((method, result));
        let _ = write!(self.payload, ";\r\n\t{method}={result}");
        if !comment.is_empty() {
            let _ = write!(self.payload, " ({comment})");
        }
    }

    fn property(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let _ = write!(self.payload, "\r\n\t {name}={value}");
        }
    }
}

impl Told<'_> {
    /// The fields of the message, each ended by CRLF.
    pub(crate) fn fields(&self, results: &Results) -> Vec<u8> {
        let spf = received_spf(self);
        format!("Authentication-Results: {}\r\n{spf}", results.payload).into_bytes()
    }
}

/// RFC 8617 §10.2: "0" if the signatures of all sets still hold. Only the newest is looked at
/// (§5.2 step 5 is optional), so that is known of a chain of one set alone.
fn oldest_pass(arc: &Arc) -> Option<&'static str> {
    (arc.result == ArcResult::Pass && arc.sets.len() == 1).then_some("0")
}

fn received_spf(told: &Told<'_>) -> String {
    let (spf, identity) = match told.sender {
        Some(spf) => (spf, "mailfrom"),
        None => (told.helo, "helo"),
    };
    let mut text = format!("Received-SPF: {} ({})", spf.result.name(), told.id);
    let _ = write!(text, "\r\n\treceiver={}; identity={identity};", told.id);
    let _ = match told.ip.to_canonical() {
        IpAddr::V4(ip) => write!(text, "\r\n\tclient-ip={ip}"),
        // A colon is in no dot-atom. RFC 7208 §9.1
        IpAddr::V6(ip) => write!(text, "\r\n\tclient-ip=\"{ip}\""),
    };
    if let Some(sender) = told.mail_from.and_then(quoted) {
        let _ = write!(text, ";\r\n\tenvelope-from={sender}");
    }
    if let Some(helo) = domain::normal(told.helo_name) {
        let _ = write!(text, ";\r\n\thelo={helo}");
    }
    text.push_str("\r\n");
    text
}

/// A quoted string; `None` for what cannot stand in one. RFC 5322 §3.2.4
fn quoted(text: &str) -> Option<String> {
    let is_safe = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.len() > ADDRESS_BYTES_MAX || !text.bytes().all(is_safe) {
        return None;
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\"{escaped}\""))
}

/// The header without the Authentication-Results that claim to be ours. RFC 8601 §5
///
/// Whoever reads results looks for our name, in any letter case, quoted or not, with comments and
/// folding between. Where it cannot be told whose a field is, it goes as well.
pub fn strip_results(header: &[u8], authserv_id: &str) -> Vec<u8> {
    let id = authserv_id.strip_suffix('.').unwrap_or(authserv_id);
    let mut all = fields(header);
    let mut kept = Vec::with_capacity(header.len());
    let mut length = 0;
    for field in all.by_ref() {
        length += field.raw.len();
        if !(field.is_named(b"Authentication-Results") && claims(&field, id)) {
            kept.extend_from_slice(field.raw);
        }
    }
    kept.extend_from_slice(header.get(length..).unwrap_or_default());
    kept
}

/// Whether the name before the first result could be read as this one.
fn claims(field: &Field<'_>, id: &str) -> bool {
    let Some(text) = comments_removed(field.value) else { return true };
    let is_hidden = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if text.iter().any(is_hidden) {
        return true;
    }
    let start = text.split(|byte| *byte == b';').next().unwrap_or_default();
    // Quotes only say that a word may have any characters.
    let start: Vec<u8> =
        start.iter().filter(|byte| !matches!(byte, b'"' | b'\\')).copied().collect();
    let is_ours = |word: &[u8]| {
        let word = word.strip_suffix(b".").unwrap_or(word);
        word.eq_ignore_ascii_case(id.as_bytes())
            || domain::normal_bytes(word).is_some_and(|word| domain::normal(id) == Some(word))
    };
    let joined: Vec<u8> =
        start.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    start.split(u8::is_ascii_whitespace).any(is_ours) || is_ours(&joined)
}

/// The text with its comments taken out, each leaving a space; `None` if one does not end, or a
/// quoted string does not. RFC 5322 §3.2.2
pub(crate) fn comments_removed(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(value.len());
    let (mut is_quoted, mut depth) = (false, 0_usize);
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' if is_quoted || depth > 0 => {
                let escaped = bytes.next()?;
                if depth == 0 {
                    text.extend_from_slice(&[byte, *escaped]);
                }
            }
            b'"' if depth == 0 => {
                is_quoted = !is_quoted;
                text.push(byte);
            }
            b'(' if !is_quoted => depth += 1,
            b')' if !is_quoted && depth > 0 => {
                depth -= 1;
                text.push(b' ');
            }
            _ if depth == 0 => text.push(byte),
            _ => {}
        }
    }
    (depth == 0 && !is_quoted).then_some(text)
}

impl SpfResult {
    /// As it is written. RFC 8601 §2.7.2
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl DkimResult {
    /// As it is written. RFC 8601 §2.7.1
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl DmarcResult {
    /// As it is written. RFC 9989 §8.2
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
        }
    }
}

impl ArcResult {
    /// As it is written. RFC 8617 §4.4, which knows nothing between pass and fail.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail | Self::TempError => "fail",
        }
    }
}

impl Policy {
    fn comment(self) -> &'static str {
        match self {
            Self::None => "p=none",
            Self::Quarantine => "p=quarantine",
            Self::Reject => "p=reject",
            Self::Unknown => "",
        }
    }
}

/// The longest address that is shown. RFC 5321 §4.5.3.1.3
const ADDRESS_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "mx.example";

    fn stripped(field: &str) -> bool {
        let header =
            format!("Subject: x\r\n{field}\r\nTo: y\r\n\r\nAuthentication-Results: mx.example\r\n");
        let left = strip_results(header.as_bytes(), ID);
        let without =
            "Subject: x\r\nTo: y\r\n\r\nAuthentication-Results: mx.example\r\n".as_bytes();
        if left != without {
            assert_eq!(left, header.as_bytes());
        }
        left == without
    }

    #[test]
    fn s095_results_in_our_name_go_however_they_are_written() {
        for value in [
            "Authentication-Results: mx.example; dkim=pass",
            "authentication-RESULTS : MX.Example.; dkim=pass",
            "Authentication-Results:\r\n\tmx.example\r\n\t; dkim=pass",
            "Authentication-Results: (c (d) \\) e) mx.example (f) 1; dkim=pass",
            "Authentication-Results: \"mx.example\"; dkim=pass",
            "Authentication-Results: \"m\\x.example\"; dkim=pass",
            "Authentication-Results: mx.(c)example; dkim=pass",
            "Authentication-Results: mx.example 1; none",
            "Authentication-Results: mx.example",
            "Authentication-Results: (open mx.example; dkim=pass",
            "Authentication-Results: \"open; dkim=pass",
            "Authentication-Results: \0mx.example; dkim=pass",
        ] {
            assert!(stripped(value), "{value:?}");
        }
    }

    #[test]
    fn results_of_others_stay() {
        for value in [
            "Authentication-Results: other.example; dkim=pass header.d=mx.example",
            "Authentication-Results: mx.example.org; dkim=pass",
            "Authentication-Results: amx.example; dkim=pass",
            "Authentication-Results: other.example (mx.example); dkim=pass",
            "ARC-Authentication-Results: i=1; mx.example; dkim=pass",
            "X-Authentication-Results: mx.example; dkim=pass",
        ] {
            assert!(!stripped(value), "{value:?}");
        }
    }

    #[test]
    fn s016_no_value_from_outside_makes_a_field_or_a_line() {
        let spf = |domain: &str| Spf { result: SpfResult::Pass, domain: domain::normal(domain) };
        let hostile = "a\r\nX-Evil: 1\0;\"\\(\u{202e}";
        let (helo, sender) = (spf(hostile), spf(hostile));
        let arc = Arc { result: ArcResult::Fail, reason: "broken", sets: Vec::new() };
        let told = Told {
            id: ID,
            ip: IpAddr::from([192, 0, 2, 1]),
            helo_name: hostile,
            mail_from: Some("\"a\r\nX-Evil: 1\"@b.example"),
            helo: &helo,
            sender: Some(&sender),
            dkim: &[],
            dmarc: &[],
            arc: &arc,
        };
        let text = told.fields(&Results::new(&told));
        let names: Vec<_> = fields(&text).map(|field| field.name.to_vec()).collect();
        assert_eq!(names, [&b"Authentication-Results"[..], b"Received-SPF"]);
        let shown = String::from_utf8(text).unwrap();
        assert!(!shown.contains("Evil") && shown.is_ascii(), "{shown}");
        assert_eq!(quoted("\"a b\"@c").as_deref(), Some("\"\\\"a b\\\"@c\""));
    }
}
