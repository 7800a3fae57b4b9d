//! An LMTP session as a state machine: bytes in, events and replies out. RFC 2033, RFC 5321
//!
//! [`Session::advance`] takes what it understands from the front of the input and says what must
//! happen next. Replies are collected in [`Session::replies`]; the shell sends them before it waits
//! for input, so that a group of pipelined commands is answered in one write (RFC 2920 §3.2).

use std::borrow::Cow;

use smtp_proto::{MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, MailFrom, RcptTo, Request};

use crate::{Content, Reply};

/// What the server offers, fixed for the life of a session.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The server's name, in the greeting and in the reply to LHLO.
    pub hostname: String,
    /// The longest message, in octets.
    pub message_bytes_max: u64,
    /// Whether STARTTLS may be asked for.
    pub starttls: StartTls,
}

/// Whether STARTTLS may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// It may.
    Offered,
    /// There is no certificate, or TLS is established already.
    Absent,
}

/// What must happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send the replies, then bring more input.
    NeedInput,
    /// Is there a mailbox for this address? Answer with [`Session::answer_recipient`].
    Recipient(String),
    /// A message is about to come. Answer with [`Session::answer_data`].
    Data,
    /// The next piece of the message.
    Text(Vec<u8>),
    /// The message is whole. Deliver it, then answer with [`Session::answer_message`].
    End,
    /// The message is longer than the limit. Drop what was taken of it.
    TooLong,
    /// Send the replies, then begin TLS with the rest of the input and go on with a new session.
    StartTls,
    /// Send the replies, then close.
    Close,
}

/// The message that is being handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL FROM, empty for `<>`.
    pub reverse_path: String,
    /// Accepted recipients in the order of RCPT TO, each as it was given.
    pub recipients: Vec<String>,
    /// Whether the client declared international addresses (RFC 6531).
    pub utf8: bool,
}

/// One LMTP session.
#[derive(Debug)]
pub struct Session {
    offer: Offer,
    client_name: Option<String>,
    transaction: Option<Transaction>,
    stage: Stage,
    errors: u32,
    /// Replies not sent yet. The shell sends them and clears the buffer.
    pub replies: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Commands,
    /// Skipping the rest of a command line that is too long.
    LongLine,
    AwaitRecipient(String),
    AwaitData,
    Text {
        content: Content,
        taken: u64,
    },
    /// The text is over the limit: read to its end and forget it.
    Discard(Content),
    AwaitDelivery,
    Closed,
}

impl Session {
    /// A session of a client that has just connected: the greeting is among the replies.
    pub fn new(offer: Offer) -> Self {
        let mut session = Self::after_tls(offer);
        let greeting = format!("220 {} LMTP Pillarbox\r\n", session.offer.hostname);
        session.replies = greeting.into_bytes();
        session
    }

    /// A session after STARTTLS: nothing that was said before counts, and there is no second
    /// greeting. RFC 3207 §4.2
    pub fn after_tls(offer: Offer) -> Self {
        Self {
            offer,
            client_name: None,
            transaction: None,
            stage: Stage::Commands,
            errors: 0,
            replies: Vec::new(),
        }
    }

    /// What the client called itself.
    pub fn client_name(&self) -> &str {
        self.client_name.as_deref().unwrap_or_default()
    }

    /// The message that is being handed over.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// Whether a message text is being received, which may take longer than a command.
    pub fn is_in_text(&self) -> bool {
        matches!(self.stage, Stage::Text { .. } | Stage::Discard(_))
    }

