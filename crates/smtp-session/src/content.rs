//! The text after DATA: where it ends, and what it is without the dots that guard it.
//!
//! The end is `<CRLF>.<CRLF>` and nothing that merely looks like it (RFC 5321 §4.1.1.4: a server
//! MUST NOT take bare `<LF>` for the end of a line). Two servers that disagree about the end let a
//! stranger put a second message, with a sender of his choice, behind the first.
//!
//! A bare LF within the text becomes CRLF, because mail is kept with CRLF everywhere; it still
//! neither ends the text nor begins a line whose dot would be removed. A bare CR stays as it is.
//! That is for LMTP, which trusts its client; whoever serves strangers asks
//! [`Content::has_bare`] and refuses the message.

/// Finds the end of a message text and removes its dot-stuffing, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Content {
    at: At,
    bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Right after `CRLF`, or at the very beginning: DATA's own CRLF counts (RFC 5321 §4.1.1.4).
    LineStart,
    /// A dot at the start of a line.
    Dot,
    /// A dot and a CR at the start of a line.
    DotCr,
    /// Within a line.
    Middle,
    /// A CR within a line, not written yet.
    Cr,
    /// The text has ended.
    End,
}

impl Default for Content {
    fn default() -> Self {
        Self { at: At::LineStart, bare: false }
    }
}

/// Looks for CR without LF and LF without CR in octets that are not stuffed. RFC 3030 §2
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEnds {
    after_cr: bool,
    bare: bool,
}

impl LineEnds {
    /// Looks at the next octets.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bare |= self.after_cr != (byte == b'\n');
            self.after_cr = byte == b'\r';
        }
    }

    /// Whether one was found so far.
    pub fn has_bare(&self) -> bool {
        self.bare
    }

    /// Whether one was found when nothing more comes.
    pub fn ends_bare(&self) -> bool {
        self.bare || self.after_cr
    }
}

impl Content {
    /// Takes bytes from the front of `input` and appends what they mean to `text`. Returns how
    /// many were taken: all of them, unless the text ended among them.
    pub fn push(&mut self, input: &[u8], text: &mut Vec<u8>) -> usize {
        let mut rest = input;
        while !rest.is_empty() && self.at != At::End {
            if self.at == At::Middle {
                // Most bytes are neither: copy them at once.
                let plain = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                let (run, behind) = rest.split_at(plain.unwrap_or(rest.len()));
                text.extend_from_slice(run);
                rest = behind;
            }
            let Some((&byte, behind)) = rest.split_first() else { break };
            rest = behind;
            // LF comes behind CR and nowhere else, and behind CR comes nothing else.
            self.bare |= matches!(self.at, At::Cr | At::DotCr) != (byte == b'\n');
            self.at = step(self.at, byte, text);
        }
        input.len() - rest.len()
    }

    /// Whether a CR or an LF was seen without the other. RFC 5321 §2.3.8
    pub fn has_bare(&self) -> bool {
        self.bare
    }

    /// Whether the end was seen.
    pub fn has_ended(&self) -> bool {
        self.at == At::End
    }
}

fn step(at: At, byte: u8, text: &mut Vec<u8>) -> At {
    match (at, byte) {
        (At::LineStart, b'.') => At::Dot,
        // The dot goes: it was put there because the line began with one. RFC 5321 §4.5.2
        (At::Dot, b'\r') => At::DotCr,
        (At::DotCr, b'\n') => At::End,
        (At::DotCr, byte) => {
            text.push(b'\r');
            within_line(byte, text)
        }
        (At::Cr, b'\n') => {
            text.extend_from_slice(b"\r\n");
            At::LineStart
        }
        (At::Cr, byte) => {
            text.push(b'\r');
            within_line(byte, text)
        }
        (At::LineStart | At::Dot | At::Middle, byte) => within_line(byte, text),
        (At::End, _) => At::End,
    }
}

