//! A writer: one connection that decides one commit at a time, and finds out what became of a
//! commit whose connection was lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Commit, CommitNo, StoreError, Write};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Statement};

use crate::commit::{Bodies, Part, Plan, Reply};
use crate::connect::{STATEMENT_TIMEOUT, Use};
use crate::error::{Verdict, reason, verdict};
use crate::queue::Taken;
use crate::shared::Shared;
use crate::sql;

/// Works on the queue until it is closed and empty.
pub(crate) async fn run(shared: Arc<Shared>, seed: u64) {
    let mut writer = Writer { shared: Arc::clone(&shared), session: None, random: seed | 1 };
    while let Some(Taken { item, lane }) = shared.queue.take().await {
        let bytes = item.bytes();
        let answer = writer.decide(&item.commit).await;
        if answer.is_ok() {
            shared.hints.tell(&item.commit);
            shared.watchers.wake(item.commit.writes.iter().map(Write::key));
        }
        // The leases have lasted until here; a lane is free before its answer is acted on.
        let done = item.done;
        drop(item.commit);
        shared.queue.give_back(lane, bytes);
        crate::shared::call(done, answer);
        shared.queue.answered();
    }
    writer.retire().await;
}

struct Writer {
    shared: Arc<Shared>,
    session: Option<Session>,
    random: u64,
}

/// A connection and its slot.
struct Session {
    client: Client,
    task: JoinHandle<()>,
    commit: Statement,
    more: Statement,
    slot: i64,
    epoch: i64,
    op: i64,
}

/// How one attempt ended.
enum Attempt {
    Answered(Result<CommitNo, StoreError>),
    Again(StoreError),
    /// The connection is gone, and with it the answer.
    Lost {
        slot: i64,
        op: i64,
        error: StoreError,
    },
}

impl Writer {
    async fn decide(&mut self, commit: &Commit) -> Result<CommitNo, StoreError> {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            // Anew at each attempt: another commit may have recorded an object meanwhile.
            let Some(bodies) = Bodies::of(commit, &self.shared.pending) else {
                attempts += 1;
                if begun.elapsed() > RETRY_PATIENCE {
                    return Err(StoreError::Busy);
                }
                self.back_off(attempts).await;
                continue;
            };
            let plan = Plan::new(commit, &bodies);
            match self.attempt(&plan, &bodies, begun).await {
                Attempt::Answered(answer) => return answer,
                Attempt::Again(error) => {
                    attempts += 1;
                    if begun.elapsed() > RETRY_PATIENCE {
                        tracing::warn!(%error, attempts, "a commit was given up");
                        return Err(StoreError::Busy);
                    }
                    self.back_off(attempts).await;
                }
                Attempt::Lost { slot, op, error } => {
                    bodies.unknown();
                    let found = self.find_out(slot, op, &error).await;
                    match found {
                        Ok(None) => bodies.not_recorded(),
                        // Another commit with the same blob may have said otherwise meanwhile.
                        Ok(Some(_)) | Err(_) => bodies.unknown(),
                    }
                    if let Some(answer) = found.transpose() {
                        return answer;
                    }
                }
            }
        }
    }

    async fn attempt(&mut self, plan: &Plan<'_>, bodies: &Bodies, begun: Instant) -> Attempt {
        let session = match self.session(begun).await {
            Ok(session) => session,
            Err(error) => return Attempt::Answered(Err(error)),
        };
        session.op += 1;
        let (slot, op) = (session.slot, session.op);
        let sent = timeout(ANSWER_PATIENCE, session.send(plan, bodies)).await;
        let error = match sent {
            Ok(Ok(Reply::Done { number, objects })) => {
                bodies.recorded(&objects);
                return Attempt::Answered(Ok(number));
            }
            Ok(Ok(Reply::Refused(error))) => return Attempt::Answered(Err(error)),
            Ok(Ok(Reply::ShutOut)) => {
                self.drop_session();
                return Attempt::Again(StoreError::unavailable("the slot was taken over"));
            }
            Ok(Err(error)) => match verdict(&error) {
                Verdict::Again(error) => return Attempt::Again(error),
                Verdict::Refused(error) => return Attempt::Answered(Err(error)),
                Verdict::Lost(error) => error,
            },
            Err(_) => StoreError::unavailable("the database did not answer a commit"),
        };
        self.drop_session();
        Attempt::Lost { slot, op, error }
    }

    /// The session, opened if there is none. Nothing has been sent if it fails.
    async fn session(&mut self, begun: Instant) -> Result<&mut Session, StoreError> {
        if self.session.as_ref().is_some_and(|session| session.client.is_closed()) {
            self.drop_session();
        }
        let mut attempts = 0;
        while self.session.is_none() {
            let opened = timeout(self.shared.settings.patience, Session::open(&self.shared)).await;
            let error = match opened {
                Ok(Ok(session)) => {
                    self.session = Some(session);
                    break;
                }
                Ok(Err(error)) => StoreError::unavailable(reason(&error)),
                Err(_) => StoreError::unavailable("the database does not answer"),
            };
            attempts += 1;
            if begun.elapsed() >= self.shared.settings.patience {
                return Err(error);
            }
            self.back_off(attempts + SLOWER).await;
        }
        self.session.as_mut().ok_or(StoreError::Closed)
    }

    /// What became of a commit: its number, or `None` if it has not happened and never will.
    async fn find_out(
        &mut self,
        slot: i64,
        op: i64,
        lost: &StoreError,
    ) -> Result<Option<CommitNo>, StoreError> {
        tracing::warn!(error = %lost, "the connection was lost in a commit; looking what happened");
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            let asked = timeout(ANSWER_PATIENCE, self.take_over(slot)).await;
            match asked {
                Ok(Ok(Some((last, number)))) if last == op => return Ok(Some(number)),
                // Without its slot a commit does nothing.
                Ok(Ok(_)) => return Ok(None),
                Ok(Err(_)) | Err(_) => {}
            }
            attempts += 1;
            if begun.elapsed() >= self.shared.settings.outcome_patience {
                let error = StoreError::outcome_unknown(lost);
                tracing::error!(%error, "a commit's outcome could not be found out");
                return Err(error);
            }
            self.back_off(attempts + SLOWER).await;
        }
    }

    /// The last commit of a slot, which takes no more from now on.
    async fn take_over(&self, slot: i64) -> Result<Option<(i64, CommitNo)>, StoreError> {
        let client = self.shared.db.helper().await?;
        let row = client.query_opt(sql::TAKE_OVER, &[&slot]).await;
        let row = row.map_err(|error| crate::error::write_failed(&error))?;
        Ok(row.map(|row| (row.get(0), CommitNo(row.get::<_, i64>(1).unsigned_abs()))))
    }

    /// Waits a little longer each time, and never as long as others who wait.
    async fn back_off(&mut self, attempts: u32) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let most = BACK_OFF_MIN * 2_u32.saturating_pow(attempts.min(BACK_OFF_STEPS));
        let micros = u64::try_from(most.as_micros()).unwrap_or(1).max(1);
        sleep(Duration::from_micros(micros / 2 + self.random % micros)).await;
    }

    fn drop_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.task.abort();
        }
    }

    /// Leaves in good order.
    async fn retire(mut self) {
        if let Some(session) = self.session.take() {
            let delete = "DELETE FROM pillarbox_slots WHERE id = $1";
            let _ =
                timeout(GOODBYE_PATIENCE, session.client.execute(delete, &[&session.slot])).await;
        }
    }
}

