//! The verifier that a service is given.

use std::fmt;
use std::sync::Arc;

use mail_service::{
    Clock, Mechanism, TokenError, TokenFault, TokenHolder, TokenVerifier, Verifying,
};
use mail_types::Secret;
use reqwest::Url;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::cache::{KeyCache, Unreachable};
use crate::claims::{Source, judge};
use crate::config::{Check, OAuthConfig, OAuthError, parse_url};
use crate::http::{Http, form_encoded};
use crate::jws::Jws;
use crate::keys::NoSignature;

/// Says what the tokens of one provider are worth.
pub struct OAuthVerifier {
    config: OAuthConfig,
    clock: Arc<dyn Clock>,
    way: Way,
}

enum Way {
    Keys(KeyCache),
    Introspection { http: Http, url: Url, credentials: (String, String) },
}

impl fmt::Debug for OAuthVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthVerifier").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OAuthVerifier {
    /// For one provider. Nothing is asked of it yet.
    ///
    /// # Errors
    /// See [`OAuthError`].
    pub fn new(config: OAuthConfig, clock: Arc<dyn Clock>) -> Result<Self, OAuthError> {
        config.check()?;
        let http = Http::new(&config)?;
        let way = match &config.check {
            Check::Keys { url } => Way::Keys(KeyCache::new(http, &config, url.as_deref())),
            Check::Introspection { url, client_id, client_secret } => Way::Introspection {
                http,
                url: parse_url(url)?,
                credentials: (
                    form_encoded(client_id.as_bytes()),
                    form_encoded(client_secret.expose()),
                ),
            },
        };
        Ok(Self { config, clock, way })
    }

    async fn holder(&self, token: &[u8]) -> Result<TokenHolder, TokenError> {
        let holder = match &self.way {
            Way::Keys(cache) => self.by_signature(token, cache).await,
            Way::Introspection { http, url, credentials } => {
                let form = format!("token={}&token_type_hint=access_token", form_encoded(token));
                let answer = http.post(url.clone(), form.into_bytes(), credentials).await;
                let answer = answer.map_err(|error| {
                    warn!(issuer = self.config.issuer, %error, "a token could not be introspected");
                    TokenError::Unavailable
                })?;
                self.by_answer(&answer)
            }
        };
        if let Err(TokenError::Refused(why)) = holder {
            info!(issuer = self.config.issuer, ?why, "a token is refused");
        }
        holder
    }

    async fn by_signature(&self, token: &[u8], keys: &KeyCache) -> Result<TokenHolder, TokenError> {
        let jws = Jws::parse(token).ok_or(TokenError::Refused(TokenFault::Token))?;
        let kept = keys.keys().await?;
        let claims = match jws.verify(&kept) {
            Err(NoSignature::UnknownKey) => jws.verify(&*keys.newer_than(&kept).await?),
            known => known,
        };
        let claims = claims.map_err(|_| TokenError::Refused(TokenFault::Token))?;
        judge(claims, Source::Token, &self.config, self.clock.now_secs())
            .map_err(TokenError::Refused)
    }

    /// RFC 7662 §2.2: what is not `active` is told no more of.
    fn by_answer(&self, answer: &[u8]) -> Result<TokenHolder, TokenError> {
        let Ok(Value::Object(claims)) = serde_json::from_slice(answer) else {
            warn!(issuer = self.config.issuer, "the answer to an introspection is no object");
            return Err(TokenError::Unavailable);
        };
        if claims.get("active") != Some(&Value::Bool(true)) {
            return Err(TokenError::Refused(TokenFault::Token));
        }
        judge(&claims, Source::Provider, &self.config, self.clock.now_secs())
            .map_err(TokenError::Refused)
    }
}

impl From<Unreachable> for TokenError {
    fn from(_: Unreachable) -> Self {
        Self::Unavailable
    }
}

impl TokenVerifier for OAuthVerifier {
    fn verify<'a>(&'a self, token: &'a Secret) -> Verifying<'a> {
        Box::pin(self.holder(token.expose()))
    }

    fn is_host(&self, name: &str) -> bool {
        let hosts = &self.config.hosts;
        hosts.is_empty() || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    fn refusal(&self, mechanism: Mechanism, why: TokenFault) -> Vec<u8> {
        let mut told = match mechanism {
            // As Google answers; clients of XOAUTH2 look at nothing but the status, if at that.
            Mechanism::XOAuth2 => {
                let status = match why {
                    TokenFault::Request => "400",
                    TokenFault::Token => "401",
                    TokenFault::Scope => "403",
                };
                json!({"status": status, "schemes": "bearer"})
            }
            _ => {
                let status = match why {
                    TokenFault::Request => "invalid_request",
                    TokenFault::Token => "invalid_token",
                    TokenFault::Scope => "insufficient_scope",
                };
                let mut told = json!({"status": status});
                // It must be there if it is told; that is known only where it is used. RFC 7628
                // §3.2.2
                if let Check::Keys { url: None } = self.config.check {
                    told["openid-configuration"] = self.config.discovery_url().into();
                }
                told
            }
        };
        if let Some(scope) = &self.config.scope {
            told["scope"] = scope.as_str().into();
        }
        told.to_string().into_bytes()
    }
}
