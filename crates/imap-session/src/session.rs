//! The session: one command at a time, from its first byte to its tagged response.

use imap_proto::Sink;
use imap_proto::types::{
    Code, Command, Continuation, NameEncoding, Response, Status, StatusKind, StatusTarget, Tag,
};

use mail_types::{AccountId, MailboxId};

use crate::capability::{Login, capabilities};
use crate::cmd::settle;
use crate::render::Out;
use crate::reply::{Flow, Next, Reply, Resume, Run};
use crate::state::State;
use crate::sync::{self, CaughtUp, Silence, Told};
use crate::{
    Answer, Language, Need, Place, SessionConfig, Step, Then, TlsState, World, cmd, metadata, news,
};

/// One connection's session. Feeds on commands, asks for what it needs, writes responses.
///
/// ```text
/// greeting -> { begin -> Need -> resume -> ... -> Done }*      one command after the other
///                     -> Idle -> { changes }* -> idle_done -> Done
/// ```
pub struct Session {
    state: State,
    running: Option<Running>,
}

/// The command in progress.
struct Running {
    tag: Tag,
    told: Told,
    stage: Stage,
}

enum Stage {
    /// It waits for an answer.
    Waiting(Resume),
    /// It has ended, but the selected mailbox must be loaded before the news can be told.
    Ending(Reply),
    /// It has ended, and the news are told, but searches whose changes are told want to read the
    /// messages that came or changed.
    Settling(Reply, Resume),
    /// IDLE.
    Idle(Idle),
    /// What NOTIFY asked for is being told.
    News(Resume, After),
}

/// What follows when the news are told.
enum After {
    /// The command ends.
    Reply(Box<Reply>),
    /// IDLE goes on.
    Idle,
    /// Nothing: it is between two commands.
    Nothing,
}

/// What IDLE waits for.
enum Idle {
    /// News, or the client's DONE.
    Quiet,
    /// The contents of the mailbox, to tell news.
    Loading,
    /// What searches whose changes are told want to read.
    Settling(Resume),
}

/// Where news are told, and what follows.
struct Ending {
    tag: Tag,
    told: Told,
    after: After,
}

impl Session {
    /// A session that has not greeted yet.
    pub fn new(config: SessionConfig) -> Self {
        Self { state: State::new(config), running: None }
    }

    /// Writes the greeting. RFC 9051 §7.1.5
    pub fn greeting(&mut self, sink: &mut dyn Sink) {
        let text = format!("{} ready", self.state.config.server_name);
        let code = Code::Capability(capabilities(&self.state.config, self.state.login));
        let status = Status::untagged(StatusKind::Ok, text).with_code(code);
        self.out(sink).write(&Response::Status(status));
    }

    /// Starts a command. The one before must have ended.
    pub fn begin(&mut self, command: Command, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let Command { tag, body } = command;
        if self.running.is_some() {
            let bad = Reply::bad("The command before this one has not ended");
            self.write_tagged(&tag, bad, sink);
            return Step::Done(Then::Continue);
        }
        self.state.progress_at = world.now.seconds();
        self.state.place = cmd::place_of(&body);
        self.state.visited = None;
        let told = cmd::told_at_end(&body);
        let flow = self.run(&tag, world, sink, |run| cmd::begin(body, run));
        self.after(tag, told, flow, world, sink)
    }

    /// Goes on with the command in progress.
    pub fn resume(&mut self, answer: Answer, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let Some(Running { tag, told, stage }) = self.running.take() else {
            return Step::Done(Then::Continue);
        };
        self.note_done(&answer, world);
        match stage {
            Stage::News(resume, after) => {
                let flow = self.run(&tag, world, sink, |run| resume(answer, run));
                self.after_news(Ending { tag, told, after }, flow, sink)
            }
            Stage::Waiting(resume) => {
                let flow = self.run(&tag, world, sink, |run| resume(answer, run));
                self.after(tag, told, flow, world, sink)
            }
            Stage::Ending(reply) => {
                // Whatever the answer: what cannot be told now is told after a later command.
                self.tell_news(&tag, told, world, sink);
                self.settle(tag, told, reply, world, sink)
            }
            Stage::Settling(reply, resume) => {
                let flow = self.run(&tag, world, sink, |run| resume(answer, run));
                self.settled(tag, told, reply, Some(flow), sink)
            }
            Stage::Idle(Idle::Settling(resume)) => {
                let flow = self.run(&tag, world, sink, |run| resume(answer, run));
                self.idle_settled(tag, told, Some(flow))
            }
            Stage::Idle(Idle::Quiet | Idle::Loading) => {
                let stage = Stage::Idle(Idle::Quiet);
                self.running = Some(Running { tag, told, stage });
                match answer {
                    Answer::Ready => self.idle_news(Idle::Quiet, world, sink),
                    _ => Step::Idle,
                }
            }
        }
    }

