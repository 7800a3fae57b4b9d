//! Loads what a query needs of messages that the snapshot does not decide.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use mail_types::{Address, Envelope, InternalDate, MessageId, Uid, UidSet};
use mailbox::View;
use mailbox::search::{
    Content, ContentNeed, HeaderText, Program, Recency, RowText, Subject, Verdict,
};
use mime::{Content as PartContent, Message, Part};

use crate::reply::{Flow, Reply, Run, wait};
use crate::{Answer, Need, ReadRequest, Unread, errors, progress};

/// A search in progress.
pub(crate) struct Job {
    /// The messages that are searched. A view of its own: it may be of another mailbox than the
    /// selected one, and stays as it was while more is loaded.
    pub(crate) view: View,
    pub(crate) program: Arc<Program>,
    pub(crate) has_text: bool,
    pub(crate) matched: UidSet,
    pub(crate) undecided: UidSet,
    /// Points of the messages that have some; `None` if nobody wants to know. RFC 6203 §4
    pub(crate) points: Option<BTreeMap<Uid, u32>>,
    /// How many messages were undecided at first.
    pub(crate) goal: usize,
    /// The time, seconds since 1970.
    pub(crate) now: i64,
}

/// What follows when all messages are decided.
pub(crate) type Finish = Box<dyn FnOnce(Job, &mut Run<'_>) -> Flow + Send>;

/// A message with its row.
struct Candidate {
    uid: Uid,
    message: MessageId,
    row: Arc<Message>,
}

/// What was read of the message that is being tested.
#[derive(Default)]
struct Texts {
    /// Name and value of each header field; fields of parts have no name, so that HEADER finds
    /// those of the message only, and TEXT finds all.
    header: Option<Vec<(String, String)>>,
    text: Option<String>,
}

impl Job {
    /// A search in all messages of a view, as far as the snapshot decides it.
    pub(crate) fn new(view: View, program: Program, has_text: bool, now: InternalDate) -> Self {
        let sifted = program.sift(&view, now.seconds());
        Self {
            view,
            program: Arc::new(program),
            has_text,
            matched: sifted.matched,
            goal: count(&sifted.undecided),
            undecided: sifted.undecided,
            points: None,
            now: now.seconds(),
        }
    }

    /// Goes on with the next messages, or finishes.
    pub(crate) fn next(self, run: &mut Run<'_>, finish: Finish) -> Flow {
        let done = self.goal.saturating_sub(count(&self.undecided));
        progress::tell(done, self.goal, run, |run| self.load(run, finish))
    }

    /// Loads the rows of the next messages.
    fn load(mut self, run: &mut Run<'_>, finish: Finish) -> Flow {
        let ids: Vec<(Uid, MessageId)> = self
            .view
            .entries(&self.undecided)
            .take(Need::ROWS_MAX)
            .map(|(_, entry)| (entry.uid(), entry.message()))
            .collect();
        if ids.is_empty() {
            return finish(self, run);
        }
        let rows = ids.iter().map(|(_, message)| *message).collect();
        let mut taken = UidSet::new();
        wait(Need::Rows(rows), move |answer, run| match answer {
            Answer::Rows(rows) if !rows.is_empty() && rows.len() <= ids.len() => {
                let mut batch = VecDeque::new();
                for ((uid, message), row) in ids.into_iter().zip(rows) {
                    taken.insert(uid);
                    // A message that is gone matches nothing.
                    batch.extend(row.map(|row| Candidate { uid, message, row }));
                }
                self.undecided = self.undecided.difference(&taken);
                self.test_batch(batch, run, finish)
            }
            other => Err(errors::unexpected(&other)),
        })
    }

    fn test_batch(
        mut self,
        mut batch: VecDeque<Candidate>,
        run: &mut Run<'_>,
        finish: Finish,
    ) -> Flow {
        while let Some(candidate) = batch.pop_front() {
            match self.test(&candidate, &Texts::default()) {
                Verdict::Yes | Verdict::No => {}
                Verdict::Needs(need) => {
                    return self.read(need, Reading { candidate, batch, finish }, Texts::default());
                }
            }
        }
        self.next(run, finish)
    }

    /// Tests a message, and notes it if it matches.
    fn test(&mut self, candidate: &Candidate, texts: &Texts) -> Verdict {
        let view = &self.view;
        let Some(entry) = view.entry(candidate.uid) else { return Verdict::No };
        let recent = if view.is_recent(candidate.uid) { Recency::Recent } else { Recency::Old };
        let fields = Fields::of(&candidate.row);
        let header: Option<Vec<HeaderText<'_>>> = texts
            .header
            .as_ref()
            .map(|header| header.iter().map(|(name, value)| HeaderText { name, value }).collect());
        let content = Content {
            row: Some(fields.as_row()),
            header: header.as_deref(),
            text: texts.text.as_deref(),
        };
        let verdict = self.program.evaluate(&Subject { entry, recent, now: self.now }, &content);
        if verdict == Verdict::Yes {
            self.matched.insert(candidate.uid);
            if let Some(points) = &mut self.points {
                points.insert(candidate.uid, self.program.relevancy(&content));
            }
        }
        verdict
    }

    /// Reads the header or the text of one message and tests it again.
    fn read(self, need: ContentNeed, reading: Reading, texts: Texts) -> Flow {
        let row = &reading.candidate.row;
        let ranges = match need {
            ContentNeed::Row => return Err(errors::server_bug()),
            ContentNeed::Header => header_ranges(row, self.has_text),
            ContentNeed::Text => text_ranges(row),
        };
        let message = reading.candidate.message;
        let requests = ranges.into_iter().map(|range| ReadRequest { message, range }).collect();
        wait(Need::Read(requests), move |answer, run| {
            let Answer::Read(blocks) = answer else { return Err(errors::unexpected(&answer)) };
            self.with_blocks(need, reading, texts, &readable(blocks)?, run)
        })
    }

    fn with_blocks(
        mut self,
        need: ContentNeed,
        reading: Reading,
        mut texts: Texts,
        blocks: &[Option<Vec<u8>>],
        run: &mut Run<'_>,
    ) -> Flow {
        // What cannot be read matches nothing: the message is gone.
        if blocks.iter().all(Option::is_some) {
            match need {
                ContentNeed::Row => return Err(errors::server_bug()),
                ContentNeed::Header => texts.header = Some(header_texts(blocks)),
                ContentNeed::Text => texts.text = Some(body_text(&reading.candidate.row, blocks)),
            }
            match self.test(&reading.candidate, &texts) {
                Verdict::Yes | Verdict::No => {}
                // Each need is met once, so that no message is read for ever.
                Verdict::Needs(next) if next != need => return self.read(next, reading, texts),
                Verdict::Needs(_) => return Err(errors::server_bug()),
            }
        }
        self.test_batch(reading.batch, run, reading.finish)
    }
}

/// How many messages are in the set.
pub(crate) fn count(uids: &UidSet) -> usize {
    usize::try_from(uids.len()).unwrap_or(usize::MAX)
}

/// A message that is being read, and what follows it.
struct Reading {
    candidate: Candidate,
    batch: VecDeque<Candidate>,
    finish: Finish,
}

/// What was read; `None` of a message that is gone. One that is there but cannot be read ends the
/// search: whether it matches is not known.
fn readable(blocks: Vec<Result<Vec<u8>, Unread>>) -> Result<Vec<Option<Vec<u8>>>, Reply> {
    let one = |block| match block {
        Ok(block) => Ok(Some(block)),
        Err(Unread::Gone) => Ok(None),
        Err(Unread::Failed(why)) => Err(errors::trouble(why)),
    };
    blocks.into_iter().map(one).collect()
}

/// The header of the message, and with TEXT those of its parts and of messages inside.
fn header_ranges(message: &Message, has_text: bool) -> Vec<Range<u64>> {
    let mut budget = Need::READ_BYTES_MAX;
    let mut ranges = Vec::new();
    let mut open: Vec<&Part> = vec![&message.root];
    while let Some(part) = open.pop() {
        ranges.extend(take(part.header(), &mut budget));
        if has_text {
            open.extend(part.children());
        }
    }
    // The message's own comes first, also when nothing of it is left to be read.
    if ranges.is_empty() {
        ranges.push(message.root.header_start..message.root.header_start);
    }
    ranges
}

/// The text parts, and the headers of messages inside: as much of them as is looked at.
fn text_ranges(message: &Message) -> Vec<Range<u64>> {
    pieces(message).into_iter().map(|piece| piece.range).collect()
}

/// A piece of the body that is searched.
struct Piece<'a> {
    range: Range<u64>,
    /// The text part; `None` for the header of a message inside.
    part: Option<&'a Part>,
}

