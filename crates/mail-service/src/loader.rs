//! Rows to model: an account, and the contents of a mailbox.

use std::ops::ControlFlow;

use mail_types::{MailboxId, ModSeq, UidSet};
use mailbox::{Account, MailboxRecord, MailboxSnapshot, MailboxSnapshotBuilder};
use store::{KeyRange, View};

use crate::codec::CorruptRecord;
use crate::codec::rows::{
    HeadRow, decode_acl, decode_annotations, decode_mailbox, decode_membership, decode_metadata,
    decode_quota, decode_subscription,
};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};

/// The head of an account.
///
/// # Errors
/// `NoSuchAccount` if there is none; `Corrupt`; errors of the store.
pub(crate) fn load_head(view: &dyn View, keys: &AccountKeys) -> Result<HeadRow, ServiceError> {
    let key = keys.key(&AccountKey::Head);
    let value = view.get(&key)?.ok_or(ServiceError::NoSuchAccount)?;
    Ok(HeadRow::decode(&key, &value)?)
}

/// An account without the contents of its mailboxes.
///
/// # Errors
/// As [`load_head`]; `Inconsistent`.
pub(crate) fn load_account(
    view: &dyn View,
    keys: &AccountKeys,
) -> Result<(Account, HeadRow), ServiceError> {
    let row = load_head(view, keys)?;
    let mut records = Vec::new();
    scan(view, &keys.mailboxes(), |key, value| match keys.parse(key) {
        Some(AccountKey::Mailbox(id)) => {
            records.push(decode_mailbox(key, value, id)?);
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    let mut subscriptions = Vec::new();
    scan(view, &keys.subscriptions(), |key, value| match keys.parse(key) {
        Some(AccountKey::Subscription(name)) => {
            subscriptions.push((name, decode_subscription(key, value)?));
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    let mut metadata = Vec::new();
    scan(view, &keys.metadata(), |key, value| match keys.parse(key) {
        Some(AccountKey::Metadata(target, name)) => {
            metadata.push((target, name, decode_metadata(key, value)?));
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    let mut acls = Vec::new();
    scan(view, &keys.acls(), |key, value| match keys.parse(key) {
        Some(AccountKey::Acl(id)) => {
            acls.push((id, decode_acl(key, value)?));
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    let account = Account::restore(row.head, records, subscriptions)?;
    let account = account.with_metadata(metadata)?.with_acls(acls)?;
    let key = keys.key(&AccountKey::Quota);
    let quota = view.get(&key)?.map(|value| decode_quota(&key, &value)).transpose()?;
    Ok((account.with_quota(quota.unwrap_or_default()), row))
}

/// The contents of the mailbox of this record, in one scan of its messages and one of its expunges,
/// and one of its annotations if it has any.
///
/// # Errors
/// `Corrupt`, `Inconsistent` if they are not what the record counts, errors of the store.
pub(crate) fn load_contents(
    view: &dyn View,
    keys: &AccountKeys,
    record: &MailboxRecord,
    history_floor: ModSeq,
) -> Result<MailboxSnapshot, ServiceError> {
    let mut builder = MailboxSnapshotBuilder::new(record, history_floor);
    load_expunges(view, keys, record.id, &mut builder)?;
    scan(view, &keys.memberships(record.id), |key, value| match keys.parse(key) {
        Some(AccountKey::Membership(_, uid)) => {
            builder.push(&decode_membership(key, value, uid)?)?;
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    // A mailbox without annotations is not asked for them.
    if record.counts.annotation_bytes > 0 {
        scan(view, &keys.annotations(record.id), |key, value| match keys.parse(key) {
            Some(AccountKey::Annotations(_, uid, audience)) => {
                builder.annotate(uid, audience, decode_annotations(key, value)?)?;
                Ok(())
            }
            _ => Err(strange_key(key)),
        })?;
    }
    Ok(builder.finish()?)
}

fn load_expunges(
    view: &dyn View,
    keys: &AccountKeys,
    mailbox: MailboxId,
    builder: &mut MailboxSnapshotBuilder,
) -> Result<(), ServiceError> {
    // Rows of one expunge stand together.
    let mut group: Option<(ModSeq, UidSet)> = None;
    scan(view, &keys.expunged(mailbox), |key, _| {
        let Some(AccountKey::Expunged(_, modseq, uid)) = keys.parse(key) else {
            return Err(strange_key(key));
        };
        match &mut group {
            Some((at, uids)) if *at == modseq => uids.insert(uid),
            _ => {
                let before = group.replace((modseq, UidSet::single(uid)));
                if let Some((at, uids)) = before {
                    builder.expunged(at, &uids);
                }
            }
        }
        Ok(())
    })?;
    if let Some((at, uids)) = group {
        builder.expunged(at, &uids);
    }
    Ok(())
}

/// Visits the rows of a range until the first error.
///
/// # Errors
/// Those of `visit` and of the store.
pub(crate) fn scan(
    view: &dyn View,
    range: &KeyRange,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let mut result = Ok(());
    view.scan(range, &mut |key, value| {
        result = visit(key, value);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

/// A key that none of the layouts makes.
pub(crate) fn strange_key(key: &[u8]) -> ServiceError {
    CorruptRecord::new(key, "its key has no known layout").into()
}
