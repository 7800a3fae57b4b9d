//! `pillarbox check`: verifies everything that is stored, while no server runs.

use crate::cli::Data;
use crate::control::{ControlClient, Reply, Request};
use crate::engine::{self, Missing, Place};
use crate::failure::Failure;
use crate::say;

/// Verifies the data and prints what was found.
///
/// # Errors
/// When a server runs, the data cannot be read, or something is damaged.
pub async fn run(data: Data) -> Result<(), Failure> {
    let place = Place::find(data, Missing::Refuse)?;
    if let Some(mut server) = ControlClient::connect(&place.data).await? {
        let folder = place.data.display();
        if let Reply::Scrubbed { passes, bytes, damaged } = server.call(&Request::Scrubbed).await? {
            say::line(format_args!(
                "the running server has read {} MiB in search of damage, {passes} times everything; \
                 {damaged} objects are damaged, its log names them",
                bytes >> 20
            ));
        }
        return Err(Failure::failed(format!("a server is running on {folder}; stop it first")));
    }
    let store = engine::open_store(&place).await?.all;
    let checked = tokio::task::spawn_blocking(move || mail_service::check(&*store)).await;
    let report = checked
        .map_err(|error| Failure::failed(error.to_string()))?
        .map_err(|error| Failure::failed(error.to_string()))?;
    say::line(format_args!(
        "{} accounts, {} messages in mailboxes, {} messages, {} bodies; {} to be swept",
        report.accounts, report.memberships, report.messages, report.blobs, report.garbage
    ));
    for finding in &report.findings {
        say::line(finding);
    }
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::damaged(format!("{} findings", report.findings.len())))
    }
}
