//! `pillarbox account move`: an account goes to another database, or to another server's store.

use std::path::Path;

use mail_service::{
    AccountName, Moved, ServiceError, Shards, World, move_to_service, move_to_shard,
};

use crate::cli::Data;
use crate::config::{HOME, Storage};
use crate::engine::{self, Missing, Place, Stores};
use crate::failure::Failure;
use crate::say;

/// Moves an account.
///
/// # Errors
/// When it was not moved, or not yet to its end: then the same call goes on.
pub async fn run(name: &str, to: &str, data: Data) -> Result<(), Failure> {
    let account = AccountName::new(name)
        .map_err(|error| Failure::usage(ServiceError::InvalidName(error).to_string()))?;
    let place = Place::find(data, Missing::Refuse)?;
    let source = engine::open_store(&place).await?;
    let moved = if is_file(to) {
        let there = other_place(Path::new(to))?;
        let target = engine::open_store(&there).await?;
        let shard = first_shard(&there);
        let (from, into) = (source.all.clone(), target.all.clone());
        let moved = tokio::task::spawn_blocking(move || {
            move_to_service(&*from, &*into, &account, shard.as_deref(), &World::system())
        });
        let moved = ended(moved.await, name);
        close(target).await?;
        moved
    } else {
        let shards = Shards { home: source.home.clone(), others: source.shards.clone() };
        let shard = if to == HOME { String::new() } else { to.to_owned() };
        let moved = tokio::task::spawn_blocking(move || {
            move_to_shard(&shards, &account, &shard, &World::system())
        });
        ended(moved.await, name)
    };
    close(source).await?;
    let Moved { rows, blobs } = moved?;
    say::line(format_args!("{name} is at {to}: {rows} rows and {blobs} bodies compared"));
    Ok(())
}

fn ended(
    moved: Result<Result<Moved, ServiceError>, tokio::task::JoinError>,
    name: &str,
) -> Result<Moved, Failure> {
    let moved = moved.map_err(|error| Failure::failed(error.to_string()))?;
    moved.map_err(|error| match error {
        ServiceError::Moving => Failure::failed(format!(
            "{name} is on its way to another place; finish that move first"
        )),
        ServiceError::NoSuchShard => {
            Failure::usage("no such shard; name a [[shard]] of the configuration, or home")
        }
        ServiceError::Store(_) | ServiceError::Busy => {
            Failure::failed(format!("{error}; run the same command again to go on"))
        }
        error => Failure::failed(format!("{name}: {error}")),
    })
}

/// Whether the target is another server's store, and not a shard of this one.
fn is_file(to: &str) -> bool {
    to.contains('/') || to.ends_with(".toml")
}

fn other_place(file: &Path) -> Result<Place, Failure> {
    if file.is_dir() {
        // Passwords come with the account; what new ones would cost does not matter here.
        return Ok(Place::local(file.to_owned(), mail_service::PasswordCost::default()));
    }
    Ok(Place::of(&engine::read_config(file)?))
}

/// Where an account that arrives shall live, if that service has shards.
fn first_shard(place: &Place) -> Option<String> {
    match &place.storage {
        Storage::Postgres(storage) => {
            let first = storage.new_accounts.first()?;
            (first != HOME).then(|| first.clone())
        }
        Storage::Local => None,
    }
}

async fn close(stores: Stores) -> Result<(), Failure> {
    let closed = tokio::task::spawn_blocking(move || stores.all.close()).await;
    let closed = closed.map_err(|error| Failure::failed(error.to_string()))?;
    closed.map_err(|error| Failure::failed(format!("the store did not close: {error}")))
}
