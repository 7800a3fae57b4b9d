//! RENAME. RFC 9051 §6.3.6

use imap_proto::types::{Code, Rename};
use mail_types::MailboxName;
use mailbox::{Operation, Outcome};

use crate::place::{self, Named};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, Need, errors};

pub(crate) fn begin(rename: &Rename, run: &mut Run<'_>) -> Flow {
    let names = run.state.names();
    let from = rename.from.name(names).map_err(errors::no_such_name)?;
    let to = rename.to.name(names).map_err(errors::bad_name)?;
    let (from, to) = (place::named(from, run), place::named(to, run));
    let to = match (&from, to) {
        (Named::Own(_), Named::Own(to)) => to,
        (Named::Guest { owner: a, .. }, Named::Guest { owner: b, name, .. }) if *a == b => name,
        (Named::Between, _) => return Err(errors::no_such_mailbox()),
        // A mailbox belongs to its account.
        _ => return Err(across()),
    };
    place::go(from, errors::no_such_mailbox, run, |from, _| submit(from, to))
}

fn across() -> Reply {
    Reply::no("A mailbox cannot be moved to another account").with(Code::Cannot)
}

fn submit(from: MailboxName, to: MailboxName) -> Flow {
    wait(Need::Submit(Operation::RenameMailbox { from, to }), |answer, _| match answer {
        Answer::Submitted(Ok(Outcome::Renamed { .. })) => end(Reply::ok("RENAME completed")),
        other => Err(errors::unexpected(&other)),
    })
}
