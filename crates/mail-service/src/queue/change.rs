//! Changing entries: claims, results, and what the operator wants.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use mail_queue::{
    After, Attempt, Claim, Decision, Due, Entry, Event, Progress, QueueId, Recipient, Refusal,
    Schedule, Tenure, decide,
};
use mail_types::AccountId;
use store::{BlobId, Commit, Expected, KeyRange, Store, StoreError, Write};

use super::enqueue::{add_entry, draw_id};
use super::holding::{Holding, Leave};
use super::notice::{Written, write_notice};
use super::{Found, Job, QueueError, find};
use crate::clock::World;
use crate::codec::queue::{NEVER, StoredEntry};
use crate::error::ServiceError;
use crate::handle::MessageReader;
use crate::keys::{self, QUEUE_DUE, QUEUE_RELEASE, QUEUE_SCOPE};
use crate::limits::{
    ATTEMPTS_MAX, QUEUE_CLAIM_SECS, QUEUE_CLAIMS_MAX, QUEUE_PAGE_MAX, QueueConfig, Sharing,
};
use crate::loader::strange_key;
use crate::service::{Service, Shared, blocking};
use crate::story::of_change;

/// An entry that this node works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which one.
    pub id: QueueId,
    /// Of the claim.
    pub token: u64,
    /// As it was when it was claimed: what is in progress is to be tried.
    pub entry: Entry,
    pub(super) blob: BlobId,
    pub(super) tenure: Tenure,
}

/// An entry in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: QueueId,
    /// As it is.
    pub entry: Entry,
}

impl Service {
    /// Claims entries that are due, at most `limit`, for the node of this number. Reads only what
    /// is due; with several nodes each gets others.
    ///
    /// # Errors
    /// Errors of the store; what was claimed before is found again when its claim has ended.
    pub async fn claim_due(&self, node: u64, limit: usize) -> Result<Vec<Claimed>, QueueError> {
        let queue = Arc::new(Queue::new(&self.shared));
        let limit = limit.min(QUEUE_CLAIMS_MAX);
        let now = queue.world.clock.now_secs();
        let looking = Arc::clone(&queue);
        blocking(move || looking.notice_set_back(now)).await?;
        let mut claimed: Vec<Claimed> = Vec::new();
        // What is released is little, and must not wait for ever behind what is tried again.
        for kind in [QUEUE_RELEASE, QUEUE_DUE] {
            let mut range = Some(keys::queue_due_until(kind, now));
            // Others may have taken what this page shows, so there may be more to look at.
            while let Some(part) = range.take().filter(|_| claimed.len() < limit) {
                let (reading, room) = (Arc::clone(&queue), limit - claimed.len());
                let page =
                    blocking(move || Ok(store::scan_page(&*reading.store.view()?, &part, room)?));
                let page = page.await?;
                range = page.rest;
                match claim_all(&queue, kind, page.rows, node, now).await {
                    (found, None) => claimed.extend(found),
                    // What was claimed is to be worked on all the same.
                    (found, Some(error)) if !(claimed.is_empty() && found.is_empty()) => {
                        tracing::warn!(%error, "not all that is due could be claimed");
                        claimed.extend(found);
                        return Ok(claimed);
                    }
                    (_, Some(error)) => return Err(error.into()),
                }
            }
        }
        Ok(claimed)
    }

    /// When the next entry is due, in seconds since 1970; perhaps it is claimed.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn next_due(&self) -> Result<Option<i64>, QueueError> {
        let next = self.shared.read(|view| {
            let mut next: Option<i64> = None;
            for kind in [QUEUE_DUE, QUEUE_RELEASE] {
                let page = store::scan_page(view, &KeyRange::prefix(kind), 1)?;
                let Some((key, _)) = page.rows.first() else { continue };
                let at = key.get(kind.len()..).and_then(|rest| rest.first_chunk::<8>());
                let at = i64::from_be_bytes(*at.ok_or_else(|| strange_key(key))?);
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            Ok(next)
        });
        Ok(next.await?)
    }

