//! COPY and MOVE. RFC 9051 §6.4.7, §6.4.8, RFC 6851

use imap_proto::types::{Code, CopyMove, Numbering, Response, SequenceSet, Status, StatusKind};
use mailbox::{CopyOutcome, Operation, Outcome, Refusal};

use super::expunge::{check_writable, with_highest};
use crate::limit::Cut;
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::sync::{self, Told};
use crate::{Answer, Need, errors, limit, news};

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
    let name = arguments.mailbox.name(run.state.names()).map_err(errors::bad_name)?;
    let target = run.account()?.by_name(&name).ok_or_else(errors::try_create)?;
    let (from, to) = (selected.mailbox, target.record().id);
    // A sequence number whose message was expunged elsewhere: all or nothing. RFC 2180 §4.4
    let is_gone = |uid| selected.view.snapshot().find(uid).is_none();
    if arguments.numbering == Numbering::Sequence
        && selected.view.has_withheld()
        && selected.view.entries(&uids).any(|(_, entry)| is_gone(entry.uid()))
    {
        return Err(expunge_issued());
    }
    // UIDs without a message are no error. RFC 9051 §6.4.9
    if uids.is_empty() {
        return end(Reply::ok("No message to take"));
    }
    let (operation, code) = match kind {
        Kind::Copy => {
            limit::check_copy(&uids, run.state)?;
            (Operation::Copy { from, to, uids }, None)
        }
        Kind::Move => {
            let Cut { uids, code } = limit::cut(uids, run.state);
            (Operation::Move { from, to, uids }, code)
        }
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
