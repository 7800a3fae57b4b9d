//! The policies of domains (MTA-STS): found by a record, fetched over HTTPS, and kept in memory and
//! in the store, where a restart does not forget them and other nodes find them. RFC 8461

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail_service::tls::{FailureKind, KeptPolicy};
use mail_service::{Service, ServiceError};
use reqwest::StatusCode;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::sts::{self, Mode, Policy};
use super::web::Web;
use crate::http::{causes, read_bounded};

/// All policies that are known.
#[derive(Default)]
pub(super) struct Policies {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What is known of one domain. Whoever looks has the others wait for what he finds.
type Slot = tokio::sync::Mutex<Known>;

#[derive(Default)]
struct Known {
    kept: Option<Kept>,
    /// When the store was asked last.
    looked: Option<Instant>,
    /// The id for which no policy could be had, until when, and why.
    failed: Option<(String, Instant, PolicyFault)>,
}

/// Times in seconds since 1970.
struct Kept {
    id: String,
    policy: Arc<Policy>,
    fetched_at: i64,
    ends_at: i64,
}

/// What rules over the mail for a domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Its policy.
    pub(super) policy: Option<Arc<Policy>>,
    /// Why the policy that is announced cannot be had, for reports.
    pub(super) fault: Option<PolicyFault>,
}

/// Why a policy cannot be had. RFC 8460 §4.3.2.2
#[derive(Clone, Debug)]
pub(super) struct PolicyFault {
    pub(super) kind: FailureKind,
    pub(super) reason: String,
}

impl From<String> for PolicyFault {
    fn from(reason: String) -> Self {
        Self { kind: FailureKind::StsPolicyFetchError, reason }
    }
}

impl From<reqwest::Error> for PolicyFault {
    fn from(error: reqwest::Error) -> Self {
        let kind = match is_of_certificate(&error) {
            true => FailureKind::StsWebpkiInvalid,
            false => FailureKind::StsPolicyFetchError,
        };
        Self { kind, reason: causes(&error) }
    }
}

impl Policies {
    /// The policy of a domain, if it has one that is still valid.
    ///
    /// # Errors
    /// When the store cannot be asked: a policy may be there that must not be passed over.
    pub(super) async fn of(
        &self,
        service: &Service,
        web: &Web,
        domain: &str,
    ) -> Result<Found, ServiceError> {
        let now = service.now_secs();
        let slot = self.slot(domain, now);
        let mut known = slot.lock().await;
        let record = web.resolver().txt(&format!("_mta-sts.{domain}")).await;
        let announced = record.ok().and_then(|answer| sts::announced(&answer.records));
        if !known.is_current(announced.as_deref(), now) {
            known.look(service, domain).await?;
        }
        known.kept = known.kept.take().filter(|kept| kept.is_valid(now));
        let fault = match announced {
            Some(id) if known.needs(&id, now) => known.renew(service, web, domain, id).await.err(),
            Some(id) => known.failure(&id),
            // RFC 8461 §3.3: who takes the record away, or forges that, does not end a policy.
            None => None,
        };
        let policy = known.kept.as_ref().map(|kept| Arc::clone(&kept.policy));
        let policy = policy.filter(|policy| policy.mode != Mode::None);
        // The old policy holds while the new one cannot be had. RFC 8461 §5.1
        let fault = fault.filter(|_| policy.is_none());
        Ok(Found { policy, fault })
    }

    fn slot(&self, domain: &str, now: i64) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(domain) {
            return Arc::clone(slot);
        }
        if slots.len() >= DOMAINS_MAX {
            // What is being looked at counts as needed.
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

impl Kept {
    /// `None` if a later version has kept what this one cannot read.
    fn read(kept: KeptPolicy) -> Option<Self> {
        let KeptPolicy { id, fetched_at, ends_at, text } = kept;
        let policy = Arc::new(sts::parse(text.as_bytes()).ok()?);
        Some(Self { id, policy, fetched_at, ends_at })
    }

    fn is_valid(&self, now: i64) -> bool {
        now < self.ends_at
    }

    /// Whether it is what this id announces, and was fetched lately.
    fn is_fresh(&self, id: &str, now: i64) -> bool {
        self.id == id && now.saturating_sub(self.fetched_at) < REFRESH_SECS
    }
}

impl Known {
    /// Whether forgetting it would change anything.
    fn is_needed(&self, now: i64) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_valid(now))
            || self.failed.as_ref().is_some_and(|(_, until, _)| *until > Instant::now())
    }

