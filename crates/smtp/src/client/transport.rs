//! Hands what the queue wants to leave to another server: to the relay that its domain has, or to
//! the servers of the domain itself.

use std::pin::Pin;

use mail_service::Service;
use mail_service::queue::{Attempt, Job, Outcomes, Reply, Transport};
use smtp_session::{ClientTls, Credentials, Errand};

use super::convert::{all, errand, impossible, outcomes, requires_tls};
use super::dialogue::{Peer, Talk};
use super::link::Link;
use super::pool::{Line, Pool};
use super::relay::{Relay, RelayTls, Way};
use super::routes::Routes;

/// Sends through relays, and to the servers of the recipients' domains.
pub struct OutboundTransport {
    service: Service,
    routes: Routes,
    /// The name by which this server calls itself.
    hostname: String,
    pool: Pool,
}

impl OutboundTransport {
    /// A transport for what these routes carry. Mail for others waits until something does, or
    /// until its time is up.
    #[must_use]
    pub fn new(service: Service, routes: Routes, hostname: String) -> Self {
        Self { service, routes, hostname, pool: Pool::default() }
    }

    async fn send(&self, job: &Job) -> Outcomes {
        if let Some(reply) = impossible(&job.terms) {
            return all(job, &Attempt::Failed(reply));
        }
        if let Some(way) = self.routes.relays.way(&job.domain) {
            return self.send_through(way, job).await;
        }
        if let Some(direct) = &self.routes.direct {
            return direct.send(&self.service, job, &self.pool).await;
        }
        let reply = Reply::own([4, 4, 4], "no relay is configured for the domain");
        all(job, &Attempt::Deferred(reply))
    }

    async fn send_through(&self, way: &Way, job: &Job) -> Outcomes {
        let relay = &way.relay;
        let is_verified = matches!(relay.tls, RelayTls::Required | RelayTls::Implicit);
        if requires_tls(&job.terms) && !is_verified {
            // RFC 8689 §4.2.1
            let reply = Reply::own([5, 7, 10], "the relay is not reached by verified TLS");
            return all(job, &Attempt::Failed(reply));
        }
        let errand = Errand {
            credentials: relay.login.as_ref().map(|login| Credentials {
                user: login.user.clone(),
                password: login.password.clone(),
            }),
            ..errand(job, &self.hostname, ClientTls::from(relay.tls))
        };
        let peer = Peer { host: &relay.host, tls: way.tls.as_ref() };
        let (line, pool) = (&Line::Relay(way.number), &self.pool);
        let talk = Talk { job, errand: &errand, peer, line, pool };
        let (client, talked) = match talk.resume().await {
            Some(talked) => talked,
            None => talk.begin(connect(relay, way).await).await,
        };
        outcomes(job, &relay.host, client, &talked)
    }
}

async fn connect(relay: &Relay, way: &Way) -> std::io::Result<Link> {
    let stream = Link::open(relay).await?;
    match &way.tls {
        Some(config) if relay.tls == RelayTls::Implicit => {
            Link::protect(stream, &relay.host, config).await
        }
        _ => Ok(Link::Clear(stream)),
    }
}

impl Transport for OutboundTransport {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        Box::pin(self.send(job))
    }
}
