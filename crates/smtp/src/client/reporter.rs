//! Keeps what became of TLS, and sends it, once a day, to the owners of the domains who want to
//! know. RFC 8460

use std::collections::BTreeMap;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use mail_service::queue::{Envelope, Origin, Recipient, Terms};
use mail_service::tls::{Counts, DAYS_KEPT, Subject};
use mail_service::{Service, ServiceError, keys};
use sender_auth::Signer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::direct::Direct;
use super::posts::{Post, Posts};
use super::report::Sheet;
use super::report_mail::{Letter, PACKED, Wanted, packed, wanted_at};

/// Writes what is counted into the store, and sends the reports of the days that are over.
pub struct TlsReporter {
    service: Service,
    direct: Arc<Direct>,
    /// Whose name the reports are sent in.
    domain: String,
    /// Who signs at the moment.
    signer: watch::Receiver<Option<Arc<Signer>>>,
    /// What is to be left at places of HTTPS.
    posts: Posts,
}

/// Becomes true, or loses its sender, when reporting is to end.
type Ending = watch::Receiver<bool>;

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
        let direct = Arc::new(direct);
        Self { service, direct, domain, signer, posts: Posts::default() }
    }

    /// Reports until it is stopped, or until other servers are reached by somebody else and nothing
    /// is left to do; what was counted is written then. A report that was begun is made, but what
    /// waits for a place of HTTPS when it is stopped is dropped.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (service, direct) = (self.service.clone(), Arc::clone(&self.direct));
        let (end, ending) = watch::channel(false);
        let is_idle = AtomicBool::new(true);
        // Beside the reports: no stranger's server may hold up what is counted.
        let writing = async {
            let mut stop = pin!(stop);
            while timeout(WRITE_INTERVAL, &mut stop).await.is_err() {
                // Asked first: whoever was there until now has counted when it is written.
                let is_alone = direct.is_alone();
                let is_written = write(&direct, &service).await;
                if is_alone && is_written && is_idle.load(Ordering::Relaxed) {
                    break;
                }
            }
            end.send_replace(true);
        };
        tokio::join!(writing, self.report_daily(ending, &is_idle));
        write(&direct, &service).await;
    }

    async fn report_daily(mut self, ending: Ending, is_idle: &AtomicBool) {
        let mut ended = ending.clone();
        while timeout(LOOK_INTERVAL, ended.wait_for(|is_ending| *is_ending)).await.is_err() {
            is_idle.store(false, Ordering::Relaxed);
            let now = self.service.now_secs();
            self.report_all(now, ending.clone()).await;
            is_idle.store(self.posts.is_empty(), Ordering::Relaxed);
        }
    }

    /// Reports all days that are over at a moment, in seconds since 1970, and were not reported
    /// yet by this or by another process; how many reports were sent.
    pub async fn report_until(&mut self, now: i64) -> usize {
        write(&self.direct, &self.service).await;
        let (_end, ending) = watch::channel(false);
        self.report_all(now, ending).await
    }

    async fn report_all(&mut self, now: i64, mut ending: Ending) -> usize {
        let domains = self.unreported(now).await.into_iter();
        let direct = Arc::clone(&self.direct);
        let asked = domains.map(|(day, domain)| {
            let direct = Arc::clone(&direct);
            async move {
                let wanted = wanted(&direct, &domain).await;
                (day, domain, wanted)
            }
        });
        let mut asked = pin!(stream::iter(asked).buffer_unordered(ASKED_MAX));
        let mut count = 0;
        // Between two reports it may end, and within none: what is claimed nobody else reports.
        while let Some((day, domain, wanted)) = unless_ending(&mut ending, asked.next()).await {
            if let Some(wanted) = wanted {
                count += self.report(day, &domain, wanted, now).await;
            }
        }
        count + self.leave_due(now, ending).await
    }

    /// Days and domains.
    async fn unreported(&self, now: i64) -> Vec<(u32, String)> {
        let today = keys::story_day(now - SETTLE_SECS);
        let mut all = Vec::new();
        for day in today.saturating_sub(DAYS_KEPT)..today {
            match self.service.unreported_tls_domains(day).await {
                Ok(domains) => all.extend(domains.into_iter().map(|domain| (day, domain))),
                Err(error) => warn!(%error, "reports on TLS are not made"),
            }
        }
        all
    }

    async fn report(&mut self, day: u32, domain: &str, wanted: Vec<Wanted>, now: i64) -> usize {
        let is_for_web = wanted.iter().any(|to| matches!(to, Wanted::Web(_)));
        if is_for_web && !self.posts.make_room() {
            warn!(domain, "a report on TLS has to wait until others are left");
            return 0;
        }
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
        let Ok(packed) = packed(&report).map(Bytes::from) else { return 0 };
        let mut count = 0;
        for to in wanted {
            match to {
                Wanted::Mail(to) => {
                    let letter = Letter { sheet: &sheet, packed: &packed, to: &to, now };
                    count += self.send(&letter).await;
                }
                Wanted::Web(url) => self.posts.add(Post::new(url, packed.clone(), now)),
            }
        }
        count
    }

    /// What was counted, if anything can be read of it and nobody else reports it.
    async fn claim(
        &self,
        day: u32,
        domain: &str,
    ) -> Result<Option<BTreeMap<Subject, Counts>>, ServiceError> {
        let counts = self.service.tls_counts(day, domain).await?;
        if counts.is_empty() {
            return Ok(None);
        }
        Ok(self.service.claim_tls_report(day, domain).await?.then_some(counts))
    }

    /// Leaves reports where they are wanted, and keeps those that are not taken for later; how
    /// many were taken. RFC 8460 §5.5
    async fn leave_due(&mut self, now: i64, mut ending: Ending) -> usize {
        let mut due = self.posts.take_due(now);
        let mut count = 0;
        {
            let end = Instant::now() + LEAVE_TIME;
            let next = || if Instant::now() < end { due.pop() } else { None };
            let direct = Arc::clone(&self.direct);
            let leaving = iter::from_fn(next).map(|post| leave(Arc::clone(&direct), post));
            let mut leaving = pin!(stream::iter(leaving).buffer_unordered(POSTS_MAX));
            while let Some(left) = unless_ending(&mut ending, leaving.next()).await {
                match left {
                    Ok(()) => count += 1,
                    Err(post) => self.posts.add(post.failed(now)),
                }
            }
        }
        // What had no turn.
        due.into_iter().for_each(|post| self.posts.add(post));
        count
    }

    async fn send(&self, letter: &Letter<'_>) -> usize {
        let signer = self.signer.borrow().clone().filter(|it| it.signs_for(&self.domain));
        let Some(signer) = signer else { return 0 };
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

async fn write(direct: &Direct, service: &Service) -> bool {
    let written = direct.counts().write(service).await;
    if let Err(error) = &written {
        warn!(%error, "what became of TLS is not written yet");
    }
    written.is_ok()
}

/// What comes next, unless it is time to end.
async fn unless_ending<T>(ending: &mut Ending, next: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::select! {
        biased;
        _ = ending.wait_for(|is_ending| *is_ending) => None,
        next = next => next,
    }
}

/// Where a domain wants its reports; `None` if another look may find out.
async fn wanted(direct: &Direct, domain: &str) -> Option<Vec<Wanted>> {
    match direct.web().resolver().txt(&format!("_smtp._tls.{domain}")).await {
        Ok(answer) => Some(wanted_at(&answer.records)),
        Err(error) if error.is_temporary() => None,
        Err(_) => Some(Vec::new()),
    }
}

/// Leaves a report where it is wanted, or gives it back.
async fn leave(direct: Arc<Direct>, post: Post) -> Result<(), Post> {
    let left = direct.web().post(post.url.clone(), PACKED, post.report.clone()).await;
    left.map_err(|error| {
        warn!(url = %post.url, error, "a report on TLS is not taken");
        post
    })
}

/// What a crash may take from the counts.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);

/// Servers are started at different times, so their reports do not all come at midnight.
/// RFC 8460 §4.1
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

/// How long after its end a day is reported: until then all processes have written their counts.
const SETTLE_SECS: i64 = 5 * 60;

/// Domains that are asked at one time where they want their reports.
const ASKED_MAX: usize = 16;

/// Reports that are being left at places of HTTPS at one time.
const POSTS_MAX: usize = 16;

/// How long one look begins to leave reports at places of HTTPS; the next one goes on. Shorter
/// than the time between two.
const LEAVE_TIME: Duration = Duration::from_secs(1800);
