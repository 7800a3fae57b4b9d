//! The terms of an SPF record, checked before the parser sees them.
//!
//! The parser of mail-auth is made for records that are right. It takes an unknown word for a
//! modifier and the term behind it for its value, cuts prefixes that are too long, and takes any
//! text for a name: a record with a slip in it would say something that nobody wrote. A slip must
//! be an error, which its owner can find. RFC 7208 §4.6
//!
//! ```text
//! record       = version terms *SP
//! terms        = *( 1*SP ( directive / modifier ) )
//! directive    = [ qualifier ] mechanism
//! modifier     = name "=" macro-string
//! domain-spec  = macro-string domain-end
//! domain-end   = ( "." toplabel [ "." ] ) / macro-expand
//! macro-expand = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
//! ```
//! RFC 7208 §12

use std::net::{Ipv4Addr, Ipv6Addr};

/// The record with the terms that RFC 7208 knows; `None` if it has one that is neither a mechanism
/// nor a modifier. Modifiers of others are nobody's business, once they are some. RFC 7208 §6
pub(crate) fn known_terms(record: &str) -> Option<String> {
    if !record.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return None;
    }
    let mut known = "v=spf1".to_owned();
    for term in record.split(' ').filter(|term| !term.is_empty()).skip(1) {
        let is_known = match term.split_once('=') {
            Some((name, value)) if is_name(name) => {
                let is_known = is_one_of(name, MODIFIERS);
                if is_known && !is_domain_spec(value) || !is_macro_string(value) {
                    return None;
                }
                is_known
            }
            _ if is_mechanism(term.strip_prefix(['+', '-', '~', '?']).unwrap_or(term)) => true,
            _ => return None,
        };
        if is_known {
            known.push(' ');
            known.push_str(term);
        }
    }
    Some(known)
}

/// `name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )`
fn is_name(name: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(is_inside)
}

fn is_one_of(name: &str, list: &[&str]) -> bool {
    list.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// RFC 7208 §5
fn is_mechanism(term: &str) -> bool {
    let end = term.find([':', '/']).unwrap_or(term.len());
    let (name, rest) = term.split_at(end);
    let domain = rest.strip_prefix(':');
    match name.to_ascii_lowercase().as_str() {
        "all" => rest.is_empty(),
        "include" | "exists" => domain.is_some_and(is_domain_spec),
        "ptr" => rest.is_empty() || domain.is_some_and(is_domain_spec),
        "a" | "mx" => {
            let (domain, lengths) = without_lengths(rest);
            lengths && (domain.is_empty() || domain.strip_prefix(':').is_some_and(is_domain_spec))
        }
        "ip4" => {
            let (address, length) = rest.split_once('/').unwrap_or((rest, "32"));
            let address = address.strip_prefix(':').map(str::parse::<Ipv4Addr>);
            matches!(address, Some(Ok(_))) && is_length(length, 32)
        }
        "ip6" => {
            let (address, length) = rest.split_once('/').unwrap_or((rest, "128"));
            let address = address.strip_prefix(':').map(str::parse::<Ipv6Addr>);
            matches!(address, Some(Ok(_))) && is_length(length, 128)
        }
        _ => false,
    }
}

/// What stands before the lengths of the prefixes, and whether these are right.
///
/// ```text
/// dual-cidr-length = [ "/" ip4-length ] [ "//" ip6-length ]
/// ```
fn without_lengths(rest: &str) -> (&str, bool) {
    // A macro may have a slash among its delimiters.
    let from = rest.rfind('}').unwrap_or(0);
    let slash = rest.get(from..).and_then(|end| end.find('/'));
    let Some((domain, lengths)) = slash.and_then(|at| rest.split_at_checked(from + at)) else {
        return (rest, true);
    };
    let (four, six) = match lengths.split_once("//") {
        Some((four, six)) => (four, Some(six)),
        None => (lengths, None),
    };
    let is_four = four.is_empty() || four.strip_prefix('/').is_some_and(|it| is_length(it, 32));
    (domain, is_four && six.is_none_or(|it| is_length(it, 128)))
}

fn is_length(text: &str, most: u8) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain
        && (text == "0" || !text.starts_with('0'))
        && text.parse::<u8>().is_ok_and(|length| length <= most)
}

