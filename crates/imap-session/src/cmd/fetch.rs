//! FETCH and UID FETCH. RFC 9051 §6.4.5, RFC 7162 §3.1.4, RFC 3516, RFC 8474, RFC 8514, RFC 8970,
//! RFC 9394 §3.3
//!
//! Messages are told in batches, each loaded, written and sent before the next, so that
//! `FETCH 1:* (BODY[])` needs no more memory than a few messages. Items that stand in the snapshot
//! need nothing to be loaded at all.

mod attributes;
mod batch;
mod needs;

use imap_proto::types::{Code, Fetch, FetchItem, Numbering};
use mail_types::{Flags, ModSeq, SystemFlags, UidSet};
use mailbox::qresync::{Known, resync};
use mailbox::{FlagMode, Operation, Outcome, OwnStore, Rights};

use super::search::part;
use crate::limit::{self, Cut};
use crate::render::Out;
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::state::{Access, Selected};
use crate::sync::{self, CaughtUp, Silence, Told};
use crate::{Answer, Need, errors, render};
use batch::Job;
use needs::Needs;

pub(crate) use needs::{binary_section, bounded};

pub(crate) fn begin(fetch: Fetch, run: &mut Run<'_>) -> Flow {
    if fetch.vanished {
        check_vanished(&fetch, run)?;
    }
    if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
        sync::enable_condstore(run);
    }
    sync::prepare(move |run| plan(fetch, run))
}

/// RFC 7162 §3.2.6
fn check_vanished(fetch: &Fetch, run: &Run<'_>) -> Result<(), Reply> {
    if fetch.numbering == Numbering::Sequence {
        return Err(Reply::bad("VANISHED goes with UID FETCH only"));
    }
    if !run.state.enabled.qresync {
        return Err(Reply::bad("ENABLE QRESYNC first"));
    }
    if fetch.changed_since.is_none() {
        return Err(Reply::bad("VANISHED goes with CHANGEDSINCE only"));
    }
    Ok(())
}

fn plan(fetch: Fetch, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let mut uids = resolve(&fetch.set, fetch.numbering, selected)?;
    // Before CHANGEDSINCE: which of these messages have changed. RFC 9394 §3.4
    if let Some(range) = fetch.partial {
        uids = part(&uids.intersection(&selected.view.uids()), range);
        limit::check_whole(&uids, run.state)?;
    }
    if fetch.vanished {
        tell_vanished(&fetch, run);
    }
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    if let Some(since) = fetch.changed_since {
        uids = changed(&uids, since, selected);
    }
    let Cut { uids, code } = limit::cut(uids, run.state);
    let needs = Needs::of(&fetch.items);
    let items = items(fetch, run.state.enabled.uidonly);
    let unseen = if needs.seen { unseen(&uids, selected) } else { UidSet::new() };
    let job = match code {
        None => Job::new(uids, items, needs),
        Some(code) => Job::new(uids, items, needs)
            .last_first(selected)
            .with_finish(Box::new(|reply, run| end(limit::tell(Some(code), reply, run)))),
    };
    if unseen.is_empty() {
        return job.next(run);
    }
    set_seen(unseen, job, selected.mailbox)
}

/// Tells these items of messages that have arrived, as NOTIFY asked; none is marked as seen.
/// RFC 5465 §5.2
pub(crate) fn tell_new_messages(
    uids: UidSet,
    items: Vec<FetchItem>,
    run: &mut Run<'_>,
    then: impl FnOnce(&mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    let needs = Needs::of(&items);
    // Whatever could not be told of a message: nobody has asked, so nobody is answered.
    Job::new(uids, items, needs).with_finish(Box::new(|_, run| then(run))).next(run)
}

/// The items with those that go without saying.
fn items(fetch: Fetch, uidonly: bool) -> Vec<FetchItem> {
    let mut items = fetch.items;
    // RFC 9051 §6.4.9; UIDFETCH begins with it. RFC 9586 §3
    if !uidonly && fetch.numbering == Numbering::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    // RFC 7162 §3.1.4.1
    if fetch.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    items
}

/// VANISHED (EARLIER) comes before any FETCH. RFC 7162 §3.2.6
fn tell_vanished(fetch: &Fetch, run: &mut Run<'_>) {
    let (Some(selected), Some(since)) = (&run.state.selected, fetch.changed_since) else { return };
    // Not cut off after the last message, as UIDs of messages that are gone may lie above it.
    let named = fetch.set.resolve_uids(selected.view.last_uid());
    let known = Known { modseq: since, uids: Some(named), sample: None };
    let news = resync(selected.view.snapshot(), &known);
    // A message that this session still counts leaves it by a VANISHED without EARLIER, later.
    // RFC 7162 §3.2.10
    let counted: UidSet = selected.view.entries(&news.vanished).map(|(_, e)| e.uid()).collect();
    let earlier = news.vanished.difference(&counted);
    render::vanished_earlier(&mut Out::new(run.sink, run.state.enabled), &earlier);
}

/// Messages that changed after `since`. RFC 7162 §3.1.4.1
fn changed(uids: &UidSet, since: ModSeq, selected: &Selected) -> UidSet {
    let changed = selected.view.snapshot().changed_since(since).map(|(_, entry)| entry.uid());
    uids.intersection(&changed.collect())
}

/// Messages that this command sets `\Seen` on: none in a mailbox opened with EXAMINE.
/// RFC 9051 §6.3.3, §6.4.5
fn unseen(uids: &UidSet, selected: &Selected) -> UidSet {
    // Without the right to set it, it is not set. RFC 4314 §4
    if selected.access == Access::ReadOnly || !selected.rights.contains(Rights::SEEN) {
        return UidSet::new();
    }
    let entries = selected.view.snapshot().select(uids).map(|(_, entry)| entry);
    entries
        .filter(|entry| !entry.system_flags().contains(SystemFlags::SEEN))
        .map(|entry| entry.uid())
        .collect()
}

/// Sets `\Seen` before anything is told, and tells it as part of each message's FETCH.
fn set_seen(uids: UidSet, job: Job, mailbox: mail_types::MailboxId) -> Flow {
    let flags = Flags::system(SystemFlags::SEEN);
    let operation = Operation::SetFlags {
        mailbox,
        uids,
        mode: FlagMode::Add,
        flags: flags.clone(),
        unchanged_since: None,
    };
    wait(Need::Submit(operation), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::FlagsSet(outcome))) => {
            let modseq = outcome.modseq.unwrap_or_default();
            let own = OwnStore { modseq, mode: FlagMode::Add, flags };
            let seen = outcome.changed;
            let silence = Silence::Own(&own, &seen);
            match sync::advance(Told::NoExpunge, silence, run) {
                CaughtUp::Yes => job.with_seen(seen).next(run),
                CaughtUp::Gone => Err(errors::no_such_mailbox()),
                // Then the flags are told as news when the contents are there.
                CaughtUp::NotLoaded(_) => job.next(run),
            }
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// BINARY of a part whose encoding is not known. RFC 3516 §4.3
fn unknown_encoding() -> Reply {
    Reply::no("The encoding of a part is not known").with(Code::UnknownCte)
}
