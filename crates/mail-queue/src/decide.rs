//! The one place that says what may happen to an entry.

use std::fmt;

use crate::entry::{Attempt, Claim, Entry, Handover, Hold, Progress, QueuedRecipient, Reply};
use crate::envelope::Origin;
use crate::notice::{Action, Notice, Told};
use crate::schedule::Schedule;

/// Something that happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node begins to work on what is due.
    Claim(Claim),
    /// It is still at it.
    Renew {
        /// Of its claim.
        token: u64,
        /// The new end of the claim.
        until: i64,
    },
    /// Attempts have ended; others of the same claim may still go on.
    Report {
        /// Of the claim under which they were made.
        token: u64,
        /// Recipients by their index, with what came of it.
        results: Vec<(usize, Attempt)>,
        /// Spreads the next attempts; see [`Schedule::delay`].
        jitter: u16,
    },
    /// The node stops and has not tried what it has not reported.
    GiveBack {
        /// Of its claim.
        token: u64,
    },
    /// The node with this claim, exactly as it is, counts as dead ([`crate::Vigil`]). It may have
    /// handed the message on without being able to say so: then that is done twice, which no
    /// protocol with two generals can avoid. RFC 1047
    Abandon(Claim),
    /// The operator stops it. What is under way is not called back.
    Hold,
    /// The operator wants it tried now, held or not.
    Retry,
    /// The operator throws it away, and nobody is told.
    Drop,
    /// Its sender takes it back before it has left.
    Cancel {
        /// The account that asks.
        account: String,
    },
    /// The clock was set back: what was planned by the old time is due at once.
    ClockSetBack,
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The entry after it.
    pub after: After,
    /// What the sender must be told, in the same change. The indices are those of the entry before.
    pub notice: Option<Notice>,
}

/// What remains of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// This.
    Kept(Box<Entry>),
    /// Nothing: every recipient has come to an end. As it was then, for the notice and the log.
    Done(Box<Entry>),
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody is working on it.
    Claimed,
    /// The claim is not this one, or has been taken over.
    NotClaimed,
    /// Nothing is due.
    NotDue,
    /// The operator holds it.
    Held,
    /// Who asks has not sent it.
    NotYours,
    /// Somebody has it already.
    HasLeft,
}

/// Decides what an event changes at `now`, in seconds since 1970.
///
/// # Errors
/// If it changes nothing.
pub fn decide(
    entry: &Entry,
    event: &Event,
    now: i64,
    schedule: &Schedule,
) -> Result<Decision, Refusal> {
    match event {
        Event::Claim(claim) => take(entry, *claim, now).map(kept),
        Event::Renew { token, until } => {
            let mut after = of_claim(entry, *token)?;
            // Whoever watches the claim sees by this that it was renewed, also when the clock was
            // set back meanwhile.
            let renewed = |held: Claim| Claim { until: (*until).max(held.until + 1), ..held };
            after.claim = entry.claim.map(renewed);
            Ok(kept(after))
        }
        Event::Report { token, results, jitter } => {
            let clock = Moment { now, schedule, jitter: *jitter };
            report(entry, *token, results, &clock)
        }
        Event::GiveBack { token } => of_claim(entry, *token).map(released).map(kept),
        Event::Abandon(claim) if entry.claim == Some(*claim) => Ok(kept(released(entry.clone()))),
        Event::Abandon(_) => Err(Refusal::NotClaimed),
        Event::Hold if entry.hold == Hold::Operator => Err(Refusal::Held),
        Event::Hold => Ok(kept(Entry { hold: Hold::Operator, ..entry.clone() })),
        Event::Retry => Ok(kept(retry(entry, now))),
        Event::Drop => Ok(Decision { after: After::Done(Box::new(entry.clone())), notice: None }),
        Event::Cancel { account } => cancel(entry, account),
        Event::ClockSetBack => set_back(entry, now, schedule).map(kept),
    }
}

/// Time, and how it is divided.
struct Moment<'a> {
    now: i64,
    schedule: &'a Schedule,
    jitter: u16,
}

