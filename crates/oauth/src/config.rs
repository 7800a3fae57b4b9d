//! What the operator decides, and whether it can be done.

use std::fmt;
use std::net::IpAddr;

use mail_types::Secret;
use reqwest::Url;

/// One provider and what its tokens must say.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// Who issues the tokens: their `iss`, letter by letter. RFC 8414 §2
    pub issuer: String,
    /// For whom they must be issued: one of their `aud`. RFC 7519 §4.1.3
    pub audience: Option<String>,
    /// What they must be good for, if anything in particular. RFC 6749 §3.3
    pub scope: Option<String>,
    /// The claim that is the name of an account.
    pub account_claim: String,
    /// Domains whose local parts are names of accounts, too.
    pub domains: Vec<String>,
    /// Names of hosts that clients may say that they have connected to; all if there are none.
    pub hosts: Vec<String>,
    /// How it is found out whether a token is good.
    pub check: Check,
    /// Certificates of the authorities that vouch for the provider, as PEM; without them the
    /// system's decide.
    pub authorities: Option<Vec<u8>>,
}

/// How it is found out whether a token is good.
#[derive(Clone, Debug)]
pub enum Check {
    /// By the provider's public keys, which are at this URL, or where its configuration says.
    Keys {
        /// `jwks_uri`
        url: Option<String>,
    },
    /// By asking the provider. RFC 7662
    Introspection {
        /// `introspection_endpoint`
        url: String,
        /// Who asks.
        client_id: String,
        /// The proof of it.
        client_secret: Secret,
    },
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OAuthError {
    /// Not `https://host/…`, nor `http://` on this machine.
    Url(String),
    /// With keys, tokens for others could not be told from ours.
    AudienceMissing,
    /// With introspection, one of both must be there for the same reason.
    AudienceAndScopeMissing,
    /// A certificate cannot be read, or TLS cannot be set up.
    Tls(String),
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url:?} is not https:// with a host"),
            Self::AudienceMissing => f.write_str("audience is missing"),
            Self::AudienceAndScopeMissing => f.write_str("audience and scope are missing"),
            Self::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OAuthError {}

impl OAuthConfig {
    pub(crate) fn check(&self) -> Result<(), OAuthError> {
        parse_url(&self.issuer)?;
        match &self.check {
            Check::Keys { url } => {
                url.as_deref().map(parse_url).transpose()?;
                if self.audience.is_none() { Err(OAuthError::AudienceMissing) } else { Ok(()) }
            }
            Check::Introspection { url, .. } => {
                parse_url(url)?;
                match (&self.audience, &self.scope) {
                    (None, None) => Err(OAuthError::AudienceAndScopeMissing),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Where the provider's configuration is. OpenID Connect Discovery 1.0 §4
    pub(crate) fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'))
    }
}

/// A URL that keys and secrets may travel by: https, or a loopback, which is no wire.
pub(crate) fn parse_url(text: &str) -> Result<Url, OAuthError> {
    let refused = || OAuthError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| refused())?;
    let is_good = match url.scheme() {
        "https" => url.host_str().is_some_and(|host| !host.is_empty()),
        "http" => is_loopback(&url),
        _ => false,
    };
    // A password in a URL would be shown in logs.
    let is_bare = url.username().is_empty() && url.password().is_none();
    if is_good && is_bare && url.fragment().is_none() { Ok(url) } else { Err(refused()) }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_by_tls_or_stay_on_this_machine() {
        for good in ["https://login.example", "https://login.example:8443/a?b=c", "http://[::1]:1"]
        {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        assert!(parse_url("http://127.0.0.1:8080/x").is_ok());
        assert!(parse_url("http://localhost/x").is_ok());
        for bad in [
            "",
            "login.example",
            "http://login.example",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example/",
            "https://",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "https://user:password@login.example/",
            "https://login.example/#x",
        ] {
            assert_eq!(parse_url(bad).unwrap_err(), OAuthError::Url(bad.to_owned()), "{bad}");
        }
    }
}
