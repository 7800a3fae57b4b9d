//! Hands what the queue wants to leave to a relay, one connection for each message and domain.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use mail_service::queue::{Attempt, Job, Outcomes, Reply, Transport};
use smtp_session::{Client, ClientStep, Response, Stuffing, Wait};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::convert::{attempt, errand, impossible};
use super::link::{Link, too_slow};
use super::relay::{RelayTls, Relays, Way};

/// Sends through relays.
pub struct RelayTransport {
    relays: Relays,
    /// The name by which this server calls itself.
    hostname: String,
}

impl RelayTransport {
    /// A transport for the domains that relays are named for. Mail for others waits until one is,
    /// or until its time is up.
    #[must_use]
    pub fn new(relays: Relays, hostname: String) -> Self {
        Self { relays, hostname }
    }

    async fn send(&self, job: &Job) -> Outcomes {
        let all = |attempt: Attempt| {
            job.recipients.iter().map(|(index, _)| (*index, attempt.clone())).collect()
        };
        if let Some(reply) = impossible(&job.terms) {
            return all(Attempt::Failed(reply));
        }
        let Some(way) = self.relays.way(&job.domain) else {
            let reply = Reply::own([4, 4, 4], "no relay is configured for the domain");
            return all(Attempt::Deferred(reply));
        };
        let mut client = Client::new(errand(job, &way.relay, &self.hostname));
        let talk = timeout(ATTEMPT_PATIENCE, talk(&mut client, way, job));
        // RFC 3463 §3.5: nobody answers, or the connection did not last.
        let (status, why) = match talk.await.unwrap_or_else(|_| Err(Broken::Io(too_slow()))) {
            // The client knows of everybody then; this is for nobody.
            Ok(()) => ([4, 4, 2], "the dialogue has ended".to_owned()),
            Err(Broken::Body(error)) => {
                warn!(id = %job.id, %error, "a message of the queue cannot be read");
                return all(Attempt::Deferred(Reply::own([4, 3, 0], "the message cannot be read")));
            }
            Err(Broken::Unreachable(error)) => ([4, 4, 1], error.to_string()),
            Err(Broken::Io(error)) => ([4, 4, 2], error.to_string()),
        };
        let (has_dsn, host) = (client.has_dsn(), way.relay.host.as_str());
        let why = Response::local(421, status, format!("connection to {host}: {why}"));
        let fates = client.into_fates(&why);
        let outcomes = job.recipients.iter().zip(&fates);
        let outcomes = outcomes.map(|((index, _), fate)| (*index, attempt(fate, has_dsn, host)));
        let outcomes: Outcomes = outcomes.collect();
        log(job, host, &outcomes);
        outcomes
    }
}

impl Transport for RelayTransport {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        Box::pin(self.send(job))
    }
}

