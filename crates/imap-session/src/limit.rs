//! How many messages one command works on, if the operator limits it. RFC 9738
//!
//! A command on more messages works on those with the highest UIDs and says where it ended, so
//! that the client can go on from there. COPY and APPEND are all or nothing: they are refused, and
//! so are SORT and THREAD, as an order of some messages is none of all.

use imap_proto::types::{Code, Response, Status, StatusKind};
use mail_types::{Uid, UidSet};

use crate::reply::{Reply, Run};
use crate::state::State;

/// What a command may work on.
pub(crate) struct Cut {
    pub(crate) uids: UidSet,
    /// What is to be said if there were more.
    pub(crate) code: Option<Code>,
}

/// Takes the messages with the highest UIDs, as many as one command may work on. RFC 9738 §3.1
pub(crate) fn cut(uids: UidSet, state: &State) -> Cut {
    let Some((limit, lowest)) = exceeded(&uids, state.config.message_limit, state) else {
        return Cut { uids, code: None };
    };
    let uids = uids.intersection(&UidSet::range(lowest, Uid::MAX));
    Cut { uids, code: Some(Code::MessageLimit { limit, lowest: Some(lowest) }) }
}

/// Refuses to copy more messages than one command may. RFC 9738 §3.1
pub(crate) fn check_copy(uids: &UidSet, state: &State) -> Result<(), Reply> {
    match exceeded(uids, save_limit(state), state) {
        Some((limit, lowest)) => Err(Reply::no("Too many messages to copy, try fewer")
            .with(Code::MessageLimit { limit, lowest: Some(lowest) })),
        None => Ok(()),
    }
}

/// Refuses to put more messages in order, or to tell more of a part, than one command may: "the
/// server refuses to do any work in this case". RFC 9738 §3.1, §3.3
pub(crate) fn check_whole(uids: &UidSet, state: &State) -> Result<(), Reply> {
    match exceeded(uids, state.config.message_limit, state) {
        Some((limit, _)) => Err(Reply::no("These are too many messages, try fewer")
            .with(Code::MessageLimit { limit, lowest: None })),
        None => Ok(()),
    }
}

/// Refuses to append more messages than one command may. RFC 9738 §3.1
pub(crate) fn check_append(count: usize, state: &State) -> Result<(), Reply> {
    match save_limit(state) {
        Some(limit) if u32::try_from(count).is_ok_and(|count| count > limit) => {
            Err(Reply::no("Too many messages to append, try fewer")
                .with(Code::MessageLimit { limit, lowest: None }))
        }
        _ => Ok(()),
    }
}

/// Says in the reply that the command was cut short: before it if it says something else already.
/// RFC 9738 §3.1
pub(crate) fn tell(code: Option<Code>, reply: Reply, run: &mut Run<'_>) -> Reply {
    let Some(code) = code else { return reply };
    if reply.kind == StatusKind::Ok && reply.code.is_none() {
        return reply.with(code);
    }
    let text = "Only the last messages were worked on";
    run.write(&Response::Status(Status::untagged(StatusKind::No, text).with_code(code)));
    reply
}

fn save_limit(state: &State) -> Option<u32> {
    state.config.message_limit.or(state.config.save_limit)
}

/// The limit, and the lowest UID within it, if the set names more messages.
fn exceeded(uids: &UidSet, limit: Option<u32>, state: &State) -> Option<(u32, Uid)> {
    let view = &state.selected.as_ref()?.view;
    let limit = limit?;
    let surplus = view.entries(uids).count().checked_sub(usize::try_from(limit).ok()?)?;
    if surplus == 0 {
        return None;
    }
    Some((limit, view.entries(uids).nth(surplus)?.1.uid()))
}
