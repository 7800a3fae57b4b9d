//! Drives one session over one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail_service::{AddressKind, DeliverError, Destinations, SrsFault, Visit};
use mail_types::AccountId;
use net::{Guard, Peer, READ_BYTES_MAX, Stream};
use smtp_session::{Event, Reply, Role, Session, Transaction};
use tokio::time::Instant;
use tracing::info;

use crate::burl::Fetching;
use crate::delivery::{failed, is_in_doubt};
use crate::inbound::Listings;
use crate::intake::{Intake, Origin};
use crate::login::Exchange;
use crate::outbound::Outbound;
use crate::rates::{TooMuch, Wanted};
use crate::sent::SentCopy;
use crate::server::{Forwarding, SmtpServer};

/// Why a session has stopped.
#[derive(PartialEq, Eq)]
pub(crate) enum Next {
    StartTls,
    Close,
}

pub(crate) struct Connection<'a> {
    pub(crate) server: &'a SmtpServer,
    pub(crate) peer: Peer,
    guard: Guard,
    pub(crate) session: Session,
    input: Vec<u8>,
    pub(crate) exchange: Option<Exchange>,
    /// Who has logged in.
    pub(crate) account: Option<AccountId>,
    /// What block lists say of the client, once they were asked.
    listings: Option<Listings>,
    /// The message that is coming.
    intake: Option<Intake>,
    /// What is fetched for it by a URL.
    fetching: Option<Fetching>,
    /// The copy of it that its sender keeps.
    sent: Option<SentCopy>,
    /// Until when the client must have said something that is worth an answer.
    deadline: Instant,
    /// Until when a message must have come.
    message_deadline: Option<Instant>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(
        server: &'a SmtpServer,
        peer: Peer,
        guard: Guard,
        session: Session,
    ) -> Connection<'a> {
        Connection {
            server,
            peer,
            guard,
            session,
            input: Vec::new(),
            exchange: None,
            account: None,
            listings: None,
            intake: None,
            fetching: None,
            sent: None,
            deadline: Instant::now() + GREETING_PATIENCE,
            message_deadline: None,
        }
    }

    /// What was read and not understood yet.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Goes on with a session that knows nothing of the one before. RFC 3207 §4.2
    pub(crate) fn restart(&mut self, session: Session) {
        self.session = session;
        self.exchange = None;
        self.account = None;
        self.drop_message();
        self.deadline = Instant::now() + GREETING_PATIENCE;
    }

    /// # Errors
    /// When the connection is broken, or broken off: see [`is_in_doubt`].
    pub(crate) async fn serve(&mut self, stream: &mut Stream) -> io::Result<Next> {
        loop {
            self.session.now_secs = self.server.service.now_secs();
            match self.session.advance(&mut self.input) {
                Event::NeedInput => {
                    self.send(stream).await?;
                    if !self.read(stream).await? {
                        return Ok(Next::Close);
                    }
                }
                Event::Auth(step) => {
                    let answer = self.authenticate(step, stream).await;
                    self.session.answer_auth(answer);
                }
                Event::Sender(address) => {
                    let reply = self.sender(&address).await;
                    self.session.answer_sender(reply);
                }
                Event::Recipient(address) => {
                    let reply = self.recipient(&address).await;
                    self.session.answer_recipient(reply);
                }
                Event::Data => {
                    let begun = self.begin(stream).await;
                    let answer = begun.map(|intake| {
                        self.sent = self.begin_copy(&intake);
                        self.intake = Some(intake);
                    });
                    self.message_deadline = Some(Instant::now() + MESSAGE_PATIENCE);
                    self.session.answer_data(answer);
                }
                Event::Text(text) => self.text(&text).await,
                Event::Url(url) => {
                    let found = self.fetch(&url).await;
                    let answer = found.map(|fetching| self.fetching = Some(fetching));
                    self.session.answer_url(answer);
                }
                Event::UrlText => {
                    let piece = match &mut self.fetching {
                        Some(fetching) => fetching.next_piece().await,
                        None => Ok(Vec::new()),
                    };
                    self.session.answer_url_text(piece);
                }
                Event::Abandon => self.drop_message(),
                Event::End => self.end_of_message().await?,
                Event::StartTls => {
                    self.send(stream).await?;
                    return Ok(Next::StartTls);
                }
                Event::Close => {
                    self.send(stream).await?;
                    return Ok(Next::Close);
                }
            }
        }
    }

    async fn text(&mut self, text: &[u8]) {
        self.deadline = Instant::now() + TEXT_PATIENCE;
        if let Some(intake) = &mut self.intake {
            intake.push(text).await;
        }
        if let Some(sent) = &mut self.sent {
            sent.push(text).await;
        }
    }

    /// Nothing comes of the message.
    fn drop_message(&mut self) {
        (self.intake, self.fetching, self.sent) = (None, None, None);
    }

    async fn end_of_message(&mut self) -> io::Result<()> {
        self.message_deadline = None;
        let replies = match self.intake.take() {
            Some(intake) => intake.deliver().await,
            None => Err(is_in_doubt()),
        }?;
        // Before the reply: a client that stores its own copy after it finds this one.
        if let Some(sent) = self.sent.take()
            && replies.iter().all(Reply::is_success)
        {
            sent.keep().await;
        }
        self.session.answer_message(&replies);
        Ok(())
    }

    /// The copy that the sender of a submitted message keeps.
    fn begin_copy(&self, intake: &Intake) -> Option<SentCopy> {
        let account = self.account.filter(|_| self.server.settings.role == Role::Submission)?;
        SentCopy::begin(&self.server.service, account, intake.additions().clone())
    }

    async fn begin(&mut self, stream: &Stream) -> Result<Intake, Reply> {
        let Some(transaction) = self.session.transaction() else {
            return Err(Reply::new(503, "5.5.1", "Say MAIL first"));
        };
        let origin = Origin {
            server: self.server,
            peer: self.peer,
            security: stream.security(),
            account: self.account,
            client_name: self.session.client_name().to_owned(),
            is_extended: self.session.is_extended(),
            listings: self.listings.clone().unwrap_or_default(),
        };
        let wanted = Wanted { messages: 1, recipients: recipient_count(transaction) };
        let intake = Intake::begin(origin, transaction.clone()).await?;
        self.count_submitted(wanted)?;
        Ok(intake)
    }

    /// Counts a message that comes now.
    fn count_submitted(&self, wanted: Wanted) -> Result<(), Reply> {
        let (Some(rates), Some(account)) = (&self.server.settings.rates, self.account) else {
            return Ok(());
        };
        rates.take(account, wanted).map_err(|excess| too_much(excess, account))
    }

    /// Whether what comes will be more than the account may submit. It is told as early as can be;
    /// what counts is said when the message comes.
    fn check_rate(&self, wanted: Wanted) -> Result<(), Reply> {
        let (Some(rates), Some(account)) = (&self.server.settings.rates, self.account) else {
            return Ok(());
        };
        rates.check(account, wanted).map_err(|excess| too_much(excess, account))
    }

    async fn send(&mut self, stream: &mut Stream) -> io::Result<()> {
        let replies = std::mem::take(&mut self.session.replies);
        if !replies.is_empty() {
            let patience = match self.session.is_in_text() {
                true => TEXT_PATIENCE,
                false if self.session.client_name().is_empty() => GREETING_PATIENCE,
                false => COMMAND_PATIENCE,
            };
            self.deadline = Instant::now() + patience;
        }
        stream.write_all(&replies, WRITE_PATIENCE).await
    }

    /// Whether the session goes on.
    async fn read(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let in_text = self.session.is_in_text();
        let end = self.message_deadline.filter(|_| in_text);
        let until = end.map_or(self.deadline, |end| end.min(self.deadline));
        tokio::select! {
            biased;
            // RFC 5321 §3.8: a server that must close says so, and only between commands.
            () = self.guard.begun(), if !in_text => {
                self.session.end(Reply::new(421, "4.3.2", "The server is shutting down"));
                Ok(true)
            }
            count = stream.read_into(&mut self.input, READ_BYTES_MAX) => Ok(count? > 0),
            () = tokio::time::sleep_until(until) => {
                self.session.end(Reply::new(421, "4.4.2", "Nothing heard for too long"));
                Ok(true)
            }
        }
    }

    /// RFC 6409 §6.1
    async fn sender(&mut self, address: &str) -> Reply {
        let Some(account) = self.account else {
            return Reply::new(530, "5.7.0", "Authentication required");
        };
        match self.server.service.may_send_as(account, address).await {
            Ok(true) => match self.check_rate(Wanted { messages: 1, recipients: 1 }) {
                Ok(()) => Reply::new(250, "2.1.0", "Sender noted"),
                Err(refusal) => refusal,
            },
            Ok(false) => Reply::new(553, "5.7.1", "Not an address of yours"),
            Err(error) => failed(&DeliverError::Temporary(error)),
        }
    }

    async fn recipient(&mut self, address: &str) -> Reply {
        let before = self.session.transaction().map_or(0, recipient_count);
        let wanted = Wanted { messages: 1, recipients: before.saturating_add(1) };
        if let Err(refusal) = self.check_rate(wanted) {
            return refusal;
        }
        let found = match self.server.service.destinations(address).await {
            Ok(found) => found,
            Err(error) => return failed(&error),
        };
        let sender = self.session.transaction().map_or("", |it| it.reverse_path.as_str());
        if let Some(refusal) = refuse_way(self.server, sender, address, &found) {
            return refusal;
        }
        if self.server.settings.role != Role::Lmtp {
            for kept in &found.local {
                match self.server.service.has_room(kept.route.account, 1).await {
                    Ok(true) => {}
                    Ok(false) => return FULL_MAILBOX,
                    Err(error) => return failed(&error.into()),
                }
            }
        }
        match self.admit(address).await {
            Ok(()) => Reply::new(250, "2.1.5", "Recipient accepted"),
            Err(refusal) => refusal,
        }
    }

    /// Whether a stranger may write to a recipient who exists.
    async fn admit(&mut self, recipient: &str) -> Result<(), Reply> {
        let Some(inbound) = self.server.inbound() else { return Ok(()) };
        let Some(client) = inbound.stranger(self.peer) else { return Ok(()) };
        let sender = self.session.transaction().map(|it| it.reverse_path.as_str());
        let visit = Visit { client, sender: sender.unwrap_or_default(), recipient };
        inbound.admit(&self.server.service, visit, &mut self.listings).await
    }
}