    /// What the session itself has changed in its own account is no news to it.
    fn note_done(&mut self, answer: &Answer, world: World<'_>) {
        let is_own = self.state.guest().is_none();
        let selected = self.state.own_selected().map(|it| (it.mailbox, it.view.settled()));
        if let (Answer::Submitted(Ok(_)), Some(watch), Some(account), true) =
            (answer, &mut self.state.watch, world.account, is_own)
        {
            watch.absorb_own(account, selected);
        }
    }

    /// Tells an idling client what has changed, and one that used NOTIFY also between commands.
    /// To be called as often as one likes; else it does nothing, because nothing may be told.
    /// RFC 9051 §6.3.13, §7.5.1, RFC 5465 §3.1
    pub fn changes(&mut self, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let has_watch = self.state.watch.is_some();
        match &self.running {
            Some(Running { stage: Stage::Idle(_), .. }) if has_watch => {
                self.notified_idle(world, sink)
            }
            None if self.is_listening() => {
                let told = news::told_between_commands(&self.state);
                let tag = Tag::between_commands();
                self.tell_watched(Ending { tag, told, after: After::Nothing }, world, sink)
            }
            Some(Running { stage: Stage::Idle(Idle::Quiet), .. }) => {
                self.idle_news(Idle::Loading, world, sink)
            }
            Some(Running { stage: Stage::Idle(Idle::Loading | Idle::Settling(_)), .. }) => {
                Step::Idle
            }
            _ => Step::Done(Then::Continue),
        }
    }

    /// Ends IDLE with the line that the client sent, without its line break.
    pub fn idle_done(&mut self, line: &[u8], world: World<'_>, sink: &mut dyn Sink) -> Step {
        let Some(Running { tag, told, stage: Stage::Idle(_) }) = self.running.take() else {
            return Step::Done(Then::Continue);
        };
        let reply = if line.eq_ignore_ascii_case(b"DONE") {
            Reply::ok("IDLE completed")
        } else {
            Reply::bad("Expected DONE")
        };
        self.after(tag, told, Ok(Next::End(reply)), world, sink)
    }

    /// Whether IDLE is in progress: the client's next line is for [`Session::idle_done`].
    pub fn is_idle(&self) -> bool {
        matches!(self.running, Some(Running { stage: Stage::Idle(_), .. }))
    }

    /// Whether the client is to be told of changes between commands too: [`Session::changes`] is to
    /// be called then as well. RFC 5465 §3.1
    pub fn is_listening(&self) -> bool {
        self.running.is_none() && self.state.watch.as_ref().is_some_and(|watch| watch.listens())
    }

    /// Which account the last [`Need`] is for.
    pub fn place(&self) -> Place {
        self.state.place
    }

    /// Whether the client has logged in: longer commands and streamed literals are allowed then.
    pub fn is_logged_in(&self) -> bool {
        self.state.login == Login::After
    }

    /// Whether a mailbox is selected, and which: its contents are to stay loaded. It is one of
    /// another account if [`Session::is_guest`].
    pub fn selected_mailbox(&self) -> Option<MailboxId> {
        self.state.selected.as_ref().map(|selected| selected.mailbox)
    }

    /// Whether the selected mailbox is one of another account.
    pub fn is_guest(&self) -> bool {
        self.state.selected.as_ref().is_some_and(|selected| selected.home.guest().is_some())
    }

    /// How names and texts are written on this connection now.
    pub fn name_encoding(&self) -> NameEncoding {
        self.state.names()
    }

    /// Octets of the largest message that APPEND takes. RFC 7889
    pub fn append_limit(&self) -> u64 {
        self.state.config.append_limit
    }

    /// Says that the connection ends, and why. RFC 9051 §7.1.5
    pub fn bye(&mut self, text: &'static str, sink: &mut dyn Sink) {
        let status = Status::untagged(StatusKind::Bye, text);
        self.out(sink).write(&Response::Status(status));
    }

