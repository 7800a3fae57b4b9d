//! Mail for other systems: the relays of the configuration, who reaches other servers directly, and
//! the runner of the queue.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dns::Resolver;
use mail_service::Service;
use mail_service::queue::{QueueRunner, RunnerSettings};
use mail_types::Secret;
use sender_auth::Signer;
use smtp::{
    Direct, DirectSettings, Outbound, OutboundTransport, QueueOutbound, Relay, RelayLogin, Relays,
    Routes, TlsReporter,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::{Config, OutboundPlace, RelayPlace};
use crate::engine::secret;
use crate::failure::Failure;

/// Where mail for other systems goes. Reads the files that the sections name.
///
/// # Errors
/// With what cannot be read or used.
pub fn routes(config: &Config, names: &Resolver) -> Result<Routes, Failure> {
    let relays = config.relays.iter().map(relay).collect::<Result<_, Failure>>()?;
    let relays = Relays::new(relays);
    let relays = relays.map_err(|error| Failure::usage(format!("[[relay]]: {error}")))?;
    let direct = direct(&config.outbound, &config.hostname, names)?;
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

/// The runner at work, and who puts mail into its queue.
pub struct Outward {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    /// Tells the owners of other domains what became of TLS.
    reporting: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
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
        routes: &Routes,
        hostname: &str,
        signer: Option<Arc<Signer>>,
    ) -> Result<Self, Failure> {
        let transport =
            OutboundTransport::new(service.clone(), routes.clone(), hostname.to_owned());
        let settings = RunnerSettings::default();
        let runner = QueueRunner::new(service.clone(), Arc::new(transport), settings);
        let runner = runner.map_err(|error| Failure::failed(format!("queue: {error}")))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(runner.run(async {
            // It fails when nobody is left who could stop it.
            let _ = stopped.await;
        }));
        let outbound = Arc::new(QueueOutbound::new(service.clone(), routes.clone()));
        let reporting = routes.direct().map(|direct| {
            let domain = service.config().domains.first().map_or(hostname, String::as_str);
            let (service, direct) = (service.clone(), direct.clone());
            let reporter = TlsReporter::new(service, direct, domain.to_owned(), signer);
            let (stop, stopped) = oneshot::channel::<()>();
            let running = tokio::spawn(reporter.run(async {
                let _ = stopped.await;
            }));
            (stop, running)
        });
        Ok(Self { stop, running, reporting, outbound })
    }

    /// Takes nothing new; what is under way is finished or given back.
    pub async fn end(self) {
        // It fails when the runner has ended.
        let _ = self.stop.send(());
        if let Err(error) = self.running.await {
            error!(%error, "the queue did not end as it should");
        }
        // Behind the queue, whose last connections are counted, too.
        if let Some((stop, reporting)) = self.reporting {
            let _ = stop.send(());
            if let Err(error) = reporting.await {
                error!(%error, "what became of TLS is not written");
            }
        }
    }
}
