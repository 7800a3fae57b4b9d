//! One writer for each account: decides operations in order, many to a commit.
//!
//! The task drains its queue, decides each operation against a tentative state, and submits one
//! commit for all of them under the condition that the head of the account is still the one they
//! were decided on. While that commit is on its way to the disk it decides the next batch on top of
//! it. A state is published, and answers are given, only when the commit is durable.
//!
//! When a commit fails, all that were built on it fail too, because each head carries a mark that no
//! other commit has. Then the task reads what the store holds and decides again what was not done.

use std::collections::VecDeque;
use std::sync::Arc;

use mail_types::{AccountId, MailboxId, MessageId, ThreadId};
use mailbox::{Account, Context, Operation, Outcome, Refusal, apply, decide};
use store::{Expected, StoreError, Watch, Write};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::rows::HeadRow;
use crate::commit::{CommitBuilder, Extra, OperationWrites, added_messages};
use crate::contents::Pins;
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::limits::{
    ATTEMPTS_MAX, BUSY_PAUSE, COMMITS_IN_FLIGHT_MAX, OPERATIONS_PER_COMMIT_MAX, Sharing,
    WAITING_OPERATIONS_MAX,
};
use crate::loader::{load_account, load_contents, load_head};
use crate::log::catch_up;
use crate::service::Shared;
use crate::staging::StagedRow;
use crate::thread::RecentThreads;

/// What the handles of an account and its sequencer share.
pub(crate) struct OpenAccount {
    id: AccountId,
    keys: AccountKeys,
    published: Arc<watch::Sender<Account>>,
    pins: Arc<Pins>,
    requests: mpsc::Sender<Request>,
}

/// An answer to whoever submitted an operation.
pub(crate) type Answer = Result<(Account, Outcome), ServiceError>;

enum Request {
    Operation(Pending),
    Load {
        mailbox: MailboxId,
        answer: oneshot::Sender<Result<Account, ServiceError>>,
    },
    Refresh {
        answer: oneshot::Sender<Result<Account, ServiceError>>,
    },
    Unload {
        mailbox: MailboxId,
    },
    /// The store hints that somebody else has written.
    Hint,
}

struct Pending {
    operation: Operation,
    /// For `AddMessages`: the rows of the new messages, in order.
    staged: Vec<Arc<StagedRow>>,
    answer: oneshot::Sender<Answer>,
    attempts: u32,
    /// The account stays open until the answer is given.
    _account: Arc<OpenAccount>,
}

struct Batch {
    number: u64,
    after: Account,
    row: HeadRow,
    decided: Vec<(Pending, Result<Outcome, Refusal>)>,
    result: Option<Result<(), StoreError>>,
}

impl OpenAccount {
    /// Loads the account and starts its sequencer.
    pub(crate) async fn start(
        shared: &Arc<Shared>,
        id: AccountId,
    ) -> Result<Arc<Self>, ServiceError> {
        let keys = AccountKeys::new(id);
        let (account, row) = {
            let keys = keys.clone();
            shared.read(move |view| load_account(view, &keys)).await?
        };
        let mut seed = [0; 8];
        if !shared.world.random.fill(&mut seed) {
            return Err(ServiceError::NoRandomness);
        }
        let (requests, queue) = mpsc::channel(WAITING_OPERATIONS_MAX);
        let (done_sender, done) = mpsc::unbounded_channel();
        let open = Arc::new(Self {
            id,
            keys: keys.clone(),
            published: Arc::new(watch::Sender::new(account.clone())),
            pins: Arc::default(),
            requests,
        });
        let sequencer = Sequencer {
            shared: Arc::clone(shared),
            id,
            keys,
            published: Arc::clone(&open.published),
            pins: Arc::clone(&open.pins),
            queue,
            done,
            done_sender,
            durable: (account.clone(), row),
            tentative: (account, row),
            in_flight: VecDeque::new(),
            backlog: VecDeque::new(),
            recent_threads: RecentThreads::default(),
            mark: u128::from(u64::from_be_bytes(seed)) << 64,
            batches: 0,
            is_stale: false,
            is_closing: false,
            _hints: open.follow(shared),
        };
        tokio::spawn(sequencer.run());
        Ok(open)
    }

    pub(crate) fn id(&self) -> AccountId {
        self.id
    }

    pub(crate) fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// Whether the sequencer still takes requests: it ends when the account is removed.
    pub(crate) fn is_running(&self) -> bool {
        !self.requests.is_closed()
    }

    /// The newest durable state that this process knows.
    pub(crate) fn current(&self) -> Account {
        self.published.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Account> {
        self.published.subscribe()
    }

    /// Has an operation decided and committed.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        operation: Operation,
        staged: Vec<Arc<StagedRow>>,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let _account = Arc::clone(self);
        let pending = Pending { operation, staged, answer, attempts: 0, _account };
        self.send(Request::Operation(pending), answered).await
    }

