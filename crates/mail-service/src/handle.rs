//! One account, as shells use it.

use std::ops::Range;
use std::sync::Arc;

use mail_types::{AccountId, Flags, InternalDate, MailboxId, MessageId, Uid};
use mailbox::{
    Account, Actor, Annotations, MailboxSnapshot, NewMessage, Operation, Outcome, Refusal,
};
use store::BlobReader;
use tokio::sync::watch;

use crate::contents::MailboxPin;
use crate::error::ServiceError;
use crate::keys::AccountKeys;
use crate::limits::{READ_CHUNK_BYTES, ROWS_PER_READ_MAX, Sharing};
use crate::open::{Once, OpenAccount};
use crate::rows::MessageRow;
use crate::service::{Shared, blocking};
use crate::staging::{Staged, Staging};

/// An account that is open. Cheap to clone; the account stays open while there is a handle.
#[derive(Clone)]
pub struct AccountHandle {
    shared: Arc<Shared>,
    open: Arc<OpenAccount>,
    hidden: Arc<[String]>,
    actor: Actor,
}

/// A staged message and what it shall be in its mailbox.
pub struct NewMail {
    /// The message, staged for this account.
    pub staged: Staged,
    /// Flags to begin with.
    pub flags: Flags,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Annotations to begin with. RFC 5257 §4.7
    pub annotations: Annotations,
}

impl NewMail {
    /// An annotation can only be of a body part that the message has. RFC 5257 §3.2.1
    fn check_parts(&self) -> Result<(), ServiceError> {
        let message = self.staged.message();
        let mut parts = self.annotations.iter().filter_map(|(name, ..)| name.part());
        match parts.all(|part| message.part(&part).is_some()) {
            true => Ok(()),
            false => Err(ServiceError::Refused(Refusal::NoSuchPart)),
        }
    }

    /// What the rules of mail know of it; the sequencer chooses its conversation.
    fn message(self) -> NewMessage {
        NewMessage {
            message: None,
            thread: None,
            size: self.staged.size(),
            internal_date: self.date,
            flags: self.flags,
            annotations: self.annotations,
        }
    }
}

impl AccountHandle {
    pub(crate) fn new(shared: &Arc<Shared>, open: Arc<OpenAccount>) -> Self {
        Self { shared: Arc::clone(shared), open, hidden: Arc::default(), actor: Actor::Owner }
    }

    /// The same account as another user sees it, who may do what its lists grant.
    pub(crate) fn with_guest(self, guest: &Arc<str>) -> Self {
        Self { actor: Actor::Guest(Arc::clone(guest)), ..self }
    }

    pub(crate) fn open(&self) -> &Arc<OpenAccount> {
        &self.open
    }

    pub(crate) fn with_hidden(self, hidden: Vec<String>) -> Self {
        Self { hidden: hidden.into(), ..self }
    }

    /// Capabilities that are not to be announced to whoever logged in with this handle, as they
    /// were at the login; in capitals.
    #[must_use]
    pub fn hidden_capabilities(&self) -> &[String] {
        &self.hidden
    }

    /// The login name of the account that this handle opens; empty if its credential is damaged.
    #[must_use]
    pub fn name(&self) -> &str {
        self.open.name()
    }

