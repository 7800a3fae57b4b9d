//! Drives LMTP sessions over connections, and delivers what they bring.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail_service::{DeliverError, Route, Service, ServiceError, Staging};
use net::{Guard, HANDSHAKE_PATIENCE, Peer, READ_BYTES_MAX, Refused, Security, Stream, TlsServer};
use smtp_session::{Event, Offer, Reply, Session, StartTls};
use tracing::{debug, error, info, warn};

use crate::trace::{Arrival, Trace, mail_date};

/// How LMTP is served at one listener.
#[derive(Clone, Debug)]
pub struct LmtpSettings {
    /// The server's name.
    pub hostname: String,
    /// TLS for STARTTLS; without it the command is not offered.
    pub starttls: Option<TlsServer>,
}

/// Serves LMTP. One for each listener; the service is shared.
pub struct LmtpServer {
    service: Service,
    settings: LmtpSettings,
}

impl LmtpServer {
    /// Delivers to the accounts of a service.
    pub fn new(service: Service, settings: LmtpSettings) -> Self {
        Self { service, settings }
    }

    fn offer(&self, security: Security) -> Offer {
        let available = security == Security::Cleartext && self.settings.starttls.is_some();
        Offer {
            hostname: self.settings.hostname.clone(),
            message_bytes_max: self
                .service
                .config()
                .message_bytes_max
                .saturating_sub(TRACE_BYTES_MAX),
            starttls: if available { StartTls::Offered } else { StartTls::Absent },
        }
    }

    async fn run(&self, stream: Stream, peer: Peer, guard: Guard) -> io::Result<()> {
        let session = Session::new(self.offer(stream.security()));
        let deliveries = Vec::new();
        let input = Vec::new();
        let mut connection = Connection { server: self, peer, guard, session, input, deliveries };
        let mut stream = stream;
        while connection.serve(&mut stream).await? == Next::StartTls {
            let Some(tls) = &self.settings.starttls else { break };
            // What came behind the command belongs to the handshake: an injected command makes it
            // fail and is never answered.
            let early = std::mem::take(&mut connection.input);
            stream = stream.start_tls(early, tls, HANDSHAKE_PATIENCE).await?;
            connection.session = Session::after_tls(self.offer(stream.security()));
        }
        stream.close().await;
        Ok(())
    }
}

impl net::Service for LmtpServer {
    fn refusal(&self, _: Refused) -> &'static [u8] {
        b"421 4.3.2 Too many connections\r\n"
    }

    async fn serve(&self, stream: Stream, peer: Peer, guard: Guard) {
        if let Err(error) = self.run(stream, peer, guard).await {
            debug!(%peer, %error, "connection broken");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    StartTls,
    Close,
}

struct Connection<'a> {
    server: &'a LmtpServer,
    peer: Peer,
    guard: Guard,
    session: Session,
    input: Vec<u8>,
    deliveries: Vec<Delivery>,
}

/// A message on its way to one recipient. Each has a copy of its own, because each has a
/// Delivered-To of its own.
struct Delivery {
    address: String,
    route: Route,
    /// `Err` when it cannot be delivered any more, with the reason.
    staging: Result<Staging, DeliverError>,
}

