//! What is asked of the site.

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Over TLS.
    Tls,
    /// In cleartext: whoever is on the way could have asked, and could change the answer.
    Clear,
}

/// What is to be done. HEAD is GET here; the shell leaves the body out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET or HEAD.
    Get,
    /// POST.
    Post,
    /// Something else.
    Other,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How it came.
    pub arrival: Arrival,
    /// What is to be done.
    pub method: Method,
    /// The Host field, perhaps with a port.
    pub host: &'a str,
    /// The path, from its `/` on.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: &'a str,
    /// The content, bounded by the shell.
    pub body: &'a [u8],
}

impl Ask<'_> {
    /// The host in small letters, without port and without the dot of the root.
    pub fn host_name(&self) -> String {
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => self.host,
        };
        name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
    }

    /// The value of a field of the query, decoded; the first one counts.
    ///
    /// A `+` stays one: mail programs put addresses with a detail here as they are, and no address
    /// that can be set up has a space in it.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = self.query.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).and_then(|(_, value)| percent_decoded(value))
    }
}

/// RFC 3986 §2.1; `None` when the octets are no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        octets.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(octets).ok()
}

/// An address whose domain may be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// As it was written.
    pub address: String,
    /// Its domain, in small letters.
    pub domain: String,
}

impl Mailbox {
    /// Reads an address as people type it; `None` for what nobody's program needs: quoted local
    /// parts, comments, control characters.
    pub fn read(text: &str) -> Option<Self> {
        let (local, domain) = text.trim().rsplit_once('@')?;
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "\"()<>[]:;,\\@".contains(c);
        let is_local =
            (1..=LOCAL_PART_OCTETS_MAX).contains(&local.len()) && !local.contains(is_odd);
        let domain = domain.to_lowercase();
        let is_domain = (1..=DOMAIN_OCTETS_MAX).contains(&domain.len());
        (is_local && is_domain).then(|| Self { address: format!("{local}@{domain}"), domain })
    }
}

/// RFC 5321 §4.5.3.1.1, §4.5.3.1.2
const LOCAL_PART_OCTETS_MAX: usize = 64;
const DOMAIN_OCTETS_MAX: usize = 255;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn get<'a>(host: &'a str, target: &'a str) -> Ask<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ask { arrival: Arrival::Tls, method: Method::Get, host, path, query, body: b"" }
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_dot() {
        for host in ["Mail.Example", "mail.example:8443", "mail.example.", "MAIL.example.:1"] {
            assert_eq!(get(host, "/").host_name(), "mail.example");
        }
        assert_eq!(get("[::1]:80", "/").host_name(), "[::1]");
    }

    #[test]
    fn fields_are_decoded_and_a_plus_stays() {
        let ask =
            get("a", "/x?email=a%40b.example&emailaddress=dock+list@b.example&email=z&bad=%zz");
        assert_eq!(ask.field("email").as_deref(), Some("a@b.example"));
        assert_eq!(ask.field("emailaddress").as_deref(), Some("dock+list@b.example"));
        assert_eq!((ask.field("bad"), ask.field("none")), (None, None));
        assert_eq!(get("a", "/x?email=%ff%4").field("email"), None);
    }

    #[test]
    fn addresses_are_those_that_people_type() {
        let read = |text: &str| Mailbox::read(text).map(|mailbox| mailbox.address);
        assert_eq!(read(" Dock+x@Mail.Example ").as_deref(), Some("Dock+x@mail.example"));
        assert_eq!(read("grüße@mail.example").as_deref(), Some("grüße@mail.example"));
        for odd in ["", "a", "@b", "a@", "a b@c", "a\r\nb@c", "<a>@c", "\"a\"@c", "a@b@c"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        assert_eq!(read(&format!("{}@c", "a".repeat(65))), None);
    }
}
