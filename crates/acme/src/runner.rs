//! Waits until a certificate is due, orders it, keeps it and serves it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net::{CertificateFiles, Facts, ShutdownToken, Tls};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::schedule::{self, Attempts, FAILED_MAX, Situation};
use crate::{Advice, Authority, OrderError, Settings, certificate_file};

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Keeps a certificate fresh.
pub struct Runner<A> {
    authority: A,
    tls: Tls,
    files: CertificateFiles,
    names: Vec<String>,
    attempts_file: PathBuf,
    clock: Clock,
    attempts: Attempts,
    advice: Option<Advice>,
    /// When the authority is to be asked for advice again.
    ask_at: i64,
    asks: mpsc::Receiver<Ask>,
    status: watch::Sender<Status>,
}

impl<A> fmt::Debug for Runner<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runner")
    }
}

/// Who wants a certificate now, and hears of it.
type Ask = oneshot::Sender<Result<(), OrderError>>;

/// How it stands with the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The names that it shall have.
    pub wanted: Vec<String>,
    /// The names that it has; none while nobody else vouches for it.
    pub held: Vec<String>,
    /// Its last second.
    pub not_after: Option<i64>,
    /// When the next order is planned.
    pub next: i64,
    /// What went wrong at the last attempt.
    pub trouble: Option<String>,
}

/// For whoever wants to know or to hurry.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    status: watch::Receiver<Status>,
}

impl Handle {
    /// Orders a certificate now, whatever the schedule says, and waits for it.
    ///
    /// # Errors
    /// As the order, or when the server ends meanwhile.
    pub async fn renew(&self) -> Result<(), OrderError> {
        let ends = || OrderError::new("the server ends");
        let (ask, answer) = oneshot::channel();
        self.asks.send(ask).await.map_err(|_| ends())?;
        answer.await.map_err(|_| ends())?
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}

impl<A: Authority> Runner<A> {
    /// Keeps the certificate of the settings, which `tls` serves.
    pub fn new(authority: A, settings: &Settings, tls: Tls, clock: Clock) -> (Self, Handle) {
        let files = CertificateFiles::in_one(certificate_file(&settings.folder));
        let attempts_file = settings.folder.join("attempts.json");
        let attempts = read_attempts(&attempts_file);
        let (ask, asks) = mpsc::channel(ASKS_MAX);
        let (status, seen) = watch::channel(Status::default());
        let names = settings.names.clone();
        let runner = Self {
            authority,
            tls,
            files,
            names,
            attempts_file,
            clock,
            attempts,
            advice: None,
            ask_at: i64::MIN,
            asks,
            status,
        };
        runner.tell(None);
        (runner, Handle { asks: ask, status: seen })
    }

    /// Works until the shutdown begins.
    pub async fn run(mut self, mut token: ShutdownToken) {
        let work = async {
            loop {
                self.turn().await;
            }
        };
        tokio::select! {
            () = token.begun() => {}
            () = work => {}
        }
    }

    /// Waits for the next reason to order, and orders; or looks at the clock again.
    async fn turn(&mut self) {
        self.take_advice().await;
        let now = (self.clock)();
        let settled = schedule::settled(self.attempts, now);
        if settled != self.attempts {
            self.note(settled);
        }
        let wait = self.next().saturating_sub(now);
        if wait <= 0 {
            // Whoever else must know hears of it by the log and the status.
            let _ = self.attempt().await;
            return;
        }
        let pause = Duration::from_secs(wait.unsigned_abs()).min(LOOK_INTERVAL);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(ask) = self.asks.recv() => {
                let done = self.attempt().await;
                // Nobody waits any more; then there is nobody to tell.
                let _ = ask.send(done);
            }
        }
    }

    fn held(&self) -> Option<Facts> {
        self.tls.facts().filter(|facts| !facts.is_self_issued)
    }

    fn next(&self) -> i64 {
        let held = self.held();
        let situation = Situation {
            names: &self.names,
            certificate: held.as_ref(),
            advice: self.advice,
            attempts: self.attempts,
        };
        schedule::next(&situation)
    }

    /// Asks the authority when it wants the certificate to be renewed. RFC 9773 §4.3
    async fn take_advice(&mut self) {
        let now = (self.clock)();
        let Some(held) = self.held().filter(|_| now >= self.ask_at) else { return };
        let pause = match self.authority.advice(&held).await {
            Ok(advice) => {
                self.advice = advice;
                advice.map_or(ASK_SECS_MAX, |advice| advice.ask_again_secs)
            }
            Err(error) => {
                // The last advice stays, and without any the certificate's own age counts.
                info!(%error, "the authority gave no advice on renewal");
                ASK_SECS_MIN
            }
        };
        self.ask_at = now.saturating_add(pause.clamp(ASK_SECS_MIN, ASK_SECS_MAX));
        let next = self.next();
        self.status.send_modify(|status| status.next = next);
    }

