//! `pillarbox acme`: what the operator sees of the certificate of an authority, and does with it.

use acme::{Handle, Status};
use serde::{Deserialize, Serialize};

use crate::cli::AcmeCommand;
use crate::control::{ControlClient, Reply, Request};
use crate::engine::{Missing, Place};
use crate::failure::Failure;
use crate::say;

/// What is asked of the server.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AcmeRequest {
    /// Order a certificate now.
    Renew,
    /// Tell how it stands.
    Status,
}

/// Carries out a command. Only a running server has a certificate to renew.
///
/// # Errors
/// When it was not done.
pub async fn run(command: AcmeCommand) -> Result<(), Failure> {
    let (ask, data) = match command {
        AcmeCommand::Renew(data) => (AcmeRequest::Renew, data),
        AcmeCommand::Status(data) => (AcmeRequest::Status, data),
    };
    let place = Place::find(data, Missing::Refuse)?;
    let Some(mut server) = ControlClient::connect(&place.data).await? else {
        return Err(Failure::failed("no server is running"));
    };
    match server.call(&Request::Acme { ask }).await? {
        Reply::Acme { lines } => {
            lines.iter().for_each(say::line);
            Ok(())
        }
        Reply::Failed { reason } => Err(Failure::failed(reason)),
        _ => Err(Failure::failed("the server gave the reply to another question")),
    }
}

/// The server's side.
pub async fn carry_out(handle: Option<&Handle>, request: AcmeRequest) -> Reply {
    let Some(handle) = handle else {
        return Reply::Failed { reason: "the configuration has no [acme]".to_owned() };
    };
    let done = match request {
        AcmeRequest::Renew => handle.renew().await,
        AcmeRequest::Status => Ok(()),
    };
    match done {
        Ok(()) => Reply::Acme { lines: lines(&handle.status()) },
        Err(error) => Reply::Failed { reason: error.reason },
    }
}

/// Times are seconds since 1970, as in `pillarbox queue`.
fn lines(status: &Status) -> Vec<String> {
    let mut lines = match status.not_after {
        Some(end) => vec![format!("valid until {end}: {}", status.held.join(" "))],
        None => vec!["no certificate of the authority yet".to_owned()],
    };
    let is_missing = |name: &&String| !status.held.contains(name);
    let missing: Vec<_> = status.wanted.iter().filter(is_missing).map(String::as_str).collect();
    if !missing.is_empty() {
        lines.push(format!("missing: {}", missing.join(" ")));
    }
    // Of what was due before 1970 nobody wants to know since when.
    lines.push(format!("next order at {}", status.next.max(0)));
    lines.extend(status.trouble.iter().map(|trouble| format!("last trouble: {trouble}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_names_what_is_held_missing_and_planned() {
        let mut status = Status {
            wanted: vec!["a.example".into(), "b.example".into()],
            next: i64::MIN,
            ..Status::default()
        };
        let none = "no certificate of the authority yet";
        assert_eq!(lines(&status), [none, "missing: a.example b.example", "next order at 0"]);
        status.held = vec!["a.example".into()];
        (status.not_after, status.next) = (Some(9), 7);
        status.trouble = Some("b.example: no".into());
        assert_eq!(
            lines(&status),
            [
                "valid until 9: a.example",
                "missing: b.example",
                "next order at 7",
                "last trouble: b.example: no"
            ]
        );
    }
}
