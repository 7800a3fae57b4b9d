//! STORE with ANNOTATION. RFC 5257 §4.5
//!
//! It tells nothing of what it does, as FLAGS.SILENT: only MODSEQ, once that is enabled, and the
//! messages that UNCHANGEDSINCE left alone. Everything is set on all messages or on none.

use imap_proto::types::{Code, Numbering, StoreAnnotation};
use mail_types::{MessageId, Uid, UidSet};
use mailbox::{AnnotationEdit, FlagsOutcome, Operation, Outcome, Refusal};

use super::expunge::check_writable;
use super::store::{Ending, finish};
use crate::limit::{self, Cut};
use crate::render::{Fetched, Include};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::sync::{self, Silence, Told};
use crate::{Answer, Need, annotation, errors};

pub(crate) fn begin(store: StoreAnnotation, run: &mut Run<'_>) -> Flow {
    check_writable(run)?;
    if store.unchanged_since.is_some() {
        sync::enable_condstore(run);
    }
    sync::prepare(move |run| plan(store, run))
}

/// What has to be remembered while values are checked and committed.
struct Pending {
    numbering: Numbering,
    operation: Operation,
    edits: Vec<AnnotationEdit>,
    /// Whether UNCHANGEDSINCE was given.
    is_conditional: bool,
    /// What is to be said if not all messages were worked on.
    limit: Option<Code>,
    /// Whether sequence numbers named messages that were expunged elsewhere.
    has_gone: bool,
}

fn plan(store: StoreAnnotation, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let uids = resolve(&store.set, store.numbering, selected)?;
    let Cut { uids, code } = limit::cut(uids, run.state);
    if uids.is_empty() {
        return end(Reply::ok("No message to change"));
    }
    let has_gone = selected.names_gone(&uids);
    let edits = annotation::edits(store.settings, selected.home.audience());
    let parts = annotation::parts(edits.iter().map(|edit| &edit.name));
    let operation = Operation::Annotate {
        mailbox: selected.mailbox,
        uids: uids.clone(),
        edits: edits.clone(),
        unchanged_since: store.unchanged_since,
    };
    let pending = Pending {
        numbering: store.numbering,
        operation,
        edits,
        is_conditional: store.unchanged_since.is_some(),
        limit: code,
        has_gone,
    };
    if parts.is_empty() {
        return submit(pending);
    }
    check_parts(uids, parts, run, move |_| submit(pending))
}

/// Goes on if all of these messages have all of these parts. RFC 5257 §3.2.1
fn check_parts(
    uids: UidSet,
    parts: Vec<Vec<u32>>,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let entries = selected.view.entries(&uids).take(Need::ROWS_MAX);
    let batch: Vec<(Uid, MessageId)> = entries.map(|(_, e)| (e.uid(), e.message())).collect();
    if batch.is_empty() {
        return then(run);
    }
    let ids = batch.iter().map(|(_, message)| *message).collect();
    wait(Need::Rows(ids), move |answer, run| match answer {
        Answer::Rows(rows) if !rows.is_empty() && rows.len() <= batch.len() => {
            let lacks = rows.iter().flatten().any(|row| !annotation::has_parts(row, &parts));
            if lacks {
                return Err(errors::refusal(Refusal::NoSuchPart));
            }
            let last = batch.get(rows.len() - 1).map(|(uid, _)| *uid);
            let rest = last.and_then(Uid::next).map(|next| UidSet::range(next, Uid::MAX));
            check_parts(uids.intersection(&rest.unwrap_or_default()), parts, run, then)
        }
        other => Err(errors::unexpected(&other)),
    })
}

fn submit(pending: Pending) -> Flow {
    wait(Need::Submit(pending.operation.clone()), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Annotated(outcome))) => load(pending, outcome, run),
        other => Err(errors::unexpected(&other)),
    })
}

/// The view moves; what this command has set is no news for the client.
fn load(pending: Pending, outcome: FlagsOutcome, run: &mut Run<'_>) -> Flow {
    let (set, edits) = (outcome.changed.union(&outcome.same), pending.edits);
    let advance = move |run: &mut Run<'_>| {
        sync::advance(Told::NoExpunge, Silence::Annotated(&set, &edits), run)
    };
    let Pending { numbering, is_conditional, limit, has_gone, .. } = pending;
    // What was left alone, and with UNCHANGEDSINCE what was so already: their MODSEQ is told.
    // RFC 7162 §3.1.3
    let told = match is_conditional {
        true => outcome.same.union(&outcome.modified),
        false => UidSet::new(),
    };
    let ending = Ending { numbering, has_gone, limit, modified: outcome.modified };
    sync::move_view(advance, run, move |run| {
        let uid = if run.state.enabled.uidonly { Include::No } else { Include::Yes };
        let fetched = Fetched { uid, flags: Include::No, modseq: Include::Yes };
        sync::tell_messages(told, fetched, run, move |run| finish(ending, run))
    })
}
