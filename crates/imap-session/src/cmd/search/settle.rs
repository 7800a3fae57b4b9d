//! What is told when it has been loaded: messages of which it is not known whether they match, new
//! messages in the order of a sort, and items of new messages. RFC 5267 §4.3, RFC 5465 §5.2, §7
//!
//! It happens at the end of a command, in IDLE, and after NOTIFY between commands, in four steps.
//! Messages that are due are read and decided. Those that belong into the order of a SORT get their
//! place. Items of new messages that NOTIFY or a search asked for are told, in one FETCH for each
//! message whoever asked; and last the results that they are part of now. RFC 5465 §7 has FETCH
//! before ESEARCH; results without items do not wait for it, as §5.2 has it the other way around.
//!
//! What cannot be read is told another time; it does not keep the rest from being told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use imap_proto::types::FetchItem;
use mail_types::{Uid, UidSet};

use super::load::Job;
use super::place;
use crate::cmd::tell_new_messages;
use crate::render::Out;
use crate::reply::{Flow, Reply, Run, end, regardless, wait_ready};
use crate::{Need, news};

/// Loads what is needed, and tells the client; `None` if nothing waits for it. The flow's last
/// reply means nothing.
pub(crate) fn begin(run: &mut Run<'_>) -> Option<Flow> {
    let has_fresh = !news::fresh(run.state).is_empty();
    let selected = run.state.selected.as_ref()?;
    let is_due = selected.contexts.iter().filter(|context| !context.due.is_empty());
    let due: VecDeque<String> = is_due.map(|context| context.tag.clone()).collect();
    let has_ready = selected.contexts.iter().any(|context| !context.ready.is_empty());
    if due.is_empty() && !has_ready && !has_fresh {
        forget_fresh(run);
        return None;
    }
    Some(decide_all(due, run))
}

/// Whatever has arrived is told, or is not to be told.
fn forget_fresh(run: &mut Run<'_>) {
    if let Some(watch) = &mut run.state.watch {
        watch.fresh = UidSet::new();
        watch.own = UidSet::new();
    }
    for context in run.state.selected.iter_mut().flat_map(|it| &mut it.contexts) {
        context.own = UidSet::new();
    }
}

/// Decides what is due, one search after the other.
fn decide_all(mut due: VecDeque<String>, run: &mut Run<'_>) -> Flow {
    let Some(tag) = due.pop_front() else {
        let flow = place::begin(run);
        return regardless(flow, run, fetch_all);
    };
    let flow = decide(tag, run);
    regardless(flow, run, |run| decide_all(due, run))
}

fn decide(tag: String, run: &mut Run<'_>) -> Flow {
    let Some(selected) = run.state.selected.as_ref() else { return done() };
    let context = selected.contexts.iter().find(|context| context.tag == tag);
    let Some(context) = context else { return done() };
    let due = context.due.clone();
    let job = Job {
        view: selected.view.clone(),
        program: Arc::clone(&context.program),
        has_text: context.has_text,
        matched: UidSet::new(),
        undecided: due.clone(),
        // It is no command's work, so nobody waits for it.
        goal: 0,
        points: None,
        now: run.now.seconds(),
    };
    let finish = move |job: Job, run: &mut Run<'_>| {
        tell_decided(&tag, &due, &job, run);
        done()
    };
    job.next(run, Box::new(finish))
}

fn tell_decided(tag: &str, due: &UidSet, job: &Job, run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let out = &mut Out::new(run.sink, run.state.enabled);
    let Some(context) = selected.contexts.iter_mut().find(|context| context.tag == tag) else {
        return;
    };
    context.due = context.due.difference(due);
    let known = context.matched.union(&context.ready);
    let added = job.matched.difference(&known);
    let removed = due.difference(&job.matched).intersection(&known);
    context.tell(&added, &removed, &selected.view, out);
}

/// Tells items of new messages, each message once.
fn fetch_all(run: &mut Run<'_>) -> Flow {
    let groups = groups(run);
    forget_fresh(run);
    fetch(groups, run)
}

fn fetch(mut groups: VecDeque<Group>, run: &mut Run<'_>) -> Flow {
    let Some(Group { uids, items }) = groups.pop_front() else {
        tell_ready(run);
        return done();
    };
    let flow = tell_new_messages(uids.clone(), items, run, |_| done());
    regardless(flow, run, move |run| {
        // They are not told again, even if the rest is told another time.
        for context in run.state.selected.iter_mut().flat_map(|it| &mut it.contexts) {
            context.arrived = context.arrived.difference(&uids);
        }
        match groups.is_empty() {
            true => fetch(groups, run),
            // Not from inside this one: there may be many.
            false => wait_ready(Need::Flush, |run| fetch(groups, run)),
        }
    })
}

/// Messages of which the same items are told.
struct Group {
    uids: UidSet,
    items: Vec<FetchItem>,
}

/// Which items are told of which new messages: of each what NOTIFY and all searches that it has
/// become part of ask for, "combined into a single FETCH response". RFC 5465 §5.2
fn groups(run: &Run<'_>) -> VecDeque<Group> {
    let Some(selected) = &run.state.selected else { return VecDeque::new() };
    let watched = run.state.watch.as_ref().and_then(|watch| watch.selected.as_ref());
    let notify = watched.map(|watched| (watched.items.as_slice(), news::fresh(run.state)));
    let searches =
        selected.contexts.iter().filter(|context| context.tells_items()).map(|context| {
            let told = match &context.sorted {
                Some(sorted) => sorted.placed.iter().map(|one| one.uid).collect(),
                None => context.ready.clone(),
            };
            let new = told.intersection(&context.arrived).difference(&context.own);
            (context.items.as_slice(), new)
        });
    let wanted: Vec<(&[FetchItem], UidSet)> = notify.into_iter().chain(searches).collect();
    // For each message the set of those who ask for it, as bits.
    let mut asked: BTreeMap<Uid, u32> = BTreeMap::new();
    for (index, (_, uids)) in wanted.iter().enumerate() {
        for (_, entry) in selected.view.entries(uids) {
            *asked.entry(entry.uid()).or_default() |= 1 << index;
        }
    }
    let mut groups: BTreeMap<u32, UidSet> = BTreeMap::new();
    for (uid, by) in asked {
        groups.entry(by).or_default().insert(uid);
    }
    let group = |(by, uids): (u32, UidSet)| {
        let mut items = Vec::new();
        let asks = wanted.iter().enumerate().filter(|(index, _)| by & (1 << index) != 0);
        for item in asks.flat_map(|(_, (items, _))| *items) {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        Group { uids, items }
    };
    groups.into_iter().map(group).collect()
}

fn tell_ready(run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let out = &mut Out::new(run.sink, run.state.enabled);
    for context in &mut selected.contexts {
        context.tell_ready(&selected.view, out);
    }
}

fn done() -> Flow {
    end(Reply::ok("Settled"))
}
