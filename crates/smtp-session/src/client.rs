//! The dialogue as a client: one message for some recipients, from the greeting to QUIT.
//!
//! What the server says is pushed in, what it is to be told comes out, and the [`ClientStep`] says
//! what the driver has to do besides. What became of each recipient is known at every moment:
//! before the end of the text has been answered, nobody was reached. RFC 5321 §4.2.5, §6.1

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use crate::response::{Response, Responses};

/// One message to be handed on.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The name by which this server calls itself. RFC 5321 §4.1.1.1
    pub name: String,
    /// How the connection is to be protected.
    pub tls: ClientTls,
    /// What the other server wants to know before it takes mail.
    pub credentials: Option<Credentials>,
    /// The reverse-path without its brackets; empty for `<>`.
    pub sender: String,
    /// The forward-paths without their brackets, and what NOTIFY and ORCPT say of each.
    pub recipients: Vec<Addressee>,
    /// Octets of the message. RFC 1870
    pub size: u64,
    /// Whether it has octets above 127. RFC 6152
    pub has_8bit: bool,
    /// Whether an address or a header is in UTF-8. RFC 6531
    pub smtputf8: bool,
    /// Whether every server on the way has to protect it. RFC 8689
    pub require_tls: bool,
    /// RET and ENVID as they are written, in xtext. RFC 3461 §4.3, §4.4
    pub dsn: String,
}

/// One recipient of an [`Errand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Its address.
    pub address: String,
    /// NOTIFY and ORCPT as they are written, in xtext. RFC 3461 §4.1, §4.2
    pub dsn: String,
}

/// A name and a password, for AUTH PLAIN. RFC 4954, RFC 4616
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: mail_types::Secret,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTls {
    /// It is not: on this machine only.
    None,
    /// By STARTTLS if the server offers it.
    Opportunistic,
    /// By STARTTLS, or nothing is sent.
    Required,
    /// From the first octet on.
    Active,
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Send the output, and read.
    Read,
    /// Send the output, and begin TLS; then call [`Client::tls_started`].
    StartTls,
    /// Send the output and the text with its end; then call [`Client::text_sent`].
    Text,
    /// Send the output, and close.
    Close,
    /// Nothing: the message was taken, and the connection can take another. See
    /// [`Client::standing`].
    Rest,
}

/// A dialogue between two messages: what is known of the other side. RFC 5321 §4.1.1.4 leaves
/// nothing else of the message before.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    offer: Offered,
    is_protected: bool,
}

/// What a server takes its time for. RFC 5321 §4.5.3.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The greeting.
    Greeting,
    /// The answer to EHLO, STARTTLS or AUTH.
    Command,
    /// The answer to MAIL.
    Mail,
    /// The answer to RCPT.
    Recipient,
    /// The answer to DATA.
    Data,
    /// The answer to the end of the text.
    End,
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The other server has taken the message.
    Taken(Response),
    /// Not now.
    Deferred(Response),
    /// Not ever.
    Refused(Response),
}

/// The dialogue.
pub struct Client {
    errand: Errand,
    responses: Responses,
    output: Vec<u8>,
    offer: Offered,
    state: State,
    /// Replies that are still to come to commands that were sent together.
    awaited: VecDeque<Awaited>,
    /// How many of them were sent.
    said: usize,
    /// Replies that have come.
    replies: usize,
    /// For each recipient, what RCPT was answered; then what became of it.
    fates: Vec<Option<Fate>>,
    is_protected: bool,
    /// Whether a message was begun: what went wrong before has nothing to do with it.
    has_begun: bool,
    /// Whether the server has said anything but that it leaves.
    was_heard: bool,
    lacks_tls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    /// MAIL, RCPT and DATA, one after the other or together.
    Envelope,
    /// The text is being sent.
    Text,
    /// The end of the text has been sent.
    End,
    /// It has been taken, and another message may follow.
    Rest,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Mail,
    Recipient(usize),
    Data,
}

/// What the server can do, from EHLO.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    starttls: bool,
    pipelining: bool,
    size: Option<u64>,
    eight_bit: bool,
    smtputf8: bool,
    dsn: bool,
    auth_plain: bool,
    require_tls: bool,
}

impl Client {
    /// A dialogue that waits for the greeting.
    pub fn new(errand: Errand) -> Self {
        let fates = vec![None; errand.recipients.len()];
        let is_protected = errand.tls == ClientTls::Active;
        Self {
            errand,
            responses: Responses::default(),
            output: Vec::new(),
            offer: Offered::default(),
            state: State::Greeting,
            awaited: VecDeque::new(),
            said: 0,
            replies: 0,
            fates,
            is_protected,
            has_begun: false,
            was_heard: false,
            lacks_tls: false,
        }
    }

