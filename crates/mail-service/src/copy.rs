//! COPY from one account to another. RFC 9051 §6.4.7, RFC 4314 §4
//!
//! Accounts share no bytes, so each message is read and staged again in the target's account, piece
//! by piece. Nobody sees any of them before all are there: they are added in one commit, with their
//! flags as far as the target's rights go, and their dates.

use std::sync::Arc;

use mail_types::{MailboxId, MessageId, Uid, UidSet};
use mailbox::{
    Account, Context, CopyOutcome, NewMessage, Operation, Outcome, Refusal, Rights, decide,
};
use store::StoreError;
use store::limits::{COMMIT_BYTES_MAX, LEASES_PER_COMMIT_MAX};

use crate::error::ServiceError;
use crate::handle::AccountHandle;
use crate::limits::READ_CHUNK_BYTES;
use crate::staging::StagedRow;

impl AccountHandle {
    /// Copies messages to a mailbox of `target`, all or none; durable when it returns. Messages
    /// that do not exist are passed over. The state in the answer is the target's.
    ///
    /// # Errors
    /// `Refused` by the rules of mail or for want of a right: to read here, to insert there;
    /// `ChangeTooLarge` if it is more than one commit takes; as [`AccountHandle::submit`] and
    /// [`AccountHandle::read`].
    pub async fn copy_to(
        &self,
        from: MailboxId,
        uids: &UidSet,
        target: &AccountHandle,
        to: MailboxId,
    ) -> Result<(Account, CopyOutcome), ServiceError> {
        if self.id() == target.id() {
            let operation = Operation::Copy { from, to, uids: uids.clone() };
            return match self.submit(operation).await? {
                (account, Outcome::Copied(outcome)) => Ok((account, outcome)),
                // The outcome of a copy is nothing else.
                _ => Err(ServiceError::Busy),
            };
        }
        let copies = self.readable(from, uids).await?;
        let messages: Vec<_> = copies.iter().map(|copy| copy.message.clone()).collect();
        let operation = Operation::AddMessages { mailbox: to, messages };
        // What would be refused behind it is refused before anything is read.
        let context = Context { now: self.shared().world.clock.now_secs() };
        decide(&target.state().await?, target.actor(), &operation, &context)?;
        let mut rows = Vec::with_capacity(copies.len());
        let mut bytes = 0;
        for copy in &copies {
            let row = self.stage_copy(copy, target).await?;
            bytes += row.row_bytes();
            if bytes > COMMIT_BYTES_MAX {
                return Err(ServiceError::ChangeTooLarge);
            }
            rows.push(row);
        }
        let source = copies.iter().map(|copy| copy.uid).collect();
        let added = target.open().submit(target.actor().clone(), operation, rows).await?;
        match added {
            (account, Outcome::Added { uid_validity, uids, modseq, .. }) => {
                let target = uids;
                Ok((account, CopyOutcome { uid_validity, source, target, modseq }))
            }
            _ => Err(ServiceError::Busy),
        }
    }

    /// Those of the messages that there are, for whoever has the right to read them.
    async fn readable(&self, from: MailboxId, uids: &UidSet) -> Result<Vec<Copy>, ServiceError> {
        let (account, _pin) = match self.load(from).await {
            Err(ServiceError::NoSuchMailbox) => return Err(Refusal::NonExistent.into()),
            other => other?,
        };
        let held = account.rights(from, self.actor());
        if !held.contains(Rights::READ) {
            let visible = held.contains(Rights::LOOKUP);
            return Err(Refusal::NoPermission { visible }.into());
        }
        let contents = account.mailbox(from).and_then(|mailbox| mailbox.contents());
        let contents = contents.ok_or(ServiceError::NoSuchMailbox)?;
        let mut copies = Vec::new();
        for (_, entry) in contents.select(uids) {
            if copies.len() == LEASES_PER_COMMIT_MAX {
                return Err(ServiceError::ChangeTooLarge);
            }
            let message = NewMessage {
                message: None,
                thread: None,
                size: entry.size(),
                internal_date: entry.internal_date(),
                flags: entry.flags(),
                // What is private stays with whose it is. RFC 5257 §4.6
                annotations: entry.annotations().shared(),
            };
            copies.push(Copy { uid: entry.uid(), stored: entry.message(), message });
        }
        Ok(copies)
    }

    /// Stages a message of this account in another one. Only what its row needs is kept.
    async fn stage_copy(
        &self,
        copy: &Copy,
        target: &AccountHandle,
    ) -> Result<Arc<StagedRow>, ServiceError> {
        let reader = self.open_message(copy.stored).await?.ok_or(ServiceError::NoSuchMessage)?;
        let mut staging = target.stage();
        let mut at = 0;
        while at < reader.size() {
            let piece = reader.read(at..at + READ_CHUNK_BYTES as u64).await?;
            at += piece.len() as u64;
            staging.push(&piece).await?;
        }
        let staged = staging.finish().await?;
        if staged.size() != copy.message.size {
            let what = format_args!("{} is not as long as its row says", copy.stored);
            return Err(StoreError::corrupt(what).into());
        }
        let row = staged.row(target.id()).ok_or(ServiceError::NoSuchMessage)?;
        Ok(Arc::clone(row))
    }
}

/// A message to be copied.
struct Copy {
    uid: Uid,
    /// Where it is read.
    stored: MessageId,
    message: NewMessage,
}
