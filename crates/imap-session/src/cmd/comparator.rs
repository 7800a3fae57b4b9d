//! COMPARATOR. RFC 5255 §4.7

use imap_proto::types::{Code, ComparatorReply, Response};
use mailbox::collate::{Collation, Comparator, Direction};

use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(orders: &[String], run: &mut Run<'_>) -> Flow {
    let mut matching: Vec<Collation> = Vec::new();
    for order in orders {
        let Some(found) = matched_by(order) else {
            return Err(Reply::bad("Expected the name of a comparator"));
        };
        for collation in found {
            if !matching.contains(&collation) {
                matching.push(collation);
            }
        }
    }
    match matching.first() {
        // "the first argument wins"; of those that match it the most widely useful.
        Some(first) => run.state.collation = *first,
        None if orders.is_empty() => {}
        None => {
            return Err(Reply::no("No such comparator is known").with(Code::BadComparator));
        }
    }
    // "present only if more than one match is found" RFC 5255 §4.8
    let several = matching.iter().filter(|_| matching.len() > 1);
    let reply = ComparatorReply {
        active: name(run.state.collation),
        matching: several.map(|collation| name(*collation)).collect(),
    };
    run.write(&Response::Comparator(reply));
    end(Reply::ok("COMPARATOR completed"))
}

/// The collations that an argument asks for; `None` if it has no right form.
///
/// ```text
/// collation-order = ["+" / "-"] collation-wild
/// collation-wild  = ("*" / (ALPHA ["*"])) *(collation-char ["*"])
/// collation-char  = ALPHA / DIGIT / "-" / ";" / "=" / "."
/// ```
fn matched_by(order: &str) -> Option<Vec<Collation>> {
    let (direction, pattern) = match order.strip_prefix('-') {
        Some(pattern) => (Direction::Descending, pattern),
        None => (Direction::Ascending, order.strip_prefix('+').unwrap_or(order)),
    };
    let is_char =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b';' | b'=' | b'.' | b'*');
    let begins = pattern.starts_with(|c: char| c == '*' || c.is_ascii_alphabetic());
    let is_pattern = begins && pattern.bytes().all(is_char) && !pattern.contains("**");
    if !is_pattern || pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    if pattern.eq_ignore_ascii_case("default") {
        return Some(vec![Collation { comparator: Comparator::default(), direction }]);
    }
    let pattern = pattern.to_ascii_lowercase();
    let found = NAMES.iter().filter(|(_, name)| matches(&pattern, name));
    Some(found.map(|(comparator, _)| Collation { comparator: *comparator, direction }).collect())
}

/// Whether a name has the form of a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.split_once(piece) {
            Some((_, behind)) => left = behind,
            None => return false,
        }
    }
    left.ends_with(last)
}

/// `collation-selected = ["+" / "-"] collation-id`
fn name(collation: Collation) -> String {
    let known = NAMES.iter().find(|(comparator, _)| *comparator == collation.comparator);
    let name = known.map(|(_, name)| *name).unwrap_or_default();
    match collation.direction {
        Direction::Ascending => name.to_owned(),
        Direction::Descending => format!("-{name}"),
    }
}

/// The comparators by name, the most widely useful first.
const NAMES: [(Comparator, &str); 3] = [
    (Comparator::UnicodeCasemap, "i;unicode-casemap"),
    (Comparator::AsciiCasemap, "i;ascii-casemap"),
    (Comparator::Octet, "i;octet"),
];
/// Longest pattern. RFC 4790 §3.2
const PATTERN_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_as_wildcards_do() {
        for (pattern, name, expected) in [
            ("i;octet", "i;octet", true),
            ("i;octet", "i;octets", false),
            ("*", "i;octet", true),
            ("i;*", "i;octet", true),
            ("*casemap", "i;ascii-casemap", true),
            ("i*;*casemap", "i;unicode-casemap", true),
            ("*a*a*", "i;ascii-casemap", true),
            ("*octet*octet", "i;octet", false),
            ("cz;*", "i;octet", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_from_what_matches_nothing() {
        assert_eq!(matched_by("cz;*"), Some(Vec::new()));
        for order in ["", "+", "-", "1a", "i;**", "a b", "a/b", "--i;octet"] {
            assert_eq!(matched_by(order), None, "{order}");
        }
        assert_eq!(matched_by(&"a".repeat(255)), None);
    }
}