fn kept(entry: Entry) -> Decision {
    Decision { after: After::Kept(Box::new(entry)), notice: None }
}

fn of_claim(entry: &Entry, token: u64) -> Result<Entry, Refusal> {
    match entry.claim {
        Some(claim) if claim.token == token => Ok(entry.clone()),
        _ => Err(Refusal::NotClaimed),
    }
}

/// Begins to work on what is due.
fn take(entry: &Entry, claim: Claim, now: i64) -> Result<Entry, Refusal> {
    if entry.claim.is_some() {
        return Err(Refusal::Claimed);
    }
    match entry.hold {
        Hold::Operator => return Err(Refusal::Held),
        Hold::Until(until) if until > now => return Err(Refusal::NotDue),
        Hold::Until(_) | Hold::No => {}
    }
    let mut after = entry.clone();
    after.hold = Hold::No;
    let mut has_any = false;
    for recipient in &mut after.recipients {
        if recipient.progress == Progress::Waiting && recipient.next <= now {
            recipient.progress = Progress::InProgress;
            has_any = true;
        }
    }
    if !has_any {
        return Err(Refusal::NotDue);
    }
    after.claim = Some(claim);
    Ok(after)
}

/// Takes a message back whole or not at all: one that some of its recipients have is no more
/// unsent when the others do not get it, and while it is being sent nobody knows who has it.
fn cancel(entry: &Entry, account: &str) -> Result<Decision, Refusal> {
    if !matches!(&entry.terms.origin, Origin::Account(sender) if sender == account) {
        return Err(Refusal::NotYours);
    }
    if entry.claim.is_some() {
        return Err(Refusal::Claimed);
    }
    if entry.recipients.iter().any(|recipient| recipient.progress != Progress::Waiting) {
        return Err(Refusal::HasLeft);
    }
    Ok(Decision { after: After::Done(Box::new(entry.clone())), notice: None })
}

/// Without its claim; what was not tried waits as it did before.
fn released(mut entry: Entry) -> Entry {
    entry.claim = None;
    for recipient in &mut entry.recipients {
        if recipient.progress == Progress::InProgress {
            recipient.progress = Progress::Waiting;
        }
    }
    entry
}

fn report(
    entry: &Entry,
    token: u64,
    results: &[(usize, Attempt)],
    moment: &Moment<'_>,
) -> Result<Decision, Refusal> {
    let is_ours = entry.claim.is_some_and(|claim| claim.token == token);
    let may_tell = entry.terms.told().is_some();
    let mut after = entry.clone();
    let (mut told, mut has_changed) = (Vec::new(), false);
    for (index, attempt) in results {
        let Some(recipient) = after.recipients.get_mut(*index) else { continue };
        // Who was believed dead and was not says what he has handed on, so that it is not handed on
        // once more; of what he could not do another one knows more by now.
        let counts = match attempt {
            Attempt::Delivered { .. } => recipient.progress.is_open(),
            Attempt::Deferred(_) | Attempt::Failed(_) => {
                is_ours && recipient.progress == Progress::InProgress
            }
        };
        if !counts {
            continue;
        }
        has_changed = true;
        let action = settle(recipient, attempt, moment);
        if let Some(action) = action.filter(|_| may_tell) {
            let reply = recipient.reply.clone();
            told.push(Told { index: *index, action, reply });
        }
    }
    if !has_changed {
        return Err(Refusal::NotClaimed);
    }
    if after.in_progress().next().is_none() {
        after.claim = None;
    }
    told.sort_by_key(|told| told.index);
    let notice = (!told.is_empty()).then_some(Notice { told });
    let after = Box::new(after);
    let after = if after.is_open() { After::Kept(after) } else { After::Done(after) };
    Ok(Decision { after, notice })
}

