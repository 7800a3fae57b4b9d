//! What becomes of operations whose commit failed, or whose outcome is not known.

use std::collections::VecDeque;

use mailbox::{Outcome, Refusal};
use store::StoreError;

use super::{Batch, Sequencer};
use crate::error::ServiceError;
use crate::limits::{ATTEMPTS_MAX, BUSY_PAUSE, Sharing};
use crate::open::{Pending, Request, Unsure};

/// What a failed commit means for what was in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A commit that was built on it succeeded, so it did too.
    Done,
    /// Nothing was written; decide again.
    Again,
    /// It may have happened; the head will tell.
    Unsure,
    /// It cannot be done, or cannot be told.
    Failed,
}

impl Sequencer {
    /// After a failed commit: goes back to what the store holds, answers what cannot be done and
    /// puts the rest back into the queue, in order.
    pub(super) async fn recover(&mut self) {
        let failed: Vec<Batch> = self.in_flight.drain(..).collect();
        self.is_stale = true;
        self.recent_threads.clear();
        let must_wait = |result: &StoreError| {
            matches!(result, StoreError::Busy | StoreError::Unavailable { .. })
        };
        let is_busy =
            failed.iter().any(|batch| matches!(&batch.result, Some(Err(e)) if must_wait(e)));
        let mut again = VecDeque::new();
        for mut batch in failed {
            for (mut pending, decided) in std::mem::take(&mut batch.decided) {
                pending.attempts += 1;
                let mut verdict = self.verdict(&batch, &pending);
                if verdict == Verdict::Unsure {
                    verdict = self.note_unsure(&batch, &mut pending, &decided);
                }
                if verdict == Verdict::Again && pending.attempts < ATTEMPTS_MAX {
                    again.push_back(Request::Operation(pending));
                    continue;
                }
                let answer = match &batch.result {
                    Some(Ok(())) => decided.map_err(ServiceError::from),
                    _ if !pending.unsure.is_empty() => Err(ServiceError::WriteRefused),
                    Some(Err(StoreError::Conflict { .. })) | None => Err(ServiceError::Busy),
                    Some(Err(error)) => Err(error.clone().into()),
                };
                let account = batch.after.clone();
                let _ = pending.answer.send(answer.map(|outcome| (account, outcome)));
            }
        }
        again.append(&mut self.backlog);
        self.backlog = again;
        self.tentative = self.durable.clone();
        if is_busy {
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }

    fn verdict(&self, batch: &Batch, pending: &Pending) -> Verdict {
        match &batch.result {
            Some(Ok(())) => Verdict::Done,
            Some(Err(StoreError::Conflict { .. } | StoreError::Busy)) => Verdict::Again,
            // Another node's sweep took the bytes; those who did not bring them try again.
            Some(Err(StoreError::BlobMissing { id })) => {
                let brought = pending.staged.iter().flat_map(|row| &row.leases);
                let is_ours = brought.into_iter().any(|lease| lease.id() == *id);
                if is_ours { Verdict::Failed } else { Verdict::Again }
            }
            // Alone, the engine takes no more commits until it is opened again, and what it holds
            // until then says nothing about what is on the disk.
            Some(Err(StoreError::WriteRefused { .. })) => match self.shared.config.sharing {
                Sharing::Exclusive => Verdict::Failed,
                Sharing::Shared => Verdict::Unsure,
            },
            Some(Err(StoreError::OutcomeUnknown { .. })) => Verdict::Unsure,
            // Nothing was written, but the way to the store is gone: the reload says so to all.
            Some(Err(StoreError::Unavailable { .. })) => Verdict::Again,
            Some(Err(_)) | None => Verdict::Failed,
        }
    }

    /// Remembers by what it can be told whether the commit happened.
    fn note_unsure(
        &self,
        batch: &Batch,
        pending: &mut Pending,
        decided: &Result<Outcome, Refusal>,
    ) -> Verdict {
        // What was refused or changed nothing may be decided again whatever became of the commit.
        if let Ok(outcome) = decided {
            let (mark, base) = (batch.row.mark, self.durable.1.mark);
            pending.unsure.push(Unsure { mark, base, outcome: outcome.clone() });
        }
        Verdict::Again
    }

    /// Answers the operations of which the head, just read, tells that they were done, and those of
    /// which it tells nothing any more.
    ///
    /// One that was not done is decided again, and cannot be done twice: its first commit, should
    /// it still be on its way, is built on the same head as the second, so only one can succeed.
    pub(super) fn answer_unsure(&mut self) {
        let row = self.durable.1;
        let mut rest = VecDeque::with_capacity(self.backlog.len());
        for request in self.backlog.drain(..) {
            let Request::Operation(mut pending) = request else {
                rest.push_back(request);
                continue;
            };
            let done = pending.unsure.iter().position(|unsure| row.follows(unsure.mark));
            if let Some(at) = done {
                let outcome = pending.unsure.swap_remove(at).outcome;
                let _ = pending.answer.send(Ok((self.durable.0.clone(), outcome)));
            } else if pending.unsure.iter().all(|unsure| row.follows(unsure.base)) {
                rest.push_back(Request::Operation(pending));
            } else {
                let _ = pending.answer.send(Err(ServiceError::WriteRefused));
            }
        }
        self.backlog = rest;
    }
}
