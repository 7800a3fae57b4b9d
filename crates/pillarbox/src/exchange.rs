//! The servers that take mail in, and the queue that lets it out: what they share, and how that is
//! changed while they run.

use std::sync::Arc;

use mail_service::Service;
use net::{LoginThrottle, Replaceable, TlsServer};
use sender_auth::Signer;
use smtp::{
    Forwarding, NoticeAllowance, RateLimits, Rates, Role, Routes, SmtpServer, SmtpSettings,
};

use crate::failure::Failure;
use crate::inward::Inward;
use crate::outward::Outward;

/// Mail in and out of a running server.
pub struct Exchange {
    service: Service,
    hostname: String,
    throttle: Arc<LoginThrottle>,
    rates: Arc<Rates>,
    notices: Arc<NoticeAllowance>,
    forwarding: Forwarding,
    inward: Inward,
    outward: Outward,
    served: Vec<Served>,
}

/// The server of one listener.
struct Served {
    role: Role,
    starttls: Option<TlsServer>,
    server: Arc<Replaceable<SmtpServer>>,
}

/// What mail must pass, and where it goes.
pub struct Ways {
    /// On its way in.
    pub inward: Inward,
    /// On its way out.
    pub routes: Routes,
    /// Whether mail of strangers is forwarded.
    pub forwarding: Forwarding,
    /// How much one account may submit.
    pub rates: RateLimits,
}

impl Exchange {
    /// Begins to work on the queue.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn start(
        service: &Service,
        hostname: String,
        throttle: Arc<LoginThrottle>,
        ways: Ways,
    ) -> Result<Self, Failure> {
        let Ways { inward, routes, forwarding, rates } = ways;
        let outward = Outward::start(service, routes, &hostname, inward.signer())?;
        let (service, rates) = (service.clone(), Arc::new(Rates::new(rates)));
        Ok(Self {
            service,
            hostname,
            throttle,
            rates,
            notices: Arc::default(),
            forwarding,
            inward,
            outward,
            served: Vec::new(),
        })
    }

    /// The server for another listener.
    pub fn listen(
        &mut self,
        role: Role,
        starttls: Option<TlsServer>,
    ) -> Arc<Replaceable<SmtpServer>> {
        let server = Arc::new(Replaceable::new(self.server(role, starttls.clone())));
        self.served.push(Served { role, starttls, server: Arc::clone(&server) });
        server
    }

    fn server(&self, role: Role, starttls: Option<TlsServer>) -> SmtpServer {
        // Who hands mail over by LMTP has forwarded what is to be forwarded.
        let sends = role != Role::Lmtp;
        let settings = SmtpSettings {
            outbound: sends.then(|| Arc::clone(&self.outward.outbound)),
            forwarding: self.forwarding,
            rates: Some(Arc::clone(&self.rates)),
            notices: Arc::clone(&self.notices),
            ..SmtpSettings::new(role, self.hostname.clone(), starttls)
        };
        let settings = self.inward.settings(settings);
        SmtpServer::new(self.service.clone(), Arc::clone(&self.throttle), settings)
    }

    /// Where mail for other systems goes.
    pub fn routes(&self) -> &Routes {
        self.outward.routes()
    }

    /// New connections and new attempts go these ways. What is under way ends as it began.
    pub fn change(&mut self, inward: Inward, routes: Routes) {
        self.inward = inward.sharing(&self.inward);
        self.outward.change(&self.service, routes, &self.hostname, self.inward.signer());
        for served in &self.served {
            served.server.replace(self.server(served.role, served.starttls.clone()));
        }
    }

    /// New connections sign with these keys.
    pub fn sign_with(&mut self, signer: Signer) {
        let routes = self.routes().clone();
        self.change(self.inward.signing_with(signer), routes);
    }

    /// Takes nothing new into the queue's hands; what is under way is finished or given back.
    pub async fn end(self) {
        self.outward.end().await;
    }
}
