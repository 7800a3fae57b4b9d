//! The messages of APPEND and REPLACE as they are to be stored: what URLs name is looked up, and
//! nothing is read but parts of headers. RFC 4469 §3
//!
//! All URLs are looked up before anything is stored, so one that cannot be had leaves nothing
//! behind. Told is the first of them that is wrong. RFC 4469 §4.1

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use imap_proto::types::{
    AppendMessage, AppendPayload, CatPart, Code, HeaderFields, Literal, SectionText,
};
use imap_proto::url::ImapUrl;
use mail_types::{Flags, InternalDate, MailboxId, MailboxName, MessageId};
use mailbox::{Account, Annotations, Audience};
use mime::header::{FieldFilter, subset};
use mime::{Message, SectionKind};

use super::append::{empty, too_big};
use super::fetch::bounded;
use crate::reply::{Flow, Reply, Run, wait, wait_ready};
use crate::{Answer, AppendData, AppendItem, AppendPiece, Need, ReadRequest, annotation, errors};

/// What goes on with the messages when they are known.
type Rest = Box<dyn FnOnce(Vec<AppendItem>, &mut Run<'_>) -> Flow + Send>;

/// Looks up what the messages are made of; private annotations of them are for `own`.
pub(crate) fn gather(
    messages: Vec<AppendMessage>,
    own: Audience,
    run: &mut Run<'_>,
    then: impl FnOnce(Vec<AppendItem>, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let mut gathering = Gathering::new(run.state.config.append_limit, Box::new(then));
    for message in messages {
        gathering.add(message, own, run)?;
    }
    gathering.open(0, run)
}

struct Gathering {
    drafts: Vec<Draft>,
    /// URLs in their order, of which something has still to be looked up.
    pending: VecDeque<Pending>,
    /// Choices of header fields, which have to be read.
    chosen: VecDeque<(Pending, Range<u64>)>,
    /// The first URL that is wrong, and its place among all.
    bad: Option<(usize, Vec<u8>)>,
    urls: usize,
    chosen_bytes: u64,
    append_limit: u64,
    then: Rest,
}

struct Draft {
    flags: Flags,
    date: InternalDate,
    annotations: Annotations,
    content: Content,
}

enum Content {
    Whole(AppendData),
    /// `None` for a URL that is still pending.
    Pieces(Vec<Option<AppendPiece>>),
}

/// A URL and where what it names belongs.
struct Pending {
    text: Vec<u8>,
    url: ImapUrl,
    order: usize,
    draft: usize,
    piece: usize,
    mailbox: MailboxId,
    message: MessageId,
}

impl Gathering {
    fn new(append_limit: u64, then: Rest) -> Self {
        Self {
            drafts: Vec::new(),
            pending: VecDeque::new(),
            chosen: VecDeque::new(),
            bad: None,
            urls: 0,
            chosen_bytes: 0,
            append_limit,
            then,
        }
    }

    fn add(&mut self, message: AppendMessage, own: Audience, run: &Run<'_>) -> Result<(), Reply> {
        let content = match message.data {
            AppendPayload::Literal { data, .. } => Content::Whole(match data {
                Literal::Inline(bytes) => AppendData::Inline(bytes),
                Literal::Streamed { index, .. } => AppendData::Staged { index },
            }),
            AppendPayload::Catenate(parts) => {
                let mut pieces = Vec::with_capacity(parts.len());
                for part in parts {
                    let piece = match part {
                        CatPart::Text { data: Literal::Inline(bytes), .. } => {
                            Some(AppendPiece::Inline(bytes))
                        }
                        CatPart::Text { data: Literal::Streamed { index, size }, .. } => {
                            Some(AppendPiece::Staged { index, size })
                        }
                        CatPart::Url(text) => {
                            self.note(text, pieces.len(), run)?;
                            None
                        }
                    };
                    pieces.push(piece);
                }
                Content::Pieces(pieces)
            }
        };
        let date = message.date.unwrap_or(run.now);
        // Flags that no message can have are dropped: a refusal breaks migrations.
        let annotations = annotation::initial(message.annotations, own)?;
        self.drafts.push(Draft { flags: message.flags.flags, date, annotations, content });
        Ok(())
    }

    /// Notes a URL of the message that comes next.
    fn note(&mut self, text: Vec<u8>, piece: usize, run: &Run<'_>) -> Result<(), Reply> {
        let order = self.urls;
        self.urls += 1;
        if self.urls > URLS_MAX {
            return Err(Reply::no("Too many URLs").with(Code::Limit));
        }
        if self.bad.is_some() {
            return Ok(());
        }
        match place(&text, run.account()?) {
            Some((url, mailbox)) => {
                let (draft, message) = (self.drafts.len(), MessageId(0));
                let pending = Pending { text, url, order, draft, piece, mailbox, message };
                self.pending.push_back(pending);
            }
            None => self.bad = Some((order, text)),
        }
        Ok(())
    }

    /// A URL that is wrong makes those behind it meaningless.
    fn spoil(&mut self, pending: Pending) {
        self.pending.retain(|other| other.order < pending.order);
        self.chosen.retain(|(other, _)| other.order < pending.order);
        self.bad = Some((pending.order, pending.text));
    }

    /// Loads the mailboxes that are named, one after the other, then finds the messages.
    fn open(mut self, opened: usize, run: &mut Run<'_>) -> Flow {
        let account = run.account()?;
        let is_closed = |pending: &&Pending| {
            let mailbox = account.mailbox(pending.mailbox);
            mailbox.is_some_and(|mailbox| mailbox.contents().is_none())
        };
        if let Some(pending) = self.pending.iter().find(is_closed) {
            if opened >= MAILBOXES_MAX {
                return Err(Reply::no("Too many mailboxes in one command").with(Code::Limit));
            }
            let need = Need::Open(pending.mailbox);
            return wait_ready(need, move |run| self.open(opened + 1, run));
        }
        for mut pending in std::mem::take(&mut self.pending) {
            let contents = account.mailbox(pending.mailbox).and_then(|m| m.contents());
            match contents.and_then(|contents| contents.find(pending.url.uid)) {
                Some(entry) => {
                    pending.message = entry.message();
                    self.pending.push_back(pending);
                }
                None => {
                    self.spoil(pending);
                    break;
                }
            }
        }
        self.rows(run)
    }

    /// Asks where in their messages the parts stand.
    fn rows(self, run: &mut Run<'_>) -> Flow {
        let ids: Vec<_> = self.pending.iter().take(Need::ROWS_MAX).map(|it| it.message).collect();
        if ids.is_empty() {
            return self.choose(run);
        }
        wait(Need::Rows(ids), move |answer, run| match answer {
            Answer::Rows(rows) if !rows.is_empty() => self.with_rows(rows, run),
            other => Err(errors::unexpected(&other)),
        })
    }

    fn with_rows(mut self, rows: Vec<Option<Arc<Message>>>, run: &mut Run<'_>) -> Flow {
        for row in rows {
            let Some(pending) = self.pending.pop_front() else { break };
            let found = row.and_then(|row| {
                let (path, kind) = (&pending.url.section.part, kind(&pending.url));
                row.section(path, kind)
            });
            match (found, &pending.url.section.text) {
                // Also a part that FETCH would tell as NIL. RFC 4469 §4.1
                (None, _) => self.spoil(pending),
                (Some(range), Some(SectionText::HeaderFields(_)))
                | (Some(range), Some(SectionText::HeaderFieldsNot(_))) => {
                    self.chosen.push_back((pending, bounded(range)));
                }
                (Some(range), _) => {
                    let range = window(range, pending.url.partial);
                    let request = ReadRequest { message: pending.message, range };
                    self.fill(&pending, AppendPiece::Stored(request));
                }
            }
        }
        self.rows(run)
    }

    /// Reads the headers that fields are chosen from, one after the other.
    fn choose(mut self, run: &mut Run<'_>) -> Flow {
        let Some((pending, range)) = self.chosen.pop_front() else { return self.finish(run) };
        let request = ReadRequest { message: pending.message, range };
        wait(Need::Read(vec![request]), move |answer, run| {
            let Answer::Read(mut blocks) = answer else {
                return Err(errors::unexpected(&answer));
            };
            match blocks.pop() {
                Some(Ok(header)) => {
                    let bytes = fields(&header, &pending.url);
                    self.chosen_bytes += bytes.len() as u64;
                    if self.chosen_bytes > CHOSEN_BYTES_MAX {
                        return Err(Reply::no("Too many header fields").with(Code::Limit));
                    }
                    self.fill(&pending, AppendPiece::Inline(bytes));
                }
                Some(Err(crate::Unread::Failed(why))) => return Err(errors::trouble(why)),
                Some(Err(crate::Unread::Gone)) | None => self.spoil(pending),
            }
            self.choose(run)
        })
    }

    fn fill(&mut self, pending: &Pending, found: AppendPiece) {
        let draft = self.drafts.get_mut(pending.draft);
        if let Some(Draft { content: Content::Pieces(pieces), .. }) = draft
            && let Some(piece) = pieces.get_mut(pending.piece)
        {
            *piece = Some(found);
        }
    }

    fn finish(self, run: &mut Run<'_>) -> Flow {
        if let Some((_, url)) = self.bad {
            let text = String::from_utf8_lossy(&url).into_owned();
            return Err(Reply::no("A URL names nothing here").with(Code::BadUrl(text)));
        }
        let mut items = Vec::with_capacity(self.drafts.len());
        let mut copied = 0_u64;
        for Draft { flags, date, annotations, content } in self.drafts {
            let data = match content {
                Content::Whole(data) => data,
                Content::Pieces(pieces) => {
                    let pieces: Vec<AppendPiece> = pieces.into_iter().flatten().collect();
                    let size = pieces.iter().map(piece_bytes).fold(0, u64::saturating_add);
                    if size > self.append_limit {
                        return Err(too_big());
                    }
                    if size == 0 {
                        return Err(empty());
                    }
                    copied = copied.saturating_add(size);
                    AppendData::Catenated(pieces)
                }
            };
            items.push(AppendItem { data, flags, date, annotations });
        }
        if copied > COPIED_BYTES_MAX.max(self.append_limit) {
            return Err(Reply::no("Too much to copy in one command").with(Code::Limit));
        }
        (self.then)(items, run)
    }
}

/// The URL and the mailbox that it names: one of this account, told by an absolute path. URLs of
/// servers are out of scope and answered with NO. RFC 4469 §3
fn place(text: &[u8], account: &Account) -> Option<(ImapUrl, MailboxId)> {
    let url = ImapUrl::parse(text).ok()?;
    if url.server.is_some() || url.auth.is_some() {
        return None;
    }
    let record = account.by_name(&MailboxName::new(&url.mailbox).ok()?)?.record();
    let is_same = url.uid_validity.is_none_or(|validity| validity == record.uid_validity);
    is_same.then_some((url, record.id))
}

/// Which block of the message a URL's section stands in.
pub(crate) fn kind(url: &ImapUrl) -> SectionKind {
    match &url.section.text {
        None => SectionKind::Whole,
        Some(SectionText::Text) => SectionKind::Text,
        Some(SectionText::Mime) => SectionKind::Mime,
        Some(
            SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_),
        ) => SectionKind::Header,
    }
}

/// The fields of a header that a URL chooses, cut to its partial range.
pub(crate) fn fields(header: &[u8], url: &ImapUrl) -> Vec<u8> {
    let (names, filter): (&HeaderFields, _) = match &url.section.text {
        Some(SectionText::HeaderFields(names)) => (names, FieldFilter::Only),
        Some(SectionText::HeaderFieldsNot(names)) => (names, FieldFilter::Except),
        _ => return Vec::new(),
    };
    let chosen = subset(header, &names.0, filter);
    let range = window(0..chosen.len() as u64, url.partial);
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    chosen.get(start.unwrap_or(usize::MAX)..end.unwrap_or(0)).unwrap_or_default().to_vec()
}

/// The part of a range that `;PARTIAL=` asks for: empty behind its end. RFC 5092 §6, RFC 9051
/// §6.4.5
pub(crate) fn window(range: Range<u64>, partial: Option<(u64, Option<u64>)>) -> Range<u64> {
    let Some((offset, length)) = partial else { return range };
    let start = range.start.saturating_add(offset).min(range.end);
    let end = length.map_or(range.end, |length| start.saturating_add(length).min(range.end));
    start..end
}

fn piece_bytes(piece: &AppendPiece) -> u64 {
    match piece {
        AppendPiece::Staged { size, .. } => *size,
        AppendPiece::Inline(bytes) => bytes.len() as u64,
        AppendPiece::Stored(request) => request.range.end.saturating_sub(request.range.start),
    }
}

/// URLs in one command: each costs a look at a message.
const URLS_MAX: usize = 1000;

/// Mailboxes that one command may have loaded: each may be as large as mailboxes get.
const MAILBOXES_MAX: usize = 16;

/// Header fields that are kept in memory for one command.
const CHOSEN_BYTES_MAX: u64 = 1 << 20;

/// Octets that one command may put together, whatever MULTIAPPEND asks for: a line of a few
/// kilobytes must not keep the disk busy for hours.
const COPIED_BYTES_MAX: u64 = 256 << 20;
