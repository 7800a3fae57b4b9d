//! The provider's keys, fetched when they are needed and kept for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{OAuthConfig, parse_url};
use crate::http::Http;
use crate::keys::KeySet;

/// Fetches keys and keeps them. Whoever waits for a fetch may go away: it goes on.
#[derive(Debug)]
pub struct KeyCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    issuer: String,
    /// Where the keys are, or else where the configuration is that says it.
    url: Result<String, String>,
    state: Mutex<State>,
    /// Held by whoever fetches: the others wait, and find what it has fetched.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<(Arc<KeySet>, Instant)>,
    /// The last fetch, and whether it succeeded.
    tried: Option<(Instant, bool)>,
}

/// The provider cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl KeyCache {
    /// Without keys as yet.
    pub fn new(http: Http, config: &OAuthConfig, url: Option<&str>) -> Self {
        let shared = Shared {
            http,
            issuer: config.issuer.clone(),
            url: url.map(str::to_owned).ok_or_else(|| config.discovery_url()),
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Keys that are not too old.
    ///
    /// # Errors
    /// `Unreachable`
    pub async fn keys(&self) -> Result<Arc<KeySet>, Unreachable> {
        match self.shared.fresh(None) {
            Some(keys) => Ok(keys),
            None => self.fetch(None).await,
        }
    }

    /// Keys that may be newer than these, which do not have one that a token names. A stranger
    /// chooses that name, so they may well be the same: a fetch is made from time to time only.
    ///
    /// # Errors
    /// `Unreachable`
    pub async fn newer_than(&self, seen: &Arc<KeySet>) -> Result<Arc<KeySet>, Unreachable> {
        match self.shared.fresh(Some(seen)) {
            Some(keys) => Ok(keys),
            None => self.fetch(Some(Arc::clone(seen))).await,
        }
    }

    async fn fetch(&self, seen: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, Unreachable> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.fetch(seen.as_ref()).await });
        // The task ends early only when the program does.
        task.await.unwrap_or(Err(Unreachable))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, if it will do.
    fn fresh(&self, seen: Option<&Arc<KeySet>>) -> Option<Arc<KeySet>> {
        let state = self.state();
        let (keys, since) = state.kept.as_ref()?;
        let is_new = seen.is_none_or(|seen| !Arc::ptr_eq(seen, keys));
        (is_new && since.elapsed() < KEYS_LIFETIME).then(|| Arc::clone(keys))
    }

    async fn fetch(&self, seen: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, Unreachable> {
        let _turn = self.fetching.lock().await;
        if let Some(keys) = self.fresh(seen) {
            return Ok(keys);
        }
        let tried = self.state().tried;
        let is_early = tried.is_some_and(|(when, _)| when.elapsed() < FETCH_PAUSE);
        if !is_early {
            let fetched = self.load().await;
            let now = Instant::now();
            let mut state = self.state();
            state.tried = Some((now, fetched.is_ok()));
            match fetched {
                Ok(keys) => {
                    info!(issuer = self.issuer, keys = keys.len(), "keys of tokens fetched");
                    state.kept = Some((Arc::new(keys), now));
                }
                Err(error) => warn!(issuer = self.issuer, error, "no keys of tokens"),
            }
        }
        let state = self.state();
        // A key that is not there may be one that could not be fetched: that is no reason to tell
        // a client that its token is bad.
        let is_told = seen.is_none() || state.tried.is_some_and(|(_, succeeded)| succeeded);
        match &state.kept {
            Some((keys, since)) if is_told && since.elapsed() < KEYS_STALE_MAX => {
                Ok(Arc::clone(keys))
            }
            _ => Err(Unreachable),
        }
    }

    async fn load(&self) -> Result<KeySet, String> {
        let url = match &self.url {
            Ok(url) => url.clone(),
            Err(discovery) => self.discover(discovery).await?,
        };
        let text = self.get(&url).await?;
        KeySet::parse(&text).ok_or_else(|| format!("{url}: this is no JWK set"))
    }

    /// Finds where the keys are. OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3
    async fn discover(&self, discovery: &str) -> Result<String, String> {
        let text = self.get(discovery).await?;
        let found: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("{discovery}: this is no JSON: {error}"))?;
        // What another issuer says of itself does not count.
        if found.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(format!("{discovery}: its issuer is not {}", self.issuer));
        }
        let url = found.get("jwks_uri").and_then(Value::as_str);
        url.map(str::to_owned).ok_or_else(|| format!("{discovery}: there is no jwks_uri"))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let parsed = parse_url(url).map_err(|error| error.to_string())?;
        self.http.get(parsed).await.map_err(|error| format!("{url}: {error}"))
    }
}

/// How long keys are used before they are fetched again: a key that the provider takes back is good
/// for this long.
pub const KEYS_LIFETIME: Duration = Duration::from_secs(3600);

/// How long they are used while the provider cannot be reached.
pub const KEYS_STALE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Between two fetches, whatever the reason.
pub const FETCH_PAUSE: Duration = Duration::from_secs(30);