    /// Goes on with another message where a dialogue rests.
    pub fn resume(errand: Errand, standing: Standing) -> (Self, ClientStep) {
        let mut client = Self::new(errand);
        (client.offer, client.is_protected) = (standing.offer, standing.is_protected);
        let step = client.begin_mail();
        (client, step)
    }

    /// What another message can go on with, once the step is [`ClientStep::Rest`].
    pub fn standing(&self) -> Option<Standing> {
        let (offer, is_protected) = (self.offer, self.is_protected);
        (self.state == State::Rest).then_some(Standing { offer, is_protected })
    }

    /// Whether it came so far that the message itself was spoken of. Before, another server of
    /// the same domain may do better. RFC 5321 §5.1
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the server has said anything but that it leaves: a connection that had rested for
    /// too long has not.
    pub fn was_heard(&self) -> bool {
        self.was_heard
    }

    /// Whether the server did not protect the connection when it was asked to.
    pub fn lacks_tls(&self) -> bool {
        self.lacks_tls
    }

    /// Whether the server says that it can protect the connection: one that does not is asked again
    /// in vain.
    pub fn offers_tls(&self) -> bool {
        self.offer.starttls
    }

    /// Whether TLS protects the connection.
    pub fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// What is to be sent now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the server passes NOTIFY on. RFC 3461 §6.2
    pub fn has_dsn(&self) -> bool {
        self.offer.dsn
    }

    /// What the server is expected to answer now.
    pub fn awaits(&self) -> Wait {
        match (self.state, self.awaited.front()) {
            (State::Greeting, _) => Wait::Greeting,
            (State::Envelope, Some(Awaited::Mail)) => Wait::Mail,
            (State::Envelope, Some(Awaited::Recipient(_))) => Wait::Recipient,
            (State::Envelope, Some(Awaited::Data)) => Wait::Data,
            (State::Text | State::End, _) => Wait::End,
            _ => Wait::Command,
        }
    }

    /// Replies that have come so far: whoever waits for one knows by it that it was there.
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// Takes octets of the server and goes on as far as they reach.
    pub fn push(&mut self, bytes: &[u8]) -> ClientStep {
        self.responses.push(bytes);
        loop {
            match self.responses.take() {
                Ok(Some(response)) => {
                    self.replies += 1;
                    let step = self.take(&response);
                    if step != ClientStep::Read {
                        return step;
                    }
                }
                Ok(None) => return ClientStep::Read,
                Err(fault) => {
                    return self.give_up(&Response::local(451, [4, 5, 0], fault));
                }
            }
        }
    }

    /// TLS protects the connection now. What was learnt before it counts for nothing. RFC 3207 §4.2
    pub fn tls_started(&mut self) {
        self.is_protected = true;
        self.offer = Offered::default();
        self.responses = Responses::default();
        self.say_ehlo();
    }

    /// The text has been sent with its end.
    pub fn text_sent(&mut self) {
        self.state = State::End;
    }

    /// What became of each recipient. Of whom nothing is known, nothing was sent, or its end was
    /// not answered: `why` is then what is known of it.
    pub fn into_fates(self, why: &Response) -> Vec<Fate> {
        let unknown = || Fate::Deferred(why.clone());
        let is_over = matches!(self.state, State::Over | State::Rest);
        let settle = |fate: Option<Fate>| match fate {
            // RCPT was answered well, and then the connection broke.
            Some(Fate::Taken(_)) if !is_over => unknown(),
            Some(fate) => fate,
            None => unknown(),
        };
        self.fates.into_iter().map(settle).collect()
    }

    fn take(&mut self, response: &Response) -> ClientStep {
        // RFC 5321 §3.8: it may come at any time, and then the server is gone.
        if response.code == 421 && !matches!(self.state, State::Over | State::Rest) {
            return self.give_up(response);
        }
        self.was_heard = true;
        match self.state {
            State::Greeting => self.greeted(response),
            State::Ehlo => self.extended(response),
            State::Helo => match response.is_success() {
                true => self.protect(),
                // It has something against this server, not against the mail.
                false => self.end_with(&response.deferred()),
            },
            State::StartTls => match response.code {
                // Who speaks before the handshake is not the one behind it. RFC 3207 §6
                220 if self.responses.has_more() => self.give_up(&too_early()),
                220 => ClientStep::StartTls,
                // RFC 3207 §4.1: the client decides; nobody is lost by going on without.
                _ => self.go_on_in_clear(),
            },
            State::Auth => match response.is_success() {
                true => self.begin_mail(),
                // The mail is not to blame, so it waits for better credentials.
                false => self.end_with(&response.deferred()),
            },
            State::Envelope => self.envelope(response),
            // Nobody can have taken a text that is not whole. What is said now would be part of it,
            // so there is no QUIT.
            State::Text if response.is_success() => self.give_up(&too_early()),
            State::Text => self.give_up(response),
            State::End => self.ended(response),
            State::Rest | State::Over => ClientStep::Close,
        }
    }