fn pieces(message: &Message) -> Vec<Piece<'_>> {
    let mut budget = Need::READ_BYTES_MAX;
    let mut pieces = Vec::new();
    for part in message.text_parts() {
        let range = take(part.body(), &mut budget);
        pieces.extend(range.map(|range| Piece { range, part: Some(part) }));
    }
    let mut open: Vec<&Part> = vec![&message.root];
    while let Some(part) = open.pop() {
        if let PartContent::Message(inner) = &part.content {
            let range = take(inner.root.header(), &mut budget);
            pieces.extend(range.map(|range| Piece { range, part: None }));
        }
        open.extend(part.children());
    }
    pieces
}

/// As much of a range as the budget allows; `None` if that is nothing.
fn take(range: Range<u64>, budget: &mut u64) -> Option<Range<u64>> {
    let length = (range.end - range.start).min(*budget);
    *budget -= length;
    (length > 0).then(|| range.start..range.start + length)
}

fn header_texts(blocks: &[Option<Vec<u8>>]) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (index, block) in blocks.iter().flatten().enumerate() {
        for field in mime::header::fields(block) {
            let name = String::from_utf8_lossy(field.name).into_owned();
            let value = mime::decode_header(field.value);
            if index == 0 {
                texts.push((name, value));
            } else {
                texts.push((String::new(), format!("{name}: {value}")));
            }
        }
    }
    texts
}

