//! Searches whose changes are told as they happen. RFC 5267 §4.3
//!
//! A context keeps the program of its search and the messages that match, as the client knows
//! them. When the view moves, only messages that came, changed or went are looked at. Those that
//! the snapshot does not decide are due: what they need is loaded at the end of the command, or at
//! once in IDLE, and only then is the client told. ESEARCH may be sent at any time (§4.3.2), so
//! that is soon enough.
//!
//! The order is that of §4.3.3 and §4.3.4: REMOVEFROM before the EXPUNGE that takes away the
//! numbers it names, everything else after EXISTS and FETCH. Where EXPUNGE may not be sent,
//! REMOVEFROM comes all the same, and the numbers stay as they are (§A.3). Positions are always
//! zero: results are in mailbox order, so the client knows where a message belongs.

use std::sync::Arc;

use imap_proto::types::{
    Code, Esearch, Numbering, Response, Search, SearchUpdate, SequenceSet, Status, StatusKind,
};
use mail_types::{SeqSet, Uid, UidSet};
use mailbox::search::{Content, Program, Recency, Subject, Verdict};
use mailbox::{Delta, EntryRef, MailboxSnapshot, View};

use super::keys;
use super::load::Job;
use super::result::{Source, set};
use crate::render::Out;
use crate::reply::{Flow, Reply, Run, end};
use crate::state::Selected;

/// A search whose changes are told. It lives as long as its mailbox is selected.
#[derive(Debug)]
pub(crate) struct Context {
    tag: String,
    numbering: Numbering,
    /// The mailbox, if the search was an ESEARCH. RFC 7377 §2.1
    source: Option<Source>,
    program: Arc<Program>,
    has_text: bool,
    /// Set if the search names `*` among UIDs.
    last: Option<NamesLast>,
    /// What matches, as the client was told.
    matched: UidSet,
    /// Messages of which it is not known whether they match.
    due: UidSet,
}

/// A search that means something else when another message is the last one.
#[derive(Debug)]
struct NamesLast {
    /// It, with the numbers and `$` of the moment in which it was given.
    search: Search,
    /// The message that `*` stands for now.
    uid: Option<Uid>,
}

/// Most contexts at once. Each costs a test of every message that changes; a client has one for
/// each view that its user has open.
const CONTEXTS_MAX: usize = 16;
/// Most ranges of UIDs in what matches, in all contexts together when another is added: 2 MiB.
const RANGES_MAX: usize = 1 << 18;

/// A tag cannot be used again while updates are told under it. RFC 5267 §4.3
pub(crate) fn check_tag(run: &Run<'_>) -> Result<(), Reply> {
    let Some(selected) = &run.state.selected else { return Ok(()) };
    if selected.contexts.iter().any(|context| context.tag == run.tag.as_str()) {
        return Err(Reply::bad("Updates are told under this tag already"));
    }
    Ok(())
}

/// From now on changes of this result are told, or the client is told that they are not.
pub(crate) fn add(search: &Search, job: Job, source: Option<Source>, run: &mut Run<'_>) {
    let tag = run.tag.as_str().to_owned();
    let Some(selected) = run.state.selected.as_mut() else { return refuse(run) };
    let ranges = selected.contexts.iter().map(|context| context.matched.range_count());
    let is_large = ranges.sum::<usize>() + job.matched.range_count() > RANGES_MAX;
    // One is given to every client. RFC 5267 §4.3.1
    let has_some = !selected.contexts.is_empty();
    if selected.contexts.len() >= CONTEXTS_MAX || (is_large && has_some) {
        return refuse(run);
    }
    let Job { program, has_text, matched, .. } = job;
    let last = keys::has_last(&search.keys).then(|| NamesLast {
        search: keys::pinned(search, selected),
        uid: selected.view.last_uid(),
    });
    let (numbering, due) = (search.numbering, UidSet::new());
    let context = Context { tag, numbering, source, program, has_text, last, matched, due };
    selected.contexts.push(context);
}

/// Everything else that the search asked for is done all the same. RFC 5267 §4.3.1
pub(crate) fn refuse(run: &mut Run<'_>) {
    refuse_tag(run.tag.as_str().to_owned(), run);
}