/// A name that ends with a macro, or with the label of a top-level domain, which is no number.
fn is_domain_spec(text: &str) -> bool {
    if !is_macro_string(text) {
        return false;
    }
    let is_expanded = text.ends_with('}') || ["%%", "%_", "%-"].iter().any(|it| text.ends_with(it));
    let name = text.strip_suffix('.').unwrap_or(text);
    let top = name.rsplit_once('.').map(|(_, top)| top);
    is_expanded || top.is_some_and(is_top_label)
}

/// RFC 7208 §7.1 (`toplabel`)
fn is_top_label(label: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    label.bytes().all(is_known)
        && label.bytes().any(|byte| !byte.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 7208 §7.1. `c`, `r` and `t` belong to explanations, which are not asked for.
fn is_macro_string(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        rest = match after.strip_prefix(['%', '_', '-']) {
            Some(after) => after,
            None => {
                let inside = after.strip_prefix('{').and_then(|after| after.split_once('}'));
                match inside {
                    Some((expansion, after)) if is_expansion(expansion) => after,
                    _ => return false,
                }
            }
        };
    }
    true
}

/// `macro-letter transformers *delimiter`
fn is_expansion(text: &str) -> bool {
    let is_letter = |first: char| "slodiphvcrt".contains(first.to_ascii_lowercase());
    let Some(rest) = text.strip_prefix(is_letter) else { return false };
    let digits = rest.trim_start_matches(|it: char| it.is_ascii_digit());
    let count = rest.get(..rest.len() - digits.len()).unwrap_or_default();
    let is_count = count.is_empty() || count.parse::<u8>().is_ok_and(|count| count > 0);
    let delimiters = digits.strip_prefix(['r', 'R']).unwrap_or(digits);
    is_count && delimiters.bytes().all(|byte| b".-+,/_=".contains(&byte))
}

/// RFC 7208 §6
const MODIFIERS: &[&str] = &["redirect", "exp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_are_right_are_kept_and_modifiers_of_others_are_not() {
        for term in [
            "-all",
            "~A",
            "mx/24",
            "a//64",
            "mx:a.example/24//64",
            "a:%{d2r.-}.b.example",
            "include:%{ir}.%{v}._spf.%{d}",
            "exists:%{l1r-/}.x.example.",
            "ptr:a.example",
            "ip4:192.0.2.0/0",
            "ip6:2001:db8::/32",
            "redirect=%{d}",
            "exp=e.a.example",
            "a/0",
            "mx:%{d/}/24",
            "a:x.xn--p1ai",
            "exists:a%%b%-c%_.d.example",
        ] {
            let record = format!("v=spf1 {term}");
            assert_eq!(known_terms(&record).as_deref(), Some(record.as_str()), "{term}");
        }
        let record = known_terms("v=spf1  x=%{s}  ra=me   -all ").unwrap();
        assert_eq!(record, "v=spf1 -all");
    }

    #[test]
    fn a_slip_is_an_error() {
        for term in [
            "al",
            "all:x",
            "all.",
            "+-all",
            "ip:192.0.2.1",
            "ip4:192.0.2",
            "ip4:192.0.2.1/33",
            "ip4:192.0.2.1/08",
            "ip4:192.0.2.1/",
            "ip4",
            "ip6:192.0.2.1/129",
            "a/33",
            "a/",
            "a//129",
            "mx:a.example/24//",
            "a:",
            "a:museum",
            "a:abc.123",
            "a:a.example:8080",
            "a:a.-b",
            "include",
            "include:",
            "exists",
            "ptr:",
            "redirect=",
            "redirect=-all",
            "exp=x",
            "redirect:a.example",
            "-x=y",
            "1x=y",
            "x=%a",
            "x=%{z}",
            "a:%{d0}.example",
            "a:%{d999}.example",
            "a:%{dx}.example",
            "a:%{d",
            "a:a.exam\u{e4}ple",
            "a:a.example\0",
        ] {
            assert_eq!(known_terms(&format!("v=spf1 {term}")), None, "{term:?}");
        }
    }
}
