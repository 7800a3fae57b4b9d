//! Decided operations as batches: one commit for all that wait.

use mail_types::{MessageId, ThreadId};
use mailbox::{Account, Context, Operation, Outcome, Refusal, apply, decide};
use store::{Expected, Write};
use tokio::runtime::RuntimeFlavor;

use super::once::{must_wait, note_decided};
use super::{Batch, Sequencer};
use crate::commit::{CommitBuilder, Extra, OperationWrites, added_messages};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::limits::{OPERATIONS_PER_COMMIT_MAX, Sharing};
use crate::open::{Once, Pending, Request};
use crate::thread::RecentThreads;

/// Operations with what they come to.
pub(super) type Decided = Vec<(Pending, Result<Outcome, Refusal>)>;

impl Sequencer {
    /// Decides operations and submits them as one commit. `false` if it has to wait for commits in
    /// flight first.
    pub(super) async fn advance_operations(&mut self) -> Result<bool, ServiceError> {
        let Some(Request::Operation(pending)) = self.backlog.front() else { return Ok(true) };
        if let Some(&mailbox) = pending.operation.contents_needed(&self.tentative.0).first() {
            if !self.in_flight.is_empty() {
                return Ok(false);
            }
            match self.load(mailbox).await {
                // Another process has removed it: decided on what was read now, it is refused.
                Ok(()) | Err(ServiceError::NoSuchMailbox) => {}
                // One damaged mailbox must not stop the others.
                Err(error) => self.refuse_front(error),
            }
            return Ok(true);
        }
        if !self.settle_marks().await? {
            return Ok(false);
        }
        match self.submit_batch() {
            Some(decided) => self.answer_unchanged(decided).await,
            None => Ok(true),
        }
    }

    /// Decides what waits and sends its commit; gives back what changes nothing and has no commit
    /// to go with.
    fn submit_batch(&mut self) -> Option<Decided> {
        let keys = self.keys.clone();
        let mut builder = CommitBuilder::new(&keys);
        let mut after = self.tentative.0.clone();
        let mut decided = Vec::new();
        while decided.len() < OPERATIONS_PER_COMMIT_MAX {
            let Some(Request::Operation(pending)) = self.backlog.front_mut() else { break };
            let is_ready = pending.operation.contents_needed(&after).is_empty();
            if !is_ready || must_wait(pending, self.loads) {
                break;
            }
            let context = Context { now: self.shared.world.clock.now_secs() };
            choose_threads(&self.recent_threads, pending, after.head().next_message);
            match in_place(weight(&after, &pending.operation), || {
                step(&keys, &after, pending, &context)
            }) {
                Step::Same(result) => {
                    if let Some(pending) = self.pop_operation() {
                        decided.push((pending, result));
                    }
                }
                Step::Changed { next, outcome, writes } => {
                    if !builder.has_room(&writes) {
                        if !decided.is_empty() {
                            break;
                        }
                        self.refuse_front(ServiceError::ChangeTooLarge);
                        continue;
                    }
                    let Some(pending) = self.pop_operation() else { break };
                    note_threads(&mut self.recent_threads, &pending);
                    note_decided(&pending, &mut self.backlog);
                    builder.add(writes);
                    after = *next;
                    decided.push((pending, Ok(outcome)));
                }
                Step::Failed(error) => self.refuse_front(error),
            }
        }
        if after.modseq() == self.tentative.0.modseq() {
            return Some(decided);
        }
        self.send_batch(builder, after, decided);
        None
    }

    fn send_batch(&mut self, builder: CommitBuilder<'_>, after: Account, decided: Decided) {
        self.batches += 1;
        let mark = self.mark | u128::from(self.batches);
        let row = self.tentative.1.next(*after.head(), mark, self.shared.config.sharing);
        let before = Expected::Value(self.tentative.1.encode());
        let commit = builder.finish(before, &after, &row);
        self.tentative = (after.clone(), row);
        let number = self.batches;
        self.in_flight.push_back(Batch { number, after, row, decided, result: None });
        let done = self.done_sender.clone();
        // The receiver is gone only when the sequencer is, and with it all who wait.
        let answer = move |result: Result<_, _>| drop(done.send((number, result.map(drop))));
        self.shared.store.commit(commit, Box::new(answer));
    }

    /// Answers what changes nothing. `false` if it has to wait for commits in flight first.
    async fn answer_unchanged(&mut self, decided: Decided) -> Result<bool, ServiceError> {
        if self.shared.config.sharing == Sharing::Exclusive {
            // The answers depend on what is in flight and are given after it.
            match self.in_flight.back_mut() {
                Some(batch) => batch.decided.extend(decided),
                None => self.tell_unchanged(decided),
            }
            return Ok(true);
        }
        // Another process may have changed what this was decided on: a flag that is set here may
        // have been removed there, and then there is something to do.
        if !self.in_flight.is_empty() {
            self.put_back(decided);
            return Ok(false);
        }
        let known = self.durable.1;
        if let Err(error) = self.refresh().await {
            self.put_back(decided);
            return Err(error);
        }
        if self.durable.1 == known {
            self.tell_unchanged(decided);
        } else {
            self.put_back(decided);
        }
        Ok(true)
    }

