//! Works on what is due: hands local recipients to delivery and the others to a [`Transport`].
//!
//! It stands here and not in a shell of its own because it speaks no protocol: what a recipient's
//! reply means is said by the transport, what it changes by [`mail_queue::decide`].

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mail_queue::{Attempt, Handover, QueueId, Recipient, Reply, Terms};
use store::limits::RECHECK_INTERVAL;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::change::is_lost;
use super::holding::{Holding, Leave};
use super::{Claimed, QueueError};
use crate::delivery::DeliverError;
use crate::error::ServiceError;
use crate::handle::MessageReader;
use crate::keys::{QUEUE_DUE, QUEUE_RELEASE};
use crate::limits::{QUEUE_CLAIMS_MAX, QUEUE_RENEW_INTERVAL};
use crate::service::Service;

/// Hands mail on to other servers.
pub trait Transport: Send + Sync {
    /// Tries to hand a message on to all recipients of one domain. A recipient of whom nothing is
    /// said waits for another attempt. The future may be dropped when the server stops or when
    /// another node has taken the entry over, until it has taken the leave of the job; it must end
    /// by itself in the end.
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>>;
}

/// What came of an attempt for each recipient, by [`JobRecipient::index`].
pub type Outcomes = Vec<(usize, Attempt)>;

/// One message for the recipients of one domain.
pub struct Job {
    /// The entry: names the transaction in the log.
    pub id: QueueId,
    /// What MAIL is to say.
    pub terms: Terms,
    /// The domain of all recipients, in small letters.
    pub domain: String,
    /// What RCPT is to say, with the index that the answer is to name.
    pub recipients: Vec<(usize, Recipient)>,
    /// The message.
    pub body: MessageReader,
    /// To be taken before the end of the message is sent.
    pub leave: Leave,
}

impl Job {
    pub(super) async fn new(
        leave: Leave,
        domain: String,
        recipients: Vec<(usize, Recipient)>,
    ) -> Result<Self, ServiceError> {
        let Holding { service, claimed, .. } = &*leave.holding;
        let body = service.open_outgoing(claimed).await?;
        let (id, terms) = (claimed.id, claimed.entry.terms.clone());
        Ok(Self { id, terms, domain, recipients, body, leave })
    }
}

/// How much is done at one time.
#[derive(Clone, Copy, Debug)]
pub struct RunnerSettings {
    /// Entries that are worked on at one time, at most [`QUEUE_CLAIMS_MAX`].
    pub entries_max: usize,
    /// Attempts, of all entries, that are made at one time.
    pub attempts_max: usize,
    /// How long attempts that are under way may take to end when the server stops.
    pub grace: Duration,
    /// How long it waits then for what other servers say to a message that they have whole.
    pub patience: Duration,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self {
            entries_max: 64,
            attempts_max: 64,
            grace: Duration::from_secs(1),
            patience: Duration::from_secs(20),
        }
    }
}

/// Works on the queue.
pub struct QueueRunner {
    inner: Arc<Inner>,
    settings: RunnerSettings,
    node: u64,
}

/// How far the end of the runner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// It has not begun.
    Not,
    /// What can be dropped is dropped.
    Soon,
    /// All is.
    Now,
}

struct Inner {
    service: Service,
    transport: Arc<dyn Transport>,
    /// One permit for each attempt that may be made.
    attempts: Semaphore,
    /// What is to be given up of that which is under way.
    ending: watch::Sender<Ending>,
}

impl QueueRunner {
    /// A runner for a service.
    ///
    /// # Errors
    /// `NoRandomness`.
    pub fn new(
        service: Service,
        transport: Arc<dyn Transport>,
        settings: RunnerSettings,
    ) -> Result<Self, ServiceError> {
        let mut node = [0; 8];
        if !service.shared.world.random.fill(&mut node) {
            return Err(ServiceError::NoRandomness);
        }
        let attempts = Semaphore::new(settings.attempts_max.max(1));
        let ending = watch::Sender::new(Ending::Not);
        let inner = Arc::new(Inner { service, transport, attempts, ending });
        Ok(Self { inner, settings, node: u64::from_be_bytes(node) })
    }

