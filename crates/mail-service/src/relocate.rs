//! Moving an account: to another shard of the same service, or from one service's store to
//! another's. UIDs, UIDVALIDITY, modseqs, flags, history, subscriptions and the password stay.
//!
//! The order of steps makes a move safe to stop anywhere and to run again:
//!
//! 1. what is to happen is written down where the account goes;
//! 2. the account is frozen where it is: its head says so, and nobody can change it any more;
//! 3. rows and bodies are copied, what is there already is left, what should not be is deleted;
//! 4. every row is compared and every body of the copy is read and hashed;
//! 5. one commit makes the copy the account: that of its placement, or of its name;
//! 6. the copy is thawed, and what is left at the old place is removed.
//!
//! At no time are there two that could be changed: the old one is frozen until it is gone, the new
//! one until the old one has no name or place any more. Nobody else's account is touched.

mod copy;

use std::sync::Arc;

use mail_types::AccountId;
use store::{Commit, Expected, Store, StoreError, Write};

use self::copy::{copy_account, verify_copy};
use crate::accounts::{
    AccountSummary, Removal, UidValidityFloor, parse_directory, purge, purge_rows,
};
use crate::auth::name::AccountName;
use crate::clock::World;
use crate::codec::rows::HeadRow;
use crate::codec::{CorruptRecord, Reader, Writer, decode};
use crate::error::ServiceError;
use crate::keys::{self, AccountKey, AccountKeys};
use crate::limits::{ATTEMPTS_MAX, Sharing};
use crate::loader::load_head;
use crate::sharing::restore_grants;

/// A service's stores, each by itself.
#[derive(Clone)]
pub struct Shards {
    /// The one with the names of all accounts; an account lives there unless a row names a shard.
    pub home: Arc<dyn Store>,
    /// The others by their names.
    pub others: Vec<(String, Arc<dyn Store>)>,
}

/// What a move came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows that were compared.
    pub rows: u64,
    /// Bodies that were compared.
    pub blobs: u64,
}

impl Shards {
    fn named(&self, name: &str) -> Result<&dyn Store, ServiceError> {
        if name.is_empty() {
            return Ok(&*self.home);
        }
        let found = self.others.iter().find(|(other, _)| other == name);
        found.map(|(_, store)| &**store).ok_or(ServiceError::NoSuchShard)
    }
}

/// Moves an account to another shard; an empty name is the home store. Blocks. Run again after it
/// was stopped, it goes on where it was.
///
/// # Errors
/// `NoSuchAccount`; `NoSuchShard`; `Moving` if the account is on its way to another shard;
/// `Store(Corrupt)` if the copy is not what was copied; errors of the stores.
pub fn move_to_shard(
    shards: &Shards,
    name: &AccountName,
    to: &str,
    world: &World,
) -> Result<Moved, ServiceError> {
    let id = directory_id(&*shards.home, name)?.ok_or(ServiceError::NoSuchAccount)?;
    let keys = AccountKeys::new(id);
    let target = shards.named(to)?;
    let Some(from) = begin_move(shards, id, to)? else { return Ok(Moved::default()) };
    let source = shards.named(&from)?;
    let mut moved = Moved::default();
    if placement(&*shards.home, id)? == from {
        let frozen = freeze(source, &keys, world)?;
        copy_account(source, &keys, target, &keys)?;
        moved = verify_copy(source, &keys, target, &keys)?;
        put_head(target, &keys, &frozen)?;
        switch(&*shards.home, id, &from, to)?;
    }
    thaw(target, &keys, world)?;
    purge_rows(source, id)?;
    shards.home.commit_wait(Commit::new().write(Write::delete(keys::moving(id))))?;
    Ok(moved)
}

/// Moves an account from the store of one service to that of another, where it gets another id.
/// Blocks. Run again after it was stopped, it goes on where it was.
///
/// # Errors
/// `NoSuchAccount`; `AccountExists` if the name is used there; `Store(Corrupt)` if the copy is not
/// what was copied; errors of the stores.
pub fn move_to_service(
    source: &dyn Store,
    target: &dyn Store,
    name: &AccountName,
    shard: Option<&str>,
    world: &World,
) -> Result<Moved, ServiceError> {
    let old = directory_id(source, name)?;
    let mut arrival = match (read_arrival(target, name)?, old) {
        (Some(arrival), _) => arrival,
        (None, Some(_)) => begin_arrival(target, name, shard)?,
        (None, None) => return Err(ServiceError::NoSuchAccount),
    };
    let to = AccountKeys::new(arrival.id);
    let mut moved = Moved::default();
    if let Some(old) = old {
        let from = AccountKeys::new(old);
        let frozen = freeze(source, &from, world)?;
        copy_account(source, &from, target, &to)?;
        moved = verify_copy(source, &from, target, &to)?;
        put_head(target, &to, &frozen)?;
        arrival = note_verified(target, name, arrival)?;
        forget_name(source, name, old, frozen.head.last_uid_validity)?;
    } else if arrival.stage != Stage::Verified {
        return Err(ServiceError::NoSuchAccount);
    }
    thaw(target, &to, world)?;
    // Before it has its name: after that, a move that is run again does not come here.
    restore_grants(target, arrival.id, name)?;
    end_arrival(target, name, arrival)?;
    if let Some(old) = old {
        purge(source, old)?;
    }
    Ok(moved)
}

