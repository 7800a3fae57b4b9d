//! One writer for each account: decides operations in order, many to a commit.
//!
//! The task drains its queue, decides each operation against a tentative state, and submits one
//! commit for all of them under the condition that the head of the account is still the one they
//! were decided on. While that commit is on its way to the disk it decides the next batch on top of
//! it. A state is published, and answers are given, only when the commit is durable.
//!
//! When a commit fails, all that were built on it fail too, because each head carries a mark that
//! no other commit has. Then the task reads what the store holds and decides again what was not
//! done.
//!
//! With [`Sharing::Shared`] other processes write as well, and two things are added. What changes
//! nothing commits nothing, so that it was decided on the newest state has to be looked up before
//! it is answered. And an answer of the store may be lost with the connection: the marks in the
//! head tell whether the commit happened.

mod batch;
mod once;
mod read;
mod recover;

use std::collections::VecDeque;
use std::sync::Arc;

use mail_types::AccountId;
use mailbox::{Account, Outcome, Refusal};
use store::limits::RECHECK_INTERVAL;
use store::{StoreError, Watch};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::rows::HeadRow;
use crate::contents::Pins;
use crate::error::ServiceError;
use crate::keys::AccountKeys;
use crate::limits::{COMMITS_IN_FLIGHT_MAX, Sharing, WAITING_OPERATIONS_MAX};
use crate::open::{OpenAccount, Pending, Request, follow};
use crate::service::Shared;
use crate::thread::RecentThreads;

struct Batch {
    number: u64,
    after: Account,
    row: HeadRow,
    decided: Vec<(Pending, Result<Outcome, Refusal>)>,
    result: Option<Result<(), StoreError>>,
}

/// A state and the head row that goes with it.
pub(crate) type State = (Account, HeadRow);

pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    id: AccountId,
    keys: AccountKeys,
    published: Arc<watch::Sender<Account>>,
    pins: Arc<Pins>,
    queue: mpsc::Receiver<Request>,
    done: mpsc::UnboundedReceiver<(u64, Result<(), StoreError>)>,
    done_sender: mpsc::UnboundedSender<(u64, Result<(), StoreError>)>,
    durable: State,
    /// What the account will be when all commits in flight have succeeded.
    tentative: State,
    in_flight: VecDeque<Batch>,
    backlog: VecDeque<Request>,
    recent_threads: RecentThreads,
    /// Random in the upper half, counted in the lower: no two commits have the same.
    mark: u128,
    batches: u64,
    /// How often the state was read from the store.
    loads: u64,
    /// A commit's outcome is not known or a reload failed: read the store before going on.
    is_stale: bool,
    is_closing: bool,
    /// Whom hints are for, to ask for them again where the account has moved to.
    hinted: mpsc::WeakSender<Request>,
    hints: Option<Watch>,
    /// The account was seen being moved.
    has_moved: bool,
}

