//! SORT and UID SORT. RFC 5256 §3, RFC 5957, RFC 5267 §3, RFC 7162 §3.1.9

use imap_proto::types::{
    Esearch, Numbering, Response, SeqBound, SeqRange, SequenceSet, Sort, SortCriterion, SortKey,
};
use mail_types::{Address, Uid, UidSet};
use mailbox::EntryRef;
use mailbox::collate::Direction;
use mailbox::sort::{self, SortTexts, Sorter};
use mime::Message;

use super::search::rows::{Collector, collect, decoded, sent};
use super::search::{self, Wants, highest, keys, one_number};
use crate::reply::{Flow, Reply, Run, end};
use crate::sync;
use crate::{annotation, errors};

pub(crate) fn begin(sort: Sort, run: &mut Run<'_>) -> Flow {
    search::check(&sort.search, run)?;
    sync::prepare(move |run| {
        let search = sort.search.clone();
        search::find(&search, run, Box::new(move |matched, run| put_in_order(sort, matched, run)))
    })
}

fn put_in_order(sort: Sort, matched: UidSet, run: &mut Run<'_>) -> Flow {
    let criteria: Vec<sort::Criterion> = sort.criteria.iter().map(criterion).collect();
    let mut sorter = Sorter::new(&criteria, run.state.collation);
    if sorter.needs_rows() {
        return collect(matched, Box::new(Sorting { sort, sorter }), run);
    }
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    for (_, entry) in selected.view.entries(&matched) {
        sorter.add(&entry, &SortTexts::default());
    }
    Box::new(Sorting { sort, sorter }).finish(run)
}

/// A SORT whose messages are being loaded.
struct Sorting {
    sort: Sort,
    sorter: Sorter,
}

impl Collector for Sorting {
    fn take(&mut self, entry: &EntryRef<'_>, row: &Message) {
        self.sorter.add(entry, &texts(row, &self.sorter));
    }

    fn finish(self: Box<Self>, run: &mut Run<'_>) -> Flow {
        let Self { sort, sorter } = *self;
        tell(&sort, &sorter.finish(), run);
        end(Reply::ok(match sort.search.numbering {
            Numbering::Uid => "UID SORT completed",
            Numbering::Sequence => "SORT completed",
        }))
    }
}

fn criterion(criterion: &SortCriterion) -> sort::Criterion {
    let key = match &criterion.key {
        SortKey::Annotation(name, scope) => {
            sort::SortKey::Annotation(name.clone(), annotation::audience(*scope))
        }
        SortKey::Arrival => sort::SortKey::Arrival,
        SortKey::Cc => sort::SortKey::Cc,
        SortKey::Date => sort::SortKey::Date,
        SortKey::DisplayFrom => sort::SortKey::DisplayFrom,
        SortKey::DisplayTo => sort::SortKey::DisplayTo,
        SortKey::From => sort::SortKey::From,
        SortKey::Size => sort::SortKey::Size,
        SortKey::Subject => sort::SortKey::Subject,
        SortKey::To => sort::SortKey::To,
    };
    let direction = if criterion.reverse { Direction::Descending } else { Direction::Ascending };
    sort::Criterion { key, direction }
}

/// What the criteria need of a message: no more of it is decoded.
fn texts(message: &Message, sorter: &Sorter) -> SortTexts {
    let envelope = &message.header.envelope;
    let by = |key: sort::SortKey, addresses: &[Address], text: fn(&Address) -> String| {
        let first = addresses.first().filter(|_| sorter.sorts_by(&key));
        first.map(text).unwrap_or_default()
    };
    let subject = envelope.subject.as_deref();
    SortTexts {
        sent: sent(message),
        subject: decoded(subject.filter(|_| sorter.sorts_by(&sort::SortKey::Subject))),
        from: by(sort::SortKey::From, &envelope.from, mailbox_of),
        to: by(sort::SortKey::To, &envelope.to, mailbox_of),
        cc: by(sort::SortKey::Cc, &envelope.cc, mailbox_of),
        display_from: by(sort::SortKey::DisplayFrom, &envelope.from, shown),
        display_to: by(sort::SortKey::DisplayTo, &envelope.to, shown),
    }
}

/// `addr-mailbox`
fn mailbox_of(address: &Address) -> String {
    decoded(address.mailbox.as_deref())
}

/// What is shown of an address. RFC 5957 §3
fn shown(address: &Address) -> String {
    let name = decoded(address.name.as_deref());
    if !name.is_empty() {
        return name;
    }
    match (&address.mailbox, &address.host) {
        (Some(_), Some(host)) => format!("{}@{}", mailbox_of(address), decoded(Some(host))),
        _ => mailbox_of(address),
    }
}

fn tell(sort: &Sort, sorted: &[Uid], run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let wants = Wants::of(&sort.search);
    let (first, last) = (sorted.first().copied(), sorted.last().copied());
    // What is told: with only MIN and MAX, just those. RFC 5182 §2.4, RFC 4731 §3.2
    let ends = || first.filter(|_| wants.min).into_iter().chain(last.filter(|_| wants.max));
    let told: UidSet =
        if wants.is_some_only() { ends().collect() } else { sorted.iter().copied().collect() };
    let view = &selected.view;
    let mod_seq = keys::has_modseq(&sort.search.keys).then(|| highest(&told, view)).flatten();
    let number = |uid: Uid| one_number(uid, sort.search.numbering, view);
    let numbers = || sorted.iter().filter_map(|uid| number(*uid)).collect::<Vec<u32>>();
    let response = match sort.search.returns {
        None => Response::Sort { numbers: numbers(), mod_seq },
        Some(_) => Response::Esearch(Esearch {
            tag: Some(run.tag.as_str().to_owned()),
            numbering: sort.search.numbering,
            min: first.filter(|_| wants.min).and_then(number),
            max: last.filter(|_| wants.max).and_then(number),
            count: wants.count.then(|| u32::try_from(sorted.len()).unwrap_or(u32::MAX)),
            all: (wants.all && !sorted.is_empty()).then(|| in_order(&numbers())),
            mod_seq,
            ..Esearch::default()
        }),
    };
    if wants.save {
        selected.saved = told;
    }
    if !wants.is_silent() {
        run.write(&response);
    }
}

/// Numbers in the order given. A range only stands for numbers that rise. RFC 5267 §3.2
fn in_order(numbers: &[u32]) -> SequenceSet {
    let runs = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let range = |run: &[u32]| {
        let end = |number: Option<&u32>| number.map(|number| SeqBound::Number(*number));
        Some(SeqRange { first: end(run.first())?, last: end(run.last())? })
    };
    SequenceSet::new(runs.filter_map(range).collect())
}
