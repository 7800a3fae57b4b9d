//! The verifier: reads everything and says what does not agree.
//!
//! Meant for a store that nobody writes to; on a store in use it may call a change that happens
//! meanwhile a finding. It changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;

use mail_types::{AccountId, MailboxId, MailboxName, MessageId, ModSeq, ThreadId, Uid};
use mailbox::{Account, MembershipRow, apply};
use store::{BlobId, BlobKey, KeyRange, Store, StoreError, View};

use crate::accounts::{Removal, parse_directory};
use crate::codec::message::StoredMessage;
use crate::codec::queue::decode_delivered;
use crate::codec::rows::{
    RemovedMailbox, decode_access_key, decode_annotations, decode_membership,
};
use crate::codec::sent::SentMark;
use crate::destinations::parse_alias;
use crate::error::ServiceError;
use crate::greylist::check_greylist;
use crate::keys::{self, AccountKey, AccountKeys};
use crate::loader::{load_account, load_contents, scan, strange_key};
use crate::log::read_log;
use crate::login::load_credential;
use crate::queue::check_queue;
use crate::rows::read_row;
use crate::sharing::read_grant;
use crate::story::check_stories;
use crate::thread::decode_thread;
use crate::tls::check_tls;

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where; `None` if it belongs to no account.
    pub account: Option<AccountId>,
    /// What, for the person who has to restore it.
    pub what: String,
}

/// What the verifier saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Accounts.
    pub accounts: u64,
    /// Memberships: messages as mailboxes count them.
    pub memberships: u64,
    /// Messages.
    pub messages: u64,
    /// Blobs.
    pub blobs: u64,
    /// Messages that no membership names, and blobs that no message names: the next sweep takes
    /// them out. Not a fault.
    pub garbage: u64,
    /// What does not agree, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// Findings that a report holds; a store in ruins need not be listed row by row.
pub const FINDINGS_MAX: usize = 1000;