/// Mail for other systems is taken from who has logged in, and for an address of ours that stands
/// for one elsewhere; else this would be an open relay (RFC 5321 §7.8). What comes back to a path
/// under which mail was forwarded goes on to its sender, and nothing else does: it has no
/// reverse-path (RFC 5321 §4.5.5).
pub(crate) fn refuse_way(
    server: &SmtpServer,
    sender: &str,
    address: &str,
    found: &Destinations,
) -> Option<Reply> {
    let settings = &server.settings;
    match (settings.role, found.kind) {
        // Whoever hands this over believes that it is ours.
        (Role::Lmtp, AddressKind::Elsewhere) => return Some(failed(&DeliverError::NoSuchUser)),
        (Role::Mx, AddressKind::Elsewhere) => return Some(NO_RELAYING),
        (_, AddressKind::ReturnPath) if !sender.is_empty() => return Some(NOT_A_NOTICE),
        _ if found.remote.is_empty() => return None,
        (Role::Mx, AddressKind::Ours) if settings.forwarding == Forwarding::Refused => {
            return Some(NOT_FORWARDED);
        }
        _ => {}
    }
    let can_leave = |out: &Arc<dyn Outbound>| found.remote.iter().all(|to| out.carries(to));
    if !settings.outbound.as_ref().is_some_and(can_leave) {
        return Some(NO_ROUTE);
    }
    if settings.role == Role::Submission {
        return None;
    }
    let path = server.service.forwarding_path(sender, address);
    path.err().map(cannot_forward)
}

