//! A server without I/O, clock or storage: sessions over accounts in memory. What a script or a
//! fuzzer says goes through the framer, the parser and the session, and comes back as bytes.
//!
//! Contents of mailboxes are hidden from a session until it asks for them, rows come fewer than
//! asked for, and output is flushed at every chance, so that the paths of a real server are taken.

mod home;
mod visits;

use std::collections::HashMap;

use imap_proto::flow::{AuthLine, server_line};
use imap_proto::frame::{Decision, Event, Framer, Limits, Reply};
use imap_proto::types::Response;
use imap_proto::{BlobSlice, Sink, Transform, parse};
use imap_session::{
    Answer, AppendData, AppendItem, AppendPiece, AppendRequest, AuthenticationRefused,
    CleartextLogin, ClientResponse, LiteralRefusal, LiteralVerdict, Need, Others, ReadRequest,
    ReplaceRequest, SaslStep, Session, SessionConfig, Step, Then, Trouble, Unread, World,
};
use mail_types::{AccountId, InternalDate};
use mailbox::{Account, Actor, Annotations, Operation, Outcome, Refusal};
use mime::{Decoder, Encoding, LineEnds};

use home::{Home, Item, new_message, slice};
use visits::Visits;

use crate::script::{Peer, Received, SHARED_ACCOUNT};

/// Name of the first account.
pub const USER: &str = "office@harbour.example";
/// Password of all accounts.
pub const PASSWORD: &str = "tide-and-time";

/// A token that is good, and whose it is. RFC 7628 §4.1
pub const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
/// Whose token that is.
pub const TOKEN_USER: &str = "user@example.com";
/// What a client is told whose token is not good. RFC 7628 §4.3
pub const TOKEN_REFUSAL: &str = concat!(
    r#"{"status":"invalid_token","scope":"example_scope","#,
    r#""openid-configuration":"https://example.com/.well-known/openid-configuration"}"#,
);

/// The server.
pub struct PureServer {
    /// The accounts; the first is always there.
    homes: Vec<Home>,
    connections: HashMap<usize, Connection>,
    config: SessionConfig,
    now: InternalDate,
    /// How many seconds pass while a need is met.
    seconds_per_need: i64,
    /// How many needs are still met, and what becomes of the one after them.
    failure: Option<(usize, Trouble)>,
}

struct Connection {
    session: Session,
    /// Which account it has logged in to.
    own: usize,
    /// The accounts of others that it sees.
    visits: Visits,
    /// The account of the message that a URL names, until what was written of it is flushed.
    lent: Option<usize>,
    framer: Framer,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Octets of streamed literals by their index.
    staged: HashMap<u32, Vec<u8>>,
    refusal: Option<LiteralRefusal>,
    /// Whether the client has been told that its token is refused, and not answered yet.
    has_bad_token: bool,
    mode: Mode,
    is_closed: bool,
    /// Length of the output when it was last flushed, and the most that ever came at once.
    flushed: usize,
    unflushed_max: usize,
}

impl Connection {
    /// Whether it may be told of changes now: in IDLE, and after NOTIFY between commands.
    fn listens(&self) -> bool {
        let between = self.framer.is_between_commands() && self.session.is_listening();
        self.mode == Mode::Idling || (self.mode == Mode::Commands && between && !self.is_closed)
    }

    fn note_flush(&mut self) {
        let more = self.output.len().saturating_sub(self.flushed);
        self.unflushed_max = self.unflushed_max.max(more);
        self.flushed = self.output.len();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commands,
    /// The next line is a response of AUTHENTICATE.
    Authenticating,
    Idling,
}

impl Default for PureServer {
    fn default() -> Self {
        let config = SessionConfig {
            cleartext_login: CleartextLogin::Allowed,
            shared_accounts: [SHARED_ACCOUNT.to_owned()].into(),
            ..SessionConfig::default()
        };
        Self::new(config)
    }
}

impl PureServer {
    /// A server with one account that has the mailboxes of a new account.
    pub fn new(config: SessionConfig) -> Self {
        let now = InternalDate::utc(NOW);
        Self {
            homes: vec![Home::new(USER, now)],
            connections: HashMap::new(),
            config,
            now,
            seconds_per_need: 0,
            failure: None,
        }
    }

