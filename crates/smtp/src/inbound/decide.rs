//! What becomes of a message, from all that was found out about it. No waiting, no asking.

use mail_service::Verdict;
use sender_auth::Decision;
use smtp_session::Reply;

use super::answer::{Action, FilterVerdict};
use super::sender::SenderResult;

/// What was found out about a message so far.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// What SPF, DKIM, DMARC and ARC say together.
    pub(crate) sender: Option<SenderResult>,
    /// Block lists that have the client and only make its mail junk.
    pub(crate) listed: Vec<String>,
    /// What the content filter says; `Err` if it said nothing that can be understood.
    pub(crate) filter: Option<Result<FilterVerdict, NoVerdict>>,
}

/// The content filter did not say what it thinks. Why is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoVerdict;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is delivered; as junk if there is a reason.
    Deliver { junk: Vec<String> },
    /// The same, if the filter's wish to greylist it is satisfied.
    Greylist { junk: Vec<String> },
    /// It is not taken.
    Refuse(Reply),
}

impl Outcome {
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refuse(_))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Deliver { junk } | Self::Greylist { junk } if !junk.is_empty() => Verdict::Junk,
            _ => Verdict::Wanted,
        }
    }
}

/// A refusal for ever comes before one for now, and that before junk: who is told to come again for
/// nothing has been promised something.
pub(crate) fn decide(evidence: &Evidence) -> Outcome {
    let mut junk = Vec::new();
    let mut later = None;
    if let Some(SenderResult { decision, reason, .. }) = &evidence.sender {
        match decision {
            Decision::Reject => return Outcome::Refuse(NOT_AUTHENTIC),
            Decision::Defer => later = Some(UNKNOWN_SENDER),
            Decision::Quarantine => junk.push(reason.clone()),
            Decision::Accept => {}
        }
    }
    junk.extend(evidence.listed.iter().map(|zone| format!("the client is listed by {zone}")));
    let mut is_greylisted = false;
    match &evidence.filter {
        // Mail that was not filtered is never taken for mail that was.
        Some(Err(NoVerdict)) => later = later.or(Some(NO_FILTER)),
        Some(Ok(FilterVerdict { action, score, .. })) => match action {
            Action::Reject => return Outcome::Refuse(UNWANTED),
            Action::Later => later = later.or(Some(LATER)),
            Action::Greylist => is_greylisted = true,
            Action::Junk => junk.push(match score {
                Some(score) => format!("the content filter gives it {score:.2}"),
                None => "the content filter says so".to_owned(),
            }),
            Action::Accept => {}
        },
        None => {}
    }
    match later {
        Some(reply) => Outcome::Refuse(reply),
        None if is_greylisted => Outcome::Greylist { junk },
        None => Outcome::Deliver { junk },
    }
}

/// DMARC. RFC 7372 §3.3
const NOT_AUTHENTIC: Reply =
    Reply::new(550, "5.7.26", "The sender is not authentic, and mail like that is not taken");

/// RFC 7489 §6.6.2: what could not be looked up may be known later.
pub(crate) const UNKNOWN_SENDER: Reply =
    Reply::new(451, "4.7.24", "Whether the sender is authentic cannot be found out now");

const UNWANTED: Reply = Reply::new(550, "5.7.1", "Refused because of its content");

const LATER: Reply = Reply::new(451, "4.7.1", "Not now, try again later");

const NO_FILTER: Reply = Reply::new(451, "4.7.1", "Mail cannot be filtered now, try again later");

#[cfg(test)]
mod tests {
    use super::super::answer::Edits;
    use super::*;

    fn filter(action: Action) -> Option<Result<FilterVerdict, NoVerdict>> {
        Some(Ok(FilterVerdict { action, score: Some(7.25), edits: Edits::default() }))
    }

    fn status(evidence: &Evidence) -> &'static str {
        match decide(evidence) {
            Outcome::Refuse(reply) => reply.status,
            Outcome::Greylist { .. } => "greylist",
            outcome if outcome.verdict() == Verdict::Junk => "junk",
            _ => "wanted",
        }
    }

    fn sender(decision: Decision) -> Option<SenderResult> {
        let reason = "p=quarantine".to_owned();
        Some(SenderResult { decision, reason, ..SenderResult::default() })
    }

    #[test]
    fn every_pair_of_sender_and_filter_has_its_outcome() {
        let decisions = [Decision::Accept, Decision::Quarantine, Decision::Defer, Decision::Reject];
        let filters = [
            filter(Action::Accept),
            filter(Action::Greylist),
            filter(Action::Junk),
            filter(Action::Later),
            Some(Err(NoVerdict)),
            filter(Action::Reject),
        ];
        let expected = [
            ["wanted", "greylist", "junk", "4.7.1", "4.7.1", "5.7.1"],
            ["junk", "greylist", "junk", "4.7.1", "4.7.1", "5.7.1"],
            ["4.7.24", "4.7.24", "4.7.24", "4.7.24", "4.7.24", "5.7.1"],
            ["5.7.26"; 6],
        ];
        for (decision, row) in decisions.into_iter().zip(expected) {
            for (filter, expected) in filters.iter().zip(row) {
                let sender = sender(decision);
                let evidence = Evidence { sender, filter: filter.clone(), listed: Vec::new() };
                assert_eq!(status(&evidence), expected, "{evidence:?}");
            }
        }
    }

    #[test]
    fn s098_a_filter_that_says_nothing_never_lets_mail_in() {
        for sender in [None, sender(Decision::Accept)] {
            let evidence = Evidence { sender, filter: Some(Err(NoVerdict)), listed: Vec::new() };
            assert!(matches!(decide(&evidence), Outcome::Refuse(reply) if reply.code == 451));
        }
    }

    #[test]
    fn every_reason_is_told() {
        let evidence = Evidence {
            sender: sender(Decision::Quarantine),
            listed: vec!["list.example".to_owned()],
            filter: filter(Action::Junk),
        };
        let Outcome::Deliver { junk } = decide(&evidence) else { panic!("refused") };
        let expected = [
            "p=quarantine",
            "the client is listed by list.example",
            "the content filter gives it 7.25",
        ];
        assert_eq!(junk, expected);
    }
}
