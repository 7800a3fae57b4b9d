//! One listener's server: what it offers, and the life of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail_service::{Mechanism, Service};
use net::{
    Guard, HANDSHAKE_PATIENCE, LoginThrottle, Peer, READ_BYTES_MAX, Refused, Security, Stream,
    TlsServer,
};
use sender_auth::Signer;
use smtp_session::{Burl, Dsn, FutureRelease, Offer, RequireTls, Role, Session, StartTls};
use tracing::debug;

use crate::connection::{Connection, Next};
use crate::inbound::ABOVE_BYTES_MAX;
use crate::rates::Rates;
use crate::receipt::NoticeAllowance;
use crate::{Budget, HELD_BUDGET_BYTES, Inbound, Outbound};

/// How SMTP is served at one listener.
#[derive(Clone)]
pub struct SmtpSettings {
    /// For whom.
    pub role: Role,
    /// The server's name.
    pub hostname: String,
    /// TLS for STARTTLS; without it the command is not offered.
    pub starttls: Option<TlsServer>,
    /// Who carries mail to other systems; without it no mail for them is taken.
    pub outbound: Option<Arc<dyn Outbound>>,
    /// Whether mail of strangers is forwarded by it, too.
    pub forwarding: Forwarding,
    /// How much one account may submit; shared by all listeners.
    pub rates: Option<Arc<Rates>>,
    /// How many notices strangers have got; shared by all listeners.
    pub notices: Arc<NoticeAllowance>,
    /// What strangers must pass at a server for mail from anywhere; without it nothing.
    pub inbound: Option<Arc<Inbound>>,
    /// Who signs what the people here send, and seals what is forwarded; without it nobody does.
    pub signer: Option<Arc<Signer>>,
    /// Memory for messages that are held until they have come; shared by all listeners.
    pub budget: Option<Arc<Budget>>,
    /// How long a stranger waits for the greeting. Who cannot wait for it is a program that sends
    /// junk to thousands at a time.
    pub greet_pause: Duration,
}

/// Whether mail of strangers goes on to addresses elsewhere for which one here stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// It does, where a way leads there.
    #[default]
    Allowed,
    /// It is refused. What comes back from mail that was forwarded goes to its sender all the same.
    Refused,
}

impl SmtpSettings {
    /// The usual settings for a role.
    pub fn new(role: Role, hostname: String, starttls: Option<TlsServer>) -> Self {
        let greet_pause = match role {
            Role::Mx => GREET_PAUSE,
            Role::Lmtp | Role::Submission => Duration::ZERO,
        };
        Self {
            role,
            hostname,
            starttls,
            outbound: None,
            forwarding: Forwarding::default(),
            rates: None,
            notices: Arc::default(),
            inbound: None,
            signer: None,
            budget: None,
            greet_pause,
        }
    }
}

/// Serves SMTP in one of its roles. One for each listener; service and throttle are shared.
pub struct SmtpServer {
    pub(crate) service: Service,
    pub(crate) budget: Arc<Budget>,
    pub(crate) throttle: Arc<LoginThrottle>,
    pub(crate) settings: SmtpSettings,
}

impl SmtpServer {
    /// Serves the accounts of a service.
    pub fn new(service: Service, throttle: Arc<LoginThrottle>, settings: SmtpSettings) -> Self {
        let own = || Arc::new(Budget::new(HELD_BUDGET_BYTES));
        let budget = settings.budget.clone().unwrap_or_else(own);
        Self { service, budget, throttle, settings }
    }

    /// What strangers must pass, where they are served.
    pub(crate) fn inbound(&self) -> Option<&Arc<Inbound>> {
        self.settings.inbound.as_ref().filter(|_| self.settings.role == Role::Mx)
    }