    /// The first account as it is committed.
    pub fn account(&self) -> &Account {
        &self.homes[FIRST].account
    }

    /// The most output that a connection had to hold before it could be sent, in octets.
    pub fn unflushed_max(&self, connection: usize) -> usize {
        self.connections.get(&connection).map_or(0, |state| state.unflushed_max)
    }

    /// Lets the need after the next `met` ones fail.
    pub fn fail_after(&mut self, met: usize, trouble: Trouble) {
        self.failure = Some((met, trouble));
    }

    /// Whether a failure still waits; it waits no longer.
    pub fn forget_failure(&mut self) -> bool {
        self.failure.take().is_some()
    }

    /// Sets the clock.
    pub fn set_now(&mut self, now: InternalDate) {
        self.now = now;
    }

    /// Lets so many seconds pass while each need is met.
    pub fn set_seconds_per_need(&mut self, seconds: i64) {
        self.seconds_per_need = seconds;
    }

    /// Forgets the history of changes up to now, as the sweep of a real server does in time.
    pub fn forget_history(&mut self) {
        for home in &mut self.homes {
            let floor = home.account.modseq();
            let pruned = home.submit(&Actor::Owner, &Operation::Prune { floor }, self.now);
            assert!(pruned.is_ok(), "history can always be forgotten");
        }
    }

    /// Adds a message to the first account as a delivery does.
    pub fn deliver(&mut self, mailbox: &str, bytes: &[u8]) {
        let name = mail_types::MailboxName::new(mailbox).ok();
        let id = name.and_then(|name| self.account().by_name(&name).map(|m| m.record().id));
        let Some(id) = id else { panic!("no mailbox {mailbox}") };
        let item = Item {
            bytes: bytes.to_vec(),
            flags: mail_types::Flags::default(),
            date: self.now,
            annotations: Annotations::default(),
        };
        let added = self.homes[FIRST].add(&Actor::Owner, id, vec![item], self.now);
        assert!(added.is_ok(), "{added:?}");
        self.tell_idlers();
    }

    /// Feeds what has come in to the framer until it has no more.
    fn pump(&mut self, connection: usize) {
        while let Some(mut state) = self.connections.remove(&connection) {
            let goes_on = !state.is_closed && self.pump_once(&mut state);
            self.connections.insert(connection, state);
            self.tell_idlers();
            if !goes_on {
                return;
            }
        }
    }

    /// Takes one event; `false` when more input is needed.
    fn pump_once(&mut self, state: &mut Connection) -> bool {
        let input = std::mem::take(&mut state.input);
        let step = state.framer.push(&input);
        let consumed = step.consumed;
        let event = match step.event {
            Event::NeedMore => Seen::NeedMore,
            Event::Complete => Seen::Complete,
            Event::Line => Seen::Line,
            Event::Literal(offer) => Seen::Literal(offer),
            Event::Chunk(bytes) => Seen::Chunk(bytes.to_vec()),
            Event::LiteralEnd { .. } => Seen::LiteralEnd,
            Event::Rejected(rejection) => Seen::Rejected(rejection),
            Event::Close(_) => Seen::Close,
        };
        state.input = input.get(consumed..).unwrap_or_default().to_vec();
        match event {
            Seen::NeedMore => return false,
            Seen::Complete => self.command(state),
            Seen::Line => self.line(state),
            Seen::Literal(offer) => self.literal(state, &offer),
            Seen::Chunk(bytes) => {
                if let Some(last) = state.framer.frame().streamed.last().copied() {
                    state.staged.entry(last).or_default().extend_from_slice(&bytes);
                }
            }
            Seen::LiteralEnd => {}
            Seen::Rejected(rejection) => {
                let refusal = state.refusal.take();
                state.staged.clear();
                state.session.rejected(&rejection, refusal, &mut state.output);
                if state.mode == Mode::Authenticating {
                    state.mode = Mode::Commands;
                }
            }
            Seen::Close => {
                state.session.bye("The line is too long", &mut state.output);
                state.is_closed = true;
            }
        }
        !state.is_closed
    }

