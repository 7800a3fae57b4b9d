//! `pillarbox repair`: after the store has lost changes that clients were told of.

use mail_service::{World, repair_after_loss};

use crate::cli;
use crate::engine::{self, Missing, Place};
use crate::failure::Failure;
use crate::say;

/// Raises all numbers of a store and says how many.
///
/// # Errors
/// When it was not done to its end, or an account has to finish its move first.
pub async fn run(arguments: cli::Repair) -> Result<(), Failure> {
    let place = Place::find(arguments.data, Missing::Refuse)?;
    let stores = engine::open_store(&place).await?;
    let repaired = tokio::task::spawn_blocking(move || {
        let repaired = repair_after_loss(&*stores.all, &World::system());
        let closed = stores.all.close();
        repaired.and_then(|repaired| closed.map(|()| repaired).map_err(Into::into))
    });
    let repaired = repaired.await.map_err(|error| Failure::failed(error.to_string()))?;
    let repaired = repaired
        .map_err(|error| Failure::failed(format!("{error}; run the same command again")))?;
    say::line(format_args!(
        "{} accounts repaired, {} mailboxes with a new UIDVALIDITY",
        repaired.accounts, repaired.renumbered
    ));
    if repaired.moving.is_empty() {
        return Ok(());
    }
    let line = |name: &String| format!("{name} is being moved: finish that, then repair again");
    Err(Failure::lines(repaired.moving.iter().map(line).collect()))
}
