//! Literals that a client offers, and commands that are answered without having been run.

use imap_proto::Sink;
use imap_proto::frame::{Offer, Reason, Rejection};
use imap_proto::parse::{ErrorKind, Frame, LiteralRole, ParseError, literal_role};
use imap_proto::types::{Code, Response, Status, StatusKind, StatusTarget};

use crate::capability::Login;
use crate::place::is_of_others;
use crate::{Language, Session, World};

/// What is to be done with a literal before a byte of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralVerdict {
    /// It is an argument: keep it with the command, if the framer's limits allow.
    Keep,
    /// It is a message of APPEND: pass it on while it arrives.
    Stream,
    /// Refuse it and the command; give this to [`Session::rejected`] with the framer's rejection.
    Refuse(LiteralRefusal),
}

/// Why a literal is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralRefusal {
    /// The message is larger than APPENDLIMIT. RFC 7889 §4
    TooBig,
    /// There is no such mailbox, so the message need not be sent first. RFC 9051 §6.3.12
    TryCreate,
    /// The server has no room for it now.
    Busy,
    /// A message before login.
    NotLoggedIn,
}

impl Session {
    /// What to do with the literal that is offered at the end of `prefix`.
    pub fn literal_offered(
        &self,
        prefix: Frame<'_>,
        offer: &Offer,
        world: World<'_>,
    ) -> LiteralVerdict {
        let LiteralRole::Message(message) = literal_role(prefix) else {
            return LiteralVerdict::Keep;
        };
        if self.login() == Login::Before {
            return LiteralVerdict::Refuse(LiteralRefusal::NotLoggedIn);
        }
        if offer.size > self.append_limit() {
            return LiteralVerdict::Refuse(LiteralRefusal::TooBig);
        }
        let name = message.mailbox.name(self.name_encoding()).ok();
        let is_missing = |account: &mailbox::Account| {
            // Of the mailboxes of others nothing is known here.
            name.as_ref().is_some_and(|name| account.by_name(name).is_none() && !is_of_others(name))
        };
        // Only for a literal that waits: the others are on their way, and the answer of the command
        // itself is then given by the newest state.
        let waits = offer.sync == imap_proto::frame::LiteralSync::Waits;
        if waits && world.account.is_some_and(is_missing) {
            return LiteralVerdict::Refuse(LiteralRefusal::TryCreate);
        }
        LiteralVerdict::Stream
    }

    /// Answers a command that the framer did not deliver. `refusal` is the verdict on its literal,
    /// if there was one.
    pub fn rejected(
        &mut self,
        rejection: &Rejection,
        refusal: Option<LiteralRefusal>,
        sink: &mut dyn Sink,
    ) {
        let (kind, code, text) = match (rejection.reason, refusal) {
            (Reason::Refused, Some(refusal)) => refused(refusal),
            (reason, _) => rejected(reason),
        };
        let target = match &rejection.tag {
            Some(tag) => StatusTarget::Tagged(tag.clone()),
            None => StatusTarget::Untagged,
        };
        let status = Status { target, kind, code, text: text.into() };
        self.out(sink).write(&Response::Status(status));
    }

    /// Answers a command that could not be parsed. It has changed nothing. RFC 9051 §7.1.3
    pub fn bad_command(&mut self, error: &ParseError, sink: &mut dyn Sink) {
        let target = match &error.tag {
            Some(tag) => StatusTarget::Tagged(tag.clone()),
            None => StatusTarget::Untagged,
        };
        let language = self.language();
        let text = match (error.kind, language) {
            (ErrorKind::UnknownCommand, _) => "There is no such command".into(),
            // The words of the grammar are English.
            (_, Language::Default | Language::English) => format!("Not understood: {error}").into(),
            _ => language.filled("Not understood at offset {}", &[&error.offset]).into(),
        };
        let status = Status { target, kind: StatusKind::Bad, code: None, text };
        self.out(sink).write(&Response::Status(status));
    }
}

type Words = (StatusKind, Option<Code>, &'static str);

fn refused(refusal: LiteralRefusal) -> Words {
    let no = |code, text| (StatusKind::No, Some(code), text);
    match refusal {
        LiteralRefusal::TooBig => no(Code::TooBig, "The message is larger than the server takes"),
        LiteralRefusal::TryCreate => no(Code::TryCreate, "There is no such mailbox"),
        LiteralRefusal::Busy => {
            no(Code::Limit, "The server has no room for the message now, try again later")
        }
        LiteralRefusal::NotLoggedIn => (StatusKind::Bad, None, "Log in first"),
    }
}

fn rejected(reason: Reason) -> Words {
    let bad = |text| (StatusKind::Bad, None, text);
    match reason {
        Reason::LineTooLong => bad("The line is too long"),
        Reason::CommandTooLong => bad("The command is too long"),
        Reason::LiteralTooBig => {
            (StatusKind::Bad, Some(Code::TooBig), "The literal is too large for an argument")
        }
        Reason::UnaskedLiteralTooBig => {
            (StatusKind::Bad, Some(Code::TooBig), "The literal is too large to come unasked")
        }
        Reason::TooManyLiterals => bad("The command has too many literals"),
        Reason::LiteralSize => bad("The size of the literal is no number"),
        Reason::Refused => bad("The literal was refused"),
    }
}