    /// Takes from the front of `input` and says what must happen next.
    pub fn advance(&mut self, input: &mut Vec<u8>) -> Event {
        loop {
            let event = match &mut self.stage {
                Stage::Commands => self.command_line(input),
                Stage::LongLine => self.skip_long_line(input),
                Stage::Text { .. } => self.text(input),
                Stage::Discard(_) => self.discard(input),
                Stage::AwaitRecipient(address) => Some(Event::Recipient(address.clone())),
                Stage::AwaitData => Some(Event::Data),
                Stage::AwaitDelivery => Some(Event::End),
                Stage::Closed => Some(Event::Close),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// The answer to [`Event::Recipient`].
    pub fn answer_recipient(&mut self, reply: Reply) {
        let Stage::AwaitRecipient(address) = std::mem::replace(&mut self.stage, Stage::Commands)
        else {
            return;
        };
        if reply.is_success()
            && let Some(transaction) = &mut self.transaction
        {
            transaction.recipients.push(address);
        }
        // Asking for names is not a protocol error, but doing only that is not delivering mail.
        self.count(reply);
    }

    /// The answer to [`Event::Data`]: `Ok` lets the text come.
    pub fn answer_data(&mut self, answer: Result<(), Reply>) {
        match answer {
            Ok(()) => {
                Reply::new(354, "", "End with <CRLF>.<CRLF>").write(&mut self.replies);
                self.stage = Stage::Text { content: Content::default(), taken: 0 };
            }
            Err(reply) => {
                self.transaction = None;
                self.stage = Stage::Commands;
                self.count(reply);
            }
        }
    }

    /// The answer to [`Event::End`]: one reply for each accepted recipient, in their order, each
    /// true for its own recipient. RFC 2033 §4.2
    pub fn answer_message(&mut self, replies: &[Reply]) {
        self.stage = Stage::Commands;
        let Some(transaction) = self.transaction.take() else { return };
        assert_eq!(replies.len(), transaction.recipients.len(), "one reply a recipient");
        for (reply, recipient) in replies.iter().zip(&transaction.recipients) {
            reply.write_for(recipient, &mut self.replies);
        }
    }

    /// Ends the session from our side, after the command it is in.
    pub fn end(&mut self, reply: Reply) {
        reply.write(&mut self.replies);
        self.stage = Stage::Closed;
    }

    fn command_line(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Some(line_feed) = input.iter().position(|byte| *byte == b'\n') else {
            if input.len() > LONGEST_LINE_BYTES {
                self.stage = Stage::LongLine;
                return None;
            }
            return Some(Event::NeedInput);
        };
        let line: Vec<u8> = input.drain(..=line_feed).collect();
        if input.is_empty() {
            // An idle session holds no buffer.
            *input = Vec::new();
        }
        let Some(command) = line.strip_suffix(b"\r\n") else {
            // Waiting for a CRLF would leave people with the wrong client without an answer, and
            // guessing is what smuggling lives on. RFC 5321 §2.3.8
            self.end(Reply::new(500, "5.5.2", "Lines end with CRLF"));
            return None;
        };
        if line.len() > LONGEST_LINE_BYTES {
            self.count(TOO_LONG_LINE);
            return None;
        }
        if is_foreign(command) {
            self.end(Reply::new(421, "4.7.0", "This is an LMTP server"));
            return None;
        }
        if command.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            self.count(Reply::new(500, "5.5.2", "Control characters are not allowed"));
            return None;
        }
        self.command(&line, input)
    }

    fn skip_long_line(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let line_feed = input.iter().position(|byte| *byte == b'\n');
        match line_feed {
            Some(end) => {
                input.drain(..=end);
                self.stage = Stage::Commands;
                self.count(TOO_LONG_LINE);
                None
            }
            None => {
                input.clear();
                Some(Event::NeedInput)
            }
        }
    }

    /// `line` ends with CRLF.
    fn command(&mut self, line: &[u8], input: &[u8]) -> Option<Event> {
        use smtp_proto::Error;
        match Request::parse(&mut line.iter()) {
            Ok(request) => return self.request(request, line, input),
            Err(Error::UnknownCommand) => {
                self.count(Reply::new(500, "5.5.1", "Unknown command"));
            }
            Err(Error::InvalidSenderAddress) => {
                self.count(Reply::new(553, "5.1.7", "Not an address"));
            }
            Err(Error::InvalidRecipientAddress) => {
                self.count(Reply::new(553, "5.1.3", "Not an address"));
            }
            Err(Error::UnsupportedParameter { .. }) => self.count(UNKNOWN_PARAMETER),
            Err(Error::SyntaxError { .. } | Error::InvalidParameter { .. }) => {
                self.count(Reply::new(501, "5.5.4", "Syntax error in the arguments"));
            }
            // The line is whole, so the rest can only mean that it is malformed.
            Err(
                Error::NeedsMoreData { .. }
                | Error::ResponseTooLong
                | Error::InvalidResponse { .. },
            ) => {
                self.count(Reply::new(500, "5.5.2", "Syntax error"));
            }
        }
        None
    }

    fn request(
        &mut self,
        request: Request<Cow<'_, str>>,
        line: &[u8],
        input: &[u8],
    ) -> Option<Event> {
        match request {
            Request::Lhlo { host } => self.hello(&host),
            // RFC 2033 §4.1: so that a client notices at once which protocol this is.
            Request::Ehlo { .. } | Request::Helo { .. } => {
                self.count(Reply::new(500, "5.5.1", "This is LMTP: say LHLO"));
            }
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => return self.recipient(to, line),
            Request::Data => return self.data(input),
            Request::Rset => {
                self.transaction = None;
                self.count(Reply::new(250, "2.0.0", "Forgotten"));
            }
            Request::Noop { .. } => self.count(Reply::new(250, "2.0.0", "OK")),
            Request::Quit => self.end(Reply::new(221, "2.0.0", "Goodbye")),
            // Whether somebody exists is told to who brings mail for him, and to nobody else.
            Request::Vrfy { .. } | Request::Expn { .. } => {
                self.count(Reply::new(252, "2.5.2", "Send the mail and see"));
            }
            Request::Help { .. } => self.count(Reply::new(214, "2.0.0", "RFC 2033")),
            Request::StartTls => return self.starttls(line),
            Request::Bdat { .. }
            | Request::Auth { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. } => {
                self.count(Reply::new(502, "5.5.1", "Not offered here"));
            }
        }
        None
    }

    fn hello(&mut self, host: &str) {
        self.client_name = Some(host.to_owned());
        // RFC 5321 §4.1.4: a new greeting clears the transaction.
        self.transaction = None;
        self.errors = 0;
        let mut lines = vec![
            self.offer.hostname.clone(),
            "PIPELINING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
            "8BITMIME".to_owned(),
            "SMTPUTF8".to_owned(),
            format!("SIZE {}", self.offer.message_bytes_max),
        ];
        if self.offer.starttls == StartTls::Offered {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            self.replies.extend_from_slice(format!("250{mark}{line}\r\n").as_bytes());
        }
    }

    fn mail(&mut self, from: MailFrom<Cow<'_, str>>) {
        let refusal = if self.client_name.is_none() {
            Some(Reply::new(503, "5.5.1", "Say LHLO first"))
        } else if self.transaction.is_some() {
            Some(Reply::new(503, "5.5.1", "A message is under way"))
        } else if asks_for_more(&from) {
            Some(UNKNOWN_PARAMETER)
        } else if from.size as u64 > self.offer.message_bytes_max {
            // RFC 1870 §6.1
            Some(TOO_LONG_MESSAGE)
        } else {
            not_plain(&from.address, from.flags & MAIL_SMTPUTF8 != 0)
        };
        if let Some(refusal) = refusal {
            return self.count(refusal);
        }
        self.transaction = Some(Transaction {
            reverse_path: from.address.into_owned(),
            recipients: Vec::new(),
            utf8: from.flags & MAIL_SMTPUTF8 != 0,
        });
        self.count(Reply::new(250, "2.1.0", "Sender noted"));
    }

    fn recipient(&mut self, to: RcptTo<Cow<'_, str>>, line: &[u8]) -> Option<Event> {
        let Some(transaction) = &self.transaction else {
            self.count(Reply::new(503, "5.5.1", "Say MAIL first"));
            return None;
        };
        if transaction.recipients.len() >= RECIPIENTS_MAX {
            // RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction.
            self.count(Reply::new(452, "4.5.3", "Too many recipients"));
            return None;
        }
        if to.flags != 0 || to.orcpt.is_some() || to.rrvs != 0 {
            self.count(UNKNOWN_PARAMETER);
            return None;
        }
        if let Some(refusal) = not_plain(&to.address, transaction.utf8) {
            self.count(refusal);
            return None;
        }
        let address = if !to.address.is_empty() {
            to.address.into_owned()
        } else if is_postmaster(line) {
            // The one address without a domain. RFC 5321 §4.1.1.3
            "postmaster".to_owned()
        } else {
            self.count(Reply::new(553, "5.1.3", "Not an address"));
            return None;
        };
        self.stage = Stage::AwaitRecipient(address);
        None
    }

    fn data(&mut self, input: &[u8]) -> Option<Event> {
        let recipients = self.transaction.as_ref().map(|transaction| transaction.recipients.len());
        match recipients {
            None => self.count(Reply::new(503, "5.5.1", "Say MAIL first")),
            // RFC 2033 §4.2: with no accepted recipient there would be no reply to the text.
            Some(0) => self.count(Reply::new(503, "5.5.1", "No valid recipients")),
            // DATA ends a pipelined group: the text may come only after 354 (RFC 2920 §3.1). What
            // comes before was written by somebody who did not read our replies.
            Some(_) if !input.is_empty() => {
                self.end(Reply::new(554, "5.5.0", "Wait for the reply to DATA"));
            }
            Some(_) => self.stage = Stage::AwaitData,
        }
        None
    }

    fn starttls(&mut self, line: &[u8]) -> Option<Event> {
        if self.offer.starttls == StartTls::Absent {
            self.count(Reply::new(502, "5.5.1", "Not offered here"));
            return None;
        }
        // RFC 3207 §4: no parameter is allowed.
        if line.trim_ascii().len() != "STARTTLS".len() {
            self.count(Reply::new(501, "5.5.4", "STARTTLS takes no argument"));
            return None;
        }
        Reply::new(220, "2.0.0", "Begin TLS").write(&mut self.replies);
        Some(Event::StartTls)
    }

    fn text(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Stage::Text { content, taken } = &mut self.stage else { return None };
        if input.is_empty() {
            return Some(Event::NeedInput);
        }
        let mut text = Vec::new();
        let used = content.push(input, &mut text);
        let ended = content.has_ended();
        *taken += text.len() as u64;
        consume(input, used);
        if *taken > self.offer.message_bytes_max {
            let content = content.clone();
            self.stage = Stage::Discard(content);
            return Some(Event::TooLong);
        }
        if ended {
            self.stage = Stage::AwaitDelivery;
        }
        if text.is_empty() { None } else { Some(Event::Text(text)) }
    }

    fn discard(&mut self, input: &mut Vec<u8>) -> Option<Event> {
        let Stage::Discard(content) = &mut self.stage else { return None };
        if content.has_ended() {
            let count = self.transaction.as_ref().map_or(0, |all| all.recipients.len());
            self.answer_message(&vec![TOO_LONG_MESSAGE; count]);
            return None;
        }
        if input.is_empty() {
            return Some(Event::NeedInput);
        }
        let used = content.push(input, &mut Vec::new());
        consume(input, used);
        None
    }

    /// Writes the reply; a client that only makes mistakes is sent away.
    fn count(&mut self, reply: Reply) {
        reply.write(&mut self.replies);
        if reply.code < 500 {
            self.errors = 0;
            return;
        }
        self.errors += 1;
        if self.errors >= ERRORS_MAX {
            self.end(Reply::new(421, "4.7.0", "Too many errors"));
        }
    }
}

fn consume(input: &mut Vec<u8>, used: usize) {
    if used == input.len() {
        *input = Vec::new();
    } else {
        input.drain(..used);
    }
}

/// Parameters of extensions that were not offered. RFC 5321 §4.1.1.11
fn asks_for_more(from: &MailFrom<Cow<'_, str>>) -> bool {
    let offered = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8;
    from.flags & !offered != 0
        || from.trans_id.is_some()
        || from.by != 0
        || from.env_id.is_some()
        || from.solicit.is_some()
        || from.mtrk.is_some()
        || from.hold_for != 0
        || from.hold_until != 0
        || from.mt_priority != 0
}

/// Addresses that cannot be written into a header field, or need SMTPUTF8 (RFC 6531 §3.5).
fn not_plain(address: &str, utf8: bool) -> Option<Reply> {
    if address.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
        return Some(Reply::new(553, "5.1.3", "Not an address"));
    }
    (!utf8 && !address.is_ascii()).then_some(Reply::new(553, "5.6.7", "Declare SMTPUTF8"))
}

fn is_postmaster(line: &[u8]) -> bool {
    line.to_ascii_lowercase().windows(12).any(|window| window == b"<postmaster>")
}

/// A browser that was tricked into talking to us says one of these first. Its request is not
/// answered line by line: that would let a web page speak LMTP through it.
fn is_foreign(command: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"OPTIONS ",
        b"CONNECT ",
        b"DELETE ",
        b"PATCH ",
        b"PRI ",
    ];
    let starts = |word: &&[u8]| {
        command.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    WORDS.iter().any(starts)
}

const TOO_LONG_LINE: Reply = Reply::new(500, "5.5.6", "Line too long");
const TOO_LONG_MESSAGE: Reply = Reply::new(552, "5.3.4", "Message too long");
const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "Parameter not offered");