    /// Whether nothing in the store can be better.
    fn is_current(&self, announced: Option<&str>, now: i64) -> bool {
        let is_fresh = |kept: &Kept| announced.is_none_or(|id| kept.is_fresh(id, now));
        self.kept.as_ref().is_some_and(|kept| kept.is_valid(now) && is_fresh(kept))
            || self.looked.is_some_and(|looked| looked.elapsed() < LOOK_PAUSE)
    }

    /// Looks for what was fetched before this process, or by another one.
    async fn look(&mut self, service: &Service, domain: &str) -> Result<(), ServiceError> {
        let stored = match service.tls_policy(domain).await {
            Ok(stored) => stored.and_then(Kept::read),
            // It is fetched again, and written over.
            Err(error @ ServiceError::Corrupt(_)) => {
                warn!(domain, %error, "the policy of a domain cannot be read");
                None
            }
            Err(error) => return Err(error),
        };
        self.looked = Some(Instant::now());
        let is_newer = |stored: &Kept| {
            self.kept.as_ref().is_none_or(|kept| kept.fetched_at < stored.fetched_at)
        };
        if let Some(stored) = stored.filter(is_newer) {
            self.kept = Some(stored);
        }
        Ok(())
    }

    /// Whether the policy of this id is to be fetched now.
    fn needs(&self, id: &str, now: i64) -> bool {
        let is_kept = self.kept.as_ref().is_some_and(|kept| kept.is_fresh(id, now));
        // RFC 8461 §3.3: not over and over.
        let has_failed = |(failed, until, _): &(String, Instant, PolicyFault)| {
            failed == id && *until > Instant::now()
        };
        !is_kept && !self.failed.as_ref().is_some_and(has_failed)
    }

    fn failure(&self, id: &str) -> Option<PolicyFault> {
        let failed = self.failed.as_ref().filter(|(failed, _, _)| failed == id);
        failed.map(|(_, _, why)| why.clone())
    }

    async fn renew(
        &mut self,
        service: &Service,
        web: &Web,
        domain: &str,
        id: String,
    ) -> Result<(), PolicyFault> {
        let policy = match fetch(web, domain).await {
            Ok(policy) => policy,
            Err(why) => {
                warn!(domain, id, why = why.reason, "the policy of a domain cannot be had");
                self.failed = Some((id, Instant::now() + FAILURE_PAUSE, why.clone()));
                return Err(why);
            }
        };
        debug!(domain, id, ?policy, "policy fetched");
        let fetched_at = service.now_secs();
        let ends_at = fetched_at.saturating_add(policy.max_age_secs.cast_signed());
        let text = policy.lines().join("\n");
        let kept = KeptPolicy { id: id.clone(), fetched_at, ends_at, text };
        if let Err(error) = service.keep_tls_policy(domain, &kept).await {
            warn!(domain, %error, "a restart will forget the policy of a domain");
        }
        let policy = Arc::new(policy);
        (self.kept, self.failed) = (Some(Kept { id, policy, fetched_at, ends_at }), None);
        Ok(())
    }
}

/// RFC 8461 §3.3: the certificate is verified, and nothing is followed to another place.
async fn fetch(web: &Web, domain: &str) -> Result<Policy, PolicyFault> {
    let host = format!("mta-sts.{domain}");
    let client = web.client(&host).await?;
    let url = format!("https://{host}:{}/.well-known/mta-sts.txt", web.port());
    let response = client.get(url).send().await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{host} answers {}", response.status()).into());
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        // RFC 8461 §3.2: a guard against places where strangers leave files.
        return Err(format!("{host} tells its policy as {kind:?}").into());
    }
    let text = read_bounded(response, POLICY_BYTES_MAX).await?;
    let text = text.ok_or_else(|| "the policy is too long".to_owned())?;
    let invalid = FailureKind::StsPolicyInvalid;
    sts::parse(&text).map_err(|why| PolicyFault { kind: invalid, reason: why.to_owned() })
}

/// Whether it is the certificate of the server that is wrong.
fn is_of_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // What an error of the system holds it does not call its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}

/// RFC 8461 §3.3 suggests a limit of 64 kilobytes.
const POLICY_BYTES_MAX: usize = 64 * 1024;

/// RFC 8461 §3.3: at most one attempt in five minutes for each id.
const FAILURE_PAUSE: Duration = Duration::from_secs(5 * 60);

/// RFC 8461 §3.3, §10.2: fetched again long before it ends, so that blocking one fetch is not
/// enough to be rid of it.
const REFRESH_SECS: i64 = 86_400;

/// How long nobody asks the store again for a domain of which it had nothing better.
const LOOK_PAUSE: Duration = Duration::from_secs(60);

/// Domains that are remembered.
const DOMAINS_MAX: usize = 10_000;