    /// Works until `stop` is ready: then takes nothing new, waits for what is under way, and gives
    /// back what does not end in time.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let wake = Arc::new(Notify::new());
        let woken = || {
            let wake = Arc::clone(&wake);
            Box::new(move || wake.notify_one())
        };
        let store = &self.inner.service.shared.store;
        let _due = store.watch(QUEUE_DUE, woken());
        let _released = store.watch(QUEUE_RELEASE, woken());
        let mut working = JoinSet::new();
        tokio::pin!(stop);
        if let Err(error) = self.inner.service.end_claims_of_the_past().await {
            // Then they end by themselves.
            tracing::warn!(%error, "what was under way when the server ended waits for its turn");
        }
        loop {
            let pause = match self.begin(&mut working).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    RECHECK_INTERVAL
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = working.join_next() => {}
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            // Room for all that have ended meanwhile is filled at once, and not one by one: looking
            // and claiming cost the same for many.
            while working.try_join_next().is_some() {}
        }
        let RunnerSettings { grace, patience, .. } = self.settings;
        for (ending, patience) in
            [(Ending::Not, grace), (Ending::Soon, patience), (Ending::Now, PATIENCE_TO_GIVE_BACK)]
        {
            self.inner.ending.send_replace(ending);
            let rest = async { while working.join_next().await.is_some() {} };
            if tokio::time::timeout(patience, rest).await.is_ok() {
                return;
            }
        }
        // Another node goes on when the claims have ended.
        working.shutdown().await;
    }

    /// Works on all that is due until nothing is due any more; how many entries that were.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn run_due(&self) -> Result<usize, QueueError> {
        let mut count = 0;
        loop {
            let claimed = self.inner.service.claim_due(self.node, self.entries_max()).await?;
            if claimed.is_empty() {
                return Ok(count);
            }
            count += claimed.len();
            let mut working = JoinSet::new();
            for claimed in claimed {
                working.spawn(Arc::clone(&self.inner).work(claimed));
            }
            while working.join_next().await.is_some() {}
        }
    }

    fn entries_max(&self) -> usize {
        self.settings.entries_max.clamp(1, QUEUE_CLAIMS_MAX)
    }

    /// Begins to work on as much as there is room for; how long to wait then.
    async fn begin(&self, working: &mut JoinSet<()>) -> Result<Duration, QueueError> {
        let room = self.entries_max().saturating_sub(working.len());
        if room == 0 {
            return Ok(RECHECK_INTERVAL);
        }
        let service = &self.inner.service;
        let claimed = service.claim_due(self.node, room).await?;
        let is_idle = claimed.is_empty();
        for claimed in claimed {
            working.spawn(Arc::clone(&self.inner).work(claimed));
        }
        let Some(next) = service.next_due().await? else { return Ok(RECHECK_INTERVAL) };
        let left = next.saturating_sub(service.shared.world.clock.now_secs());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        // What is due and could not be claimed is not asked for over and over.
        let is_refused = is_idle && left.is_zero();
        let least = if is_refused { RECHECK_INTERVAL } else { PAUSE_MIN };
        Ok(left.clamp(least, RECHECK_INTERVAL))
    }
}

