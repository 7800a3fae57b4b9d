//! Who shares with whom. RFC 4314
//!
//! What an account shares stands in the access control lists of its mailboxes and nowhere else.
//! So that a user's session finds the accounts that share with it without opening all, there is a
//! row for each grantee and owner: a grant. It tells where to look and gives no right. Grants name
//! ids, so that an account that is made under the name of a removed one finds nothing shared.
//!
//! A grant is written before the list that it speaks of, and once more behind it, with the modseq
//! of the owner's account. One that is of no use any more is deleted as it was read before the
//! lists were looked at. So a list may lose its grant only while it is being written, and is given
//! it back then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mail_types::{AccountId, MailboxId, ModSeq};
use mailbox::{Account, Acl, Actor, Identifier, Operation, Outcome, Rights, RightsChange};
use store::{Commit, Expected, Store, StoreError, View, Write};

use crate::accounts::parse_directory;
use crate::auth::name::AccountName;
use crate::codec::CorruptRecord;
use crate::codec::rows::decode_acl;
use crate::error::{NameFault, ServiceError};
use crate::handle::AccountHandle;
use crate::keys::{self, ANYONE, AccountKey, AccountKeys};
use crate::limits::{ATTEMPTS_MAX, BUSY_PAUSE, GRANTS_PER_LOOK_MAX, SWEEP_STEP_ROWS, VISITS_MAX};
use crate::loader::{load_head, scan, strange_key};
use crate::login::{load_credential, resolve};
use crate::service::{Service, Shared, blocking};

impl Service {
    /// The account of this name as the user of `me` may see it: [`Account::rights`] says what.
    /// `None` if there is no such account or it shares nothing with this user, which takes as long
    /// to find out. One's own account is opened as it is.
    ///
    /// # Errors
    /// `Moving`, `Corrupt`, errors of the store.
    pub async fn visit(
        &self,
        me: &AccountHandle,
        owner: &str,
    ) -> Result<Option<AccountHandle>, ServiceError> {
        let Ok(name) = AccountName::new(owner) else { return Ok(None) };
        let id = me.id();
        let found = self.shared.read(move |view| granting(view, id, &name)).await?;
        match found {
            Some(owner) if owner == id => Ok(Some(me.clone())),
            Some(owner) => self.visit_account(me, owner).await,
            None => Ok(None),
        }
    }

    /// All accounts that share something with the user of `me`, at most
    /// [`VISITS_MAX`], in the order of their names. One that cannot be opened is left out.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn shared_with(
        &self,
        me: &AccountHandle,
    ) -> Result<Vec<AccountHandle>, ServiceError> {
        let id = me.id();
        let owners = self.shared.read(move |view| owners_sharing_with(view, id)).await?;
        let mut visits = Vec::new();
        for owner in owners {
            if visits.len() == VISITS_MAX {
                break;
            }
            match self.visit_account(me, owner).await {
                Ok(visit) => visits.extend(visit),
                Err(ServiceError::Moving) => {}
                Err(error) if error.is_damage() => {
                    tracing::warn!(account = %owner, %error, "what it shares cannot be told");
                }
                Err(error) => return Err(error),
            }
        }
        visits.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(visits)
    }

    async fn visit_account(
        &self,
        me: &AccountHandle,
        owner: AccountId,
    ) -> Result<Option<AccountHandle>, ServiceError> {
        // Only who has logged in visits; and nobody without a name is named in a list.
        if *me.actor() != Actor::Owner || me.name().is_empty() || owner == me.id() {
            return Ok(None);
        }
        let handle = match self.account(owner).await {
            Err(ServiceError::NoSuchAccount) => return Ok(None),
            other => other?,
        };
        let account = match handle.state().await {
            Err(ServiceError::NoSuchAccount) => return Ok(None),
            other => other?,
        };
        let shares = account.acls().any(|(_, acl)| !acl.rights_of(me.name()).is_empty());
        Ok(shares.then(|| handle.with_guest(me.open().name())))
    }

    /// Deletes grants that no list bears out any more.
    pub(crate) async fn sweep_grants(&self) -> Result<(), ServiceError> {
        let store = Arc::clone(&self.shared.store);
        blocking(move || sweep_grants(&*store)).await
    }
}

