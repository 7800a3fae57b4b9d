//! What each command means in each state. RFC 5321 §4.1.1

use std::borrow::Cow;

use smtp_proto::{
    MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_REQUIRETLS, MAIL_RET_FULL, MAIL_RET_HDRS,
    MAIL_SMTPUTF8, MailFrom, RCPT_NOTIFY_DELAY, RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER,
    RCPT_NOTIFY_SUCCESS, RcptTo, Request,
};

use crate::original::{is_orcpt, original};
use crate::path::{Path, parse_path};
use crate::session::{
    Client, Dsn, Greeting, MAILS_MAX, Notify, Opening, RECIPIENTS_MAX, Recipient, RequireTls, Ret,
    Role, Stage, StartTls,
};
use crate::text::{Chunk, Place, TOO_LONG_MESSAGE};
use crate::{Burl, Event, Reply, Session, Transaction};

type Cowed<'a> = Cow<'a, str>;

impl Session {
    /// `line` ends with CRLF; `input` is what came behind it.
    pub(crate) fn command(&mut self, line: &[u8], input: &[u8]) -> Option<Event> {
        use smtp_proto::Error;
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            self.count(Reply::new(500, "5.5.2", "Syntax error"));
            return None;
        }
        if is_verb(line, "BDAT") && !self.is(Role::Lmtp) {
            return self.bdat_line(line);
        }
        if is_verb(line, "BURL") && self.offer.burl == Burl::Offered {
            return self.burl_line(line);
        }
        if !input.is_empty() && !self.may_pipeline(line) {
            // RFC 2920 §3.1. Who writes on without reading is not talking to us: another server
            // was tricked into it, or a program that sends junk as fast as it can.
            self.end(Reply::new(554, "5.5.0", "Wait for the reply to your command"));
            return None;
        }
        let readable = readable(line);
        let reply = match Request::parse(&mut readable.iter()) {
            Ok(request) => return self.request(request, line, input),
            Err(Error::UnknownCommand) => Reply::new(500, "5.5.1", "Unknown command"),
            Err(Error::InvalidSenderAddress) => NO_SENDER,
            Err(Error::InvalidRecipientAddress) => NO_RECIPIENT,
            Err(Error::UnsupportedParameter { .. }) => UNKNOWN_PARAMETER,
            Err(Error::SyntaxError { .. } | Error::InvalidParameter { .. }) => {
                Reply::new(501, "5.5.4", "Syntax error in the arguments")
            }
            // The line is whole, so the rest can only mean that it is malformed.
            Err(
                Error::NeedsMoreData { .. }
                | Error::ResponseTooLong
                | Error::InvalidResponse { .. },
            ) => Reply::new(500, "5.5.2", "Syntax error"),
        };
        self.count(reply);
        None
    }

    /// Whether something may come behind this command before it is answered. LMTP is spoken by our
    /// own mail server only, which may know what will be offered. RFC 2920 §3.1
    fn may_pipeline(&self, line: &[u8]) -> bool {
        let is = |verb: &str| is_verb(line, verb);
        if self.is(Role::Lmtp) || is("QUIT") || is("STARTTLS") {
            // What comes behind STARTTLS is left to the handshake, which fails.
            return true;
        }
        self.is_extended() && !is("EHLO") && !is("HELO") && !is("AUTH")
    }

    fn request(&mut self, request: Request<Cowed<'_>>, line: &[u8], input: &[u8]) -> Option<Event> {
        if self.is_idle_too_long(&request) {
            self.end(TOO_IDLE);
            return None;
        }
        let was_under_way = self.receipt.is_some();
        match request {
            Request::Lhlo { host } if self.is(Role::Lmtp) => self.hello(&host, Greeting::Extended),
            Request::Ehlo { host } if !self.is(Role::Lmtp) => self.hello(&host, Greeting::Extended),
            Request::Helo { host } if !self.is(Role::Lmtp) => self.hello(&host, Greeting::Plain),
            // RFC 2033 §4.1: so that a client notices at once which protocol this is.
            Request::Ehlo { .. } | Request::Helo { .. } => {
                self.count(Reply::new(500, "5.5.1", "This is LMTP: say LHLO"));
            }
            Request::Lhlo { .. } => self.count(Reply::new(500, "5.5.1", "This is SMTP: say EHLO")),
            Request::Mail { from } => self.mail(&from, line),
            Request::Rcpt { to } => self.rcpt(to, line),
            Request::Data => self.data(line, input),
            Request::Rset => {
                self.forget();
                self.count(Reply::new(250, "2.0.0", "Forgotten"));
            }
            Request::Noop { .. } => self.count(Reply::new(250, "2.0.0", "OK")),
            Request::Quit => self.end(Reply::new(221, "2.0.0", "Goodbye")),
            // Whether somebody exists is told to who brings mail for him, and to nobody else.
            Request::Vrfy { .. } => self.count(CANNOT_VERIFY),
            Request::Expn { .. } if self.is(Role::Lmtp) => self.count(CANNOT_VERIFY),
            Request::Help { .. } => self.count(Reply::new(214, "2.0.0", self.help())),
            Request::StartTls => return self.starttls(line),
            Request::Auth { .. } => return self.auth(line),
            Request::Expn { .. }
            | Request::Bdat { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. } => self.count(NOT_OFFERED),
        }
        (was_under_way && self.receipt.is_none()).then_some(Event::Abandon)
    }

    /// Counts commands that bring no message nearer: strangers get only so many.
    fn is_idle_too_long(&mut self, request: &Request<Cowed<'_>>) -> bool {
        let is_work = matches!(
            request,
            Request::Mail { .. } | Request::Rcpt { .. } | Request::Data | Request::Quit
        );
        if !is_work {
            self.counts.idle = self.counts.idle.saturating_add(1);
        }
        !self.is(Role::Lmtp) && self.counts.idle > IDLE_COMMANDS_MAX
    }

    fn help(&self) -> &'static str {
        match self.offer.role {
            Role::Lmtp => "RFC 2033",
            Role::Mx => "RFC 5321",
            Role::Submission => "RFC 6409",
        }
    }

    fn hello(&mut self, host: &str, greeting: Greeting) {
        self.client = Some(Client { name: host.to_owned(), greeting });
        // RFC 5321 §4.1.4: a new greeting clears the transaction.
        self.forget();
        let mut lines = vec![self.offer.hostname.clone()];
        if greeting == Greeting::Extended {
            lines.extend(self.extensions());
        }
        let last = lines.len() - 1;
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            self.replies.extend_from_slice(format!("250{mark}{line}\r\n").as_bytes());
        }
    }

    fn extensions(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            ["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"].map(str::to_owned).into();
        lines.push(format!("SIZE {}", self.offer.message_bytes_max));
        if !self.is(Role::Lmtp) {
            lines.push("CHUNKING".to_owned());
            lines.push(format!("LIMITS MAILMAX={MAILS_MAX} RCPTMAX={RECIPIENTS_MAX}"));
        }
        if self.offer.dsn == Dsn::Offered {
            lines.push("DSN".to_owned());
        }
        if let Some(offer) = self.offer.future_release {
            lines.push(offer.announcement(self.now_secs));
        }
        match self.offer.burl {
            // RFC 4468 §3.1: without arguments it says that a login is needed.
            Burl::Offered if !self.is_authenticated => lines.push("BURL".to_owned()),
            Burl::Offered => lines.push("BURL imap".to_owned()),
            Burl::Absent => {}
        }
        if self.offer.require_tls == RequireTls::Offered {
            lines.push("REQUIRETLS".to_owned());
        }
        if self.offer.starttls == StartTls::Offered {
            lines.push("STARTTLS".to_owned());
        }
        if !self.offer.mechanisms.is_empty() && !self.is_authenticated {
            lines.push(format!("AUTH {}", self.offer.mechanisms.join(" ")));
        }
        lines
    }

    fn mail(&mut self, from: &MailFrom<Cowed<'_>>, line: &[u8]) {
        self.counts.mails = self.counts.mails.saturating_add(1);
        if !self.is(Role::Lmtp) && self.counts.mails > MAILS_MAX {
            self.end(Reply::new(421, "4.7.0", "Too many messages, connect again"));
            return;
        }
        match self.plan_mail(from, line) {
            Err(refusal) => self.count(refusal),
            // Who says nothing of himself pretends nothing: notifications that people send.
            Ok(transaction)
                if self.is(Role::Submission) && !transaction.reverse_path.is_empty() =>
            {
                self.stage = Stage::AwaitSender(transaction);
            }
            Ok(transaction) => {
                self.transaction = Some(transaction);
                self.count(Reply::new(250, "2.1.0", "Sender noted"));
            }
        }
    }

    fn plan_mail(&self, from: &MailFrom<Cowed<'_>>, line: &[u8]) -> Result<Transaction, Reply> {
        let hello = if self.is(Role::Lmtp) { "Say LHLO first" } else { "Say EHLO first" };
        if self.client.is_none() {
            return Err(Reply::new(503, "5.5.1", hello));
        }
        if self.is(Role::Submission) && !self.is_authenticated {
            // RFC 4954 §6, RFC 6409 §4.3
            let text = match self.offer.starttls {
                StartTls::Offered if self.offer.mechanisms.is_empty() => "Say STARTTLS first",
                _ => "Authentication required",
            };
            return Err(Reply::new(530, "5.7.0", text));
        }
        if self.transaction.is_some() {
            return Err(Reply::new(503, "5.5.1", "A message is under way"));
        }
        let (path, parameters) = parse_path(trimmed(line)).ok_or(NO_SENDER)?;
        if self.asks_for_more(from) || !self.may_have(parameters) {
            return Err(UNKNOWN_PARAMETER);
        }
        if from.size as u64 > self.offer.message_bytes_max {
            // RFC 1870 §6.1
            return Err(TOO_LONG_MESSAGE);
        }
        let utf8 = from.flags & MAIL_SMTPUTF8 != 0;
        let reverse_path = match path {
            Path::Null => String::new(),
            Path::Mailbox(mailbox) => plain_enough(mailbox, utf8)?,
            // The exception is for recipients only. RFC 5321 §4.1.1.3
            Path::Postmaster => return Err(NO_SENDER),
        };
        let ret = match from.flags {
            flags if flags & MAIL_RET_FULL != 0 => Some(Ret::Full),
            flags if flags & MAIL_RET_HDRS != 0 => Some(Ret::Headers),
            _ => None,
        };
        let envelope_id = from.env_id.as_deref().map(printable).transpose()?;
        let release = match self.offer.future_release {
            Some(offer) => offer.release(from.hold_until, parameters, self.now_secs)?,
            None => None,
        };
        Ok(Transaction {
            reverse_path,
            recipients: Vec::new(),
            utf8,
            eight_bit: from.flags & MAIL_BODY_8BITMIME != 0,
            ret,
            envelope_id,
            release,
            require_tls: from.flags & MAIL_REQUIRETLS != 0,
        })
    }

    /// Parameters of extensions that were not offered. RFC 5321 §4.1.1.11
    fn asks_for_more(&self, from: &MailFrom<Cowed<'_>>) -> bool {
        let mut offered = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8;
        let dsn = self.offer.dsn == Dsn::Offered;
        if dsn {
            offered |= MAIL_RET_FULL | MAIL_RET_HDRS;
        }
        if self.offer.require_tls == RequireTls::Offered {
            offered |= MAIL_REQUIRETLS;
        }
        let holds = from.hold_for != 0 || from.hold_until != 0;
        from.flags & !offered != 0
            || from.trans_id.is_some()
            || from.by != 0
            || (from.env_id.is_some() && !dsn)
            || from.solicit.is_some()
            || from.mtrk.is_some()
            // RFC 4954 §5: understood where AUTH is, and believed nowhere.
            || (from.auth.is_some() && self.offer.mechanisms.is_empty())
            || (holds && self.offer.future_release.is_none())
            || from.mt_priority != 0
    }

    /// After HELO nothing was offered. RFC 5321 §4.1.1.11
    fn may_have(&self, parameters: &str) -> bool {
        self.is_extended() || parameters.trim().is_empty()
    }

    fn rcpt(&mut self, to: RcptTo<Cowed<'_>>, line: &[u8]) {
        match self.plan_rcpt(to, line) {
            Ok(recipient) => self.stage = Stage::AwaitRecipient(recipient),
            Err(refusal) => self.count(refusal),
        }
    }

    fn plan_rcpt(&self, to: RcptTo<Cowed<'_>>, line: &[u8]) -> Result<Recipient, Reply> {
        let transaction = self.transaction.as_ref().ok_or(SAY_MAIL)?;
        if self.receipt.is_some() {
            return Err(Reply::new(503, "5.5.1", "The message has begun"));
        }
        if transaction.recipients.len() >= RECIPIENTS_MAX {
            // RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction.
            return Err(Reply::new(452, "4.5.3", "Too many recipients"));
        }
        let (path, parameters) = parse_path(trimmed(line)).ok_or(NO_RECIPIENT)?;
        let notify = notify(to.flags);
        let is_more = to.rrvs != 0 || notify.is_none() || !self.may_have(parameters);
        let original = original(parameters, transaction.utf8)?;
        let asks_dsn = to.flags != 0 || original.is_some();
        if is_more || (asks_dsn && self.offer.dsn == Dsn::Absent) {
            return Err(UNKNOWN_PARAMETER);
        }
        let address = match path {
            Path::Null => return Err(NO_RECIPIENT),
            Path::Postmaster => "postmaster".to_owned(),
            Path::Mailbox(mailbox) => plain_enough(mailbox, transaction.utf8)?,
        };
        Ok(Recipient { address, notify: notify.flatten(), original })
    }

    fn data(&mut self, line: &[u8], input: &[u8]) {
        let recipients = self.transaction.as_ref().map(|transaction| transaction.recipients.len());
        match recipients {
            _ if trimmed(line).len() != "DATA".len() => {
                self.count(Reply::new(501, "5.5.4", "DATA takes no argument"));
            }
            // RFC 3030 §2: not in one transaction with BDAT.
            _ if self.receipt.is_some() => {
                self.count(Reply::new(503, "5.5.1", "Go on as you have begun"));
            }
            None => self.count(SAY_MAIL),
            // RFC 2033 §4.2: with no accepted recipient there would be no reply to the text.
            Some(0) => self.count(NO_RECIPIENTS),
            // DATA ends a pipelined group: the text may come only after 354 (RFC 2920 §3.1). What
            // comes before was written by somebody who did not read our replies.
            Some(_) if !input.is_empty() => {
                self.end(Reply::new(554, "5.5.0", "Wait for the reply to DATA"));
            }
            Some(_) => self.stage = Stage::AwaitData(Opening::Text),
        }
    }

    /// `BDAT chunk-size [LAST]`. What cannot be read ends the session: nobody knows where the
    /// octets behind it would end, and they must not be taken for commands. RFC 3030 §2
    fn bdat_line(&mut self, line: &[u8]) -> Option<Event> {
        let Some(chunk) = parse_bdat(line) else {
            self.forget();
            self.end(Reply::new(501, "5.5.4", "BDAT chunk-size [LAST]"));
            return None;
        };
        if chunk.left == 0 && chunk.place == Place::MoreFollows {
            self.counts.idle = self.counts.idle.saturating_add(1);
            if self.counts.idle > IDLE_COMMANDS_MAX {
                self.end(TOO_IDLE);
                return None;
            }
        }
        self.bdat(chunk);
        None
    }

    /// The octets come right behind the command and must be read, whatever is replied.
    fn bdat(&mut self, chunk: Chunk) {
        if chunk.left > self.offer.message_bytes_max {
            self.forget();
            self.end(TOO_LONG_MESSAGE);
            return;
        }
        let recipients = self.transaction.as_ref().map(|transaction| transaction.recipients.len());
        self.stage = match recipients {
            None => Stage::SkipChunk(chunk, SAY_MAIL),
            Some(0) => Stage::SkipChunk(chunk, NO_RECIPIENTS),
            Some(_) if self.receipt.is_some() => Stage::Chunk(chunk),
            Some(_) => Stage::AwaitData(Opening::Chunk(chunk)),
        };
    }

    fn starttls(&mut self, line: &[u8]) -> Option<Event> {
        if self.offer.starttls == StartTls::Absent {
            self.count(NOT_OFFERED);
            return None;
        }
        // RFC 3207 §4: no parameter is allowed.
        if trimmed(line).len() != "STARTTLS".len() {
            self.count(Reply::new(501, "5.5.4", "STARTTLS takes no argument"));
            return None;
        }
        Reply::new(220, "2.0.0", "Begin TLS").write(&mut self.replies);
        Some(Event::StartTls)
    }
}

