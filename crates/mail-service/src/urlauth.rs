//! URLs that carry their own authorization: who may read what they name is decided here and nowhere
//! else. RFC 4467
//!
//! Each mailbox has an access key, which is drawn when it is first needed, is known to nobody but
//! this service, and goes with the mailbox. A token is an HMAC of the URL up to its access
//! identifier, in hexadecimal digits behind two that name the algorithm. RFC 4467 §2.4.1
//!
//! Whatever is wrong with a URL, the answer is the same, and an HMAC has been computed for it: with
//! an invented key if there is no mailbox. RFC 4467 §6

use aws_lc_rs::{constant_time, hmac};
use mail_types::{AccountId, MailboxId, MailboxName, MessageId, Uid, UidValidity};
use mailbox::{Actor, Refusal};
use store::limits::WRITES_PER_COMMIT_MAX;
use store::{Commit, Expected, StoreError, View, Write};

use crate::auth::name::AccountName;
use crate::codec::rows::{AccessKeyBytes, HeadRow, decode_access_key, encode_access_key};
use crate::error::ServiceError;
use crate::handle::AccountHandle;
use crate::keys::{AccountKey, AccountKeys};
use crate::loader::load_account;
use crate::login::resolve;
use crate::rows::MessageRow;
use crate::service::{Service, Shared, blocking};

/// A URL that ends in its access identifier: what is to be authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rump {
    /// The user before the `@`.
    pub owner: String,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The whole text.
    pub text: String,
}

/// A URL that claims to be authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedUrl {
    /// The user before the `@`, whose mailbox it is.
    pub owner: String,
    /// The mailbox.
    pub mailbox: String,
    /// Its UIDVALIDITY, if the URL says it.
    pub uid_validity: Option<UidValidity>,
    /// The message.
    pub uid: Uid,
    /// Who may use it.
    pub access: UrlAccess,
    /// The last second in which it is valid.
    pub expire: Option<i64>,
    /// The text that was authorized, exactly.
    pub rump: String,
    /// The proof.
    pub token: String,
}

/// Who may use a URL. RFC 4467 §3
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlAccess {
    /// A message submission server, which has looked for whom it acts.
    Submit,
    /// The submission of this server, on behalf of this user: it asks for him and not by an account
    /// of its own, so he must be who asks. RFC 4468 §3.3
    SubmitFor(String),
    /// This user.
    User(String),
    /// Whoever has logged in: there are no anonymous sessions here.
    AnyUser,
}

/// The message that a URL names, in its owner's account.
pub struct UrlMessage {
    /// The account: for this message only.
    pub owner: AccountHandle,
    /// The message.
    pub message: MessageId,
    /// What was parsed of it.
    pub row: std::sync::Arc<MessageRow>,
}

impl Service {
    /// The message that a URL names, for a session of `requester`; `None` whatever is wrong with
    /// the URL.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn open_url(
        &self,
        requester: AccountId,
        url: &AuthorizedUrl,
    ) -> Result<Option<UrlMessage>, ServiceError> {
        let Some((owner, mailbox)) = self.shared.verify_url(requester, url).await? else {
            return Ok(None);
        };
        let handle = match self.account(owner).await {
            Err(ServiceError::NoSuchAccount) => return Ok(None),
            other => other?,
        };
        let (account, _pin) = match handle.load(mailbox).await {
            Err(ServiceError::NoSuchMailbox) => return Ok(None),
            other => other?,
        };
        let contents = account.mailbox(mailbox).and_then(|mailbox| mailbox.contents());
        let Some(entry) = contents.and_then(|contents| contents.find(url.uid)) else {
            return Ok(None);
        };
        let message = entry.message();
        let row = handle.rows(&[message]).await?.pop().flatten();
        Ok(row.map(|row| UrlMessage { owner: handle, message, row }))
    }
}

