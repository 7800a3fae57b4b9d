//! STORE, also conditional. RFC 9051 §6.4.6, RFC 7162 §3.1.3

use imap_proto::types::{Code, Numbering, SequenceSet, Store, StoreAction, StoreReply};
use mail_types::{Flags, SeqNum, SeqSet, UidSet};
use mailbox::{FlagMode, FlagsOutcome, Operation, Outcome, OwnStore, Rights};

use super::copy::expunge_issued;
use super::expunge::check_writable;
use crate::limit::{self, Cut};
use crate::render::{Fetched, Include};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::state::Selected;
use crate::sync::{self, Silence, Told};
use crate::{Answer, Need, errors};

pub(crate) fn begin(store: Store, run: &mut Run<'_>) -> Flow {
    check_writable(run)?;
    if store.unchanged_since.is_some() {
        sync::enable_condstore(run);
    }
    sync::prepare(move |run| plan(store, run))
}

/// What a STORE has to remember while it is committed.
struct Pending {
    numbering: Numbering,
    reply: StoreReply,
    mode: FlagMode,
    flags: Flags,
    /// Whether UNCHANGEDSINCE was given.
    is_conditional: bool,
    /// What is to be said if not all messages were worked on.
    limit: Option<Code>,
    /// Whether sequence numbers named messages that were expunged elsewhere.
    has_gone: bool,
}

fn plan(store: Store, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let uids = resolve(&store.set, store.numbering, selected)?;
    let Cut { uids, code } = limit::cut(uids, run.state);
    // Flags that no message can have are dropped; nothing but such flags is an error.
    if store.flags.flags.is_empty() && !store.flags.is_empty() {
        return Err(Reply::no("These flags cannot be changed").with(Code::Cannot));
    }
    // One flag that may be changed is enough: clients do not handle NO well. RFC 4314 §4
    let may_change = match store.action {
        StoreAction::Replace => selected.rights.intersects(Rights::FLAGS),
        StoreAction::Add | StoreAction::Remove => {
            let named = &store.flags.flags;
            named.is_empty() || !selected.rights.permitted(named).is_empty()
        }
    };
    if !may_change {
        return Err(errors::no_permission());
    }
    if uids.is_empty() {
        return end(Reply::ok("No message to change"));
    }
    let mode = match store.action {
        StoreAction::Replace => FlagMode::Replace,
        StoreAction::Add => FlagMode::Add,
        StoreAction::Remove => FlagMode::Remove,
    };
    let flags = store.flags.flags;
    let has_gone = selected.names_gone(&uids);
    let operation = Operation::SetFlags {
        mailbox: selected.mailbox,
        uids,
        mode,
        flags: flags.clone(),
        unchanged_since: store.unchanged_since,
    };
    let pending = Pending {
        numbering: store.numbering,
        reply: store.reply,
        mode,
        flags,
        is_conditional: store.unchanged_since.is_some(),
        limit: code,
        has_gone,
    };
    wait(Need::Submit(operation), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::FlagsSet(outcome))) => load(pending, outcome, run),
        other => Err(errors::unexpected(&other)),
    })
}

/// The view moves with the own change told in the command's words, everything else as news.
fn load(pending: Pending, outcome: FlagsOutcome, run: &mut Run<'_>) -> Flow {
    let modseq = outcome.modseq.unwrap_or_default();
    let own = OwnStore { modseq, mode: pending.mode, flags: pending.flags.clone() };
    let told = told(&pending, &outcome);
    let silent = told.clone();
    let advance =
        move |run: &mut Run<'_>| sync::advance(Told::NoExpunge, Silence::Own(&own, &silent), run);
    sync::move_view(advance, run, move |run| tell(pending, outcome, told, run))
}

/// The messages whose new state this command tells itself.
fn told(pending: &Pending, outcome: &FlagsOutcome) -> UidSet {
    // Those left alone are told so that the client can decide again. RFC 7162 §3.1.3
    let left = &outcome.modified;
    match pending.reply {
        StoreReply::Flags => outcome.changed.union(&outcome.same).union(left),
        // MODSEQ is told even with .SILENT. RFC 7162 §3.1.3
        StoreReply::Silent if pending.is_conditional => outcome.same.union(left),
        StoreReply::Silent => UidSet::new(),
    }
}

fn tell(pending: Pending, outcome: FlagsOutcome, told: UidSet, run: &mut Run<'_>) -> Flow {
    let mut fetched = Fetched::news(run.state.enabled);
    // UID STORE always tells the UID. RFC 9051 §6.4.9
    if pending.numbering == Numbering::Uid && !run.state.enabled.uidonly {
        fetched.uid = Include::Yes;
    }
    let Pending { numbering, limit, has_gone, .. } = pending;
    let ending = Ending { numbering, has_gone, limit, modified: outcome.modified };
    sync::tell_messages(told, fetched, run, move |run| finish(ending, run))
}

/// What a STORE of whatever kind ends with.
pub(super) struct Ending {
    pub(super) numbering: Numbering,
    /// Whether sequence numbers named messages that were expunged elsewhere.
    pub(super) has_gone: bool,
    /// What is to be said if not all messages were worked on.
    pub(super) limit: Option<Code>,
    /// Messages that UNCHANGEDSINCE left alone. RFC 7162 §3.1.3
    pub(super) modified: UidSet,
}

pub(super) fn finish(ending: Ending, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let Ending { numbering, has_gone, limit, modified } = ending;
    // RFC 2180 §4.2: the rest is done; with UIDs there is nothing to complain of.
    let is_partial = has_gone && numbering == Numbering::Sequence;
    let reply = if is_partial { expunge_issued() } else { Reply::ok("STORE completed") };
    let reply = if modified.is_empty() {
        reply
    } else {
        reply.with(Code::Modified(numbers(&modified, numbering, selected)))
    };
    end(limit::tell(limit, reply, run))
}

/// UIDs in the numbers of the command.
fn numbers(uids: &UidSet, numbering: Numbering, selected: &Selected) -> SequenceSet {
    match numbering {
        Numbering::Uid => SequenceSet::from(uids),
        Numbering::Sequence => {
            let seqs: SeqSet =
                selected.view.entries(uids).map(|(seq, _): (SeqNum, _)| seq).collect();
            SequenceSet::from(seqs)
        }
    }
}
