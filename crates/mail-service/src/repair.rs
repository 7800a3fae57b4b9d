//! After a database lost commits that were acknowledged, as by a failover to a standby that was
//! behind or by a restore of a backup: no number that was announced is announced again.
//!
//! What was lost is not known, so every counter is raised by more than can have been lost:
//!
//! - UIDNEXT of every mailbox, the numbers of messages, mailboxes and accounts, and the UIDVALIDITY
//!   counters by a gap of their own; a mailbox with too few UIDs left gets a new UIDVALIDITY;
//! - the modseq by a gap, and every mailbox and every message gets the raised one: a client that
//!   was told of a flag that is lost asks for what changed since, and is told what holds now;
//! - the history is forgotten up to there: a client that was told of messages that are lost is told
//!   that they have vanished, because of forgotten history more is told and never less. RFC 7162
//!   §3.2.6
//!
//! An account is frozen while its rows are rewritten, so nodes may run meanwhile. Killed and run
//! again, it begins again with those accounts that it had not finished; a second run raises
//! everything once more, which does no harm.

use mail_types::{AccountId, MailboxId, MessageId, ModSeq, Uid, UidValidity};
use mailbox::{Head, MailboxRecord};
use store::{Commit, Expected, Store, StoreError, Write};

use crate::accounts::{UidValidityFloor, parse_directory};
use crate::clock::World;
use crate::codec::CorruptRecord;
use crate::codec::rows::{HeadRow, decode_membership, encode_mailbox, encode_membership};
use crate::error::ServiceError;
use crate::keys::{self, AccountKey, AccountKeys};
use crate::limits::{ATTEMPTS_MAX, SWEEP_STEP_ROWS, Sharing};
use crate::loader::{load_account, scan, strange_key};
use crate::relocate::freeze;
use crate::sharing::restore_own_grants;

/// More changes of one account than can have been lost: at a thousand in a second, four hours.
pub const MODSEQ_GAP: u64 = 1 << 24;

/// More messages than can have come into one mailbox meanwhile.
pub const UID_GAP: u32 = 1 << 20;

/// More mailboxes than can have been made meanwhile, and so UIDVALIDITY values.
pub const MAILBOX_GAP: u32 = 1 << 16;

/// More accounts than can have been made meanwhile.
pub const ACCOUNT_GAP: u64 = 1 << 20;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Accounts whose numbers were raised.
    pub accounts: u64,
    /// Mailboxes that had too few UIDs left and got a new UIDVALIDITY.
    pub renumbered: u64,
    /// Accounts that are being moved: the move has to be finished first.
    pub moving: Vec<String>,
}

/// Raises every number of a store. Blocks.
///
/// # Errors
/// `Corrupt`, errors of the store: run it again then.
pub fn repair_after_loss(store: &dyn Store, world: &World) -> Result<Repaired, ServiceError> {
    raise_number(store, keys::NEXT_ACCOUNT, 1)?;
    raise_floor(store)?;
    let mut accounts = Vec::new();
    scan(&*store.view()?, &keys::directory_all(), |key, value| {
        accounts.push(parse_directory(key, value)?);
        Ok(())
    })?;
    let mut repaired = Repaired::default();
    for account in accounts {
        if store.view()?.get(&keys::moving(account.id))?.is_some() {
            repaired.moving.push(account.name.as_str().to_owned());
            continue;
        }
        match repair_account(store, account.id, world) {
            Ok(renumbered) => {
                restore_own_grants(store, account.id)?;
                repaired.accounts += 1;
                repaired.renumbered += renumbered;
            }
            // Removed meanwhile.
            Err(ServiceError::NoSuchAccount) => {}
            Err(error) => return Err(error),
        }
    }
    let arriving = scan_names(store)?;
    repaired.moving.extend(arriving);
    Ok(repaired)
}

fn scan_names(store: &dyn Store) -> Result<Vec<String>, ServiceError> {
    let mut names = Vec::new();
    scan(&*store.view()?, &keys::arrivals_all(), |key, _| {
        names.push(String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned());
        Ok(())
    })?;
    Ok(names)
}

