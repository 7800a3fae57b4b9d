//! CAPABILITY. RFC 9051 §6.1.1

use imap_proto::types::Response;

use crate::capability::capabilities;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    let all = capabilities(&run.state.config, run.state.login);
    run.write(&Response::Capability(all));
    end(Reply::ok("Capability completed"))
}
