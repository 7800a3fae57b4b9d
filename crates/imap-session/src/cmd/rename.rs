//! RENAME. RFC 9051 §6.3.6

use imap_proto::types::Rename;
use mailbox::{Operation, Outcome};

use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, Need, errors};

pub(crate) fn begin(rename: &Rename, run: &mut Run<'_>) -> Flow {
    let names = run.state.names();
    let from = rename.from.name(names).map_err(errors::no_such_name)?;
    let to = rename.to.name(names).map_err(errors::bad_name)?;
    wait(Need::Submit(Operation::RenameMailbox { from, to }), |answer, _| match answer {
        Answer::Submitted(Ok(Outcome::Renamed { .. })) => end(Reply::ok("RENAME completed")),
        other => Err(errors::unexpected(&other)),
    })
}
