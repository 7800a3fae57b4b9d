//! SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5032, RFC 7162 §3.1.5
//!
//! What the snapshot decides is decided in one pass; for the rest the messages are loaded a few at
//! a time, only as much of each as the query needs.

mod keys;
mod load;
mod result;

use imap_proto::types::{Code, Numbering, Search, SearchReturn};
use mail_types::UidSet;
use mailbox::search::{Key, Program};

use crate::reply::{Flow, Reply, Run, end};
use crate::sync;
use crate::{errors, limit};
pub(crate) use keys::has_sequence;
use load::Job;

pub(crate) fn begin(search: Search, run: &mut Run<'_>) -> Flow {
    // RFC 6855 §3: after UTF8=ACCEPT a charset is an error of syntax.
    if run.state.enabled.utf8 && search.charset.is_some() {
        return Err(Reply::bad("No CHARSET after ENABLE UTF8=ACCEPT"));
    }
    if !keys::charset_is_known(search.charset.as_deref()) {
        forget_saved(&search, run);
        let names = vec!["US-ASCII".to_owned(), "UTF-8".to_owned()];
        return Err(Reply::no("The charset is not known").with(Code::BadCharset(names)));
    }
    if keys::has_modseq(&search.keys) {
        sync::enable_condstore(run);
    }
    sync::prepare(move |run| plan(search, run))
}

/// A SEARCH with SAVE that is answered with NO leaves `$` empty. RFC 5182 §2.1
fn forget_saved(search: &Search, run: &mut Run<'_>) {
    let saves = search.returns.as_ref().is_some_and(|r| r.contains(&SearchReturn::Save));
    if let Some(selected) = run.state.selected.as_mut().filter(|_| saves) {
        selected.saved = UidSet::new();
    }
}

fn plan(search: Search, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    let mut key = keys::translate(&search, selected);
    let mut code = None;
    if run.state.config.message_limit.is_some() {
        let cut = limit::cut(keys::searched(&search, selected), run.state);
        if cut.code.is_some() {
            key = Key::And(vec![Key::Uids(cut.uids), key]);
            code = cut.code;
        }
    }
    let program = match Program::new(&key) {
        Ok(program) => program,
        Err(_) => {
            forget_saved(&search, run);
            return Err(Reply::no("The search is too large").with(Code::Limit));
        }
    };
    let sifted = program.sift(&selected.view, run.now.seconds());
    let job = Job {
        has_text: keys::has_text(&search.keys),
        program,
        matched: sifted.matched,
        goal: load::count(&sifted.undecided),
        undecided: sifted.undecided,
        now: run.now.seconds(),
    };
    job.next(run, Box::new(move |matched, run| finish(&search, matched, code, run)))
}

fn finish(search: &Search, matched: UidSet, limit: Option<Code>, run: &mut Run<'_>) -> Flow {
    result::tell(search, &matched, run);
    let reply = Reply::ok(match search.numbering {
        Numbering::Uid => "UID SEARCH completed",
        Numbering::Sequence => "SEARCH completed",
    });
    end(limit::tell(limit, reply, run))
}
