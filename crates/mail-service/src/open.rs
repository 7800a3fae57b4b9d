//! An account that is open: what its handles share with its sequencer.

use std::sync::Arc;

use mail_types::{AccountId, MailboxId, Uid};
use mailbox::{Account, Actor, Operation, Outcome};
use store::{View, Watch};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::sent::SentMark;
use crate::contents::Pins;
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::limits::{Sharing, WAITING_OPERATIONS_MAX};
use crate::loader::load_account;
use crate::login::load_credential;
use crate::sequencer::Sequencer;
use crate::service::Shared;
use crate::staging::StagedRow;

/// What the handles of an account and its sequencer share.
pub(crate) struct OpenAccount {
    id: AccountId,
    name: Arc<str>,
    keys: AccountKeys,
    published: Arc<watch::Sender<Account>>,
    pins: Arc<Pins>,
    requests: mpsc::Sender<Request>,
}

/// An answer to whoever submitted an operation.
pub(crate) type Answer = Result<(Account, Outcome), ServiceError>;

/// What the sequencer is asked to do.
pub(crate) enum Request {
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

/// An operation and who waits for it.
pub(crate) struct Pending {
    /// Who asks.
    pub(crate) actor: Actor,
    pub(crate) operation: Operation,
    /// For `AddMessages`: the rows of the new messages, in order.
    pub(crate) staged: Vec<Arc<StagedRow>>,
    /// The row that says that this was done, which is written with it: if the row is there already,
    /// there is nothing to do.
    pub(crate) once: Option<Box<Once>>,
    pub(crate) answer: oneshot::Sender<Answer>,
    pub(crate) attempts: u32,
    /// Attempts whose outcome was not told, oldest first.
    pub(crate) unsure: Vec<Unsure>,
    /// The account stays open until the answer is given.
    _account: Arc<OpenAccount>,
}

/// An operation that is done once, whoever asks for it how often.
pub(crate) struct Once {
    /// The mark's key in the account.
    pub(crate) key: Vec<u8>,
    /// Its value.
    pub(crate) value: MarkValue,
    /// A mark with this value counts as none and is replaced: whoever asks has seen that what it
    /// stands for is no more.
    pub(crate) ignored: Option<Vec<u8>>,
    /// The load of the account since which it is known that there is no mark.
    pub(crate) absent_since: Option<u64>,
}

/// What a mark says.
pub(crate) enum MarkValue {
    /// This, whatever comes of the operation.
    Fixed(Vec<u8>),
    /// Where the message that the operation adds is, and since when.
    Sent {
        /// In seconds since 1970.
        at: i64,
        /// The mailbox that it is added to.
        mailbox: MailboxId,
    },
}

impl MarkValue {
    /// The value for an operation that comes to this.
    pub(crate) fn of(&self, outcome: &Outcome) -> Vec<u8> {
        match (self, outcome) {
            (Self::Fixed(value), _) => value.clone(),
            (Self::Sent { at, mailbox }, Outcome::Added { uid_validity, uids, .. }) => {
                let (at, mailbox, uid_validity) = (*at, *mailbox, *uid_validity);
                let uid = uids.iter().next().unwrap_or(Uid::MIN);
                SentMark { at, mailbox, uid_validity, uid }.encode()
            }
            // Nothing else adds a message.
            (Self::Sent { .. }, _) => Vec::new(),
        }
    }
}

/// A commit that may have happened.
pub(crate) struct Unsure {
    /// Its mark.
    pub(crate) mark: u128,
    /// The mark of the head that it was built on.
    pub(crate) base: u128,
    /// What it would have come to.
    pub(crate) outcome: Outcome,
}

impl OpenAccount {
    /// Loads the account and starts its sequencer.
    pub(crate) async fn start(
        shared: &Arc<Shared>,
        id: AccountId,
    ) -> Result<Arc<Self>, ServiceError> {
        let keys = AccountKeys::new(id);
        let (name, (account, row)) = {
            let keys = keys.clone();
            let read = move |view: &dyn View| Ok((name_of(view, id)?, load_account(view, &keys)?));
            shared.read(read).await?
        };
        if row.frozen {
            return Err(ServiceError::Moving);
        }
        let mut seed = [0; 8];
        if !shared.world.random.fill(&mut seed) {
            return Err(ServiceError::NoRandomness);
        }
        let (requests, queue) = mpsc::channel(WAITING_OPERATIONS_MAX);
        let open = Arc::new(Self {
            id,
            name,
            keys,
            published: Arc::new(watch::Sender::new(account.clone())),
            pins: Arc::default(),
            requests,
        });
        let sequencer = Sequencer::new(shared, &open, queue, (account, row), seed);
        tokio::spawn(sequencer.run());
        Ok(open)
    }

    pub(crate) fn id(&self) -> AccountId {
        self.id
    }

    /// Its login name; empty if it has no credential that could be read.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn keys(&self) -> &AccountKeys {
        &self.keys
    }

    pub(crate) fn published(&self) -> &Arc<watch::Sender<Account>> {
        &self.published
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
        actor: Actor,
        operation: Operation,
        staged: Vec<Arc<StagedRow>>,
    ) -> Answer {
        self.submit_once(actor, operation, staged, None).await
    }

    /// As [`OpenAccount::submit`], unless it was done before: `Refused(AlreadyDone)`, if there is a
    /// mark that says so.
    pub(crate) async fn submit_once(
        self: &Arc<Self>,
        actor: Actor,
        operation: Operation,
        staged: Vec<Arc<StagedRow>>,
        once: Option<Once>,
    ) -> Answer {
        let once = once.map(Box::new);
        let (answer, answered) = oneshot::channel();
        let _account = Arc::clone(self);
        let (attempts, unsure) = (0, Vec::new());
        let pending =
            Pending { actor, operation, staged, once, answer, attempts, unsure, _account };
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

    /// Whom the hints of the store are for.
    pub(crate) fn hinted(&self) -> mpsc::WeakSender<Request> {
        self.requests.downgrade()
    }
}

/// Mail is delivered to an account whose credential is damaged, too: it only shares nothing.
fn name_of(view: &dyn View, id: AccountId) -> Result<Arc<str>, ServiceError> {
    match load_credential(view, id) {
        Ok(found) => Ok(found.map_or_else(Arc::default, |found| found.credential.name.into())),
        Err(error) if error.is_damage() => Ok(Arc::default()),
        Err(error) => Err(error),
    }
}

/// Other processes' commits are heard of by hints, if there are other processes.
pub(crate) fn follow(
    shared: &Shared,
    keys: &AccountKeys,
    hinted: &mpsc::WeakSender<Request>,
) -> Option<Watch> {
    if shared.config.sharing == Sharing::Exclusive {
        return None;
    }
    let head = keys.key(&AccountKey::Head);
    let requests = hinted.clone();
    let wake = move || {
        if let Some(requests) = requests.upgrade() {
            // A full queue will be decided soon, and that looks at the head too.
            let _ = requests.try_send(Request::Hint);
        }
    };
    Some(shared.store.watch(&head, Box::new(wake)))
}