    fn literal(&mut self, state: &mut Connection, offer: &imap_proto::frame::Offer) {
        let visible = self.homes[state.own].visible();
        let account = state.session.is_logged_in().then_some(&visible);
        let world = World::new(account, self.now);
        let verdict = state.session.literal_offered(state.framer.frame(), offer, world);
        let decision = match verdict {
            LiteralVerdict::Keep => Decision::Keep,
            LiteralVerdict::Stream => {
                state.staged.insert(offer.index, Vec::new());
                Decision::Stream
            }
            LiteralVerdict::Refuse(refusal) => {
                state.refusal = Some(refusal);
                Decision::Refuse
            }
        };
        if state.framer.decide(decision) == Reply::Continue {
            state.session.go_on(&mut state.output);
        }
    }

    fn command(&mut self, state: &mut Connection) {
        match parse::command(state.framer.frame()) {
            Ok(command) => {
                let step = self.with_session(state, |session, world, sink| {
                    session.begin(command, world, sink)
                });
                self.drive(state, step);
            }
            Err(error) => state.session.bad_command(&error, &mut state.output),
        }
    }

    fn line(&mut self, state: &mut Connection) {
        let line = state.framer.line().to_vec();
        let step = match std::mem::replace(&mut state.mode, Mode::Commands) {
            Mode::Commands => return,
            Mode::Idling => self
                .with_session(state, |session, world, sink| session.idle_done(&line, world, sink)),
            Mode::Authenticating => {
                let response = match server_line(&line) {
                    Ok(AuthLine::Response(data)) => ClientResponse::Data(data),
                    Ok(AuthLine::Cancel) => ClientResponse::Cancelled,
                    Err(_) => ClientResponse::Malformed,
                };
                self.with_session(state, |session, world, sink| {
                    session.resume(Answer::ClientResponse(response), world, sink)
                })
            }
        };
        self.drive(state, step);
    }

    /// Meets needs until the command has ended or waits for the client.
    fn drive(&mut self, state: &mut Connection, mut step: Step) {
        loop {
            let need = match step {
                Step::Need(need) => need,
                Step::Idle => {
                    if state.mode != Mode::Idling {
                        state.mode = Mode::Idling;
                        state.framer.expect_line();
                    }
                    return;
                }
                Step::Done(then) => {
                    state.staged.clear();
                    state.end_visits();
                    state.note_flush();
                    state.framer.set_limits(match state.session.is_logged_in() {
                        true => Limits::AUTHENTICATED,
                        false => Limits::BEFORE_LOGIN,
                    });
                    match then {
                        // Nothing between the two ends of a pipe compresses, or has to.
                        Then::Continue | Then::Compress | Then::Unauthenticate => {}
                        Then::StartTls => state.session.tls_started(),
                        Then::Close => state.is_closed = true,
                    }
                    return;
                }
            };
            if matches!(need, Need::ClientResponse) {
                state.mode = Mode::Authenticating;
                state.framer.expect_line();
                return;
            }
            let answer = self.answer(state, need);
            self.now = InternalDate::utc(self.now.seconds().saturating_add(self.seconds_per_need));
            step = self
                .with_session(state, |session, world, sink| session.resume(answer, world, sink));
        }
    }

