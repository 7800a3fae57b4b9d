//! Who is logging in: AUTH through the SASL exchanges of `mail-service`. RFC 4954

use mail_service::{AuthError, Channel, Mechanism, SaslProgress, SaslSession};
use net::{Stream, Verdict};
use smtp_session::{AuthAnswer, AuthStep, Reply};
use tracing::{error, info};

use crate::connection::Connection;

/// An exchange in progress.
pub(crate) struct Exchange {
    session: SaslSession,
    mechanism: Mechanism,
    /// The name that the client claims, for the throttle.
    claimed: Vec<u8>,
}

impl Connection<'_> {
    pub(crate) async fn authenticate(&mut self, step: AuthStep, stream: &Stream) -> AuthAnswer {
        let (mut exchange, response, is_first) = match step {
            AuthStep::Start { mechanism, initial } => {
                let Some(mechanism) = Mechanism::from_name(&mechanism) else {
                    return AuthAnswer::Refused(MALFORMED);
                };
                let exporter = stream.channel_binding();
                let channel = Channel { exporter, ..Channel::default() };
                match self.server.service.sasl(mechanism, channel) {
                    Ok(session) => {
                        (Exchange { session, mechanism, claimed: Vec::new() }, initial, true)
                    }
                    Err(error) => return AuthAnswer::Refused(refusal(&error)),
                }
            }
            AuthStep::Response(response) => match self.exchange.take() {
                Some(exchange) => (exchange, Some(response), false),
                None => return AuthAnswer::Refused(MALFORMED),
            },
        };
        if let Some(response) = &response {
            exchange.note_claim(response.expose());
        }
        let (peer, now) = (self.peer, std::time::Instant::now());
        let is_counted = exchange.session.has_failed();
        let verdict = || self.server.throttle.check(peer, &exchange.claimed, now);
        if !is_counted && verdict() == Verdict::Refuse {
            return AuthAnswer::Refused(TOO_MANY);
        }
        let bytes = response.as_ref().map(mail_types::Secret::expose);
        let progress = match (is_first, bytes) {
            (true, initial) => exchange.session.begin(initial).await,
            (false, response) => exchange.session.respond(response.unwrap_or_default()).await,
        };
        match progress {
            Ok(SaslProgress::Challenge(challenge)) => {
                // It counts now: the client may never answer what it is told of a refused token.
                if exchange.session.has_failed() {
                    self.count_failure(&exchange.claimed).await;
                }
                self.exchange = Some(exchange);
                AuthAnswer::Challenge(challenge)
            }
            Ok(SaslProgress::Done { account, data }) => {
                self.server.throttle.succeeded(peer, &exchange.claimed, now);
                info!(%peer, account = %account.id(), "logged in");
                self.account = Some(account.id());
                AuthAnswer::Done { data }
            }
            Err(error) => {
                if !is_counted && matches!(error, AuthError::Denied | AuthError::NotAuthorized) {
                    self.count_failure(&exchange.claimed).await;
                }
                AuthAnswer::Refused(refusal(&error))
            }
        }
    }

    async fn count_failure(&mut self, claimed: &[u8]) {
        info!(peer = %self.peer, "login refused");
        let now = std::time::Instant::now();
        let delay = self.server.throttle.failed(self.peer, claimed, now);
        tokio::time::sleep(delay).await;
    }
}

impl Exchange {
    /// Remembers who the client says it is.
    fn note_claim(&mut self, response: &[u8]) {
        if self.claimed.is_empty() {
            self.claimed = self.mechanism.claimed(response).unwrap_or_default().to_vec();
        }
    }
}

/// RFC 4954 §4, §6
fn refusal(error: &AuthError) -> Reply {
    match error {
        AuthError::Denied => Reply::new(535, "5.7.8", "Authentication failed"),
        AuthError::NotAuthorized => Reply::new(535, "5.7.8", "Not as somebody else"),
        AuthError::Malformed => MALFORMED,
        AuthError::Busy => TOO_MANY,
        AuthError::Unavailable => LATER,
        AuthError::Failed(cause) => {
            error!(%cause, "login failed for now");
            LATER
        }
    }
}

const MALFORMED: Reply = Reply::new(501, "5.5.2", "The response does not follow the mechanism");
const LATER: Reply = Reply::new(454, "4.7.0", "Not now, try again later");
const TOO_MANY: Reply = Reply::new(454, "4.7.0", "Too many logins, try again later");
