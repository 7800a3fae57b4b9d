//! CLOSE and UNSELECT, and the leaving that other commands do on their way.
//! RFC 9051 §6.4.1, §6.4.2

use mailbox::{Operation, Refusal, Rights};

use crate::reply::{Flow, Reply, Run, end, wait};
use crate::state::Access;
use crate::{Answer, Need, errors};

/// CLOSE expunges without a word; from a read-only mailbox it removes nothing. RFC 9051 §6.4.1
pub(crate) fn begin_close(run: &mut Run<'_>) -> Flow {
    let completed = |run: &mut Run<'_>| leave(run, |_| end(Reply::ok("CLOSE completed")));
    let Some(selected) = &run.state.selected else { return completed(run) };
    let told = selected.view.uids();
    // Without the right to expunge it is ignored. RFC 4314 §4
    let may_expunge = selected.rights.contains(Rights::EXPUNGE);
    if selected.access == Access::ReadOnly || told.is_empty() || !may_expunge {
        return completed(run);
    }
    let operation = Operation::Expunge { mailbox: selected.mailbox, uids: told };
    wait(Need::Submit(operation), move |answer, run| match answer {
        // No HIGHESTMODSEQ here: the client cannot know of what it was told. RFC 7162 §3.2.8
        Answer::Submitted(Ok(_)) => completed(run),
        // Deleted elsewhere: then nothing is left to be expunged, and closing it succeeds.
        Answer::Submitted(Err(Refusal::NonExistent | Refusal::NoPermission { .. })) => {
            completed(run)
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// UNSELECT expunges nothing. RFC 9051 §6.4.2
pub(crate) fn begin_unselect(run: &mut Run<'_>) -> Flow {
    leave(run, |_| end(Reply::ok("UNSELECT completed")))
}

/// Deselects the mailbox, if one is selected. What this session had as `\Recent` is recent for no
/// other after it. RFC 3501 §2.3.2
pub(crate) fn leave(
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let claim = recent_claim(run);
    run.state.selected = None;
    match claim {
        // Whether it succeeds is nothing that the client could act on.
        Some(operation) => wait(Need::Submit(operation), |_, run| then(run)),
        None => then(run),
    }
}

/// Mail in the mailboxes of others stays recent for them.
fn recent_claim(run: &Run<'_>) -> Option<Operation> {
    let selected = run.state.own_selected()?;
    let record = run.account?.mailbox(selected.mailbox)?.record();
    let told_all = selected.view.last_uid().and_then(|uid| uid.next()) == Some(record.uid_next);
    let is_due = selected.access == Access::ReadWrite
        && !run.state.enabled.rev2
        && record.recent > 0
        && told_all;
    is_due.then_some(Operation::ClaimRecent { mailbox: selected.mailbox })
}
