//! Mail for other systems: the relays of the configuration, who reaches other servers directly, and
//! the runner of the queue.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use dns::Resolver;
use mail_service::Service;
use mail_service::queue::{Job, Outcomes, QueueRunner, RunnerSettings, Transport};
use mail_types::Secret;
use net::Replaceable;
use sender_auth::Signer;
use smtp::{
    Direct, DirectSettings, Outbound, OutboundTransport, QueueOutbound, Relay, RelayLogin, Relays,
    Routes, TlsReporter,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::{Config, OutboundPlace, RelayPlace};
use crate::engine::secret;
use crate::failure::Failure;

/// Where mail for other systems goes. Reads the files that the sections name. `kept` is who reaches
/// other servers directly already.
///
/// # Errors
/// With what cannot be read or used.
pub fn routes(config: &Config, names: &Resolver, kept: Option<Direct>) -> Result<Routes, Failure> {
    let relays = config.relays.iter().map(relay).collect::<Result<_, Failure>>()?;
    let relays = Relays::new(relays);
    let relays = relays.map_err(|error| Failure::usage(format!("[[relay]]: {error}")))?;
    let direct = match kept {
        Some(direct) => Some(direct),
        None => direct(&config.outbound, &config.hostname, names)?,
    };
    Ok(Routes::new(relays, direct))
}

fn direct(
    place: &OutboundPlace,
    hostname: &str,
    names: &Resolver,
) -> Result<Option<Direct>, Failure> {
    if !place.direct {
        return Ok(None);
    }
    let settings = DirectSettings {
        hostname: hostname.to_owned(),
        port: place.port,
        policy_port: place.policy_port,
        allow_private: place.allow_private,
        authorities: place.ca.as_deref().map(read).transpose()?,
    };
    let direct = Direct::new(names.clone(), settings);
    Ok(Some(direct.map_err(|error| Failure::usage(format!("[outbound]: {error}")))?))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn relay(place: &RelayPlace) -> Result<Relay, Failure> {
    let login = |(user, file): &(String, PathBuf)| -> Result<RelayLogin, Failure> {
        Ok(RelayLogin { user: user.clone(), password: Secret::new(secret(file)?) })
    };
    Ok(Relay {
        domains: place.domains.clone(),
        host: place.host.clone(),
        port: place.port,
        tls: place.tls,
        login: place.login.as_ref().map(login).transpose()?,
        authorities: place.ca.as_deref().map(read).transpose()?,
    })
}

/// A reporter at work.
struct Reporter {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// The runner at work, and who puts mail into its queue.
pub struct Outward {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    /// Hands mail on by the routes of the moment.
    transport: Arc<Rerouted>,
    routes: Routes,
    /// Who signs what the server reports, at the moment.
    signer: watch::Sender<Option<Arc<Signer>>>,
    /// Who tells the owners of other domains what became of TLS: one for those who reach other
    /// servers now, and those of before until they are done.
    reporters: Vec<Reporter>,
    /// For the listeners: all that is handed in goes through the queue, for the people here too.
    pub outbound: Arc<dyn Outbound>,
}

impl Outward {
    /// Begins to work on the queue. That is done without routes, too: it carries mail of the people
    /// here to each other, and what was taken while there were some routes is not forgotten.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn start(
        service: &Service,
        routes: Routes,
        hostname: &str,
        signer: Option<Arc<Signer>>,
    ) -> Result<Self, Failure> {
        let transport = transport(service, &routes, hostname);
        let transport = Arc::new(Rerouted(Replaceable::new(transport)));
        let settings = RunnerSettings::default();
        let carrier = Arc::clone(&transport) as Arc<dyn Transport>;
        let runner = QueueRunner::new(service.clone(), carrier, settings);
        let runner = runner.map_err(|error| Failure::failed(format!("queue: {error}")))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(runner.run(async {
            // It fails when nobody is left who could stop it.
            let _ = stopped.await;
        }));
        let outbound = Arc::new(QueueOutbound::new(service.clone(), routes.clone()));
        let (signer, signs) = watch::channel(signer);
        let reporters = reporter(service, &routes, hostname, signs).into_iter().collect();
        Ok(Self { stop, running, transport, routes, signer, reporters, outbound })
    }

    /// Where mail for other systems goes.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Other routes and keys from now on; attempts that are under way end as they began.
    pub fn change(
        &mut self,
        service: &Service,
        routes: Routes,
        hostname: &str,
        signer: Option<Arc<Signer>>,
    ) {
        self.transport.0.replace(transport(service, &routes, hostname));
        self.outbound = Arc::new(QueueOutbound::new(service.clone(), routes.clone()));
        self.signer.send_replace(signer);
        let is_kept = match (self.routes.direct(), routes.direct()) {
            (Some(old), Some(new)) => new.is(old),
            _ => false,
        };
        if !is_kept {
            // The one of before ends by itself, behind the attempts that are under way.
            self.reporters.retain(|reporter| !reporter.running.is_finished());
            let signs = self.signer.subscribe();
            self.reporters.extend(reporter(service, &routes, hostname, signs));
        }
        self.routes = routes;
    }

    /// Takes nothing new; what is under way is finished or given back.
    pub async fn end(self) {
        // It fails when the runner has ended.
        let _ = self.stop.send(());
        if let Err(error) = self.running.await {
            error!(%error, "the queue did not end as it should");
        }
        // Behind the queue, whose last connections are counted, too.
        let stopped = self.reporters.into_iter().map(|Reporter { stop, running }| {
            // It fails when the reporter has ended.
            let _ = stop.send(());
            running
        });
        for reporting in stopped.collect::<Vec<_>>() {
            if let Err(error) = reporting.await {
                error!(%error, "what became of TLS is not written");
            }
        }
    }
}

fn transport(service: &Service, routes: &Routes, hostname: &str) -> OutboundTransport {
    OutboundTransport::new(service.clone(), routes.clone(), hostname.to_owned())
}

fn reporter(
    service: &Service,
    routes: &Routes,
    hostname: &str,
    signer: watch::Receiver<Option<Arc<Signer>>>,
) -> Option<Reporter> {
    let direct = routes.direct()?.clone();
    let domain = service.config().domains.first().map_or(hostname, String::as_str);
    let reporter = TlsReporter::new(service.clone(), direct, domain.to_owned(), signer);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(reporter.run(async {
        let _ = stopped.await;
    }));
    Some(Reporter { stop, running })
}

/// A transport that is replaced while it works: each attempt goes through the one of its beginning.
struct Rerouted(Replaceable<OutboundTransport>);

impl Transport for Rerouted {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        let current = self.0.current();
        Box::pin(async move { current.send(job).await })
    }
}