    /// Orders for all names; if some are refused, for the others, as far as that helps.
    async fn attempt(&mut self) -> Result<(), OrderError> {
        let mut names = self.names.clone();
        let mut left_out: Option<OrderError> = None;
        let mut order_count = 0;
        let done = loop {
            order_count += 1;
            match self.order(&names).await {
                Ok(()) => break Ok(()),
                Err(error) => {
                    let before = names.len();
                    names.retain(|name| !error.refused.contains(name));
                    let helps = names.len() < before && self.helps(&names);
                    left_out = Some(error.clone());
                    if !helps || order_count == ORDERS_MAX {
                        break Err(error);
                    }
                    warn!(%error, "ordered again without the names that were not proved");
                }
            }
        };
        let failed = match (&done, &left_out) {
            (Ok(()), None) => 0,
            // The others are served; those that were left out are tried again tomorrow.
            (Ok(()), Some(_)) => FAILED_MAX + 1,
            (Err(_), _) => self.attempts.failed.saturating_add(1),
        };
        self.note(Attempts { failed, last: Some((self.clock)()) });
        if let Err(error) = &done {
            warn!(%error, failed, "no certificate was issued");
        }
        self.tell(left_out.map(|error| error.reason));
        done
    }

    /// Whether a certificate for fewer names is better than what is held: not without the first
    /// name, and not if the one that is held has them all and is fresh.
    fn helps(&self, names: &[String]) -> bool {
        if self.names.first() != names.first() {
            return false;
        }
        self.held().is_none_or(|held| {
            !schedule::covers(&held, names) || schedule::ripe(&held, self.advice) <= (self.clock)()
        })
    }

    async fn order(&mut self, names: &[String]) -> Result<(), OrderError> {
        let held = self.held();
        let issued = self.authority.order(names, held.as_ref()).await?;
        let both = format!("{}\n{}", issued.chain.trim_end(), issued.key);
        let file = &self.files.certificate;
        // Only what can be served takes the place of what is served.
        let trial = file.with_extension("trial");
        let kept = net::write_private(&trial, both.as_bytes());
        kept.map_err(|error| OrderError::new(format!("{}: {error}", trial.display())))?;
        CertificateFiles::in_one(trial.clone()).load().map_err(OrderError::new)?;
        let moved = fs::rename(&trial, file);
        moved.map_err(|error| OrderError::new(format!("{}: {error}", file.display())))?;
        self.tls.reload(&self.files).map_err(OrderError::new)?;
        (self.advice, self.ask_at) = (None, i64::MIN);
        info!(?names, "a new certificate is served");
        Ok(())
    }

    fn note(&mut self, attempts: Attempts) {
        self.attempts = attempts;
        let kept = KeptAttempts { failed: attempts.failed, last: attempts.last };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        if let Err(error) = net::write_private(&self.attempts_file, &text) {
            warn!(%error, "the last attempt is not remembered over a restart");
        }
    }

    fn tell(&self, trouble: Option<String>) {
        let held = self.held();
        self.status.send_replace(Status {
            wanted: self.names.clone(),
            not_after: held.as_ref().map(|held| held.not_after),
            next: self.next(),
            held: held.map(|held| held.names).unwrap_or_default(),
            trouble,
        });
    }
}

/// [`Attempts`] as they are kept.
#[derive(Deserialize, Serialize)]
struct KeptAttempts {
    failed: u32,
    last: Option<i64>,
}

/// What cannot be read is forgotten: the pauses begin anew.
fn read_attempts(file: &PathBuf) -> Attempts {
    let kept = fs::read(file).ok().and_then(|kept| serde_json::from_slice(&kept).ok());
    kept.map_or_else(Attempts::default, |kept: KeptAttempts| Attempts {
        failed: kept.failed,
        last: kept.last,
    })
}

/// Orders of one attempt. Names that are refused are refused together, unless something is very
/// wrong; then it is not tried name by name.
const ORDERS_MAX: u32 = 3;

/// So often the clock is looked at: it may have been set.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);

/// An operator who asks again and again waits for the first answer.
const ASKS_MAX: usize = 1;

