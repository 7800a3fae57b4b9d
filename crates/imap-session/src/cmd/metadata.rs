//! GETMETADATA and SETMETADATA. RFC 5464 §4.2, §4.3

use imap_proto::types::{
    Code, GetMetadata, MailboxArg, MetadataData, MetadataReply, Response, SetMetadata,
};
use mailbox::{MetadataTarget, Operation, Outcome};

use crate::filter;
use crate::metadata::{self, Wanted};
use crate::reply::{Flow, Reply, Run, end, wait, wait_ready};
use crate::{Answer, Need, errors};

pub(crate) fn begin_get(get: GetMetadata) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        let target = target(&get.mailbox, run)?;
        let GetMetadata { mailbox, max_size, depth, entries } = get;
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
    })
}

pub(crate) fn begin_set(set: SetMetadata) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        let target = target(&set.mailbox, run)?;
        if target == MetadataTarget::Server {
            filter::check_set(&set.entries)?;
        }
        let own = set.entries.clone();
        let operation = Operation::SetMetadata { target, entries: set.entries };
        wait(Need::Submit(operation), move |answer, run| match answer {
            Answer::Submitted(Ok(Outcome::Done)) => {
                metadata::tell_changes(run, Some((target, &own)));
                end(Reply::ok("SETMETADATA completed"))
            }
            other => Err(errors::unexpected(&other)),
        })
    })
}

/// What is meant: the empty string is the server. RFC 5464 §4.1
fn target(mailbox: &MailboxArg, run: &Run<'_>) -> Result<MetadataTarget, Reply> {
    if mailbox.raw().is_empty() {
        return Ok(MetadataTarget::Server);
    }
    let name = mailbox.name(run.state.names()).map_err(errors::no_such_name)?;
    let mailbox = run.account()?.by_name(&name).ok_or_else(errors::no_such_mailbox)?;
    Ok(MetadataTarget::Mailbox(mailbox.record().id))
}
