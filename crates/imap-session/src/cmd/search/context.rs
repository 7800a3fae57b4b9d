//! Searches whose changes are told as they happen. RFC 5267 §4.3
//!
//! A context keeps the program of its search and the messages that match, as the client knows
//! them. When the view moves, only messages that came, changed or went are looked at. Those that
//! the snapshot does not decide are due, and those that match but have to be put in order or told
//! in a FETCH first are ready: what they need is loaded at the end of the command, or at once in
//! IDLE (`settle.rs`), and only then is the client told. ESEARCH may be sent at any time (§4.3.2),
//! so that is soon enough.
//!
//! The order is that of §4.3.3 and §4.3.4: REMOVEFROM before the EXPUNGE that takes away the
//! numbers it names, everything else after EXISTS and FETCH. Where EXPUNGE may not be sent,
//! REMOVEFROM comes all the same, and the numbers stay as they are (§A.3). Positions of a SEARCH
//! are always zero: its results are in mailbox order, so the client knows where a message belongs.
//! Those of a SORT come from the order that is kept (`mailbox::ranking`).

use std::sync::Arc;

use imap_proto::types::{
    Code, Esearch, FetchItem, Numbering, Response, Search, SearchReturn, SearchUpdate, SequenceSet,
    Status, StatusKind,
};
use mail_types::{SeqNum, Uid, UidSet};
use mailbox::collate::Comparator;
use mailbox::ranking::{Insertion, Place, Ranking};
use mailbox::search::{Content, Program, Recency, Subject, Verdict};
use mailbox::sort::SortRule;
use mailbox::{Delta, EntryRef, MailboxSnapshot, View};

use super::keys;
use super::load::Job;
use super::result::{Source, in_order, one_number, set};
use crate::render::Out;
use crate::reply::{Flow, Reply, Run, end};
use crate::state::Selected;

/// A search whose changes are told. It lives as long as its mailbox is selected.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) tag: String,
    numbering: Numbering,
    /// The mailbox, if the search was an ESEARCH. RFC 7377 §2.1
    source: Option<Source>,
    pub(super) program: Arc<Program>,
    pub(super) has_text: bool,
    /// Set if the search names `*` among UIDs.
    last: Option<NamesLast>,
    /// What matches, as the client was told.
    pub(super) matched: UidSet,
    /// Messages of which it is not known whether they match.
    pub(super) due: UidSet,
    /// Messages that match, of which the client is not told before they have been put in order, or
    /// their items have been told.
    pub(super) ready: UidSet,
    /// Those among the due and the ready ones that have arrived since the search was given: only
    /// of them are items told. RFC 5465 §7
    pub(super) arrived: UidSet,
    /// Messages that this session itself put into the mailbox: no items of them are told.
    /// RFC 5465 §5.2
    pub(super) own: UidSet,
    /// What is told of each new message. RFC 5465 §7
    pub(super) items: Vec<FetchItem>,
    /// The order of a SORT.
    pub(super) sorted: Option<Sorted>,
}

/// What is kept of a SORT: no key of any message, as they can be made again.
#[derive(Debug)]
pub(crate) struct Sorted {
    pub(super) rule: Arc<SortRule>,
    pub(super) ranking: Ranking,
    /// Where messages that are ready belong, in order.
    pub(super) placed: Vec<Insertion>,
}

impl Sorted {
    /// What was found, in order.
    pub(crate) fn new(rule: Arc<SortRule>, order: Vec<Uid>) -> Self {
        Self { rule, ranking: Ranking::new(order), placed: Vec::new() }
    }
}

/// A search that has been told, and is to be kept.
pub(crate) struct Found {
    pub(crate) job: Job,
    pub(crate) source: Option<Source>,
    pub(crate) sorted: Option<Sorted>,
}

/// A search that means something else when another message is the last one.
#[derive(Debug)]
struct NamesLast {
    /// It, with the numbers and `$` of the moment in which it was given.
    search: Search,
    /// How its texts are compared: the comparator of that moment. RFC 5255 §4.7
    comparator: Comparator,
    /// The message that `*` stands for now.
    uid: Option<Uid>,
}

/// Most contexts at once. Each costs a test of every message that changes; a client has one for
/// each view that its user has open.
const CONTEXTS_MAX: usize = 16;
/// Most ranges of UIDs in what matches, in all contexts together when another is added: 2 MiB.
const RANGES_MAX: usize = 1 << 18;
/// Most messages in results of SORT, in all contexts together when another is added: at four
/// octets each 2 MiB.
const SORTED_MAX: usize = 1 << 19;

