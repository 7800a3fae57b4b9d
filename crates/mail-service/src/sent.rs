//! What people have sent, kept once in their mailbox for it.
//!
//! With [`SaveSent::Yes`] submission keeps a copy of what it takes. Most clients store one as well,
//! with APPEND, some before they submit and some after it; theirs has the same Message-ID. What
//! comes second within minutes is not stored: it is answered with the UID of the first.
//!
//! The rule stands here and not in a shell, because both ways must keep to it, and it is exact for
//! any number of sessions and nodes. The commit that stores the first copy writes a mark into the
//! account, under the hash of the Message-ID, that says where the copy is. The sequencer decides
//! the second only on a state of which it knows that there is no mark ([`crate::sequencer`]), so
//! two that come at the same moment cannot both be stored. A mark of a copy that is old or was
//! expunged is ignored by its exact value, so of two that find it only one is stored in its place.
//!
//! It holds for one message at a time: a MULTIAPPEND is somebody's archive, and REPLACE says itself
//! what it replaces. What the client wanted of its copy besides, flags but `\Seen` and a date, is
//! not added to the copy that is there.

use mail_types::{AccountId, Flags, InternalDate, MailboxId, SpecialUse, SystemFlags, UidSet};
use mailbox::{Account, Actor, Annotations, Outcome};

use crate::codec::rows::decode_membership;
use crate::codec::sent::SentMark;
use crate::delivery::Route;
use crate::error::ServiceError;
use crate::handle::{AccountHandle, NewMail};
use crate::keys::{AccountKey, AccountKeys};
use crate::limits::SaveSent;
use crate::open::{MarkValue, Once};
use crate::service::Service;
use crate::staging::{Staged, Staging};
use crate::thread::hash;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was stored.
    Now,
    /// The same message is there already.
    Before,
    /// The account has no mailbox for sent mail.
    Nowhere,
}

impl Service {
    /// Begins to take a message that this account sends, if copies are kept.
    #[must_use]
    pub fn stage_sent(&self, account: AccountId) -> Option<Staging> {
        let route = Route { account, detail: None };
        (self.shared.config.save_sent == SaveSent::Yes).then(|| self.stage_delivery(&[route]))
    }

    /// Keeps what an account has sent in its mailbox for sent mail; durable when it returns.
    ///
    /// # Errors
    /// `Refused` if there is no room; as [`AccountHandle::append`].
    pub async fn keep_sent(
        &self,
        account: AccountId,
        staged: Staged,
    ) -> Result<Kept, ServiceError> {
        let account = self.account(account).await?;
        let state = account.state().await?;
        let Some(mailbox) = mailboxes(&state).next() else { return Ok(Kept::Nowhere) };
        let mail = NewMail {
            staged,
            flags: Flags::system(SystemFlags::SEEN),
            date: InternalDate::utc(self.now_secs()),
            annotations: Annotations::default(),
        };
        account.append_sent(mailbox, mail).await.map(|(_, _, kept)| kept)
    }
}

/// The mailboxes for sent mail, of which there is at most one. RFC 6154 §2
fn mailboxes(account: &Account) -> impl Iterator<Item = MailboxId> {
    let records = account.mailboxes().map(mailbox::Mailbox::record);
    let sent = records.filter(|record| record.special_use.contains(SpecialUse::Sent));
    sent.map(|record| record.id)
}

impl AccountHandle {
    /// The one message of an APPEND that is a copy of something sent, or what is none.
    pub(crate) fn as_sent(
        &self,
        mailbox: MailboxId,
        mut mails: Vec<NewMail>,
    ) -> Result<NewMail, Vec<NewMail>> {
        let keeps = self.shared().config.save_sent == SaveSent::Yes;
        let is_own = *self.actor() == Actor::Owner;
        if !keeps || !is_own || !mailboxes(&self.current()).any(|sent| sent == mailbox) {
            return Err(mails);
        }
        match (mails.pop(), mails.is_empty()) {
            (Some(mail), true) => Ok(mail),
            (last, _) => {
                mails.extend(last);
                Err(mails)
            }
        }
    }

    /// Stores a copy of something sent, unless it is there. The outcome is that of the copy that is
    /// there then.
    pub(crate) async fn append_sent(
        &self,
        mailbox: MailboxId,
        mail: NewMail,
    ) -> Result<(Account, Outcome, Kept), ServiceError> {
        let id = mail.staged.message().header.message_id.clone().unwrap_or_default();
        if id.is_empty() {
            let added = self.append_once(mailbox, vec![mail], None).await?;
            return Ok((added.0, added.1, Kept::Now));
        }
        let key = AccountKeys::new(self.id()).key(&AccountKey::Sent(hash(&id)));
        for _ in 0..ATTEMPTS_MAX {
            let at = self.shared().world.clock.now_secs();
            let mark = self.sent_mark(key.clone()).await?;
            if let Some(mark) = &mark
                && mark.exists
                && mark.mark.mailbox == mailbox
                && mark.mark.is_fresh(at)
            {
                return self.found(&mark.mark).await;
            }
            let once = Once {
                key: key.clone(),
                value: MarkValue::Sent { at, mailbox },
                ignored: mark.map(|mark| mark.value),
                absent_since: None,
            };
            let again = NewMail {
                staged: mail.staged.clone(),
                flags: mail.flags.clone(),
                date: mail.date,
                annotations: mail.annotations.clone(),
            };
            match self.append_once(mailbox, vec![again], Some(once)).await? {
                // Another one was first: where it is stands in its mark.
                (_, Outcome::Done) => {}
                (account, added) => return Ok((account, added, Kept::Now)),
            }
        }
        Err(ServiceError::Busy)
    }

    /// The mark under this key, and whether what it stands for is still there.
    async fn sent_mark(&self, key: Vec<u8>) -> Result<Option<Found>, ServiceError> {
        let keys = AccountKeys::new(self.id());
        let read = self.shared().read(move |view| {
            let Some(value) = view.get(&key)? else { return Ok(None) };
            let mark = SentMark::decode(&key, &value)?;
            let row = keys.key(&AccountKey::Membership(mark.mailbox, mark.uid));
            let exists = match view.get(&row)? {
                None => false,
                // What is about to be expunged is no copy to rely on.
                Some(kept) => {
                    let kept = decode_membership(&row, &kept, mark.uid)?;
                    !kept.system.contains(SystemFlags::DELETED)
                }
            };
            Ok(Some(Found { value, mark, exists }))
        });
        read.await
    }

    /// Tells of a copy as if it had been stored just now.
    async fn found(&self, mark: &SentMark) -> Result<(Account, Outcome, Kept), ServiceError> {
        let account = self.state().await?;
        let outcome = Outcome::Added {
            uid_validity: mark.uid_validity,
            uids: UidSet::single(mark.uid),
            messages: Vec::new(),
            modseq: None,
        };
        Ok((account, outcome, Kept::Before))
    }
}

/// A mark as it was read.
struct Found {
    value: Vec<u8>,
    mark: SentMark,
    exists: bool,
}

/// Times that others may be faster: each of them has stored what this one wants to store, and
/// somebody has expunged it since.
const ATTEMPTS_MAX: usize = 8;
