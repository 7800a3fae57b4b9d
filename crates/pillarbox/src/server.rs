//! A running server: the listeners, the control socket, the housekeeping and the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acme::Tokens;
use http_server::{HttpServer, Site};
use imap_server::{ImapServer, ImapSettings};
use mail_service::Service;
use net::{
    Access, Address, Arrival, CertificateFiles, CertificateWatch, Gate, Limits, Listener,
    LoginThrottle, Shutdown, Tls,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smtp::{Forwarding, RateLimits, Rates, Role, Routes, SmtpServer, SmtpSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::{Imap, Listen, Protocol, TlsMode};
use crate::control::{self, ControlServer};
use crate::engine::Opened;
use crate::failure::Failure;
use crate::inward::Inward;
use crate::outward::Outward;
use crate::ready::{Ready, ReadyAddress};
use crate::scrub::{self, ScrubPace};
use crate::web::{self, Web};

/// What a server is started with.
pub struct Setup {
    /// The data folder; the control socket is made there.
    pub data: PathBuf,
    /// The server's name.
    pub hostname: String,
    /// The certificate; a self-signed one is made without it.
    pub certificate: Option<CertificateFiles>,
    /// The sockets, bound.
    pub listeners: Vec<(Listen, Listener)>,
    /// How stored mail is read again in search of damage.
    pub scrub: ScrubPace,
    /// What IMAP offers besides what it always does.
    pub imap: Imap,
    /// What mail on its way in must pass.
    pub inward: Inward,
    /// Where mail for other systems goes.
    pub routes: Routes,
    /// What is told over HTTP, and where certificates come from.
    pub web: Web,
    /// Whether mail of strangers is forwarded.
    pub forwarding: Forwarding,
    /// How much one account may submit.
    pub rates: RateLimits,
}

/// A running server.
pub struct Server {
    service: Service,
    housekeeping: JoinHandle<()>,
    scrubbing: JoinHandle<()>,
    signals: Signals,
    shutdown: Shutdown,
    tls: Tls,
    certificate: CertificateFiles,
    imap: Imap,
    inward: Inward,
    outward: Outward,
    forwarding: Forwarding,
    rates: Arc<Rates>,
    /// What a script may want to know of it.
    pub ready: Ready,
}

/// What the operator may send to a running server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::failed(format!("signals: {error}")));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }
}

/// Binds every listener, so that all addresses in use are told at once.
///
/// # Errors
/// With a line for each that cannot be bound.
pub fn bind(listeners: &[Listen]) -> Result<Vec<(Listen, Listener)>, Failure> {
    let (mut bound, mut refused) = (Vec::new(), Vec::new());
    for listen in listeners {
        match Listener::bind(&listen.address, Access::Everyone) {
            Ok(listener) => bound.push((listen.clone(), listener)),
            Err(error) => refused.push(format!("cannot listen at {}: {error}", listen.address)),
        }
    }
    if refused.is_empty() { Ok(bound) } else { Err(Failure::lines(refused)) }
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// When the certificate cannot be used or the control socket not be bound.
    pub fn start(opened: Opened, setup: Setup) -> Result<Self, Failure> {
        let Opened { service, stores } = opened;
        raise_file_limit();
        // Before anybody is told that the server is ready: a signal must not find it unprepared.
        let signals = Signals::new()?;
        let certificate =
            web::certificate(&setup.web, setup.certificate, &setup.data, &setup.hostname)
                .map_err(|error| Failure::failed(error.to_string()))?;
        let tls = Tls::new(&certificate).map_err(|error| Failure::failed(error.to_string()))?;
        let control = Listener::bind(&control::address(&setup.data), Access::Owner)
            .map_err(|error| Failure::failed(format!("control socket: {error}")))?;
        let tokens = Tokens::default();
        let acme = setup.web.acme.as_ref();
        let renewal = acme.map(|acme| web::renewal(acme, &setup.data, &tls, &tokens));
        let signer = setup.inward.signer();
        let outward = Outward::start(&service, &setup.routes, &setup.hostname, signer)?;
        let mut server = Self {
            ready: Ready {
                pid: std::process::id(),
                data: setup.data,
                certificate: certificate.certificate.clone(),
                ..Ready::default()
            },
            housekeeping: tokio::spawn(housekeeping(service.clone())),
            scrubbing: tokio::spawn(scrub::run(service.clone(), setup.scrub)),
            signals,
            service,
            shutdown: Shutdown::default(),
            tls,
            certificate,
            imap: setup.imap,
            inward: setup.inward,
            outward,
            forwarding: setup.forwarding,
            rates: Arc::new(Rates::new(setup.rates)),
        };
        let handle = renewal.as_ref().map(|(_, handle)| handle.clone());
        let control_server = ControlServer::new(server.service.clone(), stores.local, handle);
        server.spawn(control, Arrival::Clear, &Gate::new(CONTROL_LIMITS), control_server);
        let gate = Gate::new(Limits::default());
        let throttle = Arc::new(LoginThrottle::default());
        let addresses = addresses(&setup.listeners)?;
        let site = Arc::new(setup.web.site(&setup.hostname, &addresses, &tokens));
        let http_gate = Gate::new(HTTP_LIMITS);
        for (listen, listener) in setup.listeners {
            match listen.protocol {
                Protocol::Http => server.listen_http(listen, listener, &http_gate, &site)?,
                _ => server.listen(listen, listener, &gate, &throttle, &setup.hostname)?,
            }
        }
        let watch = CertificateWatch::new(server.tls.clone(), server.certificate.clone());
        tokio::spawn(watch.run(server.shutdown.token()));
        if let Some((runner, _)) = renewal {
            tokio::spawn(runner.run(server.shutdown.token()));
        }
        Ok(server)
    }

    fn listen_http(
        &mut self,
        listen: Listen,
        listener: Listener,
        gate: &Arc<Gate>,
        site: &Arc<Site>,
    ) -> Result<(), Failure> {
        let arrival = match listen.tls {
            TlsMode::Implicit => {
                let tls = self.tls.server_that_proves("http/1.1");
                Arrival::ImplicitTls(tls.map_err(|error| Failure::failed(error.to_string()))?)
            }
            TlsMode::StartTls | TlsMode::None => Arrival::Clear,
        };
        let address = listener.address().map_err(|error| Failure::failed(error.to_string()))?;
        self.spawn(listener, arrival, gate, Arc::new(HttpServer::new(Arc::clone(site))));
        self.tell(&listen, &address);
        Ok(())
    }

    fn tell(&mut self, listen: &Listen, address: &Address) {
        let shown = shown(listen, address);
        info!(address = shown.address, protocol = shown.protocol, tls = shown.tls, "listening");
        self.ready.listen.push(shown);
    }

    fn listen(
        &mut self,
        listen: Listen,
        listener: Listener,
        gate: &Arc<Gate>,
        throttle: &Arc<LoginThrottle>,
        hostname: &str,
    ) -> Result<(), Failure> {
        let address = listener.address().map_err(|error| Failure::failed(error.to_string()))?;
        let tls = match listen.protocol {
            Protocol::Http => return Ok(()),
            Protocol::Imap => self.tls.server_that_asks("imap"),
            Protocol::Smtp(Role::Lmtp) => self.tls.server("lmtp"),
            Protocol::Smtp(Role::Mx | Role::Submission) => self.tls.server("smtp"),
        };
        let tls = tls.map_err(|error| Failure::failed(error.to_string()))?;
        let (arrival, starttls) = match listen.tls {
            TlsMode::Implicit => (Arrival::ImplicitTls(tls), None),
            TlsMode::StartTls => (Arrival::Clear, Some(tls)),
            TlsMode::None => (Arrival::Clear, None),
        };
        match listen.protocol {
            Protocol::Http => {}
            Protocol::Imap => {
                let settings = ImapSettings {
                    starttls,
                    hidden_capabilities: self.imap.hidden_capabilities.clone(),
                    uidonly: self.imap.uidonly,
                    message_limit: self.imap.message_limit,
                    save_limit: self.imap.save_limit,
                    server_annotations: self.imap.annotations.clone().into(),
                    language: self.imap.language,
                    users_set_quota: self.imap.users_set_quota,
                    shared_accounts: self.imap.shared_accounts.clone().into(),
                    ..ImapSettings::default()
                };
                let imap = ImapServer::new(self.service.clone(), Arc::clone(throttle), settings);
                self.spawn(listener, arrival, gate, Arc::new(imap));
            }
            Protocol::Smtp(role) => {
                // Who hands mail over by LMTP has forwarded what is to be forwarded.
                let sends = role != Role::Lmtp;
                let settings = SmtpSettings {
                    outbound: sends.then(|| Arc::clone(&self.outward.outbound)),
                    forwarding: self.forwarding,
                    rates: Some(Arc::clone(&self.rates)),
                    ..SmtpSettings::new(role, hostname.to_owned(), starttls)
                };
                let settings = self.inward.settings(settings);
                let (service, throttle) = (self.service.clone(), Arc::clone(throttle));
                let smtp = SmtpServer::new(service, throttle, settings);
                self.spawn(listener, arrival, gate, Arc::new(smtp));
            }
        }
        self.tell(&listen, &address);
        Ok(())
    }

    fn spawn<S: net::Service>(
        &self,
        listener: Listener,
        arrival: Arrival,
        gate: &Arc<Gate>,
        service: Arc<S>,
    ) {
        let serving =
            net::serve(listener, arrival, Arc::clone(gate), self.shutdown.token(), service);
        tokio::spawn(serving);
    }

    /// Serves until the program is told to end (SIGINT, SIGTERM), then ends in good order. SIGHUP
    /// reads the certificate again.
    ///
    /// # Errors
    /// When the store did not take the last changes.
    pub async fn run(mut self) -> Result<(), Failure> {
        loop {
            tokio::select! {
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.hangup.recv() => self.reload(),
            }
        }
        info!("shutting down");
        self.end().await
    }

    fn reload(&self) {
        match self.tls.reload(&self.certificate) {
            Ok(_) => info!("certificate read again"),
            Err(error) => error!(%error, "the old certificate stays"),
        }
    }

    async fn end(self) -> Result<(), Failure> {
        self.housekeeping.abort();
        self.scrubbing.abort();
        self.shutdown.begin();
        let (is_drained, ()) =
            tokio::join!(self.shutdown.drained(DRAIN_PATIENCE), self.outward.end());
        if !is_drained {
            warn!("some connections did not end in time");
        }
        let closed = self.service.close().await;
        closed.map_err(|error| Failure::failed(format!("the store did not close: {error}")))
    }
}

fn shown(listen: &Listen, address: &Address) -> ReadyAddress {
    ReadyAddress {
        protocol: listen.protocol.word(),
        address: address.to_string(),
        tls: match listen.tls {
            TlsMode::Implicit => "implicit",
            TlsMode::StartTls => "starttls",
            TlsMode::None => "none",
        },
    }
}

/// With the ports that the system chose.
fn addresses(listeners: &[(Listen, Listener)]) -> Result<Vec<(Listen, Address)>, Failure> {
    let address = |(listen, listener): &(Listen, Listener)| {
        let address = listener.address().map_err(|error| Failure::failed(error.to_string()))?;
        Ok((listen.clone(), address))
    };
    listeners.iter().map(address).collect()
}

/// Every connection takes a file descriptor, and the usual limit of 1,024 is one that a program may
/// raise by itself, up to what the operator allows.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, ?current, "the limit of open files stays low");
    }
}

/// Removes what nothing names any more, from time to time.
async fn housekeeping(service: Service) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        match service.sweep().await {
            Ok(report) => info!(?report, "swept"),
            Err(error) => error!(%error, "sweep failed"),
        }
    }
}

/// How long connections may take to end: longer than one command, shorter than the patience of
/// what supervises the program.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// What is removed has waited 30 days; an hour more or less does not matter.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// HTTP counts by itself: a crowd there takes no place from mail.
const HTTP_LIMITS: Limits = Limits { connections_max: 2_000, per_network_max: 50 };

/// The control socket is for one operator.
const CONTROL_LIMITS: Limits = Limits { connections_max: 16, per_network_max: 16 };