/// The longest command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512; addresses in UTF-8
/// and parameters make it longer.
pub const LONGEST_LINE_BYTES: usize = 2048;

/// The most recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100 at least. Each holds a copy
/// of the message being written.
pub const RECIPIENTS_MAX: usize = 100;

/// Consecutive refusals before the connection is closed. One message may name many who do not
/// exist any more, so it is more than the most recipients.
const ERRORS_MAX: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a session against people `known@…`, and takes every message whole.
    struct Harness {
        session: Session,
        input: Vec<u8>,
        out: String,
        text: Vec<u8>,
        messages: Vec<(Transaction, Vec<u8>)>,
        closed: bool,
        tls: bool,
    }

    impl Harness {
        fn new(message_bytes_max: u64) -> Self {
            let hostname = "mail.example.org".to_owned();
            let session =
                Session::new(Offer { hostname, message_bytes_max, starttls: StartTls::Offered });
            let mut harness = Self {
                session,
                input: Vec::new(),
                out: String::new(),
                text: Vec::new(),
                messages: Vec::new(),
                closed: false,
                tls: false,
            };
            harness.run();
            harness
        }

        fn send(&mut self, bytes: &[u8]) -> String {
            self.input.extend_from_slice(bytes);
            self.run();
            std::mem::take(&mut self.out)
        }

        fn run(&mut self) {
            loop {
                let event = self.session.advance(&mut self.input);
                match event {
                    Event::Recipient(address) => {
                        self.session.answer_recipient(if address.starts_with("known") {
                            Reply::new(250, "2.1.5", "Fine")
                        } else {
                            Reply::new(550, "5.1.1", "Nobody")
                        });
                    }
                    Event::Data => self.session.answer_data(Ok(())),
                    Event::Text(text) => self.text.extend(text),
                    Event::TooLong => self.text.clear(),
                    Event::End => {
                        let transaction = self.session.transaction().unwrap().clone();
                        let replies: Vec<_> = transaction
                            .recipients
                            .iter()
                            .map(|name| match name.contains("full") {
                                true => Reply::new(452, "4.2.2", "Full"),
                                false => Reply::new(250, "2.0.0", "Delivered"),
                            })
                            .collect();
                        self.messages.push((transaction, std::mem::take(&mut self.text)));
                        self.session.answer_message(&replies);
                    }
                    Event::NeedInput => break,
                    Event::StartTls => {
                        self.tls = true;
                        break;
                    }
                    Event::Close => {
                        self.closed = true;
                        break;
                    }
                }
            }
            let replies = std::mem::take(&mut self.session.replies);
            self.out.push_str(std::str::from_utf8(&replies).unwrap());
        }
    }

    fn ready() -> Harness {
        let mut harness = Harness::new(1000);
        harness.send(b"LHLO mx.example.net\r\n");
        harness
    }

    fn codes(replies: &str) -> Vec<&str> {
        replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
    }

    #[test]
    fn a_greeting_and_the_offer() {
        let mut harness = Harness::new(1000);
        assert_eq!(harness.out, "220 mail.example.org LMTP Pillarbox\r\n");
        harness.out.clear();
        let reply = harness.send(b"LHLO mx.example.net\r\n");
        assert_eq!(
            reply,
            "250-mail.example.org\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n\
             250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
        );
        assert_eq!(harness.session.client_name(), "mx.example.net");
    }

    #[test]
    fn each_accepted_recipient_gets_its_own_reply_in_order() {
        let mut harness = ready();
        let replies = harness.send(
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<known1@x.example>\r\nRCPT TO:<other@x.example>\r\n\
              RCPT TO:<known-full@x.example>\r\nRCPT TO:<known2@x.example>\r\nDATA\r\n",
        );
        assert_eq!(codes(&replies), ["250", "250", "550", "250", "250", "354"]);
        let replies = harness.send(b"Subject: a\r\n\r\n..text\r\n.\r\n");
        assert_eq!(
            replies,
            "250 2.0.0 <known1@x.example> Delivered\r\n\
             452 4.2.2 <known-full@x.example> Full\r\n\
             250 2.0.0 <known2@x.example> Delivered\r\n"
        );
        assert_eq!(harness.messages[0].1, b"Subject: a\r\n\r\n.text\r\n");
    }

    #[test]
    fn every_split_of_a_conversation_means_the_same() {
        let parts: [&[u8]; 3] = [
            b"LHLO a\r\nMAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<known+x@y.example>\r\nDATA\r\n",
            b"a\r\n..b\r\n.\r\nMAIL FROM:<q@w.example> SIZE=10\r\nRCPT TO:<known@y.example>\r\nDATA\r\n",
            b".\r\nNOOP\r\nQUIT\r\n",
        ];
        let run = |split: usize| {
            let (mut harness, mut replies, mut seen) = (Harness::new(1000), String::new(), 0);
            for part in parts {
                let at = split.saturating_sub(seen).min(part.len());
                seen += part.len();
                replies.push_str(&harness.send(&part[..at]));
                replies.push_str(&harness.send(&part[at..]));
            }
            assert!(harness.closed);
            (replies, harness.messages)
        };
        let whole = run(0);
        assert_eq!(whole.1.len(), 2);
        assert!(whole.1[1].1.is_empty());
        for split in 1..parts.iter().map(|part| part.len()).sum() {
            assert_eq!(run(split), whole, "split at {split}");
        }
    }

    #[test]
    fn s004_a_text_sent_before_354_closes_the_connection() {
        let mut harness = ready();
        harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.example>\r\n");
        let replies = harness.send(b"DATA\r\nSubject: early\r\n.\r\n");
        assert_eq!(codes(&replies), ["554"]);
        assert!(harness.closed && harness.messages.is_empty());
    }

    #[test]
    fn s010_nothing_is_left_of_a_message_that_was_refused() {
        let mut harness = Harness::new(10);
        harness.send(b"LHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.example>\r\nDATA\r\n");
        let replies =
            harness.send(b"far more than ten bytes\r\n.\r\nRCPT TO:<known@x.example>\r\n");
        assert_eq!(codes(&replies), ["552", "503"]);
        assert!(harness.messages.is_empty());
        let replies = harness.send(b"MAIL FROM:<a@b.c> SIZE=11\r\n");
        assert_eq!(codes(&replies), ["552"]);
    }

    #[test]
    fn s012_a_web_request_is_not_answered_line_by_line() {
        for request in
            ["GET / HTTP/1.1", "post /x HTTP/1.1", "PRI * HTTP/2.0", "CONNECT a:1 HTTP/1.1"]
        {
            let mut harness = Harness::new(1000);
            harness.out.clear();
            let replies = harness.send(format!("{request}\r\nNOOP\r\nLHLO a\r\n").as_bytes());
            assert_eq!(replies, "421 4.7.0 This is an LMTP server\r\n");
            assert!(harness.closed);
        }
    }

    #[test]
    fn s011_every_verb_in_every_state_is_answered_with_any_argument() {
        let verbs = "LHLO EHLO HELO MAIL RCPT DATA RSET VRFY EXPN HELP NOOP QUIT STARTTLS AUTH BDAT \
                     ETRN ATRN BURL XFOO";
        let arguments: [&[u8]; 6] = [
            b"",
            b"plain",
            b"FROM:<\xc3\xa4@\xc3\xb6.example>",
            b"TO:<\xff\xfe@x>",
            b"a\0b",
            b"\xff",
        ];
        let states: [&[u8]; 3] =
            [b"", b"LHLO a\r\n", b"LHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\n"];
        for verb in verbs.split_whitespace() {
            for (argument, state) in
                arguments.iter().flat_map(|a| states.iter().map(move |s| (a, s)))
            {
                let mut harness = Harness::new(1000);
                harness.send(state);
                let line = [verb.as_bytes(), b" ", argument, b"\r\n"].concat();
                let replies = harness.send(&line);
                assert_eq!(codes(&replies).len(), 1, "{verb} {argument:?} in {state:?}: {replies}");
            }
        }
    }

    #[test]
    fn s009_a_million_empty_commands_leave_nothing_behind() {
        let mut harness = ready();
        for _ in 0..1000 {
            let replies = harness.send(&b"NOOP\r\nRSET\r\n".repeat(100));
            assert_eq!(
                replies.len(),
                100 * ("250 2.0.0 OK\r\n".len() + "250 2.0.0 Forgotten\r\n".len())
            );
        }
        assert_eq!(harness.input.capacity(), 0);
        assert!(harness.session.transaction().is_none());
    }

    #[test]
    fn commands_out_of_order_are_refused() {
        let mut harness = Harness::new(1000);
        let replies = harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\nDATA\r\n");
        assert_eq!(codes(&replies), ["220", "503", "503", "503"]);
        let replies = harness
            .send(b"EHLO a\r\nHELO a\r\nLHLO a\r\nMAIL FROM:<a@b.c>\r\nMAIL FROM:<a@b.c>\r\n");
        assert_eq!(codes(&replies), ["500", "500", "250", "250", "503"]);
        let replies = harness.send(b"DATA\r\nRSET\r\nRCPT TO:<known@x.y>\r\n");
        assert_eq!(codes(&replies), ["503", "250", "503"]);
    }

    #[test]
    fn only_what_was_offered_may_be_asked_for() {
        let mut harness = ready();
        for line in [
            "MAIL FROM:<a@b.c> BODY=BINARYMIME",
            "MAIL FROM:<a@b.c> RET=FULL",
            "MAIL FROM:<a@b.c> ENVID=1",
            "MAIL FROM:<a@b.c> REQUIRETLS",
            "MAIL FROM:<a@b.c> XFOO=1",
        ] {
            let replies = harness.send(format!("{line}\r\n").as_bytes());
            assert!(matches!(codes(&replies)[..], ["555" | "501"]), "{line}: {replies}");
        }
        let replies = harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y> NOTIFY=NEVER\r\n");
        assert_eq!(codes(&replies), ["250", "555"]);
    }

    #[test]
    fn international_addresses_need_to_be_declared() {
        let mut harness = ready();
        assert_eq!(codes(&harness.send("MAIL FROM:<ä@b.c>\r\n".as_bytes())), ["553"]);
        let declared = "MAIL FROM:<ä@b.c> SMTPUTF8\r\nRCPT TO:<known-ö@x.y>\r\n";
        assert_eq!(codes(&harness.send(declared.as_bytes())), ["250", "250"]);
        assert!(harness.session.transaction().unwrap().utf8);
    }

    #[test]
    fn the_postmaster_needs_no_domain_but_others_do() {
        let mut harness = ready();
        let replies = harness.send(b"MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<known>\r\n");
        assert_eq!(codes(&replies), ["250", "553", "553"]);
        harness.input.extend_from_slice(b"RCPT TO:<Postmaster>\r\n");
        let event = harness.session.advance(&mut harness.input);
        assert_eq!(event, Event::Recipient("postmaster".to_owned()));
    }

    #[test]
    fn lines_without_crlf_end_the_session_and_long_lines_do_not() {
        let mut harness = ready();
        let long = [b"NOOP ".as_slice(), &[b'a'; 5000], b"\r\nNOOP\r\n"].concat();
        assert_eq!(codes(&harness.send(&long)), ["500", "250"]);
        assert_eq!(codes(&harness.send(b"NOOP\nNOOP\r\n")), ["500"]);
        assert!(harness.closed);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut harness = ready();
        for _ in 0..100 {
            harness.send(&[b'a'; 4096]);
            assert!(harness.input.len() <= 4096);
        }
        assert_eq!(codes(&harness.send(b"\r\n")), ["500"]);
    }

    #[test]
    fn too_many_recipients_and_too_many_errors_are_stopped() {
        let mut harness = ready();
        harness.send(b"MAIL FROM:<a@b.c>\r\n");
        for _ in 0..RECIPIENTS_MAX {
            assert_eq!(codes(&harness.send(b"RCPT TO:<known@x.y>\r\n")), ["250"]);
        }
        assert_eq!(codes(&harness.send(b"RCPT TO:<known@x.y>\r\n")), ["452"]);
        let mut harness = ready();
        let replies = harness.send(&b"XFOO\r\n".repeat(300));
        assert_eq!(codes(&replies).len(), ERRORS_MAX as usize + 1);
        assert!(harness.closed && replies.ends_with("421 4.7.0 Too many errors\r\n"));
    }

    #[test]
    fn s001_what_follows_starttls_is_left_for_the_handshake() {
        let mut harness = ready();
        let replies = harness.send(b"STARTTLS\r\nLHLO evil\r\nMAIL FROM:<a@b.c>\r\n");
        assert_eq!(codes(&replies), ["220"]);
        assert!(harness.tls);
        assert_eq!(harness.input, b"LHLO evil\r\nMAIL FROM:<a@b.c>\r\n");
    }

    #[test]
    fn s003_nothing_said_before_tls_counts_after_it() {
        let hostname = "mail.example.org".to_owned();
        let mut harness = ready();
        harness.send(b"MAIL FROM:<a@b.c>\r\nSTARTTLS\r\n");
        harness.session = Session::after_tls(Offer {
            hostname,
            message_bytes_max: 1000,
            starttls: StartTls::Absent,
        });
        let replies = harness.send(b"RCPT TO:<known@x.y>\r\nMAIL FROM:<a@b.c>\r\nSTARTTLS\r\n");
        assert_eq!(codes(&replies), ["503", "503", "502"]);
    }

    #[test]
    fn vrfy_tells_nothing() {
        let mut harness = ready();
        let replies = harness.send(b"VRFY known\r\nVRFY nobody\r\n");
        let lines: Vec<_> = replies.lines().collect();
        assert_eq!(lines[0], lines[1]);
        assert_eq!(codes(&replies), ["252", "252"]);
    }
}