impl Report {
    /// Whether everything agrees.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn note(&mut self, account: Option<AccountId>, what: impl fmt::Display) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { account, what: what.to_string() });
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.account {
            Some(account) => write!(f, "{account}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Verifies a whole store: rows against each other, the log against the rows, every blob against
/// its name.
///
/// # Errors
/// Those of the store, except for damage, which is a finding.
pub fn check(store: &dyn Store) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let names = check_directory(store, &mut report)?;
    check_aliases(store, &mut report)?;
    for (id, name) in &names {
        report.accounts += 1;
        let mut check = AccountCheck::new(store, *id, &mut report);
        check.credential(name)?;
        check.run()?;
    }
    check_grants(store, &mut report)?;
    check_strays(store, &names, &mut report)?;
    check_greylist(store, &mut report)?;
    check_queue(store, &mut report)?;
    check_stories(store, &mut report)?;
    check_tls(store, &mut report)?;
    Ok(report)
}

/// Every name leads to an account of its own.
fn check_directory(
    store: &dyn Store,
    report: &mut Report,
) -> Result<BTreeMap<AccountId, String>, StoreError> {
    let view = store.view()?;
    let next = view.get(keys::NEXT_ACCOUNT)?;
    let next = next.and_then(|v| v.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes);
    let mut names = BTreeMap::new();
    view.scan(&keys::directory_all(), &mut |key, value| {
        match parse_directory(key, value) {
            Ok(account) => {
                if account.id.get() >= next {
                    report.note(None, format_args!("{} was never given out", account.id));
                }
                if names.insert(account.id, account.name.as_str().to_owned()).is_some() {
                    report.note(Some(account.id), "two names lead to it");
                }
            }
            Err(error) => report.note(None, error),
        }
        ControlFlow::Continue(())
    })?;
    view.scan(&keys::removal_all(), &mut |key, value| {
        let id = keys::removal_account(key);
        // One whose removal has only begun has its name still.
        let is_begun = matches!(Removal::decode(key, value), Ok(Removal::Begun(_)));
        if id.is_none_or(|id| names.contains_key(&id) && !is_begun) {
            report.note(id, "it is being removed and has a name");
        }
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// Every grant can be read. One that is left of a list does no harm, so it is no finding.
fn check_grants(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    match check_rows(&*store.view()?, &keys::grants_all(), report, read_grant) {
        Err(error @ StoreError::Corrupt { .. }) => {
            report.note(None, error);
            Ok(())
        }
        other => other,
    }
}

/// Every alias can be read. Whom it names need not exist: he may be made later.
fn check_aliases(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    check_rows(&*store.view()?, &keys::aliases_all(), report, parse_alias)
}

/// Notes every row of a range that cannot be read.
pub(crate) fn check_rows<T, E: fmt::Display>(
    view: &dyn View,
    range: &KeyRange,
    report: &mut Report,
    read: impl Fn(&[u8], &[u8]) -> Result<T, E>,
) -> Result<(), StoreError> {
    view.scan(range, &mut |key, value| {
        if let Err(error) = read(key, value) {
            report.note(None, error);
        }
        ControlFlow::Continue(())
    })
}

/// Rows and blobs that belong to no account that has a name or is being removed.
fn check_strays(
    store: &dyn Store,
    names: &BTreeMap<AccountId, String>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let view = store.view()?;
    let mut range = store::KeyRange::prefix(b"a");
    loop {
        let page = store::scan_page(&*view, &range, 1)?;
        let Some((key, _)) = page.rows.first() else { return Ok(()) };
        let number = key.get(1..keys::PREFIX_BYTES).and_then(|bytes| bytes.try_into().ok());
        let Some(id) = number.map(u64::from_be_bytes).map(AccountId) else {
            report.note(None, strange_key(key));
            range = range.after(key);
            continue;
        };
        let is_known = names.contains_key(&id) || view.get(&keys::removal(id))?.is_some();
        if !is_known {
            report.note(Some(id), "it has rows and no name");
        }
        let Some(end) = AccountKeys::new(id).all().end else { return Ok(()) };
        range.start = end;
    }
}

struct AccountCheck<'a> {
    store: &'a dyn Store,
    id: AccountId,
    keys: AccountKeys,
    report: &'a mut Report,
}

/// What memberships say of a message; the message's row must say the same.
type Claims = HashMap<MessageId, (u32, ThreadId)>;

impl<'a> AccountCheck<'a> {
    fn new(store: &'a dyn Store, id: AccountId, report: &'a mut Report) -> Self {
        Self { store, id, keys: AccountKeys::new(id), report }
    }

    fn note(&mut self, what: impl fmt::Display) {
        self.report.note(Some(self.id), what);
    }

    /// Turns damage into a finding and hands on what the store could not do.
    fn guard<T>(&mut self, result: Result<T, ServiceError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(ServiceError::Store(error @ StoreError::Corrupt { .. })) => {
                self.note(error);
                Ok(None)
            }
            Err(ServiceError::Store(StoreError::BlobMissing { id })) => {
                self.note(format_args!("blob {id} is missing"));
                Ok(None)
            }
            Err(ServiceError::Store(error)) => Err(error),
            Err(ServiceError::Busy) => Err(StoreError::Busy),
            Err(ServiceError::Closed) => Err(StoreError::Closed),
            Err(other) => {
                self.note(other);
                Ok(None)
            }
        }
    }

    fn credential(&mut self, name: &str) -> Result<(), StoreError> {
        let found = load_credential(&*self.store.view()?, self.id);
        match self.guard(found)? {
            Some(Some(found)) if found.credential.name == name => {}
            Some(Some(_)) => self.note("its name is not the one that leads to it"),
            Some(None) => self.note("it has no credential"),
            None => {}
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), StoreError> {
        let loaded = load_account(&*self.store.view()?, &self.keys);
        let Some((account, _)) = self.guard(loaded)? else { return Ok(()) };
        if account.by_name(&MailboxName::inbox()).is_none() {
            self.note("it has no INBOX");
        }
        self.key_layouts()?;
        for mailbox in account.mailboxes() {
            self.contents(&account, mailbox.record().id)?;
        }
        self.access_keys(&account)?;
        let removed = self.removed_mailboxes(&account)?;
        self.annotations(&account, &removed)?;
        let claims = self.memberships(&account, &removed)?;
        let blobs = self.messages(&account, &claims)?;
        self.blobs(&blobs)?;
        self.log(&account)
    }

    /// Every key has a layout; rows that nothing else reads can be read.
    fn key_layouts(&mut self) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        let mut damaged = Vec::new();
        let result = scan(&*self.store.view()?, &keys.all(), |key, value| {
            match keys.parse(key) {
                None => damaged.push(strange_key(key)),
                Some(AccountKey::AccessKey(_)) => {
                    damaged.extend(decode_access_key(key, value).err().map(ServiceError::from));
                }
                Some(AccountKey::Delivered(..)) => {
                    damaged.extend(decode_delivered(key, value).err().map(ServiceError::from));
                }
                Some(AccountKey::Sent(_)) => {
                    damaged.extend(SentMark::decode(key, value).err().map(ServiceError::from));
                }
                Some(AccountKey::Thread(_)) => {
                    damaged.extend(decode_thread(key, value).err().map(ServiceError::from));
                }
                Some(_) => {}
            }
            Ok(())
        });
        self.guard(result)?;
        for error in damaged {
            self.note(error);
        }
        Ok(())
    }

    /// The contents of a mailbox are those that its record counts: UIDs below UIDNEXT, modseqs at
    /// or below HIGHESTMODSEQ, sums, keywords.
    fn contents(&mut self, account: &Account, id: MailboxId) -> Result<(), StoreError> {
        let Some(mailbox) = account.mailbox(id) else { return Ok(()) };
        let record = mailbox.record();
        let floor = account.head().history_floor;
        let loaded = load_contents(&*self.store.view()?, &self.keys, record, floor);
        let Some(contents) = self.guard(loaded)? else { return Ok(()) };
        let recent = contents.iter().filter(|entry| entry.uid() >= record.recent_mark).count();
        if usize::try_from(record.recent) != Ok(recent) {
            self.note(format_args!("{id} counts {} recent messages of {recent}", record.recent));
        }
        if record.recent_mark > record.uid_next {
            self.note(format_args!("{id} has claimed messages that are still to come"));
        }
        Ok(())
    }

    /// Every access key belongs to a mailbox: what it authorizes ends with it.
    fn access_keys(&mut self, account: &Account) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        let mut left = Vec::new();
        let result = scan(&*self.store.view()?, &keys.access_keys(), |key, _| {
            if let Some(AccountKey::AccessKey(id)) = keys.parse(key)
                && account.mailbox(id).is_none()
            {
                left.push(id);
            }
            Ok(())
        });
        self.guard(result)?;
        for id in left {
            self.note(format_args!("{id} is not there and has an access key"));
        }
        Ok(())
    }

    fn removed_mailboxes(
        &mut self,
        account: &Account,
    ) -> Result<HashMap<MailboxId, RemovedMailbox>, StoreError> {
        let keys = self.keys.clone();
        let mut removed = HashMap::new();
        let result = scan(&*self.store.view()?, &keys.removed_mailboxes(), |key, value| {
            if let Some(AccountKey::RemovedMailbox(id)) = keys.parse(key) {
                removed.insert(id, RemovedMailbox::decode(key, value, id)?);
            }
            Ok(())
        });
        self.guard(result)?;
        for (id, row) in &removed {
            if account.mailbox(*id).is_some() {
                self.note(format_args!("{id} is removed and there"));
            }
            if row.modseq > account.modseq() || *id >= account.head().next_mailbox {
                self.note(format_args!("removed {id} is ahead of the account"));
            }
        }
        Ok(removed)
    }

    /// All annotations of messages: each can be read and belongs to a membership. Whether they are
    /// as many octets as their mailbox counts was seen with its contents.
    fn annotations(
        &mut self,
        account: &Account,
        removed: &HashMap<MailboxId, RemovedMailbox>,
    ) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        let mut found = BTreeSet::new();
        let view = self.store.view()?;
        let result = scan(&*view, &keys.annotations_all(), |key, value| {
            if let Some(AccountKey::Annotations(id, uid, _)) = keys.parse(key) {
                decode_annotations(key, value)?;
                found.insert((id, uid));
            }
            Ok(())
        });
        self.guard(result)?;
        for (id, uid) in found {
            let record = account.mailbox(id).map(|mailbox| mailbox.record());
            let record = record.or_else(|| removed.get(&id).map(|row| &row.record));
            let is_counted = record.is_some_and(|record| record.counts.annotation_bytes > 0);
            // An engine may give one answer at a time, so not while it is visiting rows.
            let membership = view.get(&keys.key(&AccountKey::Membership(id, uid)))?;
            if !is_counted || membership.is_none() {
                self.note(format_args!("{uid} in {id} has annotations that nothing counts"));
            }
        }
        Ok(())
    }

    /// All memberships, live and expunged: each belongs to a mailbox, no (mailbox, UID) is there
    /// twice, and all copies of a message say the same of it.
    fn memberships(
        &mut self,
        account: &Account,
        removed: &HashMap<MailboxId, RemovedMailbox>,
    ) -> Result<Claims, StoreError> {
        let keys = self.keys.clone();
        let uid_next = |id: MailboxId| {
            let live = account.mailbox(id).map(|mailbox| mailbox.record());
            live.or_else(|| removed.get(&id).map(|row| &row.record)).map(|record| record.uid_next)
        };
        let mut seen: HashSet<(MailboxId, Uid)> = HashSet::new();
        let (mut claims, mut wrong) = (Claims::new(), Vec::new());
        let mut visit = |key: &[u8], value: &[u8]| {
            let (mailbox, uid, modseq) = match keys.parse(key) {
                Some(AccountKey::Membership(mailbox, uid)) => (mailbox, uid, ModSeq::ZERO),
                Some(AccountKey::Expunged(mailbox, modseq, uid)) => (mailbox, uid, modseq),
                _ => return Ok(()),
            };
            let row = decode_membership(key, value, uid)?;
            if uid_next(mailbox).is_none_or(|next| uid >= next) {
                wrong.push(format!("{uid} in {mailbox} is in no mailbox"));
            }
            if modseq.max(row.modseq) > account.modseq() {
                wrong.push(format!("{uid} in {mailbox} is ahead of the account"));
            }
            if !seen.insert((mailbox, uid)) {
                wrong.push(format!("{uid} in {mailbox} is there and expunged"));
            }
            if let Some(what) = claim(&mut claims, account, &row) {
                wrong.push(what);
            }
            Ok(())
        };
        let view = self.store.view()?;
        let live = scan(&*view, &self.keys.memberships_all(), &mut visit);
        let expunged = scan(&*view, &self.keys.expunged_all(), &mut visit);
        self.report.memberships += seen.len() as u64;
        self.guard(live)?;
        self.guard(expunged)?;
        for what in wrong {
            self.note(what);
        }
        Ok(claims)
    }

    /// Message rows: each that is claimed exists and says what its memberships say. Gives the blobs
    /// that they name and how long each must be, if that is known.
    fn messages(
        &mut self,
        account: &Account,
        claims: &Claims,
    ) -> Result<HashMap<BlobId, Option<u64>>, StoreError> {
        let keys = self.keys.clone();
        let mut rows = Vec::new();
        let mut found = HashSet::new();
        let mut blobs = HashMap::new();
        let result = scan(&*self.store.view()?, &keys.messages(), |key, value| {
            if let Some(AccountKey::Message(id)) = keys.parse(key) {
                found.insert(id);
                rows.push((id, key.to_vec(), StoredMessage::decode(key, value)));
            }
            Ok(())
        });
        self.guard(result)?;
        self.report.messages += rows.len() as u64;
        for (id, key, stored) in rows {
            let Some(stored) = self.guard(stored.map_err(ServiceError::from))? else { continue };
            if id >= account.head().next_message {
                self.note(format_args!("{id} was never given out"));
            }
            for blob in stored.blobs() {
                blobs.entry(blob).or_insert(None);
            }
            let blob = stored.blob;
            let row = read_row(self.store, &self.keys, &key, stored);
            let Some(row) = self.guard(row)? else { continue };
            blobs.insert(blob, Some(row.message.size));
            match claims.get(&id) {
                Some((size, thread)) => {
                    if u64::from(*size) != row.message.size || *thread != row.thread {
                        self.note(format_args!("{id} is not what its mailboxes say"));
                    }
                }
                None => self.report.garbage += 1,
            }
        }
        let missing: Vec<_> = claims.keys().filter(|id| !found.contains(*id)).copied().collect();
        for id in missing {
            self.note(format_args!("{id} is in a mailbox and has no row"));
        }
        Ok(blobs)
    }

    /// Every named blob exists, is as long as its message and hashes to its name.
    fn blobs(&mut self, named: &HashMap<BlobId, Option<u64>>) -> Result<(), StoreError> {
        let scope = self.keys.prefix().to_vec();
        for (id, size) in named {
            let verified = self.store.verify_blob(&scope, id).map_err(ServiceError::Store);
            if self.guard(verified)?.is_none() {
                continue;
            }
            let actual = self.store.blob_size(&scope, id)?;
            if size.is_some() && *size != actual {
                self.note(format_args!("blob {id} is not as long as its message"));
            }
        }
        let (mut count, mut garbage) = (0, 0);
        let after = BlobKey::new(&scope, [0; 32].into());
        self.store.list_blobs(Some(&after), &mut |blob| {
            if blob.key.scope != scope {
                return ControlFlow::Break(());
            }
            count += 1;
            garbage += u64::from(!named.contains_key(&blob.key.id));
            ControlFlow::Continue(())
        })?;
        self.report.blobs += count;
        self.report.garbage += garbage;
        Ok(())
    }

    /// The log has no hole from the floor to the head; where it is whole, it leads to the rows.
    fn log(&mut self, account: &Account) -> Result<(), StoreError> {
        let head = account.head();
        let view = self.store.view()?;
        let mut last = head.history_floor;
        let mut replayed = (head.history_floor == ModSeq::ZERO).then(Account::empty);
        let result = read_log(&*view, &self.keys, head.history_floor, |entry| {
            if last.next() == Some(entry.modseq) {
                last = entry.modseq;
            }
            if let Some(account) = &mut replayed {
                *account = apply(account, &entry)?;
            }
            Ok(())
        });
        if self.guard(result)?.is_none() {
            return Ok(());
        }
        if last != head.modseq {
            self.note(format_args!("the log breaks off at {last} before {}", head.modseq));
        }
        if let Some(replayed) = replayed
            && !same_state(&replayed, account)
        {
            self.note("the log does not lead to its rows");
        }
        Ok(())
    }
}

/// Notes what a membership says of its message; tells what is wrong with it.
fn claim(claims: &mut Claims, account: &Account, row: &MembershipRow) -> Option<String> {
    if row.message >= account.head().next_message {
        return Some(format!("{} was never given out", row.message));
    }
    let said = *claims.entry(row.message).or_insert((row.size, row.thread));
    let agrees = said == (row.size, row.thread);
    (!agrees).then(|| format!("copies of {} do not agree", row.message))
}

/// Whether two accounts are the same, apart from which contents are loaded.
fn same_state(one: &Account, other: &Account) -> bool {
    one.head() == other.head()
        && one.mailboxes().map(|m| m.record()).eq(other.mailboxes().map(|m| m.record()))
        && one.subscriptions().eq(other.subscriptions())
        && one.metadata() == other.metadata()
        && one.acls().eq(other.acls())
        && one.quota() == other.quota()
}