impl Inner {
    /// Tries all that is in progress in an entry, and records what comes of it as it comes.
    async fn work(self: Arc<Self>, claimed: Claimed) {
        let holding = Arc::new(Holding::new(self.service.clone(), claimed));
        let claimed = &holding.claimed;
        let mut attempts = JoinSet::new();
        let mut remote: BTreeMap<String, Vec<(usize, Recipient)>> = BTreeMap::new();
        for (index, recipient) in claimed.entry.in_progress() {
            let address = &recipient.to.address;
            match self.service.is_local(address).await {
                Ok(true) => {
                    let (inner, holding) = (Arc::clone(&self), Arc::clone(&holding));
                    attempts.spawn(async move { inner.deliver(&holding.claimed, index).await });
                }
                Ok(false) => {
                    let domain = address.rsplit('@').next().unwrap_or_default();
                    let group = remote.entry(domain.to_ascii_lowercase()).or_default();
                    group.push((index, recipient.to.clone()));
                }
                Err(error) => {
                    let reply = own_trouble(&error);
                    attempts.spawn(async move { vec![(index, Attempt::Deferred(reply))] });
                }
            }
        }
        for (domain, recipients) in remote {
            let (inner, holding) = (Arc::clone(&self), Arc::clone(&holding));
            attempts.spawn(async move { inner.send(&holding, domain, recipients).await });
        }
        self.watch_over(&holding, attempts).await;
    }

    async fn watch_over(&self, holding: &Holding, mut attempts: JoinSet<Outcomes>) {
        let claimed = &holding.claimed;
        let mut renewal = tokio::time::interval(QUEUE_RENEW_INTERVAL);
        renewal.tick().await;
        let (mut soon, mut now) = (self.ending.subscribe(), self.ending.subscribe());
        let mut open: Vec<usize> = claimed.entry.in_progress().map(|(index, _)| index).collect();
        loop {
            tokio::select! {
                () = reached(&mut now, Ending::Now) => break,
                () = reached(&mut soon, Ending::Soon), if !holding.is_given_up() => {
                    holding.give_up();
                }
                ended = attempts.join_next() => match ended {
                    Some(Ok(outcomes)) => {
                        open.retain(|index| !outcomes.iter().any(|(known, _)| known == index));
                        self.record(holding, outcomes).await;
                    }
                    // It panicked, and might do so at once if it were made again at once.
                    Some(Err(error)) => tracing::error!(id = %claimed.id, %error, "attempt"),
                    None if holding.is_given_up() => break,
                    None => {
                        let deferred = || {
                            Attempt::Deferred(Reply::own([4, 3, 0], "the attempt broke off"))
                        };
                        let rest = open.into_iter().map(|index| (index, deferred()));
                        self.record(holding, rest.collect()).await;
                        break;
                    }
                },
                _ = renewal.tick() => {
                    // If somebody else is at it by now, what can be dropped is dropped by that.
                    if let Err(error) = holding.renew().await {
                        tracing::warn!(id = %claimed.id, %error, "claim not renewed");
                    }
                }
            }
        }
        attempts.shutdown().await;
        // Nothing is left in progress if all was recorded.
        match self.service.give_back(claimed).await {
            Ok(()) => {}
            Err(error) if is_lost(&error) => {}
            Err(error) => tracing::warn!(id = %claimed.id, %error, "entry not given back"),
        }
    }

    async fn deliver(&self, claimed: &Claimed, index: usize) -> Outcomes {
        let Ok(_permit) = self.attempts.acquire().await else { return Vec::new() };
        let attempt = match self.service.deliver_queued(claimed, index).await {
            Ok(_) => Attempt::Delivered { to: Handover::Mailbox, reply: None },
            Err(error) => local_failure(&error),
        };
        vec![(index, attempt)]
    }

    async fn send(
        &self,
        holding: &Arc<Holding>,
        domain: String,
        recipients: Vec<(usize, Recipient)>,
    ) -> Outcomes {
        let leave = Leave::new(Arc::clone(holding));
        tokio::select! {
            // One that has asked for its leave in vain may end before it is dropped: that this
            // server stops is no failure of the other one, and counts for none.
            outcomes = self.hand_on(leave.clone(), domain, recipients) => match leave.is_refused() {
                true => Vec::new(),
                false => outcomes,
            },
            () = leave.refused() => Vec::new(),
        }
    }

