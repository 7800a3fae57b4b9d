//! What was found, as SEARCH or ESEARCH, and as `$`.

use imap_proto::types::{
    Esearch, MailboxArg, Numbering, PartialRange, PartialResult, Response, Search, SearchReturn,
    SeqBound, SeqRange, SequenceSet,
};
use mail_types::{ModSeq, SeqSet, Uid, UidSet, UidValidity};
use mailbox::View;

use super::keys::has_modseq;
use super::load::Job;
use super::partial::part;
use crate::reply::Run;

/// The mailbox that was searched, if the answer has to say which. RFC 7377 §2.1
pub(crate) type Source = (MailboxArg, UidValidity);

/// Writes the result.
pub(crate) fn tell(search: &Search, job: &Job, source: Option<Source>, run: &mut Run<'_>) {
    let (view, matched) = (&job.view, &job.matched);
    let wants = Wants::of(search);
    let mod_seq = has_modseq(&search.keys).then(|| highest(&wants.kept(matched), view)).flatten();
    if search.returns.is_none() && !run.state.enabled.rev2 && source.is_none() {
        // Also if nothing was found: clients count the responses. RFC 3501 §7.2.5
        let numbers = numbers(matched, search.numbering, view);
        run.write(&Response::Search { numbers, mod_seq });
        return;
    }
    // A mailbox in which nothing was found is not told, whatever is asked. RFC 7377 §2.1
    if wants.is_silent() || (source.is_some() && matched.is_empty()) {
        return;
    }
    let number = |uid: Option<Uid>| uid.and_then(|uid| one_number(uid, search.numbering, view));
    let partial = wants.partial.map(|range| {
        let found = part(matched, range);
        let found = (!found.is_empty()).then(|| set(&found, search.numbering, view));
        PartialResult { range, found }
    });
    let reply = Esearch {
        tag: Some(run.tag.as_str().to_owned()),
        source,
        numbering: search.numbering,
        min: number(matched.first().filter(|_| wants.min)),
        max: number(matched.last().filter(|_| wants.max)),
        count: wants.count.then(|| u32::try_from(matched.len()).unwrap_or(u32::MAX)),
        all: (wants.all && !matched.is_empty()).then(|| set(matched, search.numbering, view)),
        partial,
        relevancy: wants.relevancy.then(|| scores(&wants, job)),
        mod_seq,
        updates: Vec::new(),
    };
    run.write(&Response::Esearch(reply));
}

/// What `$` becomes. RFC 5182 §2.4, RFC 9394 §3.2
pub(crate) fn saved(search: &Search, matched: &UidSet) -> Option<UidSet> {
    let wants = Wants::of(search);
    wants.save.then(|| wants.kept(matched))
}

/// The return options of SEARCH, ESEARCH and SORT.
pub(crate) struct Wants {
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) all: bool,
    pub(crate) count: bool,
    pub(crate) save: bool,
    pub(crate) partial: Option<PartialRange>,
    relevancy: bool,
    /// Whether something is asked for that has its own answer, or is none: CONTEXT, UPDATE.
    other: bool,
}

impl Wants {
    pub(crate) fn of(search: &Search) -> Self {
        let options = search.returns.as_deref().unwrap_or_default();
        let has = |option: SearchReturn| options.contains(&option);
        let is_update = |option: &SearchReturn| matches!(option, SearchReturn::Update(_));
        Self {
            min: has(SearchReturn::Min),
            max: has(SearchReturn::Max),
            // An empty list, or none in IMAP4rev2, asks for ALL. RFC 9051 §6.4.4, RFC 5267 §3.3
            all: has(SearchReturn::All) || options.is_empty(),
            count: has(SearchReturn::Count),
            save: has(SearchReturn::Save),
            partial: options.iter().find_map(|option| match option {
                SearchReturn::Partial(range) => Some(*range),
                _ => None,
            }),
            relevancy: has(SearchReturn::Relevancy),
            other: has(SearchReturn::Context) || options.iter().any(is_update),
        }
    }

    /// SAVE alone: nothing is told. RFC 9051 §6.4.4
    pub(crate) fn is_silent(&self) -> bool {
        let has_data = self.min || self.max || self.all || self.count || self.relevancy;
        self.save && !has_data && self.partial.is_none() && !self.other
    }

    /// Whether the answer is about some of what was found only: MIN, MAX or PARTIAL, and neither
    /// ALL nor COUNT.
    pub(crate) fn is_some_only(&self) -> bool {
        (self.min || self.max || self.partial.is_some()) && !self.all && !self.count
    }

    /// The messages that the answer is about: with only MIN, MAX and PARTIAL, just those.
    /// RFC 4731 §3.2, RFC 5182 §2.4, RFC 9394 §3.2
    fn kept(&self, matched: &UidSet) -> UidSet {
        if !self.is_some_only() {
            return matched.clone();
        }
        let first = matched.first().filter(|_| self.min);
        let last = matched.last().filter(|_| self.max);
        let ends: UidSet = first.into_iter().chain(last).collect();
        match self.partial {
            Some(range) => ends.union(&part(matched, range)),
            None => ends,
        }
    }
}

/// A score for each message that ALL or PARTIAL names, or else for each that was found: the best
/// one has 100, and the others as much less as their points are fewer. RFC 6203 §4
fn scores(wants: &Wants, job: &Job) -> Vec<u8> {
    let points = |uid: Uid| job.points.as_ref().and_then(|all| all.get(&uid)).copied().unwrap_or(0);
    let best = u64::from(job.matched.iter().map(points).max().unwrap_or(0).max(1));
    let told = match wants.partial {
        Some(range) => part(&job.matched, range),
        None => job.matched.clone(),
    };
    let score = |uid| u8::try_from((u64::from(points(uid)) * 100 / best).clamp(1, 100));
    told.iter().map(|uid| score(uid).unwrap_or(1)).collect()
}

/// The highest modseq of what is told. RFC 4731 §3.2, RFC 7162 §3.1.10
pub(crate) fn highest(told: &UidSet, view: &View) -> Option<ModSeq> {
    view.entries(told).map(|(_, entry)| entry.modseq()).max()
}

pub(crate) fn one_number(uid: Uid, numbering: Numbering, view: &View) -> Option<u32> {
    match numbering {
        Numbering::Uid => Some(uid.get()),
        Numbering::Sequence => view.seq(uid).map(|seq| seq.get()),
    }
}

fn numbers(uids: &UidSet, numbering: Numbering, view: &View) -> Vec<u32> {
    match numbering {
        Numbering::Uid => uids.iter().map(Uid::get).collect(),
        Numbering::Sequence => view.entries(uids).map(|(seq, _)| seq.get()).collect(),
    }
}

/// UIDs in the numbers of the command.
pub(crate) fn set(uids: &UidSet, numbering: Numbering, view: &View) -> SequenceSet {
    match numbering {
        Numbering::Uid => SequenceSet::from(uids),
        Numbering::Sequence => {
            let seqs: SeqSet = view.entries(uids).map(|(seq, _)| seq).collect();
            SequenceSet::from(seqs)
        }
    }
}

/// Numbers in the order given. A range only stands for numbers that rise. RFC 5267 §3.2
pub(crate) fn in_order(numbers: &[u32]) -> SequenceSet {
    let runs = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let range = |run: &[u32]| {
        let end = |number: Option<&u32>| number.map(|number| SeqBound::Number(*number));
        Some(SeqRange { first: end(run.first())?, last: end(run.last())? })
    };
    SequenceSet::new(runs.filter_map(range).collect())
}
