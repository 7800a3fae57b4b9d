//! Reading the log: how a state that is behind catches up.

use mail_types::ModSeq;
use mailbox::{Account, LogEntry, apply};
use store::View;

use crate::codec::CorruptRecord;
use crate::codec::log::{PageEnd, decode_entry, join_page};
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::loader::{scan, strange_key};

/// Calls `visit` with every entry after `floor`, in order.
///
/// # Errors
/// `Corrupt`, errors of the store, those of `visit`.
pub(crate) fn read_log(
    view: &dyn View,
    keys: &AccountKeys,
    floor: ModSeq,
    mut visit: impl FnMut(LogEntry) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let mut pages: (Option<ModSeq>, u16, Vec<u8>) = (None, 0, Vec::new());
    let mut last_key = Vec::new();
    scan(view, &keys.log_after(floor), |key, value| {
        let Some(AccountKey::Log(modseq, page)) = keys.parse(key) else {
            return Err(strange_key(key));
        };
        let (open, next, bytes) = &mut pages;
        if page != *next || open.is_some_and(|at| at != modseq) {
            return Err(CorruptRecord::new(key, "a page of a log entry is missing").into());
        }
        (*open, *next) = (Some(modseq), page.saturating_add(1));
        key.clone_into(&mut last_key);
        if join_page(key, value, bytes)? == PageEnd::Last {
            let entry = decode_entry(key, bytes, modseq)?;
            pages = (None, 0, Vec::new());
            visit(entry)?;
        }
        Ok(())
    })?;
    if pages.0.is_some() {
        return Err(CorruptRecord::new(&last_key, "the last page of a log entry is missing").into());
    }
    Ok(())
}

/// The account as the log leads on from `account`; contents that are loaded stay loaded.
///
/// # Errors
/// As [`read_log`]; `Inconsistent` if entries are missing between.
pub(crate) fn catch_up(
    view: &dyn View,
    keys: &AccountKeys,
    account: &Account,
) -> Result<Account, ServiceError> {
    let mut newest = account.clone();
    read_log(view, keys, account.modseq(), |entry| {
        newest = apply(&newest, &entry)?;
        Ok(())
    })?;
    Ok(newest)
}
