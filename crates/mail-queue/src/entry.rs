//! An entry of the queue: one message and what has become of each recipient so far.

use crate::envelope::{Recipient, Terms};

/// One message with the recipients that it has to reach, at most
/// [`crate::ENTRY_RECIPIENTS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What MAIL said.
    pub terms: Terms,
    /// Bytes of the message.
    pub size: u64,
    /// When it was accepted.
    pub arrived: i64,
    /// The recipients, those that have come to an end among them.
    pub recipients: Vec<QueuedRecipient>,
    /// Whether it must wait for more than its next attempt.
    pub hold: Hold,
    /// Who is working on it.
    pub claim: Option<Claim>,
}

/// Why an entry waits though an attempt may be due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// It does not.
    #[default]
    No,
    /// Its sender wants it to leave at this moment. RFC 4865
    Until(i64),
    /// The operator has stopped it, for as long as he likes.
    Operator,
}

/// One recipient of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// What RCPT said.
    pub to: Recipient,
    /// How far it is.
    pub progress: Progress,
    /// Attempts that have ended.
    pub attempts: u32,
    /// When the wait for the next attempt began.
    pub since: i64,
    /// When the next attempt is due.
    pub next: i64,
    /// How long it has waited, in seconds, counted by what was planned: so a clock that jumps ahead
    /// by a year makes it no older than one wait. RFC 5321 §4.5.4.1
    pub waited_secs: i64,
    /// Whether the sender has been told that it is late.
    pub warned: bool,
    /// What was said at the last attempt.
    pub reply: Option<Reply>,
}

/// How far a recipient is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its next attempt has yet to begin.
    Waiting,
    /// Whoever has the claim is trying.
    InProgress,
    /// It was delivered, or another server has taken it over.
    Delivered,
    /// It cannot be delivered.
    Failed,
    /// Its time was up.
    Expired,
}

/// Who works on an entry. No change of it leaves it as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which process.
    pub node: u64,
    /// Drawn for this claim: no two are equal.
    pub token: u64,
    /// By the clock of its node; after it others begin to watch whether it is renewed. See
    /// [`crate::Vigil`].
    pub until: i64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The next one has it now.
    Delivered {
        /// Who that is.
        to: Handover,
        /// What was said, if anybody said anything.
        reply: Option<Reply>,
    },
    /// Not now.
    Deferred(Reply),
    /// Not ever.
    Failed(Reply),
}

/// To whom a message was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// It is in a mailbox of this server.
    Mailbox,
    /// A server that does not know RFC 3461: this one tells the sender.
    Relay,
    /// A server that has taken NOTIFY over with it.
    NotifyingRelay,
}

/// What was said to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The enhanced status code, `5.1.1`. RFC 3463
    pub status: [u16; 3],
    /// What the other server replied, with its code: `550 5.1.1 no such user`. Without, this server
    /// speaks.
    pub smtp: Option<String>,
    /// The other server's name.
    pub remote: Option<String>,
    /// In words, for people.
    pub text: String,
}

/// When an entry is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// For an attempt, or because its claim has ended.
    Attempt(i64),
    /// Because its sender wanted it to leave then. It may be years ahead.
    Release(i64),
}

impl Entry {
    /// A new entry.
    #[must_use]
    pub fn new(
        terms: Terms,
        recipients: Vec<Recipient>,
        size: u64,
        now: i64,
        hold_until: Option<i64>,
    ) -> Self {
        let start = hold_until.map_or(now, |until| until.max(now));
        let queued = |to| QueuedRecipient {
            to,
            progress: Progress::Waiting,
            attempts: 0,
            since: start,
            next: start,
            waited_secs: 0,
            warned: false,
            reply: None,
        };
        Self {
            terms,
            size,
            arrived: now,
            recipients: recipients.into_iter().map(queued).collect(),
            hold: if start > now { Hold::Until(start) } else { Hold::No },
            claim: None,
        }
    }

    /// When it is to be looked at next; `None` while the operator holds it.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        if let Some(claim) = &self.claim {
            return Some(Due::Attempt(claim.until));
        }
        match self.hold {
            Hold::Operator => None,
            Hold::Until(until) => Some(Due::Release(until)),
            Hold::No => self.next().map(Due::Attempt),
        }
    }

    /// When the next attempt is due.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let waiting = self.recipients.iter().filter(|r| r.progress == Progress::Waiting);
        waiting.map(|recipient| recipient.next).min()
    }

    /// Whether a recipient still has to be reached.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.progress.is_open())
    }

    /// The recipients that whoever has the claim is to try, with their indices.
    pub fn in_progress(&self) -> impl Iterator<Item = (usize, &QueuedRecipient)> {
        let recipients = self.recipients.iter().enumerate();
        recipients.filter(|(_, recipient)| recipient.progress == Progress::InProgress)
    }
}

impl Progress {
    /// Whether its story goes on.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::InProgress)
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InProgress => "in progress",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

impl Reply {
    /// What this server says by itself.
    #[must_use]
    pub fn own(status: [u16; 3], text: impl Into<String>) -> Self {
        Self { status, smtp: None, remote: None, text: text.into() }
    }

    /// With each of its texts in one line of at most [`REPLY_BYTES_MAX`] bytes: a server may say a
    /// lot, and what it says is written into rows and into header fields.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            status: self.status,
            smtp: self.smtp.map(|text| one_line(&text)),
            remote: self.remote.map(|text| one_line(&text)),
            text: one_line(&self.text),
        }
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(REPLY_BYTES_MAX));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() > REPLY_BYTES_MAX {
            break;
        }
        // A line break is two characters and one gap.
        if c != ' ' || !line.ends_with(' ') {
            line.push(c);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Longest text of a reply that is kept: what a reply line may have. RFC 5321 §4.5.3.1.5
pub const REPLY_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_one_bounded_line() {
        let reply = Reply::own([4, 0, 0], format!("a\r\nb\tc\0 {}", "\u{e4}".repeat(1000)));
        let bounded = reply.bounded();
        assert!(bounded.text.starts_with("a b c \u{e4}"), "{}", bounded.text);
        assert!(bounded.text.len() <= REPLY_BYTES_MAX && bounded.text.len() > 500);
        assert_eq!(Reply::own([4, 0, 0], "x\r\n").bounded().text, "x");
    }
}
