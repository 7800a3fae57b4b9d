//! One connection: bytes to commands, commands to the session, output to the peer.
//!
//! Commands are carried out one after the other in the order in which they came, whatever was
//! pipelined. Output is sent before the connection waits for input, so the answers to a pipeline
//! leave together. While it waits, a connection holds no buffer: 32 KiB are the budget of an idle
//! session with all that it has.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use imap_proto::Sink;
use imap_proto::flow::{AuthLine, NotBase64, server_line};
use imap_proto::frame::{Decision, Event, Framer, Limits, Offer, Reason, Rejection, Reply};
use imap_proto::parse::{self, Frame, ParseError};
use imap_session::{
    Answer, ClientResponse, LiteralRefusal, LiteralVerdict, Session, Step, Then, World,
};
use mail_service::AccountHandle;
use mail_types::InternalDate;
use mailbox::Account;
use net::{Guard, HANDSHAKE_PATIENCE, Peer, READ_BYTES_MAX, Stream};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::append::Literals;
use crate::needs::{Exchange, Open};
use crate::output::{Layer, Output};
use crate::server::Shared;
use crate::visits::Visits;

/// A connection and everything that belongs to it.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    guard: Guard,
    /// `None` only while TLS is being started.
    pub(crate) stream: Option<Stream>,
    /// Input that was read; what stands before `used` has been understood.
    input: Vec<u8>,
    used: usize,
    framer: Framer,
    pub(crate) session: Box<Session>,
    pub(crate) output: Output,
    pub(crate) literals: Literals,
    pub(crate) open: Option<Box<Open>>,
    pub(crate) visits: Visits,
    pub(crate) exchange: Option<Box<Exchange>>,
    /// The account that parts of messages are read from now, if it is another: the owner of the
    /// URL that is being fetched.
    pub(crate) lent: Option<AccountHandle>,
    begun: Instant,
    /// When the client was heard last.
    heard: Instant,
    /// Octets read before login.
    stranger_bytes: usize,
    /// Commands in a row that could not be understood.
    bad_count: u32,
    /// Whether a command was understood: before that the client may speak another protocol.
    greeted: bool,
    /// Whether the next line ends an IDLE.
    idle: bool,
    /// Whether the account was removed: no change of it is waited for any more.
    deaf: bool,
    /// Why the literal that was refused last was refused.
    refusal: Option<LiteralRefusal>,
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// In good order; what is to be said was said.
    Orderly,
    /// The peer went away, or can no longer be understood.
    Broken(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// What ended a wait.
enum Woken {
    Input(usize),
    Changes,
    Shutdown,
    Late,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, stream: Stream, peer: Peer, guard: Guard) -> Self {
        let config = shared.session_config(peer, &stream);
        let now = Instant::now();
        Self {
            shared,
            peer,
            guard,
            stream: Some(stream),
            input: Vec::new(),
            used: 0,
            framer: Framer::server(Limits::BEFORE_LOGIN),
            session: Box::new(Session::new(config)),
            output: Output::default(),
            literals: Literals::default(),
            open: None,
            visits: Visits::default(),
            exchange: None,
            lent: None,
            begun: now,
            heard: now,
            stranger_bytes: 0,
            bad_count: 0,
            greeted: false,
            idle: false,
            deaf: false,
            refusal: None,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) {
        self.session.greeting(&mut self.output);
        let ended = loop {
            if let Err(ended) = self.turn().await {
                break ended;
            }
        };
        if let Ended::Broken(error) = &ended {
            debug!(peer = %self.peer, %error, "connection broken");
        }
        Box::pin(self.end()).await;
    }

    /// Takes one thing out of the input, or waits for more.
    async fn turn(&mut self) -> Result<(), Ended> {
        // Chunks of messages are not copied out of the input, so they are handled right here.
        let rest = self.input.get(self.used..).unwrap_or_default();
        let step = self.framer.push(rest);
        self.used += step.consumed;
        let event = match step.event {
            Event::Chunk(bytes) => {
                Box::pin(self.literals.push(bytes)).await;
                return Ok(());
            }
            Event::NeedMore => None,
            Event::Complete => Some(Taken::Command),
            Event::Line => Some(Taken::Line),
            Event::Literal(offer) => Some(Taken::Literal(offer)),
            Event::LiteralEnd { index } => Some(Taken::LiteralEnd(index)),
            Event::Rejected(rejection) => Some(Taken::Rejected(rejection)),
            Event::Close(reason) => Some(Taken::Unreadable(reason)),
        };
        match event {
            None => self.wait().await,
            // Boxed: what a command needs is much, and an idle connection has none.
            Some(taken) => Box::pin(self.handle(taken)).await,
        }
    }

    async fn handle(&mut self, taken: Taken) -> Result<(), Ended> {
        match taken {
            Taken::Command => self.command().await?,
            Taken::Line => self.idle_line().await?,
            Taken::Literal(offer) => self.offered(offer).await?,
            Taken::LiteralEnd(index) => self.literals.end(index).await,
            Taken::Rejected(rejection) => self.rejected(&rejection)?,
            Taken::Unreadable(reason) => {
                self.session.bye(reason_text(reason), &mut self.output);
                return Err(Ended::Orderly);
            }
        }
        if self.output.is_large() {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what there is to send, then waits for something to happen.
    async fn wait(&mut self) -> Result<(), Ended> {
        if !self.output.is_empty() {
            Box::pin(self.send()).await?;
        }
        self.forget_input();
        match self.woken().await? {
            Woken::Input(0) => {
                // RFC 9051 §3.4: a client may close without LOGOUT.
                Err(Ended::Broken(io::ErrorKind::UnexpectedEof.into()))
            }
            Woken::Input(count) => self.count_input(count),
            Woken::Changes => Box::pin(self.tell_changes()).await,
            Woken::Shutdown => self.bye("The server is shutting down"),
            Woken::Late => self.late(),
        }
    }

    async fn woken(&mut self) -> io::Result<Woken> {
        let deadline = self.deadline();
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        // After NOTIFY the client is told between commands too. RFC 5465 §3.1
        let listens =
            self.idle || (self.framer.is_between_commands() && self.session.is_listening());
        let listens = listens && !self.deaf;
        let own = self.open.as_mut().filter(|_| listens).map(|open| &mut open.changes);
        let other = self.visits.selected.as_mut().filter(|_| listens);
        let other = other.map(|open| &mut open.changes);
        let changed = async {
            match other {
                None => change(own).await,
                // Boxed: few sessions wait for two accounts.
                Some(_) => Box::pin(change_of_either(own, other)).await,
            }
        };
        tokio::select! {
            biased;
            () = self.guard.begun() => Ok(Woken::Shutdown),
            is_open = changed => {
                if !is_open {
                    // Removed: the next look at the state finds no mailbox.
                    self.idle = false;
                    self.deaf = true;
                }
                Ok(Woken::Changes)
            }
            count = stream.read_into(&mut self.input, READ_BYTES_MAX) => count.map(Woken::Input),
            () = tokio::time::sleep_until(deadline) => Ok(Woken::Late),
        }
    }

    /// Until when the client must be heard, or shown that we are still here.
    fn deadline(&self) -> Instant {
        let patience = &self.shared.settings.patience;
        if !self.session.is_logged_in() {
            self.begun + patience.login
        } else if self.idle {
            let quiet = self.heard.elapsed().as_secs() / patience.sign_of_life.as_secs().max(1);
            let signs = u32::try_from(quiet).unwrap_or(u32::MAX).saturating_add(1);
            let next = self.heard + patience.sign_of_life.saturating_mul(signs);
            next.min(self.heard + patience.idle)
        } else if self.framer.is_between_commands() {
            self.heard + patience.idle
        } else {
            self.heard + patience.command
        }
    }

    fn late(&mut self) -> Result<(), Ended> {
        let patience = &self.shared.settings.patience;
        if !self.session.is_logged_in() {
            return self.bye("No login in time");
        }
        if self.idle && self.heard.elapsed() < patience.idle {
            // Not a change of anything: it only shows either side whether the other still lives.
            self.output.bytes(b"* OK Still here\r\n");
            return Ok(());
        }
        // RFC 9051 §5.4
        self.bye("Nothing heard for too long")
    }

    fn count_input(&mut self, count: usize) -> Result<(), Ended> {
        self.heard = Instant::now();
        if self.session.is_logged_in() {
            return Ok(());
        }
        self.stranger_bytes += count;
        if self.stranger_bytes > STRANGER_BYTES_MAX {
            return self.bye("Too much before login");
        }
        Ok(())
    }

    /// Everything in the input has been understood.
    fn forget_input(&mut self) {
        self.used = 0;
        if self.framer.is_between_commands() || self.idle {
            self.input = Vec::new();
        } else {
            self.input.clear();
        }
    }

    fn bye(&mut self, text: &'static str) -> Result<(), Ended> {
        self.session.bye(text, &mut self.output);
        Err(Ended::Orderly)
    }

    /// A command is whole.
    async fn command(&mut self) -> Result<(), Ended> {
        let parsed = parse::command(self.framer.frame());
        match parsed {
            Ok(command) => {
                self.bad_count = 0;
                self.greeted = true;
                let seen = world(self.open.as_deref(), &self.visits);
                let step = self.session.begin(command, seen, &mut self.output);
                self.drive(step).await
            }
            Err(error) => self.bad(&error),
        }
    }

    fn bad(&mut self, error: &ParseError) -> Result<(), Ended> {
        self.literals.clear();
        if !self.greeted && is_foreign(self.framer.frame()) {
            // A browser that was tricked into talking to us: nothing it said is repeated.
            return self.bye("This is an IMAP server");
        }
        self.session.bad_command(error, &mut self.output);
        self.count_bad()
    }

    /// A command that was not kept is over.
    fn rejected(&mut self, rejection: &Rejection) -> Result<(), Ended> {
        self.literals.clear();
        let refusal = self.refusal.take();
        self.session.rejected(rejection, refusal, &mut self.output);
        match refusal {
            // What an honest client may run into is not counted against it.
            Some(LiteralRefusal::TooBig | LiteralRefusal::TryCreate | LiteralRefusal::Busy) => {
                Ok(())
            }
            Some(LiteralRefusal::NotLoggedIn) | None => self.count_bad(),
        }
    }

    /// Who sends nothing but bad commands has the wrong server, or no good intentions.
    fn count_bad(&mut self) -> Result<(), Ended> {
        self.bad_count += 1;
        let bad_max = if self.session.is_logged_in() { BAD_MAX } else { STRANGER_BAD_MAX };
        if self.bad_count >= bad_max {
            return self.bye("Too many bad commands");
        }
        Ok(())
    }

    /// A literal is offered, before any of its octets.
    async fn offered(&mut self, offer: Offer) -> Result<(), Ended> {
        let seen = world(self.open.as_deref(), &self.visits);
        let mut verdict = self.session.literal_offered(self.framer.frame(), &offer, seen);
        if verdict == LiteralVerdict::Refuse(LiteralRefusal::TryCreate)
            && let Some(open) = &mut self.open
        {
            // Another session, perhaps at another node, may have made the mailbox meanwhile. If
            // that cannot be looked up, the command itself will say so.
            verdict = match open.refresh().await {
                Answer::Ready => {
                    let seen = world(self.open.as_deref(), &self.visits);
                    self.session.literal_offered(self.framer.frame(), &offer, seen)
                }
                _ => LiteralVerdict::Stream,
            };
        }
        let decision = match (verdict, &self.open) {
            (LiteralVerdict::Keep, _) => Decision::Keep,
            (LiteralVerdict::Stream, Some(open)) => {
                self.literals.begin(&open.handle);
                Decision::Stream
            }
            (LiteralVerdict::Stream, None) => {
                self.refusal = Some(LiteralRefusal::NotLoggedIn);
                Decision::Refuse
            }
            (LiteralVerdict::Refuse(refusal), _) => {
                self.refusal = Some(refusal);
                Decision::Refuse
            }
        };
        if self.framer.decide(decision) == Reply::Continue {
            self.session.go_on(&mut self.output);
            self.send().await?;
        }
        Ok(())
    }

    /// Goes on with a command until it has ended, or is an IDLE.
    async fn drive(&mut self, mut step: Step) -> Result<(), Ended> {
        loop {
            match step {
                Step::Need(need) => {
                    let answer = self.satisfy(need).await?;
                    let seen = world(self.open.as_deref(), &self.visits);
                    step = self.session.resume(answer, seen, &mut self.output);
                }
                Step::Idle => return self.idling().await,
                Step::Done(then) => return self.done(then).await,
            }
        }
    }

    async fn done(&mut self, then: Then) -> Result<(), Ended> {
        self.idle = false;
        self.literals.clear();
        self.exchange = None;
        self.lent = None;
        if self.visits.selected.is_some() {
            // What was written is read in the account that is selected now, and perhaps no longer
            // in a moment.
            self.send().await?;
        }
        self.visits.end(self.session.is_guest());
        self.keep_selected();
        if self.open.is_some() {
            self.framer.set_limits(Limits::AUTHENTICATED);
        }
        match then {
            Then::Continue => Ok(()),
            Then::Close => Err(Ended::Orderly),
            Then::StartTls => self.start_tls().await,
            Then::Compress => self.start_deflate().await,
            Then::Unauthenticate => self.unauthenticate().await,
        }
    }

    /// IDLE is on: the first look at what has changed is due at once.
    async fn idling(&mut self) -> Result<(), Ended> {
        if self.idle {
            return Ok(());
        }
        self.idle = true;
        self.framer.expect_line();
        self.tell_changes().await
    }

    /// Tells an idling client what is new.
    async fn tell_changes(&mut self) -> Result<(), Ended> {
        for open in self.open.iter_mut().chain(&mut self.visits.selected) {
            open.look();
        }
        let seen = world(self.open.as_deref(), &self.visits);
        let mut step = self.session.changes(seen, &mut self.output);
        loop {
            step = match step {
                Step::Need(need) => {
                    let answer = self.satisfy(need).await?;
                    let seen = world(self.open.as_deref(), &self.visits);
                    self.session.resume(answer, seen, &mut self.output)
                }
                Step::Idle => break,
                Step::Done(Then::Close) => return Err(Ended::Orderly),
                Step::Done(_) => break,
            };
        }
        self.keep_selected();
        Ok(())
    }

    /// The line after IDLE.
    async fn idle_line(&mut self) -> Result<(), Ended> {
        let seen = world(self.open.as_deref(), &self.visits);
        let line = self.framer.line();
        let step = self.session.idle_done(line, seen, &mut self.output);
        self.drive(step).await
    }

    /// Sends the challenge and reads one line. RFC 9051 §6.2.2
    pub(crate) async fn client_response(&mut self) -> Result<Answer, Ended> {
        self.send().await?;
        self.framer.expect_line();
        loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            let step = self.framer.push(rest);
            self.used += step.consumed;
            match step.event {
                Event::Line => break,
                Event::NeedMore => {
                    self.forget_input();
                    match self.woken().await? {
                        Woken::Input(0) => {
                            return Err(Ended::Broken(io::ErrorKind::UnexpectedEof.into()));
                        }
                        Woken::Input(count) => self.count_input(count)?,
                        Woken::Changes => {}
                        Woken::Shutdown => self.bye("The server is shutting down")?,
                        Woken::Late => self.late()?,
                    }
                }
                Event::Rejected(_) => {
                    return Ok(Answer::ClientResponse(ClientResponse::Malformed));
                }
                Event::Close(reason) => self.bye(reason_text(reason))?,
                Event::Complete
                | Event::Literal(_)
                | Event::Chunk(_)
                | Event::LiteralEnd { .. } => {
                    return Ok(Answer::ClientResponse(ClientResponse::Malformed));
                }
            }
        }
        let response = match server_line(self.framer.line()) {
            Ok(AuthLine::Response(data)) => ClientResponse::Data(data),
            Ok(AuthLine::Cancel) => ClientResponse::Cancelled,
            Err(NotBase64) => ClientResponse::Malformed,
        };
        Ok(Answer::ClientResponse(response))
    }

    /// Begins TLS. What came behind the command belongs to the handshake, so a command that was
    /// put there makes it fail and is never answered. RFC 9051 §6.2.1
    async fn start_tls(&mut self) -> Result<(), Ended> {
        self.send().await?;
        let early = self.input.split_off(self.used);
        self.input = Vec::new();
        self.used = 0;
        let (Some(stream), Some(server)) =
            (self.stream.take(), self.shared.settings.starttls.as_ref())
        else {
            return Err(Ended::Orderly);
        };
        let stream = stream.start_tls(early, server, HANDSHAKE_PATIENCE).await?;
        // What was offered before is not what can be used now. RFC 9051 §6.2.1
        self.session.set_mechanisms(self.shared.mechanisms(&stream));
        self.stream = Some(stream);
        self.framer.reset();
        self.greeted = false;
        self.session.tls_started();
        Ok(())
    }

    /// Begins compression. What came behind the command is taken for compressed, so that nothing
    /// that was put there in the clear can be understood. RFC 4978 §3
    async fn start_deflate(&mut self) -> Result<(), Ended> {
        self.send().await?;
        let early = self.input.split_off(self.used);
        self.input = Vec::new();
        self.used = 0;
        if let Some(stream) = &mut self.stream {
            stream.start_deflate(early);
        }
        Ok(())
    }

    /// Lets go of the account, and ends compression behind the reply. The next to log in finds a
    /// connection as new. RFC 8437 §3
    async fn unauthenticate(&mut self) -> Result<(), Ended> {
        self.send_and(Layer::Ends).await?;
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.is_compressed()) {
            if self.used < self.input.len() {
                // The client's layer ends with this command. RFC 8437 §4.1
                let fault = "compressed octets behind UNAUTHENTICATE";
                return Err(io::Error::new(io::ErrorKind::InvalidData, fault).into());
            }
            self.input = stream.stop_deflate();
            self.used = 0;
        }
        self.open = None;
        self.visits = Visits::default();
        self.deaf = false;
        self.framer.set_limits(Limits::BEFORE_LOGIN);
        self.begun = Instant::now();
        self.stranger_bytes = self.input.len() - self.used;
        Ok(())
    }

    /// Sends all output.
    pub(crate) async fn send(&mut self) -> Result<(), Ended> {
        self.send_and(Layer::GoesOn).await
    }

    async fn send_and(&mut self, layer: Layer) -> Result<(), Ended> {
        let Some(stream) = &mut self.stream else { return Err(Ended::Orderly) };
        // Whoever has a mailbox of another selected reads messages of no other account, but for
        // what is lent.
        let open = self.visits.selected.as_ref().or(self.open.as_ref());
        let account = self.lent.as_ref().or(open.map(|open| &open.handle));
        let patience = self.shared.settings.patience.write;
        self.output.send(stream, account, layer, patience).await?;
        Ok(())
    }

    /// Says what is left to say, then closes so that the peer sees the end.
    async fn end(mut self) {
        // If the peer is gone, there is nobody to tell.
        let _ = tokio::time::timeout(LAST_WORDS_PATIENCE, self.send()).await;
        if let Some(stream) = self.stream.take() {
            // The account is not held open by a client that is slow to close.
            self.open = None;
            self.visits = Visits::default();
            stream.close().await;
        }
    }
}

/// What was taken out of the input.
enum Taken {
    Command,
    Line,
    Literal(Offer),
    LiteralEnd(u32),
    Rejected(Rejection),
    Unreadable(Reason),
}

/// Waits for a change; `false` when the account is gone. The sender ends with the account, and the
/// state that it left says so.
async fn change(changes: Option<&mut watch::Receiver<Account>>) -> bool {
    match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn change_of_either(
    one: Option<&mut watch::Receiver<Account>>,
    other: Option<&mut watch::Receiver<Account>>,
) -> bool {
    tokio::select! {
        is_open = change(one) => is_open,
        is_open = change(other) => is_open,
    }
}

/// What a session sees of the world now.
fn world<'a>(open: Option<&'a Open>, visits: &'a Visits) -> World<'a> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let account = open.map(|open| &open.account);
    World { account, others: visits.seen(), now: InternalDate::utc(seconds) }
}

fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::LineTooLong => "The line is too long",
        Reason::CommandTooLong => "The command is too long",
        Reason::LiteralTooBig => "The literal is too big",
        Reason::UnaskedLiteralTooBig => "A literal of this size needs to be asked for",
        Reason::TooManyLiterals => "Too many literals",
        Reason::LiteralSize => "The size of the literal is no number",
        Reason::Refused => "The literal is not wanted",
    }
}

