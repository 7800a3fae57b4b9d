//! `pillarbox check`: verifies everything that is stored, while no server runs.

use mail_service::FINDINGS_MAX;

use crate::cli::Data;
use crate::control::{ControlClient, Reply, Request};
use crate::engine::{self, Missing, Place, Stores};
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
    let stores = engine::open_store(&place).await?;
    let checked = tokio::task::spawn_blocking(move || {
        let damaged = verify_local(&stores)?;
        let report = mail_service::check(&*stores.all);
        report.map(|report| (damaged, report)).map_err(|error| Failure::failed(error.to_string()))
    });
    let (damaged, report) = checked.await.map_err(|error| Failure::failed(error.to_string()))??;
    say::line(format_args!(
        "{} accounts, {} messages in mailboxes, {} messages, {} bodies; {} to be swept",
        report.accounts, report.memberships, report.messages, report.blobs, report.garbage
    ));
    for finding in &damaged {
        say::line(finding);
    }
    for finding in &report.findings {
        say::line(finding);
    }
    let count = damaged.len() + report.findings.len();
    if count == 0 { Ok(()) } else { Err(Failure::damaged(format!("{count} findings"))) }
}

/// What the engine of this machine finds wrong in its own files; mail may be whole all the same.
fn verify_local(stores: &Stores) -> Result<Vec<String>, Failure> {
    let mut damaged = Vec::new();
    let Some(local) = &stores.local else { return Ok(damaged) };
    let verified = local.verify(&mut |what| {
        if damaged.len() < FINDINGS_MAX {
            damaged.push(what.to_owned());
        }
    });
    verified.map_err(|error| Failure::failed(error.to_string()))?;
    Ok(damaged)
}
