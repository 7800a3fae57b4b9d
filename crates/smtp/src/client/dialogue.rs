//! One dialogue over one connection: what the client says is sent, what the server says is read,
//! and each step of it has its time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail_service::queue::Job;
use rustls::ClientConfig;
use smtp_session::{Client, ClientStep, Errand, Stuffing, Wait};
use tokio::time::{Instant, timeout, timeout_at};

use super::link::{Link, too_slow};
use super::pool::{Kept, Line, Pool};

/// What ended a dialogue before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nobody answers there.
    Unreachable(io::Error),
    /// TLS could not begin: perhaps with the wrong server.
    Tls(io::Error),
    /// The connection did not last.
    Io(io::Error),
    /// The message cannot be read.
    Body(mail_service::ServiceError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Who is at the other end, and how that is made sure of.
pub(super) struct Peer<'a> {
    /// The name that its certificate is to have.
    pub(super) host: &'a str,
    /// `None` without TLS.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
}

/// One message that is to go over some connection.
pub(super) struct Talk<'a> {
    pub(super) job: &'a Job,
    pub(super) errand: &'a Errand,
    pub(super) peer: Peer<'a>,
    /// Which connections may be used, and where this one is kept.
    pub(super) line: &'a Line,
    pub(super) pool: &'a Pool,
}

impl Talk<'_> {
    /// Goes over a connection that rests, if one is still good.
    pub(super) async fn resume(&self) -> Option<(Client, Result<(), Broken>)> {
        while let Some(Kept { link, standing, messages }) = self.pool.take(self.line) {
            let (mut client, step) = Client::resume(self.errand.clone(), standing);
            let talked = talk(&mut client, link, step, &self.peer, self.job).await;
            let talked = self.keep(&client, talked, messages);
            // A server that was tired of waiting has not heard of the message.
            if client.was_heard() || step != ClientStep::Read {
                return Some((client, talked));
            }
        }
        None
    }

    /// Goes over a new connection.
    pub(super) async fn begin(&self, link: io::Result<Link>) -> (Client, Result<(), Broken>) {
        let mut client = Client::new(self.errand.clone());
        let talked = match link {
            Ok(link) => talk(&mut client, link, ClientStep::Read, &self.peer, self.job).await,
            Err(error) => Err(Broken::Unreachable(error)),
        };
        let talked = self.keep(&client, talked, 0);
        (client, talked)
    }

    fn keep(
        &self,
        client: &Client,
        talked: Result<Option<Link>, Broken>,
        before: usize,
    ) -> Result<(), Broken> {
        if let (Some(link), Some(standing)) = (talked?, client.standing()) {
            let kept = Kept { link, standing, messages: before + 1 };
            self.pool.put(self.line.clone(), kept);
        }
        Ok(())
    }
}

/// The whole dialogue, from a step on. What became of the recipients is known by the client,
/// however it ends; the connection is returned if another message may follow.
async fn talk(
    client: &mut Client,
    link: Link,
    mut step: ClientStep,
    peer: &Peer<'_>,
    job: &Job,
) -> Result<Option<Link>, Broken> {
    let talking = async {
        let mut link = link;
        loop {
            match step {
                ClientStep::Read => {}
                ClientStep::StartTls => {
                    let (Link::Clear(stream), Some(config)) = (link, peer.tls) else {
                        return Err(Broken::Tls(io::Error::other("no TLS to begin")));
                    };
                    let protecting = Link::protect(stream, peer.host, config);
                    link = protecting.await.map_err(Broken::Tls)?;
                    client.tls_started();
                }
                ClientStep::Text => send_text(client, &mut link, job).await?,
                ClientStep::Rest => return Ok(Some(link)),
                ClientStep::Close => {
                    link.close(&client.take_output()).await;
                    return Ok(None);
                }
            }
            step = exchange(client, &mut link).await?;
        }
    };
    timeout(ATTEMPT_PATIENCE, talking).await.unwrap_or_else(|_| Err(Broken::Io(too_slow())))
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
    // What was sent so far is no message yet, and nobody has it.
    if !job.leave.take().await {
        return Err(Broken::Io(io::Error::other(NO_LEAVE)));
    }
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

/// Why a message that may be another node's by now was not sent to its end.
const NO_LEAVE: &str = "this server stops, or is not sure that it is still the one to send it";

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
