//! The policies of domains (MTA-STS): found by a record, fetched over HTTPS, and kept. RFC 8461

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dns::Resolver;
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::ClientConfig;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::sts::{self, Mode, Policy};
use super::targets::Reach;

/// All policies that are known.
pub(super) struct Policies {
    resolver: Resolver,
    /// Verifies the certificates of the servers that tell policies.
    tls: Arc<ClientConfig>,
    port: u16,
    reach: Reach,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What is known of one domain. Whoever looks has the others wait for what he finds.
type Slot = tokio::sync::Mutex<Known>;

#[derive(Default)]
struct Known {
    kept: Option<Kept>,
    /// The id for which no policy could be had, until when, and why.
    failed: Option<(String, Instant, String)>,
}

struct Kept {
    id: String,
    policy: Arc<Policy>,
    fetched: Instant,
}

impl Kept {
    fn is_valid(&self, now: Instant) -> bool {
        now.duration_since(self.fetched) < Duration::from_secs(self.policy.max_age_secs)
    }
}

/// What rules over the mail for a domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Its policy.
    pub(super) policy: Option<Arc<Policy>>,
    /// Why the policy that is announced cannot be had, for reports. RFC 8460 §4.3.2.1
    pub(super) fault: Option<String>,
}

impl Policies {
    pub(super) fn new(resolver: Resolver, tls: Arc<ClientConfig>, port: u16, reach: Reach) -> Self {
        Self { resolver, tls, port, reach, slots: Mutex::default() }
    }

    /// The policy of a domain, if it has one that is still valid.
    pub(super) async fn of(&self, domain: &str) -> Found {
        let slot = self.slot(domain);
        let mut known = slot.lock().await;
        let record = self.resolver.txt(&format!("_mta-sts.{domain}")).await;
        let announced = record.ok().and_then(|answer| sts::announced(&answer.records));
        let now = Instant::now();
        if known.kept.as_ref().is_some_and(|kept| !kept.is_valid(now)) {
            known.kept = None;
        }
        let fault = match announced {
            Some(id) if known.needs(&id, now) => self.renew(domain, id, &mut known).await.err(),
            Some(id) => known.failure(&id),
            // RFC 8461 §3.3: who takes the record away, or forges that, does not end a policy.
            None => None,
        };
        let policy = known.kept.as_ref().map(|kept| Arc::clone(&kept.policy));
        let policy = policy.filter(|policy| policy.mode != Mode::None);
        // The old policy holds while the new one cannot be had. RFC 8461 §5.1
        let fault = fault.filter(|_| policy.is_none());
        Found { policy, fault }
    }

    async fn renew(&self, domain: &str, id: String, known: &mut Known) -> Result<(), String> {
        match self.fetch(domain).await {
            Ok(policy) => {
                debug!(domain, id, ?policy, "policy fetched");
                let (policy, fetched) = (Arc::new(policy), Instant::now());
                (known.kept, known.failed) = (Some(Kept { id, policy, fetched }), None);
                Ok(())
            }
            Err(why) => {
                warn!(domain, id, why, "the policy of a domain cannot be had");
                known.failed = Some((id, Instant::now() + FAILURE_PAUSE, why.clone()));
                Err(why)
            }
        }
    }

    /// RFC 8461 §3.3: the certificate is verified, and nothing is followed to another place.
    async fn fetch(&self, domain: &str) -> Result<Policy, String> {
        let host = format!("mta-sts.{domain}");
        let found = self.resolver.addresses(&host).await.map_err(|error| format!("{error}"))?;
        let allowed = found.records.into_iter().filter(|address| self.reach.allows(*address));
        let addresses: Vec<IpAddr> = allowed.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(format!("{host} has no address that may be asked"));
        }
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().map(|address| (address, self.port).into()).collect();
        let told = |error: reqwest::Error| causes(&error);
        let client = Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .redirect(redirect::Policy::none())
            .https_only(true)
            .no_proxy()
            .referer(false)
            .resolve_to_addrs(&host, &addresses)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent("Pillarbox")
            .build()
            .map_err(told)?;
        let url = format!("https://{host}:{}/.well-known/mta-sts.txt", self.port);
        let response = client.get(url).send().await.map_err(told)?;
        if response.status() != StatusCode::OK {
            return Err(format!("{host} answers {}", response.status()));
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("text/plain") {
            // RFC 8461 §3.2: a guard against places where strangers leave files.
            return Err(format!("{host} tells its policy as {kind:?}"));
        }
        let text = bounded(response).await?;
        sts::parse(&text).map_err(str::to_owned)
    }

    fn slot(&self, domain: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(domain) {
            return Arc::clone(slot);
        }
        if slots.len() >= DOMAINS_MAX {
            // What is being looked at counts as needed.
            let now = Instant::now();
            let is_needed =
                |slot: &Arc<Slot>| slot.try_lock().map_or(true, |known| known.is_needed(now));
            slots.retain(|_, slot| is_needed(slot));
        }
        let slot = Arc::new(Slot::default());
        if slots.len() < DOMAINS_MAX {
            slots.insert(domain.to_owned(), Arc::clone(&slot));
        }
        slot
    }
}

impl Known {
    /// Whether forgetting it would change anything.
    fn is_needed(&self, now: Instant) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_valid(now))
            || self.failed.as_ref().is_some_and(|(_, until, _)| *until > now)
    }

    /// Whether the policy of this id is to be fetched now.
    fn needs(&self, id: &str, now: Instant) -> bool {
        let is_kept = self.kept.as_ref().is_some_and(|kept| {
            kept.id == id && now.duration_since(kept.fetched) < REFRESH_INTERVAL
        });
        // RFC 8461 §3.3: not over and over.
        let has_failed =
            |(failed, until, _): &(String, Instant, String)| failed == id && *until > now;
        !is_kept && !self.failed.as_ref().is_some_and(has_failed)
    }

    fn failure(&self, id: &str) -> Option<String> {
        let failed = self.failed.as_ref().filter(|(failed, _, _)| failed == id);
        failed.map(|(_, _, why)| why.clone())
    }
}

/// RFC 8461 §3.3 suggests a limit of 64 kilobytes.
async fn bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| causes(&error))? {
        if text.len() + piece.len() > POLICY_BYTES_MAX {
            return Err("the policy is too long".to_owned());
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// An error with its causes, in which the real one is.
fn causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

const POLICY_BYTES_MAX: usize = 64 * 1024;

/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 4;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// RFC 8461 §3.3 suggests a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// RFC 8461 §3.3: at most one attempt in five minutes for each id.
const FAILURE_PAUSE: Duration = Duration::from_secs(5 * 60);

/// RFC 8461 §3.3, §10.2: fetched again long before it ends, so that blocking one fetch is not
/// enough to be rid of it.
const REFRESH_INTERVAL: Duration = Duration::from_secs(86_400);

/// Domains that are remembered.
const DOMAINS_MAX: usize = 10_000;
