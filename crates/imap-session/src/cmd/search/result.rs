//! What was found, as SEARCH or ESEARCH, and as `$`.

use imap_proto::types::{Esearch, Numbering, Response, Search, SearchReturn, SequenceSet};
use mail_types::{ModSeq, SeqSet, Uid, UidSet};
use mailbox::View;

use super::keys::has_modseq;
use crate::reply::Run;

/// Writes the result and keeps it as `$` if that was asked.
pub(crate) fn tell(search: &Search, matched: &UidSet, run: &mut Run<'_>) {
    let Some(selected) = run.state.selected.as_mut() else { return };
    let wants = Wants::of(search);
    if wants.save {
        selected.saved = saved(&wants, matched);
    }
    let view = &selected.view;
    let mod_seq = has_modseq(&search.keys).then(|| highest(&wants, matched, view)).flatten();
    if search.returns.is_none() && !run.state.enabled.rev2 {
        // Also if nothing was found: clients count the responses. RFC 3501 §7.2.5
        let numbers = numbers(matched, search.numbering, view);
        run.write(&Response::Search { numbers, mod_seq });
        return;
    }
    if wants.is_silent() {
        return;
    }
    let number = |uid: Option<Uid>| uid.and_then(|uid| one_number(uid, search.numbering, view));
    let reply = Esearch {
        tag: Some(run.tag.as_str().to_owned()),
        numbering: search.numbering,
        min: number(matched.first().filter(|_| wants.min)),
        max: number(matched.last().filter(|_| wants.max)),
        count: wants.count.then(|| u32::try_from(matched.len()).unwrap_or(u32::MAX)),
        all: (wants.all && !matched.is_empty()).then(|| set(matched, search.numbering, view)),
        mod_seq,
    };
    run.write(&Response::Esearch(reply));
}

/// The return options.
struct Wants {
    min: bool,
    max: bool,
    all: bool,
    count: bool,
    save: bool,
}

impl Wants {
    fn of(search: &Search) -> Self {
        let options = search.returns.as_deref().unwrap_or_default();
        let has = |option| options.contains(&option);
        Self {
            min: has(SearchReturn::Min),
            max: has(SearchReturn::Max),
            // An empty list, or none in IMAP4rev2, asks for ALL. RFC 9051 §6.4.4
            all: has(SearchReturn::All) || options.is_empty(),
            count: has(SearchReturn::Count),
            save: has(SearchReturn::Save),
        }
    }

    /// SAVE alone: nothing is told. RFC 9051 §6.4.4
    fn is_silent(&self) -> bool {
        !(self.min || self.max || self.all || self.count)
    }

    /// Whether only MIN and MAX are asked for.
    fn is_ends_only(&self) -> bool {
        (self.min || self.max) && !self.all && !self.count
    }

    fn ends(&self, matched: &UidSet) -> UidSet {
        let first = matched.first().filter(|_| self.min);
        let last = matched.last().filter(|_| self.max);
        first.into_iter().chain(last).collect()
    }
}

/// What `$` becomes: with only MIN and MAX, just those. RFC 5182 §2.4
fn saved(wants: &Wants, matched: &UidSet) -> UidSet {
    if wants.is_ends_only() { wants.ends(matched) } else { matched.clone() }
}

/// The highest modseq of what is told. RFC 4731 §3.2, RFC 7162 §3.1.10
fn highest(wants: &Wants, matched: &UidSet, view: &View) -> Option<ModSeq> {
    let told = if wants.is_ends_only() { wants.ends(matched) } else { matched.clone() };
    view.entries(&told).map(|(_, entry)| entry.modseq()).max()
}

fn one_number(uid: Uid, numbering: Numbering, view: &View) -> Option<u32> {
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

fn set(uids: &UidSet, numbering: Numbering, view: &View) -> SequenceSet {
    match numbering {
        Numbering::Uid => SequenceSet::from(uids),
        Numbering::Sequence => {
            let seqs: SeqSet = view.entries(uids).map(|(seq, _)| seq).collect();
            SequenceSet::from(seqs)
        }
    }
}
