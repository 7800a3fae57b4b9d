//! Which capabilities the operator may hide: one answer for the whole server, for an account and
//! for an application password.

use imap_server::Hiding;
use mail_service::Mechanism;

/// Whether a capability of this name can be hidden.
///
/// # Errors
/// With the reason, for the operator.
pub fn check(name: &str) -> Result<(), String> {
    let mechanisms = Mechanism::ALL.map(Mechanism::name);
    match Hiding::of(name, &mechanisms) {
        Hiding::Possible => Ok(()),
        Hiding::Unknown => Err(format!("there is no capability {name:?}")),
        Hiding::Forbidden => Err(format!("{name} has to be announced to every client")),
    }
}
