//! Lists of tags, as in DKIM-Signature, ARC-Seal, and the records of keys and policies.
//!
//! ```text
//! tag-list = tag-spec *( ";" tag-spec ) [ ";" ]
//! tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
//! tag-name = ALPHA *ALNUMPUNC
//! ```
//! RFC 6376 §3.2

/// The tags of one list, in order. Each name stands once.
#[derive(Debug)]
pub(crate) struct Tags<'a> {
    text: &'a [u8],
    list: Vec<Tag<'a>>,
}

#[derive(Debug)]
struct Tag<'a> {
    name: &'a [u8],
    /// Without the white space around it.
    value: &'a [u8],
    /// Everything between `=` and `;`.
    from: usize,
    to: usize,
}

impl<'a> Tags<'a> {
    /// Reads a list; `None` if it is no list, too long, or has a name twice: then the whole list
    /// says nothing, since two readers could take two values. RFC 6376 §3.2
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        if text.len() > LIST_BYTES_MAX {
            return None;
        }
        let mut list: Vec<Tag<'a>> = Vec::new();
        let mut from = 0;
        for spec in text.split(|byte| *byte == b';') {
            let to = from + spec.len();
            let is_last = to == text.len();
            match tag(spec, from) {
                Some(tag) => {
                    let is_known = list.iter().any(|other| other.name == tag.name);
                    if is_known || list.len() >= TAGS_MAX {
                        return None;
                    }
                    list.push(tag);
                }
                // Only a `;` at the end may be followed by nothing.
                None if is_last && spec.trim_ascii().is_empty() && !list.is_empty() => {}
                None => return None,
            }
            from = to + 1;
        }
        Some(Self { text, list })
    }

    /// The value of a tag.
    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.list.iter().find(|tag| tag.name == name.as_bytes()).map(|tag| tag.value)
    }

    /// The name of the first tag.
    pub(crate) fn first(&self) -> Option<&'a [u8]> {
        self.list.first().map(|tag| tag.name)
    }

    /// The list with the value of one tag taken out, and nothing else changed. RFC 6376 §3.7
    pub(crate) fn without_value_of(&self, name: &str) -> Vec<u8> {
        let Some(tag) = self.list.iter().find(|tag| tag.name == name.as_bytes()) else {
            return self.text.to_vec();
        };
        let before = self.text.get(..tag.from).unwrap_or_default();
        let after = self.text.get(tag.to..).unwrap_or_default();
        [before, after].concat()
    }
}

fn tag(spec: &[u8], offset: usize) -> Option<Tag<'_>> {
    let equals = spec.iter().position(|byte| *byte == b'=')?;
    let name = spec.get(..equals)?.trim_ascii();
    let value = spec.get(equals + 1..)?;
    let (first, rest) = name.split_first()?;
    let is_name = first.is_ascii_alphabetic()
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    // Control characters have no place in a value, apart from those that fold it.
    let is_value = value.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    let (from, to) = (offset + equals + 1, offset + spec.len());
    (is_name && is_value).then_some(Tag { name, value: value.trim_ascii(), from, to })
}

/// The parts of a value between colons, without the white space around them.
pub(crate) fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b':').map(<[u8]>::trim_ascii)
}

/// A number without sign; more digits than a time can have are none. RFC 6376 §3.5 (`t=`, `x=`)
pub(crate) fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = (1..=NUMBER_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The longest list: any signature fits, and a copied header (`z=`) that nobody uses.
const LIST_BYTES_MAX: usize = 16 * 1024;

/// Most tags of a list; RFC 6376 knows fifteen.
const TAGS_MAX: usize = 40;

/// RFC 6376 §3.5: "up to 12 decimal digits" for `t=` and `x=`.
const NUMBER_DIGITS_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_folded_and_spaced() {
        let tags =
            Tags::parse(b" v=1; a = rsa-sha256;\r\n\tb=ab\r\n cd ; h=From : To;\r\n").unwrap();
        assert_eq!(tags.get("a"), Some(&b"rsa-sha256"[..]));
        assert_eq!(tags.get("b"), Some(&b"ab\r\n cd"[..]));
        assert_eq!(tags.first(), Some(&b"v"[..]));
        assert_eq!(parts(tags.get("h").unwrap()).collect::<Vec<_>>(), [b"From", &b"To"[..]]);
        assert_eq!(tags.without_value_of("b"), b" v=1; a = rsa-sha256;\r\n\tb=; h=From : To;\r\n");
    }

    #[test]
    fn a_list_that_two_could_read_differently_is_none() {
        for text in [
            &b"v=1; d=a.example; d=b.example"[..],
            b"v=1;; d=a.example",
            b"",
            b";",
            b"v",
            b"v=1; =x",
            b"1=v",
            b"v=1; d=a\0.example",
            b"v=1; d b=x",
        ] {
            assert!(Tags::parse(text).is_none(), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn s094_huge_tags_are_not_read() {
        let long = format!("v=1; z={}", "x".repeat(LIST_BYTES_MAX));
        assert!(Tags::parse(long.as_bytes()).is_none());
        let many: String = (0..=TAGS_MAX).map(|number| format!("a{number}=1;")).collect();
        assert!(Tags::parse(many.as_bytes()).is_none());
        let fits: String = (0..TAGS_MAX).map(|number| format!("a{number}=1;")).collect();
        assert!(Tags::parse(fits.as_bytes()).is_some());
    }

    #[test]
    fn numbers_have_an_end() {
        assert_eq!(number(b"0123"), Some(123));
        for text in ["", "-1", "1x", "1234567890123", "1 2"] {
            assert_eq!(number(text.as_bytes()), None, "{text:?}");
        }
    }
}