/// Writes down that the account is being moved. Gives where it comes from, or nothing if it is
/// where it shall be.
fn begin_move(shards: &Shards, id: AccountId, to: &str) -> Result<Option<String>, ServiceError> {
    let key = keys::moving(id);
    loop {
        let home = &*shards.home;
        if let Some(value) = home.view()?.get(&key)? {
            let text = String::from_utf8_lossy(&value);
            let Some((from, there)) = text.split_once('\0') else {
                return Err(CorruptRecord::new(&key, "it names no two shards").into());
            };
            return if there == to { Ok(Some(from.to_owned())) } else { Err(ServiceError::Moving) };
        }
        let from = placement(home, id)?;
        if from == to {
            return Ok(None);
        }
        let commit = Commit::new()
            .when(key.clone(), Expected::Absent)
            .write(Write::put(key.clone(), format!("{from}\0{to}").into_bytes()));
        match home.commit_wait(commit) {
            Ok(_) => return Ok(Some(from)),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The shard of an account; empty at home.
fn placement(home: &dyn Store, id: AccountId) -> Result<String, ServiceError> {
    let found = home.view()?.get(&keys::placement(id))?;
    Ok(found.map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default())
}

/// From now on the account lives in the other shard, for whoever looks it up.
fn switch(home: &dyn Store, id: AccountId, from: &str, to: &str) -> Result<(), ServiceError> {
    let key = keys::placement(id);
    let found = home.view()?.get(&key)?;
    if found.as_deref().unwrap_or_default() != from.as_bytes() {
        return Err(ServiceError::Busy);
    }
    let commit = Commit::new()
        .when(key.clone(), found.map_or(Expected::Absent, Expected::Value))
        .when(keys::moving(id), Expected::Present)
        .write(Write::put(key, to.as_bytes()));
    home.commit_wait(commit)?;
    Ok(())
}

/// Makes an account one that nobody can change.
pub(crate) fn freeze(
    store: &dyn Store,
    keys: &AccountKeys,
    world: &World,
) -> Result<HeadRow, ServiceError> {
    set_frozen(store, keys, world, true)
}

fn thaw(store: &dyn Store, keys: &AccountKeys, world: &World) -> Result<(), ServiceError> {
    set_frozen(store, keys, world, false).map(drop)
}

fn set_frozen(
    store: &dyn Store,
    keys: &AccountKeys,
    world: &World,
    frozen: bool,
) -> Result<HeadRow, ServiceError> {
    let key = keys.key(&AccountKey::Head);
    for _ in 0..ATTEMPTS_MAX {
        let row = load_head(&*store.view()?, keys)?;
        if row.frozen == frozen {
            return Ok(row);
        }
        let mut mark = [0; 16];
        if !world.random.fill(&mut mark) {
            return Err(ServiceError::NoRandomness);
        }
        let mark = u128::from_be_bytes(mark);
        let next = HeadRow { frozen, ..row.next(row.head, mark, Sharing::Shared) };
        let commit = Commit::new()
            .when(key.clone(), Expected::Value(row.encode()))
            .write(Write::put(key.clone(), next.encode()));
        match store.commit_wait(commit) {
            Ok(_) => return Ok(next),
            // Somebody was changing it.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

/// The copy gets its head last: without one it is nobody's account.
fn put_head(target: &dyn Store, keys: &AccountKeys, row: &HeadRow) -> Result<(), ServiceError> {
    let key = keys.key(&AccountKey::Head);
    target.commit_wait(Commit::new().write(Write::put(key, row.encode())))?;
    Ok(())
}

pub(crate) fn directory_id(
    store: &dyn Store,
    name: &AccountName,
) -> Result<Option<AccountId>, ServiceError> {
    let key = keys::directory(name);
    let Some(value) = store.view()?.get(&key)? else { return Ok(None) };
    let AccountSummary { id, .. } = parse_directory(&key, &value)?;
    Ok(Some(id))
}

/// How far an arriving account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Copying,
    Verified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrival {
    id: AccountId,
    stage: Stage,
}

impl Arrival {
    fn encode(self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.number(self.id.get());
        w.byte(u8::from(self.stage == Stage::Verified));
        w.finish()
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r: &mut Reader<'_>| {
            let id = AccountId(r.number()?);
            let stage = match r.byte()? {
                0 => Stage::Copying,
                1 => Stage::Verified,
                _ => return Err("its stage is not known"),
            };
            Ok(Self { id, stage })
        })
    }
}

fn read_arrival(target: &dyn Store, name: &AccountName) -> Result<Option<Arrival>, ServiceError> {
    let key = keys::arrival(name);
    let value = target.view()?.get(&key)?;
    Ok(value.map(|value| Arrival::decode(&key, &value)).transpose()?)
}

/// Reserves an id and the name for an account that will arrive.
fn begin_arrival(
    target: &dyn Store,
    name: &AccountName,
    shard: Option<&str>,
) -> Result<Arrival, ServiceError> {
    let (key, directory) = (keys::arrival(name), keys::directory(name));
    for _ in 0..ATTEMPTS_MAX {
        if let Some(arrival) = read_arrival(target, name)? {
            return Ok(arrival);
        }
        if directory_id(target, name)?.is_some() {
            return Err(ServiceError::AccountExists);
        }
        let stored = target.view()?.get(keys::NEXT_ACCOUNT)?;
        let next = stored.as_deref().map_or(Ok(1), |value| {
            let number = value.try_into().map(u64::from_be_bytes);
            number.map_err(|_| CorruptRecord::new(keys::NEXT_ACCOUNT, "it is no number"))
        })?;
        let arrival = Arrival { id: AccountId(next), stage: Stage::Copying };
        let mut commit = Commit::new()
            .when(keys::NEXT_ACCOUNT, stored.map_or(Expected::Absent, Expected::Value))
            .when(key.clone(), Expected::Absent)
            .when(directory.clone(), Expected::Absent)
            .write(Write::put(keys::NEXT_ACCOUNT, next.saturating_add(1).to_be_bytes()))
            .write(Write::put(key.clone(), arrival.encode()))
            .write(Write::put(keys::removal(arrival.id), Removal::Arriving.encode()));
        if let Some(shard) = shard {
            commit = commit.write(Write::put(keys::placement(arrival.id), shard.as_bytes()));
        }
        match target.commit_wait(commit) {
            Ok(_) => return Ok(arrival),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

fn note_verified(
    target: &dyn Store,
    name: &AccountName,
    arrival: Arrival,
) -> Result<Arrival, ServiceError> {
    let key = keys::arrival(name);
    let verified = Arrival { stage: Stage::Verified, ..arrival };
    let commit = Commit::new()
        .when(key.clone(), Expected::Value(arrival.encode()))
        .write(Write::put(key, verified.encode()));
    target.commit_wait(commit)?;
    Ok(verified)
}

/// The account has no name any more where it was, and none that comes after it there repeats one
/// of its UIDVALIDITY values.
fn forget_name(
    source: &dyn Store,
    name: &AccountName,
    id: AccountId,
    last_uid_validity: u32,
) -> Result<(), ServiceError> {
    let directory = keys::directory(name);
    for _ in 0..ATTEMPTS_MAX {
        let floor = UidValidityFloor::read(&*source.view()?)?;
        let raised = floor.value.max(last_uid_validity);
        let commit = Commit::new()
            .when(directory.clone(), Expected::Value(id.get().to_be_bytes().to_vec()))
            .when(keys::UID_VALIDITY_FLOOR, floor.stored)
            .write(Write::put(keys::UID_VALIDITY_FLOOR, raised.to_be_bytes()))
            .write(Write::delete(directory.clone()))
            .write(Write::put(keys::removal(id), Removal::Decided.encode()));
        match source.commit_wait(commit) {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Busy)
}

fn end_arrival(
    target: &dyn Store,
    name: &AccountName,
    arrival: Arrival,
) -> Result<(), ServiceError> {
    let (key, directory) = (keys::arrival(name), keys::directory(name));
    let commit = Commit::new()
        .when(key.clone(), Expected::Value(arrival.encode()))
        .when(directory.clone(), Expected::Absent)
        .write(Write::put(directory, arrival.id.get().to_be_bytes()))
        .write(Write::delete(key))
        .write(Write::delete(keys::removal(arrival.id)));
    target.commit_wait(commit)?;
    Ok(())
}

const VERSION: u8 = 1;
