//! The streaming parser: cuts the bytes into lines where lines matter, and passes over the rest.
//!
//! In a header every line is looked at. In a body only a line that begins with `--` can matter, so
//! the search is for `\n--`, at the speed of memory; at most one line is held back between two
//! pushes. Cost: each byte of a body is looked at twice (search, count of line ends), each byte of
//! a header three times. Nothing is looked at again when a part ends.

use memchr::memmem::Finder;

use crate::boundary::{DELIMITER_LINE_BYTES_MAX, Delimiter};
use crate::preview::Capture;
use crate::tree::{Next, Place, Tree};
use crate::{Limits, Message};

/// Parses a message that comes in pieces of any size. Keeps header blocks only.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    tree: Tree,
    phase: Phase,
    finder: Finder<'static>,
    /// The header so far, up to `limits.header_bytes_max`, and where its last line begins.
    header: Vec<u8>,
    header_line: usize,
    /// The beginning of a line that may be a delimiter or the end of a header. In a header at most
    /// `DELIMITER_LINE_BYTES_MAX + 1` bytes are kept of it.
    held: Vec<u8>,
    /// Where the line begins, what stands before it.
    line: Place,
    /// The place up to which bytes were taken, and the last byte there.
    at: u64,
    last_byte: u8,
    /// Octets of the line end that was passed last, and how many were passed.
    line_end_bytes: u64,
    lines: u64,
    capture: Capture,
    work: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In a header.
    Header,
    /// In a body, at the beginning of a line; `held` is what there is of it.
    LineStart,
    /// In a body, in a line that is no delimiter.
    Text,
}

/// Parses a whole message with the default limits.
pub fn parse(bytes: &[u8]) -> Message {
    let mut parser = Parser::new(Limits::default());
    parser.push(bytes);
    parser.finish()
}