/// A tag cannot be used again while updates are told under it. RFC 5267 §4.3
pub(crate) fn check_tag(run: &Run<'_>) -> Result<(), Reply> {
    let Some(selected) = &run.state.selected else { return Ok(()) };
    if selected.contexts.iter().any(|context| context.tag == run.tag.as_str()) {
        return Err(Reply::bad("Updates are told under this tag already"));
    }
    Ok(())
}

/// From now on changes of this result are told, or the client is told that they are not.
pub(crate) fn add(search: &Search, found: Found, run: &mut Run<'_>) {
    let tag = run.tag.as_str().to_owned();
    let Some(selected) = run.state.selected.as_mut() else { return refuse(run) };
    // One is given to every client. RFC 5267 §4.3.1
    let is_large = is_large(&found, &selected.contexts) && !selected.contexts.is_empty();
    if selected.contexts.len() >= CONTEXTS_MAX || is_large {
        return refuse(run);
    }
    let last = keys::has_last(&search.keys).then(|| NamesLast {
        search: keys::pinned(search, selected),
        comparator: run.state.collation.comparator,
        uid: selected.view.last_uid(),
    });
    let Found { job: Job { program, has_text, mut matched, .. }, source, sorted } = found;
    if let Some(sorted) = &sorted {
        // A message that was gone before it could be put in order is in no result.
        matched = sorted.ranking.order().iter().copied().collect();
    }
    let items = search.returns.iter().flatten().find_map(|option| match option {
        SearchReturn::Update(items) if !items.is_empty() => Some(items.clone()),
        _ => None,
    });
    selected.contexts.push(Context {
        tag,
        numbering: search.numbering,
        source,
        program,
        has_text,
        last,
        matched,
        due: UidSet::new(),
        ready: UidSet::new(),
        arrived: UidSet::new(),
        own: UidSet::new(),
        items: items.unwrap_or_default(),
        sorted,
    });
}

