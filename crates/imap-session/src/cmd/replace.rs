//! REPLACE and UID REPLACE: one message comes, another one goes, in one commit. RFC 8508
//!
//! Nothing of the old message is inherited. Everything that may be wrong is found before anything
//! changes, and no EXPUNGE is told before all is done. RFC 8508 §3.4

use imap_proto::types::{
    Code, Numbering, Replace, Response, SeqBound, SeqRange, SequenceSet, Status, StatusKind,
};
use mail_types::{MailboxName, Uid, UidSet};
use mailbox::{Outcome, Refusal, Rights};

use super::append::{check_not_empty, check_size};
use super::catenate;
use super::copy::expunge_issued;
use super::expunge::{check_writable, with_highest};
use crate::place::{self, Named};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::resolve::resolve;
use crate::state::Selected;
use crate::sync::{self, Told};
use crate::{Answer, Need, Place, ReplaceRequest, errors, news};

pub(crate) fn begin(replace: Replace, run: &mut Run<'_>) -> Flow {
    check_writable(run)?;
    check_not_empty(&replace.message)?;
    check_size(&replace.message, run.state.config.append_limit)?;
    sync::prepare(move |run| {
        let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
        let uid = target(&replace, selected)?;
        let from = selected.mailbox;
        // What STORE, EXPUNGE and APPEND need. RFC 8508 §4.5
        place::check_selected(Rights::DELETED.union(Rights::EXPUNGE), run)?;
        let name = replace.mailbox.name(run.state.names()).map_err(errors::bad_name)?;
        let name = in_selected(place::named(name, run), run)?;
        let to = place::find(&name, Rights::INSERT, errors::try_create, run)?.record().id;
        // The pieces of CATENATE work here too, those of the message that goes among them.
        // RFC 8508 §4.2. What URLs name is the session's own.
        let own = run.state.audience();
        let selected = std::mem::replace(&mut run.state.place, Place::Own);
        catenate::gather(vec![replace.message], own, run, move |messages, run| {
            run.state.place = selected;
            let message = messages.into_iter().next().ok_or_else(errors::server_bug)?;
            submit(ReplaceRequest { from, uid, to, message })
        })
    })
}

/// The name in the account of the selected mailbox: one message goes and one comes in one commit,
/// and two accounts never share one.
fn in_selected(named: Named, run: &Run<'_>) -> Result<MailboxName, Reply> {
    match (named, run.state.guest()) {
        (Named::Own(name), None) => Ok(name),
        (Named::Guest { owner, name, .. }, Some(guest)) if guest.owner == owner => Ok(name),
        (Named::Between, _) => Err(errors::try_create()),
        _ => {
            Err(Reply::no("A message cannot be replaced by one of another account")
                .with(Code::Cannot))
        }
    }
}

/// The message that is to go. One that is gone already cannot be replaced: the client has to know
/// before it loses the draft that it believes to be newer. RFC 8508 §3.2
fn target(replace: &Replace, selected: &Selected) -> Result<Uid, Reply> {
    let set = SequenceSet::new(vec![SeqRange { first: replace.target, last: replace.target }]);
    let named = resolve(&set, replace.numbering, selected)?;
    let uid = match (named.first(), replace.numbering, replace.target) {
        (Some(uid), ..) => uid,
        (None, Numbering::Uid, SeqBound::Number(_)) => return Err(gone()),
        (None, ..) => return Err(Reply::no("The mailbox has no message")),
    };
    // The client still counts it, or has not been told yet. RFC 2180 §4.4, RFC 5530 §3
    if selected.view.snapshot().find(uid).is_none() {
        return Err(expunge_issued());
    }
    Ok(uid)
}

fn submit(request: ReplaceRequest) -> Flow {
    let to = request.to;
    wait(Need::Replace(request), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Replaced { uid_validity, uid, .. })) => {
            // Before EXISTS and EXPUNGE, so that a client knows what took the old one's place.
            // RFC 8508 §4.3
            let uids = UidSet::single(uid);
            news::note_own(to, &uids, run.state);
            let uids = SequenceSet::from(uids);
            let code = Code::AppendUid { uid_validity, uids };
            let status = Status::untagged(StatusKind::Ok, "Replacement ready").with_code(code);
            run.write(&Response::Status(status));
            // EXISTS counts the old one too, whose EXPUNGE follows. RFC 8508 §3.2. Both are told
            // whatever NOTIFY asked for, as they are what the command did.
            sync::catch_up(Told::NoExpunge, run, |run| {
                sync::catch_up(Told::Everything, run, |run| {
                    end(with_highest(Reply::ok("REPLACE completed"), run))
                })
            })
        }
        // Gone between the look and the commit. RFC 9051 §6.3.12
        Answer::Submitted(Err(Refusal::NonExistent)) => Err(errors::no_such_mailbox()),
        Answer::Submitted(Err(Refusal::NoSuchMessage)) => Err(expunge_issued()),
        other => Err(errors::unexpected(&other)),
    })
}

fn gone() -> Reply {
    Reply::no("There is no message with this UID")
}
