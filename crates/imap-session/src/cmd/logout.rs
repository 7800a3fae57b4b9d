//! LOGOUT. RFC 9051 §6.1.3

use imap_proto::types::{Response, Status, StatusKind};

use super::close;
use crate::Then;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    close::leave(run, |run| {
        let bye = Status::untagged(StatusKind::Bye, "Logging out");
        run.write(&Response::Status(bye));
        end(Reply::ok("LOGOUT completed").then(Then::Close))
    })
}
