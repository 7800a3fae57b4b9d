//! The framer: bytes in, events out.

use super::limits::Limits;
use super::literal::{
    Decision, HEADER_BYTES_MAX, Header, LiteralSync, Offer, Reason, Rejection, header,
};
use crate::parse::{self, Frame};
use crate::types::Tag;

/// Finds the ends of commands (server) or responses (client) in a stream of bytes.
///
/// Bytes are taken from the caller's own buffer and never beyond the end of a command, so what was
/// pipelined behind a STARTTLS is still with the caller, who throws it away. RFC 9051 §6.2.1
#[derive(Debug)]
pub struct Framer {
    role: Role,
    limits: Limits,
    state: State,
    /// The command so far; while one is discarded, the end of its current line.
    text: Vec<u8>,
    streamed: Vec<u32>,
    literal_count: u32,
    /// Octets of the current line.
    line_bytes: usize,
    in_quotes: bool,
    /// After a backslash in quotes.
    escaped: bool,
    discard: Option<Discard>,
}

/// What one call did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Octets of the input that were used up; the next call begins after them.
    pub consumed: usize,
    /// What happened.
    pub event: Event<'a>,
}

/// What happened in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// All input was used up; more must be read.
    NeedMore,
    /// A command is whole: [`Framer::frame`] holds it until the next call.
    Complete,
    /// A line that was asked for is whole: [`Framer::line`] holds it until the next call.
    Line,
    /// A literal is offered; [`Framer::decide`] must be called next.
    Literal(Offer),
    /// Octets of a streamed literal.
    Chunk(&'a [u8]),
    /// The last octet of a streamed literal has been handed out.
    LiteralEnd {
        /// Which literal of the command.
        index: u32,
    },
    /// A command was not kept and is over. The caller answers it with BAD, or with the reason that
    /// it had for refusing.
    Rejected(Rejection),
    /// The end of a rejected command is out of reach: the connection has to be closed, after a BYE.
    Close(Reason),
}

/// What has to be sent after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A continuation, `+ `: the peer waits for it.
    Continue,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a line of a command.
    Text,
    /// A literal was offered and not decided.
    Offered(Offer),
    /// In a literal that is kept.
    Keeping { left: u64 },
    /// In a literal that is handed out.
    Streaming { index: u32, left: u64 },
    /// In a literal of a command that is discarded.
    Draining { left: u64 },
    /// A discarded command has come to its end.
    Rejecting,
    /// In a line that was asked for.
    Raw,
    /// A command or a line is whole and may still be looked at.
    Whole,
    /// Nothing that follows can be understood.
    Closed(Reason),
}

#[derive(Debug)]
struct Discard {
    tag: Option<Tag>,
    reason: Reason,
    drained: u64,
}

impl Framer {
    /// For commands, at a server.
    pub fn server(limits: Limits) -> Self {
        Self::new(Role::Server, limits)
    }

    /// For responses, at a client.
    pub fn client(limits: Limits) -> Self {
        Self::new(Role::Client, limits)
    }

    fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            state: State::Text,
            text: Vec::new(),
            streamed: Vec::new(),
            literal_count: 0,
            line_bytes: 0,
            in_quotes: false,
            escaped: false,
            discard: None,
        }
    }

    /// Other limits from now on, as after login.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next line is no command but stands for itself: a response of AUTHENTICATE, or DONE. To
    /// be called after [`Event::Complete`], or [`Event::Line`] for one more.
    pub fn expect_line(&mut self) {
        self.begin();
        self.state = State::Raw;
    }

    /// Forgets what was read of an unfinished command, as at the beginning of a connection.
    pub fn reset(&mut self) {
        self.begin();
        self.state = State::Text;
    }

    /// Whether it stands between two commands: nothing of the next one has been read.
    pub fn is_between_commands(&self) -> bool {
        match self.state {
            State::Whole => true,
            State::Text => {
                self.text.is_empty() && self.literal_count == 0 && self.discard.is_none()
            }
            _ => false,
        }
    }

    /// The command, after [`Event::Complete`]; what came before the octets of a literal, after
    /// [`Event::Literal`].
    pub fn frame(&self) -> Frame<'_> {
        Frame { bytes: &self.text, streamed: &self.streamed }
    }

    /// The line without its line break, after [`Event::Line`].
    pub fn line(&self) -> &[u8] {
        &self.text
    }

    /// Takes input until something happens. To be called again with the rest of the input, also
    /// an empty one, until it says [`Event::NeedMore`].
    pub fn push<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, event) = self.advance(rest);
            consumed += used;
            if let Some(event) = event {
                return Step { consumed, event };
            }
            // A step that neither used input nor said anything changed the state, and goes on.
        }
    }

    /// What is to be done with the literal that was offered last.
    ///
    /// A literal that is to be kept and does not fit is refused; then [`Event::Rejected`] follows.
    pub fn decide(&mut self, decision: Decision) -> Reply {
        let State::Offered(offer) = self.state else { return Reply::Nothing };
        let reason = match decision {
            Decision::Keep => self.reason_not_to_keep(offer.size),
            Decision::Stream => None,
            Decision::Refuse => Some(Reason::Refused),
        };
        if let Some(reason) = reason {
            self.discard_from(reason, &[]);
            self.skip_literal(offer.size, offer.sync);
            return Reply::Nothing;
        }
        self.state = match decision {
            Decision::Stream => {
                self.streamed.push(offer.index);
                State::Streaming { index: offer.index, left: offer.size }
            }
            _ => State::Keeping { left: offer.size },
        };
        match offer.sync {
            LiteralSync::Waits => Reply::Continue,
            LiteralSync::Follows => Reply::Nothing,
        }
    }

    fn reason_not_to_keep(&self, size: u64) -> Option<Reason> {
        let room = self.limits.command_bytes_max.saturating_sub(self.text.len());
        if size > self.limits.literal_bytes_max {
            Some(Reason::LiteralTooBig)
        } else if usize::try_from(size).map_or(true, |size| size > room) {
            Some(Reason::CommandTooLong)
        } else {
            None
        }
    }

    /// One step: octets used, and what happened if anything did.
    fn advance<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        match self.state {
            State::Closed(reason) => (input.len(), Some(Event::Close(reason))),
            State::Offered(offer) => (0, Some(Event::Literal(offer))),
            State::Whole => {
                self.begin();
                self.state = State::Text;
                (0, None)
            }
            State::Rejecting => {
                let discard = self.discard.take();
                self.begin();
                self.state = State::Text;
                let (tag, reason) = match discard {
                    Some(discard) => (discard.tag, discard.reason),
                    None => (None, Reason::Refused),
                };
                (0, Some(Event::Rejected(Rejection { tag, reason })))
            }
            State::Keeping { left } => {
                let (octets, left) = take(input, left);
                self.text.extend_from_slice(octets);
                self.state = if left == 0 { State::Text } else { State::Keeping { left } };
                self.line_bytes = 0;
                self.more_or_go_on(octets.len(), left)
            }
            State::Draining { left } => {
                let (octets, left) = take(input, left);
                self.state = if left == 0 { State::Text } else { State::Draining { left } };
                self.more_or_go_on(octets.len(), left)
            }
            State::Streaming { index, left: 0 } => {
                self.state = State::Text;
                self.line_bytes = 0;
                (0, Some(Event::LiteralEnd { index }))
            }
            State::Streaming { index, left } => {
                let (octets, left) = take(input, left);
                self.state = State::Streaming { index, left };
                let event = if octets.is_empty() { Event::NeedMore } else { Event::Chunk(octets) };
                (octets.len(), Some(event))
            }
            State::Text => self.text_line(input),
            State::Raw => self.raw_line(input),
        }
    }

    fn more_or_go_on<'a>(&self, used: usize, left: u64) -> (usize, Option<Event<'a>>) {
        (used, (left > 0).then_some(Event::NeedMore))
    }

    /// Reads text up to a line break.
    fn text_line<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        if input.is_empty() {
            return (0, Some(Event::NeedMore));
        }
        let (piece, ends) = up_to_line_break(input);
        self.track_quotes(piece);
        self.store(piece);
        if matches!(self.state, State::Closed(_)) {
            return (piece.len(), None);
        }
        if !ends {
            return (piece.len(), Some(Event::NeedMore));
        }
        let length = without_line_break(&self.text).len();
        // Clients send empty lines between commands: iOS before some, K-9 after a literal.
        if length == 0 && self.literal_count == 0 && self.discard.is_none() {
            self.begin();
            return (piece.len(), None);
        }
        match self.literal_header() {
            Some(found) => self.offer(found),
            None if self.discard.is_some() => self.state = State::Rejecting,
            None => {
                self.text.truncate(length);
                self.state = State::Whole;
                return (piece.len(), Some(Event::Complete));
            }
        }
        (piece.len(), None)
    }

    /// The header at the end of the line that has just ended.
    fn literal_header(&mut self) -> Option<Header> {
        let in_quotes = std::mem::replace(&mut self.in_quotes, false);
        self.escaped = false;
        // Before this line there may stand the octets of a literal, which end in anything.
        let line_bytes = std::mem::take(&mut self.line_bytes).min(self.text.len());
        let line = self.text.get(self.text.len() - line_bytes..).unwrap_or_default();
        let is_text = self.role == Role::Client && self.literal_count == 0;
        // In quotes, or in a text for people, braces mean nothing.
        if in_quotes || (is_text && is_status(&self.text)) {
            return None;
        }
        header(without_line_break(line))
    }

    /// Offers a literal, or goes on to discard the command that has it.
    fn offer(&mut self, found: Header) {
        let sync = match self.role {
            Role::Server if !found.plus => LiteralSync::Waits,
            Role::Server | Role::Client => LiteralSync::Follows,
        };
        let index = self.literal_count;
        self.literal_count = self.literal_count.saturating_add(1);
        let Some(size) = found.size else {
            self.discard_from(Reason::LiteralSize, &[]);
            return self.skip_literal(u64::MAX, sync);
        };
        let unasked = sync == LiteralSync::Follows && size > self.limits.unasked_literal_bytes_max;
        if index >= self.limits.literal_count_max {
            self.discard_from(Reason::TooManyLiterals, &[]);
        } else if unasked {
            self.discard_from(Reason::UnaskedLiteralTooBig, &[]);
        }
        if self.discard.is_some() {
            self.skip_literal(size, sync);
        } else {
            self.state = State::Offered(Offer { index, size, sync, kind: found.kind });
        }
    }

    /// Reads over a literal of a discarded command. A peer that waits gets its answer instead of a
    /// continuation, and the command is over. RFC 9051 §4.3
    fn skip_literal(&mut self, size: u64, sync: LiteralSync) {
        if sync == LiteralSync::Waits {
            self.state = State::Rejecting;
            return;
        }
        let Some(discard) = &mut self.discard else { return };
        discard.drained = discard.drained.saturating_add(size);
        self.state = if discard.drained > self.limits.drain_bytes_max || size == u64::MAX {
            State::Closed(discard.reason)
        } else {
            self.text.clear();
            State::Draining { left: size }
        };
    }

    /// Keeps a piece of a line, or, once something is too long, only the end of the line.
    fn store(&mut self, piece: &[u8]) {
        self.line_bytes = self.line_bytes.saturating_add(piece.len());
        if self.discard.is_none() {
            let line_room =
                (self.limits.line_bytes_max + piece.len()).saturating_sub(self.line_bytes);
            let command_room = self.limits.command_bytes_max.saturating_sub(self.text.len());
            if piece.len() > line_room.min(command_room) {
                // The limit that is passed first, wherever the input was cut.
                let reason = match line_room <= command_room {
                    true => Reason::LineTooLong,
                    false => Reason::CommandTooLong,
                };
                self.discard_from(reason, piece);
            } else {
                self.text.extend_from_slice(piece);
                return;
            }
        }
        self.drain_line(piece);
    }

    /// Counts what is read over, and keeps the end of it: a literal's header may stand there.
    fn drain_line(&mut self, piece: &[u8]) {
        let from = piece.len().saturating_sub(HEADER_BYTES_MAX);
        self.text.extend_from_slice(piece.get(from..).unwrap_or_default());
        let surplus = self.text.len().saturating_sub(HEADER_BYTES_MAX);
        self.text.drain(..surplus);
        if let Some(discard) = &mut self.discard {
            discard.drained = discard.drained.saturating_add(piece.len() as u64);
            if discard.drained > self.limits.drain_bytes_max {
                self.state = State::Closed(discard.reason);
            }
        }
    }

    /// From now on the command is only read over. `next` is what follows the text so far.
    fn discard_from(&mut self, reason: Reason, next: &[u8]) {
        if self.discard.is_some() {
            return;
        }
        let head: Vec<u8> =
            self.text.iter().chain(next).copied().take(Tag::BYTES_MAX + 1).collect();
        // A line that was asked for has no tag; it belongs to the command that asked.
        let tag = if self.state == State::Raw { None } else { parse::tag(&head) };
        // The whole of the line counts as read over, wherever the input was cut.
        let drained = self.line_bytes.saturating_sub(next.len()) as u64;
        self.discard = Some(Discard { tag, reason, drained });
        // A literal's header may be cut in two by the limit.
        let from = self.text.len().saturating_sub(HEADER_BYTES_MAX);
        self.text = self.text.get(from..).unwrap_or_default().to_vec();
        self.streamed = Vec::new();
    }

    /// Reads a line that was asked for.
    fn raw_line<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        if input.is_empty() {
            return (0, Some(Event::NeedMore));
        }
        let (piece, ends) = up_to_line_break(input);
        self.store(piece);
        if matches!(self.state, State::Closed(_)) {
            return (piece.len(), None);
        }
        if !ends {
            return (piece.len(), Some(Event::NeedMore));
        }
        if self.discard.is_some() {
            self.state = State::Rejecting;
            return (piece.len(), None);
        }
        let length = without_line_break(&self.text).len();
        self.text.truncate(length);
        self.state = State::Whole;
        (piece.len(), Some(Event::Line))
    }

    /// Follows quotes, in which a brace is no literal. A backslash escapes only inside of them.
    fn track_quotes(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'"' => self.in_quotes = !self.in_quotes,
                b'\\' if self.in_quotes => self.escaped = true,
                _ => {}
            }
        }
    }

    /// Makes ready for the next command. A large buffer is given back: most sessions idle.
    fn begin(&mut self) {
        self.text.clear();
        self.text.shrink_to(IDLE_BYTES_MAX);
        self.streamed = Vec::new();
        self.literal_count = 0;
        self.line_bytes = 0;
        self.in_quotes = false;
        self.escaped = false;
        self.discard = None;
    }
}

/// The first `left` octets, or as many as there are, and how many then are left.
fn take(input: &[u8], left: u64) -> (&[u8], u64) {
    let length = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (input.get(..length).unwrap_or_default(), left - length as u64)
}

/// The input up to its first line break, and whether there is one.
fn up_to_line_break(input: &[u8]) -> (&[u8], bool) {
    match memchr::memchr(b'\n', input) {
        Some(at) => (input.get(..=at).unwrap_or_default(), true),
        None => (input, false),
    }
}

/// A line without CRLF; a bare LF ends a line too, as people type it.
fn without_line_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a response is a continuation or a status response, which has text and no literal.
fn is_status(line: &[u8]) -> bool {
    if line.starts_with(b"+") {
        return true;
    }
    let mut words = without_line_break(line).split(|b| *b == b' ');
    let word = words.nth(1).unwrap_or_default();
    [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].iter().any(|w| w.eq_ignore_ascii_case(word))
}

/// Buffer that is kept while nothing is being read.
const IDLE_BYTES_MAX: usize = 1024;
