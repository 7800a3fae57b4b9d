//! SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5032, RFC 5267, RFC 6203,
//! RFC 7162 §3.1.5, RFC 9394 §3.1
//!
//! What the snapshot decides is decided in one pass; for the rest the messages are loaded a few at
//! a time, only as much of each as the query needs.

pub(crate) mod context;
pub(crate) mod keys;
mod load;
mod partial;
mod place;
mod result;
pub(crate) mod rows;
pub(crate) mod settle;

use std::collections::BTreeMap;

use imap_proto::types::{Code, Numbering, Search, SearchReturn};
use mail_types::{Uid, UidSet};
use mailbox::search::{Key, Program};

use crate::reply::{Flow, Reply, Run, end};
use crate::state::{Selected, State};
use crate::sync;
use crate::{errors, limit};
pub(crate) use context::{Found, Sorted};
pub(crate) use keys::has_sequence;
pub(crate) use load::Job;
pub(crate) use partial::{part, part_in_order};
pub(crate) use result::{Source, Wants, highest, in_order, one_number, tell};

pub(crate) fn begin(search: Search, run: &mut Run<'_>) -> Flow {
    check_no_charset(&search, run)?;
    check(&search, run)?;
    sync::prepare(move |run| plan(search, run))
}

/// After UTF8=ACCEPT a charset is an error of syntax; not in SORT and THREAD, which always have
/// one. RFC 6855 §3
pub(crate) fn check_no_charset(search: &Search, run: &Run<'_>) -> Result<(), Reply> {
    match run.state.enabled.utf8 && search.charset.is_some() {
        true => Err(Reply::bad("No CHARSET after ENABLE UTF8=ACCEPT")),
        false => Ok(()),
    }
}

/// What is wrong with a search whatever the mailbox holds.
pub(crate) fn check(search: &Search, run: &mut Run<'_>) -> Result<(), Reply> {
    check_returns(search)?;
    if wants_updates(search) {
        context::check_tag(run)?;
    }
    if !keys::charset_is_known(search.charset.as_deref()) {
        forget_saved(search, run);
        let names = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
        return Err(Reply::no("The charset is not known").with(Code::BadCharset(names)));
    }
    if keys::has_modseq(&search.keys) {
        sync::enable_condstore(run);
    }
    Ok(())
}

fn check_returns(search: &Search) -> Result<(), Reply> {
    let options = search.returns.as_deref().unwrap_or_default();
    let partials = options.iter().filter(|o| matches!(o, SearchReturn::Partial(_))).count();
    // RFC 9394 §3.1
    if partials > 1 || (partials == 1 && options.contains(&SearchReturn::All)) {
        return Err(Reply::bad("Only one of PARTIAL and ALL, and only once"));
    }
    // RFC 6203 §4
    if options.contains(&SearchReturn::Relevancy) && !keys::has_fuzzy(&search.keys) {
        return Err(Reply::bad("RELEVANCY goes with FUZZY only"));
    }
    Ok(())
}

/// Whether changes of the result are to be told. RFC 5267 §4.3
pub(crate) fn wants_updates(search: &Search) -> bool {
    search.returns.as_ref().is_some_and(|r| r.iter().any(is_update))
}

fn is_update(option: &SearchReturn) -> bool {
    matches!(option, SearchReturn::Update(_))
}

/// Whether the result is to become `$`. RFC 5182 §2
pub(crate) fn saves(search: &Search) -> bool {
    search.returns.as_ref().is_some_and(|r| r.contains(&SearchReturn::Save))
}

/// A SEARCH with SAVE that is answered with NO leaves `$` empty. RFC 5182 §2.1
fn forget_saved(search: &Search, run: &mut Run<'_>) {
    if let Some(selected) = run.state.selected.as_mut().filter(|_| saves(search)) {
        selected.saved = UidSet::new();
    }
}

fn plan(search: Search, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let within = within_limit(&search, selected, run.state);
    let job = limited_job(&search, within.first, selected, run);
    // The query may name `$`. Whatever goes wrong from here on is a NO, which empties it.
    forget_saved(&search, run);
    job?.next(run, Box::new(move |job, run| finish(search, job, within.code, run)))
}

/// Where a search begins that may not look at all messages, and what is said then.
#[derive(Default)]
struct Within {
    first: Option<Uid>,
    code: Option<Code>,
}

fn within_limit(search: &Search, selected: &Selected, state: &State) -> Within {
    if state.config.message_limit.is_none() {
        return Within::default();
    }
    let cut = limit::cut(keys::searched(search, selected), state);
    let first = cut.uids.first().filter(|_| cut.code.is_some());
    Within { first, code: cut.code }
}

/// What follows a search in SORT and THREAD.
type Then = Box<dyn FnOnce(Job, &mut Run<'_>) -> Flow + Send>;

/// Finds the messages that match, for SORT and THREAD.
pub(crate) fn find(search: &Search, run: &mut Run<'_>, then: Then) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let all = limit::check_whole(&keys::searched(search, selected), run.state);
    let job = all.and_then(|()| job(search, selected, run));
    forget_saved(search, run);
    job?.next(run, then)
}

/// Ends a search that cannot be done.
pub(crate) fn refused(search: &Search, reply: Reply, run: &mut Run<'_>) -> Flow {
    forget_saved(search, run);
    Err(reply)
}

/// A search in a mailbox, as far as the snapshot decides it.
pub(crate) fn job(search: &Search, selected: &Selected, run: &Run<'_>) -> Result<Job, Reply> {
    limited_job(search, None, selected, run)
}

/// The same among the messages from one UID on, if one is given.
fn limited_job(
    search: &Search,
    first: Option<Uid>,
    selected: &Selected,
    run: &Run<'_>,
) -> Result<Job, Reply> {
    let mut key = keys::translate(search, selected);
    if let Some(first) = first {
        key = Key::And(vec![Key::Uids(UidSet::range(first, Uid::MAX)), key]);
    }
    let program = Program::with_comparator(&key, run.state.collation.comparator)
        .map_err(|_| Reply::no("The search is too large").with(Code::Limit))?;
    let has_text = keys::has_text(&search.keys);
    let is_scored = search.returns.as_ref().is_some_and(|r| r.contains(&SearchReturn::Relevancy));
    let points = is_scored.then(BTreeMap::new);
    Ok(Job { points, ..Job::new(selected.view.clone(), program, has_text, run.now) })
}

/// Keeps the result as `$` if that was asked for.
pub(crate) fn save(search: &Search, job: &Job, run: &mut Run<'_>) {
    if let Some(selected) = run.state.selected.as_mut()
        && let Some(saved) = result::saved(search, &job.matched)
    {
        selected.saved = saved;
    }
}

fn finish(search: Search, job: Job, limit: Option<Code>, run: &mut Run<'_>) -> Flow {
    save(&search, &job, run);
    tell(&search, &job, None, run);
    if wants_updates(&search) {
        let found = Found { job, source: None, sorted: None };
        context::add(&search, found, run);
    }
    let reply = Reply::ok(match search.numbering {
        Numbering::Uid => "UID SEARCH completed",
        Numbering::Sequence => "SEARCH completed",
    });
    end(limit::tell(limit, reply, run))
}
