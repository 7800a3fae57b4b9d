//! SUBSCRIBE and UNSUBSCRIBE. RFC 9051 §6.3.7, §6.3.8

use imap_proto::types::MailboxArg;
use mailbox::{Operation, Outcome};

use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, Need, errors};

/// The name need not exist: clients subscribe what they are about to create. RFC 9051 §6.3.7
pub(crate) fn begin_subscribe(mailbox: &MailboxArg, run: &mut Run<'_>) -> Flow {
    let name = mailbox.name(run.state.names()).map_err(errors::bad_name)?;
    submit(Operation::Subscribe { name })
}

pub(crate) fn begin_unsubscribe(mailbox: &MailboxArg, run: &mut Run<'_>) -> Flow {
    let name = mailbox.name(run.state.names()).map_err(errors::bad_name)?;
    submit(Operation::Unsubscribe { name })
}

fn submit(operation: Operation) -> Flow {
    wait(Need::Submit(operation), |answer, _| match answer {
        Answer::Submitted(Ok(Outcome::Done)) => end(Reply::ok("Completed")),
        other => Err(errors::unexpected(&other)),
    })
}
