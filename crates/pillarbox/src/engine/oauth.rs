//! The provider of tokens that the configuration names.

use std::sync::Arc;

use mail_service::{SystemClock, TokenVerifier};
use mail_types::Secret;
use oauth::{Check, OAuthConfig, OAuthVerifier};

use super::secret;
use crate::config::{OAuth, TokenCheck};
use crate::failure::Failure;

/// Reads the files that it names. The provider is asked when the first token comes.
///
/// # Errors
/// With what cannot be read or used.
pub fn open(oauth: &OAuth) -> Result<Arc<dyn TokenVerifier>, Failure> {
    let check = match &oauth.check {
        TokenCheck::Keys(url) => Check::Keys { url: url.clone() },
        TokenCheck::Introspection { url, client_id, secret_file } => Check::Introspection {
            url: url.clone(),
            client_id: client_id.clone(),
            client_secret: Secret::new(secret(secret_file)?),
        },
    };
    let read = |file: &std::path::PathBuf| {
        std::fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
    };
    let config = OAuthConfig {
        issuer: oauth.issuer.clone(),
        audience: oauth.audience.clone(),
        scope: oauth.scope.clone(),
        account_claim: oauth.account_claim.clone(),
        domains: oauth.domains.clone(),
        hosts: oauth.hosts.clone(),
        check,
        authorities: oauth.ca.as_ref().map(read).transpose()?,
    };
    let verifier = OAuthVerifier::new(config, Arc::new(SystemClock));
    let verifier = verifier.map_err(|error| Failure::usage(format!("[oauth]: {error}")))?;
    Ok(Arc::new(verifier))
}