    /// Asks for the literal that was offered. RFC 9051 §4.3
    pub fn go_on(&mut self, sink: &mut dyn Sink) {
        let go_on = Continuation::Text { code: None, text: "Go on".into() };
        self.out(sink).write(&Response::Continuation(go_on));
    }

    /// TLS is active now: what was learnt before it counts for nothing. RFC 9051 §6.2.1
    ///
    /// Nor does the language: it could have been chosen by somebody on the way, and clients have to
    /// choose it again. RFC 5255 §3.1
    pub fn tls_started(&mut self) {
        self.state.enabled.language = Language::Default;
        self.state.config.tls = TlsState::Active;
    }

    /// The SASL mechanisms that can be used from now on, in capitals, the strongest first.
    pub fn set_mechanisms(&mut self, mechanisms: Vec<String>) {
        self.state.config.mechanisms = mechanisms;
    }

    /// Capabilities that are not to be announced to the account that is about to be logged in: to
    /// be called before [`Answer::Authenticated`] is given.
    pub fn set_account_hidden(&mut self, hidden: Vec<String>) {
        self.state.config.account_hidden = hidden;
    }

    /// The account that is about to be logged in: to be called before [`Answer::Authenticated`] is
    /// given.
    pub fn set_account(&mut self, name: &str, id: AccountId) {
        self.state.user = name.into();
        self.state.user_id = id;
    }

    /// The language in which people are talked to. RFC 5255 §3
    pub(crate) fn language(&self) -> Language {
        self.state.enabled.language
    }

    pub(crate) fn login(&self) -> Login {
        self.state.login
    }

