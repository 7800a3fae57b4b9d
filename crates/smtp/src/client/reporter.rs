//! Sends, once a day, what became of TLS to the owners of the domains who want to know. RFC 8460

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail_service::Service;
use mail_service::queue::{Envelope, Origin, Recipient, Terms};
use sender_auth::Signer;
use serde_json::Value;
use tokio::time::sleep;
use tracing::{info, warn};

use super::direct::Direct;
use super::report_mail::{Letter, wanted_at};

/// Sends the reports of the days that are over. They are counted in memory: what was counted
/// before the server was started is not told.
pub struct TlsReporter {
    service: Service,
    direct: Direct,
    /// Whose name the reports are sent in.
    domain: String,
    signer: Option<Arc<Signer>>,
    /// The last day that was reported.
    reported: i64,
}

impl TlsReporter {
    /// Reports in the name of a domain of this server, signed by its keys. A report without a
    /// signature would not be believed (RFC 8460 §3): without keys it is only logged.
    #[must_use]
    pub fn new(
        service: Service,
        direct: Direct,
        domain: String,
        signer: Option<Arc<Signer>>,
    ) -> Self {
        let signer = signer.filter(|signer| signer.signs_for(&domain));
        // The day on which the server is started is the first that is reported.
        let reported = now() / SECS_PER_DAY - 1;
        Self { service, direct, domain, signer, reported }
    }

    /// Reports until it is dropped.
    pub async fn run(mut self) {
        loop {
            sleep(LOOK_INTERVAL).await;
            self.report_until(now() / SECS_PER_DAY).await;
        }
    }

    /// Reports all days before this one, in days since 1970, that were not reported yet; how many
    /// reports were sent.
    pub async fn report_until(&mut self, today: i64) -> usize {
        let mut count = 0;
        for day in self.reported + 1..today {
            for domain in self.direct.reports().domains(day) {
                count += self.report(day, &domain).await;
            }
        }
        self.reported = self.reported.max(today - 1);
        count
    }

    async fn report(&self, day: i64, domain: &str) -> usize {
        let contact = format!("postmaster@{}", self.domain);
        let report = self.direct.reports().report(day, domain, &self.domain, &contact);
        let Some(report) = report else { return 0 };
        info!(domain, %report, "what became of TLS");
        let Some(signer) = &self.signer else { return 0 };
        let texts = self.direct.resolver().txt(&format!("_smtp._tls.{domain}")).await;
        let wanted = texts.map(|answer| wanted_at(&answer.records)).unwrap_or_default();
        let mut count = 0;
        for to in wanted {
            match self.send(&report, domain, &contact, &to, signer).await {
                Ok(()) => count += 1,
                Err(error) => warn!(domain, error, "a report on TLS is not sent"),
            }
        }
        count
    }

    async fn send(
        &self,
        report: &Value,
        domain: &str,
        from: &str,
        to: &str,
        signer: &Signer,
    ) -> Result<(), String> {
        let (submitter, now) = (self.domain.as_str(), now());
        let message = Letter { report, domain, submitter, from, to, now }.message();
        let signature = signer.sign(&self.domain, message.as_bytes(), now);
        let signature = signature.ok_or("it cannot be signed")?;
        let mut staging = self.service.stage_outgoing();
        for part in [&signature, message.as_bytes()] {
            staging.push(part).await.map_err(|error| error.to_string())?;
        }
        let staged = staging.finish().await.map_err(|error| error.to_string())?;
        // Nobody is told if it fails, and nothing is counted of its way (see `Trip::count`): or
        // two servers would report on each other's reports for ever.
        let terms = Terms { tls_optional: true, ..Terms::new(None, Origin::Server) };
        let recipients = vec![Recipient::new(to)];
        let envelope = Envelope { terms, recipients, hold_until: None };
        let queued = self.service.enqueue(&staged, envelope).await;
        queued.map(drop).map_err(|error| error.to_string())
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

const SECS_PER_DAY: i64 = 86_400;

/// Servers are started at different times, so their reports do not all come at midnight.
/// RFC 8460 §4.1
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
