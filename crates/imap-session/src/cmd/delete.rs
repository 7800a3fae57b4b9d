//! DELETE. RFC 9051 §6.3.5

use imap_proto::types::{Code, MailboxArg, Response, Status, StatusKind};
use mail_types::MailboxName;
use mailbox::{Operation, Outcome};

use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, Need, errors, place};

pub(crate) fn begin(mailbox: &MailboxArg, run: &mut Run<'_>) -> Flow {
    place::existing(mailbox, errors::no_such_mailbox, run, |name, _| delete(name))
}

fn delete(name: MailboxName) -> Flow {
    wait(Need::Submit(Operation::DeleteMailbox { name }), |answer, run| match answer {
        Answer::Submitted(Ok(Outcome::Deleted { id })) => {
            if run.state.is_selected(id) {
                // The client did it itself, so it need not be thrown out. RFC 9051 §7.1 (CLOSED)
                run.state.selected = None;
                let closed = Status::untagged(StatusKind::Ok, "The selected mailbox is gone");
                run.write(&Response::Status(closed.with_code(Code::Closed)));
            }
            end(Reply::ok("DELETE completed"))
        }
        other => Err(errors::unexpected(&other)),
    })
}