impl Connection<'_> {
    async fn serve(&mut self, stream: &mut Stream) -> io::Result<Next> {
        loop {
            match self.session.advance(&mut self.input) {
                Event::NeedInput => {
                    self.send(stream).await?;
                    if !self.read(stream).await? {
                        return Ok(Next::Close);
                    }
                }
                Event::Recipient(address) => {
                    let reply = self.recipient(&address).await;
                    self.session.answer_recipient(reply);
                }
                Event::Data => {
                    let answer = self.begin(stream.security()).await;
                    self.session.answer_data(answer);
                }
                Event::Text(text) => self.push(&text).await,
                Event::TooLong => self.deliveries.clear(),
                Event::End => {
                    let replies = self.deliver().await;
                    self.session.answer_message(&replies);
                }
                Event::StartTls => {
                    self.send(stream).await?;
                    self.deliveries.clear();
                    return Ok(Next::StartTls);
                }
                Event::Close => {
                    self.send(stream).await?;
                    return Ok(Next::Close);
                }
            }
        }
    }

    async fn send(&mut self, stream: &mut Stream) -> io::Result<()> {
        let replies = std::mem::take(&mut self.session.replies);
        stream.write_all(&replies, WRITE_PATIENCE).await
    }

    /// Whether the session goes on.
    async fn read(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let in_text = self.session.is_in_text();
        let patience = if in_text { TEXT_PATIENCE } else { COMMAND_PATIENCE };
        tokio::select! {
            biased;
            // RFC 5321 §3.8: a server that must close says so, and only between commands.
            () = self.guard.begun(), if !in_text => {
                self.session.end(Reply::new(421, "4.3.2", "The server is shutting down"));
                Ok(true)
            }
            count = stream.read_into(&mut self.input, READ_BYTES_MAX) => Ok(count? > 0),
            () = tokio::time::sleep(patience) => {
                self.session.end(Reply::new(421, "4.4.2", "Nothing heard for too long"));
                Ok(true)
            }
        }
    }

    async fn recipient(&mut self, address: &str) -> Reply {
        match self.server.service.route(address).await {
            Ok(_) => Reply::new(250, "2.1.5", "Recipient accepted"),
            Err(DeliverError::NoSuchUser) => Reply::new(550, "5.1.1", "No such user here"),
            Err(error) => failed(&error),
        }
    }

    /// Begins to take a message, once for each address.
    async fn begin(&mut self, security: Security) -> Result<(), Reply> {
        self.deliveries.clear();
        let Some(transaction) = self.session.transaction() else { return Ok(()) };
        let (ip, now) = (self.peer.network().map(|_| self.peer.ip()), now_secs());
        let arrival = Arrival {
            client_name: self.session.client_name(),
            client_ip: ip,
            hostname: &self.server.settings.hostname,
            security,
            utf8: transaction.utf8,
            id: next_id(),
            date: &mail_date(now),
        };
        debug!(peer = %self.peer, id = arrival.id, "message arrives");
        let trace = Trace::new(&transaction.reverse_path, &arrival);
        for address in &transaction.recipients {
            if self.deliveries.iter().any(|delivery| delivery.address == *address) {
                continue;
            }
            let service = &self.server.service;
            let route = service.route(address).await.map_err(|error| failed(&error))?;
            let mut staging = service.stage_delivery(std::slice::from_ref(&route));
            let started = staging.push(&trace.fields(address)).await;
            let staging = started.map(|()| staging).map_err(DeliverError::from);
            self.deliveries.push(Delivery { address: address.clone(), route, staging });
        }
        Ok(())
    }

    async fn push(&mut self, text: &[u8]) {
        for delivery in &mut self.deliveries {
            let Ok(staging) = &mut delivery.staging else { continue };
            if let Err(error) = staging.push(text).await {
                delivery.staging = Err(error.into());
            }
        }
    }

    /// Delivers the message and says for each accepted recipient what became of it.
    async fn deliver(&mut self) -> Vec<Reply> {
        let mut done: Vec<(String, Reply)> = Vec::with_capacity(self.deliveries.len());
        for Delivery { address, route, staging } in self.deliveries.drain(..) {
            let service = &self.server.service;
            let delivered = match staging {
                Ok(staging) => match staging.finish().await {
                    Ok(staged) => service.deliver(&route, &staged).await,
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error),
            };
            let reply = match &delivered {
                Ok(()) => {
                    info!(account = %route.account, "delivered");
                    Reply::new(250, "2.0.0", "Delivered")
                }
                Err(error) => failed(error),
            };
            done.push((address, reply));
        }
        let Some(transaction) = self.session.transaction() else { return Vec::new() };
        let of = |address: &String| {
            let found = done.iter().find(|(delivered, _)| delivered == address);
            found.map_or(NOT_NOW, |(_, reply)| *reply)
        };
        transaction.recipients.iter().map(of).collect()
    }
}

/// The reply for a delivery that failed: for ever (5yz) or for now (4yz). RFC 5321 §4.2.1
fn failed(error: &DeliverError) -> Reply {
    match error {
        DeliverError::NoSuchUser => Reply::new(550, "5.1.1", "No such user here"),
        DeliverError::TooLarge => Reply::new(552, "5.3.4", "Message too long"),
        DeliverError::MailboxFull => Reply::new(552, "5.2.2", "Mailbox full"),
        DeliverError::Temporary(ServiceError::StorageFull) => {
            warn!("delivery failed for now: no space is left");
            FULL
        }
        DeliverError::Temporary(cause) => {
            error!(%cause, "delivery failed for now");
            NOT_NOW
        }
    }
}

/// A number for each message, unlikely to be used twice even by two runs of the program.
fn next_id() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| (now_secs().unsigned_abs()) << 24);
    start.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed))
}

fn now_secs() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The whole server, not the mailbox. RFC 3463 §3.4
const FULL: Reply = Reply::new(452, "4.3.1", "The mail store is full, try again later");

const NOT_NOW: Reply = Reply::new(451, "4.3.0", "Not now, try again later");

/// Between two commands. RFC 5321 §4.5.3.2.7
const COMMAND_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between two pieces of a message. RFC 5321 §4.5.3.2.5
const TEXT_PATIENCE: Duration = Duration::from_secs(3 * 60);

/// Until a client takes some of its replies.
const WRITE_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// Room for the trace fields within the largest message.
const TRACE_BYTES_MAX: u64 = 4096;