    /// Records what came of attempts; durable when it returns, together with what the sender is
    /// told. Results that were recorded already, or that another node knows better, change nothing.
    ///
    /// # Errors
    /// `Service`: errors of the store.
    pub async fn record_attempts(
        &self,
        claimed: &Claimed,
        results: Vec<(usize, Attempt)>,
    ) -> Result<(), QueueError> {
        let mut drawn = [0; 2];
        self.shared.world.random.fill(&mut drawn);
        let (token, jitter) = (claimed.token, u16::from_be_bytes(drawn));
        let event = Event::Report { token, results, jitter };
        match self.change_entry(claimed.id, event).await {
            // It was dropped, or recorded by an attempt whose outcome was not told.
            Ok(_) | Err(QueueError::NoSuchEntry | QueueError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says that this node is still working on it.
    ///
    /// # Errors
    /// `Refused`, `NoSuchEntry`: it is not any more.
    pub async fn renew_claim(&self, claimed: &Claimed) -> Result<Tenure, QueueError> {
        let clock = &self.shared.world.clock;
        let (asked, until) = (clock.uptime(), clock.now_secs() + QUEUE_CLAIM_SECS);
        self.change_entry(claimed.id, Event::Renew { token: claimed.token, until }).await?;
        Ok(Tenure::new(asked, until))
    }

    /// Gives an entry back: what was not recorded was not tried.
    ///
    /// # Errors
    /// As [`Service::renew_claim`].
    pub async fn give_back(&self, claimed: &Claimed) -> Result<(), QueueError> {
        self.change_entry(claimed.id, Event::GiveBack { token: claimed.token }).await.map(drop)
    }

    /// Ends all claims, if no other process can have made one that counts: whoever made them has
    /// died, perhaps a moment ago, and what he was at need not wait until he is believed dead. To
    /// be called before anything is claimed. With several nodes it does nothing: this one cannot
    /// know which of them are gone.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn end_claims_of_the_past(&self) -> Result<(), QueueError> {
        if self.shared.config.sharing != Sharing::Exclusive {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.list_queue(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for Listed { id, entry } in page {
                let Some(claim) = entry.claim else { continue };
                match self.change_entry(id, Event::GiveBack { token: claim.token }).await {
                    Ok(_) => tracing::info!(%id, "was under way when the server ended"),
                    Err(error) if is_lost(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// What a transport is to do for a claimed entry and some of its recipients, of one domain.
    ///
    /// # Errors
    /// As [`Service::open_outgoing`].
    pub async fn job(
        &self,
        claimed: &Claimed,
        domain: String,
        recipients: Vec<(usize, Recipient)>,
    ) -> Result<Job, ServiceError> {
        let holding = Holding::new(self.clone(), claimed.clone());
        Job::new(Leave::new(Arc::new(holding)), domain, recipients).await
    }

    /// The body of an entry, to be read piece by piece.
    ///
    /// # Errors
    /// Errors of the store; `Store(BlobMissing)` if the entry is gone.
    pub async fn open_outgoing(&self, claimed: &Claimed) -> Result<MessageReader, ServiceError> {
        let (store, blob) = (Arc::clone(&self.shared.store), claimed.blob);
        blocking(move || Ok(MessageReader::of_blob(store.open_blob(QUEUE_SCOPE, &blob)?))).await
    }

    /// Entries in the order in which they came, after this one.
    ///
    /// # Errors
    /// Errors of the store. A damaged entry is left out and logged.
    pub async fn list_queue(&self, after: Option<QueueId>) -> Result<Vec<Listed>, QueueError> {
        let listed = self.shared.read(move |view| {
            let mut range = keys::queue_entries();
            if let Some(after) = after {
                range = range.after(&keys::queue_entry(after));
            }
            let mut listed = Vec::new();
            view.scan(&range, &mut |key, value| {
                let id = keys::queue_entry_id(key).filter(|_| value != NEVER);
                match StoredEntry::decode(key, value) {
                    Ok(stored) => listed.extend(id.map(|id| Listed { id, entry: stored.entry })),
                    Err(error) if id.is_some() => tracing::warn!(%error, "entry not listed"),
                    Err(_) => {}
                }
                let is_full = listed.len() == QUEUE_PAGE_MAX;
                if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(listed)
        });
        Ok(listed.await?)
    }

    /// One entry.
    ///
    /// # Errors
    /// `NoSuchEntry`, errors of the store.
    pub async fn show_queued(&self, id: QueueId) -> Result<Entry, QueueError> {
        let found = self.shared.read(move |view| find(view, id)).await?;
        found.map(|found| found.entry).ok_or(QueueError::NoSuchEntry)
    }

    /// Stops an entry until it is retried; what is under way is not called back.
    ///
    /// # Errors
    /// `NoSuchEntry`, `Refused` if it is held, errors of the store.
    pub async fn hold_queued(&self, id: QueueId) -> Result<(), QueueError> {
        self.change_entry(id, Event::Hold).await.map(drop)
    }

    /// Makes all that waits in an entry due at once, held or not.
    ///
    /// # Errors
    /// `NoSuchEntry`, errors of the store.
    pub async fn retry_queued(&self, id: QueueId) -> Result<(), QueueError> {
        self.change_entry(id, Event::Retry).await.map(drop)
    }

    /// Throws an entry away; its sender is not told.
    ///
    /// # Errors
    /// `NoSuchEntry`, errors of the store.
    pub async fn drop_queued(&self, id: QueueId) -> Result<(), QueueError> {
        self.change_entry(id, Event::Drop).await.map(drop)
    }

    /// Takes an entry back that this account has sent and that nobody has yet: undoes a submission.
    /// A message with more than [`mail_queue::ENTRY_RECIPIENTS_MAX`] recipients is several entries,
    /// each of which is taken back by itself.
    ///
    /// # Errors
    /// `NoSuchEntry` also if somebody else has sent it; `Refused` while it is being sent and when
    /// somebody has it already; `Service(NoSuchAccount)`, errors of the store.
    pub async fn cancel_queued(&self, account: AccountId, id: QueueId) -> Result<(), QueueError> {
        let account = self.account_name(account).await?.as_str().to_owned();
        match self.change_entry(id, Event::Cancel { account }).await {
            // Whether there is such an entry is nobody else's business.
            Err(QueueError::Refused(Refusal::NotYours)) => Err(QueueError::NoSuchEntry),
            done => done.map(drop),
        }
    }

    async fn change_entry(&self, id: QueueId, event: Event) -> Result<After, QueueError> {
        let queue = Queue::new(&self.shared);
        let changed = blocking(move || Ok(queue.change(id, &event)));
        changed.await?
    }
}

/// Claims what these rows say is due, all at one time, so that one sync of the store makes many
/// claims durable; those that succeeded in the order of the rows, and the first error.
async fn claim_all(
    queue: &Arc<Queue>,
    kind: &'static [u8],
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    node: u64,
    now: i64,
) -> (Vec<Claimed>, Option<ServiceError>) {
    let claims: Vec<_> = rows
        .into_iter()
        .map(|(key, _)| {
            let queue = Arc::clone(queue);
            let claim = move || queue.claim_or_postpone(kind, &key, node, now);
            tokio::spawn(blocking(claim))
        })
        .collect();
    let (mut claimed, mut fault) = (Vec::new(), None);
    for claim in claims {
        match claim.await.unwrap_or(Err(ServiceError::Closed)) {
            Ok(found) => claimed.extend(found),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    (claimed, fault)
}

/// What changing an entry needs.
struct Queue {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    world: World,
    config: QueueConfig,
}

impl Queue {
    fn new(shared: &Arc<Shared>) -> Self {
        let (store, world) = (Arc::clone(&shared.store), shared.world.clone());
        Self { shared: Arc::clone(shared), store, world, config: shared.config.queue.clone() }
    }

    fn schedule(&self) -> &Schedule {
        &self.config.schedule
    }

    /// Claims what a row says is due. One damaged entry must not stop the others.
    fn claim_or_postpone(
        &self,
        kind: &[u8],
        key: &[u8],
        node: u64,
        now: i64,
    ) -> Result<Option<Claimed>, ServiceError> {
        match self.claim(key, node, now) {
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "an entry of the queue is damaged");
                self.postpone(kind, key, now).map(|()| None)
            }
            found => found,
        }
    }

    fn claim(&self, key: &[u8], node: u64, now: i64) -> Result<Option<Claimed>, ServiceError> {
        let id = keys::queue_due_id(key).ok_or_else(|| strange_key(key))?;
        let mut drawn = [0; 8];
        if !self.world.random.fill(&mut drawn) {
            return Err(ServiceError::NoRandomness);
        }
        let token = u64::from_be_bytes(drawn);
        let until = now + QUEUE_CLAIM_SECS;
        let event = Event::Claim(Claim { node, token, until });
        let tenure = Tenure::new(self.world.clock.uptime(), until);
        match self.change_found(id, &event) {
            Ok((After::Kept(entry), blob)) => {
                Ok(Some(Claimed { id, token, entry: *entry, blob, tenure }))
            }
            Ok((After::Done(_), _)) => Ok(None),
            Err(QueueError::Refused(Refusal::Claimed)) if self.abandon_if_silent(id)? => {
                self.claim(key, node, now)
            }
            // Another node was faster.
            Err(QueueError::Refused(_) | QueueError::NoSuchEntry) => {
                self.delete_stale(id, key)?;
                Ok(None)
            }
            Err(QueueError::Envelope(_)) => Ok(None),
            Err(QueueError::Service(error)) => Err(error),
        }
    }

    /// Ends the claim of a node that counts as dead; whether it did.
    fn abandon_if_silent(&self, id: QueueId) -> Result<bool, ServiceError> {
        let seen_at = self.world.clock.uptime();
        let found = find(&*self.store.view()?, id)?;
        let Some(claim) = found.and_then(|found| found.entry.claim) else { return Ok(false) };
        let vigil = || self.shared.vigil.lock().unwrap_or_else(PoisonError::into_inner);
        if !vigil().is_silent(id, claim, seen_at) {
            return Ok(false);
        }
        match self.change(id, &Event::Abandon(claim)) {
            Ok(_) => {
                vigil().forget(id);
                tracing::warn!(%id, "was under way at a node that is silent: it is taken over");
                Ok(true)
            }
            Err(QueueError::Service(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Deletes a row that says that an entry is due, if the entry says otherwise. As a rule another
    /// node has just changed the entry, and the row is gone as well.
    fn delete_stale(&self, id: QueueId, key: &[u8]) -> Result<(), ServiceError> {
        let expected = match find(&*self.store.view()?, id)? {
            None => Expected::Absent,
            Some(found) => {
                let is_right = |due| keys::queue_due(due, id) == key;
                if found.entry.due().is_some_and(is_right) {
                    return Ok(());
                }
                Expected::Value(found.value)
            }
        };
        let stale = Commit::new().when(keys::queue_entry(id), expected).write(Write::delete(key));
        match self.store.commit_wait(stale) {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at an entry that cannot be read again in a while, and not once a second: somebody may
    /// restore it meanwhile.
    fn postpone(&self, kind: &[u8], key: &[u8], now: i64) -> Result<(), ServiceError> {
        let Some(id) = keys::queue_due_id(key) else { return Ok(()) };
        let at = now.saturating_add(DAMAGED_SECS);
        let due = if kind == QUEUE_DUE { Due::Attempt(at) } else { Due::Release(at) };
        let moved = Commit::new()
            .when(key, Expected::Present)
            .write(Write::delete(key))
            .write(Write::put(keys::queue_due(due, id), b""));
        match self.store.commit_wait(moved) {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Rows that are due later than anything is ever planned were made by a clock that was ahead.
    /// Normally there are none, and looking costs one short read.
    fn notice_set_back(&self, now: i64) -> Result<(), ServiceError> {
        let latest = now + self.schedule().delay_max().max(QUEUE_CLAIM_SECS);
        let range = keys::queue_due_after(QUEUE_DUE, latest);
        let page = store::scan_page(&*self.store.view()?, &range, QUEUE_CLAIMS_MAX)?;
        for (key, _) in page.rows {
            let Some(id) = keys::queue_due_id(&key) else { continue };
            // A claim may be of a clock that was ahead, too.
            let abandoned = self.abandon_if_silent(id).map_err(QueueError::from);
            match abandoned.and_then(|_| self.change(id, &Event::ClockSetBack)) {
                Ok(_) => tracing::warn!(%id, "planned by a clock that was ahead: due now"),
                Err(QueueError::Service(error)) if !error.is_damage() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn change(&self, id: QueueId, event: &Event) -> Result<After, QueueError> {
        self.change_found(id, event).map(|(after, _)| after)
    }

    /// Has an event decided on the entry as it is and makes it durable. When the answer of the
    /// store is lost, the entry tells whether it happened: a claim has its token, results are
    /// there.
    fn change_found(&self, id: QueueId, event: &Event) -> Result<(After, BlobId), QueueError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = find(&*self.store.view()?, id)?.ok_or(QueueError::NoSuchEntry)?;
            if let Event::Claim(wanted) = event
                && found.entry.claim.is_some_and(|claim| claim.token == wanted.token)
            {
                return Ok((After::Kept(Box::new(found.entry)), found.blob));
            }
            let now = self.world.clock.now_secs();
            let decision = match decide(&found.entry, event, now, self.schedule()) {
                Ok(decision) => decision,
                Err(refusal) => return Err(QueueError::Refused(refusal)),
            };
            let (commit, notice) = self.commit(id, &found, &decision, now)?;
            match self.store.commit_wait(commit) {
                Ok(_) => {
                    log_ends(id, &found.entry, &decision);
                    for what in of_change(id, &found.entry, event, &decision, notice) {
                        self.shared.journal.tell(now, &what);
                    }
                    return Ok((decision.after, found.blob));
                }
                Err(StoreError::Conflict { .. } | StoreError::OutcomeUnknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(QueueError::Service(ServiceError::Busy))
    }

    /// The commit that makes it durable, and the id of the notice in it.
    fn commit(
        &self,
        id: QueueId,
        found: &Found,
        decision: &Decision,
        now: i64,
    ) -> Result<(Commit, Option<QueueId>), ServiceError> {
        let key = keys::queue_entry(id);
        let mut commit = Commit::new().when(key.clone(), Expected::Value(found.value.clone()));
        if let Some(due) = found.entry.due() {
            commit = commit.write(Write::delete(keys::queue_due(due, id)));
        }
        let entry = match &decision.after {
            After::Kept(entry) => {
                let (blob, kept) = (found.blob, entry.as_ref().clone());
                let value = StoredEntry { blob, entry: kept }.encode();
                commit = commit.write(Write::put(key, value));
                if let Some(due) = entry.due() {
                    commit = commit.write(Write::put(keys::queue_due(due, id), b""));
                }
                entry
            }
            After::Done(entry) => {
                commit = commit.write(Write::delete(key));
                entry
            }
        };
        let Some(notice) = &decision.notice else { return Ok((commit, None)) };
        let own = draw_id(&self.world, now)?;
        let written =
            write_notice(&*self.store, &self.config, (id, own), found, entry, notice, now);
        let Some(Written { lease, entry }) = written? else { return Ok((commit, None)) };
        Ok((add_entry(commit, own, lease.id(), &entry).naming(lease), Some(own)))
    }
}

/// Tells the log what has come to an end: what nobody else is told stands there at least.
fn log_ends(id: QueueId, before: &Entry, decision: &Decision) {
    let (After::Kept(after) | After::Done(after)) = &decision.after;
    let told: BTreeSet<usize> =
        decision.notice.iter().flat_map(|notice| &notice.told).map(|told| told.index).collect();
    for (index, (was, is)) in before.recipients.iter().zip(&after.recipients).enumerate() {
        if was.progress == is.progress || is.progress.is_open() {
            continue;
        }
        let (to, progress) = (&is.to.address, is.progress.word());
        let reply = is.reply.as_ref().map_or("", |reply| reply.text.as_str());
        let is_lost = is.progress != Progress::Delivered && !told.contains(&index);
        if is_lost {
            tracing::warn!(%id, to, progress, reply, "undeliverable, and nobody to be told");
        } else {
            tracing::info!(%id, to, progress, reply, "queued mail");
        }
    }
}

/// How long an entry is left alone that cannot be read.
const DAMAGED_SECS: i64 = 3600;

/// Whether a refusal means that somebody else has the entry now.
pub(super) fn is_lost(error: &QueueError) -> bool {
    matches!(error, QueueError::NoSuchEntry | QueueError::Refused(Refusal::NotClaimed))
}
