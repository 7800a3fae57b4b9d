//! Builds the tree while the bytes stream by: knows which parts are open, never sees a body.

use crate::boundary::{Delimiter, judge};
use crate::content::{ContentFields, Media};
use crate::decode::Encoding;
use crate::envelope::envelope;
use crate::{Content, Embedded, HeaderSummary, Limits, Part};

/// The parts that are open, from the root to the innermost.
#[derive(Debug)]
pub(crate) struct Tree {
    limits: Limits,
    open: Vec<Open>,
    part_count: usize,
    kept_bytes: usize,
    /// A limit was met: no more boundaries are looked for.
    is_full: bool,
    header: HeaderSummary,
}

/// A part whose end is not known yet.
#[derive(Debug)]
struct Open {
    part: Part,
    inside: Inside,
    /// Line ends before the body.
    lines_before: u64,
}

#[derive(Debug)]
enum Inside {
    Leaf,
    /// `boundary` is `None` after the close delimiter.
    Multipart {
        boundary: Option<Vec<u8>>,
        parts: Vec<Part>,
    },
    Message {
        envelope: Box<mail_types::Envelope>,
        root: Option<Box<Part>>,
    },
}

/// A place between two lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Octets before it.
    pub at: u64,
    /// Octets of the line end just before it: 0, 1 or 2.
    pub line_end_bytes: u64,
    /// Line ends before it.
    pub lines: u64,
}

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The body.
    Body,
    /// The header of a message inside.
    Header,
}

impl Tree {
    pub(crate) fn new(limits: Limits) -> Self {
        let root = Open::at(0);
        Self {
            limits,
            open: vec![root],
            part_count: 1,
            kept_bytes: 0,
            is_full: false,
            header: HeaderSummary::default(),
        }
    }

    /// Whether a delimiter line would mean anything.
    pub(crate) fn wants_delimiters(&self) -> bool {
        !self.is_full && self.boundaries().next().is_some()
    }

    /// How many parts are open.
    pub(crate) fn depth(&self) -> u64 {
        self.open.len() as u64
    }

    /// The innermost part.
    pub(crate) fn top(&self) -> Option<&Part> {
        self.open.last().map(|open| &open.part)
    }

    /// What a line means to the open multiparts.
    pub(crate) fn judge(&self, line: &[u8]) -> Option<Delimiter> {
        if self.is_full { None } else { judge(line, self.boundaries()) }
    }

    /// The header of the innermost part is complete; its body begins at `body`.
    pub(crate) fn end_header(&mut self, header: &[u8], body: Place) -> Next {
        let fields = ContentFields::read(header);
        let kept = fields.kept_bytes() + PART_BYTES;
        let is_digest_part = self.parent_is_digest();
        let depth = self.open.len();
        self.take_envelope(header);
        let Some(top) = self.open.last_mut() else { return Next::Body };
        top.begin_body(fields, body, is_digest_part);
        if depth > 1 {
            self.keep(kept);
        }
        if self.is_full || depth >= self.limits.depth_max {
            return Next::Body;
        }
        let Some(top) = self.open.last_mut() else { return Next::Body };
        if top.part.is_kind("multipart") {
            if let Some(boundary) = boundary_of(&top.part) {
                top.inside = Inside::Multipart { boundary: Some(boundary), parts: Vec::new() };
            }
            return Next::Body;
        }
        if is_readable_message(&top.part) {
            top.inside = Inside::Message { envelope: Box::default(), root: None };
            self.begin_part(body.at);
            return Next::Header;
        }
        Next::Body
    }

    /// A delimiter line that begins at `line`; `after` is the place behind it. The header of the
    /// innermost part must have been ended.
    pub(crate) fn delimit(&mut self, delimiter: Delimiter, line: Place, after: u64) -> Next {
        let (Delimiter::Opens(at) | Delimiter::Closes(at)) = delimiter;
        self.close_to(at + 1, line);
        match delimiter {
            Delimiter::Opens(_) => {
                self.begin_part(after);
                Next::Header
            }
            Delimiter::Closes(_) => {
                if let Some(Open { inside: Inside::Multipart { boundary, .. }, .. }) =
                    self.open.last_mut()
                {
                    *boundary = None;
                }
                Next::Body
            }
        }
    }

    /// Whether there is room for the part that a delimiter opens. If not, the tree is full.
    pub(crate) fn has_room(&mut self) -> bool {
        self.is_full |= self.part_count >= self.limits.part_count_max;
        !self.is_full
    }

    /// The message ends.
    pub(crate) fn finish(mut self, end: Place) -> (HeaderSummary, Part) {
        let end = Place { line_end_bytes: 0, ..end };
        self.close_to(1, end);
        let root = self.open.pop().unwrap_or_else(|| Open::at(0));
        (self.header, root.close(end))
    }

    fn boundaries(&self) -> impl DoubleEndedIterator<Item = (usize, &[u8])> + Clone {
        self.open.iter().enumerate().filter_map(|(at, open)| match &open.inside {
            Inside::Multipart { boundary: Some(boundary), .. } => Some((at, boundary.as_slice())),
            _ => None,
        })
    }

    fn parent_is_digest(&self) -> bool {
        let parent = self.open.len().checked_sub(2).and_then(|at| self.open.get(at));
        parent.is_some_and(|open| {
            matches!(open.inside, Inside::Multipart { .. })
                && open.part.is_type("multipart", "digest")
        })
    }