/// Raises the numbers of one account. Gives how many mailboxes got a new UIDVALIDITY.
fn repair_account(store: &dyn Store, id: AccountId, world: &World) -> Result<u64, ServiceError> {
    let keys = AccountKeys::new(id);
    let frozen = freeze(store, &keys, world)?;
    let (account, _) = load_account(&*store.view()?, &keys)?;
    let mut head = raised(&frozen.head)?;
    let mut renumbered = 0;
    let mut writes = Vec::new();
    for mailbox in account.mailboxes() {
        raise_memberships(store, &keys, mailbox.record().id, head.modseq)?;
        let (record, is_renumbered) = raised_record(mailbox.record(), &mut head);
        renumbered += u64::from(is_renumbered);
        writes.push(Write::put(keys.key(&AccountKey::Mailbox(record.id)), encode_mailbox(&record)));
    }
    let mut mark = [0; 16];
    if !world.random.fill(&mut mark) {
        return Err(ServiceError::NoRandomness);
    }
    let next = frozen.next(head, u128::from_be_bytes(mark), Sharing::Shared);
    let row = HeadRow { frozen: false, ..next };
    let key = keys.key(&AccountKey::Head);
    writes.push(Write::put(key.clone(), row.encode()));
    let commit = Commit { writes, ..Commit::new().when(key, Expected::Value(frozen.encode())) };
    store.commit_wait(commit)?;
    Ok(renumbered)
}

fn raised(head: &Head) -> Result<Head, ServiceError> {
    let modseq = head.modseq.get().checked_add(MODSEQ_GAP).and_then(ModSeq::new);
    let modseq = modseq.ok_or(mailbox::Refusal::ModSeqsExhausted)?;
    let validity = head.last_uid_validity.checked_add(MAILBOX_GAP);
    Ok(Head {
        modseq,
        next_mailbox: MailboxId(head.next_mailbox.get() + u64::from(MAILBOX_GAP)),
        next_message: MessageId(head.next_message.get() + MODSEQ_GAP),
        last_uid_validity: validity.ok_or(mailbox::Refusal::UidValiditiesExhausted)?,
        history_floor: modseq,
    })
}

/// The record with its numbers raised, and whether it needed a new UIDVALIDITY.
fn raised_record(record: &MailboxRecord, head: &mut Head) -> (MailboxRecord, bool) {
    let mut record = record.clone();
    record.highest_modseq = head.modseq;
    let next = record.uid_next.get().checked_add(UID_GAP).and_then(Uid::new);
    if let Some(next) = next.filter(|next| u32::MAX - next.get() > UID_GAP) {
        record.uid_next = next;
        return (record, false);
    }
    // Clients forget all they know of the mailbox; its messages keep their numbers.
    if let Some(validity) = head.last_uid_validity.checked_add(1).and_then(UidValidity::new) {
        head.last_uid_validity = validity.get();
        record.uid_validity = validity;
    }
    (record, true)
}

fn raise_memberships(
    store: &dyn Store,
    keys: &AccountKeys,
    mailbox: MailboxId,
    modseq: ModSeq,
) -> Result<(), ServiceError> {
    let mut range = Some(keys.memberships(mailbox));
    while let Some(part) = range.take() {
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS)?;
        let mut writes = Vec::with_capacity(page.rows.len());
        for (key, value) in page.rows {
            let Some(AccountKey::Membership(_, uid)) = keys.parse(&key) else {
                return Err(strange_key(&key));
            };
            let mut row = decode_membership(&key, &value, uid)?;
            row.modseq = modseq;
            writes.push(Write::put(key, encode_membership(&row)));
        }
        if !writes.is_empty() {
            store.commit_wait(Commit { writes, ..Commit::default() })?;
        }
        range = page.rest;
    }
    Ok(())
}

fn raise_number(store: &dyn Store, key: &[u8], first: u64) -> Result<(), ServiceError> {
    for _ in 0..ATTEMPTS_MAX {
        let stored = store.view()?.get(key)?;
        let number = stored.as_deref().map_or(Ok(first), |value| {
            let number = value.try_into().map(u64::from_be_bytes);
            number.map_err(|_| CorruptRecord::new(key, "it is no number"))
        })?;
        let raised = number.saturating_add(ACCOUNT_GAP).to_be_bytes();
        let commit = Commit::new()
            .when(key, stored.map_or(Expected::Absent, Expected::Value))
            .write(Write::put(key, raised));
        match store.commit_wait(commit) {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

/// An account that was made and lost begins above its old UIDVALIDITY values when it is made again.
fn raise_floor(store: &dyn Store) -> Result<(), ServiceError> {
    for _ in 0..ATTEMPTS_MAX {
        let floor = UidValidityFloor::read(&*store.view()?)?;
        let raised = floor.value.checked_add(MAILBOX_GAP);
        let raised = raised.ok_or(mailbox::Refusal::UidValiditiesExhausted)?;
        let key = keys::UID_VALIDITY_FLOOR;
        let commit =
            Commit::new().when(key, floor.stored).write(Write::put(key, raised.to_be_bytes()));
        match store.commit_wait(commit) {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}
