//! LANGUAGE, the command and its answer. RFC 5255 §3.5

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};

/// ```text
/// language-cmd      = "LANGUAGE" *(SP lang-range-quoted)
/// lang-range-quoted = astring
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut ranges = Vec::new();
    while cursor.space_before_more() {
        if ranges.len() >= LANGUAGES_MAX {
            return cursor.fail(ErrorKind::TooMany, "language ranges");
        }
        ranges.push(range(cursor)?);
    }
    Ok(ranges)
}

/// `language-data = "LANGUAGE" SP "(" lang-tag-quoted *(SP lang-tag-quoted) ")"`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    cursor.space()?;
    cursor.list1(LANGUAGES_MAX, "language tag", range)
}

/// ```text
/// language-range = (1*8ALPHA *("-" 1*8alphanum)) / "*"
/// ```
/// of RFC 4647 §2.1; every tag has this form, too.
fn range(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let range = String::from_utf8(cursor.astring()?.into_owned()).ok().filter(|r| is_range(r));
    range.map_or_else(|| start.fail(ErrorKind::Value, "language range"), Ok)
}

fn is_range(text: &str) -> bool {
    let mut subtags = text.split('-');
    let is_first =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
    let is_other =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    let has_form = subtags.next().is_some_and(is_first) && subtags.all(is_other);
    text == "*" || (has_form && text.len() <= RANGE_BYTES_MAX)
}

/// Most languages in one list: more than anybody speaks, and than a server has texts in.
const LANGUAGES_MAX: usize = 256;
/// Longest range; 35 characters is the least that has to be taken. RFC 5646 §4.4.1
const RANGE_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_from_what_has_another_form() {
        for good in ["en", "DE-it", "i-default", "default", "*", "sl-rozaj-biske-1994", "x-a"] {
            assert!(is_range(good), "{good}");
        }
        let long = ["a"; 65].join("-");
        for bad in ["", "-", "en-", "-en", "1n", "en_US", "abcdefghi", "en--us", "de-*", &long] {
            assert!(!is_range(bad), "{bad}");
        }
    }
}