    /// Loads the contents of a mailbox; the state in the answer has them.
    pub(crate) async fn load(&self, mailbox: MailboxId) -> Result<Account, ServiceError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Load { mailbox, answer }, answered).await
    }

    /// Compares the state with the store.
    pub(crate) async fn refresh(&self) -> Result<Account, ServiceError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Refresh { answer }, answered).await
    }

    /// Lets go of the contents of a mailbox that nobody has selected.
    pub(crate) fn unload(&self, mailbox: MailboxId) {
        // A full queue means that the account is busy: then its contents are in use anyway.
        let _ = self.requests.try_send(Request::Unload { mailbox });
    }

    async fn send<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        // The sequencer goes away when the account is removed, or with the runtime.
        self.requests.send(request).await.map_err(|_| ServiceError::NoSuchAccount)?;
        answered.await.unwrap_or(Err(ServiceError::NoSuchAccount))
    }

    /// Other processes' commits are heard of by hints, if there are other processes.
    fn follow(&self, shared: &Shared) -> Option<Watch> {
        if shared.config.sharing == Sharing::Exclusive {
            return None;
        }
        let head = self.keys.key(&AccountKey::Head);
        let requests = self.requests.downgrade();
        let wake = move || {
            if let Some(requests) = requests.upgrade() {
                // A full queue will be decided soon, and that looks at the head too.
                let _ = requests.try_send(Request::Hint);
            }
        };
        Some(shared.store.watch(&head, Box::new(wake)))
    }
}

/// A state and the head row that goes with it.
type State = (Account, HeadRow);

struct Sequencer {
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
    /// A commit's outcome is not known or a reload failed: read the store before going on.
    is_stale: bool,
    is_closing: bool,
    _hints: Option<Watch>,
}

impl Sequencer {
    async fn run(mut self) {
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
            else => {}
        }
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

