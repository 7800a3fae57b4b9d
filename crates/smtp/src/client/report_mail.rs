//! Reports on their way: who wants them, and the message that carries one. RFC 8460 §3, §5

use std::fmt::Write as _;
use std::io::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use mail_types::InternalDate;
use reqwest::Url;
use serde_json::Value;

use super::report::Sheet;
use crate::trace::mail_date;

/// Where a report is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At this address.
    Mail(String),
    /// At this place, by POST.
    Web(Url),
}

/// The places that a domain wants its reports at, from the texts at `_smtp._tls`.
///
/// ```text
/// tlsrpt-record    = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
/// tlsrpt-version   = %s"v=TLSRPTv1"
/// tlsrpt-rua       = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
/// ```
pub(super) fn wanted_at(texts: &[String]) -> Vec<Wanted> {
    let mut records = texts.iter().filter_map(|text| {
        let rest = text.strip_prefix("v=TLSRPTv1")?.trim_start_matches([' ', '\t']);
        rest.strip_prefix(';')
    });
    // RFC 8460 §3: several records are none.
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let uris = record.split(';').find_map(|field| field.trim().strip_prefix("rua="));
    let uris = uris.unwrap_or_default().split(',').map(str::trim);
    uris.filter_map(wanted).take(PLACES_MAX).collect()
}

fn wanted(uri: &str) -> Option<Wanted> {
    if let Some(address) = uri.strip_prefix("mailto:") {
        return is_plain(address).then(|| Wanted::Mail(address.to_owned()));
    }
    let url = Url::parse(uri).ok().filter(|_| uri.len() <= URI_BYTES_MAX)?;
    // At the port of HTTPS, and by a name: a stranger's zone says who is spoken to.
    let is_open = url.username().is_empty() && url.password().is_none();
    let is_named = url.domain().is_some_and(|host| dns::ascii(host).is_some());
    let is_usual = url.scheme() == "https" && url.port().is_none();
    (is_open && is_named && is_usual).then_some(Wanted::Web(url))
}

/// A report as it travels. RFC 8460 §5.2
pub(super) fn packed(report: &Value) -> io::Result<Vec<u8>> {
    let mut packing = GzEncoder::new(Vec::new(), Compression::default());
    packing.write_all(report.to_string().as_bytes())?;
    packing.finish()
}

/// The media type of a packed report. RFC 8460 §6.5
pub(super) const PACKED: &str = "application/tlsrpt+gzip";

/// Only what needs no decoding (RFC 6068 §2) and cannot be anything but one address: a stranger's
/// zone says where this goes.
fn is_plain(address: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+=@".contains(&byte);
    let is_whole = address
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.contains('@'));
    let is_named = dns::ascii(address.rsplit('@').next().unwrap_or_default()).is_some();
    is_whole && is_named && address.len() <= ADDRESS_BYTES_MAX && address.bytes().all(fits)
}

/// A report and between whom it goes.
pub(super) struct Letter<'a> {
    /// What it tells of.
    pub(super) sheet: &'a Sheet<'a>,
    /// The report, packed.
    pub(super) packed: &'a [u8],
    pub(super) to: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl Letter<'_> {
    /// The message. RFC 8460 §5.3
    pub(super) fn message(&self) -> String {
        let Self { sheet, to, now, .. } = self;
        let Sheet { domain, organization: submitter, contact: from, .. } = sheet;
        let (begin, end) = sheet.range();
        let id = sheet.id();
        // RFC 8460 §5.1
        let file = format!("{submitter}!{domain}!{begin}!{end}.json.gz");
        let (begin, end) = (InternalDate::rfc3339(begin), InternalDate::rfc3339(end));
        let mut text = String::new();
        for field in [
            format!("Date: {}", mail_date(*now)),
            format!("From: <{from}>"),
            format!("To: <{to}>"),
            format!(
                "Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{id}>"
            ),
            format!("Message-ID: <{now}.{domain}@{submitter}>"),
            format!("TLS-Report-Domain: {domain}"),
            format!("TLS-Report-Submitter: {submitter}"),
            // RFC 8460 §3: a report must arrive where TLS is what is wrong.
            "TLS-Required: No".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            format!(
                "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{BOUNDARY}\""
            ),
            String::new(),
            format!("--{BOUNDARY}"),
            "Content-Type: text/plain; charset=us-ascii".to_owned(),
            String::new(),
            format!("What became of TLS on the way from {submitter} to {domain},"),
            format!("from {begin} to {end}. RFC 8460"),
            String::new(),
            format!("--{BOUNDARY}"),
            format!("Content-Type: {PACKED}"),
            "Content-Transfer-Encoding: base64".to_owned(),
            format!("Content-Disposition: attachment;\r\n filename=\"{file}\""),
            String::new(),
        ] {
            let _ = write!(text, "{field}\r\n");
        }
        let coded = STANDARD.encode(self.packed);
        for line in coded.as_bytes().chunks(LINE_BYTES) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push_str("\r\n");
        }
        let _ = write!(text, "--{BOUNDARY}--\r\n");
        text
    }
}

