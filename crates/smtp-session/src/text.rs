//! The message itself, after DATA (RFC 5321 §4.1.1.4) or in chunks after BDAT (RFC 3030).

use crate::content::LineEnds;
use crate::session::{Role, Stage};
use crate::{Event, Reply, Session};

/// What is known of a message that is coming.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    /// Octets taken, or thrown away once there is a refusal.
    taken: u64,
    line_ends: LineEnds,
    /// Why nothing will come of it.
    refusal: Option<Reply>,
    /// URLs that were asked for.
    pub(crate) urls: u32,
}

impl Receipt {
    /// A message that begins, with so many URLs.
    pub(crate) fn of_urls(urls: u32) -> Self {
        Self { urls, ..Self::default() }
    }
}

/// What is left of the octets that one BDAT announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) left: u64,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Last,
    MoreFollows,
}

impl Session {
    pub(crate) fn text(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Stage::Text(content) = &mut self.stage else { return None };
        let mut text = Vec::new();
        let used = content.push(input, &mut text);
        let (has_ended, has_bare) = (content.has_ended(), content.has_bare());
        consume(input, used);
        if used == 0 && !has_ended {
            return Some(Event::NeedInput);
        }
        let verdict = self.judge(text.len(), has_bare);
        if matches!(verdict, Verdict::Closed) {
            return None;
        }
        if has_ended {
            self.stage = Stage::Commands;
            match self.receipt.as_ref().and_then(|receipt| receipt.refusal) {
                Some(refusal) => self.refuse_message(refusal),
                None => self.stage = Stage::AwaitDelivery,
            }
        }
        match verdict {
            Verdict::Abandon => Some(Event::Abandon),
            Verdict::Take if !text.is_empty() => Some(Event::Text(text)),
            Verdict::Take | Verdict::Skip | Verdict::Closed => None,
        }
    }

    pub(crate) fn chunk(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Stage::Chunk(chunk) = &mut self.stage else { return None };
        let taken = take(chunk, input);
        let chunk = *chunk;
        if taken.is_empty() && chunk.left > 0 {
            return Some(Event::NeedInput);
        }
        let is_end = chunk.left == 0 && chunk.place == Place::Last;
        let has_bare = self.receipt.as_mut().is_some_and(|receipt| {
            receipt.line_ends.push(&taken);
            if is_end { receipt.line_ends.ends_bare() } else { receipt.line_ends.has_bare() }
        });
        let verdict = self.judge(taken.len(), has_bare);
        if chunk.left == 0 && !matches!(verdict, Verdict::Closed) {
            self.stage = Stage::Commands;
            match (self.receipt.as_ref().and_then(|receipt| receipt.refusal), chunk.place) {
                // RFC 3030 §2: whatever still comes of this message is answered by 503.
                (Some(refusal), _) => self.refuse_message(refusal),
                (None, Place::Last) => self.stage = Stage::AwaitDelivery,
                (None, Place::MoreFollows) => {
                    self.count(Reply::new(250, "2.0.0", "Chunk received"));
                }
            }
        }
        match verdict {
            Verdict::Abandon => Some(Event::Abandon),
            Verdict::Take if !taken.is_empty() => Some(Event::Text(taken)),
            Verdict::Take | Verdict::Skip | Verdict::Closed => None,
        }
    }

    /// The octets of a BDAT that was refused: they come all the same. RFC 3030 §2
    pub(crate) fn skip_chunk(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Stage::SkipChunk(chunk, reply) = &mut self.stage else { return None };
        let taken = take(chunk, input);
        if chunk.left == 0 {
            let reply = *reply;
            self.stage = Stage::Commands;
            self.count(reply);
            return None;
        }
        taken.is_empty().then_some(Event::NeedInput)
    }

    /// Takes a piece of what a URL names; an empty one is its end. RFC 4468 §3.2
    pub(crate) fn url_piece(&mut self) -> Option<Event> {
        let stage = std::mem::replace(&mut self.stage, Stage::Commands);
        let Stage::UrlPiece(piece, place) = stage else { return None };
        let is_end = piece.is_empty() && place == Place::Last;
        let has_bare = self.receipt.as_mut().is_some_and(|receipt| {
            receipt.line_ends.push(&piece);
            if is_end { receipt.line_ends.ends_bare() } else { receipt.line_ends.has_bare() }
        });
        match self.judge(piece.len(), has_bare) {
            Verdict::Take if is_end => self.stage = Stage::AwaitDelivery,
            Verdict::Take if piece.is_empty() => self.count(URL_TAKEN),
            Verdict::Take => {
                self.stage = Stage::AwaitUrlText(place);
                return Some(Event::Text(piece));
            }
            Verdict::Abandon => {
                if let Some(refusal) = self.receipt.as_ref().and_then(|receipt| receipt.refusal) {
                    self.refuse_message(refusal);
                }
                return Some(Event::Abandon);
            }
            // There is no message, and so nothing that could come of it.
            Verdict::Skip | Verdict::Closed => {}
        }
        None
    }

    /// Counts octets and decides whether they are wanted.
    fn judge(&mut self, octets: usize, has_bare: bool) -> Verdict {
        let bytes_max = self.offer.message_bytes_max;
        let is_strict = !self.is(Role::Lmtp);
        let Some(receipt) = &mut self.receipt else { return Verdict::Skip };
        receipt.taken = receipt.taken.saturating_add(octets as u64);
        if receipt.refusal.is_some() {
            if receipt.taken <= bytes_max.saturating_mul(2).max(SKIPPED_BYTES_MIN) {
                return Verdict::Skip;
            }
            // A client that was honestly wrong has come to its end by now.
            self.forget();
            self.end(TOO_LONG_MESSAGE);
            return Verdict::Closed;
        }
        receipt.refusal = if receipt.taken > bytes_max {
            Some(TOO_LONG_MESSAGE)
        } else if is_strict && has_bare {
            // RFC 5321 §2.3.8. What one server takes for the end of a line and another does not
            // lets a stranger hide a message in a message.
            Some(BARE_LINE_END)
        } else {
            return Verdict::Take;
        };
        Verdict::Abandon
    }

    fn refuse_message(&mut self, refusal: Reply) {
        let count = match self.offer.role {
            Role::Lmtp => self.transaction.as_ref().map_or(0, |all| all.recipients.len()),
            Role::Mx | Role::Submission => 1,
        };
        self.answer_message(&vec![refusal; count]);
    }
}

enum Verdict {
    Take,
    Skip,
    /// Not wanted from here on.
    Abandon,
    Closed,
}

/// Takes octets of the chunk from the front of the input.
fn take(chunk: &mut Chunk, input: &mut Vec<u8>) -> Vec<u8> {
    let count = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len());
    chunk.left -= count as u64;
    if count == input.len() {
        return std::mem::take(input);
    }
    input.drain(..count).collect()
}

fn consume(input: &mut Vec<u8>, used: usize) {
    if used == input.len() {
        *input = Vec::new();
    } else {
        input.drain(..used);
    }
}

pub(crate) const TOO_LONG_MESSAGE: Reply = Reply::new(552, "5.3.4", "Message too long");

/// What is read of a refused message at least, before the connection is closed.
const SKIPPED_BYTES_MIN: u64 = 1 << 20;

/// RFC 4468 §6
const URL_TAKEN: Reply = Reply::new(250, "2.5.0", "Taken, go on with BURL or BDAT");

const BARE_LINE_END: Reply = Reply::new(550, "5.6.0", "Bare CR or LF in the message");