    /// After a failed commit: goes back to what the store holds, answers what cannot be done and
    /// puts the rest back into the queue, in order.
    async fn recover(&mut self) {
        let failed: Vec<Batch> = self.in_flight.drain(..).collect();
        self.is_stale = true;
        self.recent_threads.clear();
        let mut again = VecDeque::new();
        let mut is_busy = false;
        for batch in failed {
            let retries = match batch.result {
                Some(Err(StoreError::Conflict { .. })) => true,
                Some(Err(StoreError::Busy)) => {
                    is_busy = true;
                    true
                }
                _ => false,
            };
            for (mut pending, decided) in batch.decided {
                pending.attempts += 1;
                if retries && pending.attempts < ATTEMPTS_MAX {
                    again.push_back(Request::Operation(pending));
                    continue;
                }
                let answer = match &batch.result {
                    // A commit that was built on this one has succeeded, so this one did too.
                    Some(Ok(())) => decided.map_err(ServiceError::from),
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

    /// Answers everything that waits with an error.
    fn fail(&mut self, error: &ServiceError) {
        for request in self.backlog.drain(..) {
            match request {
                Request::Operation(pending) => drop(pending.answer.send(Err(error.clone()))),
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
                // If what is in flight succeeds, nobody else has written; if not, it is read anyway.
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
            Request::Refresh { answer } => (self.refresh().await, Some(answer)),
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

    /// Decides operations and submits them as one commit. `false` if it has to wait for commits in
    /// flight first.
    async fn advance_operations(&mut self) -> Result<bool, ServiceError> {
        let Some(Request::Operation(pending)) = self.backlog.front() else { return Ok(true) };
        if let Some(&mailbox) = pending.operation.contents_needed(&self.tentative.0).first() {
            if !self.in_flight.is_empty() {
                return Ok(false);
            }
            if let Err(error) = self.load(mailbox).await {
                // One damaged mailbox must not stop the others.
                if let Some(Request::Operation(pending)) = self.backlog.pop_front() {
                    let _ = pending.answer.send(Err(error));
                }
            }
            return Ok(true);
        }
        self.submit_batch();
        Ok(true)
    }

    fn submit_batch(&mut self) {
        let keys = self.keys.clone();
        let mut builder = CommitBuilder::new(&keys);
        let mut after = self.tentative.0.clone();
        let mut decided = Vec::new();
        while decided.len() < OPERATIONS_PER_COMMIT_MAX {
            let Some(Request::Operation(pending)) = self.backlog.front_mut() else { break };
            if !pending.operation.contents_needed(&after).is_empty() {
                break;
            }
            let context = Context { now: self.shared.world.clock.now_secs() };
            choose_threads(&self.recent_threads, pending, after.head().next_message);
            match step(&keys, &after, pending, &context) {
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
                    builder.add(writes);
                    after = *next;
                    decided.push((pending, Ok(outcome)));
                }
                Step::Failed(error) => self.refuse_front(error),
            }
        }
        self.send_batch(builder, after, decided);
    }

    fn send_batch(
        &mut self,
        builder: CommitBuilder<'_>,
        after: Account,
        decided: Vec<(Pending, Result<Outcome, Refusal>)>,
    ) {
        if after.modseq() == self.tentative.0.modseq() {
            // Nothing to commit; the answers depend on what is in flight and are given after it.
            match self.in_flight.back_mut() {
                Some(batch) => batch.decided.extend(decided),
                None => self.answer_unchanged(decided),
            }
            return;
        }
        self.batches += 1;
        let mark = self.mark | u128::from(self.batches);
        let row = HeadRow { head: *after.head(), mark };
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

    fn answer_unchanged(&self, decided: Vec<(Pending, Result<Outcome, Refusal>)>) {
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
            let _ = pending.answer.send(Err(error));
        }
    }

    /// Loads a mailbox's contents into the state. Nothing is in flight.
    async fn load(&mut self, mailbox: MailboxId) -> Result<(), ServiceError> {
        for _ in 0..ATTEMPTS_MAX {
            let loaded = self.durable.0.mailbox(mailbox);
            let loaded = loaded.ok_or(ServiceError::NoSuchMailbox)?;
            if loaded.contents().is_some() {
                return Ok(());
            }
            let record = loaded.record().clone();
            let floor = self.durable.0.head().history_floor;
            let (keys, expected) = (self.keys.clone(), self.durable.1);
            let contents = self
                .shared
                .read(move |view| {
                    // Somebody else may have written; then the contents are not this record's.
                    if load_head(view, &keys)? != expected {
                        return Ok(None);
                    }
                    load_contents(view, &keys, &record, floor).map(Some)
                })
                .await?;
            if let Some(contents) = contents {
                self.durable.0 = self.durable.0.with_contents(mailbox, contents)?;
                self.tentative = self.durable.clone();
                self.publish();
                return Ok(());
            }
            self.reload().await?;
        }
        Err(ServiceError::Busy)
    }

    fn unload(&mut self, mailbox: MailboxId) {
        let pins = Arc::clone(&self.pins);
        pins.unless_pinned(mailbox, || {
            for batch in &mut self.in_flight {
                batch.after = batch.after.without_contents(mailbox);
            }
            self.durable.0 = self.durable.0.without_contents(mailbox);
            self.tentative.0 = self.tentative.0.without_contents(mailbox);
            self.publish();
        });
    }

    /// Brings the state up to what the store holds, if it is behind. Nothing is in flight.
    async fn refresh(&mut self) -> Result<(), ServiceError> {
        let keys = self.keys.clone();
        let row = self.shared.read(move |view| load_head(view, &keys)).await?;
        if row == self.durable.1 { Ok(()) } else { self.reload().await }
    }

    /// Reads what the store holds: by the log if it leads there, else from the rows.
    async fn reload(&mut self) -> Result<(), ServiceError> {
        let keys = self.keys.clone();
        let known = self.durable.0.clone();
        let pinned = self.pins.pinned();
        let (account, row) = self
            .shared
            .read(move |view| {
                let row = load_head(view, &keys)?;
                if row.head.modseq >= known.modseq()
                    && row.head.history_floor <= known.modseq()
                    && let Ok(newer) = catch_up(view, &keys, &known)
                    && *newer.head() == row.head
                {
                    return Ok((newer, row));
                }
                let (mut account, row) = load_account(view, &keys)?;
                for id in pinned {
                    let Some(mailbox) = account.mailbox(id) else { continue };
                    let floor = row.head.history_floor;
                    let contents = load_contents(view, &keys, mailbox.record(), floor)?;
                    account = account.with_contents(id, contents)?;
                }
                Ok((account, row))
            })
            .await?;
        self.durable = (account, row);
        self.tentative = self.durable.clone();
        self.is_stale = false;
        self.publish();
        Ok(())
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
    let decision = match decide(before, &pending.operation, context) {
        Ok(decision) => decision,
        Err(refusal) => return Step::Same(Err(refusal)),
    };
    let Some(entry) = decision.entry else { return Step::Same(Ok(decision.outcome)) };
    let next = match apply(before, &entry) {
        Ok(next) => Box::new(next),
        Err(corruption) => return Step::Failed(corruption.into()),
    };
    let mut extra = Extra::default();
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

/// Puts the messages into the conversations that are known by now; one that starts a conversation
/// gives it its own number, so that those after it in the same operation can join.
fn choose_threads(recent: &RecentThreads, pending: &mut Pending, next: MessageId) {
    let Operation::AddMessages { messages, .. } = &mut pending.operation else { return };
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
    let Operation::AddMessages { messages, .. } = &pending.operation else { return };
    for (staged, message) in pending.staged.iter().zip(messages) {
        if let Some(thread) = message.thread {
            recent.note(&staged.threads, thread);
        }
    }
}
