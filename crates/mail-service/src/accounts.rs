//! Accounts: made, listed, given a new password, removed.

pub(crate) mod app_passwords;
pub(crate) mod hidden;
mod spread;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use mail_types::{AccountId, Secret};
use mailbox::{Account, Actor, Context, Head, Operation, apply, decide};
use store::{BlobKey, Commit, Deletion, Expected, Store, StoreError, View, Write};

use crate::auth::name::AccountName;
use crate::auth::password::{hash_password, prepare_password};
use crate::auth::scram::{Hash, SALT_BYTES, ScramKeys};
use crate::clock::World;
use crate::codec::CorruptRecord;
use crate::codec::credential::Credential;
use crate::codec::rows::{HeadRow, Marks};
use crate::commit::{CommitBuilder, Extra, OperationWrites};
use crate::error::ServiceError;
use crate::keys::{self, AccountKey, AccountKeys};
use crate::limits::{ATTEMPTS_MAX, PasswordCost, SWEEP_STEP_ROWS};
use crate::loader::{load_head, scan};
use crate::login::{load_credential, resolve};
use crate::service::{Service, Shared, blocking};
use crate::sharing::forget_grants;

/// An account in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    /// Its id.
    pub id: AccountId,
    /// Its name in its one spelling.
    pub name: AccountName,
}

/// What became of one line of an import.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportOutcome {
    /// The name as it was given.
    pub name: String,
    /// The new account, or why there is none.
    pub result: Result<AccountId, ServiceError>,
}

impl Service {
    /// Makes an account with its mailboxes.
    ///
    /// # Errors
    /// `AccountExists`, `InvalidName`, `InvalidPassword`, errors of the store.
    pub async fn create_account(
        &self,
        name: &str,
        password: Secret,
    ) -> Result<AccountId, ServiceError> {
        // Known to be in vain: do not spend an id and a hash on it.
        let prepared = AccountName::new(name).map_err(ServiceError::InvalidName)?;
        if self.find_account(prepared.as_str()).await?.is_some_and(|a| a.name == prepared) {
            return Err(ServiceError::AccountExists);
        }
        let id = self.shared.reserve_ids(1).await?;
        self.shared.create_account(id, name, &password).await
    }

    /// Makes many accounts, hashing passwords on all cores. Answers in the order given.
    ///
    /// # Errors
    /// If no ids could be reserved: then nothing was done.
    pub async fn import(
        &self,
        accounts: Vec<(String, Secret)>,
    ) -> Result<Vec<ImportOutcome>, ServiceError> {
        let count = accounts.len();
        let first = self.shared.reserve_ids(count as u64).await?;
        let jobs: VecDeque<_> = (first.get()..).zip(accounts).enumerate().collect();
        let jobs = Arc::new(Mutex::new(jobs));
        let workers: Vec<_> = (0..IMPORT_WORKERS.min(count))
            .map(|_| {
                let (shared, jobs) = (Arc::clone(&self.shared), Arc::clone(&jobs));
                tokio::spawn(async move { import_worker(&shared, &jobs).await })
            })
            .collect();
        let mut outcomes = Vec::with_capacity(count);
        for worker in workers {
            outcomes.extend(worker.await.map_err(|_| ServiceError::Closed)?);
        }
        outcomes.sort_by_key(|(at, _)| *at);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// All accounts in the order of their names.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn list_accounts(&self) -> Result<Vec<AccountSummary>, ServiceError> {
        self.shared
            .read(|view| {
                let mut accounts = Vec::new();
                scan(view, &keys::directory_all(), |key, value| {
                    accounts.push(parse_directory(key, value)?);
                    Ok(())
                })?;
                Ok(accounts)
            })
            .await
    }