    async fn hand_on(
        &self,
        leave: Leave,
        domain: String,
        recipients: Vec<(usize, Recipient)>,
    ) -> Outcomes {
        let Ok(_permit) = self.attempts.acquire().await else { return Vec::new() };
        let indices: Vec<usize> = recipients.iter().map(|(index, _)| *index).collect();
        let mut outcomes = match Job::new(leave, domain, recipients).await {
            Ok(job) => self.transport.send(&job).await,
            Err(error) => {
                let deferred = || Attempt::Deferred(own_trouble(&error));
                return indices.into_iter().map(|index| (index, deferred())).collect();
            }
        };
        outcomes.retain(|(index, _)| indices.contains(index));
        for index in indices {
            if !outcomes.iter().any(|(known, _)| *known == index) {
                let reply = Reply::own([4, 0, 0], "no attempt was made");
                outcomes.push((index, Attempt::Deferred(reply)));
            }
        }
        outcomes
    }

    /// Records what was handed on first: to record a failure takes room for a notice as well, which
    /// a full disk does not have.
    async fn record(&self, holding: &Holding, outcomes: Outcomes) {
        let is_delivered = |attempt: &Attempt| matches!(attempt, Attempt::Delivered { .. });
        let (delivered, others): (Outcomes, Outcomes) =
            outcomes.into_iter().partition(|(_, attempt)| is_delivered(attempt));
        self.record_part(holding, delivered).await;
        self.record_part(holding, others).await;
    }

    /// What another server has taken must be recorded, or it is sent once more: so a store that is
    /// away for a while is asked again, and soon, before another node takes the entry over.
    async fn record_part(&self, holding: &Holding, outcomes: Outcomes) {
        if outcomes.is_empty() {
            return;
        }
        let claimed = &holding.claimed;
        let mut pause = PAUSE_MIN;
        for _ in 0..RECORDINGS_MAX {
            match self.service.record_attempts(claimed, outcomes.clone()).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(id = %claimed.id, %error, "not recorded yet"),
            }
            tokio::time::sleep(pause).await;
            pause = RECORD_PAUSE_MAX.min(pause * 2);
            if let Err(error) = holding.renew().await {
                tracing::debug!(id = %claimed.id, %error, "claim not renewed");
            }
        }
        tracing::error!(id = %claimed.id, "results of attempts are lost: they are made again");
    }
}

/// Waits until the end has come so far.
async fn reached(ending: &mut watch::Receiver<Ending>, stage: Ending) {
    // It fails when the runner is gone, and then there is no more to wait for.
    let _ = ending.wait_for(|ending| *ending >= stage).await;
}

/// What a refused local delivery means. RFC 3463 §3
fn local_failure(error: &DeliverError) -> Attempt {
    match error {
        DeliverError::NoSuchUser => {
            Attempt::Failed(Reply::own([5, 1, 1], "there is no mailbox of this address here"))
        }
        DeliverError::TooLarge => {
            Attempt::Failed(Reply::own([5, 3, 4], "the message is larger than this server takes"))
        }
        DeliverError::MailboxFull => {
            Attempt::Deferred(Reply::own([4, 2, 2], "the mailbox is full"))
        }
        DeliverError::Temporary(error) => Attempt::Deferred(own_trouble(error)),
    }
}

fn own_trouble(error: &ServiceError) -> Reply {
    tracing::warn!(%error, "an attempt of the queue failed here");
    Reply::own([4, 3, 0], "this server has a passing trouble of its own")
}

/// How long entries may take to be given back after their attempts were ended.
const PATIENCE_TO_GIVE_BACK: Duration = Duration::from_secs(5);

/// The shortest pause before the queue is looked at again without a hint.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause before results are offered again to a store that did not take them: less than
/// the time for which others watch a claim, and watching needs the store, too.
const RECORD_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Times that results are offered to the store: some eight minutes.
const RECORDINGS_MAX: u32 = 50;