fn refuse_tag(tag: String, run: &mut Run<'_>) {
    let code = Code::NoUpdate(tag);
    let status = Status::untagged(StatusKind::No, "Changes of this search are not told");
    run.write(&Response::Status(status.with_code(code)));
}

/// Sequence numbers are told no more after ENABLE UIDONLY, and UIDs would be no update of the
/// numbers that the client has kept. So these searches are given up, and the client is told:
/// NOUPDATE is what RFC 5267 has for a search whose changes are not told. RFC 9586 §3, RFC 5267
/// §4.3.1
pub(crate) fn end_numbered(run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let is_numbered = |context: &mut Context| context.numbering == Numbering::Sequence;
    let ended: Vec<Context> = selected.contexts.extract_if(.., is_numbered).collect();
    for context in ended {
        refuse_tag(context.tag, run);
    }
}

/// CANCELUPDATE: all of these tags, or none if one of them is wrong. RFC 5267 §4.3.5
pub(crate) fn cancel(tags: &[String], run: &mut Run<'_>) -> Flow {
    let contexts = run.state.selected.as_mut().map(|selected| &mut selected.contexts);
    let Some(contexts) = contexts else { return Err(Reply::bad("No mailbox is selected")) };
    if tags.iter().any(|tag| contexts.iter().all(|context| context.tag != *tag)) {
        return Err(Reply::bad("No updates are told under this tag"));
    }
    contexts.retain(|context| !tags.contains(&context.tag));
    end(Reply::ok("CANCELUPDATE completed"))
}

/// Messages are about to be told as expunged: their numbers are still valid. RFC 5267 §4.3.4
pub(crate) fn tell_expunged(delta: &Delta, run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    if delta.vanished.is_empty() {
        return;
    }
    let out = &mut Out::new(run.sink, run.state.enabled);
    for context in &mut selected.contexts {
        context.due = context.due.difference(&delta.vanished);
        let gone = context.matched.intersection(&delta.vanished);
        if gone.is_empty() {
            continue;
        }
        context.matched = context.matched.difference(&gone);
        // Both lists are of the same messages, one in descending order.
        let pairs = delta.expunged.iter().rev().zip(delta.vanished.iter());
        let numbers = match context.numbering {
            Numbering::Uid => SequenceSet::from(&gone),
            Numbering::Sequence => {
                let seqs: SeqSet =
                    pairs.filter(|(_, uid)| gone.contains(*uid)).map(|(seq, _)| *seq).collect();
                SequenceSet::from(seqs)
            }
        };
        context.write(vec![SearchUpdate::RemoveFrom(vec![(0, numbers)])], out);
    }
}

/// The view has moved from `before`, and the client knows its messages as they are now.
pub(crate) fn tell_changed(
    delta: &Delta,
    before: &MailboxSnapshot,
    first_new: Uid,
    run: &mut Run<'_>,
) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let out = &mut Out::new(run.sink, run.state.enabled);
    let mut contexts = std::mem::take(&mut selected.contexts);
    let view = &selected.view;
    let withheld = view.withheld();
    let new = UidSet::range(first_new, Uid::MAX);
    let new = view.entries(&new).filter(|_| delta.exists.is_some()).map(|(_, entry)| (None, entry));
    let changed = delta.changed.iter().map(|changed| changed.uid);
    let changed = changed.filter_map(|uid| Some((before.find(uid), view.entry(uid)?)));
    // Looked up once for all contexts.
    let touched: Vec<(Option<EntryRef<'_>>, EntryRef<'_>)> = changed.chain(new).collect();
    for context in &mut contexts {
        let mut news = News { now: run.now.seconds(), ..News::default() };
        for uid in context.follow_last(selected) {
            if let Some(entry) = view.entry(uid).filter(|_| !withheld.contains(uid)) {
                context.look(view, None, entry, &mut news);
            }
        }
        for (before, entry) in &touched {
            context.look(view, *before, *entry, &mut news);
        }
        context.due = context.due.difference(&news.decided).union(&news.due);
        context.due = context.due.difference(&withheld);
        let removed = news.removed.union(&context.matched.intersection(&withheld));
        context.tell(&news.added, &removed, view, out);
    }
    selected.contexts = contexts;
}