/// What an attempt means for its recipient, and what the sender is to be told of it.
fn settle(
    recipient: &mut QueuedRecipient,
    attempt: &Attempt,
    moment: &Moment<'_>,
) -> Option<Action> {
    recipient.attempts = recipient.attempts.saturating_add(1);
    let notify = recipient.to.notify;
    match attempt {
        Attempt::Delivered { to, reply } => {
            recipient.progress = Progress::Delivered;
            recipient.reply = reply.clone().map(Reply::bounded);
            let action = match to {
                Handover::Mailbox => Action::Delivered,
                Handover::Relay => Action::Relayed,
                Handover::NotifyingRelay => return None,
            };
            notify.wants_success().then_some(action)
        }
        Attempt::Failed(reply) => {
            recipient.progress = Progress::Failed;
            recipient.reply = Some(reply.clone().bounded());
            notify.wants_failure().then_some(Action::Failed)
        }
        Attempt::Deferred(reply) => {
            recipient.reply = Some(reply.clone().bounded());
            defer(recipient, moment)
        }
    }
}

fn defer(recipient: &mut QueuedRecipient, moment: &Moment<'_>) -> Option<Action> {
    let Moment { now, schedule, jitter } = *moment;
    // A clock that has jumped counts as one planned wait; one that was set back as none.
    let planned = recipient.next.saturating_sub(recipient.since).max(0);
    let passed = now.saturating_sub(recipient.since).clamp(0, planned + LATE_SECS_MAX);
    recipient.waited_secs = recipient.waited_secs.saturating_add(passed);
    let notify = recipient.to.notify;
    let left = schedule.give_up_secs - recipient.waited_secs;
    if left <= 0 {
        recipient.progress = Progress::Expired;
        return notify.wants_failure().then_some(Action::Expired);
    }
    // The last attempt is made when the time is up, and not long after.
    let delay = schedule.delay(recipient.attempts, jitter).min(left.max(LAST_SECS_MIN));
    recipient.progress = Progress::Waiting;
    recipient.since = now;
    recipient.next = now.saturating_add(delay);
    let is_late = recipient.waited_secs >= schedule.warn_secs && !recipient.warned;
    if !is_late || !notify.wants_delay() {
        return None;
    }
    recipient.warned = true;
    Some(Action::Delayed { until: now.saturating_add(left) })
}

fn retry(entry: &Entry, now: i64) -> Entry {
    let mut after = Entry { hold: Hold::No, ..entry.clone() };
    for recipient in after.recipients.iter_mut().filter(|r| r.progress == Progress::Waiting) {
        // What it has waited so far is counted now: the plan that it was measured by ends.
        let planned = recipient.next.saturating_sub(recipient.since).max(0);
        let passed = now.saturating_sub(recipient.since).clamp(0, planned);
        recipient.waited_secs = recipient.waited_secs.saturating_add(passed);
        (recipient.since, recipient.next) = (now, now);
    }
    after
}

/// Whether the clock that made the plans of this entry was ahead of this one, and what then.
fn set_back(entry: &Entry, now: i64, schedule: &Schedule) -> Result<Entry, Refusal> {
    let latest = now.saturating_add(schedule.delay_max());
    let mut after = entry.clone();
    let mut has_changed = false;
    // What was stopped, or is not wanted yet, is not late.
    if entry.hold == Hold::No {
        for recipient in after.recipients.iter_mut().filter(|r| r.progress == Progress::Waiting) {
            if recipient.next > latest {
                (recipient.since, recipient.next) = (now, now);
                has_changed = true;
            }
        }
    }
    if has_changed { Ok(after) } else { Err(Refusal::NotDue) }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claimed => "an attempt is under way",
            Self::NotClaimed => "the attempt was taken over",
            Self::NotDue => "nothing is due",
            Self::Held => "it is held",
            Self::NotYours => "somebody else has sent it",
            Self::HasLeft => "it has left",
        })
    }
}

/// How much later than planned an attempt may be and count in full: a queue that was busy.
const LATE_SECS_MAX: i64 = 3600;

/// What is left before giving up is never less than this.
const LAST_SECS_MIN: i64 = 60;
