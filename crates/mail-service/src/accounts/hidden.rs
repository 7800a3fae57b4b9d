//! Capabilities that are not announced to an account: for a client that fails with one of them.
//!
//! They are kept with the credential, which a login reads anyway.

use store::{Commit, Expected, StoreError, Write};

use crate::codec::credential::Credential;
use crate::error::ServiceError;
use crate::keys::{AccountKey, AccountKeys};
use crate::limits::ATTEMPTS_MAX;
use crate::service::Service;

/// What is to be hidden, and what is to be shown again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HiddenChange {
    /// Names of capabilities, in any letter case.
    pub hide: Vec<String>,
    /// Names of capabilities that were hidden; others are passed over.
    pub show: Vec<String>,
}

impl Service {
    /// Changes which capabilities are hidden from an account; those hidden afterwards, in order.
    /// Sessions that are open keep what they have been told.
    ///
    /// # Errors
    /// `NoSuchAccount`; `InvalidCapability` for a name that none can have, or for too many; `Busy`
    /// if the account is changed all the time; errors of the store.
    pub async fn change_hidden(
        &self,
        name: &str,
        change: &HiddenChange,
    ) -> Result<Vec<String>, ServiceError> {
        if !change.hide.iter().all(|name| is_capability(name)) {
            return Err(ServiceError::InvalidCapability);
        }
        self.change_credential(name, |credential| {
            let hidden = changed(&credential.hidden, change);
            if hidden.len() > HIDDEN_MAX {
                return Err(ServiceError::InvalidCapability);
            }
            credential.hidden.clone_from(&hidden);
            Ok(hidden)
        })
        .await
    }

    /// Has the credential of an account changed: read, changed and committed, and that again if
    /// somebody else was faster. What changes nothing commits nothing.
    pub(super) async fn change_credential<T>(
        &self,
        name: &str,
        change: impl Fn(&mut Credential) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let shared = &self.shared;
        for _ in 0..ATTEMPTS_MAX {
            let found = self.find_account(name).await?.ok_or(ServiceError::NoSuchAccount)?;
            let key = AccountKeys::new(found.id).key(&AccountKey::Credential);
            let stored = {
                let key = key.clone();
                shared.read(move |view| Ok(view.get(&key)?)).await?
            };
            let stored = stored.ok_or(ServiceError::NoSuchAccount)?;
            let mut credential = Credential::decode(&key, &stored)?;
            let result = change(&mut credential)?;
            let after = credential.encode();
            if after == stored {
                return Ok(result);
            }
            let commit = Commit::new()
                .when(key.clone(), Expected::Value(stored))
                .write(Write::put(key, after));
            match shared.commit(commit).await {
                Ok(()) => return Ok(result),
                // The credential was changed or the account removed meanwhile: look again.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ServiceError::Busy)
    }
}

fn changed(before: &[String], change: &HiddenChange) -> Vec<String> {
    let shown = |name: &String| change.show.iter().any(|show| show.eq_ignore_ascii_case(name));
    let hide = change.hide.iter().map(|name| name.to_ascii_uppercase());
    let mut hidden: Vec<_> = before.iter().cloned().chain(hide).collect();
    hidden.retain(|name| !shown(name));
    hidden.sort();
    hidden.dedup();
    hidden
}

/// `capability = ("AUTH=" auth-type) / atom`. RFC 9051 §9
pub(super) fn is_capability(name: &str) -> bool {
    let is_atom_char = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_atom_char)
}

/// More than there are capabilities.
const HIDDEN_MAX: usize = 128;

/// The longest that is registered has 22.
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_hidden_no_more_and_nothing_is_hidden_twice() {
        let change = |hide: &[&str], show: &[&str]| HiddenChange {
            hide: hide.iter().map(|&name| name.to_owned()).collect(),
            show: show.iter().map(|&name| name.to_owned()).collect(),
        };
        let one = changed(&[], &change(&["qresync", "Condstore", "QRESYNC"], &[]));
        assert_eq!(one, ["CONDSTORE", "QRESYNC"]);
        assert_eq!(changed(&one, &change(&["MOVE"], &["condstore", "ID"])), ["MOVE", "QRESYNC"]);
        assert_eq!(changed(&one, &change(&[], &[])), one);
    }

    #[test]
    fn only_names_that_a_capability_can_have_are_taken() {
        for good in ["CONDSTORE", "COMPRESS=DEFLATE", "LITERAL+", "utf8=accept"] {
            assert!(is_capability(good), "{good}");
        }
        let long = "X".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "A B", "A\r\nB", "(A)", "\u{e4}", "A\"", &long] {
            assert!(!is_capability(bad), "{bad}");
        }
    }
}
