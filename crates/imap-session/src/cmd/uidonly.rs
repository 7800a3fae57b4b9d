//! What a client may no longer say after ENABLE UIDONLY. RFC 9586 §3

use imap_proto::types::{Code, CommandBody, Numbering, Select, Sort, Thread};

use super::search::has_sequence;
use crate::reply::Reply;
use crate::state::State;

/// Refuses a command that takes sequence numbers, once they are neither told nor taken.
pub(crate) fn check(body: &CommandBody, state: &State) -> Result<(), Reply> {
    if !state.enabled.uidonly || !names_sequence_numbers(body) {
        return Ok(());
    }
    Err(Reply::bad("Sequence numbers are not taken after ENABLE UIDONLY").with(Code::UidRequired))
}

fn names_sequence_numbers(body: &CommandBody) -> bool {
    let is_sequence = |numbering: Numbering| numbering == Numbering::Sequence;
    match body {
        CommandBody::Fetch(fetch) => is_sequence(fetch.numbering),
        CommandBody::Store(store) => is_sequence(store.numbering),
        CommandBody::StoreAnnotation(store) => is_sequence(store.numbering),
        CommandBody::Copy(copy) | CommandBody::Move(copy) => is_sequence(copy.numbering),
        // A sequence set is a search key too. RFC 9586 §3
        CommandBody::Search(search)
        | CommandBody::Sort(Sort { search, .. })
        | CommandBody::Thread(Thread { search, .. }) => {
            is_sequence(search.numbering) || has_sequence(&search.keys)
        }
        // Its numbers are UIDs in any case. RFC 7377 §2.1
        CommandBody::MultiSearch(multi) => has_sequence(&multi.search.keys),
        CommandBody::Replace(replace) => is_sequence(replace.numbering),
        // RFC 9586 §3: the sample of sequence numbers of QRESYNC.
        CommandBody::Select(select) | CommandBody::Examine(select) => has_sample(select),
        _ => false,
    }
}

fn has_sample(select: &Select) -> bool {
    select.qresync.as_ref().is_some_and(|qresync| qresync.match_data.is_some())
}
