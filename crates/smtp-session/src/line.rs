//! Command lines: where they end, and which are not looked at.

use crate::session::{Role, Stage};
use crate::{Event, Reply, Session};

impl Session {
    /// Takes a line of a command or of an authentication.
    pub(crate) fn line(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let is_response = matches!(self.stage, Stage::AuthLine(_));
        let longest = match is_response || self.may_be_url(input) {
            true => LONGEST_RESPONSE_BYTES,
            false => LONGEST_LINE_BYTES,
        };
        let Some(line_feed) = input.iter().position(|byte| *byte == b'\n') else {
            if input.len() > longest {
                self.stage = Stage::LongLine;
                return None;
            }
            return Some(Event::NeedInput);
        };
        let line: Vec<u8> = input.drain(..=line_feed).collect();
        if input.is_empty() {
            // An idle session holds no buffer.
            *input = Vec::new();
        }
        let Some(command) = line.strip_suffix(b"\r\n") else {
            // Waiting for a CRLF would leave people with the wrong client without an answer, and
            // guessing is what smuggling lives on. RFC 5321 §2.3.8
            self.end(Reply::new(500, "5.5.2", "Lines end with CRLF"));
            return None;
        };
        if line.len() > longest {
            self.stage = Stage::Commands;
            self.count(TOO_LONG_LINE);
            return None;
        }
        if is_response {
            return self.response(command, input);
        }
        if is_foreign(command) {
            let text = match self.offer.role {
                Role::Lmtp => "This is an LMTP server",
                Role::Mx | Role::Submission => "This is a mail server",
            };
            self.end(Reply::new(421, "4.7.0", text));
            return None;
        }
        if command.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            self.count(Reply::new(500, "5.5.2", "Control characters are not allowed"));
            return None;
        }
        self.command(&line, input)
    }

    pub(crate) fn skip_long_line(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let line_feed = input.iter().position(|byte| *byte == b'\n');
        match line_feed {
            Some(end) => {
                input.drain(..=end);
                self.stage = Stage::Commands;
                self.count(TOO_LONG_LINE);
                None
            }
            None => {
                input.clear();
                Some(Event::NeedInput)
            }
        }
    }
}

/// A browser that was tricked into talking to us says one of these first. Its request is not
/// answered line by line: that would let a web page speak SMTP through it.
fn is_foreign(command: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"OPTIONS ",
        b"CONNECT ",
        b"DELETE ",
        b"PATCH ",
        b"PRI ",
    ];
    let starts = |word: &&[u8]| {
        command.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    WORDS.iter().any(starts)
}

const TOO_LONG_LINE: Reply = Reply::new(500, "5.5.6", "Line too long");

/// The longest command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512; addresses in UTF-8
/// and parameters make it longer.
pub const LONGEST_LINE_BYTES: usize = 2048;

/// The longest line of an authentication with its CRLF (RFC 4954 §4.2), and of BURL: the longest
/// URL that names a message is below it.
pub const LONGEST_RESPONSE_BYTES: usize = 12_288;
