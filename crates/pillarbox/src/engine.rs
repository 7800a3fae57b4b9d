//! Where the data are, and opening them with the engine that the configuration names.

#[cfg(feature = "oauth")]
mod oauth;
#[cfg(feature = "postgres")]
mod postgres;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mail_service::{
    PasswordCost, QueueConfig, SaveSent, Service, ServiceConfig, Sharing, TokenVerifier, World,
};
use store::{Store, StoreError};
use store_local::{Local, Options};

use crate::cli::{CONFIG, Data};
use crate::config::{Config, HOME, OAuth, PostgresStorage, STORY_DAYS, Storage};
use crate::failure::Failure;

/// A data folder and how the accounts in it are kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder: mail, or with another engine what only this node needs.
    pub data: PathBuf,
    /// Where mail is kept.
    pub storage: Storage,
    /// What a password hash costs.
    pub passwords: PasswordCost,
    /// Accounts that message submission servers log in as.
    pub submission_accounts: Vec<String>,
    /// A provider whose tokens are taken for logins; only a server needs it.
    pub oauth: Option<OAuth>,
    /// The server's name.
    pub hostname: String,
    /// Domains whose mail is kept here.
    pub domains: Vec<String>,
    /// Days for which the stories of messages are kept.
    pub story_days: u32,
    /// Whether copies of what is submitted are kept for senders.
    pub save_sent: SaveSent,
}

/// What to do about a data folder that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Say so.
    Refuse,
    /// Let it be made if a configuration names it, as starting the server would. A slip in a
    /// folder on the command line must not make an empty server.
    Make,
}

impl Place {
    /// Finds the data that the command line names.
    ///
    /// # Errors
    /// When the configuration cannot be read, or the folder does not exist and may not be made.
    pub fn find(data: Data, missing: Missing) -> Result<Self, Failure> {
        let is_configured = data.data.is_none();
        let place = match (data.config, data.data) {
            (Some(file), _) => Self::of(&read_config(&file)?),
            (None, Some(data)) => Self::local(data, PasswordCost::default()),
            (None, None) if Path::new(CONFIG).exists() => Self::of(&read_config(CONFIG.as_ref())?),
            (None, None) => {
                return Err(Failure::usage(format!(
                    "there is no {CONFIG}; name the data by --config or --data"
                )));
            }
        };
        let may_make = missing == Missing::Make && is_configured;
        if place.storage == Storage::Local && !place.data.is_dir() && !may_make {
            let folder = place.data.display();
            return Err(Failure::usage(format!(
                "no data folder {folder}; has the server ever run?"
            )));
        }
        Ok(place)
    }

    /// The data of a configuration.
    pub fn of(config: &Config) -> Self {
        let storage = config.storage.clone();
        Self {
            data: config.data.clone(),
            storage,
            passwords: config.passwords,
            submission_accounts: config.submission_accounts.clone(),
            oauth: None,
            hostname: config.hostname.clone(),
            domains: config.domains.clone(),
            story_days: config.story_days,
            save_sent: config.submission.save_sent,
        }
    }

    /// The data of a configuration, for serving it.
    pub fn served(config: &Config) -> Self {
        Self { oauth: config.oauth.clone(), ..Self::of(config) }
    }

    /// A data folder of the local engine.
    pub fn local(data: PathBuf, passwords: PasswordCost) -> Self {
        let (submission_accounts, domains, oauth) = (Vec::new(), Vec::new(), None);
        let (storage, hostname) = (Storage::Local, "localhost".to_owned());
        let (story_days, save_sent) = (STORY_DAYS, SaveSent::No);
        Self {
            data,
            storage,
            passwords,
            submission_accounts,
            oauth,
            hostname,
            domains,
            story_days,
            save_sent,
        }
    }

