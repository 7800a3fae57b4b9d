//! What stories are made of.

use mail_queue::{Action, After, Attempt, Decision, Entry, Handover, Progress, QueueId};
use mail_types::{AccountId, Uid};

use super::line::Line;

/// One thing that happened to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody brought it, and it was taken or refused.
    Arrived(Box<Arrival>),
    /// The queue has delivered it to a mailbox of this server.
    Placed {
        /// The entry.
        id: QueueId,
        /// To whom.
        recipient: Line,
        /// Where it is; `None` if an attempt that could not say so any more had delivered it.
        place: Option<Placement>,
    },
    /// Attempts to hand it on have ended.
    Attempted {
        /// The entry.
        id: QueueId,
        /// What became of each recipient that was tried.
        tried: Vec<Tried>,
    },
    /// Its sender was sent a notice.
    Told {
        /// The entry.
        id: QueueId,
        /// The notice, which is an entry itself.
        notice: QueueId,
        /// Of whom it tells, and what (RFC 3464 §2.3.3).
        told: Vec<(Line, Line)>,
    },
    /// The operator, or its sender, wanted something of it.
    Ordered {
        /// The entry.
        id: QueueId,
        /// What.
        order: Order,
    },
}

/// What was wanted of an entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To stop it.
    Hold,
    /// To try it at once.
    Retry,
    /// To throw it away.
    Drop,
    /// To take it back, by who sent it.
    Cancel,
}

/// How a message came here and what was done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// As the message has it, without the brackets.
    pub message_id: Option<Line>,
    /// The name of the transaction in its Received field and in the log.
    pub id: u64,
    /// What was spoken: `ESMTPS`, `LMTP`. RFC 3848
    pub protocol: Line,
    /// The client's address, or that it was a process of this machine.
    pub peer: Line,
    /// What the client called itself.
    pub client_name: Line,
    /// Who had logged in.
    pub account: Option<AccountId>,
    /// What MAIL said; empty for `<>`.
    pub sender: Line,
    /// What RCPT said, of at most [`LISTED_MAX`] recipients.
    pub recipients: Vec<Line>,
    /// Octets of the text.
    pub size: u64,
    /// What was found out about it, names and values, at most [`CHECKS_MAX`].
    pub checks: Vec<(Line, Line)>,
    /// The mailboxes that it was delivered to at once.
    pub places: Vec<Placement>,
    /// The entries of the queue that it became.
    pub queued: Vec<QueueId>,
    /// The notice that its sender was sent at once, which is an entry itself.
    pub notice: Option<QueueId>,
    /// What was answered: once, or for LMTP once for each recipient. Nothing if the connection
    /// ended before.
    pub replies: Vec<Line>,
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Whose mailbox.
    pub account: AccountId,
    /// Its name then.
    pub mailbox: Line,
    /// The UID of the message there.
    pub uid: Uid,
}

/// What became of a recipient in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Who.
    pub recipient: Line,
    /// How far it is.
    pub progress: Progress,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next one is planned, if there is one.
    pub next: Option<i64>,
    /// The other server.
    pub remote: Option<Line>,
    /// What it, or this server, said.
    pub reply: Option<Line>,
}

impl What {
    /// The Message-ID, where it is known.
    #[must_use]
    pub fn message_id(&self) -> Option<&Line> {
        match self {
            Self::Arrived(arrival) => arrival.message_id.as_ref(),
            Self::Placed { .. }
            | Self::Attempted { .. }
            | Self::Told { .. }
            | Self::Ordered { .. } => None,
        }
    }

    /// The entries of the queue that it is about.
    #[must_use]
    pub fn queue_ids(&self) -> Vec<QueueId> {
        match self {
            Self::Arrived(arrival) => {
                arrival.queued.iter().copied().chain(arrival.notice).collect()
            }
            Self::Placed { id, .. } | Self::Attempted { id, .. } | Self::Ordered { id, .. } => {
                vec![*id]
            }
            Self::Told { id, notice, .. } => vec![*id, *notice],
        }
    }

    /// Whether it is about mail for this address.
    #[must_use]
    pub fn concerns(&self, address: &str) -> bool {
        let is = |line: &Line| line.as_str().eq_ignore_ascii_case(address);
        match self {
            Self::Arrived(arrival) => arrival.recipients.iter().any(is),
            Self::Placed { recipient, .. } => is(recipient),
            Self::Attempted { tried, .. } => tried.iter().any(|it| is(&it.recipient)),
            Self::Told { told, .. } => told.iter().any(|(recipient, _)| is(recipient)),
            Self::Ordered { .. } => false,
        }
    }

    /// The place within a story of what happened in the same second on several nodes.
    #[must_use]
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Arrived(_) => 0,
            Self::Ordered { .. } => 1,
            Self::Placed { .. } | Self::Attempted { .. } => 2,
            Self::Told { .. } => 3,
        }
    }
}

/// The form of a Message-ID that stories are found by: without brackets and space, and in small
/// letters, because whoever asks may have retyped it.
pub(crate) fn key_of_id(message_id: &str) -> String {
    bare(message_id).to_ascii_lowercase()
}

