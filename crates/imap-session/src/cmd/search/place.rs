//! Where new messages belong in the order of a SORT that is kept up to date. RFC 5267 §4.3.3
//!
//! No keys are kept, so those of the new messages are made from their rows, and those of some
//! messages that are there: of one in 64, then of one in 64 between two of these, and so on. Among
//! 100,000 messages the place of one is found with three requests for rows. If many come at once
//! everything is sorted again, which asks for each row once.

use std::collections::VecDeque;
use std::sync::Arc;

use mail_types::{MessageId, Uid, UidSet};
use mailbox::ranking::{Gap, Insertion};
use mailbox::sort::{SortItem, SortRule, SortTexts, Sorter};
use mailbox::{EntryRef, View};
use mime::Message;

use super::context::{Context, Sorted};
use super::rows::{Collector, collect};
use crate::cmd::sort::texts;
use crate::reply::{Flow, Reply, Run, end, regardless, wait};
use crate::{Answer, Need, errors};

/// Finds the places of all messages that are ready, one search after the other.
pub(super) fn begin(run: &mut Run<'_>) -> Flow {
    let Some(selected) = run.state.selected.as_mut() else { return done() };
    let mut tags = VecDeque::new();
    for context in &mut selected.contexts {
        if let Some(sorted) = &mut context.sorted {
            sorted.placed.clear();
            if !context.ready.is_empty() {
                tags.push_back(context.tag.clone());
            }
        }
    }
    next(tags, run)
}

fn next(mut tags: VecDeque<String>, run: &mut Run<'_>) -> Flow {
    let Some(tag) = tags.pop_front() else { return done() };
    let flow = place(tag, run);
    regardless(flow, run, |run| next(tags, run))
}

fn done() -> Flow {
    end(Reply::ok("Placed"))
}

fn place(tag: String, run: &mut Run<'_>) -> Flow {
    let Some(selected) = run.state.selected.as_mut() else { return done() };
    let Some((ready, sorted)) = sorted_of(&tag, &mut selected.contexts) else { return done() };
    let mut sorter = Sorter::new(sorted.rule.as_ref().clone());
    let order = sorted.ranking.order();
    // Each of them may need as many rows as are asked for at once, some times over.
    let is_many = ready.len() > (order.len() / RESORT_RATIO) as u64;
    let all = if is_many { ready.union(&order.iter().copied().collect()) } else { ready.clone() };
    if sorted.rule.needs_rows() {
        let new = is_many.then_some(ready);
        return collect(all, Box::new(Arrivals { tag, sorter, new }), run);
    }
    for (_, entry) in selected.view.entries(&all) {
        sorter.add(&entry, &SortTexts::default());
    }
    sorted.placed = match is_many {
        true => placed_among(&sorter.finish(), &ready, order),
        false => placed_at_once(sorter.finish_items(), sorted, &selected.view),
    };
    done()
}

/// The messages that are ready, and the order into which they belong.
fn sorted_of<'a>(tag: &str, contexts: &'a mut [Context]) -> Option<(UidSet, &'a mut Sorted)> {
    let context = contexts.iter_mut().find(|context| context.tag == tag)?;
    Some((context.ready.clone(), context.sorted.as_mut()?))
}

/// Places messages by what the snapshot holds of all.
fn placed_at_once(new: Vec<SortItem>, sorted: &Sorted, view: &View) -> Vec<Insertion> {
    let order = sorted.ranking.order();
    let mut placed: Vec<Insertion> = Vec::with_capacity(new.len());
    for item in new {
        let low = placed.last().map_or(0, |before| before.index);
        let rest = order.get(low..).unwrap_or_default();
        let is_before = |uid: &Uid| {
            let entry = view.entry(*uid);
            let other = entry.map(|entry| sorted.rule.item(&entry, &SortTexts::default()));
            other.is_some_and(|other| sorted.rule.compare(&other, &item).is_lt())
        };
        let index = low + rest.partition_point(is_before);
        placed.push(Insertion { index, uid: item.uid() });
    }
    placed
}

/// New messages whose rows are being loaded, perhaps with all that are there.
struct Arrivals {
    tag: String,
    sorter: Sorter,
    /// Which are the new ones, if all are being sorted.
    new: Option<UidSet>,
}