impl AccountHandle {
    /// Changes what somebody may do with a mailbox: `anyone`, a login name in any spelling, or one
    /// of these behind a `-`. The one way to change a list: whoever is granted something finds it.
    ///
    /// A name that no account has is taken as it is. An account that is made under it later finds
    /// nothing of this until it is granted something itself.
    ///
    /// # Errors
    /// `InvalidIdentifier` if the text can be nobody's name (RFC 4314 §3: BAD); as
    /// [`AccountHandle::submit`].
    pub async fn set_acl(
        &self,
        mailbox: MailboxId,
        identifier: &str,
        change: RightsChange,
    ) -> Result<(Account, Outcome), ServiceError> {
        let (identifier, grantee) = self.identify(identifier).await?;
        let grantee = grantee.filter(|_| !identifier.is_negative());
        let operation = Operation::SetAcl { mailbox, identifier: identifier.clone(), change };
        let account = self.current();
        // What is going to be refused should leave no grant behind.
        let may_ask = account.rights(mailbox, self.actor()).contains(Rights::ADMINISTER);
        let gives_none = change.result(Rights::NONE).is_empty();
        if let Some(grantee) = grantee.filter(|_| may_ask && !gives_none) {
            self.put_grant(grantee, account.modseq()).await?;
        }
        let changed = self.submit(operation).await?;
        let Some(grantee) = grantee else { return Ok(changed) };
        if changed.0.has_grants_to(&identifier) {
            self.put_grant(grantee, changed.0.modseq()).await?;
        } else if let Err(error) = self.drop_grant(grantee, &identifier).await {
            // It was granted again meanwhile, or the sweep finds it.
            tracing::debug!(account = %self.id(), %error, "a grant stays that is of no use");
        }
        Ok(changed)
    }

    /// The one spelling of an identifier, and the account that it names.
    async fn identify(&self, text: &str) -> Result<(Identifier, Option<AccountId>), ServiceError> {
        let (sign, name) = text.strip_prefix('-').map_or(("", text), |name| ("-", name));
        let name = AccountName::new(name).map_err(ServiceError::InvalidIdentifier)?;
        let (name, id) = if name.as_str() == Identifier::ANYONE {
            (name.as_str().to_owned(), Some(ANYONE))
        } else {
            let domains = self.shared().config.domains.clone();
            self.shared().read(move |view| known_as(view, &name, &domains)).await?
        };
        let identifier = Identifier::new(&format!("{sign}{name}"))
            .map_err(|_| ServiceError::InvalidIdentifier(NameFault::Character))?;
        Ok((identifier, id))
    }

