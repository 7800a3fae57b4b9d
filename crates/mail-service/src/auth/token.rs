//! Who may log in with a token: whoever the provider that issued it says, and the service believes
//! one provider. How it is asked is not known here.

use std::fmt;
use std::pin::Pin;

use mail_types::Secret;

use super::sasl::Mechanism;

/// Finds out what a bearer token is worth. RFC 6750
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// Who holds this token. It may take as long as the provider takes; the verifier sees to it
    /// that this is not for ever.
    fn verify<'a>(&'a self, token: &'a Secret) -> Verifying<'a>;

    /// Whether clients may have connected to a host of this name. RFC 7628 §3.2
    fn is_host(&self, name: &str) -> bool;

    /// What a client is told whose token is refused: the JSON text of RFC 7628 §3.2.2, or the one
    /// of XOAUTH2.
    fn refusal(&self, mechanism: Mechanism, why: TokenFault) -> Vec<u8>;
}

/// A verification that is going on.
pub type Verifying<'a> = Pin<Box<dyn Future<Output = Result<TokenHolder, TokenError>> + Send + 'a>>;

/// Whoever a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// Names of accounts: the first that exists is meant, and each only as it is written.
    pub names: Vec<String>,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not good.
    Refused(TokenFault),
    /// The provider could not be asked.
    Unavailable,
}

/// What is wrong with a token. RFC 6750 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// `invalid_request`: there is something else in the place of a token.
    Request,
    /// `invalid_token`: none, or one that is forged, expired, or for somebody else.
    Token,
    /// `insufficient_scope`: it is good, and for something else.
    Scope,
}