    fn offer(&self, stream: &Stream, peer: Peer) -> Offer {
        let security = stream.security();
        let available = security == Security::Cleartext && self.settings.starttls.is_some();
        // Before TLS a password is taken from this machine only. RFC 4954 §4
        let may_log_in = security == Security::Tls || peer.is_local();
        let mechanisms = match self.settings.role {
            Role::Submission if may_log_in => mechanisms(stream),
            Role::Submission | Role::Mx | Role::Lmtp => Vec::new(),
        };
        let bytes_max = self.service.config().message_bytes_max;
        // RFC 3461 §4: who offers DSN must see to it that they are sent.
        let can_send = self.settings.outbound.is_some();
        let dsn = match self.settings.role {
            Role::Submission if can_send => Dsn::Offered,
            // Only who is checked can be told anything. A server of ours in front of this one is
            // not: without the offer it tells its sender itself that the message was relayed (RFC
            // 3461 §5.2.2), and it knows him.
            Role::Mx if can_send && self.proves_senders_of(peer) => Dsn::Offered,
            // To LMTP the reply of each recipient says it all, and who gets that has the sender's
            // trust. RFC 2033 §4.2
            Role::Submission | Role::Mx | Role::Lmtp => Dsn::Absent,
        };
        Offer {
            role: self.settings.role,
            hostname: self.settings.hostname.clone(),
            message_bytes_max: bytes_max.saturating_sub(TRACE_BYTES_MAX),
            starttls: if available { StartTls::Offered } else { StartTls::Absent },
            mechanisms,
            dsn,
            future_release: self.future_release(),
            // RFC 4468 §3.1: of submission only.
            burl: match self.settings.role {
                Role::Submission => Burl::Offered,
                Role::Lmtp | Role::Mx => Burl::Absent,
            },
            // RFC 8689 §2: only under TLS. What is delivered here goes no further, and the queue
            // keeps to it.
            require_tls: match security {
                Security::Tls => RequireTls::Offered,
                Security::Cleartext => RequireTls::Absent,
            },
        }
    }

    fn proves_senders_of(&self, peer: Peer) -> bool {
        self.inbound().is_some_and(|inbound| inbound.proves_senders_of(peer))
    }

    /// Mail is held in the queue, so there must be one. RFC 4865: of submission only.
    fn future_release(&self) -> Option<FutureRelease> {
        let can_hold = self.settings.role == Role::Submission && self.settings.outbound.is_some();
        can_hold.then_some(FutureRelease { secs_max: HOLD_SECS_MAX })
    }

    async fn run(&self, mut stream: Stream, peer: Peer, guard: Guard) -> io::Result<()> {
        let offer = self.offer(&stream, peer);
        let session = match self.waits_for_greeting(&mut stream).await? {
            Patience::Waits => Session::new(offer),
            Patience::Talks => Session::early_talker(offer),
            Patience::Left => return Ok(()),
        };
        let mut connection = Connection::new(self, peer, guard, session);
        while connection.serve(&mut stream).await? == Next::StartTls {
            let Some(tls) = &self.settings.starttls else { break };
            // What came behind the command belongs to the handshake: an injected command makes it
            // fail and is never answered.
            let early = connection.take_input();
            stream = stream.start_tls(early, tls, HANDSHAKE_PATIENCE).await?;
            connection.restart(Session::after_tls(self.offer(&stream, peer)));
        }
        stream.close().await;
        Ok(())
    }

    async fn waits_for_greeting(&self, stream: &mut Stream) -> io::Result<Patience> {
        let pause = self.settings.greet_pause;
        if pause.is_zero() || stream.security() == Security::Tls {
            return Ok(Patience::Waits);
        }
        let mut early = Vec::new();
        match tokio::time::timeout(pause, stream.read_into(&mut early, READ_BYTES_MAX)).await {
            Err(_) => Ok(Patience::Waits),
            Ok(count) => Ok(if count? == 0 { Patience::Left } else { Patience::Talks }),
        }
    }
}

/// What a client does before it is greeted.
enum Patience {
    Waits,
    Talks,
    Left,
}

impl net::Service for SmtpServer {
    fn refusal(&self, _: Refused) -> &'static [u8] {
        b"421 4.3.2 Too many connections\r\n"
    }

    async fn serve(&self, stream: Stream, peer: Peer, guard: Guard) {
        if let Err(error) = self.run(stream, peer, guard).await {
            debug!(%peer, %error, "connection broken");
        }
    }
}

/// The mechanisms that can be used on this connection, the strongest first. Certificates are not
/// asked for: there are mail programs that end the handshake when they are.
fn mechanisms(stream: &Stream) -> Vec<String> {
    let can_bind = stream.channel_binding().is_some();
    let can_be_used = |it: &&Mechanism| can_bind || !it.is_bound();
    MECHANISMS.iter().filter(can_be_used).map(|it| it.name().to_owned()).collect()
}

const MECHANISMS: [Mechanism; 6] = [
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
    Mechanism::Login,
];

/// How long strangers wait for the greeting: long for a program that does not wait at all, and
/// nothing to a mail server.
pub const GREET_PAUSE: Duration = Duration::from_millis(100);

/// How far ahead mail can be handed in: a year, for birthdays.
const HOLD_SECS_MAX: u32 = 366 * 86_400;

/// Room for the trace fields, for what checks found, and for what a submitted message lacks, within
/// the largest message.
const TRACE_BYTES_MAX: u64 = 4096 + ABOVE_BYTES_MAX as u64;
