//! Who the site is for, and what stands where.

use std::fmt;
use std::sync::Arc;

use crate::ask::{Arrival, Ask, Mailbox, Method};
use crate::page::{Page, TEXT};
use crate::{Policy, autoconfig, autodiscover, mobileconfig};

/// The answer for a token of an authority, while it is expected. RFC 8555 §8.3
pub type Challenge = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the site tells.
#[derive(Clone)]
pub struct Site {
    /// The server's name, which mail programs connect to.
    pub hostname: String,
    /// Our domains, in small letters.
    pub domains: Vec<String>,
    /// Where IMAP is spoken, the best first.
    pub imap: Vec<Endpoint>,
    /// Where mail is handed in, the best first.
    pub submission: Vec<Endpoint>,
    /// The policy for transport security.
    pub policy: Option<Policy>,
    /// Whether the site is served over TLS, so that cleartext can be sent there.
    pub has_tls: bool,
    /// What an authority is answered.
    pub challenge: Challenge,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site of {}", self.hostname)
    }
}

/// A port of [`Site::hostname`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub port: u16,
    /// How it is protected.
    pub security: Security,
}

/// How a port is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// TLS from the first octet, which RFC 8314 §3 prefers.
    Tls,
    /// TLS after STARTTLS.
    StartTls,
}

/// What is answered to a request.
pub fn answer(site: &Site, ask: &Ask<'_>) -> Page {
    if let Some(token) = ask.path.strip_prefix("/.well-known/acme-challenge/") {
        let found = (site.challenge)(token);
        return found.map_or_else(Page::not_found, |it| Page::ok("application/octet-stream", it));
    }
    if ask.path == "/healthz" {
        return Page::ok(TEXT, "ok\n");
    }
    let host = ask.host_name();
    match ask.arrival {
        _ if !site.is_ours(&host) => Page::not_found(),
        Arrival::Clear => elsewhere(site, ask, &host),
        Arrival::Tls => served(site, ask, &host),
    }
}

/// Cleartext is told to come back with TLS. Not for a policy: one that came by a redirection does
/// not count (RFC 8461 §3.3), and nobody shall get used to asking so.
fn elsewhere(site: &Site, ask: &Ask<'_>, host: &str) -> Page {
    if !site.has_tls || ask.method != Method::Get || ask.path == POLICY_PATH {
        return Page::not_found();
    }
    let query = if ask.query.is_empty() { String::new() } else { format!("?{}", ask.query) };
    Page::moved(format!("https://{host}{}{query}", ask.path))
}

fn served(site: &Site, ask: &Ask<'_>, host: &str) -> Page {
    // Outlook writes the path in several ways.
    if ask.path.eq_ignore_ascii_case("/autodiscover/autodiscover.xml") {
        return match ask.method {
            Method::Post => autodiscover::page(site, ask.body),
            _ => Page::not_allowed("POST"),
        };
    }
    let page: fn(&Site, &Ask<'_>, &str) -> Page = match ask.path {
        POLICY_PATH => policy,
        "/.well-known/autoconfig/mail/config-v1.1.xml" | "/mail/config-v1.1.xml" => {
            autoconfig::page
        }
        "/mail/apple.mobileconfig" => mobileconfig::page,
        _ => return Page::not_found(),
    };
    match ask.method {
        Method::Get => page(site, ask, host),
        _ => Page::not_allowed("GET, HEAD"),
    }
}

/// Only at the host of the name that the RFC gives it. RFC 8461 §3.3
fn policy(site: &Site, _: &Ask<'_>, host: &str) -> Page {
    let is_policy_host = host.strip_prefix("mta-sts.").is_some_and(|name| site.has_domain(name));
    let policy = site.policy.as_ref().filter(|_| is_policy_host);
    policy.map_or_else(Page::not_found, |policy| Page::ok("text/plain", policy.text()))
}

impl Site {
    pub(crate) fn has_domain(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| domain == name)
    }

    /// Whether a host is one that the site is served at.
    fn is_ours(&self, host: &str) -> bool {
        let name = HOSTS.iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(host);
        host.eq_ignore_ascii_case(&self.hostname) || self.has_domain(host) || self.has_domain(name)
    }

    /// The domain that a request is about: that of the address in the query, or else that of the
    /// host. `None` when it is none of ours.
    pub(crate) fn domain_asked_for(
        &self,
        ask: &Ask<'_>,
        field: &str,
        host: &str,
    ) -> Option<String> {
        let domain = match ask.field(field) {
            Some(address) => Mailbox::read(&address)?.domain,
            None => host.strip_prefix("autoconfig.").unwrap_or(host).to_owned(),
        };
        Some(domain).filter(|domain| self.has_domain(domain))
    }
}