    /// Who asks for changes with this handle. What a guest may read the caller has to ask of
    /// [`Account::rights`]: only changes are refused here.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Which account.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.open.id()
    }

    /// The newest state known here, without waiting. With [`Sharing::Exclusive`] it is as good as
    /// [`AccountHandle::state`].
    #[must_use]
    pub fn current(&self) -> Account {
        self.open.current()
    }

    /// A state at least as new as any commit that was acknowledged before this call, by whatever
    /// process.
    ///
    /// # Errors
    /// `NoSuchAccount` if it was removed; errors of the store.
    pub async fn state(&self) -> Result<Account, ServiceError> {
        match self.shared.config.sharing {
            Sharing::Exclusive if self.open.is_running() => Ok(self.open.current()),
            Sharing::Exclusive => Err(ServiceError::NoSuchAccount),
            Sharing::Shared => self.open.refresh().await,
        }
    }

    /// Opens a mailbox: the state has its contents, and so has every newer one until the pin is
    /// dropped. Many callers at once cause one load.
    ///
    /// # Errors
    /// `NoSuchMailbox`, `NoSuchAccount`, `Corrupt`, `Inconsistent`, errors of the store.
    pub async fn load(&self, mailbox: MailboxId) -> Result<(Account, MailboxPin), ServiceError> {
        let pin = self.open.pins().pin(mailbox, Arc::clone(&self.open));
        let current = self.state().await?;
        let is_loaded = current.mailbox(mailbox).is_some_and(|m| m.contents().is_some());
        let account = if is_loaded { current } else { self.open.load(mailbox).await? };
        if account.mailbox(mailbox).is_none() {
            return Err(ServiceError::NoSuchMailbox);
        }
        self.note_use(&account, mailbox);
        Ok((account, pin))
    }

    /// Has an operation decided and committed; durable when it returns. The state in the answer
    /// has the change, and perhaps later ones. Dropping the future does not undo the operation.
    ///
    /// # Errors
    /// `Refused` by the rules of mail; `NoSuchAccount`, `ChangeTooLarge`, `StorageFull`, `Busy`:
    /// nothing changed; `WriteRefused`: unknown; other errors of the store.
    pub async fn submit(&self, operation: Operation) -> Result<(Account, Outcome), ServiceError> {
        let used = mailboxes_of(&operation);
        let (account, outcome) =
            self.open.submit(self.actor.clone(), operation, Vec::new()).await?;
        let created = match &outcome {
            Outcome::Created { id, .. } => Some(*id),
            _ => None,
        };
        for mailbox in used.into_iter().flatten().chain(created) {
            self.note_use(&account, mailbox);
        }
        Ok((account, outcome))
    }

    /// Begins to take a message for this account.
    #[must_use]
    pub fn stage(&self) -> Staging {
        Staging::new(&self.shared, vec![self.open.id()])
    }

    /// Adds staged messages in this order, all or none; durable when it returns.
    ///
    /// # Errors
    /// As [`AccountHandle::submit`]; `NoSuchMessage` if one was staged for another account.
    pub async fn append(
        &self,
        mailbox: MailboxId,
        mails: Vec<NewMail>,
    ) -> Result<(Account, Outcome), ServiceError> {
        match self.as_sent(mailbox, mails) {
            Ok(mail) => {
                self.append_sent(mailbox, mail).await.map(|(account, kept, _)| (account, kept))
            }
            Err(mails) => self.append_once(mailbox, mails, None).await,
        }
    }

    /// As [`AccountHandle::append`], with a mark; `Done` if the mark was there already.
    pub(crate) async fn append_once(
        &self,
        mailbox: MailboxId,
        mails: Vec<NewMail>,
        once: Option<Once>,
    ) -> Result<(Account, Outcome), ServiceError> {
        let mut rows = Vec::with_capacity(mails.len());
        let mut messages = Vec::with_capacity(mails.len());
        for mail in mails {
            let row = mail.staged.row(self.open.id()).ok_or(ServiceError::NoSuchMessage)?;
            rows.push(Arc::clone(row));
            mail.check_parts()?;
            messages.push(mail.message());
        }
        let operation = Operation::AddMessages { mailbox, messages };
        let actor = self.actor.clone();
        let added = self.open.submit_once(actor, operation, rows, once).await?;
        self.note_use(&added.0, mailbox);
        Ok(added)
    }

    /// Adds a staged message and expunges another one, both or nothing; durable when it returns.
    /// RFC 8508 §3.4
    ///
    /// # Errors
    /// As [`AccountHandle::append`].
    pub async fn replace(
        &self,
        (from, uid): (MailboxId, Uid),
        to: MailboxId,
        mail: NewMail,
    ) -> Result<(Account, Outcome), ServiceError> {
        let row = mail.staged.row(self.open.id()).ok_or(ServiceError::NoSuchMessage)?;
        let rows = vec![Arc::clone(row)];
        mail.check_parts()?;
        let operation = Operation::Replace { from, uid, to, message: mail.message() };
        let replaced = self.open.submit(self.actor.clone(), operation, rows).await?;
        self.note_use(&replaced.0, from);
        self.note_use(&replaced.0, to);
        Ok(replaced)
    }

    /// The rows of these messages in the order asked, at most
    /// [`ROWS_PER_READ_MAX`](crate::limits::ROWS_PER_READ_MAX); `None` for one that does not exist.
    ///
    /// # Errors
    /// `Corrupt`, `Busy` if too many were asked for, errors of the store.
    pub async fn rows(
        &self,
        messages: &[MessageId],
    ) -> Result<Vec<Option<Arc<MessageRow>>>, ServiceError> {
        if messages.len() > ROWS_PER_READ_MAX {
            return Err(ServiceError::Busy);
        }
        let (shared, id, messages) = (Arc::clone(&self.shared), self.open.id(), messages.to_vec());
        blocking(move || shared.rows_of(id, &messages)).await
    }

    /// Parts of messages, in the order asked; `None` for a message that does not exist. What lies
    /// beyond a message's end is left out. The caller bounds the sum of the ranges.
    ///
    /// # Errors
    /// `Store(Corrupt)` if stored bytes are damaged: never wrong bytes. Errors of the store.
    pub async fn read(
        &self,
        parts: Vec<(MessageId, Range<u64>)>,
    ) -> Result<Vec<Option<Vec<u8>>>, ServiceError> {
        let (shared, id) = (Arc::clone(&self.shared), self.open.id());
        blocking(move || {
            parts.into_iter().map(|(message, range)| shared.bytes_of(id, message, range)).collect()
        })
        .await
    }

    /// As [`AccountHandle::read`], with an answer for each part: one that cannot be read does not
    /// hide the others.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn read_each(
        &self,
        parts: Vec<(MessageId, Range<u64>)>,
    ) -> Result<Vec<Result<Option<Vec<u8>>, ServiceError>>, ServiceError> {
        let (shared, id) = (Arc::clone(&self.shared), self.open.id());
        let read = move |(message, range)| shared.bytes_of(id, message, range);
        blocking(move || Ok(parts.into_iter().map(read).collect())).await
    }

    /// Opens a message to be read piece by piece; `None` if it does not exist.
    ///
    /// # Errors
    /// As [`AccountHandle::read`].
    pub async fn open_message(
        &self,
        message: MessageId,
    ) -> Result<Option<MessageReader>, ServiceError> {
        let (shared, id) = (Arc::clone(&self.shared), self.open.id());
        blocking(move || {
            let Some(row) = shared.rows_of(id, &[message])?.pop().flatten() else {
                return Ok(None);
            };
            let keys = AccountKeys::new(id);
            let reader = shared.store.open_blob(keys.prefix(), &row.blob)?;
            Ok(Some(MessageReader { reader: Arc::from(reader), _staged: None }))
        })
        .await
    }

    /// Opens a staged message to be read piece by piece, though nothing names it yet.
    ///
    /// # Errors
    /// `NoSuchMessage` if it was staged for another account; as [`AccountHandle::read`].
    pub async fn open_staged(&self, staged: Staged) -> Result<MessageReader, ServiceError> {
        let (shared, id) = (Arc::clone(&self.shared), self.open.id());
        blocking(move || {
            let row = staged.row(id).ok_or(ServiceError::NoSuchMessage)?;
            let keys = AccountKeys::new(id);
            let reader = shared.store.open_blob(keys.prefix(), &row.blob())?;
            Ok(MessageReader { reader: Arc::from(reader), _staged: Some(staged) })
        })
        .await
    }

    /// Counts the contents of a mailbox, if they are in memory, as used just now.
    fn note_use(&self, account: &Account, mailbox: MailboxId) {
        let contents = account.mailbox(mailbox).and_then(|mailbox| mailbox.contents());
        if let Some(contents) = contents {
            let annotations = contents.counts().annotation_bytes;
            let annotations = usize::try_from(annotations).unwrap_or(usize::MAX);
            let entries = usize::try_from(contents.len()).unwrap_or(usize::MAX);
            // What annotations take counts as so many messages more.
            let entries = entries.saturating_add(annotations / MailboxSnapshot::ENTRY_BYTES);
            self.shared.contents.used(&self.open, mailbox, entries);
        }
    }

    /// Follows the account: wakes when it changes, and holds the newest state. An account that is
    /// removed becomes one without mailboxes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Account> {
        self.open.watch()
    }
}

