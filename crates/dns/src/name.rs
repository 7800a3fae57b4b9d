//! Names as text: what may be asked, and how what is told is written.

use std::borrow::Cow;
use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

use crate::DnsError;

/// Reads a name that shall be asked for; letters of other scripts become A-labels, RFC 5891 §4.
///
/// Only what host names and the names of services consist of: a stranger's escapes and spaces
/// reach no name server. RFC 1035 §2.3.1, RFC 2782, RFC 2317 §4
pub fn parse(text: &str) -> Result<Name, DnsError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(idna::domain_to_ascii(text).map_err(|_| DnsError::BadName)?)
    };
    if !ascii.bytes().all(|byte| byte == b'.' || is_plain(byte)) {
        return Err(DnsError::BadName);
    }
    let labels = ascii.split('.').map(|label| label.to_ascii_lowercase().into_bytes());
    Name::from_labels(labels).map_err(|_| DnsError::BadName)
}

/// Writes a name of a record; the root, which says "none" in MX and SRV, is empty.
///
/// Octets that no host name has stand as escapes, so that such a name is refused when it is
/// asked for, and is harmless in a log.
pub fn write(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            if is_plain(byte) {
                text.push(char::from(byte.to_ascii_lowercase()));
            } else {
                // RFC 4343 §2.1
                text.push_str(&format!("\\{byte:03}"));
            }
        }
    }
    text
}

/// A name of a host or a domain as [`parse`] reads it; `None` if it is none. It may stand in a URL:
/// the slash that names of delegated networks have (RFC 2317 §4) is not in it.
pub fn ascii(text: &str) -> Option<String> {
    let name = write(&parse(text).ok()?);
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// An address as lists name it: its octets from behind, or the halves of its octets. RFC 5782 §2.1,
/// §2.4
pub fn reversed(address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().rev().map(ToString::to_string).collect(),
        IpAddr::V6(address) => {
            let halves = |octet: &u8| [octet & 15, octet >> 4].map(|half| format!("{half:x}"));
            address.octets().iter().rev().flat_map(halves).collect()
        }
    };
    labels.join(".")
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_domain_is_one_that_can_stand_in_a_url() {
        assert_eq!(ascii("B\u{fc}cher.Example.").as_deref(), Some("xn--bcher-kva.example"));
        for none in ["", ".", "a/b.example", "a b", "a..b", "a:1", "a@b", "a?b", "a#b", "[::1]"] {
            assert_eq!(ascii(none), None, "{none}");
        }
    }

    #[test]
    fn an_address_is_named_from_behind() {
        let of = |address: &str| reversed(address.parse().unwrap());
        assert_eq!(of("192.0.2.99"), "99.2.0.192");
        // The example of RFC 5782 §2.4.
        let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(of("2001:db8:1:2:3:4:567:89ab"), six);
    }

    #[test]
    fn names_are_read_as_small_a_labels_with_or_without_the_last_dot() {
        for (text, read) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("_25._tcp.mx.example.org", "_25._tcp.mx.example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("点看", "xn--3pxu8k"),
            ("1.0/26.2.0.192.in-addr.arpa", "1.0/26.2.0.192.in-addr.arpa"),
        ] {
            let name = parse(text).unwrap();
            assert!(name.is_fqdn(), "{text}");
            assert_eq!(write(&name), read);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_before_anyone_is_asked() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = "a.".repeat(130);
        for text in
            ["", ".", "a..b", "a b.example", "a\\.b", "a\n.example", "*.example", &long, &longer]
        {
            assert_eq!(parse(text).unwrap_err(), DnsError::BadName, "{text:?}");
        }
    }

    #[test]
    fn the_root_is_written_as_nothing_and_odd_octets_as_escapes() {
        assert_eq!(write(&Name::root()), "");
        let odd = Name::from_labels([&b"a b\r\n"[..], b"example"]).unwrap();
        assert_eq!(write(&odd), "a\\032b\\013\\010.example");
        assert_eq!(parse(&write(&odd)).unwrap_err(), DnsError::BadName);
    }
}