/// Hosts below a domain that the site is served at.
const HOSTS: [&str; 3] = ["autoconfig.", "autodiscover.", "mta-sts."];

/// RFC 8461 §3.3
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Mode;
    use crate::ask::tests::get;

    pub fn site() -> Site {
        let (tls, start) = (Security::Tls, Security::StartTls);
        Site {
            hostname: "mail.example".into(),
            domains: vec!["example.org".into(), "b.example".into()],
            imap: vec![
                Endpoint { port: 993, security: tls },
                Endpoint { port: 143, security: start },
            ],
            submission: vec![
                Endpoint { port: 465, security: tls },
                Endpoint { port: 587, security: start },
            ],
            policy: Some(Policy {
                mode: Mode::Enforce,
                mx: vec!["mail.example".into()],
                max_age_secs: 86400,
            }),
            has_tls: true,
            challenge: Arc::new(|token| (token == "good").then(|| "good.thumb".to_owned())),
        }
    }

    pub fn text(page: &Page) -> String {
        String::from_utf8(page.body.clone()).unwrap()
    }

    fn clear<'a>(host: &'a str, target: &'a str) -> Ask<'a> {
        Ask { arrival: Arrival::Clear, ..get(host, target) }
    }

    #[test]
    fn the_policy_stands_at_its_own_host_only_and_never_in_clear() {
        let at = |ask: Ask<'_>| answer(&site(), &ask).status;
        let path = "/.well-known/mta-sts.txt";
        let page = answer(&site(), &get("mta-sts.example.org", path));
        assert_eq!((page.status, page.media_type), (200, "text/plain"));
        assert!(text(&page).contains("mx: mail.example\r\n"));
        for host in ["example.org", "mail.example", "mta-sts.other.example", "mta-sts.mail.example"]
        {
            assert_eq!(at(get(host, path)), 404, "{host}");
        }
        assert_eq!(at(clear("mta-sts.example.org", path)), 404);
        let without = Site { policy: None, ..site() };
        assert_eq!(answer(&without, &get("mta-sts.example.org", path)).status, 404);
    }

    #[test]
    fn an_authority_gets_its_answer_in_clear_and_nothing_else_is_told_there() {
        let path = "/.well-known/acme-challenge/good";
        let page = answer(&site(), &clear("anything.example", path));
        assert_eq!((page.status, text(&page).as_str()), (200, "good.thumb"));
        let bad = answer(&site(), &clear("x", "/.well-known/acme-challenge/bad"));
        assert_eq!(bad, Page::not_found());
        let page = answer(&site(), &clear("autoconfig.example.org", "/mail/config-v1.1.xml?a=b"));
        let to = "https://autoconfig.example.org/mail/config-v1.1.xml?a=b";
        assert_eq!((page.status, page.location.as_deref()), (302, Some(to)));
        let without = Site { has_tls: false, ..site() };
        assert_eq!(answer(&without, &clear("example.org", "/")).status, 404);
    }

    #[test]
    fn nobody_is_sent_to_a_host_of_others() {
        for host in ["evil.example", "example.org.evil.example", "evil.example/example.org", ""] {
            assert_eq!(answer(&site(), &clear(host, "//x")), Page::not_found(), "{host}");
        }
        let page = answer(&site(), &clear("example.org", "//evil.example/"));
        assert_eq!(page.location.as_deref(), Some("https://example.org//evil.example/"));
    }

    #[test]
    fn unknown_hosts_paths_and_methods_tell_nothing() {
        let at = |host: &str, target: &str| answer(&site(), &get(host, target)).status;
        assert_eq!(at("other.example", "/mail/config-v1.1.xml"), 404);
        assert_eq!(at("example.org", "/mail"), 404);
        assert_eq!(at("anything", "/healthz"), 200);
        let post = Ask { method: Method::Post, ..get("example.org", "/mail/config-v1.1.xml") };
        assert_eq!(answer(&site(), &post), Page::not_allowed("GET, HEAD"));
        assert_eq!(at("example.org", "/Autodiscover/Autodiscover.xml"), 405);
    }

    #[test]
    fn any_address_of_a_domain_gets_the_same_answer() {
        let page = |local: &str| {
            let target = format!("/mail/config-v1.1.xml?emailaddress={local}%40b.example");
            answer(&site(), &get("mail.example", &target))
        };
        assert_eq!(page("dock").status, 200);
        assert_eq!(page("dock"), page("nobody+x"));
    }
}
