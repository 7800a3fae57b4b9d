//! STATUS. RFC 9051 §6.3.11

use imap_proto::types::{Response, StatusCommand, StatusItem, StatusReply, StatusValue};
use mail_types::MailboxName;
use mailbox::{MailboxRecord, Rights};

use crate::reply::{Flow, Reply, Run, end, wait_ready};
use crate::state::State;
use crate::sync::{self, Told};
use crate::{Need, errors, place, render};

pub(crate) fn begin(status: StatusCommand) -> Flow {
    wait_ready(Need::Refresh, move |run| {
        // No HIGHESTMODSEQ may run ahead of expunges that the client was not told of. RFC 7162 §3.2
        sync::news(Told::Everything, run, move |run| {
            let mailbox = status.mailbox.clone();
            let missing = errors::no_such_mailbox;
            place::existing(&mailbox, missing, run, move |name, run| tell(&name, &status, run))
        })
    })
}

fn tell(name: &MailboxName, status: &StatusCommand, run: &mut Run<'_>) -> Flow {
    let mailbox = place::find(name, Rights::READ, errors::no_such_mailbox, run)?;
    enable_condstore(&status.items, run);
    let values = values_at(&status.items, mailbox.record(), run.state);
    let name = run.state.told_name(name);
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

/// The values of a mailbox of the account that is asked now.
pub(crate) fn values_at(
    items: &[StatusItem],
    record: &MailboxRecord,
    state: &State,
) -> Vec<StatusValue> {
    let mut values = values(items, record, state.config.append_limit);
    for value in &mut values {
        if let StatusValue::MailboxId(id) = value {
            *id = state.object_id(&*id);
        }
    }
    values
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
