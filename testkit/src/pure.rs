//! A server without I/O, clock or storage: sessions over one account in memory. What a script or a
//! fuzzer says goes through the framer, the parser and the session, and comes back as bytes.
//!
//! Contents of mailboxes are hidden from a session until it asks for them, rows come fewer than
//! asked for, and output is flushed at every chance, so that the paths of a real server are taken.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use imap_proto::flow::{AuthLine, server_line};
use imap_proto::frame::{Decision, Event, Framer, Limits, Reply};
use imap_proto::types::Response;
use imap_proto::url::UrlAccess;
use imap_proto::{BlobSlice, Sink, Transform, parse};
use imap_session::{
    Answer, AppendData, AppendItem, AppendPiece, AppendRequest, AuthenticationRefused,
    CleartextLogin, ClientResponse, LiteralRefusal, LiteralVerdict, Need, ReadRequest,
    ReplaceRequest, SaslStep, Session, SessionConfig, Step, Then, Trouble, Unread, UrlRequest,
    UrlToSign, World,
};
use mail_types::{InternalDate, MailboxId, MessageId};
use mailbox::{
    Account, Annotations, Context, NewMessage, Operation, Outcome, Refusal, apply, decide,
};
use mime::{Decoder, Encoding, LineEnds, Message};

use crate::script::{Peer, Received};

/// Name of the account.
pub const USER: &str = "office@harbour.example";
/// Its password.
pub const PASSWORD: &str = "tide-and-time";

/// The server.
pub struct PureServer {
    account: Account,
    messages: HashMap<MessageId, Stored>,
    /// Mailboxes whose contents sessions may see.
    opened: BTreeSet<MailboxId>,
    connections: HashMap<usize, Connection>,
    /// What URLs are authorized with.
    access_keys: HashMap<MailboxId, u64>,
    keys_made: u64,
    config: SessionConfig,
    now: InternalDate,
    /// How many seconds pass while a need is met.
    seconds_per_need: i64,
    /// How many needs are still met, and what becomes of the one after them.
    failure: Option<(usize, Trouble)>,
}

struct Stored {
    bytes: Vec<u8>,
    row: Arc<Message>,
}

struct Connection {
    session: Session,
    framer: Framer,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Octets of streamed literals by their index.
    staged: HashMap<u32, Vec<u8>>,
    refusal: Option<LiteralRefusal>,
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
        let config =
            SessionConfig { cleartext_login: CleartextLogin::Allowed, ..SessionConfig::default() };
        Self::new(config)
    }
}

impl PureServer {
    /// A server with one account that has the mailboxes of a new account.
    pub fn new(config: SessionConfig) -> Self {
        let mut server = Self {
            account: Account::empty(),
            messages: HashMap::new(),
            opened: BTreeSet::new(),
            connections: HashMap::new(),
            access_keys: HashMap::new(),
            keys_made: 0,
            config,
            now: InternalDate::utc(NOW),
            seconds_per_need: 0,
            failure: None,
        };
        let created = server.submit(&Operation::CreateAccount);
        assert!(created.is_ok(), "a new account cannot be refused");
        server
    }

    /// The account as it is committed.
    pub fn account(&self) -> &Account {
        &self.account
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
        let floor = self.account.modseq();
        let pruned = self.submit(&Operation::Prune { floor });
        assert!(pruned.is_ok(), "history can always be forgotten");
    }

    /// Adds a message as a delivery does.
    pub fn deliver(&mut self, mailbox: &str, bytes: &[u8]) {
        let name = mail_types::MailboxName::new(mailbox).ok();
        let id = name.and_then(|name| self.account.by_name(&name).map(|m| m.record().id));
        let Some(id) = id else { panic!("no mailbox {mailbox}") };
        let item = Item {
            bytes: bytes.to_vec(),
            flags: mail_types::Flags::default(),
            date: self.now,
            annotations: Annotations::default(),
        };
        let added = self.add(id, vec![item]);
        assert!(added.is_ok(), "{added:?}");
        self.tell_idlers();
    }

    fn submit(&mut self, operation: &Operation) -> Result<Outcome, Refusal> {
        let context = Context { now: self.now.seconds() };
        let decision = decide(&self.account, operation, &context)?;
        if let Some(entry) = &decision.entry {
            self.account = apply(&self.account, entry)
                .unwrap_or_else(|error| panic!("{operation:?} was decided wrongly: {error}"));
        }
        Ok(decision.outcome)
    }