    /// If the header is that of a message, reads its envelope.
    fn take_envelope(&mut self, header: &[u8]) {
        if self.open.len() == 1 {
            self.header = HeaderSummary::read(header);
            return;
        }
        let parent = self.open.len().checked_sub(2).and_then(|at| self.open.get_mut(at));
        if let Some(Open { inside: Inside::Message { envelope: place, .. }, .. }) = parent {
            let found = envelope(header);
            let kept = kept_bytes(&found);
            **place = found;
            self.keep(kept);
        }
    }

    fn keep(&mut self, bytes: usize) {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        self.is_full |= self.kept_bytes > self.limits.kept_bytes_max;
    }

    fn begin_part(&mut self, at: u64) {
        self.part_count += 1;
        self.open.push(Open::at(at));
    }

    /// Closes the innermost parts until `count` are open.
    fn close_to(&mut self, count: usize, end: Place) {
        while self.open.len() > count.max(1) {
            let Some(open) = self.open.pop() else { return };
            let part = open.close(end);
            match self.open.last_mut().map(|parent| &mut parent.inside) {
                Some(Inside::Multipart { parts, .. }) => parts.push(part),
                Some(Inside::Message { root, .. }) => *root = Some(Box::new(part)),
                Some(Inside::Leaf) | None => {}
            }
        }
    }
}

impl Open {
    fn at(header_start: u64) -> Self {
        let part = Part {
            header_start,
            body_start: header_start,
            end: header_start,
            lines: 0,
            kind: Vec::new(),
            subtype: Vec::new(),
            params: Vec::new(),
            id: None,
            description: None,
            encoding: None,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            content: Content::Leaf,
        };
        Self { part, inside: Inside::Leaf, lines_before: 0 }
    }

    fn begin_body(&mut self, fields: ContentFields, body: Place, is_digest_part: bool) {
        // Parts of a digest are messages unless they say otherwise, all others text.
        // RFC 2046 §5.1.5, RFC 2045 §5.2
        let media = fields.media.unwrap_or_else(|| Media::default_for(is_digest_part));
        let part = &mut self.part;
        part.body_start = body.at;
        part.end = body.at;
        part.kind = media.kind;
        part.subtype = media.subtype;
        part.params = media.params;
        part.id = fields.id;
        part.description = fields.description;
        part.encoding = fields.encoding;
        part.md5 = fields.md5;
        part.disposition = fields.disposition;
        part.language = fields.language;
        part.location = fields.location;
        self.lines_before = body.lines;
    }

    /// The part ends before a line; the line end before that belongs to the delimiter.
    /// RFC 2046 §5.1.1
    fn close(mut self, before: Place) -> Part {
        // An empty body has no line end to give away: the one before it ends the header.
        let end = before.at.saturating_sub(before.line_end_bytes).max(self.part.body_start);
        let (content, inner_end) = match self.inside {
            Inside::Multipart { parts, .. } if !parts.is_empty() => {
                let inner_end = parts.last().map_or(0, |last| last.end);
                (Content::Multipart(parts), inner_end)
            }
            Inside::Message { envelope, root: Some(root) } => {
                let inner_end = root.end;
                (
                    Content::Message(Box::new(Embedded { envelope: *envelope, root: *root })),
                    inner_end,
                )
            }
            _ => (Content::Leaf, 0),
        };
        // A header that a delimiter cuts off keeps its last line end; so does what is around it.
        let end = end.max(inner_end);
        let gives_line_end = end < before.at;
        self.part.end = end;
        self.part.lines = before
            .lines
            .saturating_sub(self.lines_before)
            .saturating_sub(u64::from(gives_line_end));
        self.part.content = content;
        self.part
    }
}

impl Media {
    fn default_for(is_digest_part: bool) -> Self {
        let (kind, subtype) =
            if is_digest_part { ("message", "rfc822") } else { ("text", "plain") };
        Self { kind: kind.into(), subtype: subtype.into(), params: Vec::new() }
    }
}

/// The boundary of a multipart. Space at its end is not part of it. RFC 2046 §5.1.1
fn boundary_of(part: &Part) -> Option<Vec<u8>> {
    let param = part.params.iter().find(|p| p.name.eq_ignore_ascii_case(b"boundary"))?;
    let boundary = param.value.trim_ascii_end();
    (!boundary.is_empty()).then(|| boundary.to_vec())
}

/// Whether the part is a message that stands there as it is. RFC 2046 §5.2.1 forbids to encode it,
/// and byte offsets mean nothing in one that is.
fn is_readable_message(part: &Part) -> bool {
    let is_message = part.is_type("message", "rfc822") || part.is_type("message", "global");
    is_message && matches!(Encoding::from_header(part.encoding.as_deref()), Ok(Encoding::Identity))
}

/// Bytes of text in an envelope, with some for each address.
fn kept_bytes(envelope: &mail_types::Envelope) -> usize {
    let len = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
    let lists = [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc];
    let addresses = lists.into_iter().chain([&envelope.bcc]).flatten();
    let addresses: usize = addresses
        .map(|a| len(&a.name) + len(&a.adl) + len(&a.mailbox) + len(&a.host) + ADDRESS_BYTES)
        .sum();
    addresses
        + len(&envelope.date)
        + len(&envelope.subject)
        + len(&envelope.in_reply_to)
        + len(&envelope.message_id)
}

/// What a part costs besides its texts, counted as kept bytes.
const PART_BYTES: usize = 32;
/// What an address costs besides its texts.
const ADDRESS_BYTES: usize = 16;
