//! A session as a state machine: bytes in, events and replies out. RFC 5321, RFC 2033, RFC 6409
//!
//! [`Session::advance`] takes what it understands from the front of the input and says what must
//! happen next. Replies are collected in [`Session::replies`]; the shell sends them before it waits
//! for input, so that a group of pipelined commands is answered in one write (RFC 2920 §3.2).
//!
//! One machine serves three roles, which differ in little: see [`Role`].

use mail_types::Secret;

use crate::burl::Load;
use crate::text::{Chunk, Place, Receipt};
use crate::{Burl, Content, FutureRelease, OriginalRecipient, Release, Reply};

/// For whom a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A mail server of ours hands mail over, and hears of each recipient. RFC 2033
    Lmtp,
    /// Any stranger brings mail for the people here. RFC 5321
    Mx,
    /// The people here send mail, once they have said who they are. RFC 6409
    Submission,
}

/// What the server offers, fixed for the life of a session.
#[derive(Clone, Debug)]
pub struct Offer {
    /// For whom the session is.
    pub role: Role,
    /// The server's name, in the greeting and in the reply to EHLO.
    pub hostname: String,
    /// The longest message, in octets.
    pub message_bytes_max: u64,
    /// Whether STARTTLS may be asked for.
    pub starttls: StartTls,
    /// SASL mechanisms that can be used on this connection; AUTH is offered if there are any.
    pub mechanisms: Vec<String>,
    /// Whether notifications can be asked for.
    pub dsn: Dsn,
    /// How far ahead mail can be handed in; `None`: not at all.
    pub future_release: Option<FutureRelease>,
    /// Whether URLs can be handed in instead of text.
    pub burl: Burl,
    /// Whether TLS can be asked for on the whole way.
    pub require_tls: RequireTls,
}

/// Whether STARTTLS may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// It may.
    Offered,
    /// There is no certificate, or TLS is established already.
    Absent,
}

/// Whether the parameters of RFC 3461 are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dsn {
    /// They are, and somebody acts on them.
    Offered,
    /// They are not.
    Absent,
}

/// Whether REQUIRETLS is taken. RFC 8689 §2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTls {
    /// It is: the connection is under TLS, and whoever carries the message on honours it.
    Offered,
    /// It is not.
    Absent,
}

/// What must happen next.
#[derive(Clone, Debug)]
pub enum Event {
    /// Send the replies, then bring more input.
    NeedInput,
    /// Is this client who it says? Answer with [`Session::answer_auth`].
    Auth(AuthStep),
    /// May who is logged in send mail from this address? Answer with [`Session::answer_sender`].
    Sender(String),
    /// Is there a way to this address? Answer with [`Session::answer_recipient`].
    Recipient(String),
    /// A message is about to come. Answer with [`Session::answer_data`].
    Data,
    /// The next piece of the message.
    Text(Vec<u8>),
    /// Find what this URL names, for who has logged in. Answer with [`Session::answer_url`].
    Url(String),
    /// Bring the next piece of it. Answer with [`Session::answer_url_text`].
    UrlText,
    /// The message is whole. Deliver it, then answer with [`Session::answer_message`].
    End,
    /// Nothing will come of the message. Drop what was taken of it.
    Abandon,
    /// Send the replies, then begin TLS with the rest of the input and go on with a new session.
    StartTls,
    /// Send the replies, then close.
    Close,
}

/// A step of an authentication. RFC 4954 §4
#[derive(Clone, Debug)]
pub enum AuthStep {
    /// It begins.
    Start {
        /// As the client spelt it; it is one of those that were offered.
        mechanism: String,
        /// The initial response, if the client sent one.
        initial: Option<Secret>,
    },
    /// The answer to the last challenge.
    Response(Secret),
}

/// The answer to [`Event::Auth`].
#[derive(Clone, Debug)]
pub enum AuthAnswer {
    /// Send this challenge, which may be empty.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done {
        /// Additional data that belong to success: sent as a challenge and answered by an empty
        /// response. RFC 4954 §4
        data: Option<Vec<u8>>,
    },
    /// It is not, or it is not known.
    Refused(Reply),
}

/// The message that is being handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL FROM, empty for `<>`.
    pub reverse_path: String,
    /// Accepted recipients in the order of RCPT TO.
    pub recipients: Vec<Recipient>,
    /// Whether the client declared international addresses (RFC 6531).
    pub utf8: bool,
    /// Whether the client declared octets beyond ASCII in the text (RFC 6152).
    pub eight_bit: bool,
    /// How much of the message a notification shall return. RFC 3461 §4.3
    pub ret: Option<Ret>,
    /// The sender's name for this message, decoded. RFC 3461 §4.4
    pub envelope_id: Option<String>,
    /// When it shall leave; `None` is at once. RFC 4865
    pub release: Option<Release>,
    /// Whether TLS was asked for on the whole way. RFC 8689 §2
    pub require_tls: bool,
}