    /// RFC 5321 §3.1: 554 says that this is no place for mail, which may be so for a while only.
    fn greeted(&mut self, response: &Response) -> ClientStep {
        if !response.is_success() {
            return self.end_with(&response.deferred());
        }
        self.say_ehlo();
        ClientStep::Read
    }

    fn say_ehlo(&mut self) {
        self.state = State::Ehlo;
        let name = self.errand.name.clone();
        self.say(&format!("EHLO {name}"));
    }

    fn extended(&mut self, response: &Response) -> ClientStep {
        if response.is_success() {
            self.offer = Offered::read(response);
            return self.protect();
        }
        if response.is_permanent() {
            // An old server. RFC 5321 §3.2
            self.state = State::Helo;
            let name = self.errand.name.clone();
            self.say(&format!("HELO {name}"));
            return ClientStep::Read;
        }
        self.end_with(response)
    }

    fn protect(&mut self) -> ClientStep {
        if self.is_protected || self.errand.tls == ClientTls::None {
            return self.authenticate();
        }
        if self.offer.starttls {
            self.state = State::StartTls;
            self.say("STARTTLS");
            return ClientStep::Read;
        }
        self.go_on_in_clear()
    }

    /// The server does not protect the connection.
    fn go_on_in_clear(&mut self) -> ClientStep {
        self.lacks_tls = true;
        match self.errand.tls {
            ClientTls::Opportunistic => self.authenticate(),
            _ => self.end_with(&unprotected()),
        }
    }

    fn authenticate(&mut self) -> ClientStep {
        let Some(credentials) = self.errand.credentials.clone() else { return self.begin_mail() };
        // RFC 4954 §4: no password in the clear, except within this machine.
        if !self.is_protected && self.errand.tls != ClientTls::None {
            return self.end_with(&unprotected());
        }
        if !self.offer.auth_plain {
            let text = "the server does not offer AUTH PLAIN";
            return self.end_with(&Response::local(454, [4, 7, 0], text));
        }
        self.state = State::Auth;
        let initial = credentials.plain();
        self.say(&format!("AUTH PLAIN {initial}"));
        ClientStep::Read
    }

    /// What the server cannot take is known before it is sent.
    fn begin_mail(&mut self) -> ClientStep {
        if self.errand.require_tls && !(self.is_protected && self.offer.require_tls) {
            // RFC 8689 §4.2.1; another server of the domain may know it.
            return self.end_with(&Response::local(550, [5, 7, 30], NO_REQUIRETLS));
        }
        self.has_begun = true;
        let has_utf8 = self.errand.has_utf8_address();
        let refusal = if self.offer.size.is_some_and(|max| max > 0 && self.errand.size > max) {
            Some(Response::local(552, [5, 3, 4], "the message is larger than the server takes"))
        } else if (self.errand.smtputf8 || has_utf8) && !self.offer.smtputf8 {
            // RFC 6531 §3.5
            Some(Response::local(550, [5, 6, 7], "the server takes no addresses in UTF-8"))
        } else if self.errand.has_8bit && !self.offer.eight_bit {
            // RFC 6152 §3: it must not be sent, and to change a message would break its signatures.
            Some(Response::local(554, [5, 6, 3], "the server takes no octets above 127"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.end_with(&refusal);
        }
        self.state = State::Envelope;
        self.awaited.push_back(Awaited::Mail);
        self.awaited.extend((0..self.errand.recipients.len()).map(Awaited::Recipient));
        self.awaited.push_back(Awaited::Data);
        self.say_envelope()
    }

    /// Several commands at once if the server takes them so, else the next one; not so many that
    /// both sides could wait for each other to read. RFC 2920 §3.1
    fn say_envelope(&mut self) -> ClientStep {
        let count = if self.offer.pipelining { PIPELINED_MAX } else { 1 };
        let lines = self.awaited.iter().take(count).map(|awaited| self.line(*awaited));
        let commands: Vec<String> = lines.collect();
        self.said = commands.len();
        for command in commands {
            self.say(&command);
        }
        ClientStep::Read
    }

    fn line(&self, awaited: Awaited) -> String {
        match awaited {
            Awaited::Mail => self.mail(),
            Awaited::Recipient(index) => {
                let Some(to) = self.errand.recipients.get(index) else { return String::new() };
                let dsn = if self.offer.dsn { to.dsn.as_str() } else { "" };
                format!("RCPT TO:<{}>{dsn}", to.address)
            }
            Awaited::Data => "DATA".to_owned(),
        }
    }

    fn mail(&self) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.errand.sender);
        if self.offer.size.is_some() {
            let _ = write!(line, " SIZE={}", self.errand.size);
        }
        if self.errand.has_8bit {
            line.push_str(" BODY=8BITMIME");
        }
        if self.errand.smtputf8 || self.errand.has_utf8_address() {
            line.push_str(" SMTPUTF8");
        }
        if self.errand.require_tls {
            line.push_str(" REQUIRETLS");
        }
        if self.offer.dsn {
            line.push_str(&self.errand.dsn);
        }
        line
    }