    fn answer(&mut self, state: &mut Connection, need: Need) -> Answer {
        match self.failure.take() {
            Some((0, trouble)) => return Answer::Failed(trouble),
            Some((met, trouble)) => self.failure = Some((met - 1, trouble)),
            None => {}
        }
        match need {
            Need::Login { user, password } => self.login(state, &user, password.expose()),
            Need::Sasl(step) => self.sasl(state, &step),
            Need::ClientResponse => Answer::Failed(Trouble::Unavailable),
            Need::Refresh => Answer::Ready,
            Need::Flush => {
                state.note_flush();
                state.lent = None;
                Answer::Ready
            }
            Need::Open(mailbox) => {
                self.homes[state.asked()].open(mailbox);
                Answer::Ready
            }
            Need::Submit(operation) => self.submit(state, &operation),
            Need::Append(request) => self.append(state, request),
            Need::Replace(request) => self.replace(state, request),
            Need::Rows(ids) => {
                assert!(ids.len() <= Need::ROWS_MAX, "{} rows at once", ids.len());
                // A real server may give fewer rows than asked for.
                let count = ids.len().min(ROWS_AT_ONCE);
                let row = |id: &_| self.homes[state.asked()].row(*id);
                Answer::Rows(ids.iter().take(count).map(row).collect())
            }
            Need::AuthorizeUrls(urls) => Answer::UrlTokens(self.homes[state.own].authorize(&urls)),
            Need::ResetAccessKeys(mailbox) => {
                self.homes[state.own].reset_access_keys(mailbox);
                Answer::Ready
            }
            Need::OpenUrl(request) => {
                let owner = request.url.server.as_ref().and_then(|server| server.user.as_deref());
                let owner = owner.and_then(|owner| self.home(owner.as_bytes()));
                let reader = self.homes[state.own].name.as_str();
                let opened =
                    owner.and_then(|owner| self.homes[owner].open_url(&request, reader, self.now));
                state.lent = owner;
                Answer::UrlOpened(opened)
            }
            Need::ReadUrl(requests) => self.read_all(state.lent.unwrap_or(state.own), &requests),
            Need::Read(requests) => self.read_all(state.asked(), &requests),
            Need::Hold(requests) => {
                let octets: u64 = requests.iter().map(|r| r.range.end - r.range.start).sum();
                assert!(octets <= Need::HOLD_BYTES_MAX, "{octets} octets at once");
                let home = &self.homes[state.written()];
                let held = |request| home.read(request).map(drop).ok_or(Unread::Gone);
                Answer::Held(requests.iter().map(held).collect())
            }
            Need::Visit(owner) => self.visit(state, &owner),
            Need::Stay => state.stay(),
            Need::Sharers => self.sharers(state),
            Need::CopyAcross(request) => self.copy_across(state, &request),
            Need::SetAcl(request) => self.set_acl(state, request),
        }
    }

    fn append(&mut self, state: &mut Connection, request: AppendRequest) -> Answer {
        let mut items = Vec::new();
        for message in request.messages {
            match self.arrived(state, message) {
                Ok(item) => items.push(item),
                Err(trouble) => return Answer::Failed(trouble),
            }
        }
        if !items.iter().all(Item::has_parts) {
            return Answer::Submitted(Err(Refusal::NoSuchPart));
        }
        let (home, actor) = (state.asked(), self.actor(state.asked(), state));
        Answer::Submitted(self.homes[home].add(&actor, request.mailbox, items, self.now))
    }

    fn read_all(&self, home: usize, requests: &[ReadRequest]) -> Answer {
        let octets: u64 = requests.iter().map(|r| r.range.end - r.range.start).sum();
        assert!(octets <= Need::READ_BYTES_MAX, "{octets} octets at once");
        let read = |request| self.homes[home].read(request).ok_or(Unread::Gone);
        Answer::Read(requests.iter().map(read).collect())
    }

    fn replace(&mut self, state: &mut Connection, request: ReplaceRequest) -> Answer {
        let ReplaceRequest { from, uid, to, message } = request;
        let item = match self.arrived(state, message) {
            Ok(item) => item,
            Err(trouble) => return Answer::Failed(trouble),
        };
        if !item.has_parts() {
            return Answer::Submitted(Err(Refusal::NoSuchPart));
        }
        let operation = Operation::Replace { from, uid, to, message: new_message(&item) };
        let actor = self.actor(state.asked(), state);
        let home = &mut self.homes[state.asked()];
        let outcome = home.submit(&actor, &operation, self.now);
        if let Ok(Outcome::Replaced { message, .. }) = &outcome {
            home.keep(*message, item.bytes);
        }
        Answer::Submitted(outcome)
    }

