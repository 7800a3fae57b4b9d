//! Where mail for an address goes: to accounts, through aliases, or to other systems.
//!
//! An alias is a row: an address and whom it stands for. `sales@mail.example` may stand for one
//! account, for a list of members, or for an address elsewhere; `@mail.example` stands for every
//! address of that domain that nobody else has. Whoever is named may be an alias again. The walk is
//! bounded, and meets each address once, so that a circle ends.
//!
//! Mail of strangers for such an address elsewhere leaves under a reverse-path of ours
//! ([`crate::srs`]), and what comes back to that path goes to the stranger.

use std::collections::HashSet;
use std::fmt;

use mail_types::AccountId;
use store::{Commit, Expected, StoreError, View, Write};

use crate::auth::name::AccountName;
use crate::codec::{CorruptRecord, Writer, decode};
use crate::delivery::{DeliverError, Route};
use crate::error::ServiceError;
use crate::keys;
use crate::limits::ATTEMPTS_MAX;
use crate::loader::scan;
use crate::login::{load_credential, resolve};
use crate::service::Service;
use crate::srs::{self, SrsFault};

/// An address that stands for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The address in its one spelling; `@mail.example` is whatever nobody else has there.
    pub address: String,
    /// For whom it stands: accounts, addresses here, addresses elsewhere. The address itself means
    /// the account of that name.
    pub targets: Vec<String>,
}

/// Where mail for an address goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// Accounts here, each once.
    pub local: Vec<Kept>,
    /// Addresses of other systems.
    pub remote: Vec<String>,
    /// What the address is that was asked for.
    pub kind: AddressKind,
}

/// What an address is to this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressKind {
    /// One of ours: of an account, or one that stands for others.
    #[default]
    Ours,
    /// One of another system.
    Elsewhere,
    /// The path under which mail was forwarded: what comes back to it goes to the sender.
    ReturnPath,
}

/// One account that mail goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The address by which the account was found: the first one, or what an alias named.
    pub address: String,
    /// The account.
    pub route: Route,
}

/// Why an alias was not changed.
#[derive(Clone, Debug, PartialEq)]
pub enum AliasError {
    /// It is no address, it stands for nobody or for too many, or one of those is no address.
    Invalid,
    /// There is no such alias.
    NoSuchAlias,
    /// The store did not do it.
    Service(ServiceError),
}

