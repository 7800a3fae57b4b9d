//! STATUS. RFC 9051 §6.3.11

use imap_proto::types::{Response, StatusCommand, StatusItem, StatusReply, StatusValue};
use mailbox::MailboxRecord;

use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::sync::{self, Told};
use crate::{Need, errors, render};

pub(crate) fn begin(status: StatusCommand) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        // No HIGHESTMODSEQ may run ahead of expunges that the client was not told of. RFC 7162 §3.2
        sync::news(Told::Everything, run, move |run| tell(&status, run))
    })
}

fn tell(status: &StatusCommand, run: &mut Run<'_>) -> Flow {
    let name = status.mailbox.name(run.state.names()).map_err(errors::no_such_name)?;
    let account = run.account()?;
    let mailbox = account.by_name(&name).ok_or_else(errors::no_such_mailbox)?;
    enable_condstore(&status.items, run);
    let values = values(&status.items, mailbox.record(), run.state.config.append_limit);
    let reply = StatusReply { mailbox: render::name(&name, run.state.names()), values };
    run.write(&Response::StatusData(reply));
    end(Reply::ok("STATUS completed"))
}

/// To ask for HIGHESTMODSEQ is a CONDSTORE-enabling command. RFC 7162 §3.1
pub(crate) fn enable_condstore(items: &[StatusItem], run: &mut Run<'_>) {
    if items.contains(&StatusItem::HighestModSeq) {
        sync::enable_condstore(run);
    }
}

/// The values of a mailbox. All of them stand in its record: nothing has to be loaded.
pub(crate) fn values(
    items: &[StatusItem],
    record: &MailboxRecord,
    append_limit: u64,
) -> Vec<StatusValue> {
    let counts = record.counts;
    items
        .iter()
        .map(|item| match item {
            StatusItem::Messages => StatusValue::Messages(counts.messages),
            StatusItem::Recent => StatusValue::Recent(record.recent),
            StatusItem::UidNext => StatusValue::UidNext(record.uid_next),
            StatusItem::UidValidity => StatusValue::UidValidity(record.uid_validity),
            StatusItem::Unseen => StatusValue::Unseen(counts.unseen),
            StatusItem::Deleted => StatusValue::Deleted(counts.deleted),
            StatusItem::Size => StatusValue::Size(counts.size_bytes),
            StatusItem::HighestModSeq => StatusValue::HighestModSeq(record.highest_modseq),
            StatusItem::MailboxId => StatusValue::MailboxId(record.id.to_string()),
            StatusItem::AppendLimit => StatusValue::AppendLimit(Some(append_limit)),
            StatusItem::DeletedStorage => StatusValue::DeletedStorage(counts.deleted_bytes),
        })
        .collect()
}
