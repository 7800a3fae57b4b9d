//! UIDBATCHES: ranges of UIDs with so many messages each. RFC 10022
//!
//! It is answered but not announced: this was written after the grammar, the examples and the
//! limits of the RFC, and has yet to be compared with the whole of its text.
//!
//! The ranges follow one another without a gap, from the last message down to UID 1, so that each
//! message is in one of them; whether there is a message with an end as its UID is not said.

use imap_proto::types::{Code, Response, UidBatches, UidBatchesReply};
use mail_types::{SeqNum, Uid};
use mailbox::View;

use crate::reply::{Flow, Reply, Run, end};
use crate::{errors, sync};

/// Least messages in a batch: with fewer a client could count messages one by one. The RFC allows
/// no higher one.
const SIZE_MIN: u32 = 500;
/// Most messages in the batches of one answer; 100,000 is the least. It bounds the answer to some
/// 50 kB.
const MESSAGES_MAX: u64 = 1_000_000;

pub(crate) fn begin(wanted: UidBatches, run: &mut Run<'_>) -> Flow {
    let (first, last) = wanted.range.unwrap_or((1, 1));
    if first > last {
        let text = "The first batch comes before the last one";
        return Err(Reply::bad(text).with(Code::ClientBug));
    }
    if wanted.size < SIZE_MIN {
        return Err(Reply::no("A batch has 500 messages at least").with(Code::TooFew));
    }
    let count = u64::from(last - first) + 1;
    if wanted.range.is_some() && count * u64::from(wanted.size) > MESSAGES_MAX {
        return Err(too_many());
    }
    // A batch that no command may work on would be of no use.
    let limit = run.state.config.message_limit.unwrap_or(u32::MAX);
    let wanted = UidBatches { size: wanted.size.min(limit).max(1), ..wanted };
    sync::prepare(move |run| tell(wanted, run))
}

fn tell(wanted: UidBatches, run: &mut Run<'_>) -> Flow {
    let Some(selected) = &run.state.selected else { return Err(errors::no_such_mailbox()) };
    if wanted.range.is_none() && u64::from(selected.view.exists()) > MESSAGES_MAX {
        return Err(too_many());
    }
    let batches = batches(wanted, &selected.view);
    let tag = run.tag.as_str().to_owned();
    run.write(&Response::UidBatches(UidBatchesReply { tag, batches }));
    end(Reply::ok("UIDBATCHES completed"))
}

fn too_many() -> Reply {
    Reply::no("These are too many messages; ask for fewer batches").with(Code::TooMany)
}

/// The batches, the newest first; those that are asked for and do not exist are left out.
fn batches(wanted: UidBatches, view: &View) -> Vec<(Uid, Uid)> {
    let exists = view.exists();
    let uid_at = |seq: u32| SeqNum::new(seq).and_then(|seq| view.uid(seq));
    let last = exists.div_ceil(wanted.size);
    let (first, last) = wanted.range.map_or((1, last), |(a, b)| (a, b.min(last)));
    let mut batches = Vec::new();
    for index in first..=last {
        // Messages that are newer than those of this batch.
        let Some(newer) = (index - 1).checked_mul(wanted.size) else { break };
        // The lowest of those has the number behind the highest of this batch.
        let high = match index {
            1 => view.last_uid(),
            _ => uid_at(exists - newer + 1).and_then(|uid| Uid::new(uid.get() - 1)),
        };
        let low = match index == exists.div_ceil(wanted.size) {
            true => Some(Uid::MIN),
            false => uid_at(exists - newer - wanted.size + 1),
        };
        batches.extend(high.zip(low));
    }
    batches
}