/// What ended a dialogue before its end.
enum Broken {
    Unreachable(io::Error),
    Io(io::Error),
    Body(mail_service::ServiceError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The whole dialogue. What became of the recipients is known by the client, however it ends.
async fn talk(client: &mut Client, way: &Way, job: &Job) -> Result<(), Broken> {
    let stream = Link::open(&way.relay).await.map_err(Broken::Unreachable)?;
    let host = &way.relay.host;
    let mut link = match &way.tls {
        Some(config) if way.relay.tls == RelayTls::Implicit => {
            Link::protect(stream, host, config).await?
        }
        _ => Link::Clear(stream),
    };
    loop {
        match exchange(client, &mut link).await? {
            ClientStep::Read => {}
            ClientStep::StartTls => {
                let (Link::Clear(stream), Some(config)) = (link, &way.tls) else {
                    return Err(io::Error::other("no TLS to begin").into());
                };
                link = Link::protect(stream, host, config).await?;
                client.tls_started();
            }
            ClientStep::Text => send_text(client, &mut link, job).await?,
            ClientStep::Close => {
                link.close(&client.take_output()).await;
                return Ok(());
            }
        }
    }
}

/// Sends what is to be said, and reads until something is to be done. Each reply has its time from
/// the one before, however slowly its octets come.
async fn exchange(client: &mut Client, link: &mut Link) -> io::Result<ClientStep> {
    let mut buffer = vec![0; READ_BYTES];
    let mut replies = client.replies();
    let mut deadline = Instant::now() + patience(client.awaits());
    loop {
        link.send(&client.take_output(), COMMAND_PATIENCE).await?;
        let count =
            timeout_at(deadline, link.read(&mut buffer)).await.map_err(|_| too_slow())??;
        let step = client.push(buffer.get(..count).unwrap_or_default());
        if step != ClientStep::Read {
            return Ok(step);
        }
        if client.replies() != replies {
            replies = client.replies();
            deadline = Instant::now() + patience(client.awaits());
        }
    }
}

/// Sends the text and its end, as one with its last piece.
async fn send_text(client: &mut Client, link: &mut Link, job: &Job) -> Result<(), Broken> {
    let (mut at, size) = (0, job.body.size());
    let mut stuffing = Stuffing::default();
    let mut out = client.take_output();
    while at < size {
        let end = size.min(at + BODY_PIECE_BYTES);
        let piece = job.body.read(at..end).await.map_err(Broken::Body)?;
        if piece.is_empty() {
            return Err(Broken::Body(mail_service::ServiceError::NoSuchMessage));
        }
        at += piece.len() as u64;
        stuffing.push(&piece, &mut out);
        if at < size {
            send_piece(client, link, &out).await?;
            out.clear();
        }
    }
    stuffing.end(&mut out);
    send_piece(client, link, &out).await?;
    client.text_sent();
    Ok(())
}

/// A server that closes in the middle of a text may have said why.
async fn send_piece(client: &mut Client, link: &mut Link, piece: &[u8]) -> io::Result<()> {
    let Err(error) = link.send(piece, DATA_BLOCK_PATIENCE).await else { return Ok(()) };
    let mut buffer = vec![0; READ_BYTES];
    if let Ok(Ok(count)) = timeout(LAST_WORDS_PATIENCE, link.read(&mut buffer)).await {
        client.push(buffer.get(..count).unwrap_or_default());
    }
    Err(error)
}

fn log(job: &Job, host: &str, outcomes: &Outcomes) {
    let count = |is: fn(&Attempt) -> bool| outcomes.iter().filter(|(_, it)| is(it)).count();
    let taken = count(|it| matches!(it, Attempt::Delivered { .. }));
    let deferred = count(|it| matches!(it, Attempt::Deferred(_)));
    let refused = count(|it| matches!(it, Attempt::Failed(_)));
    info!(id = %job.id, domain = job.domain, host, taken, deferred, refused, "handed on");
    for (index, outcome) in outcomes {
        debug!(id = %job.id, index, ?outcome, "recipient");
    }
}

/// How long a server may take. RFC 5321 §4.5.3.2
fn patience(wait: Wait) -> Duration {
    match wait {
        Wait::Greeting => GREETING_PATIENCE,
        Wait::Command => COMMAND_PATIENCE,
        Wait::Mail => MAIL_PATIENCE,
        Wait::Recipient => RECIPIENT_PATIENCE,
        Wait::Data => DATA_PATIENCE,
        Wait::End => END_PATIENCE,
    }
}

/// RFC 5321 §4.5.3.2.1
const GREETING_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// For EHLO, STARTTLS and AUTH, of which RFC 5321 says nothing: as for the others.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// RFC 5321 §4.5.3.2.2
const MAIL_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// RFC 5321 §4.5.3.2.3
const RECIPIENT_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// RFC 5321 §4.5.3.2.4
const DATA_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// RFC 5321 §4.5.3.2.5
const DATA_BLOCK_PATIENCE: Duration = Duration::from_secs(3 * 60);

/// RFC 5321 §4.5.3.2.6
const END_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// For what a server said before it closed.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(2);

/// For all of it: a server that is slow at every step does not keep an attempt for ever.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

const READ_BYTES: usize = 4096;

/// Octets of a message that are read at a time.
const BODY_PIECE_BYTES: u64 = 64 * 1024;