impl fmt::Display for AliasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => {
                write!(f, "an alias is an address that stands for 1 to {TARGETS_MAX} others")
            }
            Self::NoSuchAlias => f.write_str("no such alias"),
            Self::Service(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AliasError {}

impl From<ServiceError> for AliasError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl Service {
    /// Lets an address stand for these, and for nobody else.
    ///
    /// # Errors
    /// `Invalid`, errors of the store.
    pub async fn set_alias(&self, address: &str, targets: &[String]) -> Result<(), AliasError> {
        let address = AccountName::new(address).map_err(|_| AliasError::Invalid)?;
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            return Err(AliasError::Invalid);
        }
        let mut names: Vec<AccountName> = Vec::with_capacity(targets.len());
        for target in targets {
            let name = AccountName::new(target).map_err(|_| AliasError::Invalid)?;
            // A domain as a whole is nobody to send to.
            if name.as_str().starts_with('@') {
                return Err(AliasError::Invalid);
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let row = Write::put(keys::alias(&address), encode(&names));
        self.shared.commit(Commit::new().write(row)).await.map_err(ServiceError::from)?;
        Ok(())
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// `NoSuchAlias`, errors of the store.
    pub async fn remove_alias(&self, address: &str) -> Result<(), AliasError> {
        let address = AccountName::new(address).map_err(|_| AliasError::Invalid)?;
        let key = keys::alias(&address);
        for _ in 0..ATTEMPTS_MAX {
            let sought = key.clone();
            let found = self.shared.read(move |view| Ok(view.get(&sought)?)).await?;
            let found = found.ok_or(AliasError::NoSuchAlias)?;
            let commit = Commit::new()
                .when(key.clone(), Expected::Value(found))
                .write(Write::delete(key.clone()));
            match self.shared.commit(commit).await {
                Ok(()) => return Ok(()),
                // It was changed meanwhile: look again.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(ServiceError::from(error).into()),
            }
        }
        Err(ServiceError::Busy.into())
    }

    /// All aliases in the order of their addresses.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn list_aliases(&self) -> Result<Vec<Alias>, ServiceError> {
        let read = self.shared.read(|view| {
            let mut aliases = Vec::new();
            scan(view, &keys::aliases_all(), |key, value| {
                aliases.push(parse_alias(key, value)?);
                Ok(())
            })?;
            Ok(aliases)
        });
        read.await
    }

    /// Where mail for this address goes.
    ///
    /// # Errors
    /// `NoSuchUser` if the address would be one of ours and is not; `Temporary`.
    pub async fn destinations(&self, recipient: &str) -> Result<Destinations, DeliverError> {
        let (mut address, mut is_return) = (recipient.to_owned(), false);
        // Mail that came by here twice was rewritten twice.
        while let Some((local, domain)) = address.rsplit_once('@')
            && srs::is_rewritten(local)
            && self.is_ours(domain)
        {
            // What is forged, or too old, is an address that nobody has.
            let sender = srs::sender_of(&self.shared.secret, local, self.now_secs());
            address = sender.ok_or(DeliverError::NoSuchUser)?;
            is_return = true;
        }
        let mut found = self.walk_from(&address).await?;
        if is_return {
            found.kind = AddressKind::ReturnPath;
        }
        Ok(found)
    }

    /// Under which reverse-path mail of a stranger for `recipient`, an address of ours, is
    /// forwarded; `None` if under its own: mail that comes back finds the way by itself if there is
    /// no sender, or one of a domain of ours.
    ///
    /// # Errors
    /// When the sender's address has no form under which it could be forwarded.
    pub fn forwarding_path(
        &self,
        sender: &str,
        recipient: &str,
    ) -> Result<Option<String>, SrsFault> {
        let domain_of = |address: &str| address.rsplit_once('@').map(|(_, it)| it.to_owned());
        if sender.is_empty() || domain_of(sender).is_some_and(|domain| self.is_ours(&domain)) {
            return Ok(None);
        }
        let config = &self.shared.config;
        let usual = || config.domains.first().unwrap_or(&config.queue.hostname).clone();
        let ours = domain_of(recipient).filter(|domain| self.is_ours(domain));
        let (secret, now) = (&self.shared.secret, self.now_secs());
        srs::rewrite(secret, sender, &ours.unwrap_or_else(usual), now).map(Some)
    }

    /// Whether a domain, or a host, is one whose mail comes here.
    pub(crate) fn is_ours(&self, domain: &str) -> bool {
        let config = &self.shared.config;
        let is = |own: &String| own.eq_ignore_ascii_case(domain);
        config.domains.iter().any(is) || is(&config.queue.hostname)
    }

    /// Whether a domain may be of one owner with a domain of ours, because it is the same, above it
    /// or below it: what is proved for one counts for the other. RFC 7489 §3.1.2
    #[must_use]
    pub fn is_kin(&self, domain: &str) -> bool {
        let domain = domain.to_ascii_lowercase();
        let is_below = |one: &str, other: &str| {
            let rest = one.strip_suffix(other);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let is = |own: &String| is_below(own, &domain) || is_below(&domain, own);
        self.shared.config.domains.iter().any(is)
    }

    /// Whether an address that nobody here has is one that somebody elsewhere may have.
    fn is_elsewhere(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| !self.is_ours(domain))
    }

    /// Who is the postmaster without a domain, and the one at this server's name, if nobody is
    /// called so: mail for them is taken wherever there is one at all. RFC 5321 §4.5.1
    fn postmaster(&self, asked: &AccountName) -> Option<AccountName> {
        let config = &self.shared.config;
        let is_asked = match asked.as_str().rsplit_once('@') {
            None => asked.as_str() == POSTMASTER,
            Some((local, host)) => {
                local == POSTMASTER && config.queue.hostname.eq_ignore_ascii_case(host)
            }
        };
        let usual = config.domains.first().filter(|_| is_asked)?;
        AccountName::new(&format!("{POSTMASTER}@{usual}")).ok()
    }

    async fn walk_from(&self, recipient: &str) -> Result<Destinations, DeliverError> {
        let Ok(name) = AccountName::new(recipient) else {
            // No account can be called so; somebody elsewhere can.
            if self.is_elsewhere(recipient) {
                let remote = vec![recipient.to_owned()];
                let kind = AddressKind::Elsewhere;
                return Ok(Destinations { remote, kind, ..Destinations::default() });
            }
            return Err(DeliverError::NoSuchUser);
        };
        let (service, recipient) = (self.clone(), recipient.to_owned());
        let walked = self.shared.read(move |view| {
            let mut walk = Walk::new(view, &service, CatchAll::Asked);
            walk.run(name, Some(&recipient))?;
            Ok(walk.found)
        });
        let found = walked.await?;
        if found == Destinations::default() { Err(DeliverError::NoSuchUser) } else { Ok(found) }
    }

    /// Whether mail may go out in the name of this address when this account sends it: the account
    /// has that name, or an alias of that name stands for this account and for nobody else.
    ///
    /// # Errors
    /// `Corrupt`, errors of the store.
    pub async fn may_send_as(
        &self,
        account: AccountId,
        address: &str,
    ) -> Result<bool, ServiceError> {
        let Ok(name) = AccountName::new(address) else { return Ok(false) };
        let service = self.clone();
        let read = self.shared.read(move |view| {
            let own = own_route(view, &name, &service.shared.config.domains)?;
            if own.is_some_and(|route| route.account == account) {
                return Ok(true);
            }
            let mut walk = Walk::new(view, &service, CatchAll::Passed);
            walk.run(name, None)?;
            let Destinations { local, remote, .. } = walk.found;
            Ok(remote.is_empty() && matches!(&local[..], [it] if it.route.account == account))
        });
        read.await
    }

    /// The name of an account.
    ///
    /// # Errors
    /// `NoSuchAccount`, `Corrupt`, errors of the store.
    pub async fn account_name(&self, account: AccountId) -> Result<AccountName, ServiceError> {
        let found = self.shared.read(move |view| load_credential(view, account)).await?;
        let name = found.map(|found| AccountName::new(&found.credential.name));
        name.and_then(Result::ok).ok_or(ServiceError::NoSuchAccount)
    }

    /// Whether an account has room for a message of this size. It may have none any more when the
    /// message has come.
    ///
    /// # Errors
    /// `NoSuchAccount`, errors of the store.
    pub async fn has_room(&self, account: AccountId, octets: u64) -> Result<bool, ServiceError> {
        use mailbox::Resource;
        let state = self.account(account).await?.state().await?;
        let (quota, usage) = (state.quota(), state.usage());
        let fits = |resource, more: u64| {
            let limit = quota.limit(resource);
            limit.is_none_or(|limit| usage.of(resource).saturating_add(more) <= limit)
        };
        Ok(fits(Resource::Storage, octets.div_ceil(1024)) && fits(Resource::Messages, 1))
    }
}

/// The account of exactly this name, or of this name without its detail.
fn own_route(
    view: &dyn View,
    name: &AccountName,
    domains: &[String],
) -> Result<Option<Route>, ServiceError> {
    if let Some(account) = resolve(view, name, domains)? {
        return Ok(Some(Route { account, detail: None }));
    }
    let Some((user, detail)) = name.without_detail() else { return Ok(None) };
    let account = resolve(view, &user, domains)?;
    Ok(account.map(|account| Route { account, detail: Some(detail) }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CatchAll {
    Asked,
    Passed,
}

/// A walk from one address to all that it stands for.
struct Walk<'a> {
    view: &'a dyn View,
    service: &'a Service,
    catch_all: CatchAll,
    seen: HashSet<AccountName>,
    open: Vec<AccountName>,
    found: Destinations,
}

impl<'a> Walk<'a> {
    fn new(view: &'a dyn View, service: &'a Service, catch_all: CatchAll) -> Self {
        let (seen, open, found) = (HashSet::new(), Vec::new(), Destinations::default());
        Self { view, service, catch_all, seen, open, found }
    }

    /// `spelt` is the first address as its sender spelt it: elsewhere the letter case of a local
    /// part may matter. RFC 5321 §2.4
    fn run(&mut self, first: AccountName, spelt: Option<&str>) -> Result<(), ServiceError> {
        let mut spelt = spelt.map(str::to_owned);
        self.open.push(first);
        while let Some(name) = self.open.pop() {
            if !self.seen.insert(name.clone()) {
                continue;
            }
            if self.seen.len() > WALK_MAX {
                return Err(ServiceError::Busy);
            }
            self.step(&name, spelt.take())?;
        }
        Ok(())
    }

    fn step(&mut self, name: &AccountName, spelt: Option<String>) -> Result<(), ServiceError> {
        if self.follow(name)? {
            return Ok(());
        }
        if let Some(route) = self.own_route(name)? {
            self.deliver_to(name, route);
            return Ok(());
        }
        if let Some((user, _)) = name.without_detail()
            && self.follow(&user)?
        {
            return Ok(());
        }
        let domain = name.as_str().rsplit_once('@').map(|(_, domain)| format!("@{domain}"));
        if self.catch_all == CatchAll::Asked
            && let Some(Ok(all)) = domain.as_deref().map(AccountName::new)
            && self.follow(&all)?
        {
            return Ok(());
        }
        if self.catch_all == CatchAll::Asked
            && let Some(postmaster) = self.service.postmaster(name)
        {
            self.open.push(postmaster);
        }
        if self.service.is_elsewhere(name.as_str()) {
            if spelt.is_some() {
                self.found.kind = AddressKind::Elsewhere;
            }
            let address = spelt.unwrap_or_else(|| name.as_str().to_owned());
            if !self.found.remote.contains(&address) {
                self.found.remote.push(address);
            }
        }
        Ok(())
    }

    /// Goes on with whom an alias of this name stands for; whether there is one.
    fn follow(&mut self, name: &AccountName) -> Result<bool, ServiceError> {
        let key = keys::alias(name);
        let Some(value) = self.view.get(&key)? else { return Ok(false) };
        for target in parse(&key, &value)? {
            if target == *name {
                // Mail is kept here and goes elsewhere too.
                if let Some(route) = self.own_route(name)? {
                    self.deliver_to(name, route);
                }
            } else {
                self.open.push(target);
            }
        }
        Ok(true)
    }

    fn own_route(&self, name: &AccountName) -> Result<Option<Route>, ServiceError> {
        own_route(self.view, name, &self.service.shared.config.domains)
    }

    fn deliver_to(&mut self, name: &AccountName, route: Route) {
        if !self.found.local.iter().any(|it| it.route == route) {
            self.found.local.push(Kept { address: name.as_str().to_owned(), route });
        }
    }
}

fn encode(targets: &[AccountName]) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.list(targets, |w, name| w.bytes(name.as_str().as_bytes()));
    w.finish()
}

fn parse(key: &[u8], value: &[u8]) -> Result<Vec<AccountName>, CorruptRecord> {
    let texts = decode(key, value, VERSION, |r| r.list(|r| Ok(r.text()?.to_owned())))?;
    let names = texts.iter().map(|text| AccountName::new(text)).collect::<Result<Vec<_>, _>>();
    names.map_err(|_| CorruptRecord::new(key, "it names no address"))
}

/// An alias from its row.
pub(crate) fn parse_alias(key: &[u8], value: &[u8]) -> Result<Alias, CorruptRecord> {
    let address = keys::alias_address(key).filter(|address| AccountName::new(address).is_ok());
    let address = address.ok_or_else(|| CorruptRecord::new(key, "it is no address"))?;
    let targets = parse(key, value)?;
    let targets = targets.iter().map(|name| name.as_str().to_owned()).collect();
    Ok(Alias { address: address.to_owned(), targets })
}

/// RFC 2142 §5
const POSTMASTER: &str = "postmaster";

const VERSION: u8 = 1;

/// The most that one alias stands for. Longer lists name other aliases.
pub const TARGETS_MAX: usize = 200;

/// The most addresses that one walk meets.
const WALK_MAX: usize = 2000;
