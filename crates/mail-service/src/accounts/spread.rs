//! Making and removing accounts that share no store, and so no commit, with the directory.
//!
//! A mark in the home store stands beside the account whenever it has rows and no name, so that
//! what a crash leaves is found by the next sweep.

use mail_types::AccountId;
use store::{Commit, Expected, Store, StoreError, Write};

use super::{Removal, UidValidityFloor, first_commit, purge};
use crate::auth::name::AccountName;
use crate::clock::World;
use crate::codec::credential::Credential;
use crate::error::ServiceError;
use crate::keys::{self, AccountKeys};
use crate::limits::ATTEMPTS_MAX;
use crate::relocate::freeze;

/// An account to be made.
pub(super) struct NewAccount {
    pub(super) id: AccountId,
    pub(super) name: AccountName,
    pub(super) credential: Credential,
    /// Where it shall live; at home without.
    pub(super) shard: Option<String>,
}

/// The shard of a new account: each in turn.
pub(super) fn shard_of(shards: &[String], id: AccountId) -> Option<String> {
    let turn = id.get().checked_rem(shards.len() as u64)?;
    shards.get(usize::try_from(turn).ok()?).cloned()
}

/// First the mark, then the rows, then the name in place of the mark.
pub(super) fn create(
    store: &dyn Store,
    new: &NewAccount,
    world: &World,
) -> Result<AccountId, ServiceError> {
    let id = new.id;
    let mark = Removal::Making(world.clock.now_secs()).encode();
    let mut marked = Commit::new().write(Write::put(keys::removal(id), mark.clone()));
    if let Some(shard) = &new.shard {
        marked = marked.write(Write::put(keys::placement(id), shard.as_bytes()));
    }
    store.commit_wait(marked)?;
    let floor = UidValidityFloor::read(&*store.view()?)?;
    store.commit_wait(first_commit(id, &new.credential, floor.value, world)?)?;
    let directory = keys::directory(&new.name);
    let commit = Commit::new()
        .when(directory.clone(), Expected::Absent)
        .when(keys::arrival(&new.name), Expected::Absent)
        // An account was removed meanwhile, perhaps the one that had this name.
        .when(keys::UID_VALIDITY_FLOOR, floor.stored)
        .when(keys::removal(id), Expected::Value(mark))
        .write(Write::put(directory, id.get().to_be_bytes()))
        .write(Write::delete(keys::removal(id)));
    let error = match store.commit_wait(commit) {
        Ok(_) => return Ok(id),
        Err(StoreError::Conflict { condition: 0 | 1 }) => ServiceError::AccountExists,
        Err(StoreError::Conflict { .. }) => ServiceError::Busy,
        // It may have its name. If not, the sweep removes it when its time has come.
        Err(error) => return Err(error.into()),
    };
    let decided = Removal::Decided.encode();
    store.commit_wait(Commit::new().write(Write::put(keys::removal(id), decided)))?;
    purge(store, id)?;
    Err(error)
}

/// First the intention, then nobody can change it any more, then its name goes, then its rows.
pub(crate) fn remove(
    store: &dyn Store,
    id: AccountId,
    name: &AccountName,
    world: &World,
) -> Result<(), ServiceError> {
    let directory = keys::directory(name);
    let value = Expected::Value(id.get().to_be_bytes().to_vec());
    let begun = Removal::Begun(name.as_str().to_owned()).encode();
    let commit = Commit::new()
        .when(directory.clone(), value.clone())
        .when(keys::moving(id), Expected::Absent)
        .write(Write::put(keys::removal(id), begun));
    match store.commit_wait(commit) {
        Ok(_) => {}
        Err(StoreError::Conflict { condition: 0 }) => return Err(ServiceError::NoSuchAccount),
        Err(StoreError::Conflict { .. }) => return Err(ServiceError::Moving),
        Err(error) => return Err(error.into()),
    }
    let frozen = freeze(store, &AccountKeys::new(id), world)?;
    for _ in 0..ATTEMPTS_MAX {
        let floor = UidValidityFloor::read(&*store.view()?)?;
        let raised = floor.value.max(frozen.head.last_uid_validity);
        let commit = Commit::new()
            .when(directory.clone(), value.clone())
            .when(keys::UID_VALIDITY_FLOOR, floor.stored)
            .write(Write::put(keys::UID_VALIDITY_FLOOR, raised.to_be_bytes()))
            .write(Write::delete(directory.clone()))
            .write(Write::put(keys::removal(id), Removal::Decided.encode()));
        match store.commit_wait(commit) {
            Ok(_) => return purge(store, id),
            Err(StoreError::Conflict { condition: 0 }) => return Err(ServiceError::NoSuchAccount),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

/// Goes on with what a mark says was begun.
pub(crate) fn finish(
    store: &dyn Store,
    id: AccountId,
    removal: &Removal,
    world: &World,
) -> Result<(), ServiceError> {
    match removal {
        Removal::Decided => purge(store, id),
        Removal::Arriving => Ok(()),
        Removal::Begun(name) => {
            let name = AccountName::new(name).map_err(ServiceError::InvalidName)?;
            match remove(store, id, &name, world) {
                Err(ServiceError::NoSuchAccount) => Ok(()),
                other => other,
            }
        }
        Removal::Making(since) if world.clock.now_secs() - since < MAKING_SECS_MAX => Ok(()),
        Removal::Making(_) => {
            let commit = Commit::new()
                .when(keys::removal(id), Expected::Value(removal.encode()))
                .write(Write::put(keys::removal(id), Removal::Decided.encode()));
            match store.commit_wait(commit) {
                Ok(_) => purge(store, id),
                // It has got its name just now.
                Err(StoreError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// How long an account may take to be made before it is taken for what a crash left.
const MAKING_SECS_MAX: i64 = 3600;
