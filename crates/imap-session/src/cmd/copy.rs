//! COPY and MOVE. RFC 9051 §6.4.7, §6.4.8, RFC 6851

use imap_proto::types::{Code, CopyMove, Numbering, Response, SequenceSet, Status, StatusKind};
use mail_types::{Flags, MailboxId, SystemFlags, UidSet};
use mailbox::{CopyOutcome, FlagMode, Operation, Outcome, Refusal, Rights};

use super::expunge::{check_writable, with_highest};
use crate::limit::Cut;
use crate::place::Home;
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::sync::{self, Told};
use crate::{Answer, CopyRequest, Need, Place, errors, limit, news, place};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Copy,
    Move,
}

pub(crate) fn begin(arguments: CopyMove, kind: Kind, run: &mut Run<'_>) -> Flow {
    if kind == Kind::Move {
        check_writable(run)?;
    }
    sync::prepare(move |run| plan(&arguments, kind, run))
}

fn plan(arguments: &CopyMove, kind: Kind, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let uids = resolve(&arguments.set, arguments.numbering, selected)?;
    if kind == Kind::Move {
        // What STORE +FLAGS (\Deleted) and EXPUNGE need. RFC 6851 §4.2
        place::check_selected(Rights::DELETED.union(Rights::EXPUNGE), run)?;
    }
    let numbering = arguments.numbering;
    let place = run.state.place;
    place::new(&arguments.mailbox, errors::try_create, run, move |name, run| {
        let target = place::find(&name, Rights::INSERT, errors::try_create, run)?;
        let to = target.record().id;
        let target = std::mem::replace(&mut run.state.place, place);
        transfer(Wanted { uids, numbering, kind, target, to }, run)
    })
}

/// Messages of the selected mailbox, and where they are wanted.
struct Wanted {
    uids: UidSet,
    numbering: Numbering,
    kind: Kind,
    target: Place,
    to: MailboxId,
}

fn transfer(wanted: Wanted, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let Wanted { uids, numbering, kind, target, to } = wanted;
    let from = selected.mailbox;
    // A sequence number whose message was expunged elsewhere: all or nothing. RFC 2180 §4.4
    if numbering == Numbering::Sequence && selected.names_gone(&uids) {
        return Err(expunge_issued());
    }
    // UIDs without a message are no error. RFC 9051 §6.4.9
    if uids.is_empty() {
        return end(Reply::ok("No message to take"));
    }
    let Cut { uids, code } = match kind {
        Kind::Copy => {
            limit::check_copy(&uids, run.state)?;
            Cut { uids, code: None }
        }
        Kind::Move => limit::cut(uids, run.state),
    };
    if target != Place::Own || selected.home != Home::Own {
        return across(CopyRequest { from, uids, place: target, to }, kind, code);
    }
    let operation = match kind {
        Kind::Copy => Operation::Copy { from, to, uids },
        Kind::Move => Operation::Move { from, to, uids },
    };
    wait(Need::Submit(operation), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Copied(outcome))) => {
            news::note_own(to, &outcome.target, run.state);
            end(copied(outcome))
        }
        Answer::Submitted(Ok(Outcome::Moved(outcome))) => {
            news::note_own(to, &outcome.target, run.state);
            moved(outcome, code, run)
        }
        Answer::Submitted(Err(Refusal::NoTarget)) => Err(errors::try_create()),
        other => Err(errors::unexpected(&other)),
    })
}

/// With an account of another in it. Two accounts never share a commit, so that messages are moved
/// as a client would without MOVE: they are copied, and then expunged. A crash between leaves them
/// in both mailboxes and never in none.
fn across(request: CopyRequest, kind: Kind, limit: Option<Code>) -> Flow {
    let (from, to, target) = (request.from, request.to, request.place);
    wait(Need::CopyAcross(request), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Copied(outcome))) => {
            let selected = std::mem::replace(&mut run.state.place, target);
            news::note_own(to, &outcome.target, run.state);
            run.state.place = selected;
            match kind {
                Kind::Move if !outcome.source.is_empty() => mark(from, outcome, limit),
                Kind::Copy | Kind::Move => end(copied(outcome)),
            }
        }
        Answer::Submitted(Err(Refusal::NoTarget | Refusal::NoPermission { visible: false })) => {
            Err(errors::try_create())
        }
        other => Err(errors::unexpected(&other)),
    })
}

fn mark(from: MailboxId, outcome: CopyOutcome, limit: Option<Code>) -> Flow {
    let uids = outcome.source.clone();
    let operation = Operation::SetFlags {
        mailbox: from,
        uids: uids.clone(),
        mode: FlagMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    };
    wait(Need::Submit(operation), move |answer, _| match answer {
        Answer::Submitted(Ok(_)) => {
            let operation = Operation::Expunge { mailbox: from, uids };
            wait(Need::Submit(operation), move |answer, run| match answer {
                Answer::Submitted(Ok(_)) => moved(outcome, limit, run),
                other => Err(errors::unexpected(&other)),
            })
        }
        other => Err(errors::unexpected(&other)),
    })
}

fn copied(outcome: CopyOutcome) -> Reply {
    match copy_uid(outcome) {
        Some(code) => Reply::ok("COPY completed").with(code),
        None => Reply::ok("No message was there to copy"),
    }
}

/// COPYUID comes before the first EXPUNGE. RFC 9051 §6.4.8
fn moved(outcome: CopyOutcome, limit: Option<Code>, run: &mut Run<'_>) -> Flow {
    let has_moved = outcome.modseq.is_some();
    if let Some(code) = copy_uid(outcome) {
        let status = Status::untagged(StatusKind::Ok, "Moved").with_code(code);
        run.write(&Response::Status(status));
    }
    sync::catch_up(Told::Everything, run, move |run| {
        let reply = Reply::ok("MOVE completed");
        let reply = if has_moved { with_highest(reply, run) } else { reply };
        end(limit::tell(limit, reply, run))
    })
}

/// RFC 4315 §3
fn copy_uid(outcome: CopyOutcome) -> Option<Code> {
    let CopyOutcome { uid_validity, source, target, .. } = outcome;
    (!source.is_empty()).then(|| Code::CopyUid {
        uid_validity,
        source: SequenceSet::from(source),
        target: SequenceSet::from(target),
    })
}

/// Someone else expunged a message that this client still counts. RFC 5530 §3
pub(crate) fn expunge_issued() -> Reply {
    Reply::no("Some of the messages no longer exist").with(Code::ExpungeIssued)
}
