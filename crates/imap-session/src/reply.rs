//! How a command ends, and how it goes on when it has to wait.

use imap_proto::Sink;
use imap_proto::types::{Code, Response, StatusKind, Tag};
use mail_types::InternalDate;
use mailbox::Account;

use crate::errors;
use crate::language::Text;
use crate::place::Place;
use crate::render::Out;
use crate::state::{Others, State};
use crate::{Answer, Need, Then, Trouble};

/// The tagged response of a command.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) kind: StatusKind,
    pub(crate) code: Option<Code>,
    pub(crate) text: Text,
    pub(crate) then: Then,
    /// Text of the BYE that comes before it, if the connection ends with it. RFC 9051 §7.1.5
    pub(crate) bye: Option<&'static str>,
}

impl Reply {
    pub(crate) fn ok(text: impl Into<Text>) -> Self {
        Self {
            kind: StatusKind::Ok,
            code: None,
            text: text.into(),
            then: Then::Continue,
            bye: None,
        }
    }

    pub(crate) fn no(text: impl Into<Text>) -> Self {
        Self { kind: StatusKind::No, ..Self::ok(text) }
    }

    pub(crate) fn bad(text: impl Into<Text>) -> Self {
        Self { kind: StatusKind::Bad, ..Self::ok(text) }
    }

    pub(crate) fn with(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// The connection ends after this reply.
    pub(crate) fn closing(self, bye: &'static str) -> Self {
        Self { then: Then::Close, bye: Some(bye), ..self }
    }
}

/// What a command has at hand while it runs.
pub(crate) struct Run<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) tag: &'a Tag,
    /// The session's own account.
    pub(crate) account: Option<&'a Account>,
    /// Those of others.
    pub(crate) others: Others<'a>,
    pub(crate) now: InternalDate,
    pub(crate) sink: &'a mut dyn Sink,
}

impl<'a> Run<'a> {
    /// Writes one response.
    pub(crate) fn write(&mut self, response: &Response) {
        self.out().write(response);
    }

    /// Where responses go.
    pub(crate) fn out(&mut self) -> Out<'_> {
        Out::new(self.sink, self.state.enabled)
    }

    /// The account that is asked now, which is there after login.
    pub(crate) fn account(&self) -> Result<&'a Account, Reply> {
        let account = match self.state.place {
            Place::Own => self.account,
            Place::Selected => self.selected_account(),
            // The one that it has stayed in is that of the selected mailbox.
            Place::Visited => self.others.visited.or(self.others.selected),
        };
        account.ok_or_else(|| errors::trouble(Trouble::AccountGone))
    }

    /// The account of the selected mailbox.
    pub(crate) fn selected_account(&self) -> Option<&'a Account> {
        match self.state.selected.as_ref().and_then(|selected| selected.home.guest()) {
            Some(_) => self.others.selected,
            None => self.account,
        }
    }
}

/// Where a command stands after a piece of it has run.
pub(crate) enum Next {
    /// It waits for an answer, then goes on.
    Wait(Need, Resume),
    /// IDLE: it waits for the client.
    Idle,
    /// It has ended.
    End(Reply),
}

/// A piece of a command; an `Err` ends it with NO or BAD.
pub(crate) type Flow = Result<Next, Reply>;

/// The rest of a command that waits.
pub(crate) type Resume = Box<dyn FnOnce(Answer, &mut Run<'_>) -> Flow + Send>;

/// Ends a command with this reply.
pub(crate) fn end(reply: Reply) -> Flow {
    Ok(Next::End(reply))
}

/// Waits for an answer of any kind.
pub(crate) fn wait(
    need: Need,
    then: impl FnOnce(Answer, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    Ok(Next::Wait(need, Box::new(then)))
}

/// Goes on whatever becomes of a flow; its reply is not told.
pub(crate) fn regardless(
    flow: Flow,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    match flow {
        Ok(Next::Wait(need, resume)) => {
            wait(need, move |answer, run| regardless(resume(answer, run), run, then))
        }
        Ok(Next::Idle | Next::End(_)) | Err(_) => then(run),
    }
}

/// Waits until something is done that has no result.
pub(crate) fn wait_ready(
    need: Need,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    wait(need, |answer, run| match answer {
        Answer::Ready => then(run),
        other => Err(errors::unexpected(&other)),
    })
}
