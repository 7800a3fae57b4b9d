//! Delimiter lines of multiparts. RFC 2046 §5.1.1
//!
//! ```text
//! delimiter          = CRLF "--" boundary transport-padding CRLF
//! close-delimiter    = CRLF "--" boundary "--" transport-padding [CRLF]
//! transport-padding  = *LWSP-char
//! ```
//!
//! A line is a delimiter only if nothing but padding follows the boundary: `--xyz` is text when the
//! boundary is `x`. (By the letter of RFC 2046 it would delimit, since "boundary delimiters must
//! not appear within the encapsulated material"; but senders that nest `ab` in `abc` do exist, and
//! no sender pads with anything but space.) A line that could open a part of one multipart and
//! close another does the former: the longer boundary wins.

/// Longest line that can be a delimiter, with its line end. RFC 5322 §2.1.1 allows lines of 998;
/// a longer one is text, so that no more than this of a body is ever held back.
pub(crate) const DELIMITER_LINE_BYTES_MAX: usize = 1000;

/// What a line does to the multipart with the given number in the list of open boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// A part begins after the line.
    Opens(usize),
    /// No more parts.
    Closes(usize),
}

/// Judges a line, with or without its line end. `open` are the boundaries from the outermost on;
/// the innermost that fits is meant.
pub(crate) fn judge<'a, I>(line: &[u8], open: I) -> Option<Delimiter>
where
    I: DoubleEndedIterator<Item = (usize, &'a [u8])> + Clone,
{
    let text = line.strip_prefix(b"--")?.trim_ascii_end();
    if text.is_empty() {
        return None;
    }
    if let Some((at, _)) = open.clone().rev().find(|(_, boundary)| *boundary == text) {
        return Some(Delimiter::Opens(at));
    }
    let text = text.strip_suffix(b"--")?;
    open.rev().find(|(_, boundary)| *boundary == text).map(|(at, _)| Delimiter::Closes(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str, open: &[&str]) -> Option<Delimiter> {
        judge(line.as_bytes(), open.iter().map(|b| b.as_bytes()).enumerate())
    }

    #[test]
    fn only_padding_may_follow_a_boundary() {
        assert_eq!(judged("--x\r\n", &["x"]), Some(Delimiter::Opens(0)));
        assert_eq!(judged("--x \t \r\n", &["x"]), Some(Delimiter::Opens(0)));
        assert_eq!(judged("--x--", &["x"]), Some(Delimiter::Closes(0)));
        assert_eq!(judged("--x-- \n", &["x"]), Some(Delimiter::Closes(0)));
        for text in ["--xyz\n", "--x y\n", "--x-\n", "-- x\n", "--\n", "-x\n", "--x--y\n", " --x"] {
            assert_eq!(judged(text, &["x"]), None, "{text:?}");
        }
    }

    #[test]
    fn the_longer_boundary_and_then_the_inner_one_is_meant() {
        assert_eq!(judged("--abc", &["ab", "abc"]), Some(Delimiter::Opens(1)));
        assert_eq!(judged("--ab", &["ab", "abc"]), Some(Delimiter::Opens(0)));
        assert_eq!(judged("--x--", &["x--", "x"]), Some(Delimiter::Opens(0)));
        assert_eq!(judged("--x--", &["x", "x--"]), Some(Delimiter::Opens(1)));
        assert_eq!(judged("--x", &["x", "x"]), Some(Delimiter::Opens(1)));
    }
}
