//! Message ids of Message-ID, References and In-Reply-To. RFC 5322 §3.6.4
//!
//! ```text
//! msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]
//! ```

use crate::header::unfold;

/// The ids in a header value, without their angle brackets, in order.
///
/// White space inside goes: it is there only because a line was folded. Of more than
/// `IDS_MAX` the first one, which names the thread, and the last ones are kept. An id that is
/// longer than `ID_BYTES_MAX` is none.
pub fn message_ids(value: &[u8]) -> Vec<Vec<u8>> {
    let value = unfold(value);
    let mut ids: std::collections::VecDeque<Vec<u8>> = std::collections::VecDeque::new();
    let mut rest = value.as_slice();
    while let Some(start) = memchr::memchr(b'<', rest) {
        let inside = rest.get(start + 1..).unwrap_or_default();
        let Some(end) = memchr::memchr2(b'<', b'>', inside) else { break };
        let (id, after) = inside.split_at(end);
        // `<a <b@c>`: the second bracket begins it again.
        rest = if after.starts_with(b">") { after.get(1..).unwrap_or_default() } else { after };
        let id: Vec<u8> = id.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        if !after.starts_with(b">") || id.is_empty() || id.len() > ID_BYTES_MAX {
            continue;
        }
        ids.push_back(id);
        if ids.len() > IDS_MAX {
            ids.remove(1);
        }
    }
    ids.into()
}

/// Most ids kept of a field. Clients cut References to 20 or so; a thread is found by any of them.
const IDS_MAX: usize = 100;
/// Longest id. A line has at most 998 characters, and an id cannot be folded. RFC 5322 §2.1.1
const ID_BYTES_MAX: usize = 996;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(value: &str) -> Vec<String> {
        message_ids(value.as_bytes()).into_iter().map(|id| String::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn ids_are_found_between_other_words() {
        assert_eq!(ids("<a@b>\r\n\t<c@d>"), ["a@b", "c@d"]);
        assert_eq!(ids("Your message of \"Tue\" <a@b> (comment)"), ["a@b"]);
        assert_eq!(ids("<a@b><c@d>,<e@f\r\n g>"), ["a@b", "c@d", "e@fg"]);
        assert_eq!(ids("<no-at>"), ["no-at"]);
        assert_eq!(ids("<a <b@c> <d"), ["b@c"]);
        assert!(ids("a@b <> <").is_empty());
        assert!(ids(&format!("<{}>", "x".repeat(997))).is_empty());
    }

    #[test]
    fn of_too_many_the_first_and_the_last_are_kept() {
        let value: String = (0..100_000).map(|n| format!("<{n}@x> ")).collect();
        let found = ids(&value);
        assert_eq!(found.len(), IDS_MAX);
        assert_eq!((found[0].as_str(), found[1].as_str()), ("0@x", "99901@x"));
        assert_eq!(found.last().unwrap(), "99999@x");
    }
}
