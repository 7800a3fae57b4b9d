//! Text that somebody else wrote, made fit to be kept and to be shown.

use std::fmt;

/// One line of at most [`LINE_BYTES_MAX`] bytes. Whatever could move the cursor of a terminal, end
/// the line or turn the direction of writing stands in it as an escape, `\u{1b}`. It is made so
/// when it is told, so nobody can forget it when it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line(String);

impl Line {
    /// Makes a line of any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut line = String::with_capacity(text.len().min(LINE_BYTES_MAX));
        for c in text.chars() {
            if is_harmless(c) {
                line.push(c);
            } else {
                line.extend(c.escape_unicode());
            }
            if line.len() > LINE_BYTES_MAX {
                let end = line.floor_char_boundary(LINE_BYTES_MAX - CUT.len());
                line.truncate(end);
                line.push_str(CUT);
                break;
            }
        }
        Self(line)
    }

    /// Makes a line of bytes that are text as a rule.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // More than fits is not looked at: a field may be as long as a header.
        let bytes = bytes.get(..LINE_BYTES_MAX + 1).unwrap_or(bytes);
        Self::new(&String::from_utf8_lossy(bytes))
    }

    /// The line as it was stored; `None` if no line reads like that.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        Some(Self::new(text)).filter(|line| line.0 == text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Neither a control character nor one that hides or reverses what stands around it (the
/// bidirectional ones of UAX #9, separators of lines, and characters without a width).
fn is_harmless(c: char) -> bool {
    let is_hidden = matches!(c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !c.is_control() && !is_hidden
}

/// Longest line: what a reply line may have. RFC 5321 §4.5.3.1.5
pub const LINE_BYTES_MAX: usize = 512;

/// Ends a line that was longer.
const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s016_s017_nothing_in_a_line_moves_a_cursor_or_ends_it() {
        for (text, line) in [
            ("plain ä 海", "plain ä 海"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}moc.elpmaxe", "a\\u{202e}moc.elpmaxe"),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
            ("\0\x7f", "\\u{0}\\u{7f}"),
        ] {
            assert_eq!(Line::new(text).as_str(), line);
        }
        for c in (0..0x11_0000).filter_map(char::from_u32) {
            let line = Line::new(&c.to_string());
            assert!(line.as_str().chars().all(is_harmless), "{c:?}");
        }
    }

    #[test]
    fn a_line_has_a_greatest_length_and_is_made_once() {
        for text in ["x".repeat(5000), "\x1b".repeat(200), "海".repeat(171), "é".repeat(256)] {
            let line = Line::new(&text);
            assert!(line.as_str().len() <= LINE_BYTES_MAX, "{}", line.as_str().len());
            assert_eq!(Line::new(line.as_str()), line);
            assert_eq!(Line::stored(line.as_str()), Some(line));
        }
        assert_eq!(Line::new(&"x".repeat(512)).as_str(), "x".repeat(512));
        assert!(Line::new(&"x".repeat(513)).as_str().ends_with("x…"));
        assert_eq!(Line::stored("a\rb"), None);
        assert!(Line::of_bytes(&[b'x'; 9000]).as_str().ends_with('…'));
        assert_eq!(Line::of_bytes(b"a\xffb").as_str(), "a\u{fffd}b");
    }
}