/// Whether there is too much to be kept, with what is kept already.
fn is_large(found: &Found, contexts: &[Context]) -> bool {
    let ranges = contexts.iter().map(|context| context.matched.range_count());
    let count = |sorted: &Option<Sorted>| sorted.as_ref().map_or(0, |it| it.ranking.order().len());
    let sorted = contexts.iter().map(|context| count(&context.sorted));
    ranges.sum::<usize>() + found.job.matched.range_count() > RANGES_MAX
        || sorted.sum::<usize>() + count(&found.sorted) > SORTED_MAX
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
    // Both lists are of the same messages, one in descending order.
    let pairs = delta.expunged.iter().rev().zip(delta.vanished.iter());
    let numbers: Vec<(Uid, SeqNum)> = pairs.map(|(seq, uid)| (uid, *seq)).collect();
    let number = |uid: Uid| {
        let index = numbers.binary_search_by_key(&uid, |(uid, _)| *uid).ok()?;
        numbers.get(index).map(|(_, seq)| seq.get())
    };
    for context in &mut selected.contexts {
        context.forget(&delta.vanished);
        let gone = context.matched.intersection(&delta.vanished);
        if gone.is_empty() {
            continue;
        }
        context.matched = context.matched.difference(&gone);
        let numbering = context.numbering;
        let number = |uid: Uid| match numbering {
            Numbering::Uid => Some(uid.get()),
            Numbering::Sequence => number(uid),
        };
        let pairs = context.removed(&gone, &number);
        context.write(vec![SearchUpdate::RemoveFrom(pairs)], out);
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
    let to_come = UidSet::range(first_new, Uid::MAX);
    let new = view.entries(&to_come).filter(|_| delta.exists.is_some());
    let new: Vec<EntryRef<'_>> = new.map(|(_, entry)| entry).collect();
    let arrived: UidSet = new.iter().map(|entry| entry.uid()).collect();
    let changed = delta.changed.iter().map(|changed| changed.uid);
    let changed = changed.filter_map(|uid| Some((before.find(uid), view.entry(uid)?)));
    // Looked up once for all contexts.
    let touched: Vec<(Option<EntryRef<'_>>, EntryRef<'_>)> =
        changed.chain(new.into_iter().map(|entry| (None, entry))).collect();
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
        if context.tells_items() {
            context.arrived = context.arrived.union(&arrived);
        }
        context.due = context.due.difference(&news.decided).union(&news.due);
        context.due = context.due.difference(&withheld);
        let known = context.matched.union(&context.ready);
        let removed = news.removed.union(&known.intersection(&withheld));
        context.tell(&news.added, &removed, view, out);
    }
    selected.contexts = contexts;
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
        let key = keys::translate(&last.search, selected);
        // It has as many keys as before, so it cannot be too large.
        if let Ok(program) = Program::with_comparator(&key, last.comparator) {
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
        let is_matched = self.matched.contains(uid) || self.ready.contains(uid);
        match self.program.evaluate(&subject, &Content::default()) {
            Verdict::Needs(_) => return news.due.insert(uid),
            Verdict::Yes if !is_matched => news.added.insert(uid),
            Verdict::No if is_matched => news.removed.insert(uid),
            Verdict::Yes | Verdict::No => {}
        }
        news.decided.insert(uid);
    }

    /// Whether items of new messages are told. RFC 5465 §7
    pub(crate) fn tells_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// Notes messages that this session has put into the mailbox.
    pub(crate) fn note_own(&mut self, uids: &UidSet) {
        self.own = self.own.union(uids);
    }

    /// Messages that are gone, of which the client was not told that they match.
    fn forget(&mut self, gone: &UidSet) {
        self.due = self.due.difference(gone);
        self.ready = self.ready.difference(gone);
        self.arrived = self.arrived.difference(gone);
    }

    /// Tells what is part of the result no more, and what has become part of it as far as nothing
    /// has to come before.
    pub(super) fn tell(
        &mut self,
        added: &UidSet,
        removed: &UidSet,
        view: &View,
        out: &mut Out<'_>,
    ) {
        let gone = self.matched.intersection(removed);
        let mut updates = Vec::new();
        if !gone.is_empty() {
            self.matched = self.matched.difference(&gone);
            let numbering = self.numbering;
            let number = |uid| one_number(uid, numbering, view);
            updates.push(SearchUpdate::RemoveFrom(match &self.sorted {
                Some(_) => self.removed(&gone, &number),
                None => vec![(0, set(&gone, self.numbering, view))],
            }));
        }
        let waiting = match &self.sorted {
            Some(_) => added.clone(),
            None => added.intersection(&self.arrived),
        };
        self.ready = self.ready.difference(removed).union(&waiting);
        self.arrived = self.arrived.intersection(&self.ready.union(&self.due));
        let added = added.difference(&waiting);
        if !added.is_empty() {
            self.matched = self.matched.union(&added);
            updates.push(SearchUpdate::AddTo(vec![(0, set(&added, self.numbering, view))]));
        }
        self.write(updates, out);
    }

    /// Tells of the messages that are ready, now that all that comes before them was told.
    pub(super) fn tell_ready(&mut self, view: &View, out: &mut Out<'_>) {
        let pairs = match &mut self.sorted {
            None if self.ready.is_empty() => return,
            None => {
                let ready = std::mem::take(&mut self.ready);
                self.matched = self.matched.union(&ready);
                vec![(0, set(&ready, self.numbering, view))]
            }
            Some(sorted) => {
                let placed = std::mem::take(&mut sorted.placed);
                let uids: UidSet = placed.iter().map(|one| one.uid).collect();
                self.ready = self.ready.difference(&uids);
                self.matched = self.matched.union(&uids);
                pairs(sorted.ranking.insert(&placed), |uid| one_number(uid, self.numbering, view))
            }
        };
        self.arrived = self.arrived.intersection(&self.ready.union(&self.due));
        if !pairs.is_empty() {
            self.write(vec![SearchUpdate::AddTo(pairs)], out);
        }
    }

    /// Takes messages out of the order, if there is one: positions and numbers for REMOVEFROM.
    fn removed(
        &mut self,
        gone: &UidSet,
        number: &dyn Fn(Uid) -> Option<u32>,
    ) -> Vec<(u32, SequenceSet)> {
        match &mut self.sorted {
            Some(sorted) => pairs(sorted.ranking.remove(gone), number),
            None => vec![(0, in_order(&gone.iter().filter_map(number).collect::<Vec<u32>>()))],
        }
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

/// Places in an order as they are told.
fn pairs(places: Vec<Place>, number: impl Fn(Uid) -> Option<u32>) -> Vec<(u32, SequenceSet)> {
    let one = |Place { position, uids }: Place| {
        let numbers: Vec<u32> = uids.into_iter().filter_map(&number).collect();
        (position, in_order(&numbers))
    };
    places.into_iter().map(one).collect()
}
