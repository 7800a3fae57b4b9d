//! Where the data are, and opening them with the engine of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mail_service::{PasswordCost, Service, ServiceConfig, World};
use store::{Store, StoreError};
use store_local::{Local, Options};

use crate::cli::Data;
use crate::config::Config;
use crate::failure::Failure;

/// A data folder and how the accounts in it are kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder.
    pub data: PathBuf,
    /// What a password hash costs.
    pub passwords: PasswordCost,
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
        let is_configured = data.config.is_some();
        let place = match (data.config, data.data) {
            (Some(file), _) => Self::of(&read_config(&file)?),
            (None, Some(data)) => Self { data, passwords: PasswordCost::default() },
            (None, None) => return Err(Failure::usage("name the data by --config or --data")),
        };
        let may_make = missing == Missing::Make && is_configured;
        if !place.data.is_dir() && !may_make {
            let folder = place.data.display();
            return Err(Failure::usage(format!(
                "no data folder {folder}; has the server ever run?"
            )));
        }
        Ok(place)
    }

    /// The data of a configuration.
    pub fn of(config: &Config) -> Self {
        Self { data: config.data.clone(), passwords: config.passwords }
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

/// Opens the store of a data folder.
///
/// # Errors
/// When it is open elsewhere, damaged, or cannot be written.
pub async fn open_store(data: &Path) -> Result<Arc<Local>, Failure> {
    let path = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || Local::open(&path, Options::default())).await;
    let opened = opened.map_err(|error| Failure::failed(error.to_string()))?;
    opened.map(Arc::new).map_err(|error| match error {
        StoreError::Locked { by } => {
            Failure::failed(format!("{} is in use by {by}; stop it first", data.display()))
        }
        error => Failure::failed(format!("{}: {error}", data.display())),
    })
}

/// Opens the service on the store of a data folder.
///
/// # Errors
/// As [`open_store`].
pub async fn open(place: &Place) -> Result<Opened, Failure> {
    let store = open_store(&place.data).await?;
    let config = ServiceConfig { passwords: place.passwords, ..ServiceConfig::default() };
    let contract: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let service = Service::open(contract, config, World::system()).await;
    let failed = |error| Failure::failed(format!("{}: {error}", place.data.display()));
    Ok(Opened { service: service.map_err(failed)?, store })
}

/// A service and the engine below it, whose counters the operator may ask for.
pub struct Opened {
    /// The service.
    pub service: Service,
    /// Its store.
    pub store: Arc<Local>,
}