impl Session {
    async fn open(shared: &Shared) -> Result<Self, tokio_postgres::Error> {
        let (client, task) = shared.connector.open(Use::Write).await?;
        let commit = client.prepare(sql::COMMIT).await?;
        let more = client.prepare(sql::MORE).await?;
        let slot = client.query_one(sql::NEW_SLOT, &[]).await?.try_get(0)?;
        Ok(Self { client, task, commit, more, slot, epoch: 0, op: 0 })
    }

    async fn send(&self, plan: &Plan<'_>, bodies: &Bodies) -> Result<Reply, tokio_postgres::Error> {
        match plan.parts.as_slice() {
            [] => Ok(Reply::ShutOut),
            [only] => self.statement(plan, bodies, only).await,
            [first, rest @ ..] => {
                let sent = self.transaction(plan, bodies, first, rest).await;
                if !matches!(sent, Ok(Reply::Done { .. })) {
                    // Fails with the connection, if that is what is wrong.
                    self.client.batch_execute("ROLLBACK").await?;
                }
                sent
            }
        }
    }

    async fn statement(
        &self,
        plan: &Plan<'_>,
        bodies: &Bodies,
        part: &Part<'_>,
    ) -> Result<Reply, tokio_postgres::Error> {
        let slot = [self.slot, self.epoch, self.op];
        let parameters = plan.parameters(&slot, part);
        let row = self.client.query_one(&self.commit, &parameters).await?;
        Reply::read(&row, bodies)
    }

    /// A commit too large for one statement.
    async fn transaction(
        &self,
        plan: &Plan<'_>,
        bodies: &Bodies,
        first: &Part<'_>,
        rest: &[Part<'_>],
    ) -> Result<Reply, tokio_postgres::Error> {
        self.client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
        let mut reply = self.statement(plan, bodies, first).await?;
        if let Reply::Done { number, objects } = &mut reply {
            let number = i64::try_from(number.0).unwrap_or(i64::MAX);
            for part in rest {
                let row = self.client.query_one(&self.more, &part.parameters(&number)).await?;
                objects.extend(row.try_get::<_, Option<Vec<String>>>(0)?.unwrap_or_default());
            }
            self.client.batch_execute("COMMIT").await?;
        }
        Ok(reply)
    }
}

/// How long a commit is tried again while others get in its way. Nothing was written then.
const RETRY_PATIENCE: Duration = Duration::from_secs(20);

/// The server gives up sooner; after this the connection counts as lost.
const ANSWER_PATIENCE: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(10));

/// A closing store does not wait long for a database that has gone.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// The first pause between two attempts; it doubles up to `BACK_OFF_STEPS` times.
const BACK_OFF_MIN: Duration = Duration::from_micros(500);
const BACK_OFF_STEPS: u32 = 8;

/// Attempts to connect begin with longer pauses.
const SLOWER: u32 = 4;