    fn arrived(&self, state: &mut Connection, item: AppendItem) -> Result<Item, Trouble> {
        // What URLs of CATENATE name is the session's own, wherever it goes.
        let home = &self.homes[state.own];
        let mut staged = |index| state.staged.remove(&index).ok_or(Trouble::Corrupt);
        let bytes = match item.data {
            AppendData::Inline(bytes) => bytes,
            AppendData::Staged { index } => staged(index)?,
            AppendData::Catenated(pieces) => {
                let mut bytes = Vec::new();
                for piece in pieces {
                    bytes.extend(match piece {
                        AppendPiece::Inline(octets) => octets,
                        AppendPiece::Staged { index, size } => {
                            let octets = staged(index)?;
                            assert_eq!(octets.len() as u64, size, "of literal {index}");
                            octets
                        }
                        AppendPiece::Stored(request) => {
                            home.read(&request).ok_or(Trouble::Corrupt)?
                        }
                    });
                }
                bytes
            }
        };
        Ok(Item { bytes, flags: item.flags, date: item.date, annotations: item.annotations })
    }

    /// Which account has this name.
    fn home(&self, name: &[u8]) -> Option<usize> {
        self.homes.iter().position(|home| name.eq_ignore_ascii_case(home.name.as_bytes()))
    }

    fn login(&self, state: &mut Connection, user: &[u8], password: &[u8]) -> Answer {
        match self.home(user).filter(|_| password == PASSWORD.as_bytes()) {
            Some(home) => {
                state.own = home;
                let id = AccountId(home as u64 + 1);
                state.session.set_account(&self.homes[home].name, id);
                Answer::Authenticated { data: None }
            }
            None => Answer::AuthenticationRefused(AuthenticationRefused::Credentials),
        }
    }

    /// PLAIN: `[authzid] NUL authcid NUL passwd`. RFC 4616 §2. OAUTHBEARER and XOAUTH2 with one
    /// good token. RFC 7628 §3
    fn sasl(&self, state: &mut Connection, step: &SaslStep) -> Answer {
        let was_told = std::mem::take(&mut state.has_bad_token);
        let message = match step {
            SaslStep::Start { initial: None, .. } => return Answer::Challenge(Vec::new()),
            SaslStep::Start { initial: Some(message), .. } | SaslStep::Response(message) => message,
        };
        if was_told && matches!(step, SaslStep::Response(_)) {
            return Answer::AuthenticationRefused(AuthenticationRefused::Credentials);
        }
        if let Some(at) = message.expose().windows(5).position(|word| word == b"auth=") {
            let auth = message.expose().get(at + 5..).unwrap_or_default();
            let token = auth.strip_prefix(b"Bearer ").and_then(|it| it.strip_suffix(b"\x01\x01"));
            if token == Some(TOKEN.as_bytes()) {
                return self.login(state, USER.as_bytes(), PASSWORD.as_bytes());
            }
            state.has_bad_token = true;
            return Answer::Challenge(TOKEN_REFUSAL.as_bytes().to_vec());
        }
        let mut parts = message.expose().split(|byte| *byte == 0);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(user), Some(password), None) => self.login(state, user, password),
            _ => Answer::AuthenticationRefused(AuthenticationRefused::Malformed),
        }
    }

    fn with_session(
        &self,
        state: &mut Connection,
        call: impl FnOnce(&mut Session, World<'_>, &mut dyn Sink) -> Step,
    ) -> Step {
        let visible = |home: usize| self.homes[home].visible();
        let own = visible(state.own);
        let selected = state.visits.selected.map(visible);
        let visited = state.visits.visited.map(visible);
        let others = Others { selected: selected.as_ref(), visited: visited.as_ref() };
        let world = World { account: Some(&own), others, now: self.now };
        let home = &self.homes[state.written()];
        let mut sink = Splice { output: &mut state.output, home };
        call(&mut state.session, world, &mut sink)
    }

    /// Tells what is new to every connection that may be told.
    fn tell_idlers(&mut self) {
        let mut idlers: Vec<usize> = self.connections.keys().copied().collect();
        idlers.retain(|id| self.connections.get(id).is_some_and(Connection::listens));
        idlers.sort_unstable();
        for id in idlers {
            let Some(mut state) = self.connections.remove(&id) else { continue };
            let step =
                self.with_session(&mut state, |session, world, sink| session.changes(world, sink));
            self.drive(&mut state, step);
            self.connections.insert(id, state);
        }
    }
}

enum Seen {
    NeedMore,
    Complete,
    Line,
    Literal(imap_proto::frame::Offer),
    Chunk(Vec<u8>),
    LiteralEnd,
    Rejected(imap_proto::frame::Rejection),
    Close,
}