/// A Message-ID without its brackets.
pub(crate) fn bare(message_id: &str) -> &str {
    let id = message_id.trim();
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

/// What a change of an entry tells.
pub(crate) fn of_change(
    id: QueueId,
    before: &Entry,
    event: &mail_queue::Event,
    decision: &Decision,
    notice: Option<QueueId>,
) -> Vec<What> {
    let (After::Kept(after) | After::Done(after)) = &decision.after;
    let mut all = Vec::new();
    match event {
        mail_queue::Event::Report { results, .. } => {
            let tried = tried(before, results, after);
            if !tried.is_empty() {
                all.push(What::Attempted { id, tried });
            }
        }
        mail_queue::Event::Hold => all.push(What::Ordered { id, order: Order::Hold }),
        mail_queue::Event::Retry => all.push(What::Ordered { id, order: Order::Retry }),
        mail_queue::Event::Drop => all.push(What::Ordered { id, order: Order::Drop }),
        mail_queue::Event::Cancel { .. } => all.push(What::Ordered { id, order: Order::Cancel }),
        _ => {}
    }
    if let (Some(notice), Some(decided)) = (notice, &decision.notice) {
        let of = |told: &mail_queue::Told| {
            let recipient = after.recipients.get(told.index)?;
            Some((Line::new(&recipient.to.address), Line::new(word(told.action))))
        };
        let told = decided.told.iter().filter_map(of).collect();
        all.push(What::Told { id, notice, told });
    }
    all
}

fn tried(before: &Entry, results: &[(usize, Attempt)], after: &Entry) -> Vec<Tried> {
    let of = |(index, attempt): &(usize, Attempt)| {
        let (was, is) = (before.recipients.get(*index)?, after.recipients.get(*index)?);
        // Where the queue delivered here, it has told more than that already.
        let is_told = matches!(attempt, Attempt::Delivered { to: Handover::Mailbox, .. });
        if was == is || is_told {
            return None;
        }
        let reply = is.reply.as_ref();
        Some(Tried {
            recipient: Line::new(&is.to.address),
            progress: is.progress,
            attempts: is.attempts,
            next: is.progress.is_open().then_some(is.next),
            remote: reply.and_then(|it| it.remote.as_deref()).map(Line::new),
            reply: reply.map(|it| Line::new(it.smtp.as_ref().unwrap_or(&it.text))),
        })
    };
    results.iter().filter_map(of).collect()
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Expired => "expired",
        other => other.word(),
    }
}

/// Recipients, replies and places that a story names of one arrival: as many as one entry of the
/// queue has.
pub const LISTED_MAX: usize = mail_queue::ENTRY_RECIPIENTS_MAX;

/// What is found out about one message.
pub const CHECKS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use mail_queue::{Claim, Origin, Recipient, Reply, Schedule, Terms, decide};

    use super::*;

    const START: i64 = 1_800_000_000;

    fn id(number: u8) -> QueueId {
        QueueId::new(START, [number; 7])
    }

    #[test]
    fn a_report_tells_what_became_of_each_recipient_and_of_the_notice() {
        let terms = Terms::new(Some("me@mail.example".into()), Origin::Account("me".into()));
        let to = ["a@x.example", "b@x.example", "c@mail.example", "d@y.example"];
        let entry = Entry::new(terms, to.map(Recipient::new).to_vec(), 9, START, None);
        let claim = Claim { node: 1, token: 7, until: START + 600 };
        let schedule = Schedule::default();
        let claimed = decide(&entry, &mail_queue::Event::Claim(claim), START, &schedule).unwrap();
        let After::Kept(claimed) = claimed.after else { panic!() };
        let said = |smtp: &str| Reply {
            status: [5, 1, 1],
            smtp: Some(smtp.into()),
            remote: Some("mx.x.example".into()),
            text: "text".into(),
        };
        let results = vec![
            (0, Attempt::Failed(said("550 5.1.1 no\r\nsuch user"))),
            (1, Attempt::Deferred(Reply::own([4, 4, 1], "nobody answers"))),
            (2, Attempt::Delivered { to: Handover::Mailbox, reply: None }),
        ];
        let event = mail_queue::Event::Report { token: 7, results, jitter: 0 };
        let decision = decide(&claimed, &event, START, &schedule).unwrap();
        let told = of_change(id(1), &claimed, &event, &decision, Some(id(2)));
        let [What::Attempted { tried, .. }, What::Told { notice, told, .. }] = &told[..] else {
            panic!("{told:?}");
        };
        let [failed, deferred] = &tried[..] else { panic!("{tried:?}") };
        assert_eq!(failed.recipient.as_str(), "a@x.example");
        assert_eq!(failed.reply.as_ref().unwrap().as_str(), "550 5.1.1 no such user");
        assert_eq!(failed.remote.as_ref().unwrap().as_str(), "mx.x.example");
        assert_eq!((failed.progress, failed.next), (Progress::Failed, None));
        assert_eq!((deferred.progress, deferred.next), (Progress::Waiting, Some(START + 300)));
        assert_eq!(deferred.reply.as_ref().unwrap().as_str(), "nobody answers");
        assert_eq!(*notice, id(2));
        assert_eq!(told[..], [(Line::new("a@x.example"), Line::new("failed"))]);
    }

    #[test]
    fn a_message_id_is_found_however_it_was_copied() {
        for text in ["<A.b@Mail.Example>", " a.b@mail.example", "A.B@MAIL.EXAMPLE"] {
            assert_eq!(key_of_id(text), "a.b@mail.example");
        }
        assert_eq!(key_of_id("<a"), "<a");
    }
}