    /// What the operator knows it by.
    pub fn shown(&self) -> String {
        match self.storage {
            Storage::Local => self.data.display().to_string(),
            Storage::Postgres(_) => "PostgreSQL".to_owned(),
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// With every mistake in it.
pub fn read_config(file: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    Config::parse(&text, folder).map_err(|mistakes| {
        let name = file.display();
        let line = |mistake: &crate::config::Mistake| format!("{name}: {mistake}");
        Failure::mistakes(mistakes.iter().map(line).collect())
    })
}

/// An open store, and what of it the contract does not tell.
pub struct Stores {
    /// The store, all shards together.
    pub all: Arc<dyn Store>,
    /// The one that keeps the names of all accounts.
    pub home: Arc<dyn Store>,
    /// The others, by their names.
    pub shards: Vec<(String, Arc<dyn Store>)>,
    /// The engine of this machine, whose counters the operator may ask for.
    pub local: Option<Arc<Local>>,
}

/// Opens the store of a place.
///
/// # Errors
/// When it is open elsewhere, damaged, out of reach, or cannot be written.
pub async fn open_store(place: &Place) -> Result<Stores, Failure> {
    let place = place.clone();
    let opened = tokio::task::spawn_blocking(move || match &place.storage {
        Storage::Local => open_local(&place.data),
        Storage::Postgres(storage) => open_postgres(&place, storage),
    });
    opened.await.map_err(|error| Failure::failed(error.to_string()))?
}

fn open_local(data: &Path) -> Result<Stores, Failure> {
    let opened = Local::open(data, Options::default()).map_err(|error| match error {
        StoreError::Locked { by } => {
            Failure::failed(format!("{} is in use by {by}; stop it first", data.display()))
        }
        error => Failure::failed(format!("{}: {error}", data.display())),
    });
    let local = Arc::new(opened?);
    let all: Arc<dyn Store> = Arc::clone(&local) as Arc<dyn Store>;
    Ok(Stores { home: Arc::clone(&all), all, shards: Vec::new(), local: Some(local) })
}

#[cfg(feature = "postgres")]
fn open_postgres(place: &Place, storage: &PostgresStorage) -> Result<Stores, Failure> {
    // The control socket and the certificate are this node's own.
    std::fs::create_dir_all(&place.data)
        .map_err(|error| Failure::failed(format!("{}: {error}", place.data.display())))?;
    let (home, shards) = postgres::open(storage)?;
    Ok(spread(home, shards))
}

#[cfg(not(feature = "postgres"))]
fn open_postgres(_: &Place, _: &PostgresStorage) -> Result<Stores, Failure> {
    Err(Failure::usage("this program was built without PostgreSQL"))
}

/// Stores that look like one, if there are several.
#[cfg(feature = "postgres")]
fn spread(home: Arc<dyn Store>, shards: Vec<(String, Arc<dyn Store>)>) -> Stores {
    let all: Arc<dyn Store> = if shards.is_empty() {
        Arc::clone(&home)
    } else {
        let layout = mail_service::keys::LAYOUT;
        Arc::new(store::spread::Spread::new(Arc::clone(&home), shards.clone(), layout))
    };
    Stores { all, home, shards, local: None }
}

/// Opens the service on the store of a place.
///
/// # Errors
/// As [`open_store`].
pub async fn open(place: &Place) -> Result<Opened, Failure> {
    let tokens = place.oauth.as_ref().map(tokens).transpose()?;
    let stores = open_store(place).await?;
    let config = ServiceConfig { tokens, ..place.service_config() };
    let service = Service::open(Arc::clone(&stores.all), config, World::system());
    let failed = |error| Failure::failed(format!("{}: {error}", place.shown()));
    Ok(Opened { service: service.await.map_err(failed)?, stores })
}

/// Who says what the tokens of a provider are worth.
///
/// # Errors
/// When a file cannot be read, or the provider cannot be used.
#[cfg(feature = "oauth")]
pub fn tokens(oauth: &OAuth) -> Result<Arc<dyn TokenVerifier>, Failure> {
    oauth::open(oauth)
}

/// # Errors
/// Always.
#[cfg(not(feature = "oauth"))]
pub fn tokens(_: &OAuth) -> Result<Arc<dyn TokenVerifier>, Failure> {
    Err(Failure::usage("this program was built without OAuth"))
}

/// The first line of a file that holds a secret.
///
/// # Errors
/// When it cannot be read, or is empty.
pub fn secret(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::usage(format!("{} is empty", file.display())));
    }
    Ok(line.to_owned())
}

impl Place {
    fn service_config(&self) -> ServiceConfig {
        let config = ServiceConfig {
            passwords: self.passwords,
            submission_accounts: self.submission_accounts.clone(),
            queue: QueueConfig { hostname: self.hostname.clone(), ..QueueConfig::default() },
            domains: self.domains.clone(),
            story_days: self.story_days,
            save_sent: self.save_sent,
            ..ServiceConfig::default()
        };
        match &self.storage {
            Storage::Local => config,
            Storage::Postgres(storage) => {
                ServiceConfig { sharing: Sharing::Shared, shards: new_accounts(storage), ..config }
            }
        }
    }
}

/// Where new accounts go, if there is more than one database.
fn new_accounts(storage: &PostgresStorage) -> Option<Vec<String>> {
    let named = storage.new_accounts.iter();
    let shards = named.map(|name| if name == HOME { String::new() } else { name.clone() });
    (!storage.shards.is_empty()).then(|| shards.collect())
}

/// A service and the stores below it.
pub struct Opened {
    /// The service.
    pub service: Service,
    /// Its stores.
    pub stores: Stores,
}
