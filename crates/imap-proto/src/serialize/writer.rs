//! Tokens to a sink: the counterpart of the cursor.

use crate::Sink;
use crate::chars::{is_astring_char, is_atom_char, is_list_char};
use crate::types::{ListPattern, MailboxArg, NameEncoding, SequenceSet};

/// How literals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralStyle {
    /// `{n}`, by a server: nobody waits.
    Server,
    /// `{n}` and a wait for `+`, by a client.
    ClientAsk,
    /// `{n+}` up to this many octets, by a client; above it `{n}` and a wait for `+`. RFC 7888
    Client {
        /// Octets that may be sent without asking.
        without_asking_max: u64,
    },
}

/// What is not bytes in a client's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Wait for a continuation.
    Wait,
    /// The octets of this literal of the command.
    Message { index: u32, size: u64 },
}

/// Writes tokens.
pub struct Writer<'a> {
    sink: &'a mut dyn Sink,
    encoding: NameEncoding,
    literals: LiteralStyle,
    written: usize,
    /// Where in the output the marks stand.
    pub marks: Vec<(usize, Mark)>,
}

impl<'a> Writer<'a> {
    pub fn new(sink: &'a mut dyn Sink, encoding: NameEncoding, literals: LiteralStyle) -> Self {
        Self { sink, encoding, literals, written: 0, marks: Vec::new() }
    }

    /// A writer of responses.
    pub fn server(sink: &'a mut dyn Sink, encoding: NameEncoding) -> Self {
        Self::new(sink, encoding, LiteralStyle::Server)
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.sink.bytes(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn space(&mut self) {
        self.bytes(b" ");
    }

    pub fn end(&mut self) {
        self.bytes(b"\r\n");
    }

    pub fn blob(&mut self, slice: crate::BlobSlice) {
        self.sink.blob(slice);
    }

    pub fn mark(&mut self, mark: Mark) {
        self.marks.push((self.written, mark));
    }

    pub fn number(&mut self, number: impl Into<u64>) {
        // Twenty digits hold every u64.
        let mut digits = [0_u8; 20];
        let mut rest = number.into();
        let mut at = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        self.bytes(digits.get(at..).unwrap_or_default());
    }

    pub fn set(&mut self, set: &SequenceSet) {
        self.text(&set.to_string());
    }

    /// `string`: in quotes if it can be, as a literal if not.
    pub fn string(&mut self, bytes: &[u8]) {
        if self.can_be_quoted(bytes) { self.quoted(bytes) } else { self.literal(bytes) }
    }

    /// `nstring`
    pub fn nstring(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.string(bytes),
            None => self.text("NIL"),
        }
    }

    /// `astring`: an atom if it can be one. `NIL` is quoted, because in other places it is no text.
    pub fn astring(&mut self, bytes: &[u8]) {
        if is_plain(bytes, is_astring_char) { self.bytes(bytes) } else { self.string(bytes) }
    }

    /// `charset = atom / quoted`
    pub fn charset(&mut self, name: &str) {
        let is_atom = is_plain(name.as_bytes(), is_atom_char);
        if is_atom { self.text(name) } else { self.quoted(name.as_bytes()) }
    }

    /// `mailbox`
    pub fn mailbox(&mut self, mailbox: &MailboxArg) {
        self.astring(mailbox.raw());
    }

    /// `list-mailbox`
    pub fn list_mailbox(&mut self, pattern: &ListPattern) {
        let raw = pattern.raw();
        if is_plain(raw, is_list_char) { self.bytes(raw) } else { self.string(raw) }
    }

    /// A quoted string of bytes that can be quoted.
    pub fn quoted(&mut self, bytes: &[u8]) {
        self.bytes(b"\"");
        let mut rest = bytes;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            let (special, tail) = tail.split_at_checked(1).unwrap_or((tail, &[]));
            self.bytes(before);
            self.bytes(b"\\");
            self.bytes(special);
            rest = tail;
        }
        self.bytes(rest);
        self.bytes(b"\"");
    }

    fn can_be_quoted(&self, bytes: &[u8]) -> bool {
        if bytes.len() > QUOTED_BYTES_MAX || memchr::memchr3(b'\r', b'\n', 0, bytes).is_some() {
            return false;
        }
        // In quotes there may be UTF-8 only once both sides have agreed to it. RFC 9051 §4.3
        bytes.is_ascii()
            || (self.encoding == NameEncoding::Utf8 && std::str::from_utf8(bytes).is_ok())
    }

    /// A literal.
    pub fn literal(&mut self, bytes: &[u8]) {
        self.literal_header("{", bytes.len() as u64);
        self.bytes(bytes);
    }

    /// The line before the octets of a literal; `open` is `{` or `~{`.
    pub fn literal_header(&mut self, open: &str, size: u64) {
        self.text(open);
        self.number(size);
        let waits = match self.literals {
            LiteralStyle::Server => false,
            LiteralStyle::ClientAsk => true,
            LiteralStyle::Client { without_asking_max } => {
                let waits = size > without_asking_max;
                if !waits {
                    self.text("+");
                }
                waits
            }
        };
        self.text("}\r\n");
        if waits {
            self.mark(Mark::Wait);
        }
    }

    /// `"(" item *(SP item) ")"`, maybe empty.
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.text("(");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.space();
            }
            write(self, item);
        }
        self.text(")");
    }
}

fn is_plain(bytes: &[u8], class: fn(u8) -> bool) -> bool {
    let fits = !bytes.is_empty() && bytes.len() <= ATOM_BYTES_MAX;
    fits && bytes.iter().all(|b| class(*b)) && !bytes.eq_ignore_ascii_case(b"NIL")
}

/// Longest quoted string; longer texts go into literals, which no peer reads line by line.
const QUOTED_BYTES_MAX: usize = 4096;
/// Longest atom for an argument that could also be quoted.
const ATOM_BYTES_MAX: usize = 255;