    fn envelope(&mut self, response: &Response) -> ClientStep {
        let Some(awaited) = self.awaited.pop_front().filter(|_| self.said > 0) else {
            return self.give_up(&too_early());
        };
        self.said -= 1;
        match awaited {
            Awaited::Mail if !response.is_success() => self.settle(&blameless(response)),
            Awaited::Mail => {}
            Awaited::Recipient(index) => {
                if let Some(fate @ None) = self.fates.get_mut(index) {
                    *fate = Some(Fate::of(&blameless(response)));
                }
            }
            Awaited::Data => return self.data(response),
        }
        if self.said > 0 {
            return ClientStep::Read;
        }
        // What would be said in vain is not said.
        if !self.fates.iter().any(|fate| matches!(fate, None | Some(Fate::Taken(_)))) {
            return self.quit();
        }
        self.say_envelope()
    }

    fn data(&mut self, response: &Response) -> ClientStep {
        let is_wanted = self.fates.iter().any(|fate| matches!(fate, Some(Fate::Taken(_))));
        match (response.code, is_wanted) {
            // The answer to a text that was not sent yet is an answer to another one.
            (354, _) if self.responses.has_more() => self.give_up(&too_early()),
            (354, true) => {
                self.state = State::Text;
                ClientStep::Text
            }
            // It wants a text for nobody: it gets an empty one. RFC 2920 §3.1
            (354, false) => {
                self.state = State::End;
                self.output.extend_from_slice(b".\r\n");
                ClientStep::Read
            }
            _ => self.end_with(response),
        }
    }

    /// The one answer that hands responsibility over. RFC 5321 §4.2.5
    fn ended(&mut self, response: &Response) -> ClientStep {
        for fate in &mut self.fates {
            if let Some(Fate::Taken(_)) = fate {
                *fate = Some(Fate::of(response));
            }
        }
        // Who says more than he was asked is not to be trusted with another message.
        if response.is_success() && !self.responses.has_more() {
            self.state = State::Rest;
            return ClientStep::Rest;
        }
        self.quit()
    }

    /// Of all of whom nothing else is known, this is.
    fn settle(&mut self, response: &Response) {
        for fate in &mut self.fates {
            if matches!(fate, None | Some(Fate::Taken(_))) {
                *fate = Some(Fate::not_taken(response));
            }
        }
    }

    fn end_with(&mut self, response: &Response) -> ClientStep {
        self.settle(response);
        self.quit()
    }

    /// Ends without a word: the server would not listen, or not understand.
    fn give_up(&mut self, response: &Response) -> ClientStep {
        self.settle(response);
        self.state = State::Over;
        ClientStep::Close
    }

    fn quit(&mut self) -> ClientStep {
        self.state = State::Over;
        self.say("QUIT");
        ClientStep::Close
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for Client {
    /// Without its output, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Errand {
    fn has_utf8_address(&self) -> bool {
        let recipients = self.recipients.iter().map(|to| &to.address);
        !recipients.chain([&self.sender]).all(|address| address.is_ascii())
    }
}

impl Fate {
    fn of(response: &Response) -> Self {
        match response.is_success() {
            true => Self::Taken(response.clone()),
            false => Self::not_taken(response),
        }
    }

    /// Whatever is no refusal for good may be different another time.
    fn not_taken(response: &Response) -> Self {
        match response.is_permanent() {
            true => Self::Refused(response.clone()),
            false => Self::Deferred(response.clone()),
        }
    }
}

impl Credentials {
    fn plain(&self) -> String {
        use base64::Engine as _;
        let mut message = vec![0];
        message.extend_from_slice(self.user.as_bytes());
        message.push(0);
        message.extend_from_slice(self.password.expose());
        base64::engine::general_purpose::STANDARD.encode(message)
    }
}

impl Offered {
    /// RFC 5321 §4.1.1.1: keywords in any letter case, the first line is the server's name.
    fn read(response: &Response) -> Self {
        let mut offer = Self::default();
        for line in response.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "STARTTLS" => offer.starttls = true,
                "PIPELINING" => offer.pipelining = true,
                "8BITMIME" => offer.eight_bit = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "DSN" => offer.dsn = true,
                "REQUIRETLS" => offer.require_tls = true,
                // 0 and nothing are no limit. RFC 1870 §4
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "AUTH" => offer.auth_plain |= words.any(|w| w.eq_ignore_ascii_case("PLAIN")),
                _ => {}
            }
        }
        offer
    }
}

