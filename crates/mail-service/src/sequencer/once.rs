//! Operations that are done once, whoever asks for them how often.
//!
//! Such an operation writes a mark with what it does. That there is no mark yet is looked up after
//! the state was read on which the operation is decided. Every commit is conditional on the head of
//! that state or on one that this process built on it, so nobody else can have written the mark in
//! between when the commit succeeds. What this process itself has in flight is known.
//!
//! A mark that stands for something that is no more may be ignored by its exact value: a newer one
//! that somebody has written meanwhile still counts.

use std::collections::VecDeque;

use super::Sequencer;
use crate::error::ServiceError;
use crate::limits::OPERATIONS_PER_COMMIT_MAX;
use crate::open::{Pending, Request};

impl Sequencer {
    /// Looks up the marks of the operations that come next, and answers those that were done.
    /// `false` if what is in flight has to be known first.
    pub(super) async fn settle_marks(&mut self) -> Result<bool, ServiceError> {
        let loads = self.loads;
        let next = self.backlog.iter().map_while(|request| match request {
            Request::Operation(pending) => Some(pending),
            _ => None,
        });
        let unknown = |pending: &Pending| {
            let once = pending.once.as_ref()?;
            (once.absent_since != Some(loads)).then(|| once.key.clone())
        };
        let keys: Vec<_> = next.take(OPERATIONS_PER_COMMIT_MAX).filter_map(unknown).collect();
        if keys.is_empty() {
            return Ok(true);
        }
        let in_flight = self.in_flight.iter().flat_map(|batch| &batch.decided);
        let mut marks = in_flight.filter_map(|(pending, _)| pending.once.as_ref());
        if marks.any(|once| keys.contains(&once.key)) {
            return Ok(false);
        }
        let found = {
            let keys = keys.clone();
            self.shared
                .read(move |view| {
                    let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                    Ok(view.get_many(&wanted)?)
                })
                .await?
        };
        let mut found = keys.into_iter().zip(found).peekable();
        let mut rest = VecDeque::with_capacity(self.backlog.len());
        for mut request in std::mem::take(&mut self.backlog) {
            if let Request::Operation(pending) = &mut request
                && let Some(once) = &mut pending.once
                && let Some((_, mark)) = found.next_if(|(key, _)| *key == once.key)
            {
                if mark.is_some_and(|mark| once.ignored.as_ref() != Some(&mark)) {
                    self.tell_done(request);
                    continue;
                }
                once.absent_since = Some(loads);
            }
            rest.push_back(request);
        }
        self.backlog = rest;
        Ok(true)
    }

    fn tell_done(&self, request: Request) {
        if let Request::Operation(pending) = request {
            let done = (self.durable.0.clone(), mailbox::Outcome::Done);
            let _ = pending.answer.send(Ok(done));
        }
    }
}

/// Whether an operation cannot be decided yet, because its mark has to be looked for first.
pub(super) fn must_wait(pending: &Pending, loads: u64) -> bool {
    pending.once.as_ref().is_some_and(|once| once.absent_since != Some(loads))
}

/// An operation with a mark was decided: what was known of the same mark is known no longer, for
/// all that wait and not only for the next of them.
pub(super) fn note_decided(decided: &Pending, backlog: &mut VecDeque<Request>) {
    let Some(mark) = &decided.once else { return };
    for request in backlog {
        if let Request::Operation(pending) = request
            && let Some(once) = &mut pending.once
            && once.key == mark.key
        {
            once.absent_since = None;
        }
    }
}