/// The mailboxes whose contents an operation reads or changes.
fn mailboxes_of(operation: &Operation) -> [Option<MailboxId>; 2] {
    match operation {
        Operation::SetFlags { mailbox, .. }
        | Operation::Annotate { mailbox, .. }
        | Operation::Expunge { mailbox, .. }
        | Operation::AddMessages { mailbox, .. } => [Some(*mailbox), None],
        Operation::Copy { from, to, .. }
        | Operation::Move { from, to, .. }
        | Operation::Replace { from, to, .. } => [Some(*from), Some(*to)],
        _ => [None, None],
    }
}

/// The bytes of one message, for a shell that streams them. Works on when the message is swept.
#[derive(Clone)]
pub struct MessageReader {
    reader: Arc<dyn BlobReader>,
    /// Keeps the bytes of a message that nothing names yet.
    _staged: Option<Staged>,
}

impl MessageReader {
    pub(crate) fn of_blob(reader: Box<dyn BlobReader>) -> Self {
        Self { reader: Arc::from(reader), _staged: None }
    }

    /// RFC822.SIZE.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// The next piece of a range, at most 64 KiB; empty only at its end or the message's.
    ///
    /// # Errors
    /// `Store(Corrupt)` if stored bytes are damaged: never wrong bytes. Errors of the store.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ServiceError> {
        let reader = Arc::clone(&self.reader);
        let length = range.end.saturating_sub(range.start);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(READ_CHUNK_BYTES);
        blocking(move || Ok(reader.read_at(range.start, length)?)).await
    }
}