/// Whether a line is a request of HTTP.
fn is_foreign(frame: Frame<'_>) -> bool {
    const METHODS: &[&[u8]] =
        &[b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"PRI"];
    let mut words = frame.bytes.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_method = METHODS.iter().any(|known| known.eq_ignore_ascii_case(method));
    is_method && words.next_back().unwrap_or_default().to_ascii_uppercase().starts_with(b"HTTP/")
}

/// What a client may say before it logs in. Real ones need a few hundred octets.
const STRANGER_BYTES_MAX: usize = 64 * 1024;

/// Bad commands in a row before login.
const STRANGER_BAD_MAX: u32 = 3;

/// Bad commands in a row after login.
const BAD_MAX: u32 = 20;

/// How long the end of a connection waits for a peer to take the last words.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImapSettings;
    use mail_service::{PasswordCost, Service, ServiceConfig, World as ServiceWorld};
    use net::{LoginThrottle, Shutdown};
    use store::mem::Mem;

    /// The task of a connection is as large as its largest wait. Commands and handshakes are boxed;
    /// this keeps somebody from putting one of them back.
    #[tokio::test]
    async fn an_idle_connection_is_a_small_task() {
        let passwords = PasswordCost { memory_kib: 8, iterations: 1, ..PasswordCost::default() };
        let config = ServiceConfig { passwords, ..ServiceConfig::default() };
        let store = Arc::new(Mem::new());
        let service = Service::open(store, config, ServiceWorld::system()).await.unwrap();
        let throttle = Arc::new(LoginThrottle::default());
        let shared = Arc::new(Shared { service, throttle, settings: ImapSettings::default() });
        let (_client, server) = Stream::pair(1024);
        let shutdown = Shutdown::default();
        let connection = Connection::new(shared, server, Peer::Local, shutdown.token());
        let (own, session) = (size_of::<Connection>(), size_of::<Session>());
        let task = size_of_val(&connection.run());
        println!("connection {own}, session {session}, task {task}");
        assert!(
            task <= 2048 && session <= 1024,
            "connection {own}, session {session}, task {task}"
        );
    }
}