impl AccountHandle {
    /// Authorizes URLs on mailboxes of this account: the token of each. Keys that are missing are
    /// drawn. `None` if one has another owner, or a guest asks. RFC 4467 §5
    ///
    /// # Errors
    /// `NoSuchMailbox`, `Moving`, `NoRandomness`, `Busy`, errors of the store.
    pub async fn authorize_urls(
        &self,
        rumps: Vec<Rump>,
    ) -> Result<Option<Vec<String>>, ServiceError> {
        // A guest could read by them what the guest may no longer see.
        if *self.actor() != Actor::Owner {
            return Ok(None);
        }
        let mut tokens = Vec::with_capacity(rumps.len());
        for rump in rumps {
            if self.shared().account_of(&rump.owner).await? != Some(self.id()) {
                return Ok(None);
            }
            let secret = self.access_key(rump.mailbox, Renew::IfMissing).await?;
            tokens.push(token(&secret, &rump.text));
        }
        Ok(Some(tokens))
    }

    /// Draws a new access key for a mailbox, or forgets those of all: what was authorized with the
    /// old ones is so no longer. RFC 4467 §7
    ///
    /// # Errors
    /// `Refused` if a guest asks; as [`AccountHandle::authorize_urls`].
    pub async fn reset_access_keys(&self, mailbox: Option<MailboxId>) -> Result<(), ServiceError> {
        if *self.actor() != Actor::Owner {
            return Err(Refusal::NoPermission { visible: true }.into());
        }
        if let Some(mailbox) = mailbox {
            return self.access_key(mailbox, Renew::Always).await.map(drop);
        }
        let (shared, id) = (std::sync::Arc::clone(self.shared()), self.id());
        blocking(move || shared.forget_access_keys(id)).await
    }

    async fn access_key(
        &self,
        mailbox: MailboxId,
        renew: Renew,
    ) -> Result<AccessKeyBytes, ServiceError> {
        let (shared, id) = (std::sync::Arc::clone(self.shared()), self.id());
        blocking(move || shared.access_key(id, mailbox, renew)).await
    }
}

/// Whether a key that is there is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renew {
    IfMissing,
    Always,
}

impl Shared {
    /// The account that a user's name means.
    async fn account_of(
        self: &std::sync::Arc<Self>,
        user: &str,
    ) -> Result<Option<AccountId>, ServiceError> {
        let Ok(name) = AccountName::new(user) else { return Ok(None) };
        let domains = self.config.domains.clone();
        self.read(move |view| resolve(view, &name, &domains)).await
    }

    /// Whether the URL is what its owner authorized, for this session and now; and what it names.
    async fn verify_url(
        self: &std::sync::Arc<Self>,
        requester: AccountId,
        url: &AuthorizedUrl,
    ) -> Result<Option<(AccountId, MailboxId)>, ServiceError> {
        let owner = self.account_of(&url.owner).await?;
        let (name, validity) = (url.mailbox.clone(), url.uid_validity);
        let found = self.read(move |view| find_key(view, owner, &name, validity)).await?;
        // RFC 4467 §6: a key that could be one, so that a name is not found out by the time taken.
        let secret = found.map_or_else(|| self.invented_key(&url.rump), |(_, _, secret)| secret);
        let is_authentic = is_token(&secret, &url.rump, &url.token);
        let is_in_time = url.expire.is_none_or(|last| self.world.clock.now_secs() <= last);
        let is_allowed = match &url.access {
            UrlAccess::AnyUser => true,
            UrlAccess::SubmitFor(user) | UrlAccess::User(user) => {
                self.account_of(user).await? == Some(requester)
            }
            UrlAccess::Submit => self.is_submission_account(requester).await?,
        };
        let place = found.map(|(owner, mailbox, _)| (owner, mailbox));
        Ok(place.filter(|_| is_authentic && is_in_time && is_allowed))
    }

    async fn is_submission_account(
        self: &std::sync::Arc<Self>,
        requester: AccountId,
    ) -> Result<bool, ServiceError> {
        for user in self.config.submission_accounts.clone() {
            if self.account_of(&user).await? == Some(requester) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn invented_key(&self, rump: &str) -> AccessKeyBytes {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret), rump.as_bytes());
        let mut secret = AccessKeyBytes::default();
        secret.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        secret
    }