/// One accepted recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Its address.
    pub address: String,
    /// When the sender wants to be notified; `None` leaves it to the server. RFC 3461 §4.1
    pub notify: Option<Notify>,
    /// The recipient as the sender first knew him. RFC 3461 §4.2
    pub original: Option<OriginalRecipient>,
}

/// How much of the message a notification shall return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// When a notification is wanted; with nothing set, never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// When the message was delivered.
    pub success: bool,
    /// When it cannot be delivered.
    pub failure: bool,
    /// When it takes long.
    pub delay: bool,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    pub(crate) offer: Offer,
    pub(crate) client: Option<Client>,
    pub(crate) transaction: Option<Transaction>,
    /// The message as far as it has come, from the reply to DATA or the first BDAT to its end.
    pub(crate) receipt: Option<Receipt>,
    pub(crate) stage: Stage,
    pub(crate) is_authenticated: bool,
    pub(crate) counts: Counts,
    /// The time, in seconds since 1970. The shell sets it before it brings input; it says until
    /// when mail can be held.
    pub now_secs: i64,
    /// Replies not sent yet. The shell sends them and clears the buffer.
    pub replies: Vec<u8>,
}

/// What the client called itself, and how.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) greeting: Greeting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// EHLO or LHLO: the client knows extensions.
    Extended,
    /// HELO.
    Plain,
}

/// What a client has used up.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Consecutive refusals.
    errors: u32,
    /// Commands since the last message that bring no message nearer.
    pub(crate) idle: u32,
    /// MAIL commands.
    pub(crate) mails: u32,
    /// Failed authentications.
    pub(crate) auth_failures: u32,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Commands,
    /// Skipping the rest of a command line that is too long.
    LongLine,
    AwaitAuth(AuthStep),
    /// The client's answer to a challenge is to come.
    AuthLine(AfterChallenge),
    AwaitSender(Transaction),
    AwaitRecipient(Recipient),
    /// With what the message begins.
    AwaitData(Opening),
    Text(Content),
    Chunk(Chunk),
    /// The rest of a chunk that nobody wants, and what is replied then.
    SkipChunk(Chunk, Reply),
    AwaitUrl(Load),
    AwaitUrlText(Place),
    /// A piece of what a URL names; an empty one is its end.
    UrlPiece(Vec<u8>, Place),
    /// A message that nothing will come of has to be dropped.
    Abandoned,
    AwaitDelivery,
    Closed,
}

/// With what a message begins.
#[derive(Debug)]
pub(crate) enum Opening {
    /// All of it, behind 354.
    Text,
    /// With the octets of a BDAT.
    Chunk(Chunk),
    /// With what a URL names.
    Url(Load),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterChallenge {
    /// The mechanism goes on.
    GoOn,
    /// It has succeeded; the response must be empty.
    Succeed,
}

impl Session {
    /// A session of a client that has just connected: the greeting is among the replies.
    pub fn new(offer: Offer) -> Self {
        let mut session = Self::after_tls(offer);
        let protocol = if session.is(Role::Lmtp) { "LMTP" } else { "ESMTP" };
        let greeting = format!("220 {} {protocol} Pillarbox\r\n", session.offer.hostname);
        session.replies = greeting.into_bytes();
        session
    }

    /// A session of a client that talked before it was greeted, as only those do who do not listen:
    /// it is over. RFC 5321 §3.1, §4.3.1
    pub fn early_talker(offer: Offer) -> Self {
        let mut session = Self::after_tls(offer);
        session.end(Reply::new(554, "5.5.0", "Speak when you have been greeted"));
        session
    }

    /// A session after STARTTLS: nothing that was said before counts, and there is no second
    /// greeting. RFC 3207 §4.2
    pub fn after_tls(offer: Offer) -> Self {
        Self {
            offer,
            client: None,
            transaction: None,
            receipt: None,
            stage: Stage::Commands,
            is_authenticated: false,
            counts: Counts::default(),
            now_secs: 0,
            replies: Vec::new(),
        }
    }

    /// What the client called itself.
    pub fn client_name(&self) -> &str {
        self.client.as_ref().map(|client| client.name.as_str()).unwrap_or_default()
    }

    /// Whether the client knows extensions: it said EHLO, or LHLO.
    pub fn is_extended(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.greeting == Greeting::Extended)
    }

    /// The message that is being handed over.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// Whether a message text is being received, which may take longer than a command.
    pub fn is_in_text(&self) -> bool {
        matches!(self.stage, Stage::Text(_) | Stage::Chunk(_) | Stage::SkipChunk(..))
    }