/// What an authority says about when to ask again is kept within these. RFC 9773 §4.3.2
const ASK_SECS_MIN: i64 = 600;
const ASK_SECS_MAX: i64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::time::Instant;

    use super::*;
    use crate::{Challenge, Issued};

    const DAY: i64 = 24 * 3600;
    /// 2026-11-26
    const BEGIN: i64 = 1_795_651_200;

    /// Issues for 90 days from each order on, and refuses names while they are in its list.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Script>>);

    #[derive(Default)]
    struct Script {
        refused: Vec<String>,
        /// Blames a name that nobody has asked for.
        is_confused: bool,
        is_down: bool,
        garbage: bool,
        advice: Option<Advice>,
        orders: Vec<(i64, Vec<String>)>,
    }

    impl Authority for (Paper, Clock) {
        async fn order(&self, names: &[String], _: Option<&Facts>) -> Result<Issued, OrderError> {
            let mut script = self.0.0.lock().unwrap();
            let now = (self.1)();
            script.orders.push((now - BEGIN, names.to_vec()));
            let bad = |name: &&String| script.refused.contains(name);
            let refused: Vec<_> = names.iter().filter(bad).cloned().collect();
            if script.is_confused {
                let refused = vec!["c.example".to_owned()];
                return Err(OrderError { refused, ..OrderError::new("what?") });
            }
            if script.is_down || !refused.is_empty() {
                return Err(OrderError { refused, ..OrderError::new("no") });
            }
            if script.garbage {
                return Ok(Issued { chain: "none".into(), key: "none".into() });
            }
            let mut authority = CertificateParams::default();
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            let day = |at: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(at as u64);
            (params.not_before, params.not_after) = (day(now), day(now + 90 * DAY));
            let key = KeyPair::generate().unwrap();
            let chain = params.signed_by(&key, &issuer).unwrap().pem();
            Ok(Issued { chain, key: key.serialize_pem() })
        }

        async fn advice(&self, _: &Facts) -> Result<Option<Advice>, OrderError> {
            Ok(self.0.0.lock().unwrap().advice)
        }
    }

    struct Bench {
        folder: tempfile::TempDir,
        paper: Paper,
        tls: Tls,
        handle: Handle,
        shutdown: net::Shutdown,
        clock: Clock,
    }

    impl Bench {
        /// A server with an empty folder, at a clock that follows tokio's.
        fn new(script: Script) -> Self {
            let began = Instant::now();
            let clock: Clock =
                Arc::new(move || BEGIN + i64::try_from(began.elapsed().as_secs()).unwrap());
            let folder = tempfile::tempdir().unwrap();
            let paper = Paper(Arc::new(Mutex::new(script)));
            Self::start(folder, paper, clock)
        }

        fn start(folder: tempfile::TempDir, paper: Paper, clock: Clock) -> Self {
            let file = certificate_file(folder.path());
            let tls = Tls::new(&CertificateFiles::placeholder(&file, "a.example").unwrap());
            let tls = tls.unwrap();
            let settings = Settings {
                directory: String::new(),
                contact: Vec::new(),
                names: vec!["a.example".into(), "b.example".into()],
                challenge: Challenge::Http01,
                ca: None,
                folder: folder.path().to_owned(),
            };
            let authority = (paper.clone(), Arc::clone(&clock));
            let (runner, handle) =
                Runner::new(authority, &settings, tls.clone(), Arc::clone(&clock));
            let shutdown = net::Shutdown::default();
            tokio::spawn(runner.run(shutdown.token()));
            Self { folder, paper, tls, handle, shutdown, clock }
        }

        async fn restart(self) -> Self {
            self.shutdown.begin();
            assert!(self.shutdown.drained(Duration::from_secs(9)).await);
            Self::start(self.folder, self.paper, self.clock)
        }

        async fn days(&self, days: i64) {
            tokio::time::sleep(Duration::from_secs((days * DAY) as u64)).await;
        }

        fn orders(&self) -> Vec<(i64, Vec<String>)> {
            std::mem::take(&mut self.paper.0.lock().unwrap().orders)
        }

        fn at(&self) -> Vec<i64> {
            self.orders().into_iter().map(|(at, _)| at).collect()
        }

        fn served(&self) -> Vec<String> {
            self.tls.facts().unwrap().names
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_comes_at_the_start_and_is_renewed_at_two_thirds_of_its_life() {
        let bench = Bench::new(Script::default());
        bench.days(1).await;
        assert_eq!(bench.served(), ["a.example", "b.example"]);
        bench.days(199).await;
        let at = bench.at();
        // To the next look at the clock.
        let near = |at: i64, day: i64| (day * DAY..day * DAY + 700).contains(&at);
        assert_eq!(at.len(), 4);
        assert!(
            near(at[0], 0) && near(at[1], 60) && near(at[2], 120) && near(at[3], 180),
            "{at:?}"
        );
        assert_eq!(bench.handle.status().trouble, None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_make_longer_pauses_which_a_restart_does_not_end() {
        let bench = Bench::new(Script { is_down: true, ..Script::default() });
        bench.days(1).await;
        let minutes: Vec<_> = bench.at().into_iter().map(|at| at / 60).collect();
        assert_eq!(minutes, [0, 15, 45, 105, 225, 465, 945]);
        assert_eq!(bench.handle.status().trouble.as_deref(), Some("no"));
        let mut bench = bench;
        for _ in 0..10 {
            bench = bench.restart().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(bench.at(), [0_i64; 0]);
        bench.paper.0.lock().unwrap().is_down = false;
        bench.days(1).await;
        assert_eq!(bench.at().len(), 1);
        assert_eq!(bench.served(), ["a.example", "b.example"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_survives_a_restart() {
        let bench = Bench::new(Script::default());
        bench.days(1).await;
        let held = bench.tls.facts();
        bench.orders();
        let bench = bench.restart().await;
        bench.days(30).await;
        assert_eq!((bench.tls.facts(), bench.at()), (held, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_not_proved_are_left_out_and_tried_again_each_day() {
        let refused = vec!["b.example".to_owned()];
        let bench = Bench::new(Script { refused, ..Script::default() });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(bench.served(), ["a.example"]);
        bench.days(3).await;
        let orders = bench.orders();
        // The certificate that is held has the other name: a second for it would help nobody.
        assert_eq!(orders.iter().filter(|(_, names)| names.len() == 1).count(), 1);
        assert_eq!(orders.iter().filter(|(_, names)| names.len() == 2).count(), 4);
        bench.paper.0.lock().unwrap().refused.clear();
        bench.days(2).await;
        assert_eq!(bench.served(), ["a.example", "b.example"]);
        assert_eq!(bench.handle.status().trouble, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_first_name_there_is_none() {
        let refused = vec!["a.example".to_owned()];
        let bench = Bench::new(Script { refused, ..Script::default() });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.orders().len(), 1);
        assert!(bench.tls.facts().unwrap().is_self_issued);
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_that_talks_nonsense_is_not_asked_in_a_loop() {
        let bench = Bench::new(Script { is_confused: true, ..Script::default() });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.orders().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_holds_nothing_up() {
        let bench = Bench::new(Script { is_down: true, ..Script::default() });
        tokio::time::sleep(Duration::from_secs(60)).await;
        bench.orders();
        let ahead = format!("{{\"failed\":1,\"last\":{}}}", BEGIN + 1000 * DAY);
        fs::write(bench.folder.path().join("attempts.json"), ahead).unwrap();
        let bench = bench.restart().await;
        tokio::time::sleep(Duration::from_secs(14 * 60)).await;
        assert_eq!(bench.orders().len(), 0);
        tokio::time::sleep(Duration::from_secs(12 * 60)).await;
        assert_eq!(bench.orders().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_served_does_not_take_the_place_of_what_is() {
        let bench = Bench::new(Script::default());
        bench.days(1).await;
        let held = bench.tls.facts();
        bench.paper.0.lock().unwrap().garbage = true;
        assert!(bench.handle.renew().await.is_err());
        assert_eq!(bench.tls.facts(), held);
        let bench = bench.restart().await;
        assert_eq!(bench.tls.facts(), held);
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_need_not_wait_for_the_schedule() {
        let bench = Bench::new(Script::default());
        bench.days(1).await;
        let held = bench.tls.facts();
        bench.handle.renew().await.unwrap();
        assert_ne!(bench.tls.facts(), held);
        bench.shutdown.begin();
        assert!(bench.shutdown.drained(Duration::from_secs(9)).await);
        assert_eq!(bench.handle.renew().await.unwrap_err().reason, "the server ends");
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_that_wants_it_sooner_gets_it_sooner() {
        let bench = Bench::new(Script::default());
        bench.days(1).await;
        bench.orders();
        let start = BEGIN + 10 * DAY;
        let advice = Advice { start, end: start + 1, ask_again_secs: 0 };
        bench.paper.0.lock().unwrap().advice = Some(advice);
        bench.days(10).await;
        let at = bench.at();
        // Once in the window; then the new certificate's window has passed already, which means
        // "now", and the hour after each order holds.
        assert!((10 * DAY..10 * DAY + 700).contains(&at[0]), "{at:?}");
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 3600), "{at:?}");
    }
}