    fn put_back(&mut self, decided: Decided) {
        for (pending, _) in decided.into_iter().rev() {
            self.backlog.push_front(Request::Operation(pending));
        }
    }

    fn tell_unchanged(&self, decided: Decided) {
        for (pending, result) in decided {
            let account = self.durable.0.clone();
            let answer = result.map(|outcome| (account, outcome)).map_err(ServiceError::from);
            let _ = pending.answer.send(answer);
        }
    }

    fn pop_operation(&mut self) -> Option<Pending> {
        match self.backlog.pop_front() {
            Some(Request::Operation(pending)) => Some(pending),
            Some(other) => {
                self.backlog.push_front(other);
                None
            }
            None => None,
        }
    }

    fn refuse_front(&mut self, error: ServiceError) {
        if let Some(pending) = self.pop_operation() {
            // An earlier attempt may have happened: that nothing changed would be too much said.
            let error = if pending.unsure.is_empty() { error } else { ServiceError::WriteRefused };
            let _ = pending.answer.send(Err(error));
        }
    }
}

/// What one operation does to a state.
enum Step {
    /// Nothing, with this to tell.
    Same(Result<Outcome, Refusal>),
    /// This.
    Changed { next: Box<Account>, outcome: Outcome, writes: OperationWrites },
    /// It cannot be told: stored state contradicts itself.
    Failed(ServiceError),
}

fn step(keys: &AccountKeys, before: &Account, pending: &Pending, context: &Context) -> Step {
    let decision = match decide(before, &pending.actor, &pending.operation, context) {
        Ok(decision) => decision,
        Err(refusal) => return Step::Same(Err(refusal)),
    };
    let Some(entry) = decision.entry else { return Step::Same(Ok(decision.outcome)) };
    let next = match apply(before, &entry) {
        Ok(next) => Box::new(next),
        Err(corruption) => return Step::Failed(corruption.into()),
    };
    let mut extra = Extra::default();
    let mark = |once: &Once| Write::put(&*once.key, once.value.of(&decision.outcome));
    extra.writes.extend(pending.once.as_deref().map(mark));
    for (staged, (message, thread)) in pending.staged.iter().zip(added_messages(&entry)) {
        let row = Write::put(keys.key(&AccountKey::Message(message)), staged.row(thread).encode());
        extra.writes.push(row);
        extra.writes.extend(staged.threads.writes(keys, thread));
        extra.leases.extend(staged.leases.iter().cloned());
    }
    match OperationWrites::new(keys, before, &next, &entry, extra) {
        Ok(writes) => Step::Changed { next, outcome: decision.outcome, writes },
        Err(error) => Step::Failed(error),
    }
}

/// How many messages an operation touches, at most.
fn weight(account: &Account, operation: &Operation) -> u64 {
    let (mailbox, uids) = match operation {
        Operation::AddMessages { messages, .. } => return messages.len() as u64,
        Operation::SetFlags { mailbox, uids, .. }
        | Operation::Expunge { mailbox, uids }
        | Operation::Copy { from: mailbox, uids, .. }
        | Operation::Move { from: mailbox, uids, .. } => (mailbox, uids.len()),
        _ => return 0,
    };
    let messages = account.mailbox(*mailbox).map_or(0, |m| m.record().counts.messages);
    uids.min(u64::from(messages))
}

/// Runs work of some weight. What takes long must not hold up the other tasks of this thread: a
/// STORE on 100,000 messages takes a tenth of a second.
fn in_place<T>(weight: u64, work: impl FnOnce() -> T) -> T {
    let is_heavy = weight > LIGHT_MESSAGES_MAX;
    let runtime = tokio::runtime::Handle::current();
    if is_heavy && runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
        return tokio::task::block_in_place(work);
    }
    work()
}

/// Puts the messages into the conversations that are known by now; one that starts a conversation
/// gives it its own number, so that those after it in the same operation can join.
fn choose_threads(recent: &RecentThreads, pending: &mut Pending, next: MessageId) {
    let messages = match &mut pending.operation {
        Operation::AddMessages { messages, .. } => messages.as_mut_slice(),
        Operation::Replace { message, .. } => std::slice::from_mut(message),
        _ => return,
    };
    let mut before = RecentThreads::default();
    for ((number, message), staged) in (next.get()..).zip(messages).zip(&pending.staged) {
        let known = recent.choose(&staged.threads, staged.found_thread);
        let thread = before.choose(&staged.threads, known).unwrap_or(ThreadId(number));
        before.note(&staged.threads, thread);
        message.thread = Some(thread);
    }
}

/// Remembers the conversations of messages that are not in the store yet.
fn note_threads(recent: &mut RecentThreads, pending: &Pending) {
    let messages = match &pending.operation {
        Operation::AddMessages { messages, .. } => messages.as_slice(),
        Operation::Replace { message, .. } => std::slice::from_ref(message),
        _ => return,
    };
    for (staged, message) in pending.staged.iter().zip(messages) {
        if let Some(thread) = message.thread {
            recent.note(&staged.threads, thread);
        }
    }
}

/// Messages that an operation may touch where it is decided: some milliseconds.
const LIGHT_MESSAGES_MAX: u64 = 2000;
