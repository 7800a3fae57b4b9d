//! One account of the server in memory, with its mail.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use imap_proto::url::UrlAccess;
use imap_session::{ReadRequest, UrlRequest, UrlToSign};
use mail_types::{InternalDate, MailboxId, MailboxName, MessageId};
use mailbox::{
    Account, Actor, Annotations, Context, Identifier, NewMessage, Operation, Outcome, Refusal,
    apply, decide,
};
use mime::Message;

/// A message as it comes.
pub(super) struct Item {
    pub(super) bytes: Vec<u8>,
    pub(super) flags: mail_types::Flags,
    pub(super) date: InternalDate,
    pub(super) annotations: Annotations,
}

impl Item {
    /// Whether it has the body parts that its annotations are for.
    pub(super) fn has_parts(&self) -> bool {
        let row = mime::parse(&self.bytes);
        let mut parts = self.annotations.iter().filter_map(|(name, ..)| name.part());
        parts.all(|part| row.part(&part).is_some())
    }
}

/// An account and what it holds.
pub(super) struct Home {
    pub(super) name: String,
    pub(super) account: Account,
    messages: HashMap<MessageId, Stored>,
    /// Mailboxes whose contents sessions may see.
    opened: BTreeSet<MailboxId>,
    /// What URLs are authorized with.
    access_keys: HashMap<MailboxId, u64>,
    keys_made: u64,
}

struct Stored {
    bytes: Vec<u8>,
    row: Arc<Message>,
}

impl Home {
    /// An account with the mailboxes of a new account.
    pub(super) fn new(name: &str, now: InternalDate) -> Self {
        let mut home = Self {
            name: name.to_owned(),
            account: Account::empty(),
            messages: HashMap::new(),
            opened: BTreeSet::new(),
            access_keys: HashMap::new(),
            keys_made: 0,
        };
        let created = home.submit(&Actor::Owner, &Operation::CreateAccount, now);
        assert!(created.is_ok(), "a new account cannot be refused");
        home
    }

    pub(super) fn submit(
        &mut self,
        actor: &Actor,
        operation: &Operation,
        now: InternalDate,
    ) -> Result<Outcome, Refusal> {
        let context = Context { now: now.seconds() };
        let decision = decide(&self.account, actor, operation, &context)?;
        if let Some(entry) = &decision.entry {
            self.account = apply(&self.account, entry)
                .unwrap_or_else(|error| panic!("{operation:?} was decided wrongly: {error}"));
        }
        Ok(decision.outcome)
    }

    pub(super) fn add(
        &mut self,
        actor: &Actor,
        mailbox: MailboxId,
        items: Vec<Item>,
        now: InternalDate,
    ) -> Result<Outcome, Refusal> {
        let messages = items.iter().map(new_message).collect();
        let outcome = self.submit(actor, &Operation::AddMessages { mailbox, messages }, now)?;
        if let Outcome::Added { messages, .. } = &outcome {
            for (id, Item { bytes, .. }) in messages.iter().zip(items) {
                self.keep(*id, bytes);
            }
        }
        Ok(outcome)
    }

    pub(super) fn keep(&mut self, id: MessageId, bytes: Vec<u8>) {
        let row = Arc::new(mime::parse(&bytes));
        self.messages.insert(id, Stored { bytes, row });
    }

    pub(super) fn open(&mut self, mailbox: MailboxId) {
        self.opened.insert(mailbox);
    }

    /// The account as sessions see it: contents only of what was opened.
    pub(super) fn visible(&self) -> Account {
        let hidden: Vec<MailboxId> = self
            .account
            .mailboxes()
            .map(|mailbox| mailbox.record().id)
            .filter(|id| !self.opened.contains(id))
            .collect();
        hidden.into_iter().fold(self.account.clone(), |account, id| account.without_contents(id))
    }

    /// Whether some mailbox grants something to this user.
    pub(super) fn shares_with(&self, user: &str) -> bool {
        let names = [user, Identifier::ANYONE];
        let mut identifiers = names.iter().filter_map(|name| Identifier::new(name).ok());
        identifiers.any(|identifier| self.account.has_grants_to(&identifier))
    }

    pub(super) fn row(&self, message: MessageId) -> Option<Arc<Message>> {
        self.messages.get(&message).map(|stored| Arc::clone(&stored.row))
    }

    pub(super) fn bytes(&self, message: MessageId) -> Option<&[u8]> {
        self.messages.get(&message).map(|stored| stored.bytes.as_slice())
    }

    pub(super) fn read(&self, request: &ReadRequest) -> Option<Vec<u8>> {
        Some(slice(self.bytes(request.message)?, &request.range)?.to_vec())
    }

    /// A token for each URL; `None` if one has another owner.
    pub(super) fn authorize(&mut self, urls: &[UrlToSign]) -> Option<Vec<String>> {
        if !urls.iter().all(|url| url.owner.eq_ignore_ascii_case(&self.name)) {
            return None;
        }
        let token = |url: &UrlToSign| {
            let key = *self.access_keys.entry(url.mailbox).or_insert(self.keys_made);
            self.keys_made += 1;
            token(key, &url.text)
        };
        Some(urls.iter().map(token).collect())
    }

    /// Draws a new access key for this mailbox, or forgets all.
    pub(super) fn reset_access_keys(&mut self, mailbox: Option<MailboxId>) {
        match mailbox {
            None => self.access_keys.clear(),
            Some(mailbox) => {
                self.access_keys.insert(mailbox, self.keys_made);
                self.keys_made += 1;
            }
        }
    }

    /// The message that a URL names, if this account authorized it and `reader` may have it.
    pub(super) fn open_url(
        &self,
        request: &UrlRequest,
        reader: &str,
        now: InternalDate,
    ) -> Option<(MessageId, Arc<Message>)> {
        let UrlRequest { url, text } = request;
        let auth = url.auth.as_ref()?;
        let verifier = auth.verifier.as_ref()?;
        let rump = std::str::from_utf8(text.get(..verifier.rump_bytes)?).ok()?;
        let is_allowed = match &auth.access {
            UrlAccess::Submit(_) => false,
            UrlAccess::User(user) => user.eq_ignore_ascii_case(reader),
            UrlAccess::AuthUser | UrlAccess::Anonymous => true,
        };
        let is_in_time = auth.expire.is_none_or(|last| now.seconds() <= last);
        let mailbox = self.account.by_name(&MailboxName::new(&url.mailbox).ok()?)?;
        let record = mailbox.record();
        let is_same = url.uid_validity.is_none_or(|validity| validity == record.uid_validity);
        let key = *self.access_keys.get(&record.id)?;
        let is_authentic = token(key, rump).eq_ignore_ascii_case(&verifier.token);
        if !(is_allowed && is_in_time && is_same && is_authentic) {
            return None;
        }
        let message = mailbox.contents()?.find(url.uid)?.message();
        Some((message, self.row(message)?))
    }
}

pub(super) fn new_message(item: &Item) -> NewMessage {
    NewMessage {
        message: None,
        thread: None,
        size: u32::try_from(item.bytes.len()).unwrap_or(u32::MAX),
        internal_date: item.date,
        flags: item.flags.clone(),
        annotations: item.annotations.clone(),
    }
}

pub(super) fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// Not secret at all, but another one for every key and every text.
fn token(key: u64, text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (key, text).hash(&mut hasher);
    format!("00{:064x}", hasher.finish())
}
