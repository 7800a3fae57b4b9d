//! Keeps what became of TLS, and sends it, once a day, to the owners of the domains who want to
//! know. RFC 8460

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use mail_service::queue::{Envelope, Origin, Recipient, Terms};
use mail_service::tls::{Counts, DAYS_KEPT, Subject};
use mail_service::{Service, ServiceError, keys};
use reqwest::Url;
use sender_auth::Signer;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::direct::Direct;
use super::report::Sheet;
use super::report_mail::{Letter, PACKED, Wanted, packed, wanted_at};

/// Writes what is counted into the store, and sends the reports of the days that are over.
pub struct TlsReporter {
    service: Service,
    direct: Direct,
    /// Whose name the reports are sent in.
    domain: String,
    /// Who signs at the moment.
    signer: watch::Receiver<Option<Arc<Signer>>>,
    /// What could not be left where it is wanted.
    waiting: Vec<Post>,
}

/// A report that is wanted at a place of HTTPS.
struct Post {
    url: Url,
    /// Packed.
    report: Vec<u8>,
    /// When it is tried, in seconds since 1970.
    at: i64,
    /// How long to wait if that fails.
    pause_secs: i64,
}

impl TlsReporter {
    /// Reports in the name of a domain of this server, signed by its keys of the moment. Mail
    /// without a signature would not be believed (RFC 8460 §3): without keys none is sent.
    #[must_use]
    pub fn new(
        service: Service,
        direct: Direct,
        domain: String,
        signer: watch::Receiver<Option<Arc<Signer>>>,
    ) -> Self {
        Self { service, direct, domain, signer, waiting: Vec::new() }
    }

    /// Reports until it is stopped, or until other servers are reached by somebody else and
    /// nothing is left to do; what was counted is written then.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut look_at = self.service.now_secs() + LOOK_SECS;
        while timeout(WRITE_INTERVAL, &mut stop).await.is_err() {
            // Asked first: whoever was there until now has counted when it is written.
            let is_alone = self.direct.is_alone();
            let is_written = self.write().await;
            if is_alone && is_written && self.waiting.is_empty() {
                return;
            }
            let now = self.service.now_secs();
            if now < look_at {
                continue;
            }
            look_at = now + LOOK_SECS;
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = self.report_until(now) => {}
            }
        }
        self.write().await;
    }

    async fn write(&self) -> bool {
        let written = self.direct.counts().write(&self.service).await;
        if let Err(error) = &written {
            warn!(%error, "what became of TLS is not written yet");
        }
        written.is_ok()
    }

    /// Reports all days that are over at a moment, in seconds since 1970, and were not reported
    /// yet by this or by another process; how many reports were sent.
    pub async fn report_until(&mut self, now: i64) -> usize {
        self.write().await;
        let mut count = 0;
        for post in std::mem::take(&mut self.waiting) {
            count += self.post(post, now).await;
        }
        let today = keys::story_day(now - SETTLE_SECS);
        for day in today.saturating_sub(DAYS_KEPT)..today {
            match self.service.unreported_tls_domains(day).await {
                Ok(domains) => {
                    for domain in domains {
                        count += self.report(day, &domain, now).await;
                    }
                }
                Err(error) => warn!(%error, "reports on TLS are not made"),
            }
        }
        count
    }

    async fn report(&mut self, day: u32, domain: &str, now: i64) -> usize {
        let texts = self.direct.web().resolver().txt(&format!("_smtp._tls.{domain}")).await;
        let wanted = match texts {
            Ok(answer) => wanted_at(&answer.records),
            // Another look may find out.
            Err(error) if error.is_temporary() => return 0,
            Err(_) => Vec::new(),
        };
        let counts = match self.claim(day, domain).await {
            Ok(Some(counts)) => counts,
            Ok(None) => return 0,
            Err(error) => {
                warn!(domain, %error, "a report on TLS is not made");
                return 0;
            }
        };
        let contact = format!("postmaster@{}", self.domain);
        let organization = self.domain.clone();
        let sheet = Sheet { day, domain, organization: &organization, contact: &contact };
        let report = sheet.report(&counts);
        info!(domain, %report, "what became of TLS");
        let Ok(packed) = packed(&report) else { return 0 };
        let mut count = 0;
        for to in wanted {
            count += match to {
                Wanted::Mail(to) => {
                    self.send(&Letter { sheet: &sheet, packed: &packed, to: &to, now }).await
                }
                Wanted::Web(url) => {
                    let report = packed.clone();
                    self.post(Post { url, report, at: now, pause_secs: PAUSE_FIRST_SECS }, now)
                        .await
                }
            };
        }
        count
    }

    /// What was counted, if nobody else reports it.
    async fn claim(
        &self,
        day: u32,
        domain: &str,
    ) -> Result<Option<BTreeMap<Subject, Counts>>, ServiceError> {
        let counts = self.service.tls_counts(day, domain).await?;
        Ok(self.service.claim_tls_report(day, domain).await?.then_some(counts))
    }

    /// Leaves a report where it is wanted, or keeps it for later. RFC 8460 §5.5
    async fn post(&mut self, mut post: Post, now: i64) -> usize {
        if now >= post.at {
            let left = self.direct.web().post(post.url.clone(), PACKED, post.report.clone()).await;
            let Err(error) = left else { return 1 };
            warn!(url = %post.url, error, "a report on TLS is not taken");
            post.at = now + post.pause_secs;
            post.pause_secs *= 2;
        }
        if post.pause_secs <= PAUSE_LAST_SECS && self.waiting.len() < WAITING_MAX {
            self.waiting.push(post);
        }
        0
    }

    async fn send(&self, letter: &Letter<'_>) -> usize {
        let signer = self.signer.borrow().clone();
        let Some(signer) = signer.filter(|signer| signer.signs_for(&self.domain)) else { return 0 };
        match self.enqueue(letter, &signer).await {
            Ok(()) => 1,
            Err(error) => {
                warn!(to = letter.to, error, "a report on TLS is not sent");
                0
            }
        }
    }

    async fn enqueue(&self, letter: &Letter<'_>, signer: &Signer) -> Result<(), String> {
        let message = letter.message();
        let signature = signer.sign(&self.domain, message.as_bytes(), letter.now);
        let signature = signature.ok_or("it cannot be signed")?;
        let mut staging = self.service.stage_outgoing();
        for part in [&signature, message.as_bytes()] {
            staging.push(part).await.map_err(|error| error.to_string())?;
        }
        let staged = staging.finish().await.map_err(|error| error.to_string())?;
        // Nobody is told if it fails, and nothing is counted of its way (see `Trip::count`): or
        // two servers would report on each other's reports for ever.
        let terms = Terms { tls_optional: true, ..Terms::new(None, Origin::Server) };
        let recipients = vec![Recipient::new(letter.to)];
        let envelope = Envelope { terms, recipients, hold_until: None };
        let queued = self.service.enqueue(&staged, envelope).await;
        queued.map(drop).map_err(|error| error.to_string())
    }
}

/// What a crash may take from the counts.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);

/// Servers are started at different times, so their reports do not all come at midnight.
/// RFC 8460 §4.1
const LOOK_SECS: i64 = 3600;

/// How long after its end a day is reported: until then all processes have written their counts.
const SETTLE_SECS: i64 = 5 * 60;

const PAUSE_FIRST_SECS: i64 = 3600;

/// RFC 8460 §5.5: for 24 hours about. After 1, 3, 7 and 15 hours it is given up.
const PAUSE_LAST_SECS: i64 = 16 * 3600;

/// Reports that wait at one time.
const WAITING_MAX: usize = 1000;
