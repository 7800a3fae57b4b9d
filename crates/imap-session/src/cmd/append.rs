//! APPEND of one or more messages. RFC 9051 §6.3.12, RFC 3502, RFC 7889
//!
//! RFC 6855 §4 wants messages with 8-bit headers refused unless UTF8=ACCEPT is enabled. They are
//! taken all the same: mail with such headers exists, and a refusal breaks every migration that
//! meets it (imapsync, 2024).

use imap_proto::types::{Append, AppendMessage, Code, FlagList, Literal, SequenceSet};
use mail_types::{Flags, InternalDate};
use mailbox::Outcome;

use crate::reply::{Flow, Reply, end, wait, wait_ready};
use crate::{Answer, AppendData, AppendItem, AppendRequest, Need, errors, limit, news};

pub(crate) fn begin(append: Append) -> Flow {
    // An empty message takes the whole command back. RFC 3502 §6.3.11
    if append.messages.iter().any(|message| message.data.size() == 0) {
        return Err(Reply::no("A message without octets is no message"));
    }
    wait_ready(Need::Refresh, move |run| {
        let octets_max = run.state.config.append_limit;
        if append.messages.iter().any(|message| message.data.size() > octets_max) {
            return Err(too_big());
        }
        limit::check_append(append.messages.len(), run.state)?;
        // A name that no mailbox can have is not worth creating, so it gets no TRYCREATE.
        let name = append.mailbox.name(run.state.names()).map_err(errors::bad_name)?;
        let mailbox = run.account()?.by_name(&name).ok_or_else(errors::try_create)?;
        let mailbox = mailbox.record().id;
        let now = run.now;
        let messages = append.messages.into_iter().map(|message| item(message, now)).collect();
        submit(AppendRequest { mailbox, messages })
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
        Answer::Submitted(Err(mailbox::Refusal::NonExistent)) => Err(errors::try_create()),
        other => Err(errors::unexpected(&other)),
    })
}

fn item(message: AppendMessage, now: InternalDate) -> AppendItem {
    let data = match message.data {
        Literal::Inline(bytes) => AppendData::Inline(bytes),
        Literal::Streamed { index, .. } => AppendData::Staged { index },
    };
    AppendItem { data, flags: storable(message.flags), date: message.date.unwrap_or(now) }
}

/// The flags of a list that a message can have: others are dropped, because a refusal breaks
/// migrations from servers with flags of their own.
fn storable(list: FlagList) -> Flags {
    list.flags
}

/// Larger than APPENDLIMIT. RFC 7889 §4
fn too_big() -> Reply {
    Reply::no("The message is larger than the server takes").with(Code::TooBig)
}