impl Parser {
    /// A parser at the beginning of a message.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tree: Tree::new(limits),
            phase: Phase::Header,
            finder: Finder::new(b"\n--"),
            header: Vec::new(),
            header_line: 0,
            held: Vec::new(),
            line: Place { at: 0, line_end_bytes: 0, lines: 0 },
            at: 0,
            last_byte: 0,
            line_end_bytes: 0,
            lines: 0,
            capture: Capture::default(),
            work: 0,
        }
    }

    /// Takes the next bytes of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = self.at;
            let taken = match self.phase {
                Phase::Header => self.push_header(rest),
                Phase::LineStart => self.push_line_start(rest),
                Phase::Text => self.push_text(rest),
            };
            // One step for the call itself, so that a call that takes nothing is seen.
            self.work += 1 + (taken as u64).max(self.at - before);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Steps so far: bytes looked at and boundaries compared. At most a small multiple of the bytes
    /// pushed, which tests hold against it: time would not be the same on every machine.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Ends the message.
    pub fn finish(mut self) -> Message {
        // The last line may lack its end and still be a delimiter. RFC 2046 §5.1.1
        let line = std::mem::take(&mut self.held);
        let delimiter = self.delimiter(&line);
        match (self.phase, delimiter) {
            (Phase::Header, Some(delimiter)) => self.delimit(delimiter, self.line),
            (_, Some(delimiter)) => {
                self.pass(&line);
                self.delimit(delimiter, self.line);
            }
            (Phase::LineStart, None) => self.take_text(&line),
            (_, None) => {}
        }
        let end = self.place();
        self.end_headers(end);
        self.capture.end_part(end.at);
        let (header, root) = self.tree.finish(end);
        Message { size: self.at, header, root, preview: self.capture.preview() }
    }

    /// Takes bytes of a header up to the end of a line; returns how many.
    fn push_header(&mut self, bytes: &[u8]) -> usize {
        let line_end = memchr::memchr(b'\n', bytes);
        let taken = line_end.map_or(bytes.len(), |at| at + 1);
        let piece = bytes.get(..taken).unwrap_or_default();
        extend_to(&mut self.header, piece, self.limits.header_bytes_max);
        extend_to(&mut self.held, piece, DELIMITER_LINE_BYTES_MAX + 1);
        self.pass(piece);
        if line_end.is_none() {
            return taken;
        }
        self.lines += 1;
        let line = std::mem::take(&mut self.held);
        if line == b"\r\n" || line == b"\n" {
            self.end_header(self.place());
        } else if let Some(delimiter) = self.delimiter(&line) {
            self.delimit(delimiter, self.line);
        }
        self.begin_line();
        self.recycle(line);
        taken
    }

    /// Takes bytes of a line that may turn out to be a delimiter; returns how many.
    fn push_line_start(&mut self, bytes: &[u8]) -> usize {
        if self.held.is_empty() && bytes.first() != Some(&b'-') {
            self.phase = Phase::Text;
            return 0;
        }
        let room = (DELIMITER_LINE_BYTES_MAX + 1).saturating_sub(self.held.len());
        let window = bytes.get(..room).unwrap_or(bytes);
        let line_end = memchr::memchr(b'\n', window);
        let taken = line_end.map_or(window.len(), |at| at + 1);
        self.held.extend_from_slice(window.get(..taken).unwrap_or_default());
        let may_delimit = self.held.starts_with(b"--") || self.held == b"-";
        if may_delimit && line_end.is_none() && self.held.len() <= DELIMITER_LINE_BYTES_MAX {
            return taken;
        }
        let line = std::mem::take(&mut self.held);
        match self.delimiter(&line) {
            Some(delimiter) => {
                self.pass(&line);
                self.lines += 1;
                self.delimit(delimiter, self.line);
                self.begin_line();
            }
            None => self.take_text(&line),
        }
        if line_end.is_none() {
            self.phase = Phase::Text;
        }
        self.recycle(line);
        taken
    }

    /// Takes text up to the next line that may be a delimiter; returns how many bytes.
    fn push_text(&mut self, bytes: &[u8]) -> usize {
        let taken = if !self.tree.wants_delimiters() {
            bytes.len()
        } else if let Some(at) = self.finder.find(bytes) {
            self.phase = Phase::LineStart;
            at + 1
        } else if bytes.ends_with(b"\n") {
            self.phase = Phase::LineStart;
            bytes.len()
        } else if bytes.ends_with(b"\n-") {
            self.phase = Phase::LineStart;
            bytes.len() - 1
        } else {
            bytes.len()
        };
        self.take_text(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// Bytes that belong to a body and are not looked at again.
    fn take_text(&mut self, bytes: &[u8]) {
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.capture.take(bytes);
        self.pass(bytes);
        if bytes.ends_with(b"\n") {
            self.begin_line();
        }
    }

    /// Moves on by these bytes.
    fn pass(&mut self, bytes: &[u8]) {
        let before = match bytes {
            [.., before, _] => *before,
            _ => self.last_byte,
        };
        if let Some(&last) = bytes.last() {
            self.last_byte = last;
        }
        if self.last_byte == b'\n' && !bytes.is_empty() {
            self.line_end_bytes = if before == b'\r' { 2 } else { 1 };
        }
        self.at += bytes.len() as u64;
    }

    /// The place that was reached, at the beginning of a line.
    fn place(&self) -> Place {
        Place { at: self.at, line_end_bytes: self.line_end_bytes, lines: self.lines }
    }

    fn begin_line(&mut self) {
        self.line = self.place();
        self.header_line = self.header.len();
    }

    fn delimiter(&mut self, line: &[u8]) -> Option<Delimiter> {
        if line.len() > DELIMITER_LINE_BYTES_MAX {
            return None;
        }
        if line.starts_with(b"--") {
            self.work += self.tree.depth();
        }
        let delimiter = self.tree.judge(line)?;
        self.tree.has_room().then_some(delimiter)
    }

    /// Ends the header of the innermost part: its body begins at `body`.
    fn end_header(&mut self, body: Place) {
        if self.header.len() >= self.limits.header_bytes_max {
            // A field that was cut is no field.
            let end = memchr::memrchr(b'\n', &self.header).map_or(0, |at| at + 1);
            self.header.truncate(end);
        }
        let next = self.tree.end_header(&self.header, body);
        self.header.clear();
        self.header_line = 0;
        self.phase = match next {
            Next::Header => Phase::Header,
            Next::Body => Phase::LineStart,
        };
        if next == Next::Body
            && let Some(part) = self.tree.top()
        {
            self.capture.begin_part(part);
        }
    }

    /// Ends the header of the innermost part where it has no blank line, and the empty headers of
    /// the messages that it may be said to hold.
    fn end_headers(&mut self, body: Place) {
        while self.phase == Phase::Header {
            self.end_header(body);
        }
    }

    /// A delimiter line that began at `line` and was passed.
    fn delimit(&mut self, delimiter: Delimiter, line: Place) {
        if self.phase == Phase::Header {
            self.header.truncate(self.header_line);
        }
        self.end_headers(line);
        self.capture.end_part(line.at.saturating_sub(line.line_end_bytes));
        self.phase = match self.tree.delimit(delimiter, line, self.at) {
            Next::Header => Phase::Header,
            Next::Body => Phase::LineStart,
        };
    }

    /// Gives the line buffer back, emptied.
    fn recycle(&mut self, mut line: Vec<u8>) {
        line.clear();
        self.held = line;
    }
}

/// Appends as much as fits into `bytes_max`.
fn extend_to(buffer: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let room = bytes_max.saturating_sub(buffer.len());
    buffer.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}
