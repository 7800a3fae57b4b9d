//! `pillarbox account app-password`: a password for each mail program or device.

use mail_service::Service;
use mail_types::InternalDate;
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed, once};
use crate::cli::{AppPasswordCommand, Data};
use crate::control::{Password, Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::hiding;
use crate::say;

/// An application password in a listing.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AppPassword {
    /// What it is called.
    pub label: String,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// Capabilities that it hides.
    pub hidden: Vec<String>,
}

/// Carries out a command.
///
/// # Errors
/// When it was not done.
pub async fn run(command: AppPasswordCommand) -> Result<(), Failure> {
    match command {
        AppPasswordCommand::Add { name, label, hide, data } => {
            let reply = ask(Request::AppAdd { name, label, hide }, data).await?;
            let Reply::Drawn { password } = reply else { return Err(failed(reply)) };
            say::line(password.0);
            Ok(())
        }
        AppPasswordCommand::List { name, data } => {
            let reply = ask(Request::AppList { name }, data).await?;
            let Reply::AppPasswords { passwords } = reply else { return Err(failed(reply)) };
            for AppPassword { label, made_at, hidden } in passwords {
                let day = InternalDate::format_date(InternalDate::utc(made_at).day());
                let line = format!("{label}\t{day}\t{}", hidden.join(" "));
                say::line(line.trim_end());
            }
            Ok(())
        }
        AppPasswordCommand::Remove { name, label, data } => {
            once((Request::AppRemove { name, label }, data), Missing::Refuse).await
        }
    }
}

async fn ask(request: Request, data: Data) -> Result<Reply, Failure> {
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let reply = backend.call(request).await?;
    backend.close().await?;
    Ok(reply)
}

/// Draws a password.
pub async fn add(service: &Service, name: &str, label: &str, hide: &[String]) -> Reply {
    if let Some(reason) = hide.iter().find_map(|name| hiding::check(name).err()) {
        return Reply::Failed { reason };
    }
    match service.add_app_password(name, label, hide).await {
        Ok(password) => {
            let text = String::from_utf8_lossy(password.expose()).into_owned();
            Reply::Drawn { password: Password(text) }
        }
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

/// Lists those of an account.
pub async fn list(service: &Service, name: &str) -> Reply {
    match service.app_passwords(name).await {
        Ok(known) => {
            let shown = known.into_iter().map(|it| AppPassword {
                label: it.label,
                made_at: it.made_at,
                hidden: it.hidden,
            });
            Reply::AppPasswords { passwords: shown.collect() }
        }
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}