/// Base64 has no hyphens, and the rest is written here.
const BOUNDARY: &str = "--tlsrpt-part--";

/// RFC 2045 §6.8
const LINE_BYTES: usize = 76;

/// Places of one domain that get its report.
const PLACES_MAX: usize = 4;

/// Octets of the name of a place of HTTPS.
const URI_BYTES_MAX: usize = 1000;

/// RFC 5321 §4.5.3.1.3
const ADDRESS_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;
    use serde_json::json;

    use super::*;

    fn places(texts: &[&str]) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(|it| (*it).to_owned()).collect();
        let shown = |wanted| match wanted {
            Wanted::Mail(address) => address,
            Wanted::Web(url) => url.to_string(),
        };
        wanted_at(&texts).into_iter().map(shown).collect()
    }

    #[test]
    fn a_domain_says_where_it_wants_its_reports() {
        let record =
            "v=TLSRPTv1;rua=mailto:a@example.net, https://X.example/r?a=b,mailto:b@example.org";
        let expected = ["a@example.net", "https://x.example/r?a=b", "b@example.org"];
        assert_eq!(places(&["v=spf1 -all", record]), expected);
        assert_eq!(places(&["v=TLSRPTv1; rua=mailto:a@example.net;"]), ["a@example.net"]);
        let usual = places(&["v=TLSRPTv1;rua=https://x.example:443/"]);
        assert_eq!(usual, ["https://x.example/"]);
        assert!(places(&[record, record]).is_empty());
        assert!(places(&["v=TLSRPTv2;rua=mailto:a@example.net"]).is_empty());
        assert!(places(&[]).is_empty());
        for none in [
            "mailto:a@example.net?cc=b@example.org",
            "mailto:a@b@example.net",
            "mailto:a%0D%0A@example.net",
            "mailto:<a>@example.net",
            "mailto:@example.net",
            "mailto:a@",
            "http://x.example/r",
            "ftp://x.example/r",
            "https://x.example:8443/r",
            "https://u@x.example/r",
            "https://u:p@x.example/r",
            "https://127.0.0.1/r",
            "https://[::1]/r",
            "https://2130706433/r",
            "https:///",
            "https:",
        ] {
            let record = format!("v=TLSRPTv1;rua={none}");
            assert!(places(&[&record]).is_empty(), "{none}");
        }
        let long = format!("v=TLSRPTv1;rua=https://x.example/{}", "a".repeat(URI_BYTES_MAX));
        assert!(places(&[&long]).is_empty());
        let many = format!("v=TLSRPTv1;rua={}", "mailto:a@example.net,".repeat(100));
        assert_eq!(places(&[&many]).len(), PLACES_MAX);
    }

    #[test]
    fn a_report_travels_as_an_attachment_in_lines_that_mail_can_have() {
        let report = json!({ "policies": vec!["x"; 50] });
        let (organization, contact) = ("example.com", "postmaster@example.com");
        let sheet = Sheet { day: 20_000, domain: "example.net", organization, contact };
        let (to, packed) = ("reports@example.net", packed(&report).unwrap());
        let letter = Letter { sheet: &sheet, packed: &packed, to, now: 1_728_100_000 };
        let message = letter.message();
        let (header, body) = message.split_once("\r\n\r\n").unwrap();
        for field in [
            "From: <postmaster@example.com>",
            "To: <reports@example.net>",
            "TLS-Report-Domain: example.net",
            "TLS-Report-Submitter: example.com",
            "TLS-Required: No",
            "Date: Sat, 5 Oct 2024 03:46:40 +0000",
        ] {
            assert!(header.split("\r\n").any(|line| line == field), "{field} in {header}");
        }
        assert!(message.is_ascii() && message.split("\r\n").all(|line| line.len() <= 78));
        let file = "filename=\"example.com!example.net!1728000000!1728086399.json.gz\"";
        assert!(
            body.contains(file) && body.contains("\r\nContent-Type: application/tlsrpt+gzip\r\n")
        );
        let (_, coded) = body.split_once("\"\r\n\r\n").unwrap();
        let (coded, end) = coded.split_once("--").unwrap();
        assert_eq!(end, "--tlsrpt-part----\r\n");
        let coded: String = coded.split("\r\n").collect();
        let coded = STANDARD.decode(coded).unwrap();
        let read: Value = serde_json::from_reader(GzDecoder::new(coded.as_slice())).unwrap();
        assert_eq!(read, report);
    }
}