fn body_text(message: &Message, blocks: &[Option<Vec<u8>>]) -> String {
    let mut text = String::new();
    for (piece, block) in pieces(message).iter().zip(blocks.iter().flatten()) {
        match piece.part {
            Some(part) => text.push_str(&mime::text::of_part(part, block, TEXT_BYTES_MAX)),
            None => text.push_str(&mime::text::of_header(block)),
        }
        text.push('\n');
    }
    text
}

/// The fields of an envelope, decoded.
struct Fields {
    sent_day: Option<i64>,
    from: Option<String>,
    to: Option<String>,
    cc: Option<String>,
    bcc: Option<String>,
    subject: Option<String>,
}

impl Fields {
    fn of(message: &Message) -> Self {
        let Envelope { from, to, cc, bcc, subject, .. } = &message.header.envelope;
        Self {
            sent_day: message.header.date.map(|date| date.day()),
            from: addresses(from),
            to: addresses(to),
            cc: addresses(cc),
            bcc: addresses(bcc),
            subject: subject.as_deref().map(mime::decode_header),
        }
    }

    fn as_row(&self) -> RowText<'_> {
        RowText {
            sent_day: self.sent_day,
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            cc: self.cc.as_deref(),
            bcc: self.bcc.as_deref(),
            subject: self.subject.as_deref(),
        }
    }
}

/// Addresses as one would write them in a header. `None` if there is none: then there is no field.
fn addresses(all: &[Address]) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let texts = all.iter().map(|address| {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(mime::decode_header);
        let mailbox = text(&address.mailbox).unwrap_or_default();
        let at = text(&address.host).map_or(mailbox.clone(), |host| format!("{mailbox}@{host}"));
        match text(&address.name) {
            Some(name) => format!("{name} <{at}>"),
            None => at,
        }
    });
    Some(texts.collect::<Vec<_>>().join(", "))
}

/// Text of one part that is looked at: base64 and charsets make octets fewer or more, never by
/// this much.
const TEXT_BYTES_MAX: usize = 16 << 20;
