//! Settings as Thunderbird and others ask for them: `config-v1.1.xml`.
//!
//! They ask `https://autoconfig.DOMAIN/mail/` for it, then
//! `https://DOMAIN/.well-known/autoconfig/mail/`, with the address in the query. The format:
//! <https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat>.

use std::fmt::Write as _;

use crate::ask::Ask;
use crate::page::{Page, XML};
use crate::site::{Endpoint, Security, Site};
use crate::xml::escaped;

/// The settings for a domain.
pub fn page(site: &Site, ask: &Ask<'_>, host: &str) -> Page {
    match site.domain_asked_for(ask, "emailaddress", host) {
        Some(domain) => Page::ok(XML, document(site, &domain)),
        None => Page::not_found(),
    }
}

fn document(site: &Site, domain: &str) -> String {
    let domain = escaped(domain);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>{domain}</displayName>\n    \
         <displayShortName>{domain}</displayShortName>\n"
    );
    for endpoint in &site.imap {
        server(&mut out, "incomingServer type=\"imap\"", site, *endpoint);
    }
    for endpoint in &site.submission {
        server(&mut out, "outgoingServer type=\"smtp\"", site, *endpoint);
    }
    out.push_str("  </emailProvider>\n</clientConfig>\n");
    out
}

fn server(out: &mut String, tag: &str, site: &Site, endpoint: Endpoint) {
    let name = tag.split(' ').next().unwrap_or_default();
    let socket = match endpoint.security {
        Security::Tls => "SSL",
        Security::StartTls => "STARTTLS",
    };
    // "Cleartext" is about the password; the connection is always protected. A String takes
    // everything.
    let _ = write!(
        out,
        "    <{tag}>\n      <hostname>{}</hostname>\n      <port>{}</port>\n      \
         <socketType>{socket}</socketType>\n      \
         <authentication>password-cleartext</authentication>\n      \
         <username>%EMAILADDRESS%</username>\n    </{name}>\n",
        escaped(&site.hostname),
        endpoint.port,
    );
}

#[cfg(test)]
mod tests {
    use crate::answer;
    use crate::ask::tests::get;
    use crate::site::tests::{site, text};
    use crate::xml::leaves;

    #[test]
    fn both_places_tell_the_same_real_ports() {
        let first = answer(&site(), &get("autoconfig.example.org", "/mail/config-v1.1.xml"));
        let target = "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a%40example.org";
        let second = answer(&site(), &get("example.org", target));
        assert_eq!(first, second);
        let leaves = leaves(&text(&first)).unwrap();
        let all = |name: &str| -> Vec<_> {
            leaves.iter().filter(|leaf| leaf.name == name).map(|leaf| leaf.text.as_str()).collect()
        };
        assert_eq!(all("domain"), ["example.org"]);
        assert_eq!(all("hostname"), ["mail.example"; 4]);
        assert_eq!(all("port"), ["993", "143", "465", "587"]);
        assert_eq!(all("socketType"), ["SSL", "STARTTLS", "SSL", "STARTTLS"]);
        assert_eq!(all("username"), ["%EMAILADDRESS%"; 4]);
    }

    #[test]
    fn an_address_of_others_is_not_answered() {
        let at = |query: &str| {
            let target = format!("/mail/config-v1.1.xml{query}");
            answer(&site(), &get("autoconfig.example.org", &target)).status
        };
        assert_eq!(at(""), 200);
        assert_eq!(at("?emailaddress=a@B.example"), 200);
        assert_eq!(at("?emailaddress=a@other.example"), 404);
        assert_eq!(at("?emailaddress=example.org"), 404);
        // The server's own name says nothing about a domain.
        assert_eq!(answer(&site(), &get("mail.example", "/mail/config-v1.1.xml")).status, 404);
    }
}