    pub(crate) fn out<'a>(&self, sink: &'a mut dyn Sink) -> Out<'a> {
        Out::new(sink, self.state.enabled)
    }

    fn run<T>(
        &mut self,
        tag: &Tag,
        world: World<'_>,
        sink: &mut dyn Sink,
        piece: impl FnOnce(&mut Run<'_>) -> T,
    ) -> T {
        let World { account, others, now } = world;
        piece(&mut Run { state: &mut self.state, tag, account, others, now, sink })
    }

    fn after(
        &mut self,
        tag: Tag,
        told: Told,
        flow: Flow,
        world: World<'_>,
        sink: &mut dyn Sink,
    ) -> Step {
        let reply = match flow {
            Ok(Next::Wait(need, resume)) => {
                if let (Some(watch), Some(account)) = (&mut self.state.watch, world.account) {
                    watch.note_asked(account);
                }
                self.running = Some(Running { tag, told, stage: Stage::Waiting(resume) });
                return Step::Need(need);
            }
            Ok(Next::Idle) => {
                self.running = Some(Running { tag, told, stage: Stage::Idle(Idle::Quiet) });
                return Step::Idle;
            }
            Ok(Next::End(reply)) | Err(reply) => reply,
        };
        self.state.place = Place::Selected;
        // BAD did nothing, so there is nothing to tell either.
        if reply.kind == StatusKind::Bad {
            return self.finish(&tag, reply, sink);
        }
        if self.state.watch.is_some() && reply.then == Then::Continue {
            let after = After::Reply(Box::new(reply));
            return self.tell_watched(Ending { tag, told, after }, world, sink);
        }
        match self.tell_news(&tag, told, world, sink) {
            CaughtUp::Yes => self.settle(tag, told, reply, world, sink),
            CaughtUp::NotLoaded(mailbox) => {
                self.running = Some(Running { tag, told, stage: Stage::Ending(reply) });
                Step::Need(Need::Open(mailbox))
            }
            CaughtUp::Gone => {
                self.write_tagged(&tag, reply, sink);
                self.mailbox_gone(sink)
            }
        }
    }

    fn tell_news(
        &mut self,
        tag: &Tag,
        told: Told,
        world: World<'_>,
        sink: &mut dyn Sink,
    ) -> CaughtUp {
        let World { account, others, now } = world;
        let state = &mut self.state;
        let run = &mut Run { state, tag, account, others, now, sink };
        metadata::tell_changes(run, None);
        sync::advance(told, Silence::None, run)
    }

    fn notified_idle(&mut self, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let Some(Running { tag, told, .. }) = self.running.take() else {
            return Step::Done(Then::Continue);
        };
        self.tell_watched(Ending { tag, told, after: After::Idle }, world, sink)
    }

    /// Tells what NOTIFY asked for, then goes on.
    fn tell_watched(&mut self, ending: Ending, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let flow = self.run(&ending.tag, world, sink, |run| news::tell(ending.told, run));
        self.after_news(ending, flow, sink)
    }

    fn after_news(&mut self, ending: Ending, flow: Flow, sink: &mut dyn Sink) -> Step {
        let Ending { tag, told, after } = ending;
        let is_gone = match flow {
            Ok(Next::Wait(need, resume)) => {
                self.running = Some(Running { tag, told, stage: Stage::News(resume, after) });
                return Step::Need(need);
            }
            Ok(Next::Idle) => false,
            // Of what could not be told, nobody is waiting for an answer.
            Ok(Next::End(reply)) | Err(reply) => reply.then == Then::Close,
        };
        if let (After::Reply(reply), true) = (&after, is_gone) {
            self.write_tagged(&tag, reply.as_ref().clone(), sink);
        }
        match after {
            _ if is_gone => self.mailbox_gone(sink),
            After::Reply(reply) => self.finish(&tag, *reply, sink),
            After::Idle => {
                self.running = Some(Running { tag, told, stage: Stage::Idle(Idle::Quiet) });
                Step::Idle
            }
            After::Nothing => Step::Done(Then::Continue),
        }
    }

    fn idle_news(&mut self, next: Idle, world: World<'_>, sink: &mut dyn Sink) -> Step {
        let Some(Running { tag, told, .. }) = self.running.take() else {
            return Step::Done(Then::Continue);
        };
        let news = self.tell_news(&tag, told, world, sink);
        let (stage, step) = match (news, next) {
            (CaughtUp::Gone, _) => return self.mailbox_gone(sink),
            (CaughtUp::NotLoaded(mailbox), Idle::Loading) => {
                (Idle::Loading, Step::Need(Need::Open(mailbox)))
            }
            (CaughtUp::NotLoaded(_), _) => (Idle::Quiet, Step::Idle),
            (CaughtUp::Yes, _) => {
                let flow = self.run(&tag, world, sink, settle::begin);
                return self.idle_settled(tag, told, flow);
            }
        };
        self.running = Some(Running { tag, told, stage: Stage::Idle(stage) });
        step
    }

    fn idle_settled(&mut self, tag: Tag, told: Told, flow: Option<Flow>) -> Step {
        // What cannot be read now is told after another change, or a later command.
        let (stage, step) = match flow {
            Some(Ok(Next::Wait(need, resume))) => (Idle::Settling(resume), Step::Need(need)),
            _ => (Idle::Quiet, Step::Idle),
        };
        self.running = Some(Running { tag, told, stage: Stage::Idle(stage) });
        step
    }

    /// The news are told; ends the command when searches have read what they must.
    fn settle(
        &mut self,
        tag: Tag,
        told: Told,
        reply: Reply,
        world: World<'_>,
        sink: &mut dyn Sink,
    ) -> Step {
        let flow = match told {
            Told::Nothing => None,
            Told::Everything | Told::NoExpunge => self.run(&tag, world, sink, settle::begin),
        };
        self.settled(tag, told, reply, flow, sink)
    }

    fn settled(
        &mut self,
        tag: Tag,
        told: Told,
        reply: Reply,
        flow: Option<Flow>,
        sink: &mut dyn Sink,
    ) -> Step {
        match flow {
            Some(Ok(Next::Wait(need, resume))) => {
                let stage = Stage::Settling(reply, resume);
                self.running = Some(Running { tag, told, stage });
                Step::Need(need)
            }
            // What cannot be read now is told after a later command.
            _ => self.finish(&tag, reply, sink),
        }
    }

    /// The selected mailbox was deleted elsewhere. A client cannot be brought to the authenticated
    /// state in a way that all understand, so it has to come again. RFC 2180 §3.3
    fn mailbox_gone(&mut self, sink: &mut dyn Sink) -> Step {
        self.state.selected = None;
        self.bye("The selected mailbox was deleted", sink);
        Step::Done(Then::Close)
    }

    fn finish(&mut self, tag: &Tag, reply: Reply, sink: &mut dyn Sink) -> Step {
        let then = reply.then;
        self.write_tagged(tag, reply, sink);
        Step::Done(then)
    }

    fn write_tagged(&mut self, tag: &Tag, reply: Reply, sink: &mut dyn Sink) {
        let Reply { kind, code, text, bye, .. } = reply;
        if let Some(bye) = bye {
            self.bye(bye, sink);
        }
        let text = text.told_in(self.language());
        let status = Status { target: StatusTarget::Tagged(tag.clone()), kind, code, text };
        self.out(sink).write(&Response::Status(status));
    }
}