    /// The access key of a mailbox, drawn if it has to be. The head is a condition of the commit:
    /// the mailbox is there, and the account is not being moved.
    fn access_key(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        renew: Renew,
    ) -> Result<AccessKeyBytes, ServiceError> {
        let keys = AccountKeys::new(account);
        let key = keys.key(&AccountKey::AccessKey(mailbox));
        for _ in 0..ATTEMPTS_MAX {
            let view = self.store.view()?;
            let (head, value) = unfrozen_head(&*view, &keys)?;
            if view.get(&keys.key(&AccountKey::Mailbox(mailbox)))?.is_none() {
                return Err(ServiceError::NoSuchMailbox);
            }
            let stored = view.get(&key)?;
            if let (Some(stored), Renew::IfMissing) = (&stored, renew) {
                return Ok(decode_access_key(&key, stored)?);
            }
            drop(view);
            let mut secret = AccessKeyBytes::default();
            if !self.world.random.fill(&mut secret) {
                return Err(ServiceError::NoRandomness);
            }
            let before = stored.map_or(Expected::Absent, Expected::Value);
            let commit = Commit::new()
                .when(head, Expected::Value(value))
                .when(key.clone(), before)
                .write(Write::put(key.clone(), encode_access_key(&secret)));
            match self.store.commit_wait(commit) {
                Ok(_) => return Ok(secret),
                // The account changed meanwhile, or another session drew a key: look again.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::Busy)
    }

    fn forget_access_keys(&self, account: AccountId) -> Result<(), ServiceError> {
        let keys = AccountKeys::new(account);
        let mut attempts = 0;
        while attempts < ATTEMPTS_MAX {
            let view = self.store.view()?;
            let (head, value) = unfrozen_head(&*view, &keys)?;
            let page = store::scan_page(&*view, &keys.access_keys(), WRITES_PER_COMMIT_MAX / 2)?;
            drop(view);
            if page.rows.is_empty() {
                return Ok(());
            }
            let mut commit = Commit::new().when(head, Expected::Value(value));
            for (key, _) in page.rows {
                commit = commit.write(Write::delete(key));
            }
            match self.store.commit_wait(commit) {
                Ok(_) => {}
                Err(StoreError::Conflict { .. }) => attempts += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::Busy)
    }
}

/// The head's key and value, of an account that may be changed.
fn unfrozen_head(view: &dyn View, keys: &AccountKeys) -> Result<(Vec<u8>, Vec<u8>), ServiceError> {
    let key = keys.key(&AccountKey::Head);
    let value = view.get(&key)?.ok_or(ServiceError::NoSuchAccount)?;
    if HeadRow::decode(&key, &value)?.frozen {
        return Err(ServiceError::Moving);
    }
    Ok((key, value))
}

/// The mailbox of this name and its access key, if there are both.
fn find_key(
    view: &dyn View,
    owner: Option<AccountId>,
    mailbox: &str,
    validity: Option<UidValidity>,
) -> Result<Option<(AccountId, MailboxId, AccessKeyBytes)>, ServiceError> {
    let (Some(owner), Ok(name)) = (owner, MailboxName::new(mailbox)) else { return Ok(None) };
    let keys = AccountKeys::new(owner);
    let account = match load_account(view, &keys) {
        Ok((account, _)) => account,
        Err(ServiceError::NoSuchAccount) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(record) = account.by_name(&name).map(|mailbox| mailbox.record()) else {
        return Ok(None);
    };
    if validity.is_some_and(|validity| validity != record.uid_validity) {
        return Ok(None);
    }
    let key = keys.key(&AccountKey::AccessKey(record.id));
    let Some(stored) = view.get(&key)? else { return Ok(None) };
    Ok(Some((owner, record.id, decode_access_key(&key, &stored)?)))
}

fn token(secret: &AccessKeyBytes, rump: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), rump.as_bytes());
    let digits = tag.as_ref().iter().map(|octet| format!("{octet:02x}"));
    std::iter::once(ALGORITHM.to_owned()).chain(digits).collect()
}

/// Takes as long whichever digit is wrong.
fn is_token(secret: &AccessKeyBytes, rump: &str, claimed: &str) -> bool {
    let claimed = claimed.to_ascii_lowercase();
    let expected = token(secret, rump);
    constant_time::verify_slices_are_equal(claimed.as_bytes(), expected.as_bytes()).is_ok()
}

/// HMAC-SHA256 of the rump. Another algorithm gets another number. RFC 4467 §2.4.1
const ALGORITHM: &str = "01";

/// Times that a commit is tried on an account that others change at the same time.
const ATTEMPTS_MAX: usize = 32;