/// RFC 3463 §3.2
pub(crate) fn cannot_forward(fault: SrsFault) -> Reply {
    match fault {
        SrsFault::TooLong => {
            Reply::new(553, "5.1.7", "Your sender's address is too long for mail that is forwarded")
        }
        SrsFault::Form => {
            Reply::new(553, "5.1.7", "Mail of a sender's address of this form is not forwarded")
        }
    }
}

fn recipient_count(transaction: &Transaction) -> u32 {
    u32::try_from(transaction.recipients.len()).unwrap_or(u32::MAX)
}

/// For now: an hour later it may be sent. RFC 3463 §3.8
fn too_much(excess: TooMuch, account: AccountId) -> Reply {
    info!(%account, ?excess, "submits more than it may in an hour");
    match excess {
        TooMuch::Messages => Reply::new(451, "4.7.1", "Too many messages in an hour"),
        TooMuch::Recipients => Reply::new(452, "4.7.1", "Too many recipients in an hour"),
    }
}

const NO_RELAYING: Reply = Reply::new(550, "5.7.1", "No relaying");

const NOT_FORWARDED: Reply =
    Reply::new(550, "5.7.1", "Mail for this address is not forwarded from here");

const NOT_A_NOTICE: Reply =
    Reply::new(550, "5.7.1", "This address takes only what comes back from forwarded mail");

const NO_ROUTE: Reply =
    Reply::new(550, "5.7.1", "This server has no way to the domain of the recipient");

/// It may be emptied: the sender tries again. RFC 3463 §3.3
pub(crate) const FULL_MAILBOX: Reply = Reply::new(452, "4.2.2", "Mailbox full");

/// From connecting to a greeting that says who the client is.
const GREETING_PATIENCE: Duration = Duration::from_secs(60);

/// Between two commands. RFC 5321 §4.5.3.2.7
const COMMAND_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between two pieces of a message. RFC 5321 §4.5.3.2.5
const TEXT_PATIENCE: Duration = Duration::from_secs(3 * 60);

/// For a whole message: the largest one in an hour is 150 kbit/s.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Until a client takes some of its replies.
const WRITE_PATIENCE: Duration = Duration::from_secs(2 * 60);