impl PureServer {
    /// Everything that waits for a connection.
    pub fn said(&mut self, connection: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Received::Bytes(more) = self.receive(connection) {
            bytes.extend_from_slice(&more);
        }
        bytes
    }

    /// Sends a command, or several lines of them, on the first connection; what is said to it.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(1, format!("{command}\r\n").as_bytes());
        String::from_utf8_lossy(&self.said(1)).into_owned()
    }
}

/// The responses in what a server said.
///
/// # Errors
/// What our own client cannot read.
pub fn responses(bytes: &[u8]) -> Result<Vec<Response>, String> {
    let mut framer = Framer::client(Limits::RESPONSES);
    let mut rest = bytes;
    let mut responses = Vec::new();
    loop {
        let step = framer.push(rest);
        let (consumed, event) = (step.consumed, step.event);
        rest = &rest[consumed..];
        match event {
            Event::NeedMore => return Ok(responses),
            Event::Literal(_) => drop(framer.decide(Decision::Keep)),
            Event::Complete => {
                let response = parse::response(framer.frame());
                responses.push(response.map_err(|error| error.to_string())?);
            }
            other => return Err(format!("{other:?}")),
        }
    }
}

impl Peer for PureServer {
    fn connect(&mut self, connection: usize) {
        let mut state = Connection {
            has_bad_token: false,
            session: Session::new(self.config.clone()),
            own: FIRST,
            visits: Visits::default(),
            lent: None,
            framer: Framer::server(Limits::BEFORE_LOGIN),
            input: Vec::new(),
            output: Vec::new(),
            staged: HashMap::new(),
            refusal: None,
            mode: Mode::Commands,
            is_closed: false,
            flushed: 0,
            unflushed_max: 0,
        };
        state.session.greeting(&mut state.output);
        self.connections.insert(connection, state);
    }

    fn send(&mut self, connection: usize, bytes: &[u8]) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.input.extend_from_slice(bytes);
        }
        self.pump(connection);
    }

    fn receive(&mut self, connection: usize) -> Received {
        let Some(state) = self.connections.get_mut(&connection) else { return Received::Closed };
        state.flushed = 0;
        match std::mem::take(&mut state.output) {
            bytes if !bytes.is_empty() => Received::Bytes(bytes),
            _ if state.is_closed => Received::Closed,
            _ => Received::Quiet,
        }
    }

    fn credentials(&self) -> (String, String) {
        (USER.to_owned(), PASSWORD.to_owned())
    }

    fn make_account(&mut self, name: &str) {
        if self.home(name.as_bytes()).is_none() {
            self.homes.push(Home::new(name, self.now));
        }
    }
}

/// Output with the octets of messages in their places.
struct Splice<'a> {
    output: &'a mut Vec<u8>,
    home: &'a Home,
}

impl Sink for Splice<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn blob(&mut self, wanted: BlobSlice) {
        let stored = self.home.bytes(wanted.message);
        let raw = stored.and_then(|bytes| slice(bytes, &wanted.range)).unwrap_or_default();
        let decoded = match wanted.transform {
            Transform::Identity => raw.to_vec(),
            Transform::Base64 { skip } => decoded(raw, Encoding::Base64, skip),
            Transform::QuotedPrintable { skip } => decoded(raw, Encoding::QuotedPrintable, skip),
        };
        let length = usize::try_from(wanted.length).unwrap_or(usize::MAX);
        assert!(decoded.len() >= length, "{wanted:?} has only {} octets", decoded.len());
        self.output.extend_from_slice(decoded.get(..length).unwrap_or_default());
    }
}

fn decoded(raw: &[u8], encoding: Encoding, skip: u64) -> Vec<u8> {
    let mut decoder = Decoder::new(encoding, LineEnds::Keep);
    let mut out = Vec::new();
    decoder.push(raw, &mut out);
    decoder.finish(&mut out);
    let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(out.len());
    out.split_off(skip)
}

/// Fewer than a session asks for, so that it has to ask again.
const ROWS_AT_ONCE: usize = 7;
/// 14 November 2023, in the evening.
const NOW: i64 = 1_700_000_000;
/// The account that is always there.
const FIRST: usize = 0;