/// Loads what is needed to decide about the messages that are due, and tells the client; `None`
/// if nothing is due. The flow's last reply means nothing. On trouble they stay due.
pub(crate) fn settle(run: &mut Run<'_>) -> Option<Flow> {
    let selected = run.state.selected.as_ref()?;
    let context = selected.contexts.iter().find(|context| !context.due.is_empty())?;
    let (tag, due) = (context.tag.clone(), context.due.clone());
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
        tell_settled(&tag, &due, &job, run);
        settle(run).unwrap_or_else(|| end(Reply::ok("Settled")))
    };
    Some(job.next(run, Box::new(finish)))
}

fn tell_settled(tag: &str, due: &UidSet, job: &Job, run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let out = &mut Out::new(run.sink, run.state.enabled);
    let Some(context) = selected.contexts.iter_mut().find(|context| context.tag == tag) else {
        return;
    };
    context.due = context.due.difference(due);
    let added = job.matched.difference(&context.matched);
    let removed = due.difference(&job.matched).intersection(&context.matched);
    context.tell(&added, &removed, &selected.view, out);
}

/// What is new for one context.
#[derive(Default)]
struct News {
    /// The time, seconds since 1970.
    now: i64,
    added: UidSet,
    removed: UidSet,
    decided: UidSet,
    due: UidSet,
}

impl Context {
    /// If another message is the last one now: the messages for which that matters.
    fn follow_last(&mut self, selected: &Selected) -> Vec<Uid> {
        let uid = selected.view.last_uid();
        let Some(last) = self.last.as_mut().filter(|last| last.uid != uid) else {
            return Vec::new();
        };
        let changed = last.uid.into_iter().chain(uid).collect();
        last.uid = uid;
        // It has as many keys as before, so it cannot be too large.
        if let Ok(program) = Program::new(&keys::translate(&last.search, selected)) {
            self.program = Arc::new(program);
        }
        changed
    }

    /// Looks at a message that came or changed.
    fn look(
        &self,
        view: &View,
        before: Option<EntryRef<'_>>,
        entry: EntryRef<'_>,
        news: &mut News,
    ) {
        let uid = entry.uid();
        let recent = if view.is_recent(uid) { Recency::Recent } else { Recency::Old };
        let subject = Subject { entry, recent, now: news.now };
        // A flag that is not searched for changes nothing, and no body is read because of it.
        if let Some(before) = before
            && !self.due.contains(uid)
            && self.program.sees_no_difference(&Subject { entry: before, ..subject }, &subject)
        {
            return;
        }
        let is_matched = self.matched.contains(uid);
        match self.program.evaluate(&subject, &Content::default()) {
            Verdict::Needs(_) => return news.due.insert(uid),
            Verdict::Yes if !is_matched => news.added.insert(uid),
            Verdict::No if is_matched => news.removed.insert(uid),
            Verdict::Yes | Verdict::No => {}
        }
        news.decided.insert(uid);
    }

    fn tell(&mut self, added: &UidSet, removed: &UidSet, view: &View, out: &mut Out<'_>) {
        self.matched = self.matched.difference(removed).union(added);
        let numbers = |uids: &UidSet| vec![(0, set(uids, self.numbering, view))];
        let mut updates = Vec::new();
        if !removed.is_empty() {
            updates.push(SearchUpdate::RemoveFrom(numbers(removed)));
        }
        if !added.is_empty() {
            updates.push(SearchUpdate::AddTo(numbers(added)));
        }
        self.write(updates, out);
    }

    fn write(&self, updates: Vec<SearchUpdate>, out: &mut Out<'_>) {
        if updates.is_empty() {
            return;
        }
        out.write(&Response::Esearch(Esearch {
            tag: Some(self.tag.clone()),
            source: self.source.clone(),
            numbering: self.numbering,
            updates,
            ..Esearch::default()
        }));
    }
}