/// A server that wants a password has nothing against the mail. RFC 4954 §6
fn blameless(response: &Response) -> Response {
    if response.code == 530 { response.deferred() } else { response.clone() }
}

fn too_early() -> Response {
    Response::local(451, [4, 5, 0], "the server answered what it had not been asked yet")
}

const NO_REQUIRETLS: &str = "the server does not promise to protect the message on its further way";

/// Commands that are sent together.
const PIPELINED_MAX: usize = 50;

fn unprotected() -> Response {
    Response::local(454, [4, 7, 10], "the server does not offer TLS")
}

/// A text as it is sent: with a dot before each line that begins with one, CRLF at the end of each
/// line, and its end behind it. RFC 5321 §4.5.2
#[derive(Debug)]
pub struct Stuffing {
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Middle,
    Cr,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { at: At::LineStart }
    }
}

impl Stuffing {
    /// The next octets of the text, as they are sent. A bare CR or LF becomes CRLF: no server may
    /// see another end of a line than this one does.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            match (self.at, byte) {
                (At::Cr, b'\n') => {
                    self.at = At::LineStart;
                    continue;
                }
                (_, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    continue;
                }
                (_, b'\r') => {
                    out.extend_from_slice(b"\r\n");
                    self.at = At::Cr;
                    continue;
                }
                (At::LineStart | At::Cr, b'.') => out.push(b'.'),
                _ => {}
            }
            out.push(byte);
            self.at = At::Middle;
        }
    }

    /// Ends the text.
    pub fn end(self, out: &mut Vec<u8>) {
        if self.at == At::Middle {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(to: &[&str]) -> Errand {
        let addressee = |address: &&str| Addressee {
            address: (*address).to_owned(),
            dsn: " NOTIFY=FAILURE".to_owned(),
        };
        Errand {
            name: "mail.example.org".to_owned(),
            tls: ClientTls::None,
            credentials: None,
            sender: "dock@example.org".to_owned(),
            recipients: to.iter().map(addressee).collect(),
            size: 100,
            has_8bit: false,
            smtputf8: false,
            require_tls: false,
            dsn: " RET=HDRS".to_owned(),
        }
    }

    fn lost() -> Response {
        Response::local(421, [4, 4, 2], "the connection was lost")
    }

    /// Goes through a dialogue: what the server says, and what is said to it then.
    fn talk(errand: Errand, lines: &[(&str, &str)]) -> (Client, ClientStep) {
        let mut client = Client::new(errand);
        let mut step = ClientStep::Read;
        for (said, expected) in lines {
            step = client.push(format!("{said}\r\n").as_bytes());
            let output = String::from_utf8(client.take_output()).unwrap();
            assert_eq!(output.replace("\r\n", "|"), *expected, "after {said}");
            match step {
                ClientStep::StartTls => client.tls_started(),
                ClientStep::Text => client.text_sent(),
                ClientStep::Read | ClientStep::Close | ClientStep::Rest => {}
            }
        }
        (client, step)
    }

    fn codes(client: Client) -> Vec<(char, u16)> {
        let shown = |fate| match fate {
            Fate::Taken(r) => ('t', r.code),
            Fate::Deferred(r) => ('d', r.code),
            Fate::Refused(r) => ('r', r.code),
        };
        client.into_fates(&lost()).into_iter().map(shown).collect()
    }

    #[test]
    fn one_after_the_other_where_the_server_wants_it_so() {
        let (client, step) = talk(
            errand(&["a@example.net", "b@example.net"]),
            &[
                ("220 net ESMTP", "EHLO mail.example.org|"),
                ("500 what", "HELO mail.example.org|"),
                ("250 net", "MAIL FROM:<dock@example.org>|"),
                ("250 ok", "RCPT TO:<a@example.net>|"),
                ("250 ok", "RCPT TO:<b@example.net>|"),
                ("550 5.1.1 no such user", "DATA|"),
                ("354 go on", ""),
                ("250 taken", ""),
            ],
        );
        assert_eq!(step, ClientStep::Rest);
        assert_eq!(codes(client), [('t', 250), ('r', 550)]);
    }

    #[test]
    fn all_at_once_where_it_can_be() {
        let (client, _) = talk(
            errand(&["a@example.net", "b@example.net", "c@example.net"]),
            &[
                ("220 net", "EHLO mail.example.org|"),
                (
                    "250-net\r\n250-pipelining\r\n250-SIZE 1000\r\n250 DSN",
                    "MAIL FROM:<dock@example.org> SIZE=100 RET=HDRS|\
                     RCPT TO:<a@example.net> NOTIFY=FAILURE|\
                     RCPT TO:<b@example.net> NOTIFY=FAILURE|\
                     RCPT TO:<c@example.net> NOTIFY=FAILURE|DATA|",
                ),
                ("250 ok\r\n250 ok\r\n452 4.2.2 full\r\n550 no\r\n354 go", ""),
                ("451 4.3.0 disk", "QUIT|"),
            ],
        );
        assert_eq!(codes(client), [('d', 451), ('d', 452), ('r', 550)]);
    }

    #[test]
    fn a_text_that_nobody_wants_is_empty() {
        let (client, _) = talk(
            errand(&["a@example.net"]),
            &[
                ("220 net", "EHLO mail.example.org|"),
                (
                    "250-net\r\n250 PIPELINING",
                    "MAIL FROM:<dock@example.org>|RCPT TO:<a@example.net>|DATA|",
                ),
                ("250 ok\r\n550 no\r\n354 go", ".|"),
                ("250 thanks", ""),
            ],
        );
        assert_eq!(codes(client), [('r', 550)]);
    }

    #[test]
    fn a_refused_sender_is_refused_for_all_whatever_the_rest_is_answered() {
        let (client, _) = talk(
            errand(&["a@example.net"]),
            &[
                ("220 net", "EHLO mail.example.org|"),
                (
                    "250-net\r\n250 PIPELINING",
                    "MAIL FROM:<dock@example.org>|RCPT TO:<a@example.net>|DATA|",
                ),
                ("550 5.7.1 not you\r\n503 no sender\r\n503 no recipient", "QUIT|"),
            ],
        );
        assert_eq!(codes(client), [('r', 550)]);
    }

    #[test]
    fn what_is_offered_before_tls_counts_for_nothing() {
        let (client, _) = talk(
            Errand { tls: ClientTls::Required, ..errand(&["a@example.net"]) },
            &[
                ("220 net", "EHLO mail.example.org|"),
                ("250-net\r\n250-DSN\r\n250 STARTTLS", "STARTTLS|"),
                // The EHLO behind the handshake is told with the next output.
                ("220 go", ""),
                ("250 net", "EHLO mail.example.org|MAIL FROM:<dock@example.org>|"),
                ("250 ok", "RCPT TO:<a@example.net>|"),
            ],
        );
        assert!(!client.has_dsn());
        assert_eq!(codes(client), [('d', 421)]);
    }

    #[test]
    fn without_tls_nothing_is_sent_where_it_has_to_be() {
        for (tls, last) in [
            (ClientTls::Required, "QUIT|"),
            (ClientTls::Opportunistic, "MAIL FROM:<dock@example.org>|"),
        ] {
            let (client, _) = talk(
                Errand { tls, ..errand(&["a@example.net"]) },
                &[("220 net", "EHLO mail.example.org|"), ("250 net", last)],
            );
            let code = if tls == ClientTls::Required { 454 } else { 421 };
            assert_eq!(codes(client), [('d', code)]);
        }
    }

    #[test]
    fn a_connection_rests_after_a_message_and_takes_another() {
        let errand = errand(&["a@example.net"]);
        let (client, step) = talk(
            errand.clone(),
            &[
                ("220 net", "EHLO mail.example.org|"),
                ("250-net\r\n250 DSN", "MAIL FROM:<dock@example.org> RET=HDRS|"),
                ("250 ok", "RCPT TO:<a@example.net> NOTIFY=FAILURE|"),
                ("250 ok", "DATA|"),
                ("354 go on", ""),
                ("250 taken", ""),
            ],
        );
        assert_eq!(step, ClientStep::Rest);
        let standing = client.standing().unwrap();
        assert_eq!(codes(client), [('t', 250)]);
        let (mut client, step) = Client::resume(errand.clone(), standing);
        assert_eq!(step, ClientStep::Read);
        assert_eq!(client.take_output(), b"MAIL FROM:<dock@example.org> RET=HDRS\r\n");
        assert!(client.has_begun() && !client.was_heard());
        // It had waited too long: that says nothing of the message.
        assert_eq!(client.push(b"421 4.4.2 idle\r\n"), ClientStep::Close);
        assert!(!client.was_heard());
        let (mut client, _) = Client::resume(errand, standing);
        client.push(b"250 ok\r\n");
        assert!(client.was_heard());
        assert_eq!(codes(client), [('d', 421)]);
    }

    #[test]
    fn only_a_connection_that_is_in_order_rests() {
        for last in ["451 later", "554 no", "250 taken\r\n250 and more", "250 taken\r\n2"] {
            let errand = errand(&["a@example.net"]);
            let begin = [
                ("220 net", "EHLO mail.example.org|"),
                ("250 net", "MAIL FROM:<dock@example.org>|"),
                ("250 ok", "RCPT TO:<a@example.net>|"),
                ("250 ok", "DATA|"),
                ("354 go on", ""),
            ];
            let (client, step) = talk(errand, &[&begin[..], &[(last, "QUIT|")]].concat());
            assert_eq!(step, ClientStep::Close, "{last}");
            assert!(client.standing().is_none());
        }
    }

    #[test]
    fn what_requires_tls_goes_only_where_that_is_promised_behind_tls() {
        let required = |tls| Errand { tls, require_tls: true, ..errand(&["a@example.net"]) };
        let offer = "250-net\r\n250-REQUIRETLS\r\n250 STARTTLS";
        for (promise, last) in [
            ("250-net\r\n250 REQUIRETLS", "MAIL FROM:<dock@example.org> REQUIRETLS|"),
            ("250 net", "QUIT|"),
        ] {
            let (client, _) = talk(
                required(ClientTls::Required),
                &[
                    ("220 net", "EHLO mail.example.org|"),
                    (offer, "STARTTLS|"),
                    ("220 go", ""),
                    (promise, &format!("EHLO mail.example.org|{last}")),
                ],
            );
            assert_eq!(client.has_begun(), last != "QUIT|");
        }
        let clear = [("220 net", "EHLO mail.example.org|"), ("250-net\r\n250 REQUIRETLS", "QUIT|")];
        let (client, _) = talk(required(ClientTls::None), &clear);
        assert!(!client.has_begun());
        assert_eq!(codes(client), [('r', 550)]);
    }

    #[test]
    fn wrong_credentials_let_the_mail_wait() {
        let credentials = Credentials {
            user: "dock".to_owned(),
            password: mail_types::Secret::new(b"tide".to_vec()),
        };
        let (client, _) = talk(
            Errand { credentials: Some(credentials), ..errand(&["a@example.net"]) },
            &[
                ("220 net", "EHLO mail.example.org|"),
                ("250-net\r\n250 AUTH LOGIN PLAIN", "AUTH PLAIN AGRvY2sAdGlkZQ==|"),
                ("535 5.7.8 wrong", "QUIT|"),
            ],
        );
        assert_eq!(codes(client), [('d', 535)]);
    }

    #[test]
    fn what_the_server_cannot_take_is_refused_before_it_is_sent() {
        let cases = [
            (Errand { size: 1001, ..errand(&["a@example.net"]) }, 552),
            (Errand { smtputf8: true, ..errand(&["a@example.net"]) }, 550),
        ];
        for (errand, code) in cases {
            let (client, _) = talk(
                errand,
                &[("220 net", "EHLO mail.example.org|"), ("250-net\r\n250 SIZE 1000", "QUIT|")],
            );
            assert_eq!(codes(client), [('r', code)]);
        }
    }

    #[test]
    fn octets_above_127_are_sent_only_where_they_are_taken() {
        for (offer, told, code) in [
            ("250 net", "QUIT|", ('r', 554)),
            ("250-net\r\n250 8BITMIME", "MAIL FROM:<dock@example.org> BODY=8BITMIME|", ('d', 421)),
        ] {
            let errand = Errand { has_8bit: true, ..errand(&["a@example.net"]) };
            let (client, _) = talk(errand, &[("220 n", "EHLO mail.example.org|"), (offer, told)]);
            assert_eq!(codes(client), [code]);
        }
    }

    #[test]
    fn an_answer_to_what_was_not_asked_yet_delivers_nothing() {
        let begin = [
            ("220 net", "EHLO mail.example.org|"),
            ("250 net", "MAIL FROM:<dock@example.org>|"),
            ("250 ok", "RCPT TO:<a@example.net>|"),
            ("250 ok", "DATA|"),
        ];
        let (client, step) =
            talk(errand(&["a@example.net"]), &[&begin[..], &[("354 go\r\n250 ok", "")]].concat());
        assert_eq!((step, codes(client)), (ClientStep::Close, vec![('d', 451)]));
        // While the text is still on its way.
        for (said, fate) in [("250 ok", ('d', 451)), ("552 big", ('r', 552)), ("451 n", ('d', 451))]
        {
            let (mut client, _) = talk(errand(&["a@example.net"]), &begin);
            assert_eq!(client.push(b"354 go\r\n"), ClientStep::Text);
            assert_eq!(client.push(format!("{said}\r\n").as_bytes()), ClientStep::Close);
            assert_eq!(client.take_output(), b"", "within a text QUIT would be text");
            assert_eq!(codes(client), [fate]);
        }
        let early = [("220 net", "EHLO mail.example.org|"), ("250 STARTTLS", "")];
        let errand = Errand { tls: ClientTls::Required, ..errand(&["a@example.net"]) };
        let (mut client, _) = talk(errand, &early[..1]);
        client.push(b"250-net\r\n250 STARTTLS\r\n");
        assert_eq!(client.push(b"220 go\r\n250 injected\r\n"), ClientStep::Close);
        assert_eq!(codes(client), [('d', 451)]);
    }

    #[test]
    fn a_server_that_leaves_is_gone_for_all_who_were_not_refused() {
        let (client, step) = talk(
            errand(&["a@example.net", "b@example.net", "c@example.net"]),
            &[
                ("220 net", "EHLO mail.example.org|"),
                ("250 net", "MAIL FROM:<dock@example.org>|"),
                ("250 ok", "RCPT TO:<a@example.net>|"),
                ("550 no", "RCPT TO:<b@example.net>|"),
                ("250 ok", "RCPT TO:<c@example.net>|"),
                ("421 4.3.2 bye", ""),
            ],
        );
        assert_eq!(step, ClientStep::Close);
        assert_eq!(codes(client), [('r', 550), ('d', 421), ('d', 421)]);
    }

    #[test]
    fn a_server_that_does_not_want_to_be_greeted_lets_the_mail_wait() {
        let hello = "EHLO mail.example.org|";
        let helo = "HELO mail.example.org|";
        for lines in [
            &[("554 go away", "QUIT|")][..],
            &[("220 net", hello), ("450 later", "QUIT|")],
            &[("220 net", hello), ("550 no", helo), ("550 no", "QUIT|")],
        ] {
            let (client, step) = talk(errand(&["a@example.net"]), lines);
            assert_eq!(step, ClientStep::Close);
            assert!(matches!(codes(client)[..], [('d', _)]), "{lines:?}");
        }
    }

    #[test]
    fn many_recipients_are_named_in_portions() {
        let many: Vec<String> = (0..100).map(|n| format!("r{n}@example.net")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut client = Client::new(errand(&many));
        client.push(b"220 net\r\n");
        client.push(b"250-net\r\n250 PIPELINING\r\n");
        let mut said = Vec::new();
        for _ in 0..10 {
            let output = String::from_utf8(client.take_output()).unwrap();
            let count = output.lines().filter(|line| !line.starts_with("EHLO")).count();
            said.push(count);
            let is_last = output.ends_with("DATA\r\n");
            let ok = "250 ok\r\n".repeat(count - usize::from(is_last));
            let step =
                client.push(format!("{ok}{}", if is_last { "354 go\r\n" } else { "" }).as_bytes());
            if step == ClientStep::Text {
                break;
            }
        }
        assert_eq!(said, [50, 50, 2]);
        client.text_sent();
        assert_eq!(client.push(b"250 taken\r\n"), ClientStep::Rest);
        assert!(codes(client).iter().all(|fate| *fate == ('t', 250)));
    }

    #[test]
    fn a_password_is_neither_shown_nor_sent_in_the_clear() {
        let credentials = Credentials {
            user: "dock".to_owned(),
            password: mail_types::Secret::new(b"tide".to_vec()),
        };
        let tls = ClientTls::Opportunistic;
        let errand = Errand { tls, credentials: Some(credentials), ..errand(&["a@example.net"]) };
        let (client, _) = talk(
            errand,
            &[("220 net", "EHLO mail.example.org|"), ("250-net\r\n250 AUTH PLAIN", "QUIT|")],
        );
        assert_eq!(format!("{client:?}"), "Client { state: Over, .. }");
        assert_eq!(codes(client), [('d', 454)]);
    }

    #[test]
    fn nobody_is_reached_before_the_end_is_answered() {
        let lines = [
            ("220 net", "EHLO mail.example.org|"),
            ("250 net", "MAIL FROM:<dock@example.org>|"),
            ("250 ok", "RCPT TO:<a@example.net>|"),
            ("250 ok", "DATA|"),
            ("354 go on", ""),
        ];
        for count in 0..=lines.len() {
            let (client, _) = talk(errand(&["a@example.net"]), &lines[..count]);
            assert_eq!(codes(client), [('d', 421)], "after {count} lines");
        }
    }

    #[test]
    fn a_text_is_stuffed_however_it_is_cut() {
        let text = b".\r\n..a\nb\rc\r\n\r\n.";
        let whole = {
            let mut out = Vec::new();
            let mut stuffing = Stuffing::default();
            stuffing.push(text, &mut out);
            stuffing.end(&mut out);
            out
        };
        assert_eq!(whole, b"..\r\n...a\r\nb\r\nc\r\n\r\n..\r\n.\r\n");
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            let (mut out, mut stuffing) = (Vec::new(), Stuffing::default());
            stuffing.push(a, &mut out);
            stuffing.push(b, &mut out);
            stuffing.end(&mut out);
            assert_eq!(out, whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_empty_text_is_only_its_end() {
        let mut out = Vec::new();
        Stuffing::default().end(&mut out);
        assert_eq!(out, b".\r\n");
    }
}