    /// Takes from the front of `input` and says what must happen next.
    pub fn advance(&mut self, input: &mut Vec<u8>) -> Event {
        loop {
            let event = match &mut self.stage {
                Stage::Commands | Stage::AuthLine(_) => self.line(input),
                Stage::LongLine => self.skip_long_line(input),
                Stage::Text(_) => self.text(input),
                Stage::Chunk(_) => self.chunk(input),
                Stage::SkipChunk(..) => self.skip_chunk(input),
                Stage::AwaitAuth(step) => Some(Event::Auth(step.clone())),
                Stage::AwaitSender(transaction) => {
                    Some(Event::Sender(transaction.reverse_path.clone()))
                }
                Stage::AwaitRecipient(recipient) => {
                    Some(Event::Recipient(recipient.address.clone()))
                }
                Stage::AwaitData(_) => Some(Event::Data),
                Stage::AwaitUrl(load) => Some(Event::Url(load.url.clone())),
                Stage::AwaitUrlText(_) => Some(Event::UrlText),
                Stage::UrlPiece(..) => self.url_piece(),
                Stage::Abandoned => {
                    self.stage = Stage::Commands;
                    Some(Event::Abandon)
                }
                Stage::AwaitDelivery => Some(Event::End),
                Stage::Closed => Some(Event::Close),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// The answer to [`Event::Sender`].
    pub fn answer_sender(&mut self, reply: Reply) {
        let Stage::AwaitSender(transaction) = std::mem::replace(&mut self.stage, Stage::Commands)
        else {
            return;
        };
        if reply.is_success() {
            self.transaction = Some(transaction);
        }
        self.count(reply);
    }

    /// The answer to [`Event::Recipient`].
    pub fn answer_recipient(&mut self, reply: Reply) {
        let Stage::AwaitRecipient(recipient) = std::mem::replace(&mut self.stage, Stage::Commands)
        else {
            return;
        };
        if reply.is_success()
            && let Some(transaction) = &mut self.transaction
        {
            transaction.recipients.push(recipient);
        }
        // Asking for names is not a protocol error, but doing only that is not delivering mail.
        self.count(reply);
    }

    /// The answer to [`Event::Data`]: `Ok` lets the text come.
    pub fn answer_data(&mut self, answer: Result<(), Reply>) {
        let Stage::AwaitData(opening) = std::mem::replace(&mut self.stage, Stage::Commands) else {
            return;
        };
        match answer {
            Ok(()) => {
                let urls = u32::from(matches!(opening, Opening::Url(_)));
                self.receipt = Some(Receipt::of_urls(urls));
            }
            Err(_) => drop(self.forget()),
        }
        match (answer, opening) {
            (Ok(()), Opening::Text) => {
                Reply::new(354, "", "End with <CRLF>.<CRLF>").write(&mut self.replies);
                self.stage = Stage::Text(Content::default());
            }
            (Ok(()), Opening::Chunk(chunk)) => self.stage = Stage::Chunk(chunk),
            (Ok(()), Opening::Url(load)) => self.stage = Stage::AwaitUrl(load),
            (Err(reply), Opening::Text | Opening::Url(_)) => self.count(reply),
            (Err(reply), Opening::Chunk(chunk)) => self.stage = Stage::SkipChunk(chunk, reply),
        }
    }

    /// The answer to [`Event::End`]. For LMTP one reply for each accepted recipient, in their
    /// order, each true for its own recipient (RFC 2033 §4.2); else one for all.
    pub fn answer_message(&mut self, replies: &[Reply]) {
        self.stage = Stage::Commands;
        let Some(transaction) = self.forget() else { return };
        self.counts.idle = 0;
        if !self.is(Role::Lmtp) {
            assert_eq!(replies.len(), 1, "one reply a message");
            replies.iter().for_each(|reply| self.count(*reply));
            return;
        }
        assert_eq!(replies.len(), transaction.recipients.len(), "one reply a recipient");
        for (reply, recipient) in replies.iter().zip(&transaction.recipients) {
            reply.write_for(&recipient.address, &mut self.replies);
        }
    }

    /// Ends the session from our side, after the command it is in.
    pub fn end(&mut self, reply: Reply) {
        reply.write(&mut self.replies);
        self.stage = Stage::Closed;
    }

    pub(crate) fn is(&self, role: Role) -> bool {
        self.offer.role == role
    }

    /// Forgets the transaction and whatever came of its message.
    pub(crate) fn forget(&mut self) -> Option<Transaction> {
        self.receipt = None;
        self.transaction.take()
    }

    /// Writes the reply; a client that only makes mistakes is sent away.
    pub(crate) fn count(&mut self, reply: Reply) {
        reply.write(&mut self.replies);
        if reply.code < 500 {
            self.counts.errors = 0;
            return;
        }
        self.counts.errors += 1;
        if self.counts.errors >= ERRORS_MAX {
            self.end(Reply::new(421, "4.7.0", "Too many errors"));
        }
    }
}

/// The most recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100 at least. Each holds a copy
/// of the message being written.
pub const RECIPIENTS_MAX: usize = 100;

/// The most MAIL commands of one session, whether they succeed or not. RFC 9422 §4.1
pub const MAILS_MAX: u32 = 1000;

/// Consecutive refusals before the connection is closed. One message may name many who do not
/// exist any more, so it is more than the most recipients.
pub const ERRORS_MAX: u32 = 200;