/// The line as `smtp-proto` can read it, whatever stands there: with a plain path and without
/// ORCPT, which are read by [`parse_path`] and [`original`] alone.
fn readable(line: &[u8]) -> Cow<'_, [u8]> {
    let has_path = is_verb(line, "MAIL") || is_verb(line, "RCPT");
    let Some(start) = line.iter().position(|byte| *byte == b'<').filter(|_| has_path) else {
        return Cow::Borrowed(line);
    };
    match (line.get(..start), parse_path(trimmed(line))) {
        (Some(before), Some((_, behind))) => {
            let is_read = |it: &&str| is_verb(line, "RCPT") && is_orcpt(it);
            let rest: Vec<&str> = behind.split(' ').filter(|it| !is_read(it)).collect();
            let rest = rest.join(" ");
            Cow::Owned([before, b"<a@b.example>", rest.as_bytes(), b"\r\n"].concat())
        }
        _ => Cow::Borrowed(line),
    }
}

pub(crate) fn is_verb(line: &[u8], verb: &str) -> bool {
    let (start, behind) = (line.get(..verb.len()), line.get(verb.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(verb.as_bytes()))
        && behind.is_none_or(u8::is_ascii_whitespace)
}

/// `smtp-proto` begins to count again when a number is too long for it; here it is refused.
fn parse_bdat(line: &[u8]) -> Option<Chunk> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let size = words.next().filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()))?;
    let left = size.parse().ok()?;
    let place = match words.next() {
        None => Place::MoreFollows,
        Some(word) if word.eq_ignore_ascii_case("LAST") => Place::Last,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Chunk { left, place })
}

pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// Addresses that need SMTPUTF8 need it declared. RFC 6531 §3.5
fn plain_enough(address: String, utf8: bool) -> Result<String, Reply> {
    if utf8 || address.is_ascii() {
        return Ok(address);
    }
    Err(Reply::new(553, "5.6.7", "Declare SMTPUTF8"))
}

/// What will stand in a field of a notification. `smtp-proto` has seen to its length. RFC 3461 §4.4
fn printable(text: &str) -> Result<String, Reply> {
    let fits = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    fits.then(|| text.to_owned()).ok_or(Reply::new(501, "5.5.4", "Not xtext"))
}

/// `None` when NEVER stands beside others. RFC 3461 §4.1
fn notify(flags: u64) -> Option<Option<Notify>> {
    let has = |flag| flags & flag != 0;
    let wanted = RCPT_NOTIFY_SUCCESS | RCPT_NOTIFY_FAILURE | RCPT_NOTIFY_DELAY;
    if flags & !(wanted | RCPT_NOTIFY_NEVER) != 0 || (has(RCPT_NOTIFY_NEVER) && has(wanted)) {
        return None;
    }
    let notify = Notify {
        success: has(RCPT_NOTIFY_SUCCESS),
        failure: has(RCPT_NOTIFY_FAILURE),
        delay: has(RCPT_NOTIFY_DELAY),
    };
    Some((flags != 0).then_some(notify))
}

pub(crate) const TOO_IDLE: Reply = Reply::new(421, "4.7.0", "Too many commands and no message");
const NO_SENDER: Reply = Reply::new(553, "5.1.7", "Not an address");
const NO_RECIPIENT: Reply = Reply::new(553, "5.1.3", "Not an address");
const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "Parameter not offered");
const NOT_OFFERED: Reply = Reply::new(502, "5.5.1", "Not offered here");
pub(crate) const SAY_MAIL: Reply = Reply::new(503, "5.5.1", "Say MAIL first");
pub(crate) const NO_RECIPIENTS: Reply = Reply::new(503, "5.5.1", "No valid recipients");
const CANNOT_VERIFY: Reply = Reply::new(252, "2.5.2", "Send the mail and see");

/// Commands between two messages that bring none nearer: RSET, NOOP, EHLO and their like.
pub const IDLE_COMMANDS_MAX: u32 = 100;
