//! SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5032, RFC 7162 §3.1.5
//!
//! What the snapshot decides is decided in one pass; for the rest the messages are loaded a few at
//! a time, only as much of each as the query needs.

pub(crate) mod keys;
mod load;
mod result;
pub(crate) mod rows;

use imap_proto::types::{Code, Numbering, Search, SearchReturn};
use mail_types::UidSet;
use mailbox::search::Program;

use crate::errors;
use crate::reply::{Flow, Reply, Run, end};
use crate::sync;
use load::{Finish, Job};

pub(crate) fn begin(search: Search, run: &mut Run<'_>) -> Flow {
    // RFC 6855 §3: after UTF8=ACCEPT a charset is an error of syntax.
    if run.state.enabled.utf8 && search.charset.is_some() {
        return Err(Reply::bad("No CHARSET after ENABLE UTF8=ACCEPT"));
    }
    check(&search, run)?;
    sync::prepare(move |run| plan(search, run))
}

/// What is told of a search before it begins, also of that in SORT and THREAD.
pub(crate) fn check(search: &Search, run: &mut Run<'_>) -> Result<(), Reply> {
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

/// A SEARCH with SAVE that is answered with NO leaves `$` empty. RFC 5182 §2.1
fn forget_saved(search: &Search, run: &mut Run<'_>) {
    let saves = search.returns.as_ref().is_some_and(|r| r.contains(&SearchReturn::Save));
    if let Some(selected) = run.state.selected.as_mut().filter(|_| saves) {
        selected.saved = UidSet::new();
    }
}

fn plan(search: Search, run: &mut Run<'_>) -> Flow {
    let query = search.clone();
    find(&query, run, Box::new(move |matched, run| finish(&search, matched, run)))
}

/// Finds the messages that match, and goes on with them.
pub(crate) fn find(search: &Search, run: &mut Run<'_>, finish: Finish) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let key = keys::translate(search, selected);
    // The query may name `$`. Whatever goes wrong from here on is a NO, which empties it.
    forget_saved(search, run);
    let Ok(program) = Program::with_comparator(&key, run.state.collation.comparator) else {
        return Err(Reply::no("The search is too large").with(Code::Limit));
    };
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let sifted = program.sift(&selected.view, run.now.seconds());
    let job = Job {
        has_text: keys::has_text(&search.keys),
        program,
        matched: sifted.matched,
        undecided: sifted.undecided,
        now: run.now.seconds(),
    };
    job.next(run, finish)
}

fn finish(search: &Search, matched: UidSet, run: &mut Run<'_>) -> Flow {
    result::tell(search, &matched, run);
    end(Reply::ok(match search.numbering {
        Numbering::Uid => "UID SEARCH completed",
        Numbering::Sequence => "SEARCH completed",
    }))
}