fn within_line(byte: u8, text: &mut Vec<u8>) -> At {
    match byte {
        b'\r' => At::Cr,
        b'\n' => {
            text.extend_from_slice(b"\r\n");
            At::Middle
        }
        byte => {
            text.push(byte);
            At::Middle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text and what was left behind its end, or `None` if it did not end.
    fn read(input: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut content, mut text) = (Content::default(), Vec::new());
        let taken = content.push(input, &mut text);
        content.has_ended().then(|| (text, input[taken..].to_vec()))
    }

    #[test]
    fn dots_are_removed_and_the_end_is_found() {
        let (text, rest) = read(b"a\r\n..b\r\n.\r\nRSET\r\n").unwrap();
        assert_eq!(text, b"a\r\n.b\r\n");
        assert_eq!(rest, b"RSET\r\n");
    }

    #[test]
    fn an_empty_message_ends_at_once() {
        assert_eq!(read(b".\r\nQ").unwrap(), (Vec::new(), b"Q".to_vec()));
    }

    #[test]
    fn a_dot_in_the_first_line_is_unstuffed() {
        assert_eq!(read(b"..x\r\n.\r\n").unwrap().0, b".x\r\n");
    }

    #[test]
    fn bare_line_feeds_become_line_ends_and_bare_returns_stay() {
        assert_eq!(read(b"a\nb\rc\r\n.\r\n").unwrap().0, b"a\r\nb\rc\r\n");
    }

    /// Everything that some server once took for the end of a message.
    const LOOKALIKES: &[&[u8]] = &[
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\n.\r",
        b"\r.\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n.\r\0\n",
        b"\r\0\n.\r\n",
        b"\n\n.\r\n",
        b"\n.\n\n",
        b"\r\n .\r\n",
        b"\r\n. \r\n",
        b"\r\n..\r\n",
        b"\r\n.\x0b\r\n",
        b"\r\n.\x0c\r\n",
        b"\r\n.\xc2\x85",
        b"\r\n.\xe2\x80\xa8",
        b"\xc2\x85.\xc2\x85",
        b"\xff\xfe.\r\n",
        b"\r\n.\r.\r\n",
        b"\n\r.\r\n",
        b"\n\r.\n\r",
        b"\r\n.\n\r\n",
        b"\r\n\r.\r\n",
        b"\r\n.=0D=0A",
        b"=0D=0A.\r\n",
        b"\\r\\n.\\r\\n",
        b"\r\n.\t\r\n",
        b"\t.\r\n",
        b"\0\r\0\n.\0\r\0\n",
        b"\r\n\x08.\r\n",
        b"\x1a",
        b"\x04",
        b"\r\n.\x00",
    ];

    #[test]
    fn line_ends_that_are_not_crlf_are_noticed_at_any_split() {
        let bare = |bytes: &[u8], split: usize| {
            let (mut content, mut ends) = (Content::default(), LineEnds::default());
            for piece in [&bytes[..split], &bytes[split..]] {
                content.push(piece, &mut Vec::new());
                ends.push(piece);
            }
            assert!(content.has_ended());
            assert_eq!(ends.ends_bare(), ends.has_bare());
            (content.has_bare(), ends.has_bare())
        };
        for (text, is_bare) in [
            (&b"a\r\n.\r\n"[..], false),
            (b"\r\n\r\n..\r\n.\r\n", false),
            (b"a\n\r\n.\r\n", true),
            (b"a\rb\r\n.\r\n", true),
            (b"a\r\r\n.\r\n", true),
            (b"\n\r\n.\r\n", true),
            (b".\rx\r\n.\r\n", true),
            (b".\n\r\n.\r\n", true),
        ] {
            for split in 0..text.len() {
                assert_eq!(bare(text, split), (is_bare, is_bare), "{text:?} at {split}");
            }
        }
        let mut ends = LineEnds::default();
        ends.push(b"x\r");
        assert!(!ends.has_bare() && ends.ends_bare());
    }

    #[test]
    fn s005_nothing_but_crlf_dot_crlf_ends_a_message_at_any_split() {
        assert_eq!(LOOKALIKES.len(), 40);
        for lookalike in LOOKALIKES {
            let mut input = b"Subject: a\r\n\r\nbody".to_vec();
            input.extend_from_slice(lookalike);
            input.extend_from_slice(b"MAIL FROM:<evil@example.org>\r\nmore");
            let (whole, _) = {
                let mut ended = input.clone();
                ended.extend_from_slice(b"\r\n.\r\n");
                let (text, rest) = read(&ended).unwrap();
                assert!(rest.is_empty(), "{lookalike:?}");
                (text, rest)
            };
            for split in 0..input.len() {
                let (mut content, mut text) = (Content::default(), Vec::new());
                for piece in [&input[..split], &input[split..], b"\r\n.\r\n"] {
                    assert_eq!(content.push(piece, &mut text), piece.len());
                }
                assert!(content.has_ended(), "{lookalike:?} at {split}");
                assert_eq!(text, whole, "{lookalike:?} at {split}");
            }
        }
    }
}
