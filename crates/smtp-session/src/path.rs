//! Reverse-paths and forward-paths. RFC 5321 §4.1.2, RFC 6531 §3.3
//!
//! ```text
//! Path       = "<" [ A-d-l ":" ] Mailbox ">"
//! A-d-l      = "@" Domain *( "," "@" Domain )
//! Mailbox    = Local-part "@" ( Domain / address-literal )
//! Local-part = Dot-string / Quoted-string
//! ```
//!
//! `smtp-proto` takes quotes off and forgets that they were there, so that `"a@b"@c` would read as
//! an address with two domains. What decides where mail goes is therefore parsed here, strictly.

/// What stands in the angle brackets of MAIL or RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `<>`: who sends this wants no answer.
    Null,
    /// `<postmaster>`: the one address without a domain. RFC 5321 §4.1.1.3
    Postmaster,
    /// An address, without quotes where it needs none, without source route.
    Mailbox(String),
}

/// The path in a command line, from the first `<`; `None` if it is not one. The second part is what
/// stands behind it.
pub fn parse_path(line: &[u8]) -> Option<(Path, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.split_once('<')?;
    if let Some(behind) = rest.strip_prefix('>') {
        return Some((Path::Null, behind));
    }
    let postmaster = rest.get(..POSTMASTER.len()).zip(rest.get(POSTMASTER.len()..));
    if let Some((start, behind)) = postmaster
        && start.eq_ignore_ascii_case(POSTMASTER)
    {
        return Some((Path::Postmaster, behind));
    }
    let rest = skip_route(rest)?;
    let (local, rest) = local_part(rest)?;
    let rest = rest.strip_prefix('@')?;
    let (domain, behind) = rest.split_once('>')?;
    if !is_domain(domain) && !is_address_literal(domain) {
        return None;
    }
    let mailbox = format!("{local}@{domain}");
    (mailbox.len() <= MAILBOX_BYTES_MAX).then_some((Path::Mailbox(mailbox), behind))
}

/// A route is understood and not followed. RFC 5321 §4.1.1.3, Appendix C
fn skip_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, rest) = path.split_once(':')?;
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_domain);
    route.split(',').all(is_hop).then_some(rest)
}

/// The local part in its shortest spelling, and the rest of the path.
fn local_part(path: &str) -> Option<(String, &str)> {
    let Some(quoted) = path.strip_prefix('"') else {
        let (local, _) = path.split_once('@')?;
        let rest = path.get(local.len()..)?;
        return is_dot_string(local).then(|| (local.to_owned(), rest));
    };
    let (mut text, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        if c.is_control() {
            return None;
        }
        match c {
            '"' if !escaped => {
                let rest = quoted.get(at + 1..)?;
                return Some((if is_dot_string(&text) { text } else { quote(&text) }, rest));
            }
            '\\' if !escaped => escaped = true,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// RFC 5321 §4.1.2: quoted and unquoted forms of the same characters are one address.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn is_dot_string(text: &str) -> bool {
    let is_atext = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_international(c)
    };
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Names of hosts, the international ones too. The underscore is in no standard and in real names.
fn is_domain(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || is_international(c);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(is_inner)
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`. RFC 5321 §4.1.3
fn is_address_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| {
        !inner.is_empty()
            && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-'))
    })
}

/// RFC 6531 §3.3: any character beyond ASCII. Those that end a line for somebody, or that nobody
/// sees, have no place in an address.
fn is_international(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

const POSTMASTER: &str = "postmaster>";

/// RFC 5321 §4.5.3.1.3: 256 with the brackets.
const MAILBOX_BYTES_MAX: usize = 254;

/// RFC 5321 §4.5.3.1.2
const DOMAIN_BYTES_MAX: usize = 255;

/// Of an A-label (RFC 1035 §2.3.4); a U-label may take more octets than the A-label it stands for.
const LABEL_BYTES_MAX: usize = 252;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<String> {
        match parse_path(path.as_bytes())?.0 {
            Path::Mailbox(mailbox) => Some(mailbox),
            Path::Null => Some(String::new()),
            Path::Postmaster => Some("postmaster".to_owned()),
        }
    }

    #[test]
    fn addresses_are_read_in_their_shortest_spelling() {
        for (path, mailbox) in [
            ("<>", ""),
            ("<Postmaster>", "postmaster"),
            ("<a@b.example>", "a@b.example"),
            ("<\"a\"@b.example>", "a@b.example"),
            ("<\"a b\"@b.example>", "\"a b\"@b.example"),
            ("<\"a\\\"b\"@b.example>", "\"a\\\"b\"@b.example"),
            ("<\"\\a\"@b.example>", "a@b.example"),
            ("<\"\"@b.example>", "\"\"@b.example"),
            ("<\"x@y.example\"@b.example>", "\"x@y.example\"@b.example"),
            ("<@a.example,@c.example:u@d.example>", "u@d.example"),
            ("<u%d@us.example>", "u%d@us.example"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
            ("<ä@ö.example>", "ä@ö.example"),
        ] {
            assert_eq!(parse(path).as_deref(), Some(mailbox), "{path}");
        }
    }

    #[test]
    fn s036_what_is_no_address_is_refused() {
        let long = format!("<{}@b.example>", "a".repeat(250));
        for path in [
            "a@b.example",
            "<a@b.example",
            "<a>",
            "<@b.example>",
            "<a@>",
            "<a@b.example.>",
            "<a@.b>",
            "<.a@b>",
            "<a..b@c>",
            "<a@b@c>",
            "<a b@c>",
            "<a@b c>",
            "<\"a@b>",
            "<\"a\"b@c>",
            "<a@-b>",
            "<a@[]>",
            "<a@[1]x>",
            "<@a:b>",
            "<@a,b:c@d>",
            "<@a c@d>",
            "<a\u{0}@b>",
            "<\"a\u{0}\"@b>",
            "<a@b\u{2028}>",
            "<a\u{85}@b>",
            "<<a@b>>",
            "<group:a@b;>",
            &long,
        ] {
            assert_eq!(parse(path), None, "{path:?}");
        }
    }

    #[test]
    fn what_is_read_and_written_again_is_read_the_same() {
        for path in ["<\"a b\"@c>", "<\"a\\\\\\\"b\"@c>", "<\"\"@c>", "<a.b+c@d>"] {
            let once = parse(path).unwrap();
            assert_eq!(parse(&format!("<{once}>")), Some(once));
        }
    }
}
