//! Names of domains as they are compared and asked for: small letters, A-labels, no dot at the end.

/// The normal form of a name; `None` for what is no name that mail can have.
///
/// Only letters, digits, `-` and `_` come through, so a name that has passed may be put into a
/// header, a reply or a question as it stands. A NUL or a dot inside a label would be read as the
/// end of the name by some.
pub(crate) fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > UNICODE_NAME_BYTES_MAX {
        return None;
    }
    let name = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        // RFC 8616 §2: names are compared and asked for as A-labels.
        idna::domain_to_ascii(name).ok()?
    };
    (name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)).then_some(name)
}

/// [`normal`] of bytes that came from outside.
pub(crate) fn normal_bytes(name: &[u8]) -> Option<String> {
    normal(std::str::from_utf8(name).ok()?)
}

/// Whether the name is the other one or lies below it. Both are in normal form.
pub(crate) fn is_within(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_label(label: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_known)
}

/// RFC 1035 §2.3.4, as text.
pub(crate) const NAME_BYTES_MAX: usize = 253;

/// RFC 1035 §2.3.4
const LABEL_BYTES_MAX: usize = 63;

/// A U-label may take more octets than its A-label, but not without end.
const UNICODE_NAME_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_one_form() {
        assert_eq!(normal("Example.ORG.").as_deref(), Some("example.org"));
        assert_eq!(normal("bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(normal("s_1._domainkey.a-b.example").as_deref().map(str::len), Some(26));
    }

    #[test]
    fn what_could_be_read_as_another_name_is_none() {
        for name in ["", ".", "a..b", ".a", "a.\0.b", "a b", "a\r\nb", "a;b", "[192.0.2.1]", "a/b"]
        {
            assert_eq!(normal(name), None, "{name:?}");
        }
        assert_eq!(normal(&"a".repeat(64)), None);
        assert_eq!(normal(&"a.".repeat(127)).map(|name| name.len()), Some(253));
        assert_eq!(normal(&"a.".repeat(128)), None);
        assert_eq!(normal_bytes(b"\xff.example"), None);
    }

    #[test]
    fn a_name_lies_within_itself_and_its_parents() {
        assert!(is_within("a.example", "a.example"));
        assert!(is_within("b.a.example", "a.example"));
        assert!(!is_within("ba.example", "a.example"));
        assert!(!is_within("example", "a.example"));
    }
}