impl Sequencer {
    /// A sequencer for an account that was just read; `seed` is random.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        open: &OpenAccount,
        queue: mpsc::Receiver<Request>,
        state: State,
        seed: [u8; 8],
    ) -> Self {
        let (done_sender, done) = mpsc::unbounded_channel();
        Self {
            shared: Arc::clone(shared),
            id: open.id(),
            keys: open.keys().clone(),
            published: Arc::clone(open.published()),
            pins: Arc::clone(open.pins()),
            queue,
            done,
            done_sender,
            durable: state.clone(),
            tentative: state,
            in_flight: VecDeque::new(),
            backlog: VecDeque::new(),
            recent_threads: RecentThreads::default(),
            mark: u128::from(u64::from_be_bytes(seed)) << 64,
            batches: 0,
            loads: 0,
            is_stale: false,
            is_closing: false,
            hints: follow(shared, open.keys(), &open.hinted()),
            hinted: open.hinted(),
            has_moved: false,
        }
    }

    /// Works until all handles of the account are gone, or the account is.
    pub(crate) async fn run(mut self) {
        loop {
            self.wait().await;
            self.take_waiting();
            self.settle().await;
            if let Err(error) = self.advance().await {
                self.fail(&error);
                if error == ServiceError::NoSuchAccount {
                    // Whoever follows the account finds that it has nothing any more.
                    self.published.send_replace(Account::empty());
                    break;
                }
            }
            let is_idle = self.in_flight.is_empty() && self.backlog.is_empty();
            if self.is_closing && is_idle {
                break;
            }
        }
        self.queue.close();
        self.shared.contents.closed(self.id);
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        let has_room = self.backlog.len() < WAITING_OPERATIONS_MAX && !self.is_closing;
        tokio::select! {
            biased;
            Some((number, result)) = self.done.recv(), if !self.in_flight.is_empty() => {
                self.note_result(number, result);
            }
            request = self.queue.recv(), if has_room => match request {
                Some(request) => self.backlog.push_back(request),
                None => self.is_closing = true,
            },
            // Hints may be lost.
            () = tokio::time::sleep(RECHECK_INTERVAL), if self.is_followed() => {
                self.backlog.push_back(Request::Hint);
            }
            else => {}
        }
    }

    /// Whether somebody waits for what others write.
    fn is_followed(&self) -> bool {
        self.shared.config.sharing == Sharing::Shared
            && !self.is_closing
            && self.in_flight.is_empty()
            && self.published.receiver_count() > 0
    }

    /// Takes what else has come meanwhile, without waiting.
    fn take_waiting(&mut self) {
        while let Ok((number, result)) = self.done.try_recv() {
            self.note_result(number, result);
        }
        while self.backlog.len() < WAITING_OPERATIONS_MAX {
            match self.queue.try_recv() {
                Ok(request) => self.backlog.push_back(request),
                Err(_) => break,
            }
        }
    }

    fn note_result(&mut self, number: u64, result: Result<(), StoreError>) {
        if let Some(batch) = self.in_flight.iter_mut().find(|batch| batch.number == number) {
            batch.result = Some(result);
        }
    }

    /// Publishes and answers what has become durable, in order.
    async fn settle(&mut self) {
        while let Some(batch) = self.in_flight.front() {
            match &batch.result {
                None => return,
                Some(Ok(())) => self.accept(),
                Some(Err(_)) => {
                    // Those after it were built on it: wait until they have failed as well.
                    if self.in_flight.iter().all(|batch| batch.result.is_some()) {
                        self.recover().await;
                    }
                    return;
                }
            }
        }
    }

    fn accept(&mut self) {
        let Some(batch) = self.in_flight.pop_front() else { return };
        self.durable = (batch.after, batch.row);
        self.publish();
        for (pending, decided) in batch.decided {
            let answer = decided.map_err(ServiceError::from);
            let account = self.durable.0.clone();
            // Whoever asked may have gone away; the change stands.
            let _ = pending.answer.send(answer.map(|outcome| (account, outcome)));
        }
    }

    fn publish(&self) {
        self.published.send_if_modified(|known| {
            let is_new = known.modseq() != self.durable.0.modseq();
            *known = self.durable.0.clone();
            is_new
        });
    }

    /// Answers everything that waits with an error.
    fn fail(&mut self, error: &ServiceError) {
        for request in self.backlog.drain(..) {
            match request {
                Request::Operation(pending) => {
                    // It may have happened: that nothing changed would be too much said.
                    let is_known = pending.unsure.is_empty();
                    let error = if is_known { error } else { &ServiceError::WriteRefused };
                    drop(pending.answer.send(Err(error.clone())));
                }
                Request::Load { answer, .. } | Request::Refresh { answer } => {
                    drop(answer.send(Err(error.clone())));
                }
                Request::Unload { .. } | Request::Hint => {}
            }
        }
    }

    /// Works on the backlog as far as the commits in flight allow.
    ///
    /// # Errors
    /// If the store cannot be read: then everything that waits fails.
    async fn advance(&mut self) -> Result<(), ServiceError> {
        if self.is_stale {
            if !self.in_flight.is_empty() {
                return Ok(());
            }
            self.reload().await?;
            self.answer_unsure();
        }
        while let Some(request) = self.backlog.front() {
            match request {
                Request::Operation(_) => {
                    if self.in_flight.len() >= COMMITS_IN_FLIGHT_MAX {
                        return Ok(());
                    }
                    if !self.advance_operations().await? {
                        return Ok(());
                    }
                }
                Request::Unload { mailbox } => {
                    let mailbox = *mailbox;
                    self.backlog.pop_front();
                    self.unload(mailbox);
                }
                // If what is in flight succeeds, nobody else has written; if not, it is read
                // anyway.
                Request::Hint if !self.in_flight.is_empty() => {
                    self.backlog.pop_front();
                }
                // What is read from the store must be the state that it is put into.
                Request::Load { .. } | Request::Refresh { .. } | Request::Hint => {
                    if !self.in_flight.is_empty() {
                        return Ok(());
                    }
                    if let Some(request) = self.backlog.pop_front() {
                        self.answer_barrier(request).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// `NoSuchAccount`: nothing else can be done for anybody.
    async fn answer_barrier(&mut self, request: Request) -> Result<(), ServiceError> {
        let (result, answer) = match request {
            Request::Load { mailbox, answer } => (self.load(mailbox).await, Some(answer)),
            Request::Refresh { answer } => {
                let others = self.waiting_refreshes();
                let result = self.refresh().await;
                for answer in others {
                    let state = || self.durable.0.clone();
                    let _ = answer.send(result.clone().map(|()| state()));
                }
                (result, Some(answer))
            }
            Request::Hint => (self.refresh().await, None),
            Request::Operation(_) | Request::Unload { .. } => return Ok(()),
        };
        if let Err(error) = &result {
            tracing::warn!(account = %self.id, %error, "could not read the account");
        }
        let is_gone = result == Err(ServiceError::NoSuchAccount);
        if let Some(answer) = answer {
            let _ = answer.send(result.map(|()| self.durable.0.clone()));
        }
        if is_gone { Err(ServiceError::NoSuchAccount) } else { Ok(()) }
    }

    /// Whoever asked for a look before it is made is answered by the same look.
    fn waiting_refreshes(&mut self) -> Vec<oneshot::Sender<Result<Account, ServiceError>>> {
        let mut waiting = Vec::new();
        while let Some(Request::Refresh { .. } | Request::Hint) = self.backlog.front() {
            if let Some(Request::Refresh { answer }) = self.backlog.pop_front() {
                waiting.push(answer);
            }
        }
        waiting
    }
}
