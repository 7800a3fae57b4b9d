//! Whether a policy of senders lets this server send. RFC 7208
//!
//! Only what stands in the record itself is judged. What it includes from elsewhere belongs to
//! somebody else, and may let the server send or not.

use std::net::IpAddr;

use smtp::Network;

use super::Site;

/// What a domain says of who sends for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// This server may.
    Lets,
    /// Everybody may, which proves nothing.
    LetsAll,
    /// What is included may let it.
    Unknown,
    /// It may not.
    Refuses,
}

impl Policy {
    /// Reads the record of a domain.
    ///
    ///     record = version terms *SP
    ///     terms  = *( 1*SP ( directive / modifier ) )
    pub fn read(text: &str, domain: &str, site: &Site) -> Self {
        let terms: Vec<&str> = text.split_ascii_whitespace().skip(1).collect();
        let mut is_unknown = false;
        // A machine behind a router may not know its address: then only names can let it.
        let addresses: Vec<Option<IpAddr>> = match site.addresses.is_empty() {
            true => vec![None],
            false => site.addresses.iter().copied().map(Some).collect(),
        };
        let mut lets = vec![false; addresses.len()];
        for term in &terms {
            let (qualifier, mechanism) = match term.strip_prefix(['+', '-', '~', '?']) {
                Some(mechanism) => (term.chars().next().unwrap_or('+'), mechanism),
                None => ('+', *term),
            };
            let mechanism = mechanism.to_ascii_lowercase();
            if qualifier == '+' && mechanism == "all" {
                return Self::LetsAll;
            }
            if mechanism == "all" {
                break;
            }
            let is_elsewhere = ["include:", "exists:", "redirect=", "ptr"];
            is_unknown |= is_elsewhere.iter().any(|name| mechanism.starts_with(name));
            is_unknown |= addresses == [None] && qualifier == '+' && mechanism.starts_with("ip");
            for (lets, address) in lets.iter_mut().zip(&addresses) {
                *lets |= qualifier == '+' && matches(&mechanism, *address, domain, site);
            }
        }
        match lets.iter().all(|lets| *lets) {
            true => Self::Lets,
            false if is_unknown => Self::Unknown,
            false => Self::Refuses,
        }
    }
}

/// Whether this text is a policy of senders at all. RFC 7208 §4.5
pub fn is_policy(text: &str) -> bool {
    let version = text.split(' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case("v=spf1")
}

/// The mail exchanger of a domain of ours is the server, as another check sees to.
fn matches(mechanism: &str, address: Option<IpAddr>, domain: &str, site: &Site) -> bool {
    let (name, argument) = match mechanism.split_once(':') {
        Some((name, argument)) => (name, argument),
        None => (mechanism, domain),
    };
    match name {
        "mx" => site.domains.iter().any(|ours| ours == argument),
        "a" => argument == site.hostname,
        "ip4" | "ip6" => {
            let network = argument.parse::<Network>();
            network.is_ok_and(|network| address.is_some_and(|it| network.contains(it)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::site;
    use super::*;

    fn read(text: &str) -> Policy {
        Policy::read(text, "example.org", &site())
    }

    #[test]
    fn a_server_that_does_not_know_its_address_is_let_by_its_names_alone() {
        let site = Site { addresses: Vec::new(), ..site() };
        let read = |text| Policy::read(text, "example.org", &site);
        assert_eq!(read("v=spf1 mx -all"), Policy::Lets);
        assert_eq!(read("v=spf1 ip4:192.0.2.1 -all"), Policy::Unknown);
        assert_eq!(read("v=spf1 -all"), Policy::Refuses);
    }

    #[test]
    fn a_policy_that_names_the_server_lets_it_send_whatever_else_it_includes() {
        for text in [
            "v=spf1 mx -all",
            "v=spf1 include:_spf.example.net mx ~all",
            "V=SPF1 +MX -ALL",
            "v=spf1 a:mail.example.org -all",
            "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
            "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 ?all",
            "v=spf1 ip4:0.0.0.0/0 ip6:::/0 -all",
        ] {
            assert_eq!(read(text), Policy::Lets, "{text}");
        }
    }

    #[test]
    fn a_policy_that_leaves_an_address_of_the_server_out_refuses_it() {
        for text in [
            "v=spf1 -all",
            "v=spf1",
            "v=spf1 -mx ~all",
            "v=spf1 a -all",
            "v=spf1 ip4:192.0.2.25 -all",
            "v=spf1 ip4:192.0.2.0/30 ip6:2001:db8::/32 -all",
            "v=spf1 -all mx",
            "v=spf1 mx:example.net -all",
            "v=spf1 ip4:nonsense -all",
        ] {
            assert_eq!(read(text), Policy::Refuses, "{text}");
        }
    }

    #[test]
    fn what_is_included_from_elsewhere_is_not_guessed() {
        assert_eq!(read("v=spf1 include:_spf.example.net -all"), Policy::Unknown);
        assert_eq!(read("v=spf1 redirect=_spf.example.net"), Policy::Unknown);
        assert_eq!(read("v=spf1 +all"), Policy::LetsAll);
    }

    #[test]
    fn only_the_exact_version_makes_a_policy() {
        assert!(is_policy("v=spf1"));
        assert!(is_policy("v=spf1 mx"));
        assert!(!is_policy("v=spf10 mx"));
        assert!(!is_policy("google-site-verification=x"));
    }
}
