//! Reports as mail: who wants them, and the message that carries one. RFC 8460 §3, §5.3

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::trace::mail_date;

/// The addresses that a domain wants its reports at, from the texts at `_smtp._tls`. Those of
/// HTTPS are left out.
///
/// ```text
/// tlsrpt-record    = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
/// tlsrpt-version   = %s"v=TLSRPTv1"
/// tlsrpt-rua       = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
/// ```
pub(super) fn wanted_at(texts: &[String]) -> Vec<String> {
    let mut records = texts.iter().filter_map(|text| {
        let rest = text.strip_prefix("v=TLSRPTv1")?.trim_start_matches([' ', '\t']);
        rest.strip_prefix(';')
    });
    // RFC 8460 §3: several records are none.
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let uris = record.split(';').find_map(|field| field.trim().strip_prefix("rua="));
    let uris = uris.unwrap_or_default().split(',').map(str::trim);
    let addresses = uris.filter_map(|uri| uri.strip_prefix("mailto:"));
    addresses.filter(|address| is_plain(address)).take(ADDRESSES_MAX).map(str::to_owned).collect()
}

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
    /// The report.
    pub(super) report: &'a Value,
    /// The domain that it is about.
    pub(super) domain: &'a str,
    /// Who has made it: the domain of `from`.
    pub(super) submitter: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

impl Letter<'_> {
    /// The message. RFC 8460 §5.3
    pub(super) fn message(&self) -> String {
        let Self { domain, submitter, from, to, now, .. } = self;
        let id = self.report["report-id"].as_str().unwrap_or_default();
        let (begin, end) = (self.moment("start-datetime"), self.moment("end-datetime"));
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
            "Content-Type: application/tlsrpt+json".to_owned(),
            "Content-Transfer-Encoding: base64".to_owned(),
            format!(
                "Content-Disposition: attachment;\r\n filename=\"{submitter}!{domain}!{now}.json\""
            ),
            String::new(),
        ] {
            let _ = write!(text, "{field}\r\n");
        }
        let coded = STANDARD.encode(self.report.to_string());
        for line in coded.as_bytes().chunks(LINE_BYTES) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push_str("\r\n");
        }
        let _ = write!(text, "--{BOUNDARY}--\r\n");
        text
    }

    fn moment(&self, name: &str) -> &str {
        self.report["date-range"][name].as_str().unwrap_or_default()
    }
}

/// Base64 has no hyphens, and the rest is written here.
const BOUNDARY: &str = "--tlsrpt-part--";

/// RFC 2045 §6.8
const LINE_BYTES: usize = 76;

/// Addresses of one domain that get its report.
const ADDRESSES_MAX: usize = 4;

/// RFC 5321 §4.5.3.1.3
const ADDRESS_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(texts: &[&str]) -> Vec<String> {
        wanted_at(&texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_domain_says_where_it_wants_its_reports() {
        let record =
            "v=TLSRPTv1;rua=mailto:a@example.net, https://x.example/r,mailto:b@example.org";
        assert_eq!(wanted(&["v=spf1 -all", record]), ["a@example.net", "b@example.org"]);
        assert_eq!(wanted(&["v=TLSRPTv1; rua=mailto:a@example.net;"]), ["a@example.net"]);
        for none in [
            &[record, record][..],
            &["v=TLSRPTv2;rua=mailto:a@example.net"],
            &["v=TLSRPTv1;rua=mailto:a@example.net?cc=b@example.org"],
            &["v=TLSRPTv1;rua=mailto:a@b@example.net"],
            &["v=TLSRPTv1;rua=mailto:a%0D%0A@example.net"],
            &["v=TLSRPTv1;rua=mailto:<a>@example.net"],
            &["v=TLSRPTv1;rua=mailto:@example.net"],
            &["v=TLSRPTv1;rua=mailto:a@"],
            &[],
        ] {
            assert!(wanted(none).is_empty(), "{none:?}");
        }
        let many = format!("v=TLSRPTv1;rua={}", "mailto:a@example.net,".repeat(100));
        assert_eq!(wanted(&[&many]).len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_report_travels_as_an_attachment_in_lines_that_mail_can_have() {
        let report = json!({
            "report-id": "2024-10-04T00:00:00Z_example.net",
            "date-range": {
                "start-datetime": "2024-10-04T00:00:00Z",
                "end-datetime": "2024-10-04T23:59:59Z",
            },
            "policies": vec!["x"; 50],
        });
        let (from, to) = ("postmaster@example.com", "reports@example.net");
        let (domain, submitter) = ("example.net", "example.com");
        let letter = Letter { report: &report, domain, submitter, from, to, now: 1_728_100_000 };
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
        let (_, coded) = body.split_once(".json\"\r\n\r\n").unwrap();
        let (coded, end) = coded.split_once("--").unwrap();
        assert_eq!(end, "--tlsrpt-part----\r\n");
        let coded: String = coded.split("\r\n").collect();
        let read: Value = serde_json::from_slice(&STANDARD.decode(coded).unwrap()).unwrap();
        assert_eq!(read, report);
    }
}
