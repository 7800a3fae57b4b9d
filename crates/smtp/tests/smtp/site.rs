//! A service whose mail leaves, from submission through the queue to another server.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dns::{Resolver, Settings, Validation};
use mail_service::queue::{Envelope, Origin, QueueRunner, Recipient, RunnerSettings, Terms};
use net::LoginThrottle;
use smtp::{
    Direct, DirectSettings, OutboundTransport, QueueOutbound, Relays, Role, Routes, SmtpServer,
    SmtpSettings,
};
use testkit::dns::NameServer;

use crate::common::{Client, Harness};

pub const HOSTNAME: &str = "mail.pillarbox.example";

pub struct Site {
    pub harness: Harness,
    pub runner: QueueRunner,
}

impl Site {
    pub async fn new(routes: Routes) -> Self {
        let mut harness = Harness::of(Role::Submission).await;
        let hostname = HOSTNAME.to_owned();
        let service = harness.service.clone();
        let settings = SmtpSettings {
            outbound: Some(Arc::new(QueueOutbound::new(service.clone(), routes.clone()))),
            ..SmtpSettings::new(Role::Submission, hostname.clone(), None)
        };
        let throttle = Arc::new(LoginThrottle::default());
        harness.server = Arc::new(SmtpServer::new(service.clone(), throttle, settings));
        let transport = Arc::new(OutboundTransport::new(service.clone(), routes, hostname));
        let runner = QueueRunner::new(service, transport, RunnerSettings::default()).unwrap();
        Self { harness, runner }
    }

    pub async fn client(&self) -> Client {
        let mut client = self.harness.connect().await;
        let plain = STANDARD.encode("\0home\0low-tide");
        assert!(client.say(&format!("AUTH PLAIN {plain}")).await.starts_with("235"));
        client
    }

    /// Hands a message in, with the arguments of RCPT.
    pub async fn hand_in(&self, to: &[&str], body: &str) {
        let mut client = self.client().await;
        client.say("MAIL FROM:<home@pillarbox.example>").await;
        for to in to {
            let reply = client.say(&format!("RCPT TO:{to}")).await;
            assert!(reply.starts_with("250"), "{reply}");
        }
        assert!(client.say("DATA").await.starts_with("354"));
        let header = "From: home@pillarbox.example\r\nSubject: s\r\n\r\n";
        client.send(&format!("{header}{body}.\r\n")).await;
        assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    }

    /// Puts a message of the account `home` into the queue.
    pub async fn queue(&self, to: &str, message: &str, change: impl FnOnce(&mut Terms)) {
        let service = &self.harness.service;
        let mut staging = service.stage_outgoing();
        staging.push(message.as_bytes()).await.unwrap();
        let staged = staging.finish().await.unwrap();
        let sender = Some("home@pillarbox.example".to_owned());
        let mut terms = Terms::new(sender, Origin::Account("home".to_owned()));
        change(&mut terms);
        let recipients = vec![Recipient::new(to)];
        let envelope = Envelope { terms, recipients, hold_until: None };
        service.enqueue(&staged, envelope).await.unwrap();
    }

    /// Everything that waits is tried at once.
    pub async fn retry(&self) {
        for listed in self.harness.service.list_queue(None).await.unwrap() {
            self.harness.service.retry_queued(listed.id).await.unwrap();
        }
        self.runner.run_due().await.unwrap();
    }

    /// Who waits, and what was said of him last.
    pub async fn waiting(&self) -> Vec<(String, String)> {
        let mut waiting = Vec::new();
        for listed in self.harness.service.list_queue(None).await.unwrap() {
            for recipient in listed.entry.recipients.iter().filter(|it| it.progress.is_open()) {
                let reply = recipient.reply.clone().unwrap();
                let said = reply.smtp.unwrap_or(reply.text);
                waiting.push((recipient.to.address.clone(), said));
            }
        }
        waiting.sort();
        waiting
    }

    pub async fn notices(&self) -> Vec<String> {
        self.harness.messages("home", "INBOX").await
    }
}

/// Straight to the servers that a name server names, on this machine.
pub fn direct(
    names: &NameServer,
    port: u16,
    change: impl FnOnce(&mut DirectSettings),
) -> (Routes, Direct) {
    let settings = Settings {
        servers: vec![names.address()],
        trust_anchor: Some(names.trust_anchor().into_bytes()),
        validation: Validation::Always,
        ..Settings::default()
    };
    let resolver = Resolver::new(&settings).unwrap();
    let mut settings = DirectSettings::new(HOSTNAME.to_owned());
    (settings.port, settings.allow_private) = (port, true);
    change(&mut settings);
    let direct = Direct::new(resolver, settings).unwrap();
    (Routes::new(Relays::default(), Some(direct.clone())), direct)
}