    /// The account that a client means by this name, also by an address in one of our domains.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn find_account(&self, name: &str) -> Result<Option<AccountSummary>, ServiceError> {
        let Ok(name) = AccountName::new(name) else { return Ok(None) };
        let domains = self.shared.config.domains.clone();
        self.shared
            .read(move |view| {
                let Some(id) = resolve(view, &name, &domains)? else { return Ok(None) };
                let Some(found) = load_credential(view, id)? else { return Ok(None) };
                let key = AccountKeys::new(id).key(&AccountKey::Credential);
                let name = AccountName::new(&found.credential.name)
                    .map_err(|_| CorruptRecord::new(&key, "it has no account name"))?;
                Ok(Some(AccountSummary { id, name }))
            })
            .await
    }

    /// Gives an account another password. Sessions that are open stay open; every later login needs
    /// the new one, or an application password: these stay until they are removed.
    ///
    /// # Errors
    /// `NoSuchAccount`, `InvalidPassword`, errors of the store.
    pub async fn set_password(&self, name: &str, password: Secret) -> Result<(), ServiceError> {
        let shared = &self.shared;
        let prepared = prepare_password(&password).map_err(ServiceError::InvalidPassword)?;
        loop {
            let found = self.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
            let mut credential = shared.new_credential(&found.name, prepared.clone()).await?;
            let key = AccountKeys::new(found.id).key(&AccountKey::Credential);
            let old = {
                let key = key.clone();
                shared.read(move |view| Ok(view.get(&key)?)).await?
            };
            let old = old.ok_or(ServiceError::NoSuchAccount)?;
            let before = Credential::decode(&key, &old)?;
            credential.hidden = before.hidden;
            credential.app_passwords = before.app_passwords;
            let commit = Commit::new()
                .when(key.clone(), Expected::Value(old))
                .write(Write::put(key, credential.encode()));
            let result = shared.commit(commit).await;
            shared.credentials.remove(found.id);
            match result {
                Ok(()) => return Ok(()),
                // The password was changed or the account removed meanwhile: look again.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes an account with all its mail. Its name is free at once; its id is never used again.
    /// Open sessions find that it is gone. What a crash leaves is removed by the next sweep.
    ///
    /// # Errors
    /// `NoSuchAccount`, `Busy` if the account is changed all the time, errors of the store.
    pub async fn remove_account(&self, name: &str) -> Result<(), ServiceError> {
        let shared = &self.shared;
        if shared.config.shards.is_some() {
            let found = self.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
            let (store, world) = (Arc::clone(&shared.store), shared.world.clone());
            let owners = shared.sharing_with(found.id).await?;
            let (id, name) = (found.id, found.name.clone());
            blocking(move || spread::remove(&*store, id, &name, &world)).await?;
            shared.close_account(id).await;
            shared.forget_grantee(&found.name, &owners).await;
            return Ok(());
        }
        for _ in 0..ATTEMPTS_MAX {
            let found = self.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
            let (id, name) = (found.id, found.name.clone());
            let owners = shared.sharing_with(id).await?;
            let commit = shared.read(move |view| removal_commit(view, &found)).await?;
            match shared.commit(commit).await {
                Ok(()) => {}
                // It was changed or removed meanwhile: look again.
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            shared.close_account(id).await;
            shared.forget_grantee(&name, &owners).await;
            let store = Arc::clone(&shared.store);
            return blocking(move || purge(&*store, id)).await;
        }
        Err(ServiceError::Busy)
    }
}

impl Shared {
    /// Ids that no account has had: this one and the `count - 1` after it.
    async fn reserve_ids(&self, count: u64) -> Result<AccountId, ServiceError> {
        loop {
            let stored = self.read(|view| Ok(view.get(keys::NEXT_ACCOUNT)?)).await?;
            let (next, expected) = match stored {
                None => (1, Expected::Absent),
                Some(value) => {
                    let next = value.as_slice().try_into().map(u64::from_be_bytes);
                    let key = keys::NEXT_ACCOUNT;
                    let next = next.map_err(|_| CorruptRecord::new(key, "it is no number"))?;
                    (next, Expected::Value(value))
                }
            };
            let after = next.saturating_add(count).to_be_bytes();
            let commit = Commit::new()
                .when(keys::NEXT_ACCOUNT, expected)
                .write(Write::put(keys::NEXT_ACCOUNT, after));
            match self.commit(commit).await {
                Ok(()) => return Ok(AccountId(next)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn create_account(
        &self,
        id: AccountId,
        name: &str,
        password: &Secret,
    ) -> Result<AccountId, ServiceError> {
        let name = AccountName::new(name).map_err(ServiceError::InvalidName)?;
        let prepared = prepare_password(password).map_err(ServiceError::InvalidPassword)?;
        let credential = self.new_credential(&name, prepared).await?;
        if let Some(shards) = &self.config.shards {
            let (store, world) = (Arc::clone(&self.store), self.world.clone());
            let shard = spread::shard_of(shards, id);
            let new = spread::NewAccount { id, name, credential, shard };
            return blocking(move || spread::create(&*store, &new, &world)).await;
        }
        for _ in 0..ATTEMPTS_MAX {
            let floor = self.read(UidValidityFloor::read).await?;
            let commit = named(
                first_commit(id, &credential, floor.value, &self.world)?,
                id,
                &name,
                floor.stored,
            );
            match self.commit(commit).await {
                Ok(()) => return Ok(id),
                // An account was removed meanwhile, perhaps the one that had this name.
                Err(StoreError::Conflict { condition: FLOOR_CONDITION }) => {}
                Err(StoreError::Conflict { .. }) => return Err(ServiceError::AccountExists),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::Busy)
    }

    /// Hashes a password and derives the keys of SCRAM, when its turn has come.
    async fn new_credential(
        &self,
        name: &AccountName,
        prepared: Secret,
    ) -> Result<Credential, ServiceError> {
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|_| ServiceError::Closed)?;
        let (name, world, cost) = (name.clone(), self.world.clone(), self.config.passwords);
        blocking(move || {
            let _turn = turn;
            make_credential(&name, &prepared, cost, &world)
        })
        .await
    }

    /// Ends the sequencer of a removed account and forgets what is known of it.
    async fn close_account(&self, id: AccountId) {
        if let Some(open) = self.registry.find(id).await {
            // It reads the head, finds none, and ends.
            let _ = open.refresh().await;
        }
        self.registry.forget(id);
        self.credentials.remove(id);
        self.rows.forget(id);
    }
}

type Jobs = Mutex<VecDeque<(usize, (u64, (String, Secret)))>>;

async fn import_worker(shared: &Shared, jobs: &Jobs) -> Vec<(usize, ImportOutcome)> {
    let mut outcomes = Vec::new();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((at, (id, (name, password)))) = job else { return outcomes };
        let result = shared.create_account(AccountId(id), &name, &password).await;
        outcomes.push((at, ImportOutcome { name, result }));
    }
}

fn make_credential(
    name: &AccountName,
    prepared: &Secret,
    cost: PasswordCost,
    world: &World,
) -> Result<Credential, ServiceError> {
    let keys = |hash| {
        let mut salt = [0; SALT_BYTES];
        if !world.random.fill(&mut salt) {
            return Err(ServiceError::NoRandomness);
        }
        Ok(ScramKeys::derive(hash, prepared, &salt, cost.scram_iterations))
    };
    Ok(Credential {
        name: name.as_str().to_owned(),
        hash: hash_password(prepared, cost, &*world.random)?,
        scram: keys(Hash::Sha256)?,
        scram_sha1: Some(keys(Hash::Sha1)?),
        hidden: Vec::new(),
        app_passwords: Vec::new(),
    })
}

/// The highest UIDVALIDITY of any removed account, and how it is stored.
pub(crate) struct UidValidityFloor {
    pub(crate) value: u32,
    pub(crate) stored: Expected,
}

impl UidValidityFloor {
    pub(crate) fn read(view: &dyn View) -> Result<Self, ServiceError> {
        let key = keys::UID_VALIDITY_FLOOR;
        let Some(stored) = view.get(key)? else {
            return Ok(Self { value: 0, stored: Expected::Absent });
        };
        let value = stored.as_slice().try_into().map(u32::from_be_bytes);
        let value = value.map_err(|_| CorruptRecord::new(key, "it is no number"))?;
        Ok(Self { value, stored: Expected::Value(stored) })
    }
}

/// The commit that removes an account, and keeps what it may never give again.
fn removal_commit(view: &dyn View, found: &AccountSummary) -> Result<Commit, ServiceError> {
    let keys = AccountKeys::new(found.id);
    let directory = keys::directory(&found.name);
    let (head, row) = (keys.key(&AccountKey::Head), load_head(view, &keys)?);
    if row.frozen {
        return Err(ServiceError::Moving);
    }
    let floor = UidValidityFloor::read(view)?;
    let raised = floor.value.max(row.head.last_uid_validity);
    Ok(Commit::new()
        .when(directory.clone(), Expected::Value(found.id.get().to_be_bytes().to_vec()))
        // A mailbox made after this was read would have a UIDVALIDITY that was not counted.
        .when(head.clone(), Expected::Value(row.encode()))
        .when(keys::UID_VALIDITY_FLOOR, floor.stored)
        .write(Write::put(keys::UID_VALIDITY_FLOOR, raised.to_be_bytes()))
        .write(Write::delete(directory))
        .write(Write::delete(head))
        .write(Write::delete(keys.key(&AccountKey::Credential)))
        .write(Write::put(keys::removal(found.id), Removal::Decided.encode())))
}

/// The commit that makes an account without a name: its credential, its first mailboxes.
fn first_commit(
    id: AccountId,
    credential: &Credential,
    floor: u32,
    world: &World,
) -> Result<Commit, ServiceError> {
    let keys = AccountKeys::new(id);
    let head = Head { last_uid_validity: floor, ..Head::default() };
    let before = Account::restore(head, Vec::new(), Vec::new())?;
    let context = Context { now: world.clock.now_secs() };
    let decision = decide(&before, &Actor::Owner, &Operation::CreateAccount, &context)?;
    let (mut builder, mut after) = (CommitBuilder::new(&keys), before.clone());
    if let Some(entry) = decision.entry {
        after = apply(&before, &entry)?;
        builder.add(OperationWrites::new(&keys, &before, &after, &entry, Extra::default())?);
    }
    let mut mark = [0; 16];
    if !world.random.fill(&mut mark) {
        return Err(ServiceError::NoRandomness);
    }
    let mark = u128::from_be_bytes(mark);
    let row = HeadRow { head: *after.head(), mark, past: Marks::default(), frozen: false };
    Ok(builder
        .finish(Expected::Absent, &after, &row)
        .write(Write::put(keys.key(&AccountKey::Credential), credential.encode())))
}

/// Adds the name to a commit that makes an account.
fn named(commit: Commit, id: AccountId, name: &AccountName, floor: Expected) -> Commit {
    let directory = keys::directory(name);
    // After the one of the head: the floor is FLOOR_CONDITION.
    commit
        .when(directory.clone(), Expected::Absent)
        .when(keys::UID_VALIDITY_FLOOR, floor)
        .when(keys::arrival(name), Expected::Absent)
        .write(Write::put(directory, id.get().to_be_bytes()))
}

/// Why rows of an account without a name, or soon without one, are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It was removed; its rows are on their way out.
    Decided,
    /// It is on its way in from another place.
    Arriving,
    /// It is being made since then, seconds since 1970, and gets its name at the end.
    Making(i64),
    /// It is to be removed and has its name still.
    Begun(String),
}

impl Removal {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Decided => Vec::new(),
            Self::Arriving => b"a".to_vec(),
            Self::Making(since) => [&b"n"[..], &since.to_be_bytes()].concat(),
            Self::Begun(name) => [b"d", name.as_bytes()].concat(),
        }
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        let damaged = || CorruptRecord::new(key, "it does not tell why");
        let Some((kind, rest)) = value.split_first() else { return Ok(Self::Decided) };
        match kind {
            b'a' if rest.is_empty() => Ok(Self::Arriving),
            b'n' => {
                let since = rest.try_into().map(i64::from_be_bytes);
                since.map(Self::Making).map_err(|_| damaged())
            }
            b'd' => String::from_utf8(rest.to_vec()).map(Self::Begun).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }
}

pub(crate) use self::spread::finish as finish_removal;

/// Removes what is left of a removed account, step by step, and then the mark that says so. A blob
/// that somebody still holds stays, and the mark with it, for the next sweep.
pub(crate) fn purge(store: &dyn Store, id: AccountId) -> Result<(), ServiceError> {
    forget_grants(store, id)?;
    if purge_rows(store, id)? {
        let marks = [keys::removal(id), keys::placement(id)];
        let writes = marks.map(Write::delete).to_vec();
        store.commit_wait(Commit { writes, ..Commit::default() })?;
    }
    Ok(())
}

/// Removes everything of an account that is in a store; `true` if no blob is left.
pub(crate) fn purge_rows(store: &dyn Store, id: AccountId) -> Result<bool, ServiceError> {
    let keys = AccountKeys::new(id);
    loop {
        let page = store::scan_page(&*store.view()?, &keys.all(), SWEEP_STEP_ROWS)?;
        if page.rows.is_empty() {
            break;
        }
        let writes = page.rows.into_iter().map(|(key, _)| Write::delete(key)).collect();
        store.commit_wait(Commit { writes, ..Commit::default() })?;
    }
    purge_blobs(store, &keys)
}

/// `true` if no blob is left in the account's scope.
fn purge_blobs(store: &dyn Store, keys: &AccountKeys) -> Result<bool, ServiceError> {
    let mut after = BlobKey::new(keys.prefix(), [0; 32].into());
    let mut is_empty = true;
    loop {
        let mut blobs = Vec::new();
        store.list_blobs(Some(&after), &mut |blob| {
            if blob.key.scope != keys.prefix() || blobs.len() == SWEEP_STEP_ROWS {
                return ControlFlow::Break(());
            }
            blobs.push((blob.key.id, blob.named_at));
            ControlFlow::Continue(())
        })?;
        let Some((last, _)) = blobs.last() else { return Ok(is_empty) };
        after = BlobKey::new(keys.prefix(), *last);
        let deleted = store.delete_blobs(keys.prefix(), &blobs)?;
        is_empty &= !deleted.contains(&Deletion::InUse);
    }
}

pub(crate) fn parse_directory(key: &[u8], value: &[u8]) -> Result<AccountSummary, CorruptRecord> {
    let name = keys::directory_name(key).and_then(|text| AccountName::new(text).ok());
    let name = name.ok_or_else(|| CorruptRecord::new(key, "its key is no account name"))?;
    let id = value.try_into().map(u64::from_be_bytes);
    let id = id.map_err(|_| CorruptRecord::new(key, "it is no account id"))?;
    Ok(AccountSummary { id: AccountId(id), name })
}

/// Accounts of an import that are worked on at one time: while some are hashed, the commits of
/// others are on their way to the disk.
const IMPORT_WORKERS: usize = 64;

/// Which condition of the commit that makes an account is that of the UIDVALIDITY floor.
const FLOOR_CONDITION: usize = 2;
