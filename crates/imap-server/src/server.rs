//! IMAP at a listener.

use std::sync::Arc;

use imap_session::{CleartextLogin, SessionConfig, TlsState};
use mail_service::{Mechanism, Service};
use net::{Guard, LoginThrottle, Peer, Refused, Security, Stream};

use crate::ImapSettings;
use crate::connection::Connection;

/// Serves IMAP. One for each listener; the service and the throttle are shared.
pub struct ImapServer {
    shared: Arc<Shared>,
}

/// What all connections of a listener share.
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) throttle: Arc<LoginThrottle>,
    pub(crate) settings: ImapSettings,
}

impl ImapServer {
    /// Serves the mail of a service.
    pub fn new(service: Service, throttle: Arc<LoginThrottle>, settings: ImapSettings) -> Self {
        Self { shared: Arc::new(Shared { service, throttle, settings }) }
    }
}

impl net::Service for ImapServer {
    fn refusal(&self, _: Refused) -> &'static [u8] {
        b"* BYE Too many connections\r\n"
    }

    fn serve(&self, stream: Stream, peer: Peer, guard: Guard) -> impl Future<Output = ()> + Send {
        Connection::new(Arc::clone(&self.shared), stream, peer, guard).run()
    }
}

impl Shared {
    /// What a session on this connection may do.
    pub(crate) fn session_config(&self, peer: Peer, stream: &Stream) -> SessionConfig {
        let tls = match (stream.security(), &self.settings.starttls) {
            (Security::Tls, _) => TlsState::Active,
            (Security::Cleartext, Some(_)) => TlsState::Available,
            (Security::Cleartext, None) => TlsState::Unavailable,
        };
        SessionConfig {
            tls,
            // RFC 9051 §6.2.3: a password crosses no wire in the clear, and a loopback is no wire.
            cleartext_login: match peer.is_local() {
                true => CleartextLogin::Allowed,
                false => CleartextLogin::Refused,
            },
            mechanisms: self.mechanisms(stream),
            server_annotations: self.settings.server_annotations.clone(),
            language: self.settings.language,
            users_set_quota: self.settings.users_set_quota,
            shared_accounts: Arc::clone(&self.settings.shared_accounts),
            append_limit: self.service.config().message_bytes_max,
            hidden_capabilities: self.settings.hidden_capabilities.clone(),
            uidonly: self.settings.uidonly,
            message_limit: self.settings.message_limit,
            save_limit: self.settings.save_limit,
            ..SessionConfig::default()
        }
    }

    /// The mechanisms that can be used on this connection, the strongest first.
    pub(crate) fn mechanisms(&self, stream: &Stream) -> Vec<String> {
        let can_bind = stream.channel_binding().is_some();
        let is_certified = !stream.certified_names().is_empty();
        let takes_tokens = self.service.config().tokens.is_some();
        let can_be_used = |it: &&Mechanism| match it {
            Mechanism::External => is_certified,
            other => (can_bind || !other.is_bound()) && (takes_tokens || !other.takes_token()),
        };
        Mechanism::ALL.iter().filter(can_be_used).map(|it| it.name().to_owned()).collect()
    }
}
