//! EXPUNGE and UID EXPUNGE. RFC 9051 §6.4.3, §6.4.9

use imap_proto::types::{Code, Numbering, SequenceSet};
use mail_types::{SystemFlags, UidSet};
use mailbox::{Operation, Outcome, Rights};

use crate::limit::{self, Cut};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::state::{Access, Selected};
use crate::sync::{self, Told};
use crate::{Answer, Need, errors, place};

/// `set` is that of UID EXPUNGE; EXPUNGE has none.
pub(crate) fn begin(set: Option<SequenceSet>, run: &mut Run<'_>) -> Flow {
    check_writable(run)?;
    sync::prepare(move |run| {
        place::check_selected(Rights::EXPUNGE, run)?;
        let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
        // All that the client knows of: what came since may be \Deleted without it knowing.
        let Cut { uids, code } = match set {
            Some(set) => {
                limit::cut(deleted(&resolve(&set, Numbering::Uid, selected)?, selected), run.state)
            }
            // Never limited. RFC 9738 §3.1
            None => Cut { uids: selected.view.uids(), code: None },
        };
        if uids.is_empty() {
            return end(Reply::ok("Nothing to expunge"));
        }
        let operation = Operation::Expunge { mailbox: selected.mailbox, uids };
        wait(Need::Submit(operation), move |answer, run| match answer {
            Answer::Submitted(Ok(Outcome::Expunged { modseq, .. })) => {
                sync::catch_up(Told::Everything, run, move |run| {
                    let reply = Reply::ok("EXPUNGE completed");
                    let reply = if modseq.is_some() { with_highest(reply, run) } else { reply };
                    end(limit::tell(code, reply, run))
                })
            }
            other => Err(errors::unexpected(&other)),
        })
    })
}

/// Those of the set that are to be expunged: only they count. RFC 9738 §3.1
fn deleted(uids: &UidSet, selected: &Selected) -> UidSet {
    let entries = selected.view.entries(uids).map(|(_, entry)| entry);
    entries
        .filter(|entry| entry.system_flags().contains(SystemFlags::DELETED))
        .map(|entry| entry.uid())
        .collect()
}

/// Adds HIGHESTMODSEQ for clients that keep it. RFC 7162 §3.2.7, RFC 6851 §4.4
pub(crate) fn with_highest(reply: Reply, run: &Run<'_>) -> Reply {
    match &run.state.selected {
        Some(selected) if run.state.enabled.condstore => {
            reply.with(Code::HighestModSeq(selected.view.settled()))
        }
        _ => reply,
    }
}

/// Nothing changes in a mailbox that was opened with EXAMINE. RFC 9051 §6.3.3
pub(crate) fn check_writable(run: &Run<'_>) -> Result<(), Reply> {
    match &run.state.selected {
        Some(selected) if selected.access == Access::ReadOnly => {
            Err(Reply::no("The mailbox is open for reading only").with(Code::Cannot))
        }
        _ => Ok(()),
    }
}
