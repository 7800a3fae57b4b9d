//! APPEND of one or more messages. RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 7889
//!
//! RFC 6855 §4 wants messages with 8-bit headers refused unless UTF8=ACCEPT is enabled. They are
//! taken all the same: mail with such headers exists, and a refusal breaks every migration that
//! meets it (imapsync, 2024).

use imap_proto::types::{Append, AppendMessage, AppendPayload, Code, SequenceSet};
use mailbox::{Outcome, Refusal, Rights};

use super::catenate;
use crate::reply::{Flow, Reply, end, wait, wait_ready};
use crate::{Answer, AppendRequest, Need, Place, errors, limit, news, place};

pub(crate) fn begin(append: Append) -> Flow {
    append.messages.iter().try_for_each(check_not_empty)?;
    wait_ready(Need::Refresh, move |run| {
        let octets_max = run.state.config.append_limit;
        append.messages.iter().try_for_each(|message| check_size(message, octets_max))?;
        limit::check_append(append.messages.len(), run.state)?;
        // A name that no mailbox can have is not worth creating, so it gets no TRYCREATE.
        place::new(&append.mailbox, errors::try_create, run, |name, run| {
            let mailbox = place::find(&name, Rights::INSERT, errors::try_create, run)?;
            let mailbox = mailbox.record().id;
            // What URLs name is the session's own, wherever it goes.
            let own = run.state.audience();
            let target = std::mem::replace(&mut run.state.place, Place::Own);
            catenate::gather(append.messages, own, run, move |messages, run| {
                run.state.place = target;
                submit(AppendRequest { mailbox, messages })
            })
        })
    })
}

fn submit(request: AppendRequest) -> Flow {
    let mailbox = request.mailbox;
    wait(Need::Append(request), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Added { uid_validity, uids, .. })) => {
            news::note_own(mailbox, &uids, run.state);
            let code = Code::AppendUid { uid_validity, uids: SequenceSet::from(uids) };
            end(Reply::ok("APPEND completed").with(code))
        }
        // Gone between the look and the commit. RFC 9051 §6.3.12
        Answer::Submitted(Err(Refusal::NonExistent | Refusal::NoPermission { visible: false })) => {
            Err(errors::try_create())
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// An empty message takes the whole command back. RFC 3502 §6.3.11
pub(crate) fn check_not_empty(message: &AppendMessage) -> Result<(), Reply> {
    match &message.data {
        AppendPayload::Literal { data, .. } if data.size() == 0 => Err(empty()),
        // What its URLs name is not known yet.
        AppendPayload::Literal { .. } | AppendPayload::Catenate(_) => Ok(()),
    }
}

pub(crate) fn check_size(message: &AppendMessage, limit: u64) -> Result<(), Reply> {
    if message.data.sent_bytes() > limit { Err(too_big()) } else { Ok(()) }
}

pub(crate) fn empty() -> Reply {
    Reply::no("A message without octets is no message")
}

/// Larger than APPENDLIMIT. RFC 7889 §4, RFC 4469 §4.2
pub(crate) fn too_big() -> Reply {
    Reply::no("The message is larger than the server takes").with(Code::TooBig)
}