    async fn put_grant(&self, grantee: AccountId, modseq: ModSeq) -> Result<(), ServiceError> {
        let write = Write::put(keys::grant(grantee, self.id()), encode_grant(modseq));
        for _ in 0..ATTEMPTS_MAX {
            match self.shared().commit(Commit::new().write(write.clone())).await {
                Ok(()) => return Ok(()),
                // Written twice, it is the same.
                Err(StoreError::OutcomeUnknown { .. }) => {}
                Err(StoreError::Busy | StoreError::Unavailable { .. }) => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::Busy)
    }

    /// Deletes a grant if no list names the grantee any more.
    async fn drop_grant(
        &self,
        grantee: AccountId,
        identifier: &Identifier,
    ) -> Result<(), ServiceError> {
        let key = keys::grant(grantee, self.id());
        let stored = {
            let key = key.clone();
            self.shared().read(move |view| Ok(view.get(&key)?)).await?
        };
        let Some(stored) = stored else { return Ok(()) };
        if !self.state().await?.has_grants_to(identifier) {
            self.shared().commit(deletion(key, stored)).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// The accounts that may share something with exactly this one, as far as one look goes.
    pub(crate) async fn sharing_with(&self, id: AccountId) -> Result<Vec<AccountId>, ServiceError> {
        self.read(move |view| owners_in(view, &keys::grants_to(id))).await
    }

    /// Takes the name of a removed account out of the lists that it stands in, so that an account
    /// that is made under this name has none of its rights.
    pub(crate) async fn forget_grantee(self: &Arc<Self>, name: &AccountName, owners: &[AccountId]) {
        for owner in owners {
            if let Err(error) = self.take_out(name, *owner).await {
                tracing::warn!(account = %owner, %error, "a removed account is left in its lists");
            }
        }
    }

    async fn take_out(
        self: &Arc<Self>,
        name: &AccountName,
        owner: AccountId,
    ) -> Result<(), ServiceError> {
        let Ok(identifier) = Identifier::new(name.as_str()) else { return Ok(()) };
        let open = match self.registry.open(self, owner).await {
            Err(ServiceError::NoSuchAccount) => return Ok(()),
            other => other?,
        };
        let account = open.refresh().await?;
        for (mailbox, _) in account.acls().filter(|(_, acl)| !acl.granted(&identifier).is_empty()) {
            let (identifier, change) = (identifier.clone(), RightsChange::Delete);
            let operation = Operation::SetAcl { mailbox, identifier, change };
            match open.submit(Actor::Owner, operation, Vec::new()).await {
                // The mailbox has gone meanwhile, and its list with it.
                Ok(_) | Err(ServiceError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The account of this name, if a row says that it shares something with `me` or with anyone, or if
/// it is `me`. As many rows are read whether it exists or not.
fn granting(
    view: &dyn View,
    me: AccountId,
    owner: &AccountName,
) -> Result<Option<AccountId>, ServiceError> {
    let key = keys::directory(owner);
    let found = view.get(&key)?.map(|value| parse_directory(&key, &value)).transpose()?;
    let id = found.map_or(NOBODY, |found| found.id);
    let (mine, all) = (keys::grant(me, id), keys::grant(ANYONE, id));
    let has_grant = view.get_many(&[&mine, &all])?.iter().any(Option::is_some);
    Ok(Some(id).filter(|id| *id == me || has_grant))
}

/// The accounts that may share something with this one: those that name it first.
fn owners_sharing_with(view: &dyn View, me: AccountId) -> Result<Vec<AccountId>, ServiceError> {
    let mut owners = owners_in(view, &keys::grants_to(me))?;
    let named: BTreeSet<AccountId> = owners.iter().copied().collect();
    let all = owners_in(view, &keys::grants_to(ANYONE))?;
    owners.extend(all.into_iter().filter(|owner| *owner != me && !named.contains(owner)));
    Ok(owners)
}

fn owners_in(view: &dyn View, range: &store::KeyRange) -> Result<Vec<AccountId>, ServiceError> {
    let page = store::scan_page(view, range, GRANTS_PER_LOOK_MAX)?;
    let grants = page.rows.iter().map(|(key, value)| read_grant(key, value));
    grants.map(|grant| grant.map(|(_, owner)| owner)).collect()
}

/// The name that an account is known by, and its id; what is nobody's name is as it was prepared.
fn known_as(
    view: &dyn View,
    name: &AccountName,
    domains: &[String],
) -> Result<(String, Option<AccountId>), ServiceError> {
    if let Some(id) = resolve(view, name, domains)?
        && let Some(found) = load_credential(view, id)?
    {
        return Ok((found.credential.name, Some(id)));
    }
    Ok((name.as_str().to_owned(), None))
}

/// Deletes the grants of and to a removed account.
pub(crate) fn forget_grants(store: &dyn Store, id: AccountId) -> Result<(), ServiceError> {
    delete_grants(store, |_, grants| {
        Ok(grants.iter().map(|(grantee, owner)| *grantee == id || *owner == id).collect())
    })
}

/// Deletes grants of which an owner's lists know nothing any more.
fn sweep_grants(store: &dyn Store) -> Result<(), ServiceError> {
    delete_grants(store, |view, grants| {
        // Rows stand with their grantees: the lists of each owner are read once.
        let mut known = BTreeMap::new();
        for (_, owner) in grants {
            if !known.contains_key(owner) {
                known.insert(*owner, named_by(view, *owner)?);
            }
        }
        let is_idle = |(grantee, owner): &(AccountId, AccountId)| {
            let Some(Some(named)) = known.get(owner) else { return Ok(false) };
            let name = match *grantee {
                ANYONE => Some(Identifier::ANYONE.to_owned()),
                id => load_credential(view, id)?.map(|found| found.credential.name),
            };
            Ok(name.is_none_or(|name| !named.contains(name.as_str())))
        };
        grants.iter().map(is_idle).collect()
    })
}

/// The identifiers in all lists of an account; `None` if that cannot be told now.
fn named_by(
    view: &dyn View,
    owner: AccountId,
) -> Result<Option<BTreeSet<Identifier>>, ServiceError> {
    let keys = AccountKeys::new(owner);
    match load_head(view, &keys) {
        Ok(row) if row.frozen => return Ok(None),
        Ok(_) => {}
        // Its grants go when it is removed; until then it may be on its way.
        Err(ServiceError::NoSuchAccount) => return Ok(None),
        Err(error) => return Err(error),
    }
    let lists = lists_of(view, &keys)?;
    let named = lists.iter().flat_map(|acl| acl.iter().map(|(identifier, _)| identifier.clone()));
    Ok(Some(named.collect()))
}

fn lists_of(view: &dyn View, keys: &AccountKeys) -> Result<Vec<Acl>, ServiceError> {
    let mut lists = Vec::new();
    scan(view, &keys.acls(), |key, value| match keys.parse(key) {
        Some(AccountKey::Acl(_)) => {
            lists.push(decode_acl(key, value)?);
            Ok(())
        }
        _ => Err(strange_key(key)),
    })?;
    Ok(lists)
}

/// Goes through all grants and deletes those that `is_idle` says, unless they were written again
/// since they were read: which is before `is_idle` looks at anything.
fn delete_grants(
    store: &dyn Store,
    is_idle: impl Fn(&dyn View, &[(AccountId, AccountId)]) -> Result<Vec<bool>, ServiceError>,
) -> Result<(), ServiceError> {
    let mut range = Some(keys::grants_all());
    while let Some(part) = range.take() {
        let page = store::scan_page(&*store.view()?, &part, GRANTS_PER_STEP)?;
        let grants: Result<Vec<_>, _> = page.rows.iter().map(|(k, v)| read_grant(k, v)).collect();
        let idle = is_idle(&*store.view()?, &grants?)?;
        for ((key, value), _) in page.rows.into_iter().zip(idle).filter(|(_, is_idle)| *is_idle) {
            match store.commit_wait(deletion(key, value)) {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        range = page.rest;
    }
    Ok(())
}

/// Writes the grants of an account that has come from elsewhere: of its own lists, and of the lists
/// that name it. Both know it by its name.
pub(crate) fn restore_grants(
    store: &dyn Store,
    id: AccountId,
    name: &AccountName,
) -> Result<(), ServiceError> {
    restore_own_grants(store, id)?;
    let mut range = Some(keys::directory_all());
    while let Some(part) = range.take() {
        let page = store::scan_page(&*store.view()?, &part, SWEEP_STEP_ROWS)?;
        for (key, value) in page.rows {
            let owner = parse_directory(&key, &value)?.id;
            let lists = lists_of(&*store.view()?, &AccountKeys::new(owner))?;
            let names_it = |acl: &Acl| acl.iter().any(|(named, _)| named.as_str() == name.as_str());
            if owner != id && lists.iter().any(names_it) {
                put_missing(store, id, owner)?;
            }
        }
        range = page.rest;
    }
    Ok(())
}

/// Writes the grants that the lists of an account ask for.
pub(crate) fn restore_own_grants(store: &dyn Store, id: AccountId) -> Result<(), ServiceError> {
    let lists = lists_of(&*store.view()?, &AccountKeys::new(id))?;
    let named = lists.iter().flat_map(|acl| acl.iter().map(|(identifier, _)| identifier));
    let named: BTreeSet<&Identifier> = named.filter(|named| !named.is_negative()).collect();
    for identifier in named {
        let grantee = if identifier.is_anyone() {
            Some(ANYONE)
        } else {
            let Ok(name) = AccountName::new(identifier.as_str()) else { continue };
            resolve(&*store.view()?, &name, &[])?
        };
        if let Some(grantee) = grantee {
            put_missing(store, grantee, id)?;
        }
    }
    Ok(())
}

fn put_missing(
    store: &dyn Store,
    grantee: AccountId,
    owner: AccountId,
) -> Result<(), ServiceError> {
    let key = keys::grant(grantee, owner);
    let commit = Commit::new()
        .when(key.clone(), Expected::Absent)
        .write(Write::put(key, encode_grant(ModSeq::ZERO)));
    match store.commit_wait(commit) {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a grant as it was read.
fn deletion(key: Vec<u8>, stored: Vec<u8>) -> Commit {
    Commit::new().when(key.clone(), Expected::Value(stored)).write(Write::delete(key))
}

fn encode_grant(modseq: ModSeq) -> Vec<u8> {
    modseq.get().to_be_bytes().to_vec()
}

/// Grantee and owner of a grant.
pub(crate) fn read_grant(key: &[u8], value: &[u8]) -> Result<(AccountId, AccountId), ServiceError> {
    let grant = keys::parse_grant(key).ok_or_else(|| strange_key(key))?;
    if value.len() != size_of::<u64>() {
        return Err(CorruptRecord::new(key, "it is no modseq").into());
    }
    Ok(grant)
}

/// Grants that one step of a sweep looks at, with the lists of their owners.
const GRANTS_PER_STEP: usize = 200;

/// No account has this id: they count up from one.
const NOBODY: AccountId = AccountId(u64::MAX);
