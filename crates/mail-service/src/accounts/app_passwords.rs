//! The application passwords of an account: made, listed, removed.
//!
//! They are kept with the credential, which a login reads anyway.

use mail_types::Secret;

use super::hidden::is_capability;
use crate::auth::app_password::{self, AppPassword};
use crate::error::{AppPasswordFault, ServiceError};
use crate::limits::{APP_PASSWORD_HIDDEN_MAX, APP_PASSWORDS_MAX};
use crate::login::load_credential;
use crate::service::Service;

/// An application password in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPasswordSummary {
    /// What the operator calls it.
    pub label: String,
    /// When it was made, seconds since 1970.
    pub made_at: i64,
    /// Capabilities that are hidden from whoever logs in with it, in capitals and in order.
    pub hidden: Vec<String>,
}

impl Service {
    /// Draws an application password for an account. It is told here and never again.
    ///
    /// It is for [`Service::authenticate`] and so for PLAIN and LOGIN. A client of SCRAM proves
    /// that it knows *the* password of an account and cannot be asked which one it has.
    ///
    /// # Errors
    /// `AppPassword` if the label is wrong or taken, or there are too many; `InvalidCapability`,
    /// also for too many; `NoSuchAccount`, `NoRandomness`, `Busy`; errors of the store.
    pub async fn add_app_password(
        &self,
        name: &str,
        label: &str,
        hide: &[String],
    ) -> Result<Secret, ServiceError> {
        let label = app_password::prepare_label(label).map_err(ServiceError::AppPassword)?;
        if !hide.iter().all(|name| is_capability(name)) {
            return Err(ServiceError::InvalidCapability);
        }
        let mut hidden: Vec<String> = hide.iter().map(|name| name.to_ascii_uppercase()).collect();
        hidden.sort();
        hidden.dedup();
        if hidden.len() > APP_PASSWORD_HIDDEN_MAX {
            return Err(ServiceError::InvalidCapability);
        }
        let world = &self.shared.world;
        let password = app_password::draw(&*world.random)?;
        let digest = app_password::digest(&password).ok_or(ServiceError::NoRandomness)?;
        let made_at = world.clock.now_secs();
        self.change_credential(name, |credential| {
            let known = &mut credential.app_passwords;
            if known.iter().any(|it| it.label == label) {
                return Err(ServiceError::AppPassword(AppPasswordFault::Exists));
            }
            if known.len() >= APP_PASSWORDS_MAX {
                return Err(ServiceError::AppPassword(AppPasswordFault::TooMany));
            }
            let (label, hidden) = (label.clone(), hidden.clone());
            known.push(AppPassword { label, digest, made_at, hidden });
            Ok(())
        })
        .await?;
        Ok(password)
    }

    /// The application passwords of an account, in the order in which they were made.
    ///
    /// # Errors
    /// `NoSuchAccount`, `Corrupt`, errors of the store.
    pub async fn app_passwords(&self, name: &str) -> Result<Vec<AppPasswordSummary>, ServiceError> {
        let found = self.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
        let found = self.shared.read(move |view| load_credential(view, found.id)).await?;
        let known = found.ok_or(ServiceError::NoSuchAccount)?.credential.app_passwords;
        let summary = |it: AppPassword| {
            let AppPassword { label, made_at, hidden, .. } = it;
            AppPasswordSummary { label, made_at, hidden }
        };
        Ok(known.into_iter().map(summary).collect())
    }

    /// Removes an application password. No later login succeeds with it, on any node. Sessions
    /// that are open stay open, as after a changed password.
    ///
    /// # Errors
    /// `AppPassword` if there is none with this label; `NoSuchAccount`, `Busy`; errors of the
    /// store.
    pub async fn remove_app_password(&self, name: &str, label: &str) -> Result<(), ServiceError> {
        let unknown = ServiceError::AppPassword(AppPasswordFault::Unknown);
        let label = app_password::prepare_label(label).map_err(|_| unknown.clone())?;
        self.change_credential(name, |credential| {
            let known = &mut credential.app_passwords;
            let before = known.len();
            known.retain(|it| it.label != label);
            if known.len() < before { Ok(()) } else { Err(unknown.clone()) }
        })
        .await
    }
}
