//! Settings as Outlook and others ask for them: Autodiscover, in its form of plain old XML.
//! [MS-OXDSCLI] §2.2.3 (request), §2.2.4 (response)

use std::fmt::Write as _;

use crate::ask::Mailbox;
use crate::page::{Page, XML};
use crate::site::{Endpoint, Security, Site};
use crate::xml::{escaped, leaves};

/// The settings for the address in a request.
pub fn page(site: &Site, body: &[u8]) -> Page {
    let Some(mailbox) = std::str::from_utf8(body).ok().and_then(address) else {
        return Page::words(400, "This is no request for settings.\n");
    };
    match site.has_domain(&mailbox.domain) {
        true => Page::ok(XML, document(site, &mailbox)),
        false => Page::not_found(),
    }
}

/// The address that a request is about, if it can be answered as it wants.
fn address(request: &str) -> Option<Mailbox> {
    let leaves = leaves(request)?;
    let value = |name: &str| leaves.iter().find(|leaf| leaf.name == name).map(|it| &it.text);
    // Phones that want to speak ActiveSync name another schema.
    if value("AcceptableResponseSchema").is_some_and(|schema| schema != RESPONSE_SCHEMA) {
        return None;
    }
    Mailbox::read(value("EMailAddress")?)
}

/// User and Account must both be there. [MS-OXDSCLI] §3.2.5
fn document(site: &Site, mailbox: &Mailbox) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"{RESPONSE_SCHEMA}\">\n    \
         <User>\n      <DisplayName>{}</DisplayName>\n    </User>\n    <Account>\n      \
         <AccountType>email</AccountType>\n      <Action>settings</Action>\n",
        escaped(&mailbox.address),
    );
    for endpoint in &site.imap {
        protocol(&mut out, "IMAP", site, *endpoint, mailbox);
    }
    for endpoint in &site.submission {
        protocol(&mut out, "SMTP", site, *endpoint, mailbox);
    }
    out.push_str("    </Account>\n  </Response>\n</Autodiscover>\n");
    out
}

fn protocol(out: &mut String, kind: &str, site: &Site, endpoint: Endpoint, mailbox: &Mailbox) {
    // Encryption says it exactly; SSL is for programs that do not know that.
    let (ssl, encryption) = match endpoint.security {
        Security::Tls => ("on", "SSL"),
        Security::StartTls => ("off", "TLS"),
    };
    // A String takes everything.
    let _ = write!(
        out,
        "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{}</Server>\n        \
         <Port>{}</Port>\n        <DomainRequired>off</DomainRequired>\n        \
         <LoginName>{}</LoginName>\n        <SPA>off</SPA>\n        <SSL>{ssl}</SSL>\n        \
         <Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n      \
         </Protocol>\n",
        escaped(&site.hostname),
        endpoint.port,
        escaped(&mailbox.address),
    );
}

const RESPONSE_SCHEMA: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::tests::get;
    use crate::site::tests::{site, text};
    use crate::{Ask, Method, answer};

    fn post(body: &str) -> Page {
        let ask = get("autodiscover.example.org", "/AutoDiscover/autodiscover.XML");
        answer(&site(), &Ask { method: Method::Post, body: body.as_bytes(), ..ask })
    }

    fn request(address: &str, schema: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover \
             xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\
             <Request><EMailAddress>{address}</EMailAddress>\
             <AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
        )
    }

    #[test]
    fn a_request_is_answered_with_the_real_ports() {
        let page = post(&request("dock@Example.org", RESPONSE_SCHEMA));
        assert_eq!((page.status, page.media_type), (200, XML));
        let leaves = leaves(&text(&page)).unwrap();
        let all = |name: &str| -> Vec<_> {
            leaves.iter().filter(|leaf| leaf.name == name).map(|leaf| leaf.text.as_str()).collect()
        };
        assert_eq!(all("Type"), ["IMAP", "IMAP", "SMTP", "SMTP"]);
        assert_eq!(all("Port"), ["993", "143", "465", "587"]);
        assert_eq!(all("Encryption"), ["SSL", "TLS", "SSL", "TLS"]);
        assert_eq!(all("LoginName"), ["dock@example.org"; 4]);
        assert_eq!(all("Server"), ["mail.example"; 4]);
        // Nobody's name is told: it would tell who has an account.
        assert_eq!(all("DisplayName"), ["dock@example.org"]);
    }

    #[test]
    fn s023_an_address_does_not_leave_its_element() {
        let page = post(&request("a&lt;/LoginName&gt;@example.org", RESPONSE_SCHEMA));
        assert_eq!(page.status, 400);
        let page = post(&request("a&amp;b'c@example.org", RESPONSE_SCHEMA));
        assert!(text(&page).contains("<LoginName>a&amp;b&apos;c@example.org</LoginName>"));
    }

    #[test]
    fn what_is_not_ours_or_no_request_is_refused() {
        assert_eq!(post(&request("a@other.example", RESPONSE_SCHEMA)), Page::not_found());
        let mobile =
            "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
        assert_eq!(post(&request("a@example.org", mobile)).status, 400);
        for bad in ["", "<a/>", "EHLO x", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"] {
            assert_eq!(post(bad).status, 400, "{bad}");
        }
    }
}
