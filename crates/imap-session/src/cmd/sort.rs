//! SORT and UID SORT. RFC 5256 §3, RFC 5957, RFC 5267 §3, RFC 7162 §3.1.9

use std::sync::Arc;

use imap_proto::types::{
    Esearch, Numbering, PartialResult, Response, Sort, SortCriterion, SortKey,
};
use mail_types::{Address, Uid, UidSet};
use mailbox::Audience;
use mailbox::EntryRef;
use mailbox::collate::Direction;
use mailbox::sort::{self, SortRule, SortTexts, Sorter};
use mime::Message;

use super::search::rows::{Collector, collect, decoded, sent};
use super::search::{
    self, Found, Job, Sorted, Wants, context, highest, in_order, keys, one_number, part_in_order,
};
use crate::reply::{Flow, Reply, Run, end};
use crate::sync;
use crate::{annotation, errors};

pub(crate) fn begin(sort: Sort, run: &mut Run<'_>) -> Flow {
    search::check(&sort.search, run)?;
    sync::prepare(move |run| {
        let search = sort.search.clone();
        search::find(&search, run, Box::new(move |job, run| put_in_order(sort, job, run)))
    })
}

fn put_in_order(sort: Sort, job: Job, run: &mut Run<'_>) -> Flow {
    let own = run.state.audience();
    let criteria: Vec<sort::Criterion> =
        sort.criteria.iter().map(|it| criterion(it, own)).collect();
    let mut sorter = Sorter::new(SortRule::new(&criteria, run.state.collation));
    if sorter.rule().needs_rows() {
        return collect(job.matched.clone(), Box::new(Sorting { sort, job, sorter }), run);
    }
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    for (_, entry) in selected.view.entries(&job.matched) {
        sorter.add(&entry, &SortTexts::default());
    }
    Box::new(Sorting { sort, job, sorter }).finish(run)
}

/// A SORT whose messages are being loaded.
struct Sorting {
    sort: Sort,
    job: Job,
    sorter: Sorter,
}

impl Collector for Sorting {
    fn take(&mut self, entry: &EntryRef<'_>, row: &Message) {
        self.sorter.add(entry, &texts(row, self.sorter.rule()));
    }

    fn finish(self: Box<Self>, run: &mut Run<'_>) -> Flow {
        let Self { sort, job, sorter } = *self;
        let rule = sorter.rule().clone();
        let order = sorter.finish();
        tell(&sort, &order, run);
        if search::wants_updates(&sort.search) {
            let sorted = Some(Sorted::new(Arc::new(rule), order));
            context::add(&sort.search, Found { job, source: None, sorted }, run);
        }
        end(Reply::ok(match sort.search.numbering {
            Numbering::Uid => "UID SORT completed",
            Numbering::Sequence => "SORT completed",
        }))
    }
}

fn criterion(criterion: &SortCriterion, own: Audience) -> sort::Criterion {
    let key = match &criterion.key {
        SortKey::Annotation(name, scope) => {
            sort::SortKey::Annotation(name.clone(), annotation::audience(*scope, own))
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
pub(crate) fn texts(message: &Message, rule: &SortRule) -> SortTexts {
    let envelope = &message.header.envelope;
    let by = |key: sort::SortKey, addresses: &[Address], text: fn(&Address) -> String| {
        let first = addresses.first().filter(|_| rule.sorts_by(&key));
        first.map(text).unwrap_or_default()
    };
    let subject = envelope.subject.as_deref();
    SortTexts {
        sent: sent(message),
        subject: decoded(subject.filter(|_| rule.sorts_by(&sort::SortKey::Subject))),
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
    // What is told: with only MIN, MAX and PARTIAL, just those. RFC 5182 §2.4, RFC 4731 §3.2,
    // RFC 9394 §3.2
    let ends = || first.filter(|_| wants.min).into_iter().chain(last.filter(|_| wants.max));
    let part = wants.partial.map(|range| (range, part_in_order(sorted, range)));
    let told: UidSet = match wants.is_some_only() {
        true => ends().chain(part.iter().flat_map(|(_, part)| part.iter().copied())).collect(),
        false => sorted.iter().copied().collect(),
    };
    let view = &selected.view;
    let mod_seq = keys::has_modseq(&sort.search.keys).then(|| highest(&told, view)).flatten();
    let number = |uid: Uid| one_number(uid, sort.search.numbering, view);
    let numbers = |uids: &[Uid]| uids.iter().filter_map(|uid| number(*uid)).collect::<Vec<u32>>();
    let response = match sort.search.returns {
        None => Response::Sort { numbers: numbers(sorted), mod_seq },
        Some(_) => Response::Esearch(Esearch {
            tag: Some(run.tag.as_str().to_owned()),
            numbering: sort.search.numbering,
            min: first.filter(|_| wants.min).and_then(number),
            max: last.filter(|_| wants.max).and_then(number),
            count: wants.count.then(|| u32::try_from(sorted.len()).unwrap_or(u32::MAX)),
            all: (wants.all && !sorted.is_empty()).then(|| in_order(&numbers(sorted))),
            partial: part.map(|(range, part)| PartialResult {
                range,
                found: (!part.is_empty()).then(|| in_order(&numbers(part))),
            }),
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