    fn add(&mut self, mailbox: MailboxId, items: Vec<Item>) -> Result<Outcome, Refusal> {
        let messages = items.iter().map(new_message).collect();
        let outcome = self.submit(&Operation::AddMessages { mailbox, messages })?;
        if let Outcome::Added { messages, .. } = &outcome {
            for (id, item) in messages.iter().zip(items) {
                self.keep(*id, item.bytes);
            }
        }
        Ok(outcome)
    }

    /// The account as sessions see it: contents only of what was opened.
    fn visible(&self) -> Account {
        let hidden: Vec<MailboxId> = self
            .account
            .mailboxes()
            .map(|mailbox| mailbox.record().id)
            .filter(|id| !self.opened.contains(id))
            .collect();
        hidden.into_iter().fold(self.account.clone(), |account, id| account.without_contents(id))
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
                state.session.bye("Too long", &mut state.output);
                state.is_closed = true;
            }
        }
        !state.is_closed
    }

    fn literal(&mut self, state: &mut Connection, offer: &imap_proto::frame::Offer) {
        let visible = self.visible();
        let account = state.session.is_logged_in().then_some(&visible);
        let world = World { account, now: self.now };
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
            state.output.extend_from_slice(b"+ OK\r\n");
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
            Need::Login { user, password } => {
                login(&user, password.expose() == PASSWORD.as_bytes())
            }
            Need::Sasl(step) => sasl(&step),
            Need::ClientResponse => Answer::Failed(Trouble::Unavailable),
            Need::Refresh => Answer::Ready,
            Need::Flush => {
                state.note_flush();
                Answer::Ready
            }
            Need::Open(mailbox) => {
                self.opened.insert(mailbox);
                Answer::Ready
            }
            Need::Submit(operation) => Answer::Submitted(self.submit(&operation)),
            Need::Append(request) => self.append(state, request),
            Need::Replace(request) => self.replace(state, request),
            Need::Rows(ids) => {
                assert!(ids.len() <= Need::ROWS_MAX, "{} rows at once", ids.len());
                // A real server may give fewer rows than asked for.
                let count = ids.len().min(ROWS_AT_ONCE);
                let row = |id| self.messages.get(id).map(|stored| stored.row.clone());
                Answer::Rows(ids.iter().take(count).map(row).collect())
            }
            Need::AuthorizeUrls(urls) => {
                let is_own = urls.iter().all(|url| url.owner.eq_ignore_ascii_case(USER));
                let token = |url: &UrlToSign| {
                    let key = *self.access_keys.entry(url.mailbox).or_insert(self.keys_made);
                    self.keys_made += 1;
                    token(key, &url.text)
                };
                Answer::UrlTokens(is_own.then(|| urls.iter().map(token).collect()))
            }
            Need::ResetAccessKeys(None) => {
                self.access_keys.clear();
                Answer::Ready
            }
            Need::ResetAccessKeys(Some(mailbox)) => {
                self.access_keys.insert(mailbox, self.keys_made);
                self.keys_made += 1;
                Answer::Ready
            }
            Need::OpenUrl(request) => Answer::UrlOpened(self.open_url(&request)),
            Need::ReadUrl(requests) | Need::Read(requests) => {
                let octets: u64 = requests.iter().map(|r| r.range.end - r.range.start).sum();
                assert!(octets <= Need::READ_BYTES_MAX, "{octets} octets at once");
                let read = |request| self.read(request).ok_or(Unread::Gone);
                Answer::Read(requests.iter().map(read).collect())
            }
            Need::Hold(requests) => {
                let octets: u64 = requests.iter().map(|r| r.range.end - r.range.start).sum();
                assert!(octets <= Need::HOLD_BYTES_MAX, "{octets} octets at once");
                let held = |request| self.read(request).map(drop).ok_or(Unread::Gone);
                Answer::Held(requests.iter().map(held).collect())
            }
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
        Answer::Submitted(self.add(request.mailbox, items))
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
        let outcome = self.submit(&operation);
        if let Ok(Outcome::Replaced { message, .. }) = &outcome {
            self.keep(*message, item.bytes);
        }
        Answer::Submitted(outcome)
    }

    fn arrived(&self, state: &mut Connection, item: AppendItem) -> Result<Item, Trouble> {
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
                            self.read(&request).ok_or(Trouble::Corrupt)?
                        }
                    });
                }
                bytes
            }
        };
        Ok(Item { bytes, flags: item.flags, date: item.date, annotations: item.annotations })
    }

    fn keep(&mut self, id: MessageId, bytes: Vec<u8>) {
        let row = Arc::new(mime::parse(&bytes));
        self.messages.insert(id, Stored { bytes, row });
    }

    fn read(&self, request: &ReadRequest) -> Option<Vec<u8>> {
        let stored = self.messages.get(&request.message)?;
        Some(slice(&stored.bytes, &request.range)?.to_vec())
    }

    /// The message that a URL names, if the account itself authorized it and may have it.
    fn open_url(&self, request: &UrlRequest) -> Option<(MessageId, Arc<Message>)> {
        let UrlRequest { url, text } = request;
        let auth = url.auth.as_ref()?;
        let verifier = auth.verifier.as_ref()?;
        let rump = std::str::from_utf8(text.get(..verifier.rump_bytes)?).ok()?;
        let is_user = |user: &str| user.eq_ignore_ascii_case(USER);
        let is_allowed = match &auth.access {
            UrlAccess::Submit(_) => false,
            UrlAccess::User(user) => is_user(user),
            UrlAccess::AuthUser | UrlAccess::Anonymous => true,
        };
        let is_in_time = auth.expire.is_none_or(|last| self.now.seconds() <= last);
        let name = mail_types::MailboxName::new(&url.mailbox).ok()?;
        let mailbox = self.account.by_name(&name)?;
        let record = mailbox.record();
        let is_same = url.uid_validity.is_none_or(|validity| validity == record.uid_validity);
        let key = *self.access_keys.get(&record.id)?;
        let is_authentic = token(key, rump).eq_ignore_ascii_case(&verifier.token);
        let is_owner = is_user(url.server.as_ref()?.user.as_ref()?);
        if !(is_allowed && is_in_time && is_same && is_authentic && is_owner) {
            return None;
        }
        let message = mailbox.contents()?.find(url.uid)?.message();
        Some((message, Arc::clone(&self.messages.get(&message)?.row)))
    }

    fn with_session(
        &self,
        state: &mut Connection,
        call: impl FnOnce(&mut Session, World<'_>, &mut dyn Sink) -> Step,
    ) -> Step {
        let visible = self.visible();
        let world = World { account: Some(&visible), now: self.now };
        let mut sink = Splice { output: &mut state.output, messages: &self.messages };
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

/// A message as it comes.
struct Item {
    bytes: Vec<u8>,
    flags: mail_types::Flags,
    date: InternalDate,
    annotations: Annotations,
}

impl Item {
    /// Whether it has the body parts that its annotations are for.
    fn has_parts(&self) -> bool {
        let row = mime::parse(&self.bytes);
        let mut parts = self.annotations.iter().filter_map(|(name, ..)| name.part());
        parts.all(|part| row.part(&part).is_some())
    }
}

fn new_message(item: &Item) -> NewMessage {
    NewMessage {
        message: None,
        thread: None,
        size: u32::try_from(item.bytes.len()).unwrap_or(u32::MAX),
        internal_date: item.date,
        flags: item.flags.clone(),
        annotations: item.annotations.clone(),
    }
}

/// Not secret at all, but another one for every key and every text.
fn token(key: u64, text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (key, text).hash(&mut hasher);
    format!("00{:064x}", hasher.finish())
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
            session: Session::new(self.config.clone()),
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
}

/// Output with the octets of messages in their places.
struct Splice<'a> {
    output: &'a mut Vec<u8>,
    messages: &'a HashMap<MessageId, Stored>,
}

impl Sink for Splice<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn blob(&mut self, wanted: BlobSlice) {
        let stored = self.messages.get(&wanted.message).map(|stored| stored.bytes.as_slice());
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

fn slice<'a>(bytes: &'a [u8], range: &std::ops::Range<u64>) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

fn login(user: &[u8], password_is_right: bool) -> Answer {
    if password_is_right && user.eq_ignore_ascii_case(USER.as_bytes()) {
        Answer::Authenticated { data: None }
    } else {
        Answer::AuthenticationRefused(AuthenticationRefused::Credentials)
    }
}

/// PLAIN: `[authzid] NUL authcid NUL passwd`. RFC 4616 §2
fn sasl(step: &SaslStep) -> Answer {
    let message = match step {
        SaslStep::Start { initial: None, .. } => return Answer::Challenge(Vec::new()),
        SaslStep::Start { initial: Some(message), .. } | SaslStep::Response(message) => message,
    };
    let mut parts = message.expose().split(|byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(user), Some(password), None) => login(user, password == PASSWORD.as_bytes()),
        _ => Answer::AuthenticationRefused(AuthenticationRefused::Malformed),
    }
}

/// Fewer than a session asks for, so that it has to ask again.
const ROWS_AT_ONCE: usize = 7;
/// 14 November 2023, in the evening.
const NOW: i64 = 1_700_000_000;
