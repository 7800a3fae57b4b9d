//! What a token of an OAuth 2.0 provider is worth.
//!
//! There are two ways to know, and the operator chooses one. A token that is a JSON Web Token
//! carries a signature and what it claims; the provider's public keys are fetched now and then
//! (RFC 7517, RFC 7519). Or the provider is asked about each token (RFC 7662), which costs a request
//! for each login, and knows of a revoked token at once.
//!
//! - `config` is what the operator decides.
//! - `jws` checks a signature, with `keys`; `claims` judges what a token says of itself. Neither
//!   waits or tells the time.
//! - `http` asks the provider, within named limits; `cache` keeps its keys.
//! - `verifier` puts them together, as [`mail_service::TokenVerifier`].
//!
//! The signatures are verified by `aws-lc-rs`, as TLS is. The rest of a JSON Web Token is a base64
//! and two rules, and both rules are the ones that libraries got wrong: the key and not the token
//! decides which algorithm may be used, and a token that demands an extension is refused.

mod cache;
mod claims;
mod config;
mod http;
mod jws;
mod keys;
mod verifier;

pub use config::{Check, OAuthConfig, OAuthError};
pub use verifier::OAuthVerifier;
