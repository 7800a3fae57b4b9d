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
    LoginThrottle, Shutdown, Tls, TlsServer,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smtp::Role;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::{Imap, Listen, Protocol, TlsMode};
use crate::control::{self, ControlServer, Keepers};
use crate::dkim_command::Keeper;
use crate::engine::Opened;
use crate::exchange::{Exchange, Ways};
use crate::failure::Failure;
use crate::keyring::{self, Looking};
use crate::ready::{Ready, ReadyAddress};
use crate::reload::{Order, Orders, Source};
use crate::scrub::{self, ScrubPace};
use crate::signing;
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
    /// What mail must pass, and where it goes.
    pub ways: Ways,
    /// What is told over HTTP, and where certificates come from.
    pub web: Web,
    /// The configuration, if there is one that can be read again.
    pub source: Option<Source>,
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
    exchange: Exchange,
    source: Option<Source>,
    orders: mpsc::Receiver<Order>,
    /// Tells who looks for the records of keys.
    key_hint: Arc<Notify>,
    /// What a script may want to know of it.
    pub ready: Ready,
}

/// What several listeners share.
struct Shared {
    gate: Arc<Gate>,
    http_gate: Arc<Gate>,
    throttle: Arc<LoginThrottle>,
    site: Arc<Site>,
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
        let throttle = Arc::new(LoginThrottle::default());
        let exchange =
            Exchange::start(&service, setup.hostname.clone(), Arc::clone(&throttle), setup.ways)?;
        let (orders, heard) = Orders::new();
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
            exchange,
            source: setup.source,
            orders: heard,
            key_hint: Arc::default(),
        };
        let keepers = Keepers {
            acme: renewal.as_ref().map(|(_, handle)| handle.clone()),
            keys: server.keep_keys(&orders),
            orders,
        };
        let control_server = ControlServer::new(server.service.clone(), stores.local, keepers);
        server.spawn(control, Arrival::Clear, &Gate::new(CONTROL_LIMITS), control_server);
        let addresses = addresses(&setup.listeners)?;
        let shared = Shared {
            gate: Gate::new(Limits::default()),
            http_gate: Gate::new(HTTP_LIMITS),
            throttle,
            site: Arc::new(setup.web.site(&setup.hostname, &addresses, &tokens)),
        };
        for (listen, listener) in setup.listeners {
            server.listen(listen, listener, &shared)?;
        }
        let watch = CertificateWatch::new(server.tls.clone(), server.certificate.clone());
        tokio::spawn(watch.run(server.shutdown.token()));
        if let Some((runner, _)) = renewal {
            tokio::spawn(runner.run(server.shutdown.token()));
        }
        Ok(server)
    }

    /// Begins to look after the keys that the server keeps itself, where a configuration names its
    /// domains.
    fn keep_keys(&self, orders: &Orders) -> Option<Keeper> {
        let config = &self.source.as_ref()?.config;
        let (data, hint) = (config.data.clone(), Arc::clone(&self.key_hint));
        let looking = Looking {
            data: data.clone(),
            dns: config.dns.clone(),
            hint: Arc::clone(&hint),
            orders: orders.clone(),
        };
        tokio::spawn(keyring::watch(looking, self.shutdown.token()));
        Some(Keeper { data, domains: config.domains.clone(), hint, orders: orders.clone() })
    }

    fn listen(
        &mut self,
        listen: Listen,
        listener: Listener,
        shared: &Shared,
    ) -> Result<(), Failure> {
        let address = listener.address().map_err(|error| Failure::failed(error.to_string()))?;
        let tls = self.tls_of(listen.protocol)?;
        let (arrival, starttls) = match listen.tls {
            TlsMode::Implicit => (Arrival::ImplicitTls(tls), None),
            TlsMode::StartTls => (Arrival::Clear, Some(tls)),
            TlsMode::None => (Arrival::Clear, None),
        };
        match listen.protocol {
            Protocol::Http => {
                let http = HttpServer::new(Arc::clone(&shared.site));
                self.spawn(listener, arrival, &shared.http_gate, Arc::new(http));
            }
            Protocol::Imap => {
                let (service, throttle) = (self.service.clone(), Arc::clone(&shared.throttle));
                let imap = ImapServer::new(service, throttle, self.imap_settings(starttls));
                self.spawn(listener, arrival, &shared.gate, Arc::new(imap));
            }
            Protocol::Smtp(role) => {
                let smtp = self.exchange.listen(role, starttls);
                self.spawn(listener, arrival, &shared.gate, smtp);
            }
        }
        let shown = shown(&listen, &address);
        info!(address = shown.address, protocol = shown.protocol, tls = shown.tls, "listening");
        self.ready.listen.push(shown);
        Ok(())
    }

    fn tls_of(&self, protocol: Protocol) -> Result<TlsServer, Failure> {
        let tls = match protocol {
            Protocol::Http => self.tls.server_that_proves("http/1.1"),
            Protocol::Imap => self.tls.server_that_asks("imap"),
            Protocol::Smtp(Role::Lmtp) => self.tls.server("lmtp"),
            Protocol::Smtp(Role::Mx | Role::Submission) => self.tls.server("smtp"),
        };
        tls.map_err(|error| Failure::failed(error.to_string()))
    }

    fn imap_settings(&self, starttls: Option<TlsServer>) -> ImapSettings {
        ImapSettings {
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
        }
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
    /// reads the certificate and the configuration again.
    ///
    /// # Errors
    /// When the store did not take the last changes.
    pub async fn run(mut self) -> Result<(), Failure> {
        loop {
            tokio::select! {
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.hangup.recv() => drop(self.reload()),
                Some(order) = self.orders.recv() => self.carry_out(order),
            }
        }
        info!("shutting down");
        self.end().await
    }

    /// Whoever gave the order may have gone away meanwhile.
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Reload(done) => drop(done.send(self.reload())),
            Order::TakeKeys(done) => drop(done.send(self.take_keys())),
        }
    }

    /// Reads the configuration and the certificate again: all of it is in force afterwards, or
    /// nothing is changed.
    fn reload(&mut self) -> Result<Vec<String>, Failure> {
        let told = self.try_reload();
        match &told {
            Ok(lines) => lines.iter().for_each(|line| info!("{line}")),
            Err(error) => error!(%error, "nothing is changed"),
        }
        told
    }

    fn try_reload(&mut self) -> Result<Vec<String>, Failure> {
        let routes = self.exchange.routes();
        let anew = self.source.as_ref().map(|source| source.read_again(routes)).transpose()?;
        let reloaded = self.tls.reload(&self.certificate);
        reloaded.map_err(|error| Failure::failed(format!("the old certificate stays: {error}")))?;
        let mut lines = vec!["certificate read again".to_owned()];
        if let Some((source, anew)) = self.source.as_mut().zip(anew) {
            self.exchange.change(anew.inward, anew.routes);
            source.config = anew.config;
            lines.extend(anew.told);
        }
        // Whoever has just set a record wants to see it taken.
        self.key_hint.notify_one();
        Ok(lines)
    }

    fn take_keys(&mut self) -> Result<(), Failure> {
        let Some(Source { config, .. }) = &self.source else { return Ok(()) };
        self.exchange.sign_with(signing::signer(&config.data, &config.dkim)?);
        Ok(())
    }

    async fn end(self) -> Result<(), Failure> {
        self.housekeeping.abort();
        self.scrubbing.abort();
        // Nobody carries orders out any more: who waits for one, or gives another, hears so at once
        // and his connection can end.
        drop(self.orders);
        self.shutdown.begin();
        let (is_drained, ()) =
            tokio::join!(self.shutdown.drained(DRAIN_PATIENCE), self.exchange.end());
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