impl Collector for Arrivals {
    fn take(&mut self, entry: &EntryRef<'_>, row: &Message) {
        self.sorter.add(entry, &texts(row, self.sorter.rule()));
    }

    fn finish(self: Box<Self>, run: &mut Run<'_>) -> Flow {
        let Self { tag, sorter, new } = *self;
        let rule = Arc::new(sorter.rule().clone());
        let Some(new) = new else {
            let items = sorter.finish_items().into();
            return Placing { tag, rule, items, gap: None, placed: Vec::new() }.next(run);
        };
        let Some(selected) = run.state.selected.as_mut() else { return done() };
        if let Some((_, sorted)) = sorted_of(&tag, &mut selected.contexts) {
            sorted.placed = placed_among(&sorter.finish(), &new, sorted.ranking.order());
        }
        done()
    }
}

/// The places of new messages in the order of old ones, from the order of all. Keys never change,
/// so the old ones have the same order in both.
fn placed_among(all: &[Uid], new: &UidSet, old: &[Uid]) -> Vec<Insertion> {
    let mut placed = Vec::new();
    let mut index = 0;
    for uid in all {
        if new.contains(*uid) {
            placed.push(Insertion { index, uid: *uid });
            continue;
        }
        // One that could not be loaded is not among all.
        let rest = old.get(index..).unwrap_or_default();
        index += rest.iter().position(|other| other == uid).map_or(0, |passed| passed + 1);
    }
    placed
}

/// New messages, one of which is being compared with those that are there.
struct Placing {
    tag: String,
    rule: Arc<SortRule>,
    /// Those that have no place yet, in order.
    items: VecDeque<SortItem>,
    /// What is known of the place of the first of them.
    gap: Option<Gap>,
    placed: Vec<Insertion>,
}

impl Placing {
    /// Goes on with the next comparison, or notes the places.
    fn next(mut self, run: &mut Run<'_>) -> Flow {
        let Some(selected) = run.state.selected.as_mut() else { return done() };
        let sorted = sorted_of(&self.tag, &mut selected.contexts);
        let Some((_, sorted)) = sorted else { return done() };
        let order = sorted.ranking.order();
        while let Some(item) = self.items.front() {
            let low = self.placed.last().map_or(0, |before| before.index);
            let gap = *self.gap.get_or_insert_with(|| Gap::from(low, order.len()));
            if let Some(index) = gap.found() {
                self.placed.push(Insertion { index, uid: item.uid() });
                self.items.pop_front();
                self.gap = None;
                continue;
            }
            let pivots = gap.pivots(Need::ROWS_MAX);
            let pivot = |index: usize| {
                let uid = *order.get(index)?;
                Some((index, uid, selected.view.entry(uid)?.message()))
            };
            let pivots: Vec<(usize, Uid, MessageId)> =
                pivots.into_iter().filter_map(pivot).collect();
            let ids = pivots.iter().map(|(_, _, message)| *message).collect();
            return wait(Need::Rows(ids), move |answer, run| match answer {
                Answer::Rows(rows) if !rows.is_empty() && rows.len() <= pivots.len() => {
                    self.compare(gap, &pivots, &rows, run)
                }
                other => Err(errors::unexpected(&other)),
            });
        }
        sorted.placed = self.placed;
        done()
    }

    fn compare(
        mut self,
        gap: Gap,
        pivots: &[(usize, Uid, MessageId)],
        rows: &[Option<Arc<Message>>],
        run: &mut Run<'_>,
    ) -> Flow {
        let (Some(selected), Some(item)) = (&run.state.selected, self.items.front()) else {
            return done();
        };
        let mut narrowed = gap;
        for ((index, uid, _), row) in pivots.iter().zip(rows) {
            if let (Some(entry), Some(row)) = (selected.view.entry(*uid), row) {
                let other = self.rule.item(&entry, &texts(row, &self.rule));
                narrowed = narrowed.narrowed(*index, self.rule.compare(item, &other));
            }
        }
        // What is gone from the store cannot be compared with, and nobody asks for its place.
        if narrowed == gap
            && let Some((index, ..)) = pivots.first()
        {
            narrowed = narrowed.narrowed(*index, std::cmp::Ordering::Less);
        }
        self.gap = Some(narrowed);
        self.next(run)
    }
}

/// Everything is sorted again if more than one message has come for so many that are there: about
/// as many as the rows that are compared with to place one.
const RESORT_RATIO: usize = 128;
