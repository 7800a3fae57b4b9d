//! GETMETADATA and SETMETADATA. RFC 5464 §4.2, §4.3

use imap_proto::types::{
    Code, GetMetadata, MailboxArg, MetadataData, MetadataReply, Response, SetMetadata,
};
use mail_types::EntryName;
use mailbox::{MetadataTarget, Operation, Outcome, Rights};

use crate::filter;
use crate::metadata::{self, Wanted};
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::{Answer, Need, errors, place};

pub(crate) fn begin_get(get: GetMetadata) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        target(&get.mailbox.clone(), run, |target, run| tell(get, target, run))
    })
}

fn tell(get: GetMetadata, target: MetadataTarget, run: &mut Run<'_>) -> Flow {
    let GetMetadata { mailbox, max_size, depth, mut entries } = get;
    // What is private is its owner's, its length too. RFC 5464 §3.2
    if run.state.guest().is_some() {
        entries.retain(EntryName::is_shared);
    }
    let wanted = Wanted { entries: &entries, depth, max_size };
    let server = &run.state.config.server_annotations;
    let found = metadata::find(run.account()?, server, target, &wanted);
    if !found.values.is_empty() {
        let data = MetadataData::Values(found.values);
        run.write(&Response::Metadata(MetadataReply { mailbox, data }));
    }
    let reply = Reply::ok("GETMETADATA completed");
    // RFC 5464 §4.2.1
    end(match found.longest {
        Some(size) => reply.with(Code::MetadataLongEntries(size)),
        None => reply,
    })
}

pub(crate) fn begin_set(set: SetMetadata) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        if set.mailbox.raw().is_empty() {
            filter::check_set(&set.entries)?;
        }
        target(&set.mailbox.clone(), run, |target, _| submit(set, target))
    })
}

fn submit(set: SetMetadata, target: MetadataTarget) -> Flow {
    let own = set.entries.clone();
    let operation = Operation::SetMetadata { target, entries: set.entries };
    wait(Need::Submit(operation), move |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Done)) => {
            // Of the annotations of others nothing is told unasked.
            if run.state.guest().is_none() {
                metadata::tell_changes(run, Some((target, &own)));
            }
            end(Reply::ok("SETMETADATA completed"))
        }
        other => Err(errors::unexpected(&other)),
    })
}

/// What is meant: the empty string is the server. RFC 5464 §4.1
fn target(
    mailbox: &MailboxArg,
    run: &mut Run<'_>,
    then: impl FnOnce(MetadataTarget, &mut Run<'_>) -> Flow + Send + 'static,
) -> Flow {
    if mailbox.raw().is_empty() {
        return then(MetadataTarget::Server, run);
    }
    place::existing(mailbox, errors::no_such_mailbox, run, |name, run| {
        let mailbox = place::find(&name, Rights::LOOKUP, errors::no_such_mailbox, run)?;
        // One of these is needed as well. RFC 5464 §3.3
        let id = mailbox.record().id;
        if !run.account()?.rights(id, &run.state.actor()).intersects(Rights::METADATA) {
            return Err(errors::no_permission());
        }
        then(MetadataTarget::Mailbox(id), run)
    })
}
